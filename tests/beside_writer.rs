//! Verification and readers beside a writer under full load, with rotation, snapshots, deletions,
//! and writers that close and come again: no false alarm, nothing that is not there, no way back.
//!
//! `STATEDIR_VERIFY_RUNS` sets how often is looked.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::frozen::Frozen;
use common::limited::{sets, until};
use common::{fake_disk, shared, tiny};
use statedir::base::{Local, Lsn};
use statedir::store::{Level, Verified, verify};
use statedir::{Batch, Options, Reader, Store};
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Runs without the environment variable.
const RUNS: u64 = 30_000;

/// Threads that look.
const LOOKERS: u64 = 2;

/// Saves in flight.
const PIPELINE: usize = 16;

/// Saves between two snapshots, and snapshots between two openings.
const SAVES_PER_SNAPSHOT: u64 = 100;
const SNAPSHOTS_PER_LIFE: u64 = 40;

/// What the writer has done so far.
#[derive(Default)]
struct Progress {
    over: AtomicBool,
    acknowledged: AtomicU64,
    submitted: AtomicU64,
    rotations: AtomicU64,
    snapshots: AtomicU64,
    deleted: AtomicU64,
    lives: AtomicU64,
}

/// The `number`th save: its own number, a body, a key that comes and goes.
fn batch(number: u64) -> Batch {
    let mut batch = Batch::new();
    let key = format!("k{}", number % 400);
    let body = vec![number as u8; usize::try_from(number * 37 % 4000).unwrap()];
    batch.put("jobs", key.as_bytes(), &body).unwrap();
    batch.put("meta", b"count", number.to_string().as_bytes()).unwrap();
    batch.delete("jobs", format!("k{}", (number + 11) % 400).as_bytes()).unwrap();
    batch
}

fn options() -> Options {
    let options = Options {
        segment_min: 32 << 10,
        segment_max: 64 << 10,
        snapshot_min_bytes: 256 << 10,
        ..Options::default()
    };
    options.without_history()
}

