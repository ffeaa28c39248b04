//! A restore's memory is bounded, however long the log in a backup is: every allocation of this
//! process is counted, so that this file holds one test.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::model::dump;
use statedir::base::{Epoch, Local, Lsn, Nanos};
use statedir::disk::{Disk, Real};
use statedir::export::{Backup, Hold, Opened, Repository, backup_on, restore_on};
use statedir::{Batch, Options, Reader, Store};
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counted.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        // SAFETY: as it came.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as it came.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that is held at once while `work` is done, besides what is held before.
fn most(work: impl FnOnce()) -> usize {
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    work();
    MOST.load(Ordering::Relaxed) - before
}

const MIB: usize = 1 << 20;

/// A state of 4 MiB that is written anew eight times, so that its log is 32 MiB.
const KEYS: u32 = 1024;
const VALUE: usize = 4096;
const ROUNDS: u8 = 8;

fn disk(path: &Path) -> Arc<dyn Disk> {
    Arc::new(Real::open(path).or_else(|_| Real::create(path)).unwrap())
}

fn source(dir: &Path) {
    Store::create(dir, &Options::default()).unwrap();
    let store = Store::open(dir, Options::default(), Arc::new(Local)).unwrap();
    for round in 0..ROUNDS {
        for keys in (0..KEYS).collect::<Vec<_>>().chunks(64) {
            let mut batch = Batch::new();
            for key in keys {
                batch.put("t", &key.to_be_bytes(), &[round; VALUE]).unwrap();
            }
            store.save(batch).unwrap();
        }
    }
    store.close().unwrap();
}

#[test]
fn a_restore_of_a_log_many_times_its_bound_stays_within_it_and_restores_the_same() {
    let home = tempfile::tempdir().unwrap();
    let (dir, dest) = (home.path().join("state"), home.path().join("repository"));
    source(&dir);
    let repository = Repository::create(disk(&dest)).unwrap();
    backup_on(&disk(&dir), &repository, &Backup::default(), &mut |_| {}).unwrap();
    drop(repository);
    let repository = Repository::open(disk(&dest), Hold::Read).unwrap();
    let manifest = repository.list().unwrap().pop().unwrap().manifest.unwrap();
    let log: u64 = manifest.parts.iter().map(|part| part.bytes).sum();
    assert!(log > 32 * MIB as u64 && manifest.base.is_none(), "all of it is a log: {log}");
    let mut opened = Opened::open(repository.disk().as_ref(), manifest, &mut |_| {}).unwrap();
    let restore = |opened: &Opened, name: &str| {
        let target = disk(&home.path().join(name));
        restore_on(opened, &target, None, Epoch(0), Nanos::now(), &mut |_| {}).unwrap();
    };
    opened.set_changes_max(u64::MAX);
    let unbounded = most(|| restore(&opened, "unbounded"));
    assert!(unbounded > 30 * MIB, "the count sees what is held: {unbounded}");
    opened.set_changes_max(2 * MIB as u64);
    let bounded = most(|| restore(&opened, "bounded"));
    println!("{log} bytes of log: {unbounded} held without a bound, {bounded} with 2 MiB");
    assert!(bounded < 5 * MIB, "{bounded} bytes were held");
    // Only looked at, it is not held at all.
    let looked = most(|| assert!(opened.reach(None).unwrap() > Lsn::ZERO));
    assert!(looked < MIB, "{looked} bytes were held");
    let [one, two] = ["unbounded", "bounded"].map(|name| {
        let reader = Reader::open(&home.path().join(name)).unwrap();
        dump(reader.view()).unwrap()
    });
    assert!(one == two && one == dump(Reader::open(&dir).unwrap().view()).unwrap());
    let snapshots = std::fs::read_dir(home.path().join("bounded"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("snap-"));
    assert_eq!(snapshots.count(), 1, "what was put down on the way is gone");
}
