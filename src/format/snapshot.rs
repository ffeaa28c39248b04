//! A snapshot: the whole state at one LSN.
//!
//! The header fits one 512-byte sector, so no disk can tear it. It is written last: a snapshot
//! whose first sector is zeros was never finished.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `SDIRSNP\0` |
//! | 8 | 2 | version |
//! | 10 | 2 | zero |
//! | 12 | 4 | compatible features |
//! | 16 | 4 | incompatible features |
//! | 20 | 4 | bytes of a chunk (65,536) |
//! | 24 | 16 | cluster |
//! | 40 | 16 | incarnation |
//! | 56 | 8 | epoch of the writer |
//! | 64 | 8 | LSN of the state |
//! | 72 | 16 | chain at that LSN |
//! | 88 | 8 | time of the last group in it, nanoseconds |
//! | 96 | 8 | when it was made, nanoseconds |
//! | 104 | 8 | the log goes on in the segment of this epoch |
//! | 112 | 8 | with this ordinal |
//! | 120 | 8 | at this offset |
//! | 128 | 8 | bytes of records |
//! | 136 | 8 | bytes of footer |
//! | 144 | 8 | entries |
//! | 152 | 8 | bytes of keys and values |
//! | 160 | 4 | CRC-32 of the footer, seeded |
//! | 164 | 4 | CRC-32 of bytes 0..164 |
//!
//! Records start at offset 4,096: tables in bytewise order of their names, keys in bytewise
//! order. They are cut into chunks of 65,536 bytes, the last one ending with the last record. One
//! record:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 2 | bytes of key |
//! | 2 | 2 | zero |
//! | 4 | 4 | bytes of value |
//! | 8 | … | key, value |
//!
//! The footer follows the records at the next multiple of 4,096:
//!
//! | size | field |
//! |---|---|
//! | 4 | number of tables, then for each: |
//! | 1 + n | length and bytes of the name |
//! | 8 × 5 | entries, bytes of keys, bytes of values, start and end among the records |
//! | 4 | number of chunks, then for each: |
//! | 4 | CRC-32 of the chunk, seeded |
//! | 4 | offset in the chunk of the first record that starts in it (0xFFFFFFFF: none does) |
//! | 2 + 2 + n | that record's table (its place in the list), length and bytes of its key |
//!
//! Checksums are seeded with incarnation, epoch, LSN and the chunk's number (the footer's is
//! 2⁶⁴−1).

use crate::base::limits::{CHUNK, KEY_MAX, TABLES_MAX};
use crate::base::{Chain, Cursor, Epoch, Id, Lsn, Nanos, SegmentId};
use crate::format::batch::is_table_name;
use crate::format::{FormatError, VERSION, align_up, check, check_magic, check_version, checksum};

/// The magic bytes of a snapshot.
pub const MAGIC: &[u8; 8] = b"SDIRSNP\0";

/// Bytes of the encoded header.
pub const HEADER_LEN: usize = 168;

/// Where the records start.
pub const DATA_AT: u64 = 4096;

/// Bytes before key and value of a record.
pub const RECORD_HEADER: usize = 8;

/// No record starts in this chunk.
pub const NO_RECORD: u32 = u32::MAX;

const _: () = assert!(HEADER_LEN <= 512);

/// What a snapshot says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The cluster that the state belongs to.
    pub cluster: Id,
    /// The history that it belongs to.
    pub incarnation: Id,
    /// The writer's epoch.
    pub epoch: Epoch,
    /// The state's LSN.
    pub lsn: Lsn,
    /// The chain at that LSN.
    pub chain: Chain,
    /// Time of the last group in it.
    pub time: Nanos,
    /// When it was made.
    pub made: Nanos,
    /// The segment in which the log goes on.
    pub resume: SegmentId,
    /// The offset there of the next group.
    pub resume_offset: u64,
    /// Bytes of records.
    pub data_len: u64,
    /// Bytes of footer.
    pub footer_len: u64,
    /// Number of entries.
    pub entries: u64,
    /// Bytes of keys and values.
    pub logical_bytes: u64,
    /// Checksum of the footer.
    pub footer_crc: u32,
}

