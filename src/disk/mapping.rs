//! The beginning of a file in memory, for reading: mapped where that helps, else read.
//!
//! Invariants: a page that cannot be read shows as zeros and sets `faulted`, it never kills the
//! process; the range is guarded exactly as long as it is mapped. Callers check sums over what
//! they read here, and ask `faulted` where a sum does not fit.

use crate::base::limits::BLOCK;
use crate::disk::AlignedBuf;
use crate::disk::sigbus::Guard;
use memmap2::Advice;
use std::fmt;
use std::io;
use std::ops::{Deref, Range};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes of a file in memory. They do not change as long as the file does not.
pub struct Mapping(Inner);

enum Inner {
    // Fields are dropped in this order: the guard goes before the memory that it guards.
    Mapped { guard: Guard, map: memmap2::Mmap },
    Heap(AlignedBuf),
}

impl Mapping {
    /// Bytes that have been read already.
    #[must_use]
    pub fn heap(bytes: AlignedBuf) -> Mapping {
        Mapping(Inner::Heap(bytes))
    }

    /// Maps the first `len` bytes of a file that is at least that long, if `len` is not 0. `None`
    /// if no more mappings can be guarded.
    ///
    /// # Errors
    /// Those of `mmap`.
    pub(super) fn of(file: BorrowedFd<'_>, len: usize) -> io::Result<Option<Mapping>> {
        // SAFETY: nothing of ours writes to files that it maps; when others cut or damage the
        // file, the guard turns the fault into zeros.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(file.as_raw_fd()) }?;
        let start = map.as_ptr().addr();
        let guard = Guard::new(&(start..start + len))?;
        Ok(guard.map(|guard| Mapping(Inner::Mapped { guard, map })))
    }

    /// Whether a page could not be read and shows as zeros.
    #[must_use]
    pub fn faulted(&self) -> bool {
        match &self.0 {
            Inner::Mapped { guard, .. } => guard.faulted(),
            Inner::Heap(_) => false,
        }
    }

    /// From here on the kernel reads what is touched, or asked for by [`Mapping::prefetch`], and
    /// nothing around it: its own guess can be megabytes, which everybody else's writes wait for.
    pub fn read_sparsely(&self) {
        if let Inner::Mapped { map, .. } = &self.0 {
            // Where that is not known, reading costs more and is right all the same.
            let _ = map.advise(Advice::Random);
        }
    }

    /// Asks the kernel to begin reading `range`, unless its first and last page are in memory: then
    /// nearly always all of it is, and to have the kernel look at each page costs more than to walk
    /// through them. Ignores failure, which the reader will meet.
    pub fn prefetch(&self, range: Range<usize>) {
        let Inner::Mapped { map, .. } = &self.0 else { return };
        let range = range.start..range.end.min(map.len());
        let here = |at| is_resident(map, at);
        if !(range.is_empty() || here(range.start) && here(range.end - 1)) {
            let _ = map.advise_range(Advice::WillNeed, range.start, range.len());
        }
    }
}

/// Whether the page with byte `at` is in memory.
fn is_resident(map: &[u8], at: usize) -> bool {
    let page = map.as_ptr().wrapping_add(at - at % BLOCK);
    let mut state = 0_u8;
    // SAFETY: `page` begins a page of the mapping (or, where pages are larger, fails), of whose
    // state one byte tells.
    let asked = unsafe { libc::mincore(page.cast_mut().cast(), 1, &raw mut state) };
    asked == 0 && state & 1 != 0
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Mapped { map, .. } => map,
            Inner::Heap(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mapped = matches!(self.0, Inner::Mapped { .. });
        f.debug_struct("Mapping").field("len", &self.len()).field("mapped", &mapped).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;

    fn file_of(len: usize) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; len]).unwrap();
        file
    }

    #[test]
    fn file_cut_under_a_mapping_reads_as_zeros() {
        let file = file_of(5 * 4096);
        let mapping = Mapping::of(file.as_fd(), 5 * 4096).unwrap().expect("room in the table");
        mapping.read_sparsely();
        mapping.prefetch(0..usize::MAX);
        assert!(mapping.iter().all(|byte| *byte == 7) && !mapping.faulted());
        file.set_len(4096).unwrap();
        assert!(mapping[..4096].iter().all(|byte| *byte == 7));
        assert!(!mapping.faulted());
        assert!(mapping[4096..].iter().all(|byte| *byte == 0));
        assert!(mapping.faulted());
    }

    #[test]
    fn fault_is_flagged_on_its_own_mapping_only() {
        let files = [file_of(8192), file_of(8192)];
        let map = |file: &File| Mapping::of(file.as_fd(), 8192).unwrap().expect("room");
        let (cut, whole) = (map(&files[0]), map(&files[1]));
        files[0].set_len(0).unwrap();
        // Threads, because each has its own signal stack.
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(cut.iter().all(|byte| *byte == 0)));
            scope.spawn(|| assert!(whole.iter().all(|byte| *byte == 7)));
        });
        assert!(cut.faulted() && !whole.faulted());
    }

    #[test]
    fn prefetch_of_a_file_that_was_cut_is_harmless() {
        let file = file_of(8192);
        let mapping = Mapping::of(file.as_fd(), 8192).unwrap().expect("room in the table");
        file.set_len(0).unwrap();
        mapping.prefetch(1..8192);
        mapping.prefetch(9000..9001);
        assert_eq!(mapping[5000], 0);
    }
}
