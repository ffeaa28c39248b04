//! The footer, ready for look-ups: which record to begin at to find a key.
//!
//! Invariants, checked once: tables and records agree in their sums, every indexed record starts
//! inside its table, and indexed records ascend by table and key.

use crate::base::limits::CHUNK;
use crate::format::snapshot::{ChunkIndex, NO_RECORD, RECORD_HEADER, TableIndex};
use crate::format::{FormatError, SnapshotFooter, SnapshotHeader};

/// A footer whose parts agree with each other and with the header.
#[derive(Debug)]
pub(super) struct Index {
    footer: SnapshotFooter,
    /// The chunks in which a record starts: a value of 64 MiB leaves a thousand in which none does.
    starts: Vec<u32>,
}

impl Index {
    pub(super) fn new(
        header: &SnapshotHeader,
        footer: SnapshotFooter,
    ) -> Result<Index, FormatError> {
        if !footer.tables.iter().all(adds_up) {
            return Err(FormatError::Field("table sums"));
        }
        // No sum overflows: each adds up to less than the bytes of records do.
        let entries: u64 = footer.tables.iter().map(|table| table.entries).sum();
        let bytes: u64 = footer.tables.iter().map(|t| t.key_bytes + t.value_bytes).sum();
        if entries != header.entries || bytes != header.logical_bytes {
            return Err(FormatError::Field("sums"));
        }
        let chunks = (0..).zip(&footer.chunks);
        let starts: Vec<u32> = chunks
            .filter(|(_, chunk)| chunk.first != NO_RECORD)
            .map(|(number, _)| number)
            .collect();
        let index = Index { footer, starts };
        index.check_starts()?;
        Ok(index)
    }

    fn check_starts(&self) -> Result<(), FormatError> {
        let inside = |&number: &u32| {
            let table = &self.footer.tables[usize::from(self.chunk(number).table)];
            (table.start..table.end).contains(&self.position(number))
        };
        let order = |number: u32| {
            let chunk = self.chunk(number);
            (chunk.table, &chunk.key)
        };
        let ascending = self.starts.windows(2).all(|pair| order(pair[0]) < order(pair[1]));
        if ascending && self.starts.iter().all(inside) {
            Ok(())
        } else {
            Err(FormatError::Field("chunk order"))
        }
    }

    pub(super) fn footer(&self) -> &SnapshotFooter {
        &self.footer
    }

    /// Place of the table in the list.
    pub(super) fn table(&self, name: &str) -> Option<usize> {
        self.footer.tables.binary_search_by(|table| table.name.as_str().cmp(name)).ok()
    }

    /// Where to begin, among the records, to find `key` in table number `table`: at a record that
    /// is not greater, with at most a chunk of records in between; or at the table's start.
    pub(super) fn seek(&self, table: usize, key: &[u8]) -> u64 {
        let wanted = (table, key);
        let after = self.starts.partition_point(|&number| {
            let chunk = self.chunk(number);
            (usize::from(chunk.table), &*chunk.key) <= wanted
        });
        let start = self.footer.tables[table].start;
        match after.checked_sub(1).map(|last| self.starts[last]) {
            Some(number) if usize::from(self.chunk(number).table) == table => self.position(number),
            _ => start,
        }
    }

    /// Whether the index says that the record at `position` is the first in its chunk.
    pub(super) fn names(&self, position: u64, table: usize, key: &[u8]) -> bool {
        let chunk = &self.footer.chunks[(position / CHUNK as u64) as usize];
        u64::from(chunk.first) == position % CHUNK as u64
            && usize::from(chunk.table) == table
            && *chunk.key == *key
    }

    /// Number of chunks in which a record starts.
    pub(super) fn starts(&self) -> usize {
        self.starts.len()
    }

    fn chunk(&self, number: u32) -> &ChunkIndex {
        &self.footer.chunks[number as usize]
    }

    fn position(&self, number: u32) -> u64 {
        u64::from(number) * CHUNK as u64 + u64::from(self.chunk(number).first)
    }
}

/// Whether the bytes of a table's records are those of its keys, values and record headers.
fn adds_up(table: &TableIndex) -> bool {
    let heads = table.entries.checked_mul(RECORD_HEADER as u64);
    let sum = heads
        .and_then(|sum| sum.checked_add(table.key_bytes))
        .and_then(|sum| sum.checked_add(table.value_bytes));
    sum == Some(table.end - table.start)
}
