//! Room for a whole state, taken at the start in large pieces.
//!
//! A million jobs are some GiB in small pieces, allocated by several threads at once. glibc makes
//! the heaps of threads larger page by page, each time under the lock that page faults wait for
//! too, and every page of 4 KiB is a fault of its own: two thirds of the time of such a start. So
//! while the state is loaded heaps are made in their full size, and the kernel is asked for huge
//! pages where the state lies.
//!
//! Invariants: afterwards memory is given back as before; nothing here changes what memory holds,
//! and where the system does not take the advice nothing is lost but time.

use std::os::raw::c_int;

/// As large as glibc makes heaps of threads.
const HEAP: c_int = 64 << 20;
/// glibc's own value, in bytes.
const USUAL: c_int = 128 << 10;
/// Blocks from this size on are mappings of their own. (Saying anything of these values ends
/// glibc's own way of finding it, which arrives at what was freed last.)
const MAPPED: c_int = 1 << 20;
/// What is free at the top of a heap beyond this goes back to the system.
const TRIM: c_int = 2 << 20;
/// A huge page.
const HUGE: usize = 2 << 20;

/// While this lives, heaps are large.
pub struct Large(());

impl Large {
    /// From here on.
    pub fn begin() -> Large {
        set(libc::M_TOP_PAD, HEAP);
        Large(())
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        set(libc::M_TOP_PAD, USUAL);
        set(libc::M_MMAP_THRESHOLD, MAPPED);
        set(libc::M_TRIM_THRESHOLD, TRIM);
    }
}

#[cfg(target_env = "gnu")]
fn set(what: c_int, value: c_int) {
    // SAFETY: numbers of malloc.h; it takes them at any time, and a refusal changes nothing.
    let _ = unsafe { libc::mallopt(what, value) };
}

#[cfg(not(target_env = "gnu"))]
fn set(_: c_int, _: c_int) {}

/// Asks for huge pages in the heap that holds `address`.
pub fn huge_pages_at(address: usize) {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    let Some((from, until)) =
        maps.lines().filter_map(heap).find(|(from, until)| (*from..*until).contains(&address))
    else {
        return;
    };
    let (from, until) = (from.next_multiple_of(HUGE), until / HUGE * HUGE);
    if from < until {
        let start = std::ptr::without_provenance_mut(from);
        let advice = rustix::mm::Advice::LinuxHugepage;
        // SAFETY: advice about memory of this process; its contents stay as they are.
        let _ = unsafe { rustix::mm::madvise(start, until - from, advice) };
    }
}

/// Beginning and end of a line's mapping, if it is memory of ours alone that can be written.
fn heap(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (from, until) = words.next()?.split_once('-')?;
    let is_ours = words.next()? == "rw-p" && words.nth(2)? == "0";
    let is_heap = matches!(words.next(), None | Some("[heap]"));
    let number = |text| usize::from_str_radix(text, 16).ok();
    (is_ours && is_heap).then_some((number(from)?, number(until)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heaps_are_told_from_files_and_stacks() {
        let heaps = "5500-5600 rw-p 00000000 00:00 0 [heap]";
        assert_eq!(heap(heaps), Some((0x5500, 0x5600)));
        assert_eq!(heap("7f00-7f80 rw-p 00000000 00:00 0 "), Some((0x7f00, 0x7f80)));
        for other in [
            "7f00-7f80 ---p 00000000 00:00 0 ",
            "7f00-7f80 rw-s 00000000 00:01 1 /dev/zero",
            "7f00-7f80 rw-p 00002000 fe:00 77 /lib/libc.so.6",
            "7f00-7f80 rw-p 00000000 00:00 0 [stack]",
            "",
        ] {
            assert_eq!(heap(other), None, "{other}");
        }
    }

    #[test]
    fn what_memory_holds_stays() {
        let large = Large::begin();
        let pieces: Vec<Box<[u8; 1000]>> =
            (0..20_000).map(|at| Box::new([at as u8; 1000])).collect();
        huge_pages_at(&raw const *pieces[10_000] as usize);
        drop(large);
        assert!(pieces.iter().enumerate().all(|(at, piece)| piece[999] == at as u8));
    }
}
