//! The saves of a group, for those who keep them after it was written.

use crate::disk::AlignedBuf;
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
