//! Writing a snapshot: a stream of entries in order, then the footer, then the header.
//!
//! Invariants:
//! * the file has a header only if everything else in it was flushed before;
//! * whatever is given up before it is published removes its file;
//! * memory is one piece of records plus the footer, however large the state is.

use crate::base::limits::{BLOCK, CHUNK, KEY_MAX, TABLES_MAX, VALUE_MAX};
use crate::base::{Chain, Epoch, Id, Lsn, Nanos, SegmentId};
use crate::disk::{Access, AlignedBuf, Disk, File, Site};
use crate::format::batch::is_table_name;
use crate::format::snapshot::{ChunkIndex, DATA_AT, NO_RECORD, RECORD_HEADER, TableIndex};
use crate::format::{FileName, FormatError, SnapshotFooter, SnapshotHeader, checksum};
use crate::snapshot::{Snapshot, SnapshotError};
use std::io;
use std::sync::Arc;

/// Bytes handed to the disk at once: whole chunks, so that their checksums are taken in place; and
/// no more than a save can wait for.
const PIECE: usize = 256 << 10;

const _: () = assert!(PIECE.is_multiple_of(CHUNK) && CHUNK.is_multiple_of(BLOCK));

/// Identity of the snapshot to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
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
    /// When it is made.
    pub made: Nanos,
    /// The segment in which the log goes on.
    pub resume: SegmentId,
    /// The offset there of the next group.
    pub resume_offset: u64,
}

impl Plan {
    fn name(&self) -> String {
        FileName::Snapshot { epoch: self.epoch, lsn: self.lsn }.to_string()
    }
}

/// A snapshot that is being written. Dropping it removes the file.
#[derive(Debug)]
pub struct Builder {
    draft: Draft,
    plan: Plan,
    /// Records that the disk does not have yet; starts at a chunk's start.
    piece: AlignedBuf,
    /// Bytes of records before `piece`.
    flushed: u64,
    written: u64,
    footer: SnapshotFooter,
    /// The key pushed last, in the last table.
    last: Vec<u8>,
}

impl Builder {
    /// Creates the file, under its final name and without a header. An unfinished one of the same
    /// name is removed first.
    ///
    /// # Errors
    /// [`SnapshotError::Exists`] if a finished one is there (or a damaged one: that is not ours to
    /// remove), and [`SnapshotError::Io`].
    pub fn create(disk: Arc<dyn Disk>, plan: Plan) -> Result<Builder, SnapshotError> {
        let draft = Draft::create(disk, plan.name())?;
        let mut piece = AlignedBuf::with_capacity(PIECE);
        piece.resize(BLOCK);
        draft.file.write_around(&piece, 0).map_err(|e| draft.io(e))?;
        piece.clear();
        Ok(Builder {
            draft,
            plan,
            piece,
            flushed: 0,
            written: DATA_AT,
            footer: SnapshotFooter::default(),
            last: Vec::new(),
        })
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`SnapshotError::Io`]. After one the builder can only be dropped.
    ///
    /// # Panics
    /// If `(table, key)` is not greater than the entry before, or breaks a limit that every save
    /// was held to.
    pub fn push(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
        assert!((1..=KEY_MAX).contains(&key.len()), "a key of {} bytes", key.len());
        assert!(value.len() <= VALUE_MAX, "a value of {} bytes", value.len());
        let start = self.data_len();
        self.enter(table, key, start);
        self.index(key, start);
        let mut head = [0; RECORD_HEADER];
        head[0..2].copy_from_slice(&(key.len() as u16).to_le_bytes());
        head[4..8].copy_from_slice(&(value.len() as u32).to_le_bytes());
        self.append(&head)?;
        self.append(key)?;
        self.append(value)?;
        let end = self.data_len();
        let table = self.footer.tables.last_mut().expect("entered above");
        table.entries += 1;
        table.key_bytes += key.len() as u64;
        table.value_bytes += value.len() as u64;
        table.end = end;
        Ok(())
    }

