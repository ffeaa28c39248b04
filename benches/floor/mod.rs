//! The floor: the fastest honest bare log this machine gives, to measure storage engines against.
//!
//! It does what no durable log can leave out and nothing else: a save is copied into the open
//! group, the group is sealed with a header and a CRC, written once, made durable, and then
//! exactly its members return. There is no index, no snapshot, no recovery and no space to win
//! back; files are written over with zeros before anything is timed, and written round and round.
//!
//! Invariants:
//! * a save returns only after its whole group is on stable storage;
//! * at most one group is in flight, and at most one thread waits to lead the next;
//! * lsns rise by one per save, in the order in which saves lie in the files.
//!
//! Other bench targets take it in with `#[path = "floor/mod.rs"] mod floor;`.

#![allow(dead_code, reason = "each target that takes this in uses another part of it")]

mod buffer;
mod files;
mod gate;
mod pace;
mod scan;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use buffer::Buffer;
use files::Files;
use gate::Gates;
use pace::Pace;

#[allow(unused_imports, reason = "see above")]
pub use scan::scan;

/// How a group gets to stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `pwrite` into the page cache, then `fdatasync`.
    Buffered,
    /// One `pwrite` to a file opened with `O_DIRECT | O_DSYNC`.
    Direct,
}

/// A bare log with group commit by hand-off.
///
/// The first saver of a group leads it. The lead *is* the lock on `writer`: the leader of the
/// open group sleeps on it while the group before is in flight, and everybody who comes in
/// meanwhile joins. Nobody else ever asks for that lock, so releasing it hands the lead on.
pub struct Log {
    gather: Mutex<Gather>,
    writer: Mutex<Writer>,
    /// Members of the open group, for a leader to look at without the lock; changed under it.
    joined: AtomicU32,
    gates: Gates,
    failed: AtomicBool,
}

/// The open group.
struct Gather {
    buffer: Buffer,
    number: u32,
    first_lsn: u64,
    next_lsn: u64,
}

/// What the leader owns: the files, and the buffer that is not being gathered into.
struct Writer {
    buffer: Buffer,
    files: Files,
    pace: Pace,
}

impl Log {
    /// Creates a log in `dir` with at least `capacity` bytes of prewritten files.
    pub fn create(dir: &Path, mode: Mode, capacity: u64) -> io::Result<Log> {
        let files = Files::create(dir, mode, capacity)?;
        let writer = Writer { buffer: Buffer::new(), files, pace: Pace::default() };
        let gather = Gather { buffer: Buffer::new(), number: 1, first_lsn: 1, next_lsn: 1 };
        Ok(Log {
            gather: Mutex::new(gather),
            writer: Mutex::new(writer),
            joined: AtomicU32::new(0),
            gates: Gates::new(),
            failed: AtomicBool::new(false),
        })
    }

    /// Saves `bytes`; returns their lsn once they are durable.
    pub fn save(&self, bytes: &[u8]) -> io::Result<u64> {
        self.save_with(bytes.len(), |room| room.copy_from_slice(bytes))
    }

    /// Like [`Log::save`], with `fill` writing the `len` bytes straight into the group, so that
    /// a save of many parts is copied once. `fill` runs under the lock of the open group.
    pub fn save_with(&self, len: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<u64> {
        let mut open = lock(&self.gather);
        fill(open.buffer.append(len));
        let lsn = open.next_lsn;
        open.next_lsn += 1;
        let leads = self.joined.fetch_add(1, Ordering::Relaxed) == 0;
        let number = open.number;
        drop(open);
        if leads {
            self.lead(number)?;
        } else {
            self.gates.wait(number);
        }
        if self.failed.load(Ordering::Acquire) {
            return Err(io::Error::other("the floor's log failed to write a group"));
        }
        Ok(lsn)
    }

    /// Waits for the lead, writes group `number`, hands the lead on and wakes the members.
    fn lead(&self, number: u32) -> io::Result<()> {
        let mut writer = lock(&self.writer);
        writer.pace.linger(&self.joined);
        let mut open = lock(&self.gather);
        std::mem::swap(&mut open.buffer, &mut writer.buffer);
        let members = self.joined.swap(0, Ordering::Relaxed);
        let first_lsn = open.first_lsn;
        open.number = open.number.wrapping_add(1);
        open.first_lsn = open.next_lsn;
        drop(open);

        let Writer { buffer, files, pace } = &mut *writer;
        let start = Instant::now();
        let written = files.write(buffer.seal(first_lsn));
        buffer.clear();
        if self.joined.load(Ordering::Relaxed) == 0 {
            // The next group is better gathered in this buffer, which is warm in the cache.
            let mut open = lock(&self.gather);
            if self.joined.load(Ordering::Relaxed) == 0 {
                std::mem::swap(&mut open.buffer, buffer);
            }
        }
        pace.learn(members, self.joined.load(Ordering::Relaxed), start.elapsed());
        if written.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        // The lead goes first: the device must not idle while this thread wakes its members.
        drop(writer);
        self.gates.open(number, members > 1);
        written
    }
}

/// The sanity check of the floor: `n` times write `bytes` (padded to whole blocks) and flush, by
/// one thread with nothing around it. A one-writer floor below 0.9 of this rate is not a floor.
pub fn bare_loop(dir: &Path, mode: Mode, bytes: usize, n: u64) -> io::Result<Duration> {
    let mut buffer = Buffer::new();
    buffer.append(bytes).fill(0x5a);
    let block = buffer.seal(1);
    let mut files = Files::create(dir, mode, (block.len() as u64).saturating_mul(n).min(1 << 28))?;
    let start = Instant::now();
    for _ in 0..n {
        files.write(block)?;
    }
    Ok(start.elapsed())
}

/// Locks, poisoned or not: a panic of another saver leaves every field in one piece.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
