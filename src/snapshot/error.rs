//! What can be wrong with a snapshot, with the facts that a repair needs.

use crate::base::{Epoch, Lsn};
use crate::format::FormatError;
use std::io;

/// Why a snapshot could not be written, opened or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file system refused: this says nothing about what is on disk.
    #[error("snapshot {name}: input or output failed")]
    Io {
        /// The file.
        name: String,
        /// Its answer.
        source: io::Error,
    },
    /// A finished snapshot of this name is there already; it was left alone.
    #[error("snapshot {name} exists")]
    Exists {
        /// The file.
        name: String,
    },
    /// The first sector is zeros: its writer did not get to publish it.
    #[error("snapshot {name} was never finished")]
    NotFinished {
        /// The file.
        name: String,
    },
    /// The device cannot read the bytes at this offset.
    #[error("snapshot {name}: the device cannot read offset {offset}")]
    Unreadable {
        /// The file.
        name: String,
        /// Where, or the closest that is known: the start of the chunk, or of what was read last.
        offset: u64,
    },
    /// Header or footer are not what a writer writes.
    #[error("snapshot {name}: offset {offset} does not hold what it should")]
    Format {
        /// The file.
        name: String,
        /// Where header or footer start.
        offset: u64,
        /// What does not fit.
        source: FormatError,
    },
    /// The header belongs to a snapshot of another name.
    #[error("snapshot {name} holds the state of epoch {epoch} at LSN {lsn}")]
    Name {
        /// The file.
        name: String,
        /// The epoch in its header.
        epoch: Epoch,
        /// The LSN in its header.
        lsn: Lsn,
    },
    /// The file is shorter than its header says.
    #[error("snapshot {name} ends at offset {len} instead of {expected}")]
    Truncated {
        /// The file.
        name: String,
        /// Its length.
        len: u64,
        /// The length by its header.
        expected: u64,
    },
    /// The checksum of a chunk does not fit its bytes.
    #[error(
        "snapshot {name}: chunk at offset {offset}: checksum stored {stored:#010x}, computed \
         {computed:#010x}"
    )]
    Chunk {
        /// The file.
        name: String,
        /// Where the chunk starts in the file.
        offset: u64,
        /// The checksum in the footer.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// A record that no writer writes, under a good checksum.
    #[error("snapshot {name}: impossible record at offset {offset}")]
    Record {
        /// The file.
        name: String,
        /// Where the record starts in the file.
        offset: u64,
    },
    /// Padding that is not zeros. What is read is not affected.
    #[error("snapshot {name}: padding at offset {offset} is not zero")]
    Padding {
        /// The file.
        name: String,
        /// The first such byte.
        offset: u64,
    },
}

impl SnapshotError {
    /// Whether the bytes in the file are wrong or lost. False for what may pass (the file system
    /// refused), for a file that never was a snapshot, and for one of a newer format.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Exists { .. } | Self::NotFinished { .. } => false,
            Self::Format { source, .. } => !matches!(source, FormatError::TooNew { .. }),
            Self::Unreadable { .. }
            | Self::Name { .. }
            | Self::Truncated { .. }
            | Self::Chunk { .. }
            | Self::Record { .. }
            | Self::Padding { .. } => true,
        }
    }

    /// Where in the file, as far as that says anything.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Unreadable { offset, .. }
            | Self::Format { offset, .. }
            | Self::Chunk { offset, .. }
            | Self::Record { offset, .. }
            | Self::Padding { offset, .. } => Some(*offset),
            Self::Truncated { len, .. } => Some(*len),
            Self::Io { .. }
            | Self::Exists { .. }
            | Self::NotFinished { .. }
            | Self::Name { .. } => None,
        }
    }

    /// The error of a call that wrote, or that only asked about the file.
    pub(super) fn io(name: &str, source: io::Error) -> SnapshotError {
        SnapshotError::Io { name: name.to_owned(), source }
    }

    /// The error of a read at `offset`: what the medium lost is damage, anything else may pass.
    pub(super) fn read(name: &str, offset: u64, source: io::Error) -> SnapshotError {
        // A bad sector, and what file systems say when their own checksums do not fit.
        let lost = [libc::EIO, libc::EBADMSG, libc::EUCLEAN];
        match source.raw_os_error() {
            Some(code) if lost.contains(&code) => {
                SnapshotError::Unreadable { name: name.to_owned(), offset }
            }
            _ => SnapshotError::io(name, source),
        }
    }
}
