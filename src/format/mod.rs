//! Bytes ↔ values of everything on disk. Pure: no I/O, no clocks. Decoders are total: any input
//! gives a value or an error, none panics, none allocates what a length field merely claims.
//!
//! The byte tables stand in the module docs and in `docs/format.md`; `tests/format_doc.rs`
//! compares the two. All integers are little-endian.
//!
//! Versions, newest first: **1** (2026): the first.

pub mod batch;
pub mod control;
pub mod group;
pub mod guard;
pub mod names;
pub mod register;
pub mod segment;
pub mod snapshot;

pub use batch::{Batch, BatchError, Op, Ops};
pub use control::{Ancestor, Control};
pub use group::{Group, GroupHeader, Kind, Seal};
pub use names::{FileName, TagName};
pub use register::{Beat, End, Host, Member, Reason, Reign};
pub use segment::SegmentHeader;
pub use snapshot::{SnapshotFooter, SnapshotHeader};

use crate::base::Short;

/// The format version that this build writes, and the newest that it reads.
pub const VERSION: u16 = 1;

/// Incompatible feature bits that this build understands: none yet.
pub const INCOMPAT_KNOWN: u32 = 0;

/// Why bytes are not what they should be. The caller adds file and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// All zeros: never written.
    #[error("never written (zeros)")]
    Blank,
    /// Another magic number.
    #[error("not this kind of record (magic {0:#018x})")]
    Magic(u64),
    /// The checksum does not fit the bytes.
    #[error("checksum stored {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// As it stands in the record.
        stored: u32,
        /// As it follows from the bytes.
        computed: u32,
    },
    /// Written by a newer statedir.
    #[error(
        "format version {version}, incompatible features {incompat:#x}: needs a newer statedir \
         (this one reads up to version {VERSION})"
    )]
    TooNew {
        /// The record's version.
        version: u16,
        /// The record's incompatible feature bits.
        incompat: u32,
    },
    /// A field has a value that no writer writes, under a good checksum.
    #[error("field {0} has an impossible value")]
    Field(&'static str),
    /// The record ends too early.
    #[error(transparent)]
    Short(#[from] Short),
}

/// CRC-32 (IEEE) of `bytes`, continuing from `seed`.
#[must_use]
pub fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// Rounds up to a multiple of [`BLOCK`](crate::base::limits::BLOCK).
#[must_use]
pub fn align_up(len: u64) -> u64 {
    len.next_multiple_of(crate::base::limits::BLOCK as u64)
}

fn check(seed: u32, bytes: &[u8], stored: u32) -> Result<(), FormatError> {
    let computed = checksum(seed, bytes);
    // A fuzzer cannot guess checksums: under cfg(fuzzing) they always fit.
    if cfg!(fuzzing) || stored == computed {
        Ok(())
    } else {
        Err(FormatError::Checksum { stored, computed })
    }
}

fn check_magic(magic: [u8; 8], expected: &[u8; 8]) -> Result<(), FormatError> {
    if magic == *expected { Ok(()) } else { Err(FormatError::Magic(u64::from_le_bytes(magic))) }
}

fn check_version(version: u16, incompat: u32) -> Result<(), FormatError> {
    if version == 0 {
        return Err(FormatError::Field("version"));
    }
    if version > VERSION || incompat & !INCOMPAT_KNOWN != 0 {
        return Err(FormatError::TooNew { version, incompat });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_is_the_ieee_one() {
        assert_eq!(checksum(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(checksum(checksum(0, b"12345"), b"6789"), 0xcbf4_3926);
    }
}
