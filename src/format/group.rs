//! What one flush writes: a header, then the saves, padded with zeros to 4,096 bytes.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | magic `SGRP` |
//! | 4 | 1 | kind: 1 saves, 2 start of an epoch |
//! | 5 | 3 | zero |
//! | 8 | 4 | bytes of payload |
//! | 12 | 4 | number of saves |
//! | 16 | 8 | epoch |
//! | 24 | 8 | LSN of the first save (without saves: of the next one) |
//! | 32 | 8 | time, nanoseconds, never less than the predecessor's |
//! | 40 | 8 | watermark: the last LSN known flushed and confirmed when this group was written |
//! | 48 | 16 | chain up to the predecessor |
//! | 64 | 4 | CRC-32 of the payload, seeded |
//! | 68 | 4 | CRC-32 of bytes 0..68, seeded |
//! | 72 | … | payload |
//!
//! Both checksums are seeded with incarnation, nonce and offset
//! ([`SegmentHeader::seed`](crate::format::SegmentHeader::seed)). A group's own link is
//! BLAKE3-128 of its header and payload.
//!
//! The payload of kind 2 is the seal of the predecessor:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | epoch of the segment where the older history ends (0: there is none) |
//! | 8 | 8 | its ordinal |
//! | 16 | 8 | offset where it ends |
//! | 24 | 8 | its last LSN |
//! | 32 | 16 | the chain there |
//! | 48 | 16 | incarnation of the older history |

use crate::base::limits::SAVE_MAX;
use crate::base::{Chain, Cursor, Epoch, Id, Lsn, Nanos, SegmentId};
use crate::format::batch::{BATCH_HEADER, Ops};
use crate::format::{FormatError, align_up, check, checksum};

/// The magic bytes of a group.
pub const MAGIC: [u8; 4] = *b"SGRP";

/// Bytes of the encoded header.
pub const HEADER_LEN: usize = 72;

/// Bytes of a seal.
pub const SEAL_LEN: usize = 64;

/// Most bytes of payload: the largest save, or smaller ones up to the target.
pub const PAYLOAD_MAX: usize = SAVE_MAX;

/// What a group holds. Zero is never valid: prewritten segments are zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Saves.
    Saves = 1,
    /// The start of an epoch: the seal of what came before.
    EpochStart = 2,
}

/// The header of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// What the payload is.
    pub kind: Kind,
    /// Bytes of payload.
    pub payload_len: u32,
    /// Number of saves.
    pub saves: u32,
    /// The writer's epoch.
    pub epoch: Epoch,
    /// LSN of the first save; without saves, of the next one.
    pub first_lsn: Lsn,
    /// When the group was put together.
    pub time: Nanos,
    /// The last LSN known flushed and confirmed when this group was written.
    pub watermark: Lsn,
    /// The chain up to the predecessor.
    pub prev: Chain,
}

