//! Writes a file of a backup: around the page cache, in large pieces, while it is hashed aside.
//!
//! Invariants: the digest is of the bytes that were handed to the disk; memory is a few pieces,
//! however long the file is; one thread writes, in order, so that a fake disk sees the same calls
//! each time.

use crate::disk::{Access, AlignedBuf, Disk, File, Site};
use crate::export::ExportError;
use blake3::Hash;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Bytes handed to the disk at once.
pub const PIECE: usize = 4 << 20;

/// Pieces that may wait for the disk, or to be hashed.
const WAITING: usize = 3;

/// Length and digest of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Bytes.
    pub bytes: u64,
    /// BLAKE3.
    pub digest: Hash,
}

/// A file that is being written from its beginning to its end.
pub struct Writer {
    name: String,
    file: Arc<dyn File>,
    piece: AlignedBuf,
    bytes: u64,
    aside: Option<Aside>,
    spare: Receiver<AlignedBuf>,
    give_back: SyncSender<AlignedBuf>,
}

/// The threads, and the way to them.
struct Aside {
    to_disk: SyncSender<Arc<AlignedBuf>>,
    to_hasher: SyncSender<(Arc<AlignedBuf>, usize)>,
    disk: JoinHandle<io::Result<()>>,
    hasher: JoinHandle<Hash>,
}

impl Writer {
    /// Creates the file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(disk: &dyn Disk, name: &str) -> Result<Writer, ExportError> {
        let file = disk.open(name, Access::Create).map_err(ExportError::io(name))?;
        let (give_back, spare) = sync_channel(2 * WAITING);
        Ok(Writer {
            name: name.to_owned(),
            file,
            piece: AlignedBuf::with_capacity(0),
            bytes: 0,
            aside: None,
            spare,
            give_back,
        })
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// Those of the file system; the file is then of no use.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), ExportError> {
        while !bytes.is_empty() {
            let room = PIECE - self.piece.len();
            let (head, rest) = bytes.split_at(room.min(bytes.len()));
            self.piece.reserve(head.len());
            self.piece.extend_from_slice(head);
            bytes = rest;
            self.pass_on()?;
        }
        Ok(())
    }

    /// Adds all of a file.
    ///
    /// # Errors
    /// Those of both files; `UnexpectedEof` if `from` is shorter than `len`.
    pub fn copy(
        &mut self,
        from: &dyn File,
        len: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ExportError> {
        let mut at = 0;
        while at < len {
            let start = self.piece.len();
            let wanted = usize::try_from(len - at).unwrap_or(PIECE).min(PIECE - start);
            self.piece.resize(start + wanted);
            let io = ExportError::io(self.name.as_str());
            crate::disk::read_exact_at(from, &mut self.piece[start..], at).map_err(io)?;
            at += wanted as u64;
            progress(wanted as u64);
            self.pass_on()?;
        }
        Ok(())
    }

    /// Writes what is left and makes all of it survive a power cut.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(mut self, site: Site) -> Result<Sum, ExportError> {
        let len = self.bytes + self.piece.len() as u64;
        let io = |error| ExportError::io(self.name.as_str())(error);
        let digest = match self.aside.take() {
            // Short: no threads.
            None => {
                let digest = blake3::hash(&self.piece);
                self.piece.pad_to_block();
                self.file.write_around(&self.piece, 0).map_err(io)?;
                digest
            }
            Some(aside) => {
                let piece = std::mem::replace(&mut self.piece, AlignedBuf::with_capacity(0));
                aside.last(piece).map_err(io)?
            }
        };
        self.file.set_len(len).map_err(io)?;
        self.file.sync(site).map_err(io)?;
        Ok(Sum { bytes: len, digest })
    }

    /// Hands a full piece to the threads.
    fn pass_on(&mut self) -> Result<(), ExportError> {
        if self.piece.len() < PIECE {
            return Ok(());
        }
        let mut next = self.spare.try_recv().unwrap_or_else(|_| AlignedBuf::with_capacity(PIECE));
        next.clear();
        let piece = std::mem::replace(&mut self.piece, next);
        self.bytes += piece.len() as u64;
        if self.aside.is_none() {
            let started = Aside::start(Arc::clone(&self.file), self.give_back.clone());
            self.aside = Some(started.map_err(ExportError::io(self.name.as_str()))?);
        }
        let aside = self.aside.as_ref().expect("started above");
        if aside.send(piece) {
            return Ok(());
        }
        let aside = self.aside.take().expect("it was there");
        Err(ExportError::io(self.name.as_str())(aside.failure()))
    }
}

impl Aside {
    fn start(file: Arc<dyn File>, give_back: SyncSender<AlignedBuf>) -> io::Result<Aside> {
        let (to_disk, pieces) = sync_channel::<Arc<AlignedBuf>>(WAITING);
        let (to_hasher, hashed) = sync_channel::<(Arc<AlignedBuf>, usize)>(WAITING);
        let spare = give_back.clone();
        let disk = thread::Builder::new().name("backup-writer".to_owned()).spawn(move || {
            let mut at = 0;
            for piece in pieces {
                file.write_around(&piece, at)?;
                at += piece.len() as u64;
                recycle(piece, &spare);
            }
            Ok(())
        })?;
        let hasher = thread::Builder::new().name("backup-hasher".to_owned()).spawn(move || {
            let mut hasher = blake3::Hasher::new();
            for (piece, len) in hashed {
                hasher.update(&piece[..len]);
                recycle(piece, &give_back);
            }
            hasher.finalize()
        })?;
        Ok(Aside { to_disk, to_hasher, disk, hasher })
    }

    /// Whether the threads take it: the one that writes does not after a failure.
    fn send(&self, piece: AlignedBuf) -> bool {
        let len = piece.len();
        let piece = Arc::new(piece);
        self.to_hasher.send((Arc::clone(&piece), len)).is_ok() && self.to_disk.send(piece).is_ok()
    }

    fn last(self, mut piece: AlignedBuf) -> io::Result<Hash> {
        let len = piece.len();
        piece.pad_to_block();
        let piece = Arc::new(piece);
        // A thread that has ended says why below.
        let _ = self.to_hasher.send((Arc::clone(&piece), len));
        let _ = self.to_disk.send(piece);
        drop((self.to_disk, self.to_hasher));
        let digest = self.hasher.join().expect("hashing does not panic");
        self.disk.join().expect("writing does not panic")?;
        Ok(digest)
    }

    fn failure(self) -> io::Error {
        drop((self.to_disk, self.to_hasher));
        let outcome = self.disk.join().expect("writing does not panic");
        outcome.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into())
    }
}

impl Drop for Writer {
    /// A file that is given up: nothing is written to it any more when this returns.
    fn drop(&mut self) {
        if let Some(aside) = self.aside.take() {
            drop(aside.failure());
        }
    }
}

/// Keeps the buffer for another piece, once both threads are through with it.
fn recycle(piece: Arc<AlignedBuf>, spare: &SyncSender<AlignedBuf>) {
    if let Some(piece) = Arc::into_inner(piece) {
        // One too many is simply freed.
        let _ = spare.try_send(piece);
    }
}