fn files(path: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(path).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// One opening of the store: saves without a pause, a snapshot now and then.
fn live(path: &Path, progress: &Progress) {
    let store = Store::open(path, options(), Arc::new(Local)).unwrap();
    let mut flying = VecDeque::new();
    let mut number = store.view().lsn().0;
    assert_eq!(number, progress.submitted.load(Ordering::Relaxed), "closing finishes every save");
    let mut before = files(path);
    for _ in 0..SNAPSHOTS_PER_LIFE {
        for _ in 0..SAVES_PER_SNAPSHOT {
            number += 1;
            progress.submitted.store(number, Ordering::Release);
            flying.push_back(store.submit(batch(number)).unwrap());
            if flying.len() >= PIPELINE {
                let lsn = flying.pop_front().unwrap().wait().unwrap();
                progress.acknowledged.store(lsn.0, Ordering::Release);
            }
        }
        store.checkpoint().unwrap();
        let now = files(path);
        let new = now.difference(&before);
        let rotations = new.filter(|name| name.starts_with("log-")).count();
        progress.rotations.fetch_add(rotations as u64, Ordering::Relaxed);
        progress.deleted.fetch_add(before.difference(&now).count() as u64, Ordering::Relaxed);
        progress.snapshots.fetch_add(1, Ordering::Relaxed);
        before = now;
        if progress.over.load(Ordering::Acquire) {
            break;
        }
    }
    drop(flying);
    store.close().unwrap();
    progress.lives.fetch_add(1, Ordering::Relaxed);
}

/// What a verification must say of a sound store.
fn sound(verified: &Verified) -> Lsn {
    assert!(verified.findings.is_empty(), "a false alarm: {:?}", verified.findings);
    assert!(!verified.report.degraded(), "a false alarm: {:?}", verified.report);
    assert!(!verified.report.copy && !verified.report.one_slot, "{:?}", verified.report);
    assert_eq!(verified.snapshots_ok, verified.snapshots);
    verified.lsn
}

fn read(path: &Path) -> Lsn {
    let reader = Reader::open(path).unwrap();
    assert!(!reader.report().degraded(), "a false alarm: {:?}", reader.report());
    let lsn = reader.view().lsn();
    let count = reader.view().get("meta", b"count").unwrap().map(<[u8]>::to_vec);
    let own = (lsn.0 > 0).then(|| lsn.to_string().into_bytes());
    assert_eq!(count, own, "the state is that of its LSN");
    lsn
}

fn look(path: &Path, looker: u64, runs: u64, progress: &Progress) {
    let mut last = Lsn::ZERO;
    for run in 0..runs {
        let lsn = match (run + looker) % 4 {
            0 => sound(&verify(path, Level::Quick).unwrap()),
            1 | 2 => sound(&verify(path, Level::Full).unwrap()),
            _ => read(path),
        };
        assert!(lsn >= last, "run {run} goes back from {last} to {lsn}");
        let submitted = progress.submitted.load(Ordering::Acquire);
        assert!(lsn.0 <= submitted, "run {run} shows {lsn} of {submitted}");
        last = lsn;
    }
    let acknowledged = progress.acknowledged.load(Ordering::Acquire);
    assert!(last.0 > 0 && acknowledged > 0, "there was something to see");
}

#[test]
fn verification_beside_a_writer_gives_no_false_alarm() {
    let asked = std::env::var("STATEDIR_VERIFY_RUNS").ok();
    let runs: u64 = asked.map_or(RUNS, |runs| runs.parse().expect("a number"));
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state");
    Store::create(&path, &options()).unwrap();
    let progress = Progress::default();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !progress.over.load(Ordering::Acquire) {
                live(&path, &progress);
            }
        });
        let _over = sets(&progress.over);
        until("a snapshot is there", || {
            assert!(!writer.is_finished(), "it writes until it is told");
            progress.snapshots.load(Ordering::Relaxed) > 0
        });
        let lookers: Vec<_> = (0..LOOKERS)
            .map(|looker| {
                let (path, progress) = (&path, &progress);
                scope.spawn(move || look(path, looker, runs / LOOKERS, progress))
            })
            .collect();
        for looker in lookers {
            if let Err(panic) = looker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{runs} runs beside {} saves, {} new segments, {} snapshots, {} deletions, {} openings",
        count(&progress.submitted),
        count(&progress.rotations),
        count(&progress.snapshots),
        count(&progress.deleted),
        count(&progress.lives),
    );
    // What the looks were to be beside did happen.
    assert!(count(&progress.snapshots) >= runs / 300, "too few snapshots");
    assert!(count(&progress.rotations) >= runs / 300, "too few rotations");
    assert!(count(&progress.deleted) >= runs / 300, "too few deletions");
    assert_eq!(sound(&verify(&path, Level::Full).unwrap()).0, count(&progress.submitted));
}

/// On a busy machine a reader was once five times in a row slower than a writer that retains
/// nothing, and took that for damage.
#[test]
fn a_reader_that_a_writer_is_faster_than_many_times_in_a_row_tells_no_damage() {
    const CALLS: u64 = 300;
    let disk = fake_disk(512);
    Store::create_on(&disk).unwrap();
    let options = tiny(&disk).without_history();
    let store = Arc::new(Store::open_on(shared(&disk), options, Arc::new(Local)).unwrap());
    let steps = Arc::new(AtomicU64::new(0));
    let step = |store: &Store, steps: &AtomicU64| {
        let number = steps.fetch_add(1, Ordering::Relaxed) + 1;
        store.save(batch(number)).unwrap();
        store.checkpoint().unwrap();
        store.maintain().unwrap();
        store.prune().unwrap();
    };
    step(&store, &steps);
    // Before each of so many calls of the reader, what it may have listed goes.
    let mut seen = shared(&disk);
    for call in 1..=CALLS {
        let (store, steps) = (Arc::clone(&store), Arc::clone(&steps));
        seen = Arc::new(Frozen::new(seen, call, move || step(&store, &steps)));
    }
    let reader = Reader::open_on(seen).unwrap();
    let all = CALLS + 1;
    assert_eq!(steps.load(Ordering::Relaxed), all, "it has read on until nothing went");
    assert_eq!(reader.view().lsn(), Lsn(all));
}