impl GroupHeader {
    /// LSN of the last save up to the end of this group.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        Lsn(self.first_lsn.0 + u64::from(self.saves) - 1)
    }

    /// Bytes on disk, padding included.
    #[must_use]
    pub fn disk_len(&self) -> u64 {
        align_up(HEADER_LEN as u64 + u64::from(self.payload_len))
    }

    /// Writes header and checksums into the first [`HEADER_LEN`] bytes of `group`, whose payload
    /// follows there already.
    ///
    /// # Panics
    /// If `group` is shorter than header and payload.
    pub fn encode_into(&self, seed: u32, group: &mut [u8]) {
        assert!(self.first_lsn.0 >= 1, "LSNs count from 1");
        let (head, payload) = group.split_at_mut(HEADER_LEN);
        let payload_crc = checksum(seed, &payload[..self.payload_len as usize]);
        head[0..4].copy_from_slice(&MAGIC);
        head[4] = self.kind as u8;
        head[5..8].fill(0);
        head[8..12].copy_from_slice(&self.payload_len.to_le_bytes());
        head[12..16].copy_from_slice(&self.saves.to_le_bytes());
        head[16..24].copy_from_slice(&self.epoch.0.to_le_bytes());
        head[24..32].copy_from_slice(&self.first_lsn.0.to_le_bytes());
        head[32..40].copy_from_slice(&self.time.0.to_le_bytes());
        head[40..48].copy_from_slice(&self.watermark.0.to_le_bytes());
        head[48..64].copy_from_slice(&self.prev.0);
        head[64..68].copy_from_slice(&payload_crc.to_le_bytes());
        let head_crc = checksum(seed, &head[..68]);
        head[68..72].copy_from_slice(&head_crc.to_le_bytes());
    }

    /// Reads a header: its length can be believed, its payload not yet.
    ///
    /// # Errors
    /// [`FormatError::Blank`] where the magic is zero: nothing was written here.
    pub fn decode(seed: u32, bytes: &[u8]) -> Result<UncheckedGroup, FormatError> {
        let raw = Cursor::new(bytes).bytes(HEADER_LEN)?;
        if raw.iter().all(|byte| *byte == 0) {
            return Err(FormatError::Blank);
        }
        let mut cursor = Cursor::new(raw);
        let magic: [u8; 4] = cursor.array()?;
        if magic != MAGIC {
            return Err(FormatError::Magic(u64::from(u32::from_le_bytes(magic))));
        }
        let stored = u32::from_le_bytes([raw[68], raw[69], raw[70], raw[71]]);
        check(seed, &raw[..68], stored)?;
        let (header, payload_crc) = GroupHeader::fields(cursor)?;
        Ok(UncheckedGroup { header, seed, payload_crc })
    }

    /// Reads what follows the magic: the header, and the checksum of the payload.
    fn fields(mut cursor: Cursor<'_>) -> Result<(GroupHeader, u32), FormatError> {
        let kind = match cursor.u8()? {
            1 => Kind::Saves,
            2 => Kind::EpochStart,
            _ => return Err(FormatError::Field("group kind")),
        };
        if cursor.bytes(3)? != [0; 3] {
            return Err(FormatError::Field("group reserved"));
        }
        let header = GroupHeader {
            kind,
            payload_len: cursor.u32()?,
            saves: cursor.u32()?,
            epoch: Epoch(cursor.u64()?),
            first_lsn: Lsn(cursor.u64()?),
            time: Nanos(cursor.u64()?),
            watermark: Lsn(cursor.u64()?),
            prev: Chain(cursor.array()?),
        };
        header.check_meaning()?;
        Ok((header, cursor.u32()?))
    }

    fn check_meaning(&self) -> Result<(), FormatError> {
        let payload_len = self.payload_len as usize;
        if payload_len > PAYLOAD_MAX {
            return Err(FormatError::Field("payload length"));
        }
        if self.first_lsn.0 == 0 || self.first_lsn.0.checked_add(u64::from(self.saves)).is_none() {
            return Err(FormatError::Field("first lsn"));
        }
        if self.watermark >= self.first_lsn {
            return Err(FormatError::Field("watermark"));
        }
        let fits = match self.kind {
            Kind::Saves => self.saves >= 1 && self.saves as usize <= payload_len / BATCH_HEADER,
            Kind::EpochStart => self.saves == 0 && payload_len == SEAL_LEN,
        };
        if fits { Ok(()) } else { Err(FormatError::Field("saves")) }
    }
}

/// A group whose header is good, and whose payload has not been looked at.
#[derive(Clone, Copy, Debug)]
pub struct UncheckedGroup {
    /// The header.
    pub header: GroupHeader,
    seed: u32,
    payload_crc: u32,
}

impl UncheckedGroup {
    /// Checks the payload of a group whose bytes begin at its header.
    ///
    /// # Errors
    /// [`FormatError`] if it ends early, or the checksum or a save's frame does not fit.
    pub fn verify(&self, bytes: &[u8]) -> Result<Verified, FormatError> {
        let verified = Verified { header: self.header };
        let mut cursor = Cursor::new(bytes);
        cursor.bytes(HEADER_LEN)?;
        let payload = cursor.bytes(self.header.payload_len as usize)?;
        check(self.seed, payload, self.payload_crc)?;
        verified.group(bytes).check_frames()?;
        Ok(verified)
    }
}

/// The knowledge that the bytes at some place are a whole group: it is checked once, and can be
/// looked at again while they stay.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    /// The header.
    pub header: GroupHeader,
}

impl Verified {
    /// The group in `bytes`.
    ///
    /// # Panics
    /// If these are not the bytes that were verified.
    #[must_use]
    pub fn group<'a>(&self, bytes: &'a [u8]) -> Group<'a> {
        let (head, rest) = bytes.split_at(HEADER_LEN);
        Group { header: self.header, head, payload: &rest[..self.header.payload_len as usize] }
    }
}