    /// Bytes handed to the disk so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes the rest and the footer, and flushes all of it.
    ///
    /// # Errors
    /// [`SnapshotError::Io`]: the file is removed.
    pub fn finish(mut self) -> Result<Unpublished, SnapshotError> {
        let data_len = self.data_len();
        self.write_records()?;
        let footer = self.footer.encode();
        let header = self.header(data_len, &footer);
        let mut at = header.footer_at();
        for part in footer.chunks(PIECE) {
            self.piece.clear();
            self.piece.extend_from_slice(part);
            self.write_piece(at)?;
            at += self.piece.len() as u64;
        }
        assert_eq!(at, header.file_len(), "the header describes the file");
        // The header may be written after this, and says that all of this can be read.
        self.draft.file.sync(Site::SnapshotBody).map_err(|e| self.draft.io(e))?;
        Ok(Unpublished { draft: self.draft, header })
    }

    fn header(&self, data_len: u64, footer: &[u8]) -> SnapshotHeader {
        let plan = self.plan;
        let tables = &self.footer.tables;
        let mut header = SnapshotHeader {
            cluster: plan.cluster,
            incarnation: plan.incarnation,
            epoch: plan.epoch,
            lsn: plan.lsn,
            chain: plan.chain,
            time: plan.time,
            made: plan.made,
            resume: plan.resume,
            resume_offset: plan.resume_offset,
            data_len,
            footer_len: footer.len() as u64,
            entries: tables.iter().map(|table| table.entries).sum(),
            logical_bytes: tables.iter().map(|table| table.key_bytes + table.value_bytes).sum(),
            footer_crc: 0,
        };
        header.footer_crc = checksum(header.footer_seed(), footer);
        header
    }

    /// Bytes of records so far.
    fn data_len(&self) -> u64 {
        self.flushed + self.piece.len() as u64
    }

    /// Makes `table` the last one, and `key` the last key in it.
    fn enter(&mut self, table: &str, key: &[u8], start: u64) {
        let tables = &mut self.footer.tables;
        match tables.last() {
            Some(last) if last.name == table => {
                assert!(self.last.as_slice() < key, "keys of table {table} ascend");
            }
            last => {
                assert!(last.is_none_or(|last| last.name.as_str() < table), "tables ascend");
                assert!(is_table_name(table.as_bytes()), "table name {table:?}");
                assert!(tables.len() < TABLES_MAX, "more than {TABLES_MAX} tables");
                tables.push(TableIndex {
                    name: table.to_owned(),
                    entries: 0,
                    key_bytes: 0,
                    value_bytes: 0,
                    start,
                    end: start,
                });
            }
        }
        self.last.clear();
        self.last.extend_from_slice(key);
    }

    /// Notes the record at `start` if it is the first that starts in its chunk.
    fn index(&mut self, key: &[u8], start: u64) {
        let chunk = (start / CHUNK as u64) as usize;
        self.fill_index(chunk);
        if self.footer.chunks.len() == chunk {
            let first = (start % CHUNK as u64) as u32;
            let table = (self.footer.tables.len() - 1) as u16;
            self.footer.chunks.push(ChunkIndex { crc: 0, first, table, key: key.into() });
        }
    }

    /// No record starts in the chunks before `chunk` that are not in the index yet.
    fn fill_index(&mut self, chunk: usize) {
        while self.footer.chunks.len() < chunk {
            let none = ChunkIndex { crc: 0, first: NO_RECORD, table: 0, key: Box::default() };
            self.footer.chunks.push(none);
        }
    }

    fn append(&mut self, mut bytes: &[u8]) -> Result<(), SnapshotError> {
        while !bytes.is_empty() {
            let room = PIECE - self.piece.len();
            let (head, rest) = bytes.split_at(room.min(bytes.len()));
            self.piece.extend_from_slice(head);
            bytes = rest;
            if self.piece.len() == PIECE {
                self.write_records()?;
            }
        }
        Ok(())
    }