impl SnapshotHeader {
    /// The encoded header.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[20..24].copy_from_slice(&(CHUNK as u32).to_le_bytes());
        bytes[24..40].copy_from_slice(&self.cluster.0);
        bytes[40..56].copy_from_slice(&self.incarnation.0);
        bytes[72..88].copy_from_slice(&self.chain.0);
        let numbers = [
            (56, self.epoch.0),
            (64, self.lsn.0),
            (88, self.time.0),
            (96, self.made.0),
            (104, self.resume.epoch.0),
            (112, self.resume.ordinal),
            (120, self.resume_offset),
            (128, self.data_len),
            (136, self.footer_len),
            (144, self.entries),
            (152, self.logical_bytes),
        ];
        for (at, number) in numbers {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[160..164].copy_from_slice(&self.footer_crc.to_le_bytes());
        let crc = checksum(0, &bytes[..164]);
        bytes[164..168].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`FormatError::Blank`]: the snapshot was never finished; else what does not fit.
    pub fn decode(bytes: &[u8]) -> Result<SnapshotHeader, FormatError> {
        let raw = Cursor::new(bytes).bytes(HEADER_LEN)?;
        if raw.iter().all(|byte| *byte == 0) {
            return Err(FormatError::Blank);
        }
        let mut cursor = Cursor::new(raw);
        check_magic(cursor.array()?, MAGIC)?;
        check(0, &raw[..164], Cursor::new(&raw[164..]).u32()?)?;
        let version = cursor.u16()?;
        cursor.u16()?;
        cursor.u32()?;
        check_version(version, cursor.u32()?)?;
        if cursor.u32()? as usize != CHUNK {
            return Err(FormatError::Field("chunk size"));
        }
        let header = SnapshotHeader {
            cluster: Id(cursor.array()?),
            incarnation: Id(cursor.array()?),
            epoch: Epoch(cursor.u64()?),
            lsn: Lsn(cursor.u64()?),
            chain: Chain(cursor.array()?),
            time: Nanos(cursor.u64()?),
            made: Nanos(cursor.u64()?),
            resume: SegmentId { epoch: Epoch(cursor.u64()?), ordinal: cursor.u64()? },
            resume_offset: cursor.u64()?,
            data_len: cursor.u64()?,
            footer_len: cursor.u64()?,
            entries: cursor.u64()?,
            logical_bytes: cursor.u64()?,
            footer_crc: cursor.u32()?,
        };
        // Sums of these are taken from here on: none may overflow.
        if header.data_len > 1 << 62 || header.footer_len > 1 << 40 {
            return Err(FormatError::Field("length"));
        }
        Ok(header)
    }

    /// Where the footer starts.
    #[must_use]
    pub fn footer_at(&self) -> u64 {
        DATA_AT + align_up(self.data_len)
    }

    /// Bytes of the whole snapshot.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        self.footer_at() + align_up(self.footer_len)
    }

    /// The seed of the checksum of a chunk, or of the footer (`u64::MAX`).
    #[must_use]
    pub fn seed(incarnation: Id, epoch: Epoch, lsn: Lsn, chunk: u64) -> u32 {
        let seed = checksum(0, &incarnation.0);
        let seed = checksum(seed, &epoch.0.to_le_bytes());
        let seed = checksum(seed, &lsn.0.to_le_bytes());
        checksum(seed, &chunk.to_le_bytes())
    }

    /// The seed of the footer's checksum.
    #[must_use]
    pub fn footer_seed(&self) -> u32 {
        Self::seed(self.incarnation, self.epoch, self.lsn, u64::MAX)
    }
}