/// A whole group with good checksums.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// The header.
    pub header: GroupHeader,
    head: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Group<'a> {
    /// Reads and checks a whole group.
    ///
    /// # Errors
    /// [`FormatError`]: what does not fit.
    pub fn decode(seed: u32, bytes: &'a [u8]) -> Result<Group<'a>, FormatError> {
        Ok(GroupHeader::decode(seed, bytes)?.verify(bytes)?.group(bytes))
    }

    /// Reads the first of groups that were taken out of their segment and put one behind the
    /// other, without padding; gives what follows it, too. Its checksums speak of the place where
    /// it stood: they are not compared, so that other checksums must vouch for `bytes`.
    ///
    /// # Errors
    /// [`FormatError`] if it ends early, or a field or a save's frame does not fit.
    pub fn unpack(bytes: &'a [u8]) -> Result<(Group<'a>, &'a [u8]), FormatError> {
        let mut whole = Cursor::new(bytes);
        let head = whole.bytes(HEADER_LEN)?;
        let mut cursor = Cursor::new(head);
        let magic: [u8; 4] = cursor.array()?;
        if magic != MAGIC {
            return Err(FormatError::Magic(u64::from(u32::from_le_bytes(magic))));
        }
        let (header, _) = GroupHeader::fields(cursor)?;
        let payload = whole.bytes(header.payload_len as usize)?;
        let group = Group { header, head, payload };
        group.check_frames()?;
        Ok((group, whole.rest()))
    }

    /// The header's bytes.
    #[must_use]
    pub fn head(&self) -> &'a [u8] {
        self.head
    }

    /// The bytes after the header.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The chain up to the end of this group.
    #[must_use]
    pub fn link(&self) -> Chain {
        Chain::of(self.head, self.payload)
    }

    /// The saves with their LSNs.
    pub fn saves(&self) -> impl Iterator<Item = (Lsn, Ops<'a>)> + use<'a> {
        let mut rest = self.payload;
        let count = if self.header.kind == Kind::Saves { u64::from(self.header.saves) } else { 0 };
        let first = self.header.first_lsn;
        (0..count).map(move |i| {
            let (ops, after) = Ops::split(rest).expect("frames were checked by verify");
            rest = after;
            (first.plus(i), ops)
        })
    }

    /// The seal, if this group starts an epoch.
    #[must_use]
    pub fn seal(&self) -> Option<Seal> {
        (self.header.kind == Kind::EpochStart)
            .then(|| Seal::decode(self.payload).expect("length was checked by the header"))
    }

    /// Every save's frame fits, its ops are well formed, and nothing is left over.
    fn check_frames(&self) -> Result<(), FormatError> {
        if self.header.kind != Kind::Saves {
            return Ok(());
        }
        let mut rest = self.payload;
        for _ in 0..self.header.saves {
            let (mut ops, after) = Ops::split(rest)?;
            ops.try_for_each(|op| op.map(|_| ()))?;
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err(FormatError::Field("payload length")) }
    }
}

/// Where the history of the epochs before ends; groups of theirs beyond it are orphans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seal {
    /// The segment where it ends (all zero: there was none).
    pub segment: SegmentId,
    /// The offset after its last group.
    pub offset: u64,
    /// Its last LSN.
    pub lsn: Lsn,
    /// The chain there.
    pub chain: Chain,
    /// The incarnation that wrote it.
    pub incarnation: Id,
}

impl Seal {
    /// The encoded seal.
    #[must_use]
    pub fn encode(&self) -> [u8; SEAL_LEN] {
        let mut bytes = [0; SEAL_LEN];
        bytes[0..8].copy_from_slice(&self.segment.epoch.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.segment.ordinal.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.lsn.0.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.chain.0);
        bytes[48..64].copy_from_slice(&self.incarnation.0);
        bytes
    }

    /// Reads a seal.
    ///
    /// # Errors
    /// [`FormatError::Short`].
    pub fn decode(bytes: &[u8]) -> Result<Seal, FormatError> {
        let mut cursor = Cursor::new(bytes);
        Ok(Seal {
            segment: SegmentId { epoch: Epoch(cursor.u64()?), ordinal: cursor.u64()? },
            offset: cursor.u64()?,
            lsn: Lsn(cursor.u64()?),
            chain: Chain(cursor.array()?),
            incarnation: Id(cursor.array()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Batch;

    fn saves(count: u32) -> (GroupHeader, Vec<u8>) {
        let mut group = vec![0; HEADER_LEN];
        for i in 0..count {
            let mut batch = Batch::new();
            batch.put("jobs", &i.to_le_bytes(), b"value").unwrap();
            group.extend(batch.encode());
        }
        let header = GroupHeader {
            kind: Kind::Saves,
            payload_len: u32::try_from(group.len() - HEADER_LEN).unwrap(),
            saves: count,
            epoch: Epoch(1),
            first_lsn: Lsn(10),
            time: Nanos(5),
            watermark: Lsn(9),
            prev: Chain([3; 16]),
        };
        header.encode_into(77, &mut group);
        (header, group)
    }

    #[test]
    fn group_reads_back_with_its_saves() {
        let (header, bytes) = saves(3);
        let group = Group::decode(77, &bytes).unwrap();
        assert_eq!(group.header, header);
        assert_eq!(group.saves().map(|(lsn, _)| lsn.0).collect::<Vec<_>>(), [10, 11, 12]);
        assert_eq!(header.last_lsn(), Lsn(12));
        assert_eq!(header.disk_len(), 4096);
    }

    #[test]
    fn every_flipped_bit_and_every_prefix_is_noticed() {
        let (_, bytes) = saves(2);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Group::decode(77, &damaged).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Group::decode(77, &bytes[..len]).is_err(), "prefix {len}");
        }
    }

    #[test]
    fn group_of_another_place_is_not_believed() {
        assert!(Group::decode(78, &saves(1).1).is_err());
    }

    #[test]
    fn seal_reads_back() {
        let seal = Seal {
            segment: SegmentId { epoch: Epoch(1), ordinal: 2 },
            offset: 8192,
            lsn: Lsn(4),
            chain: Chain([5; 16]),
            incarnation: Id([6; 16]),
        };
        assert_eq!(Seal::decode(&seal.encode()), Ok(seal));
    }
}
