//! What all workloads do: fill a store, back it up, run cp and rsync on it, and the clock.

use crate::data::{PAIR, Values, key, shuffled};
use crate::flags::Flags;
use crate::scratch::Scratch;
use statedir::base::Nanos;
use statedir::disk::{Disk, Real};
use statedir::export::{Backup, Done, Repository, backup_on};
use statedir::{Batch, Options, Store};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Ops of a save.
const OPS: u64 = 1000;

/// A store that holds `keys` in one snapshot, and no history.
pub fn filled(flags: &Flags, scratch: &Scratch, values: &Values) -> (Store, PathBuf) {
    let options = Options { snapshot_ratio: 1e9, ..Options::default().without_history() };
    let (store, path) = scratch.store(options);
    for first in (0..flags.keys).step_by(OPS as usize) {
        let mut batch = Batch::new();
        for number in first..(first + OPS).min(flags.keys) {
            batch.put("jobs", &key(number), values.value(number * 31)).expect("within limits");
        }
        store.save(batch).expect("saves");
    }
    store.checkpoint().expect("a snapshot");
    store.prune().expect("what it supersedes goes");
    (store, path)
}

/// Changes a hundredth of the keys at random, in saves of 1,000 ops; returns bytes of keys and
/// values.
pub fn change(store: &Store, flags: &Flags, values: &Values, pass: u64) -> u64 {
    let changed = flags.keys / 100;
    for first in (0..changed).step_by(OPS as usize) {
        let mut batch = Batch::new();
        for i in first..(first + OPS).min(changed) {
            let number = shuffled(i, flags.keys, pass);
            batch.put("jobs", &key(number), values.value(i * 7 + pass)).expect("within limits");
        }
        store.save(batch).expect("saves");
    }
    changed * PAIR
}

/// Backs the store up.
pub fn back_up(source: &Path, dest: &Path, incremental: bool) -> Done {
    let disk: Arc<dyn Disk> = Arc::new(Real::open(source).expect("the store's directory"));
    let repository = match Real::open(dest) {
        Ok(disk) => disk,
        Err(_) => Real::create(dest).expect("a directory"),
    };
    let repository = Repository::create(Arc::new(repository)).expect("a repository");
    let wanted = Backup { incremental, now: Nanos::now(), ..Backup::default() };
    backup_on(&disk, &repository, &wanted, &mut |_| {}).expect("a backup")
}

/// Runs a program to its end.
pub fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status();
    let status = status.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {args:?}: {status}");
}

/// Reads every file of a directory, so that its pages are in memory.
pub fn warm(dir: &Path) {
    for entry in std::fs::read_dir(dir).expect("the directory is there") {
        let path = entry.expect("an entry").path();
        let mut file = std::fs::File::open(path).expect("a file");
        std::io::copy(&mut file, &mut std::io::sink()).expect("reads");
    }
}

/// Everything on the file system is written, and the disk has rested.
pub fn settle(flags: &Flags) {
    let dir = std::fs::File::open(&flags.dir).expect("the bench directory");
    rustix::fs::syncfs(dir).expect("syncs");
    std::thread::sleep(Duration::from_secs_f64(flags.rest));
}

/// How long it takes, in seconds.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let from = Instant::now();
    let outcome = work();
    (outcome, from.elapsed().as_secs_f64())
}

/// Text of a path that the bench has made.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("the bench's paths are text")
}

/// Removes a directory, and waits until its blocks are free.
pub fn remove(dir: &Path) {
    std::fs::remove_dir_all(dir).expect("it is there");
}

/// Bytes of all files in a directory.
pub fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("the directory is there");
    entries.map(|entry| entry.expect("an entry").metadata().expect("its facts").len()).sum()
}