/// One table in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableIndex {
    /// Its name.
    pub name: String,
    /// Number of entries.
    pub entries: u64,
    /// Bytes of keys.
    pub key_bytes: u64,
    /// Bytes of values.
    pub value_bytes: u64,
    /// Where its records start, counted from the first record of the snapshot.
    pub start: u64,
    /// Where they end.
    pub end: u64,
}

/// One chunk of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkIndex {
    /// Checksum of the chunk's bytes.
    pub crc: u32,
    /// Offset in the chunk of the first record that starts there, or [`NO_RECORD`].
    pub first: u32,
    /// That record's table: its place in the list.
    pub table: u16,
    /// That record's key.
    pub key: Box<[u8]>,
}

impl ChunkIndex {
    /// Compares the chunk's bytes (of records: without the padding behind the last) with the
    /// checksum.
    ///
    /// # Errors
    /// [`FormatError::Checksum`].
    pub fn check(&self, seed: u32, bytes: &[u8]) -> Result<(), FormatError> {
        check(seed, bytes, self.crc)
    }
}

/// The index of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotFooter {
    /// In bytewise order of their names.
    pub tables: Vec<TableIndex>,
    /// In order.
    pub chunks: Vec<ChunkIndex>,
}

impl SnapshotFooter {
    /// The encoded footer.
    ///
    /// # Panics
    /// If a bound of the layout is broken: they hold for whatever a store accepted.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((self.tables.len() as u32).to_le_bytes());
        for table in &self.tables {
            bytes.push(u8::try_from(table.name.len()).expect("at most TABLE_NAME_MAX"));
            bytes.extend(table.name.as_bytes());
            let numbers =
                [table.entries, table.key_bytes, table.value_bytes, table.start, table.end];
            numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        }
        bytes.extend(u32::try_from(self.chunks.len()).expect("256 TiB").to_le_bytes());
        for chunk in &self.chunks {
            bytes.extend(chunk.crc.to_le_bytes());
            bytes.extend(chunk.first.to_le_bytes());
            bytes.extend(chunk.table.to_le_bytes());
            bytes.extend(u16::try_from(chunk.key.len()).expect("KEY_MAX").to_le_bytes());
            bytes.extend(&chunk.key);
        }
        bytes
    }

    /// Reads a footer that belongs to `header`, and checks that it is one that a writer writes:
    /// sorted tables that cover the records, chunks that cover them too.
    ///
    /// # Errors
    /// [`FormatError`]: what does not fit.
    pub fn decode(header: &SnapshotHeader, bytes: &[u8]) -> Result<SnapshotFooter, FormatError> {
        let len = usize::try_from(header.footer_len).map_err(|_| FormatError::Field("length"))?;
        let raw = Cursor::new(bytes).bytes(len)?;
        check(header.footer_seed(), raw, header.footer_crc)?;
        let mut cursor = Cursor::new(raw);
        let tables = Self::decode_tables(&mut cursor, header)?;
        let chunks = Self::decode_chunks(&mut cursor, header, tables.len())?;
        if !cursor.rest().is_empty() {
            return Err(FormatError::Field("footer length"));
        }
        Ok(SnapshotFooter { tables, chunks })
    }

    fn decode_tables(
        cursor: &mut Cursor<'_>,
        header: &SnapshotHeader,
    ) -> Result<Vec<TableIndex>, FormatError> {
        let count = cursor.u32()? as usize;
        if count > TABLES_MAX {
            return Err(FormatError::Field("tables"));
        }
        let mut tables: Vec<TableIndex> = Vec::with_capacity(count);
        let mut at = 0;
        for _ in 0..count {
            let len = usize::from(cursor.u8()?);
            let name = cursor.bytes(len)?;
            let valid = is_table_name(name).then(|| String::from_utf8_lossy(name).into_owned());
            let table = TableIndex {
                name: valid.ok_or(FormatError::Field("table name"))?,
                entries: cursor.u64()?,
                key_bytes: cursor.u64()?,
                value_bytes: cursor.u64()?,
                start: cursor.u64()?,
                end: cursor.u64()?,
            };
            let sorted = tables.last().is_none_or(|last| last.name < table.name);
            if !sorted || table.start != at || table.end < table.start {
                return Err(FormatError::Field("table range"));
            }
            at = table.end;
            tables.push(table);
        }
        if at == header.data_len { Ok(tables) } else { Err(FormatError::Field("table range")) }
    }

    fn decode_chunks(
        cursor: &mut Cursor<'_>,
        header: &SnapshotHeader,
        tables: usize,
    ) -> Result<Vec<ChunkIndex>, FormatError> {
        let count = u64::from(cursor.u32()?);
        // A chunk takes 12 bytes of footer at least: the count cannot ask for more than is there.
        let possible = (cursor.rest().len() / 12) as u64;
        if count != header.data_len.div_ceil(CHUNK as u64) || count > possible {
            return Err(FormatError::Field("chunks"));
        }
        let mut chunks = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let (crc, first) = (cursor.u32()?, cursor.u32()?);
            let (table, key_len) = (cursor.u16()?, usize::from(cursor.u16()?));
            let key = cursor.bytes(key_len)?;
            let none = first == NO_RECORD && table == 0 && key.is_empty();
            let some = (first as usize) < CHUNK
                && usize::from(table) < tables
                && (1..=KEY_MAX).contains(&key_len);
            if !none && !some {
                return Err(FormatError::Field("chunk"));
            }
            chunks.push(ChunkIndex { crc, first, table, key: key.into() });
        }
        Ok(chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (SnapshotHeader, SnapshotFooter) {
        let table = |name: &str, start, end| TableIndex {
            name: name.to_owned(),
            entries: 1,
            key_bytes: 2,
            value_bytes: 3,
            start,
            end,
        };
        let footer = SnapshotFooter {
            tables: vec![table("jobs", 0, 70_000), table("nodes", 70_000, 70_100)],
            chunks: vec![
                ChunkIndex { crc: 1, first: 0, table: 0, key: (*b"k").into() },
                ChunkIndex { crc: 2, first: NO_RECORD, table: 0, key: Box::default() },
            ],
        };
        let mut header = SnapshotHeader {
            cluster: Id([1; 16]),
            incarnation: Id([2; 16]),
            epoch: Epoch(3),
            lsn: Lsn(4),
            chain: Chain([5; 16]),
            time: Nanos(6),
            made: Nanos(7),
            resume: SegmentId { epoch: Epoch(3), ordinal: 8 },
            resume_offset: 8192,
            data_len: 70_100,
            footer_len: footer.encode().len() as u64,
            entries: 2,
            logical_bytes: 10,
            footer_crc: 0,
        };
        header.footer_crc = checksum(header.footer_seed(), &footer.encode());
        (header, footer)
    }

    #[test]
    fn header_and_footer_read_back() {
        let (header, footer) = sample();
        assert_eq!(SnapshotHeader::decode(&header.encode()), Ok(header));
        assert_eq!(SnapshotFooter::decode(&header, &footer.encode()), Ok(footer));
        assert_eq!(header.footer_at() % 4096, 0);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (header, footer) = sample();
        for bit in 0..HEADER_LEN * 8 {
            let mut bytes = header.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SnapshotHeader::decode(&bytes).is_err(), "header bit {bit}");
        }
        let bytes = footer.encode();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SnapshotFooter::decode(&header, &bytes).is_err(), "footer bit {bit}");
        }
    }

    #[test]
    fn lying_counts_allocate_nothing() {
        let (mut header, footer) = sample();
        header.data_len = 1 << 62;
        let mut bytes = footer.encode();
        bytes[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
        header.footer_crc = checksum(header.footer_seed(), &bytes);
        assert!(SnapshotFooter::decode(&header, &bytes).is_err());
    }
}
