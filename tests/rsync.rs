//! Copies by the real rsync while a store is written: each is a valid store, and holds at least
//! what was acknowledged before rsync began.
//!
//! Repeating rsync onto the same copy is the harder half: rsync skips a file whose length and
//! whole-second time are as in the copy. `the_listing_changes_with_every_save` states what the
//! engine does about that, without rsync.

mod programs;

use statedir::base::{Local, Lsn};
use statedir::snapshot::SnapshotError;
use statedir::store::{Found, OpenError};
use statedir::{Batch, Options, Reader, Store, View};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Live copies under load, in series onto the same directory. A slow machine needs more until
/// enough of them overlap what they should.
const COPIES: usize = 100;
const COPIES_MAX: usize = 500;
const SERIES: usize = 5;

/// Superseded files stay this long here: far longer than one rsync takes.
const RETAIN: Duration = Duration::from_secs(4);

const KEYS: u64 = 1500;
const WRITERS: u64 = 4;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// splitmix64: enough to choose keys, lengths and pauses.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What one save does, from one number: every ninth deletes.
fn change(seed: u64) -> (Vec<u8>, Option<Vec<u8>>) {
    let key = format!("key-{:05}", seed % KEYS).into_bytes();
    let len = usize::try_from(seed >> 32).unwrap() % 1200;
    let value = (!seed.is_multiple_of(9)).then(|| seed.to_le_bytes().repeat(len / 8 + 1));
    (key, value)
}

fn batch(seed: u64) -> Batch {
    let mut batch = Batch::new();
    match change(seed) {
        (key, Some(value)) => batch.put("jobs", &key, &value).unwrap(),
        (key, None) => batch.delete("jobs", &key).unwrap(),
    };
    batch
}

/// What was acknowledged, by LSN.
#[derive(Default)]
struct Ledger {
    seeds: Mutex<Vec<Option<u64>>>,
    acknowledged: AtomicU64,
}

