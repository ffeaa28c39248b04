//! A growing buffer whose memory begins on a block, as `O_DIRECT` demands.
//!
//! Invariants: the address is a multiple of `BLOCK` however the buffer grew; no memory is read
//! that was not written; memory is kept by `clear`, and not zeroed again for the next use.

use crate::base::limits::BLOCK;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// One block of memory on its own boundary.
#[derive(Clone)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK]);

const _: () = assert!(size_of::<Block>() == BLOCK && align_of::<Block>() == BLOCK);

const ZEROS: Block = Block([0; BLOCK]);

/// Bytes in memory that begin on a multiple of 4,096.
#[derive(Clone, Default)]
pub struct AlignedBuf {
    blocks: Vec<Block>,
    len: usize,
}

impl AlignedBuf {
    /// An empty buffer that holds `bytes` bytes before it grows.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> AlignedBuf {
        AlignedBuf { blocks: Vec::with_capacity(bytes.div_ceil(BLOCK)), len: 0 }
    }

    /// `len` zeros.
    #[must_use]
    pub fn zeroed(len: usize) -> AlignedBuf {
        AlignedBuf { blocks: vec![ZEROS; len.div_ceil(BLOCK)], len }
    }

    /// Bytes that fit before the buffer grows.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.blocks.capacity() * BLOCK
    }

    /// Forgets the bytes; the memory stays for the next use.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes room for `additional` bytes more.
    pub fn reserve(&mut self, additional: usize) {
        let wanted = (self.len + additional).div_ceil(BLOCK);
        self.blocks.reserve(wanted.saturating_sub(self.blocks.len()));
    }

    /// Appends `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let start = self.len;
        self.set_len(start + bytes.len());
        self[start..].copy_from_slice(bytes);
    }

    /// Cuts to `len` bytes, or grows to them with zeros.
    pub fn resize(&mut self, len: usize) {
        let start = self.len;
        self.set_len(len);
        if let Some(new) = self.get_mut(start..) {
            new.fill(0);
        }
    }

    /// Appends zeros up to a multiple of 4,096.
    pub fn pad_to_block(&mut self) {
        self.resize(self.len.next_multiple_of(BLOCK));
    }

    /// Changes the length. New bytes are zeros or what stood there before `clear`.
    fn set_len(&mut self, len: usize) {
        let wanted = len.div_ceil(BLOCK);
        if wanted > self.blocks.len() {
            self.blocks.resize(wanted, ZEROS);
        }
        self.len = len;
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `set_len` keeps `len` within `blocks`, whose elements are plain initialised
        // bytes without padding.
        unsafe { std::slice::from_raw_parts(self.blocks.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.blocks.as_mut_ptr().cast(), self.len) }
    }
}

impl From<&[u8]> for AlignedBuf {
    fn from(bytes: &[u8]) -> AlignedBuf {
        let mut buf = AlignedBuf::with_capacity(bytes.len());
        buf.extend_from_slice(bytes);
        buf
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned(buf: &AlignedBuf) -> bool {
        buf.as_ptr().addr().is_multiple_of(BLOCK)
    }

    #[test]
    fn stays_aligned_and_keeps_its_bytes_while_it_grows() {
        let mut buf = AlignedBuf::default();
        assert!(aligned(&buf) && buf.is_empty());
        let mut plain = Vec::new();
        for round in 0..200_u8 {
            let piece = vec![round; usize::from(round) * 37];
            buf.extend_from_slice(&piece);
            plain.extend_from_slice(&piece);
            assert!(aligned(&buf));
        }
        assert_eq!(&*buf, plain);
        assert_eq!(&*buf.clone(), plain);
    }

    #[test]
    fn reused_memory_shows_nothing_of_its_past() {
        let mut buf = AlignedBuf::from([0xff; 10_000].as_slice());
        let (capacity, address) = (buf.capacity(), buf.as_ptr());
        buf.clear();
        buf.extend_from_slice(b"ab");
        buf.pad_to_block();
        assert_eq!(buf.len(), BLOCK);
        assert_eq!(&buf[..2], b"ab");
        assert!(buf[2..].iter().all(|byte| *byte == 0));
        buf.resize(9_000);
        assert!(buf[2..].iter().all(|byte| *byte == 0));
        assert_eq!((buf.capacity(), buf.as_ptr()), (capacity, address));
    }

    #[test]
    fn padding_a_whole_block_adds_nothing() {
        let mut buf = AlignedBuf::zeroed(2 * BLOCK);
        buf.pad_to_block();
        assert_eq!(buf.len(), 2 * BLOCK);
        buf.resize(5);
        assert_eq!(buf.len(), 5);
    }

    #[test]
    fn reserved_room_is_there_without_moving() {
        let mut buf = AlignedBuf::with_capacity(1);
        buf.reserve(100_000);
        buf.extend_from_slice(&[1]);
        let address = buf.as_ptr();
        buf.extend_from_slice(&[2; 99_999]);
        assert_eq!(buf.as_ptr(), address);
    }
}
