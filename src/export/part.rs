//! A part of a backup: groups of the log, one behind the other, each as it stood there but for the
//! padding.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `SDIRPRT\0` |
//! | 8 | 2 | version |
//! | 10 | 2 | zero |
//! | 12 | 4 | compatible features |
//! | 16 | 4 | incompatible features |
//! | 20 | 4 | zero |
//! | 24 | 16 | cluster |
//! | 40 | 8 | the LSN before the first group |
//! | 48 | 16 | the chain there |
//! | 64 | 4 | CRC-32 of bytes 0..64 |
//! | 68 | … | groups: header and payload |
//!
//! The groups' own checksums speak of the place where they stood in the log, and are not compared:
//! the manifest's digest covers every byte of a part, and the chain links group to group.

use crate::base::{Chain, Cursor, Id, Lsn};
use crate::format::{FormatError, Group, VERSION, checksum};

/// The magic bytes of a part.
pub const MAGIC: &[u8; 8] = b"SDIRPRT\0";

/// Bytes of the encoded header.
pub const HEADER_LEN: usize = 68;

/// What a part says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartHeader {
    /// The cluster that the state belongs to.
    pub cluster: Id,
    /// The LSN before the first group.
    pub after: Lsn,
    /// The chain there.
    pub chain: Chain,
}

impl PartHeader {
    /// The encoded header.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.cluster.0);
        bytes[40..48].copy_from_slice(&self.after.0.to_le_bytes());
        bytes[48..64].copy_from_slice(&self.chain.0);
        let crc = checksum(0, &bytes[..64]);
        bytes[64..68].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; gives the groups' bytes, too.
    ///
    /// # Errors
    /// What is wrong.
    pub fn decode(bytes: &[u8]) -> Result<(PartHeader, &[u8]), FormatError> {
        let mut cursor = Cursor::new(bytes);
        let raw = cursor.bytes(HEADER_LEN)?;
        let mut fields = Cursor::new(raw);
        let magic: [u8; 8] = fields.array()?;
        if magic != *MAGIC {
            return Err(FormatError::Magic(u64::from_le_bytes(magic)));
        }
        let version = fields.u16()?;
        fields.u16()?;
        fields.u32()?;
        let incompat = fields.u32()?;
        fields.u32()?;
        let header = PartHeader {
            cluster: Id(fields.array()?),
            after: Lsn(fields.u64()?),
            chain: Chain(fields.array()?),
        };
        let (stored, computed) = (fields.u32()?, checksum(0, &raw[..64]));
        if stored != computed && !cfg!(fuzzing) {
            return Err(FormatError::Checksum { stored, computed });
        }
        if version != VERSION || incompat != 0 {
            return Err(FormatError::TooNew { version, incompat });
        }
        Ok((header, cursor.rest()))
    }
}

/// The groups in the bytes behind a part's header. Ends after the first error.
#[derive(Clone, Copy, Debug)]
pub struct Groups<'a>(pub &'a [u8]);

impl<'a> Iterator for Groups<'a> {
    type Item = Result<Group<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        match Group::unpack(self.0) {
            Ok((group, rest)) => {
                self.0 = rest;
                Some(Ok(group))
            }
            Err(error) => {
                self.0 = &[];
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let header =
            PartHeader { cluster: Id([7; 16]), after: Lsn(u64::MAX), chain: Chain([3; 16]) };
        let bytes = header.encode();
        assert_eq!(PartHeader::decode(&bytes), Ok((header, [].as_slice())));
        for bit in 0..HEADER_LEN * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(PartHeader::decode(&bytes).is_err(), "bit {bit}");
        }
        for len in 0..HEADER_LEN {
            assert!(PartHeader::decode(&bytes[..len]).is_err());
        }
    }
}
