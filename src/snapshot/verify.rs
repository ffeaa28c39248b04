//! Comparing chunks with their checksums: one by one as they are read, or all of them at once.

use crate::base::limits::CHUNK;
use crate::format::snapshot::DATA_AT;
use crate::format::{FormatError, SnapshotHeader};
use crate::snapshot::{Snapshot, SnapshotError};
use std::iter;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

/// Chunks that a thread takes on at once: 1 MiB. Taken in order, so that the kernel's readahead
/// sees one sequential reader. Populating the page tables first was measured to cost more than the
/// faults that it saves.
const SHARE: usize = 16;

/// Chunks read at once beside savers, 256 KiB: what a save may have to wait for.
const SMALL_SHARE: usize = 4;

/// Which chunks were compared with their checksums.
///
/// Nothing is published through these bits, as the bytes were there before them: relaxed accesses
/// suffice, and whoever misses a bit compares once more.
#[derive(Debug)]
pub(super) struct Checked {
    all: AtomicBool,
    bits: Box<[AtomicU64]>,
}

impl Checked {
    pub(super) fn none(chunks: usize) -> Checked {
        let bits = (0..chunks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Checked { all: AtomicBool::new(false), bits }
    }

    fn has(&self, chunk: usize) -> bool {
        self.bits[chunk / 64].load(Ordering::Relaxed) & (1 << (chunk % 64)) != 0
    }

    fn add(&self, chunk: usize) {
        self.bits[chunk / 64].fetch_or(1 << (chunk % 64), Ordering::Relaxed);
    }
}

impl Snapshot {
    /// Compares every chunk with its checksum, on `threads` threads. After that reading checks
    /// nothing any more, unless the device loses a page.
    ///
    /// # Errors
    /// The first damage in the file.
    pub fn verify(&self, threads: usize) -> Result<(), SnapshotError> {
        self.verify_beside(threads, || ()).0
    }

    /// As [`Snapshot::verify`], and does `work` on this thread, which takes part when it is done.
    pub fn verify_beside<T>(
        &self,
        threads: usize,
        work: impl FnOnce() -> T,
    ) -> (Result<(), SnapshotError>, T) {
        let next = AtomicUsize::new(0);
        let (damage, done) = thread::scope(|scope| {
            let spawn = |_| {
                let builder = thread::Builder::new().name("verify".to_owned());
                // A thread that cannot be had is done without.
                builder.spawn_scoped(scope, || self.verify_shares(&next)).ok()
            };
            let others: Vec<_> = (1..threads).filter_map(spawn).collect();
            let done = work();
            let own = self.verify_shares(&next);
            let others = others.into_iter().map(|other| other.join().expect("it does not panic"));
            // Shares are handed out in order: everything before the least offset was compared.
            let damage = iter::once(own).chain(others).filter_map(Result::err);
            (damage.min_by_key(SnapshotError::offset), done)
        });
        let verified = damage.map_or(Ok(()), Err);
        if verified.is_ok() {
            self.trust_all();
        }
        (verified, done)
    }

    /// As [`Snapshot::verify`], on this thread and in small pieces; `pause` is called after each
    /// with the bytes that were read so far.
    pub fn verify_paced(&self, mut pause: impl FnMut(u64)) -> Result<(), SnapshotError> {
        self.mapping.read_sparsely();
        let chunks = self.footer().chunks.len();
        self.prefetch(0..SMALL_SHARE);
        for first in (0..chunks).step_by(SMALL_SHARE) {
            let next = first + SMALL_SHARE;
            self.prefetch(next..next + SMALL_SHARE);
            (first..chunks.min(next)).try_for_each(|number| self.check_chunk(number))?;
            pause((next * CHUNK) as u64);
        }
        self.trust_all();
        Ok(())
    }

    fn trust_all(&self) {
        self.mapping.read_sparsely();
        self.checked.all.store(true, Ordering::Relaxed);
    }

    /// Takes shares until none is left, or a chunk is damaged.
    fn verify_shares(&self, next: &AtomicUsize) -> Result<(), SnapshotError> {
        let chunks = self.footer().chunks.len();
        loop {
            let first = next.fetch_add(SHARE, Ordering::Relaxed);
            if first >= chunks {
                return Ok(());
            }
            let mut share = first..chunks.min(first + SHARE);
            let checked = share.try_for_each(|number| self.check_chunk(number));
            if checked.is_err() {
                // Nobody needs to go beyond this.
                next.store(chunks, Ordering::Relaxed);
                return checked;
            }
        }
    }

    /// Whether all chunks may be read without another look. Once a page was lost none may: what
    /// was compared before may read as zeros now.
    pub(super) fn all_checked(&self) -> bool {
        self.checked.all.load(Ordering::Relaxed) && !self.faulted()
    }

    /// Checks chunk `number` unless that was done before.
    pub(super) fn check_chunk_once(&self, number: usize) -> Result<(), SnapshotError> {
        if self.checked.has(number) && !self.faulted() {
            return Ok(());
        }
        self.prefetch(number..number + 1);
        self.check_chunk(number)
    }

    fn check_chunk(&self, number: usize) -> Result<(), SnapshotError> {
        let SnapshotHeader { incarnation, epoch, lsn, .. } = *self.header();
        let seed = SnapshotHeader::seed(incarnation, epoch, lsn, number as u64);
        let Err(source) = self.footer().chunks[number].check(seed, self.chunk(number)) else {
            self.checked.add(number);
            return Ok(());
        };
        let (name, offset) = (self.name().to_owned(), DATA_AT + (number * CHUNK) as u64);
        Err(match source {
            // A page that the device lost reads as zeros: the checksum is not to blame.
            _ if self.faulted() => SnapshotError::Unreadable { name, offset },
            FormatError::Checksum { stored, computed } => {
                SnapshotError::Chunk { name, offset, stored, computed }
            }
            _ => SnapshotError::Format { name, offset, source },
        })
    }
}
