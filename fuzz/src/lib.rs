//! What the targets share: reading choices from the fuzzer's bytes, and stores on a disk in memory.
//!
//! Built with `--cfg fuzzing` checksums always fit, so that mutated bytes get past them.

use statedir::base::{Local, Lsn, Nanos};
use statedir::disk::fake::FakeDisk;
use statedir::store::OpenError;
use statedir::{Batch, Options, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The fuzzer's bytes, read as choices. At their end every choice is 0.
#[derive(Debug)]
pub struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Choices { rest: bytes }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        head
    }

    pub fn u8(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }
}

/// A store without threads, small files, and a clock that moves on by a second at each look.
#[must_use]
pub fn options() -> Options {
    let clock = AtomicU64::new(1_700_000_000);
    Options {
        snapshot_min_bytes: 1 << 20,
        segment_min: 16 << 10,
        segment_max: 32 << 10,
        clock: Arc::new(move || Nanos(clock.fetch_add(1, Ordering::Relaxed) * 1_000_000_000)),
        ..Options::default().without_history().without_threads()
    }
}

/// Opens a disk for writing.
///
/// # Errors
/// As [`Store::open_on`].
pub fn open(disk: &FakeDisk) -> Result<Store, OpenError> {
    Store::open_on(Arc::new(disk.clone()), options(), Arc::new(Local))
}

/// A save of one put.
///
/// # Panics
/// If it is outside the limits.
#[must_use]
pub fn put(table: &str, key: &[u8], value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(table, key, value).expect("a valid put");
    batch
}

/// A store with everything that a directory can hold: two epochs, several segments, two snapshots
/// with log before, between and behind.
///
/// # Panics
/// If the engine does not work.
#[must_use]
pub fn seed_store() -> FakeDisk {
    let disk = FakeDisk::new(512);
    Store::create_on(&disk).expect("an empty disk");
    let keep = Options {
        history: std::time::Duration::from_secs(1 << 30),
        history_ratio: 1e9,
        ..options()
    };
    for epoch in 0..2_u8 {
        let local = Arc::new(Local);
        let store = Store::open_on(Arc::new(disk.clone()), keep.clone(), local).expect("sound");
        for save in 0..8_u8 {
            let value = [save; 700];
            store.save(put("jobs", &[b'k', epoch, save], &value)).expect("room");
            if save == 3 {
                let made = store.checkpoint().expect("room");
                assert_eq!(made, Some(Lsn(u64::from(epoch) * 9 + 4)));
            }
        }
        let mut batch = put("nodes", b"node", b"up");
        batch.delete("jobs", &[b'k', epoch, 0]).expect("a valid delete");
        store.save(batch).expect("room");
        store.close().expect("room");
    }
    disk
}
