//! The saves of a group, for those who keep them after it was written.

use crate::base::limits::GROUP_TARGET;
use crate::disk::AlignedBuf;
use crate::format::group::HEADER_LEN;
use crate::log::Buffers;
use std::ops::Deref;
use std::sync::Arc;

/// The encoded saves of one group, in memory for as long as one of their values is.
#[derive(Clone, Debug)]
pub enum Payload {
    /// A copy, without the group's header and padding.
    Copy(Vec<u8>),
    /// The buffer that was written, shared: its saves begin at `start` and take `len` bytes.
    Shared {
        /// A whole group.
        buffer: Arc<AlignedBuf>,
        /// Bytes of its header.
        start: usize,
        /// Bytes of its saves.
        len: usize,
    },
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Payload::Copy(bytes) => bytes,
            Payload::Shared { buffer, start, len } => &buffer[*start..][..*len],
        }
    }
}

/// A group of fewer bytes is copied by whoever wrote it, so that its buffer is free at once.
const COPY_NOW: usize = 16 << 10;

/// The saves of a group that was just written: copying them can wait until they are applied, which
/// somebody else does while the next group is written.
#[derive(Debug)]
pub enum Written {
    /// A small group, copied.
    Copied(Vec<u8>),
    /// The buffer that was written, and how long header and saves in it are.
    Buffer(Arc<AlignedBuf>, usize),
}

impl Written {
    /// The `whole` bytes of header and saves at the start of `buffer`.
    #[must_use]
    pub fn of(buffer: Arc<AlignedBuf>, whole: usize, buffers: &Buffers) -> Written {
        if whole >= COPY_NOW {
            return Written::Buffer(buffer, whole);
        }
        let copy = buffer[HEADER_LEN..whole].to_vec();
        buffers.give_back(buffer);
        Written::Copied(copy)
    }

    /// The saves, to be kept. A very large group's buffer is kept itself, others are given back.
    #[must_use]
    pub fn keep(self, buffers: &Buffers) -> Payload {
        match self {
            Written::Copied(bytes) => Payload::Copy(bytes),
            Written::Buffer(buffer, whole) if whole > GROUP_TARGET => {
                Payload::Shared { buffer, start: HEADER_LEN, len: whole - HEADER_LEN }
            }
            Written::Buffer(buffer, whole) => {
                let copy = buffer[HEADER_LEN..whole].to_vec();
                buffers.give_back(buffer);
                Payload::Copy(copy)
            }
        }
    }
}
