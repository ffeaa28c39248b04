//! Bytes behind one pointer, with their length in front of them. A description of a job has some
//! seventy strings, most of them none; there may be a million of them in memory.
//!
//! Invariants: the memory holds a `u32` and as many bytes as it says; it never changes.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::Deref;
use std::ptr::NonNull;
use std::slice;

/// Bytes of the length.
const HEAD: usize = size_of::<u32>();

/// Some bytes.
pub struct Thin(NonNull<u32>);

// SAFETY: it owns its memory, which never changes.
unsafe impl Send for Thin {}
// SAFETY: as above.
unsafe impl Sync for Thin {}

const _: () = assert!(size_of::<Option<Thin>>() == size_of::<usize>());

impl Thin {
    /// A copy of `bytes`.
    ///
    /// # Panics
    /// If these are 4 GiB: what comes in is bounded far below.
    pub fn of(bytes: &[u8]) -> Thin {
        let len = u32::try_from(bytes.len()).expect("no string has 4 GiB");
        let layout = layout(bytes.len());
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc(layout) }.cast::<u32>();
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
        // SAFETY: the memory is aligned, and there is room for the length and for `bytes`, which
        // lie elsewhere.
        unsafe {
            memory.write(len);
            memory
                .add(1)
                .cast::<u8>()
                .copy_from_nonoverlapping(NonNull::from(bytes).cast::<u8>(), bytes.len());
        }
        Thin(memory)
    }
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(HEAD + len, align_of::<u32>()).expect("bounded by 4 GiB")
}

impl Deref for Thin {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: as many bytes as the length says were written behind it.
        unsafe {
            let len = self.0.read() as usize;
            slice::from_raw_parts(self.0.add(1).cast::<u8>().as_ptr(), len)
        }
    }
}

impl Drop for Thin {
    fn drop(&mut self) {
        let layout = layout(self.len());
        // SAFETY: it was allocated with this layout, and nobody has it any more.
        unsafe { dealloc(self.0.as_ptr().cast(), layout) }
    }
}

impl Clone for Thin {
    fn clone(&self) -> Thin {
        Thin::of(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_come_back_also_from_a_clone_and_from_another_thread() {
        for len in (0..70).chain([4096, 100_000]) {
            let bytes: Vec<u8> = (0..len).map(|at: u32| at as u8).collect();
            let thin = Thin::of(&bytes);
            let clone = thin.clone();
            assert_eq!(*thin, bytes);
            drop(thin);
            let back = std::thread::spawn(move || clone.to_vec()).join().unwrap();
            assert_eq!(back, bytes);
        }
    }
}
