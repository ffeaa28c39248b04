//! Everything about a snapshot that checksums do not say: that its records are what header and
//! footer tell of them.

use crate::base::limits::CHUNK;
use crate::format::FormatError;
use crate::format::snapshot::{DATA_AT, HEADER_LEN, TableIndex};
use crate::snapshot::{Scan, Snapshot, SnapshotError};
use std::ops::Range;

impl Snapshot {
    /// Everything that [`Snapshot::verify`] does; and that records parse, are sorted, and add up to
    /// what the footer says, that the index finds each of them, and that all padding is zeros.
    ///
    /// # Errors
    /// The first damage that is found.
    pub fn verify_deep(&self) -> Result<(), SnapshotError> {
        if !self.all_checked() {
            self.verify(1)?;
        }
        let header = self.header();
        self.verify_zeros(HEADER_LEN as u64..DATA_AT)?;
        self.verify_zeros(DATA_AT + header.data_len..header.footer_at())?;
        self.verify_zeros(header.footer_at() + header.footer_len..header.file_len())?;
        let mut starts = Starts::default();
        for (number, table) in self.tables().enumerate() {
            self.verify_table(number, table, &mut starts)?;
        }
        // All that should be indexed is, so equal numbers mean that nothing else is.
        if starts.count == self.index.starts() { Ok(()) } else { Err(self.bad_footer("chunks")) }
    }

    fn verify_zeros(&self, range: Range<u64>) -> Result<(), SnapshotError> {
        let bytes = &self.mapping[range.start as usize..range.end as usize];
        match bytes.iter().position(|byte| *byte != 0) {
            Some(at) => {
                let offset = range.start + at as u64;
                Err(SnapshotError::Padding { name: self.name().to_owned(), offset })
            }
            None => Ok(()),
        }
    }

    fn verify_table(
        &self,
        number: usize,
        table: &TableIndex,
        starts: &mut Starts,
    ) -> Result<(), SnapshotError> {
        let mut scan = Scan::over(self, number);
        let mut at = scan.position();
        let (mut entries, mut key_bytes, mut value_bytes) = (0, 0, 0);
        let mut last: &[u8] = &[];
        while let Some(record) = scan.next() {
            let (key, value) = record?;
            if key <= last {
                return Err(self.bad_record(at));
            }
            if starts.is_first(at) && !self.index.names(at as u64, number, key) {
                return Err(self.bad_footer("chunk"));
            }
            last = key;
            entries += 1;
            key_bytes += key.len() as u64;
            value_bytes += value.len() as u64;
            at = scan.position();
        }
        let found = (entries, key_bytes, value_bytes);
        if found == (table.entries, table.key_bytes, table.value_bytes) {
            Ok(())
        } else {
            Err(self.bad_footer("table sums"))
        }
    }

    fn bad_footer(&self, field: &'static str) -> SnapshotError {
        SnapshotError::Format {
            name: self.name().to_owned(),
            offset: self.header().footer_at(),
            source: FormatError::Field(field),
        }
    }
}

/// The chunks in which a record was seen to start.
#[derive(Default)]
struct Starts {
    last: Option<usize>,
    count: usize,
}

impl Starts {
    /// Whether the record at `at` is the first that starts in its chunk; asked in ascending order.
    fn is_first(&mut self, at: usize) -> bool {
        let chunk = Some(at / CHUNK);
        if self.last == chunk {
            return false;
        }
        self.last = chunk;
        self.count += 1;
        true
    }
}
