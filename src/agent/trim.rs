//! Keeps a supervisor small while its script runs: what it needed to start it is given back.
//!
//! Of a supervisor's resident memory two thirds are the program's and libc's text, which the kernel
//! maps in pieces of 64 KiB around whatever is run once. The pages are in the page cache for all
//! supervisors anyway; they come back when they are needed.
//!
//! Invariant: only text that is mapped from a file and cannot be written to is let go of: whatever
//! else is dropped may hold something.

use std::fs;

/// Gives back what is not needed to wait.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer; returns unused heap to the system.
    unsafe {
        libc::malloc_trim(0)
    };
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (begin, end) in maps.lines().filter_map(text_of_a_file) {
        // SAFETY: these pages are as their file is; whoever runs in them faults them in again.
        unsafe { libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_DONTNEED) };
    }
}

/// The range of a line of `maps`, if it is such a mapping.
fn text_of_a_file(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, access) = (words.next()?, words.next()?);
    let (inode, path) = (words.nth(2)?, words.next()?);
    if access != "r-xp" || inode == "0" || !path.starts_with('/') {
        return None;
    }
    let (begin, end) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some((number(begin)?, number(end)?)).filter(|(begin, end)| begin < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_of_files_is_let_go_of() {
        let text = "7f00-8f00 r-xp 00001000 fe:00 1234   /usr/lib/x";
        assert_eq!(text_of_a_file(text), Some((0x7f00, 0x8f00)));
        for other in [
            "7f00-8f00 r--p 00001000 fe:00 1234   /usr/lib/x",
            "7f00-8f00 rw-p 00001000 fe:00 1234   /usr/lib/x",
            "7f00-8f00 rwxp 00001000 fe:00 1234   /usr/lib/x",
            "7f00-8f00 r-xp 00000000 00:00 0      [vdso]",
            "7f00-8f00 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(text_of_a_file(other), None, "{other}");
        }
        // And what is needed comes back.
        trim();
        assert_eq!(text_of_a_file(text), Some((0x7f00, 0x8f00)));
    }
}