impl Ledger {
    fn note(&self, lsn: Lsn, seed: u64) {
        let mut seeds = self.seeds.lock().unwrap();
        let at = usize::try_from(lsn.0).unwrap() - 1;
        if seeds.len() <= at {
            seeds.resize(at + 1, None);
        }
        seeds[at] = Some(seed);
        self.acknowledged.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// Groups are flushed in order: what this names, and all before it, is durable.
    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// The seeds of the saves up to `lsn`. Those in flight while a copy was made are acknowledged
    /// soon after.
    fn up_to(&self, lsn: u64) -> Vec<u64> {
        let deadline = Instant::now() + Duration::from_secs(20);
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
fn model(seeds: &[u64]) -> Model {
    let mut model = Model::new();
    for seed in seeds {
        match change(*seed) {
            (key, Some(value)) => drop(model.insert(key, value)),
            (key, None) => drop(model.remove(&key)),
        }
    }
    model
}

fn dump(view: &View) -> Model {
    let mut all = Model::new();
    view.for_each(|table, key, value| {
        assert_eq!(table, "jobs");
        all.insert(key.to_vec(), value.to_vec());
        Ok::<(), SnapshotError>(())
    })
    .unwrap();
    all
}

fn fresh(options: &Options) -> (tempfile::TempDir, PathBuf, Store) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state");
    Store::create(&path, options).unwrap();
    let store = Store::open(&path, options.clone(), Arc::new(Local)).unwrap();
    (home, path, store)
}

fn small() -> Options {
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
enum Ended {
    Well,
    /// Exit code 24: a file that it had listed was superseded for longer than `RETAIN`, and is
    /// gone.
    Vanished,
}

fn rsync(program: &Path, from: &Path, to: &Path, more: &[&str]) -> Ended {
    let mut command = Command::new(program);
    command.arg("-a").args(more).arg(from.join("")).arg(to.join(""));
    let ran = command.output().unwrap();
    match ran.status.code() {
        Some(0) => Ended::Well,
        Some(24) => Ended::Vanished,
        _ => panic!("{ran:?}"),
    }
}

/// The copy is a store, with everything acknowledged before it was begun, and the state of its LSN.
fn check(copy: &Path, ledger: &Ledger, before: u64) -> u64 {
    let reader = Reader::open(copy).unwrap_or_else(|error| panic!("invalid copy: {error}"));
    assert!(reader.report().copy && reader.report().damaged_snapshots.is_empty());
    let lsn = reader.view().lsn().0;
    assert!(lsn >= before, "lsn {before} was acknowledged before rsync began, the copy has {lsn}");
    assert!(dump(reader.view()) == model(&ledger.up_to(lsn)), "wrong state at lsn {lsn}");
    lsn
}

fn names(path: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(path).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What rsync compares: length and whole-second time of every file.
fn listing(path: &Path) -> BTreeMap<String, (u64, i64)> {
    let entries = std::fs::read_dir(path).unwrap().map(Result::unwrap);
    let listed = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some((entry.file_name().into_string().unwrap(), (metadata.len(), metadata.mtime())))
    });
    listed.collect()
}

/// Saves from several threads until told to stop.
fn load(store: &Store, ledger: &Ledger, stop: &AtomicBool, body: impl FnOnce()) {
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

/// How many copies overlapped what.
#[derive(Debug, Default)]
struct Overlaps {
    copies: usize,
    rotation: usize,
    publication: usize,
    deletion: usize,
    /// Of these, copies for which rsync listed a file just before it was deleted.
    vanished: usize,
}

impl Overlaps {
    fn enough(&self) -> bool {
        self.rotation >= 50 && self.publication >= 20 && self.deletion >= 10
    }
}

#[test]
fn a_hundred_live_copies_under_full_load_are_valid() {
    let test = "a_hundred_live_copies_under_full_load_are_valid";
    let Some(program) = programs::find("rsync", test) else { return };
    let (home, path, store) = fresh(&small());
    let (ledger, stop) = (Ledger::default(), AtomicBool::new(false));
    let mut overlaps = Overlaps::default();
    load(&store, &ledger, &stop, || {
        // Deletions begin when the first superseded files are old enough.
        std::thread::sleep(RETAIN);
        for number in 0..COPIES_MAX {
            if number >= COPIES && overlaps.enough() {
                break;
            }
            overlaps.copies += 1;
            let copy = home.path().join(format!("copy-{}", number / SERIES));
            let before = (ledger.acknowledged(), names(&path), store.progress().checkpoints);
            // With and without the removal of what the source no longer has.
            let more: &[&str] =
                if (number / SERIES).is_multiple_of(2) { &[] } else { &["--delete"] };
            let ended = rsync(&program, &path, &copy, more);
            let after = (names(&path), store.progress().checkpoints);
            let made = after.0.difference(&before.1);
            overlaps.rotation += usize::from(made.into_iter().any(|n| n.starts_with("log-")));
            overlaps.publication += usize::from(after.1 > before.2);
            overlaps.deletion += usize::from(before.1.difference(&after.0).next().is_some());
            // What vanishes was superseded long before the listing: the copy does without.
            overlaps.vanished += usize::from(ended == Ended::Vanished);
            check(&copy, &ledger, before.0);
            if number % SERIES == SERIES - 1 {
                std::fs::remove_dir_all(&copy).unwrap();
            }
        }
    });
    let progress = store.progress();
    store.close().unwrap();
    println!("all copies valid: {overlaps:?}, {progress:?}");
    assert!(overlaps.enough(), "{overlaps:?}");
}

#[test]
fn copies_back_to_back_onto_one_directory_miss_nothing_acknowledged() {
    let test = "copies_back_to_back_onto_one_directory_miss_nothing_acknowledged";
    let Some(program) = programs::find("rsync", test) else { return };
    let (home, path, store) = fresh(&Options::default());
    let (ledger, stop) = (Ledger::default(), AtomicBool::new(false));
    let copy = home.path().join("copy");
    std::thread::scope(|scope| {
        let (store, ledger, stop) = (&store, &ledger, &stop);
        scope.spawn(move || {
            let mut state = 7;
            while !stop.load(Ordering::Relaxed) {
                // Bursts of single saves with pauses around the engine's own intervals.
                for _ in 0..random(&mut state) % 20 {
                    let seed = random(&mut state);
                    ledger.note(store.save(batch(seed)).unwrap(), seed);
                    std::thread::sleep(Duration::from_micros(random(&mut state) % 3000));
                }
                std::thread::sleep(Duration::from_millis(random(&mut state) % 120));
            }
        });
        let outcome = std::panic::catch_unwind(|| {
            for _ in 0..300 {
                let before = ledger.acknowledged();
                assert_eq!(rsync(&program, &path, &copy, &[]), Ended::Well);
                check(&copy, ledger, before);
            }
        });
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    store.close().unwrap();
}

#[test]
fn a_save_in_the_second_of_a_copy_is_in_the_next_copy_after_a_pause() {
    let test = "a_save_in_the_second_of_a_copy_is_in_the_next_copy_after_a_pause";
    let Some(program) = programs::find("rsync", test) else { return };
    let (home, path, store) = fresh(&Options::default());
    let ledger = Ledger::default();
    let copy = home.path().join("copy");
    let mut state = 3;
    let mut save = |store: &Store| {
        let seed = random(&mut state);
        ledger.note(store.save(batch(seed)).unwrap(), seed);
    };
    for round in 0..40 {
        save(&store);
        assert_eq!(rsync(&program, &path, &copy, &[]), Ended::Well);
        save(&store);
        // Idle; then all of it within one second, or at times over two.
        std::thread::sleep(Duration::from_millis(40 + round * 5));
        let before = ledger.acknowledged();
        assert_eq!(rsync(&program, &path, &copy, &[]), Ended::Well);
        check(&copy, &ledger, before);
    }
    save(&store);
    assert_eq!(rsync(&program, &path, &copy, &[]), Ended::Well);
    save(&store);
    store.close().unwrap();
    assert_eq!(rsync(&program, &path, &copy, &[]), Ended::Well);
    assert_eq!(check(&copy, &ledger, ledger.acknowledged()), ledger.acknowledged());
}

#[test]
fn the_listing_changes_with_every_save() {
    let (_home, path, store) = fresh(&Options { segment_max: 256 << 10, ..Options::default() });
    let mut state = 11;
    for round in 0..100_u64 {
        store.save(batch(random(&mut state))).unwrap();
        let before = listing(&path);
        std::thread::sleep(Duration::from_millis(round % 20));
        store.save(batch(random(&mut state))).unwrap();
        // The engine takes 20 ms, where the machine lets it.
        std::thread::sleep(Duration::from_millis(60));
        let after = listing(&path);
        let changed = after.iter().any(|(name, facts)| {
            name.starts_with("log-") && before.get(name).is_some_and(|old| old != facts)
        });
        assert!(changed, "round {round}: rsync would not see the save");
    }
    let before = listing(&path);
    store.save(batch(1)).unwrap();
    store.close().unwrap();
    assert_ne!(before, listing(&path), "rsync would not see the save before the close");
}

#[test]
fn a_copy_opened_for_writing_has_a_history_of_its_own() {
    let test = "a_copy_opened_for_writing_has_a_history_of_its_own";
    let Some(program) = programs::find("rsync", test) else { return };
    let (home, path, store) = fresh(&small());
    let (ledger, stop) = (Ledger::default(), AtomicBool::new(false));
    let copy = home.path().join("copy");
    load(&store, &ledger, &stop, || {
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(rsync(&program, &path, &copy, &[]), Ended::Well);
    });
    let (incarnation, epoch) = (store.incarnation(), store.epoch());
    let lsn = check(&copy, &ledger, 1);
    let mut expected = model(&ledger.up_to(lsn));
    for round in 1..=3 {
        let store = Store::open(&copy, Options::default(), Arc::new(Local)).unwrap();
        assert_ne!(store.incarnation(), incarnation);
        assert!(store.epoch() > epoch);
        let mut batch = Batch::new();
        batch.put("jobs", b"own", &[round]).unwrap();
        assert_eq!(store.save(batch).unwrap(), Lsn(lsn + u64::from(round)));
        if round == 2 {
            store.checkpoint().unwrap();
        }
        store.close().unwrap();
        expected.insert(b"own".to_vec(), vec![round]);
        let reader = Reader::open(&copy).unwrap();
        assert!(!reader.report().copy, "adopted: this is an original now");
        assert!(dump(reader.view()) == expected);
    }
    // The original never noticed.
    store.close().unwrap();
    assert_eq!(Reader::open(&path).unwrap().view().lsn().0, ledger.acknowledged());
}

#[test]
fn a_copy_of_a_closed_store_is_whole_through_reopenings() {
    let test = "a_copy_of_a_closed_store_is_whole_through_reopenings";
    let Some(program) = programs::find("rsync", test) else { return };
    let (home, path, mut store) = fresh(&Options::default());
    let ledger = Ledger::default();
    let copy = home.path().join("copy");
    let mut state = 5;
    for round in 0..10 {
        for _ in 0..20 {
            let seed = random(&mut state);
            ledger.note(store.save(batch(seed)).unwrap(), seed);
        }
        if round % 3 == 2 {
            store.checkpoint().unwrap();
        }
        store.close().unwrap();
        assert_eq!(rsync(&program, &path, &copy, &[]), Ended::Well);
        let lsn = check(&copy, &ledger, ledger.acknowledged());
        assert_eq!(lsn, ledger.acknowledged());
        store = Store::open(&path, Options::default(), Arc::new(Local)).unwrap();
    }
    store.close().unwrap();
}

#[test]
fn a_copy_without_one_of_its_segments_is_refused_by_name() {
    let test = "a_copy_without_one_of_its_segments_is_refused_by_name";
    let Some(program) = programs::find("rsync", test) else { return };
    let options = Options { segment_max: 256 << 10, ..Options::default() };
    let (home, path, store) = fresh(&options);
    let mut state = 5;
    while store.progress().log_bytes < 1 << 20 {
        store.save(batch(random(&mut state))).unwrap();
    }
    store.close().unwrap();
    let segments: Vec<String> =
        names(&path).into_iter().filter(|name| name.starts_with("log-")).collect();
    let end = Reader::open(&path).unwrap().end().segment.ordinal;
    assert!(end >= 3, "{segments:?}");
    for (ordinal, lost) in (1..=end).zip(&segments) {
        let copy = home.path().join(format!("copy-{ordinal}"));
        assert_eq!(rsync(&program, &path, &copy, &["--exclude", lost]), Ended::Well);
        match Reader::open(&copy) {
            Err(OpenError::Corruption(damage)) => {
                assert_eq!(damage.file, *lost, "{damage}");
                assert_eq!(damage.found, Found::Missing, "{damage}");
            }
            other => panic!("without {lost}: {other:?}"),
        }
    }
}