    /// Takes the checksums of the chunks in `piece` and writes them.
    fn write_records(&mut self) -> Result<(), SnapshotError> {
        let first = (self.flushed / CHUNK as u64) as usize;
        self.fill_index(first + self.piece.len().div_ceil(CHUNK));
        let Plan { incarnation, epoch, lsn, .. } = self.plan;
        let chunks = self.footer.chunks[first..].iter_mut();
        for (number, (chunk, bytes)) in (first..).zip(chunks.zip(self.piece.chunks(CHUNK))) {
            let seed = SnapshotHeader::seed(incarnation, epoch, lsn, number as u64);
            chunk.crc = checksum(seed, bytes);
        }
        let len = self.piece.len() as u64;
        self.write_piece(DATA_AT + self.flushed)?;
        self.flushed += len;
        self.piece.clear();
        Ok(())
    }

    fn write_piece(&mut self, offset: u64) -> Result<(), SnapshotError> {
        self.piece.pad_to_block();
        self.draft.file.write_around(&self.piece, offset).map_err(|e| self.draft.io(e))?;
        self.written += self.piece.len() as u64;
        Ok(())
    }
}

/// A snapshot that is flushed but for its header. Dropping it removes the file.
#[derive(Debug)]
pub struct Unpublished {
    draft: Draft,
    header: SnapshotHeader,
}

impl Unpublished {
    /// Writes the header, and reads everything back. Once this returns the snapshot survives a
    /// power cut, and what it replaces may go.
    ///
    /// # Errors
    /// [`SnapshotError`]; the file is removed, which is not durable yet: after a power cut it may
    /// be there, whole.
    pub fn publish(self) -> Result<Snapshot, SnapshotError> {
        self.publish_paced(|_| ())
    }

    /// As [`Unpublished::publish`]; `pause` is called again and again while everything is read
    /// back, with the bytes so far.
    ///
    /// # Errors
    /// As [`Unpublished::publish`].
    pub fn publish_paced(mut self, pause: impl FnMut(u64)) -> Result<Snapshot, SnapshotError> {
        let Draft { disk, file, name, .. } = &self.draft;
        let mut block = AlignedBuf::with_capacity(BLOCK);
        block.extend_from_slice(&self.header.encode());
        block.pad_to_block();
        // The moment of publication. Everything that the header speaks of is durable already.
        let written = file.write_durable(&block, 0, Site::SnapshotHeader);
        written.map_err(|e| self.draft.io(e))?;
        // A copier such as rsync that read the zeros before the header came, and compares lengths
        // and coarse times to see whether a file changed, must see that this one did: its length
        // changes once more, after the last byte was written. Nobody depends on its durability.
        file.set_len(self.header.file_len() + 1).map_err(|e| self.draft.io(e))?;
        disk.sync_names(Site::SnapshotName).map_err(|e| self.draft.io(e))?;
        let snapshot = Snapshot::open(&**disk, name)?;
        snapshot.verify_paced(pause)?;
        if *snapshot.header() != self.header {
            return Err(SnapshotError::Format {
                name: name.clone(),
                offset: 0,
                source: FormatError::Field("header, read back"),
            });
        }
        self.draft.published = true;
        Ok(snapshot)
    }
}

/// A file that goes away unless it is published.
#[derive(Debug)]
struct Draft {
    disk: Arc<dyn Disk>,
    file: Arc<dyn File>,
    name: String,
    published: bool,
}

impl Draft {
    fn create(disk: Arc<dyn Disk>, name: String) -> Result<Draft, SnapshotError> {
        let file = match disk.open(&name, Access::Create) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                remove_unfinished(&*disk, &name)?;
                disk.open(&name, Access::Create)
            }
            other => other,
        };
        let file = file.map_err(|e| SnapshotError::io(&name, e))?;
        Ok(Draft { disk, file, name, published: false })
    }

    fn io(&self, source: io::Error) -> SnapshotError {
        SnapshotError::io(&self.name, source)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: what stays is an unfinished file, which the next open of the store
            // finds and the next builder of this name removes.
            let _ = self.disk.remove(&self.name);
        }
    }
}

fn remove_unfinished(disk: &dyn Disk, name: &str) -> Result<(), SnapshotError> {
    match Snapshot::open(disk, name) {
        Err(SnapshotError::NotFinished { .. }) => {
            disk.remove(name).map_err(|e| SnapshotError::io(name, e))
        }
        Err(io @ SnapshotError::Io { .. }) => Err(io),
        _ => Err(SnapshotError::Exists { name: name.to_owned() }),
    }
}
