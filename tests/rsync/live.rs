//! A live store and what rsync makes of it: saves with a ledger, and the judgement of a copy.

use crate::limited;
use statedir::base::{Local, Lsn};
use statedir::snapshot::SnapshotError;
use statedir::{Batch, Options, Reader, Store, View};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Superseded files stay this long here: far longer than one rsync takes.
pub const RETAIN: Duration = Duration::from_secs(4);

pub const KEYS: u64 = 1500;
pub const WRITERS: u64 = 4;

pub type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// splitmix64: enough to choose keys, lengths and pauses.
pub fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What one save does, from one number: every ninth deletes.
pub fn change(seed: u64) -> (Vec<u8>, Option<Vec<u8>>) {
    let key = format!("key-{:05}", seed % KEYS).into_bytes();
    let len = usize::try_from(seed >> 32).unwrap() % 1200;
    let value = (!seed.is_multiple_of(9)).then(|| seed.to_le_bytes().repeat(len / 8 + 1));
    (key, value)
}

pub fn batch(seed: u64) -> Batch {
    let mut batch = Batch::new();
    match change(seed) {
        (key, Some(value)) => batch.put("jobs", &key, &value).unwrap(),
        (key, None) => batch.delete("jobs", &key).unwrap(),
    };
    batch
}

/// What was acknowledged, by LSN.
#[derive(Default)]
pub struct Ledger {
    seeds: Mutex<Vec<Option<u64>>>,
    acknowledged: AtomicU64,
}

impl Ledger {
    pub fn note(&self, lsn: Lsn, seed: u64) {
        let mut seeds = self.seeds.lock().unwrap();
        let at = usize::try_from(lsn.0).unwrap() - 1;
        if seeds.len() <= at {
            seeds.resize(at + 1, None);
        }
        seeds[at] = Some(seed);
        self.acknowledged.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// Groups are flushed in order: what this names, and all before it, is durable.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// The seeds of the saves up to `lsn`. Those in flight while a copy was made are acknowledged
    /// soon after.
    pub fn up_to(&self, lsn: u64) -> Vec<u64> {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let seeds = self.seeds.lock().unwrap();
            let head = seeds.get(..usize::try_from(lsn).unwrap());
            if let Some(seeds) = head.and_then(|head| head.iter().copied().collect()) {
                return seeds;
            }
            drop(seeds);
            assert!(Instant::now() < deadline, "lsn {lsn} is in a copy and was never acknowledged");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The state after the saves that a ledger holds.
pub fn model(seeds: &[u64]) -> Model {
    let mut model = Model::new();
    for seed in seeds {
        match change(*seed) {
            (key, Some(value)) => drop(model.insert(key, value)),
            (key, None) => drop(model.remove(&key)),
        }
    }
    model
}

pub fn dump(view: &View) -> Model {
    let mut all = Model::new();
    view.for_each(|table, key, value| {
        assert_eq!(table, "jobs");
        all.insert(key.to_vec(), value.to_vec());
        Ok::<(), SnapshotError>(())
    })
    .unwrap();
    all
}

pub fn fresh(options: &Options) -> (tempfile::TempDir, PathBuf, Store) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state");
    Store::create(&path, options).unwrap();
    let store = Store::open(&path, options.clone(), Arc::new(Local)).unwrap();
    (home, path, store)
}

pub fn small() -> Options {
    Options {
        snapshot_min_bytes: 1 << 20,
        retain_min_age: RETAIN,
        history: Duration::ZERO,
        history_ratio: 0.0,
        segment_min: 256 << 10,
        segment_max: 256 << 10,
        ..Options::default()
    }
}

/// How rsync ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Well,
    /// Exit code 24: a file that it had listed was superseded for longer than `RETAIN`, and is
    /// gone.
    Vanished,
}

pub fn rsync(program: &Path, from: &Path, to: &Path, more: &[&str]) -> Ended {
    let mut command = Command::new(program);
    command.arg("-a").args(more).arg(from.join("")).arg(to.join(""));
    let ran = limited::output(&mut command);
    match ran.status.code() {
        Some(0) => Ended::Well,
        Some(24) => Ended::Vanished,
        _ => panic!("{ran:?}"),
    }
}

/// The copy is a store, with everything acknowledged before it was begun, and the state of its LSN.
pub fn check(copy: &Path, ledger: &Ledger, before: u64) -> u64 {
    let reader = Reader::open(copy).unwrap_or_else(|error| panic!("invalid copy: {error}"));
    assert!(reader.report().copy && reader.report().damaged_snapshots.is_empty());
    let lsn = reader.view().lsn().0;
    assert!(lsn >= before, "lsn {before} was acknowledged before rsync began, the copy has {lsn}");
    assert!(dump(reader.view()) == model(&ledger.up_to(lsn)), "wrong state at lsn {lsn}");
    lsn
}

pub fn names(path: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(path).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What rsync compares: length and whole-second time of every file.
pub fn listing(path: &Path) -> BTreeMap<String, (u64, i64)> {
    let entries = std::fs::read_dir(path).unwrap().map(Result::unwrap);
    let listed = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some((entry.file_name().into_string().unwrap(), (metadata.len(), metadata.mtime())))
    });
    listed.collect()
}

/// Saves from several threads until told to stop.
pub fn load(store: &Store, ledger: &Ledger, stop: &AtomicBool, body: impl FnOnce()) {
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let mut state = writer;
                while !stop.load(Ordering::Relaxed) {
                    let seed = random(&mut state);
                    ledger.note(store.save(batch(seed)).unwrap(), seed);
                }
            });
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Saves until this many more bytes are logged.
pub fn save_until(store: &Store, ledger: &Ledger, state: &mut u64, bytes: u64) {
    let end = store.progress().log_bytes + bytes;
    while store.progress().log_bytes < end {
        let seed = random(state);
        ledger.note(store.save(batch(seed)).unwrap(), seed);
    }
}
