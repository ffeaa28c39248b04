//! The control file: two slots in separate 4,096-byte blocks, written alternately, never both
//! at once. The valid slot with the greater sequence number holds.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `SDIRCTL\0` |
//! | 8 | 2 | version |
//! | 10 | 2 | zero |
//! | 12 | 4 | compatible features |
//! | 16 | 4 | incompatible features: bit 0, several hosts may write the directory |
//! | 20 | 4 | zero |
//! | 24 | 8 | sequence number; the slot is its lowest bit |
//! | 32 | 16 | cluster |
//! | 48 | 16 | incarnation |
//! | 64 | 8 | epoch |
//! | 72 | 8 | watermark: last LSN flushed and confirmed |
//! | 80 | 8 | written, nanoseconds, by the kernel's coarse clock |
//! | 88 | 2 | bytes of file handle |
//! | 90 | 2 | number of ancestors |
//! | 92 | 4 | flags: bit 0, a replica's directory (groups come from another primary) |
//! | 96 | 136 | file handle of the original, zero-padded |
//! | 232 | 24 × 64 | ancestors: incarnation, last epoch |
//! | 4092 | 4 | CRC-32 of bytes 0..4092 |

use crate::base::{Cursor, Epoch, Id, Lsn, Nanos};
use crate::format::{FormatError, VERSION, check, check_magic, check_version, checksum};

/// The magic bytes of a slot.
pub const MAGIC: &[u8; 8] = b"SDIRCTL\0";

/// Bytes of a slot.
pub const SLOT_LEN: usize = 4096;

/// Bytes of the control file.
pub const FILE_LEN: usize = 2 * SLOT_LEN;

/// Most bytes of a file handle: the kernel's MAX_HANDLE_SZ and the handle's type.
pub const HANDLE_MAX: usize = 136;

/// Most adoptions that a directory remembers while files of theirs are in it.
pub const ANCESTORS_MAX: usize = 64;

/// The incompatible feature of a directory that several hosts may write, as its register says.
pub const SHARED: u32 = 1;

const HANDLE_AT: usize = 96;
const ANCESTORS_AT: usize = HANDLE_AT + HANDLE_MAX;
const ANCESTOR_LEN: usize = 24;
const CRC_AT: usize = SLOT_LEN - 4;

const _: () = assert!(ANCESTORS_AT + ANCESTORS_MAX * ANCESTOR_LEN <= CRC_AT);

/// An older history that this one continues: files of it, up to an epoch, belong here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// The older incarnation.
    pub incarnation: Id,
    /// Its last epoch that counts here.
    pub last_epoch: Epoch,
}

/// What the control file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Grows by one with each write.
    pub sequence: u64,
    /// The cluster that the state belongs to.
    pub cluster: Id,
    /// The identity of this directory's history.
    pub incarnation: Id,
    /// The epoch of the last writer.
    pub epoch: Epoch,
    /// The last LSN flushed and confirmed.
    pub watermark: Lsn,
    /// Whether this directory takes its groups from another primary: watermarks inside groups then
    /// speak of the primary's disk, not of this one.
    pub replica: bool,
    /// Whether several hosts may write this directory: nobody does without the register's leave,
    /// and each epoch has a control file of its own.
    pub shared: bool,
    /// When the slot was written, by the clock that stamps files.
    pub written: Nanos,
    /// The kernel's handle of the file that this was written to; empty where there is none.
    pub handle: Vec<u8>,
    /// Older histories, oldest first.
    pub ancestors: Vec<Ancestor>,
}

impl Control {
    /// Where in the file this is written.
    #[must_use]
    pub fn offset(&self) -> u64 {
        (self.sequence % 2) * SLOT_LEN as u64
    }

