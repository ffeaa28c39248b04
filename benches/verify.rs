//! `verify --full` beside `b3sum`, on the same files, warm, in turns.
//!
//! ```sh
//! cargo bench --bench verify -- [--mib 1024] [--ops 64] [--rounds 5] [--dir DIR] [--smoke]
//! ```
//!
//! The store holds half of its bytes in a snapshot and half in the log behind it, in saves of
//! `--ops` puts of 1 KiB. What is compared is the time for all of the directory's bytes.

use statedir::base::Local;
use statedir::store::{Level, verify};
use statedir::{Batch, Options, Store};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The goal: this part of the speed of b3sum.
const GOAL: f64 = 0.7;

struct Flags {
    mib: u64,
    ops: u64,
    rounds: usize,
    dir: PathBuf,
}

fn flags() -> Flags {
    let mut flags = Flags { mib: 1024, ops: 64, rounds: 5, dir: PathBuf::from("target/bench") };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut next = || args.next().unwrap_or_else(|| panic!("{arg} wants a value"));
        match arg.as_str() {
            "--smoke" => (flags.mib, flags.rounds) = (16, 1),
            "--mib" => flags.mib = next().parse().expect("a number"),
            "--ops" => flags.ops = next().parse().expect("a number"),
            "--rounds" => flags.rounds = next().parse().expect("a number"),
            "--dir" => flags.dir = PathBuf::from(next()),
            // What cargo itself passes on.
            "--bench" => {}
            other => panic!("unknown flag {other}"),
        }
    }
    flags
}

/// Saves `keys` values of 1 KiB.
fn fill(store: &Store, flags: &Flags, keys: u64, seed: u64) {
    let mut value = [0_u8; 1024];
    let mut number = seed;
    for first in (0..keys).step_by(usize::try_from(flags.ops).expect("few")) {
        let mut batch = Batch::new();
        for key in first..keys.min(first + flags.ops) {
            for byte in value.chunks_mut(8) {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                byte.copy_from_slice(&number.to_le_bytes());
            }
            let key = format!("key-{key:012}");
            batch.put("jobs", key.as_bytes(), &value).expect("within the limits");
        }
        store.save(batch).expect("room");
    }
}

fn make(path: &Path, flags: &Flags) {
    let options = Options { snapshot_min_bytes: u64::MAX, ..Options::default() };
    let options = options.without_history();
    Store::create(path, &options).expect("an empty directory");
    let store = Store::open(path, options, Arc::new(Local)).expect("a new store");
    let keys = flags.mib * 1024 / 2;
    fill(&store, flags, keys, 1);
    store.checkpoint().expect("room");
    store.prune().expect("nobody reads");
    fill(&store, flags, keys, 2);
    store.close().expect("room");
}

fn files(path: &Path) -> (Vec<PathBuf>, u64) {
    let entries = std::fs::read_dir(path).expect("made above");
    let paths = entries.map(|entry| entry.expect("made above").path());
    let mut files: Vec<PathBuf> = paths.collect();
    files.sort();
    let bytes = files.iter().map(|file| file.metadata().expect("there").len()).sum();
    (files, bytes)
}

fn b3sum(files: &[PathBuf]) -> Duration {
    let started = Instant::now();
    let ran = Command::new("b3sum").args(files).output().expect("b3sum is installed");
    assert!(ran.status.success(), "{ran:?}");
    started.elapsed()
}

fn ours(path: &Path) -> Duration {
    let started = Instant::now();
    let verified = verify(path, Level::Full).expect("sound");
    assert!(verified.findings.is_empty() && verified.snapshots_ok == 1, "{verified:?}");
    started.elapsed()
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn main() {
    let flags = flags();
    if Command::new("b3sum").arg("--version").output().is_err() {
        println!("skipped: b3sum is not in PATH");
        return;
    }
    std::fs::create_dir_all(&flags.dir).expect("a place to write");
    let path = flags.dir.join("verify");
    drop(std::fs::remove_dir_all(&path));
    make(&path, &flags);
    let (files, bytes) = files(&path);
    let (mut theirs, mut own) = (Vec::new(), Vec::new());
    // Once each, so that everything is in the page cache.
    b3sum(&files);
    ours(&path);
    for _ in 0..flags.rounds {
        theirs.push(b3sum(&files));
        own.push(ours(&path));
    }
    let (theirs, own) = (median(&mut theirs), median(&mut own));
    let speed = |seconds: f64| bytes as f64 / seconds / 1e9;
    let ratio = theirs / own;
    let met = if ratio >= GOAL { "met" } else { "NOT MET" };
    println!(
        "{} MiB, saves of {} puts: b3sum {theirs:.3} s ({:.2} GB/s), verify --full {own:.3} s \
         ({:.2} GB/s), ratio {ratio:.2}, goal {GOAL}: {met}",
        bytes >> 20,
        flags.ops,
        speed(theirs),
        speed(own)
    );
    std::fs::remove_dir_all(&path).expect("ours");
}
