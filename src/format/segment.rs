//! The first block of a segment. It fits one 512-byte sector, so no disk can tear it.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `SDIRLOG\0` |
//! | 8 | 2 | version |
//! | 10 | 2 | zero |
//! | 12 | 4 | compatible features |
//! | 16 | 4 | incompatible features |
//! | 20 | 4 | zero |
//! | 24 | 16 | cluster |
//! | 40 | 16 | incarnation |
//! | 56 | 8 | epoch |
//! | 64 | 8 | ordinal |
//! | 72 | 8 | nonce |
//! | 80 | 8 | created, nanoseconds |
//! | 88 | 8 | bytes prewritten, this block included |
//! | 96 | 4 | CRC-32 of bytes 0..96 |
//!
//! Groups follow from offset 4,096 on.

use crate::base::{Cursor, Epoch, Id, Nanos, SegmentId};
use crate::format::{FormatError, VERSION, check, check_magic, check_version, checksum};

/// The magic bytes of a segment.
pub const MAGIC: &[u8; 8] = b"SDIRLOG\0";

/// Bytes of the encoded header.
pub const HEADER_LEN: usize = 100;

/// Where the first group starts.
pub const FIRST_GROUP: u64 = 4096;

const _: () = assert!(HEADER_LEN <= 512);

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The cluster that the state belongs to.
    pub cluster: Id,
    /// The history that the segment belongs to.
    pub incarnation: Id,
    /// Epoch and ordinal, as in the file's name.
    pub id: SegmentId,
    /// Random; seeds every group's checksum, so that no stored value can imitate a group.
    pub nonce: u64,
    /// When the file was made.
    pub created: Nanos,
    /// Bytes written with zeros beforehand, the header's block included.
    pub prewritten: u64,
}

impl SegmentHeader {
    /// The encoded header.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.cluster.0);
        bytes[40..56].copy_from_slice(&self.incarnation.0);
        bytes[56..64].copy_from_slice(&self.id.epoch.0.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.id.ordinal.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[80..88].copy_from_slice(&self.created.0.to_le_bytes());
        bytes[88..96].copy_from_slice(&self.prewritten.to_le_bytes());
        let crc = checksum(0, &bytes[..96]);
        bytes[96..100].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`FormatError::Blank`] for zeros (prepared, never used), else what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, FormatError> {
        let mut cursor = Cursor::new(bytes);
        let raw = cursor.bytes(HEADER_LEN)?;
        if raw.iter().all(|byte| *byte == 0) {
            return Err(FormatError::Blank);
        }
        let mut cursor = Cursor::new(raw);
        check_magic(cursor.array()?, MAGIC)?;
        let version = cursor.u16()?;
        cursor.u16()?;
        cursor.u32()?;
        let incompat = cursor.u32()?;
        cursor.u32()?;
        let header = SegmentHeader {
            cluster: Id(cursor.array()?),
            incarnation: Id(cursor.array()?),
            id: SegmentId { epoch: Epoch(cursor.u64()?), ordinal: cursor.u64()? },
            nonce: cursor.u64()?,
            created: Nanos(cursor.u64()?),
            prewritten: cursor.u64()?,
        };
        check(0, &raw[..96], cursor.u32()?)?;
        check_version(version, incompat)?;
        Ok(header)
    }

    /// The seed of the checksums of a group at `offset`: incarnation, nonce and place.
    #[must_use]
    pub fn seed(&self, offset: u64) -> u32 {
        let seed = checksum(0, &self.incarnation.0);
        let seed = checksum(seed, &self.nonce.to_le_bytes());
        checksum(seed, &offset.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            cluster: Id([1; 16]),
            incarnation: Id([2; 16]),
            id: SegmentId { epoch: Epoch(3), ordinal: 4 },
            nonce: 5,
            created: Nanos(6),
            prewritten: 7,
        }
    }

    #[test]
    fn header_reads_back() {
        assert_eq!(SegmentHeader::decode(&header().encode()), Ok(header()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for bit in 0..HEADER_LEN * 8 {
            let mut bytes = header().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn newer_format_is_refused_by_name() {
        let mut bytes = header().encode();
        bytes[16] = 1;
        let crc = checksum(0, &bytes[..96]);
        bytes[96..].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(
            SegmentHeader::decode(&bytes),
            Err(FormatError::TooNew { version: 1, incompat: 1 })
        ));
    }

    #[test]
    fn zeros_are_blank_and_prefixes_are_short() {
        assert_eq!(SegmentHeader::decode(&[0; 512]), Err(FormatError::Blank));
        for len in 0..HEADER_LEN {
            assert!(SegmentHeader::decode(&header().encode()[..len]).is_err());
        }
    }

    #[test]
    fn seed_depends_on_place_nonce_and_incarnation() {
        let one = header();
        assert_ne!(one.seed(4096), one.seed(8192));
        assert_ne!(one.seed(4096), SegmentHeader { nonce: 9, ..one }.seed(4096));
        assert_ne!(one.seed(4096), SegmentHeader { incarnation: Id([9; 16]), ..one }.seed(4096));
    }
}