    /// The encoded slot.
    ///
    /// # Panics
    /// If the handle or the list of ancestors is longer than the layout: both are bounded before.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.handle.len() <= HANDLE_MAX && self.ancestors.len() <= ANCESTORS_MAX);
        let mut bytes = vec![0; SLOT_LEN];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..20].copy_from_slice(&(u32::from(self.shared) * SHARED).to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.cluster.0);
        bytes[48..64].copy_from_slice(&self.incarnation.0);
        bytes[64..72].copy_from_slice(&self.epoch.0.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.watermark.0.to_le_bytes());
        bytes[80..88].copy_from_slice(&self.written.0.to_le_bytes());
        bytes[88] = u8::try_from(self.handle.len()).expect("bounded above");
        bytes[90] = u8::try_from(self.ancestors.len()).expect("bounded above");
        bytes[92] = u8::from(self.replica);
        bytes[HANDLE_AT..HANDLE_AT + self.handle.len()].copy_from_slice(&self.handle);
        for (slot, ancestor) in bytes[ANCESTORS_AT..].chunks_mut(ANCESTOR_LEN).zip(&self.ancestors)
        {
            slot[..16].copy_from_slice(&ancestor.incarnation.0);
            slot[16..].copy_from_slice(&ancestor.last_epoch.0.to_le_bytes());
        }
        let crc = checksum(0, &bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads one slot.
    ///
    /// # Errors
    /// [`FormatError`]: what does not fit.
    pub fn decode(bytes: &[u8]) -> Result<Control, FormatError> {
        let raw = Cursor::new(bytes).bytes(SLOT_LEN)?;
        if raw.iter().all(|byte| *byte == 0) {
            return Err(FormatError::Blank);
        }
        let mut cursor = Cursor::new(raw);
        check_magic(cursor.array()?, MAGIC)?;
        check(0, &raw[..CRC_AT], Cursor::new(&raw[CRC_AT..]).u32()?)?;
        let version = cursor.u16()?;
        cursor.u16()?;
        cursor.u32()?;
        let incompat = cursor.u32()?;
        check_version(version, incompat & !SHARED)?;
        cursor.u32()?;
        let sequence = cursor.u64()?;
        let cluster = Id(cursor.array()?);
        let incarnation = Id(cursor.array()?);
        let epoch = Epoch(cursor.u64()?);
        let watermark = Lsn(cursor.u64()?);
        let written = Nanos(cursor.u64()?);
        let handle_len = usize::from(cursor.u16()?);
        let ancestors_len = usize::from(cursor.u16()?);
        let flags = cursor.u32()?;
        if flags > 1 {
            return Err(FormatError::Field("flags"));
        }
        if handle_len > HANDLE_MAX {
            return Err(FormatError::Field("handle length"));
        }
        if ancestors_len > ANCESTORS_MAX {
            return Err(FormatError::Field("ancestors"));
        }
        let handle = raw[HANDLE_AT..HANDLE_AT + handle_len].to_vec();
        let mut cursor = Cursor::new(&raw[ANCESTORS_AT..]);
        let mut ancestors = Vec::with_capacity(ancestors_len);
        for _ in 0..ancestors_len {
            let incarnation = Id(cursor.array()?);
            ancestors.push(Ancestor { incarnation, last_epoch: Epoch(cursor.u64()?) });
        }
        Ok(Control {
            sequence,
            cluster,
            incarnation,
            epoch,
            watermark,
            replica: flags == 1,
            shared: incompat & SHARED != 0,
            written,
            handle,
            ancestors,
        })
    }
}

/// Both slots of a control file, newest first: what each says, or why it says nothing. A slot
/// whose sequence number belongs to the other place is no slot.
pub fn slots(file: &[u8]) -> [Result<Control, FormatError>; 2] {
    let slot = |index: usize| {
        let bytes = file.get(index * SLOT_LEN..).unwrap_or(&[]);
        let control = Control::decode(bytes)?;
        if control.sequence % 2 != index as u64 {
            return Err(FormatError::Field("sequence"));
        }
        Ok(control)
    };
    let (even, odd) = (slot(0), slot(1));
    let sequence = |slot: &Result<Control, FormatError>| slot.as_ref().ok().map(|c| c.sequence);
    if sequence(&odd) > sequence(&even) { [odd, even] } else { [even, odd] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(sequence: u64) -> Control {
        Control {
            sequence,
            cluster: Id([1; 16]),
            incarnation: Id([2; 16]),
            epoch: Epoch(3),
            watermark: Lsn(4),
            replica: true,
            shared: true,
            written: Nanos(5),
            handle: vec![6; 20],
            ancestors: vec![Ancestor { incarnation: Id([7; 16]), last_epoch: Epoch(8) }; 64],
        }
    }

    #[test]
    fn slot_reads_back_and_every_flipped_bit_is_noticed() {
        let bytes = control(1).encode();
        assert_eq!(Control::decode(&bytes), Ok(control(1)));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Control::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn newest_good_slot_comes_first() {
        let mut file = [control(4).encode(), control(5).encode()].concat();
        assert_eq!(slots(&file)[0], Ok(control(5)));
        file[SLOT_LEN] ^= 1;
        assert_eq!(slots(&file)[0], Ok(control(4)));
        assert!(slots(&file)[1].is_err());
        assert!(slots(&[])[0].is_err());
    }

    #[test]
    fn slot_in_the_other_place_is_none() {
        let file = [control(5).encode(), control(4).encode()].concat();
        assert!(slots(&file).iter().all(Result::is_err));
    }
}
