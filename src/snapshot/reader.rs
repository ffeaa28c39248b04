//! An open snapshot.
//!
//! Invariants: header and footer were compared with their checksums when it was opened; the
//! mapping covers all that the header speaks of; `checked` marks a chunk only after its checksum
//! was compared.

use crate::base::limits::CHUNK;
use crate::disk::{Access, Disk, File, Mapping, Site};
use crate::format::snapshot::{DATA_AT, HEADER_LEN, TableIndex};
use crate::format::{FileName, FormatError, SnapshotFooter, SnapshotHeader, TagName};
use crate::snapshot::index::Index;
use crate::snapshot::verify::Checked;
use crate::snapshot::{Scan, SnapshotError};
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A published snapshot, mapped into memory. It never changes.
///
/// Bytes that it hands out lie in the mapping: should the device lose a page, it reads as zeros.
/// Whoever copies bytes, or acts on them, asks [`Snapshot::faulted`] afterwards.
pub struct Snapshot {
    name: String,
    file: Arc<dyn File>,
    header: SnapshotHeader,
    pub(super) index: Index,
    pub(super) mapping: Mapping,
    pub(super) checked: Checked,
}

impl Snapshot {
    /// Opens a snapshot: header, footer and name fit together, and the file is long enough (it may
    /// be longer). Its chunks are checked as they are read, or by [`Snapshot::verify`].
    ///
    /// # Errors
    /// [`SnapshotError::NotFinished`] if there is no header; else what does not fit.
    pub fn open(disk: &dyn Disk, name: &str) -> Result<Snapshot, SnapshotError> {
        let snapshot = Snapshot::open_copy(disk, name)?;
        let SnapshotHeader { epoch, lsn, .. } = snapshot.header;
        let called = match (FileName::parse(name), TagName::parse(name)) {
            (Some(FileName::Snapshot { epoch, lsn }), _) => Some((epoch, lsn)),
            (_, Some(tag)) => Some((tag.epoch, tag.lsn)),
            _ => None,
        };
        if called != Some((epoch, lsn)) {
            return Err(SnapshotError::Name { name: name.to_owned(), epoch, lsn });
        }
        Ok(snapshot)
    }

    /// As [`Snapshot::open`], a copy under any name.
    ///
    /// # Errors
    /// As [`Snapshot::open`].
    pub fn open_copy(disk: &dyn Disk, name: &str) -> Result<Snapshot, SnapshotError> {
        let file = disk.open(name, Access::Read).map_err(|e| SnapshotError::io(name, e))?;
        let header = read_header(&*file, name)?;
        let mapping = map(&*file, name, header.file_len())?;
        let index = read_index(&header, &mapping).map_err(|source| {
            // A page that the device lost reads as zeros: the checksum is not to blame.
            let (name, offset) = (name.to_owned(), header.footer_at());
            if mapping.faulted() {
                SnapshotError::Unreadable { name, offset }
            } else {
                SnapshotError::Format { name, offset, source }
            }
        })?;
        let checked = Checked::none(index.footer().chunks.len());
        Ok(Snapshot { name: name.to_owned(), file, header, index, mapping, checked })
    }

    /// Makes all of it survive a power cut, whoever wrote it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn flush(&self) -> io::Result<()> {
        self.file.sync(Site::Found)
    }

    /// What it says of itself.
    #[must_use]
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// Its index.
    #[must_use]
    pub fn footer(&self) -> &SnapshotFooter {
        self.index.footer()
    }

    /// Its file's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file, open for as long as this lives: a lock on it pins it.
    #[must_use]
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Its tables, in bytewise order of their names.
    pub fn tables(&self) -> impl Iterator<Item = &TableIndex> {
        self.footer().tables.iter()
    }

    /// The place of a table among [`Snapshot::tables`].
    #[must_use]
    pub fn table(&self, name: &str) -> Option<usize> {
        self.index.table(name)
    }

    /// The value of `key`. Checks the chunks that it touches, unless that was done before.
    ///
    /// # Errors
    /// Damage where the value is, or on the way there.
    pub fn get(&self, table: &str, key: &[u8]) -> Result<Option<&[u8]>, SnapshotError> {
        match self.table(table) {
            Some(table) => Scan::over(self, table).find(key),
            None => Ok(None),
        }
    }

    /// The entries of a table with keys at or after `from`, in bytewise order. Checks the chunks
    /// that it touches, unless that was done before: a scan of what is not yet verified takes
    /// checksum and entries from the same cache lines, and costs less than the two in turn.
    #[must_use]
    pub fn scan(&self, table: &str, from: &[u8]) -> Scan<'_> {
        match self.table(table) {
            Some(table) => Scan::over(self, table).starting_at(from),
            None => Scan::nothing(self),
        }
    }

    /// Whether the device lost a page of the mapping, which then reads as zeros.
    #[must_use]
    pub fn faulted(&self) -> bool {
        self.mapping.faulted()
    }

    /// The bytes of all records.
    pub(super) fn data(&self) -> &[u8] {
        let start = DATA_AT as usize;
        &self.mapping[start..start + self.header.data_len as usize]
    }

    /// Asks the kernel to begin reading the chunks with these numbers.
    pub(super) fn prefetch(&self, chunks: Range<usize>) {
        let at = |chunk: usize| DATA_AT as usize + chunk * CHUNK;
        self.mapping.prefetch(at(chunks.start)..at(chunks.end));
    }

    /// The bytes of chunk `number`.
    pub(super) fn chunk(&self, number: usize) -> &[u8] {
        let data = self.data();
        let start = number * CHUNK;
        &data[start..data.len().min(start + CHUNK)]
    }

    /// What is wrong with the record at `at`, counted from the first.
    pub(super) fn bad_record(&self, at: usize) -> SnapshotError {
        let (name, offset) = (self.name.clone(), DATA_AT + at as u64);
        if self.faulted() {
            SnapshotError::Unreadable { name, offset }
        } else {
            SnapshotError::Record { name, offset }
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("name", &self.name).finish_non_exhaustive()
    }
}

fn read_header(file: &dyn File, name: &str) -> Result<SnapshotHeader, SnapshotError> {
    let mut bytes = [0; HEADER_LEN];
    let len = file.read_at(&mut bytes, 0).map_err(|e| SnapshotError::read(name, 0, e))?;
    // A file that ends inside its zeros is one whose writer had only begun.
    if bytes[..len].iter().all(|byte| *byte == 0) {
        return Err(SnapshotError::NotFinished { name: name.to_owned() });
    }
    let header = SnapshotHeader::decode(&bytes[..len]);
    header.map_err(|source| SnapshotError::Format { name: name.to_owned(), offset: 0, source })
}

fn map(file: &dyn File, name: &str, expected: u64) -> Result<Mapping, SnapshotError> {
    let truncated = |len| SnapshotError::Truncated { name: name.to_owned(), len, expected };
    let len = file.len().map_err(|e| SnapshotError::io(name, e))?;
    if len < expected {
        return Err(truncated(len));
    }
    file.map(expected).map_err(|e| match e.kind() {
        // Cut since the line above.
        io::ErrorKind::UnexpectedEof => truncated(file.len().unwrap_or(0)),
        // Where mapping does not help, this has read everything.
        _ => SnapshotError::read(name, DATA_AT, e),
    })
}

fn read_index(header: &SnapshotHeader, mapping: &[u8]) -> Result<Index, FormatError> {
    let footer = SnapshotFooter::decode(header, &mapping[header.footer_at() as usize..])?;
    Index::new(header, footer)
}
