//! What the register costs: saves in a shared directory beside saves in a local one, in interleaved
//! rounds on the same file system; medians, and their ratio.
//!
//! `cargo bench --bench shared -- [DIRECTORY]`; the directory decides which file system it is.

use statedir::base::{Authority, Local};
use statedir::disk::Real;
use statedir::format::Reason;
use statedir::role::{Check, Register};
use statedir::store::share_on;
use statedir::{Batch, Options, Store};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(500);

fn open(path: &Path, check: Option<Check>) -> Store {
    std::fs::create_dir_all(path).expect("room for a directory");
    Store::create(path, &Options::default()).expect("an empty directory");
    let authority: Arc<dyn Authority> = match check {
        None => Arc::new(Local),
        Some(check) => {
            let disk = Arc::new(Real::open(path).expect("it is there"));
            let door = Register::new(disk.clone(), "a", "").expect("a name").checking(check);
            let mut make = |cluster, epoch| {
                let made = door.make(cluster, epoch);
                made.map(drop).map_err(|error| io::Error::other(error.to_string()))
            };
            share_on(disk.as_ref(), &mut make).expect("a store nobody has open");
            Arc::new(door.claim(Reason::Start).expect("nobody reigns"))
        }
    };
    Store::open(path, Options::default(), authority).expect("the store opens")
}

/// Saves a second.
fn rate(store: &Store, savers: u64) -> f64 {
    let (stop, saved) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for saver in 0..savers {
            let (stop, saved) = (&stop, &saved);
            scope.spawn(move || {
                let mut number = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let mut batch = Batch::new();
                    let key = (saver << 32 | number % 1000).to_be_bytes();
                    batch.put("jobs", &key, &[7; 256]).expect("within the limits");
                    store.save(batch).expect("a save");
                    number += 1;
                    saved.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(ROUND);
        stop.store(true, Ordering::Relaxed);
    });
    saved.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() {
    let args = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let base = args.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let base = base.join(format!("shared-{}", std::process::id()));
    let kinds =
        [("local", None), ("shared, by name", Some(Check::Name)), ("by mark", Some(Check::Mark))];
    let stores: Vec<Store> = kinds
        .iter()
        .enumerate()
        .map(|(at, (_, check))| open(&base.join(at.to_string()), *check))
        .collect();
    for savers in [1, 64] {
        let mut rates = vec![Vec::new(); kinds.len()];
        for _ in 0..ROUNDS {
            for (store, rates) in stores.iter().zip(&mut rates) {
                rates.push(rate(store, savers));
            }
        }
        let local = median(rates[0].clone());
        for ((name, _), rates) in kinds.iter().zip(rates) {
            let rate = median(rates);
            println!("{savers:>2} savers  {name:<16} {rate:>9.0}/s  {:.3}", rate / local);
        }
    }
    drop(stores);
    drop(std::fs::remove_dir_all(base));
}
