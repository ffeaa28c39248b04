//! Buffers that have held a group and are warm for the next one: memory that is touched for the
//! first time costs a page fault for every 4 KiB, which the saver would pay.
//!
//! Invariant: what is kept is bounded in bytes.

use crate::base::limits::GROUP_TARGET;
use crate::disk::AlignedBuf;
use std::sync::{Arc, Mutex};

/// Bytes that are kept at most.
const KEPT: usize = 4 * GROUP_TARGET;

/// Spare buffers.
#[derive(Debug, Default)]
pub struct Buffers(Mutex<Vec<AlignedBuf>>);

impl Buffers {
    /// A buffer for the next group, warm if there is one.
    #[must_use]
    pub fn take(&self) -> AlignedBuf {
        self.0.lock().expect("no panic under this lock").pop().unwrap_or_default()
    }

    /// Keeps `buffer` for later, unless others still hold it or enough is kept.
    pub fn give_back(&self, buffer: Arc<AlignedBuf>) {
        let Some(mut buffer) = Arc::into_inner(buffer) else { return };
        let mut kept = self.0.lock().expect("no panic under this lock");
        if buffer.capacity() + kept.iter().map(AlignedBuf::capacity).sum::<usize>() <= KEPT {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_warm_and_empty_and_are_bounded() {
        let buffers = Buffers::default();
        let mut used = AlignedBuf::with_capacity(1 << 20);
        used.extend_from_slice(b"a group");
        let used = Arc::new(used);
        let held = Arc::clone(&used);
        buffers.give_back(used);
        assert_eq!(buffers.take().capacity(), 0, "held by somebody: not to be written again");
        buffers.give_back(held);
        let warm = buffers.take();
        assert!(warm.capacity() >= 1 << 20 && warm.is_empty());
        for _ in 0..100 {
            buffers.give_back(Arc::new(AlignedBuf::with_capacity(1 << 20)));
        }
        let kept: usize = std::iter::repeat_with(|| buffers.take().capacity())
            .take_while(|bytes| *bytes > 0)
            .sum();
        assert!(kept <= KEPT);
    }
}
