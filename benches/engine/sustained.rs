//! A minute of saves: 256 in flight from one thread through `submit`, and the floors' 256 threads
//! for the same time, one after the other; the rate of each slice.
//!
//! Keys are random among 100,000, so that snapshots come as in a store that runs.
//!
//! Invariant: a save is counted in the slice in which it became durable.

use crate::data::{Random, Values};
use crate::flags::Flags;
use crate::floor::{Log, Mode};
use crate::report::{Row, table};
use crate::scratch::{Scratch, open};
use crate::state::{Window, fill, floor_name, one};
use statedir::Options;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const IN_FLIGHT: usize = 256;
const KEYS: u64 = 100_000;
/// A put of the floor: key and value.
const SAVE: usize = crate::data::KEY + crate::data::VALUE;

/// The workload.
pub fn sustained(flags: &Flags) {
    let mut rows = Vec::new();
    if !flags.alone {
        for mode in [Mode::Buffered, Mode::Direct] {
            rows.push((floor_name(mode).to_owned() + ", 256 threads", floor(flags, mode)));
        }
    }
    rows.push(("statedir submit, 1 thread".to_owned(), ours(flags)));
    let rows: Vec<Row> = rows.into_iter().map(|(name, rounds)| Row { name, rounds }).collect();
    println!("\nsustained: {IN_FLIGHT} saves in flight for {} s, saves/s by slices", flags.sustain);
    for row in &rows {
        let slices: Vec<String> = row.rounds.iter().map(|rate| format!("{rate:.0}")).collect();
        println!("  {:<28} {}", row.name, slices.join(" "));
    }
    for row in &rows {
        let whole = row.rounds.iter().sum::<f64>() / row.rounds.len() as f64;
        let last = rows[0].rounds.iter().sum::<f64>() / rows[0].rounds.len() as f64;
        println!("  {:<28} {whole:.0}/s over all, {:.3} x the first", row.name, whole / last);
    }
    table("sustained, a slice as a round", "saves/s", &rows);
}

/// The rate of each slice of `flags.slice` seconds, from a count that rises.
fn slices(flags: &Flags, durable: &AtomicU64) -> Vec<f64> {
    let from = Instant::now();
    let (mut last, mut last_at) = (durable.load(Ordering::Relaxed), 0.0);
    let count = (flags.sustain / flags.slice).round().max(1.0) as u32;
    let slice = |number: u32| {
        let until = Duration::from_secs_f64(flags.slice) * number;
        std::thread::sleep(until.saturating_sub(from.elapsed()));
        let (now, at) = (durable.load(Ordering::Relaxed), from.elapsed().as_secs_f64());
        let rate = (now - last) as f64 / (at - last_at);
        (last, last_at) = (now, at);
        rate
    };
    (1..=count).map(slice).collect()
}

fn floor(flags: &Flags, mode: Mode) -> Vec<f64> {
    let scratch = Scratch::new(&flags.dir);
    let log = Log::create(scratch.path(), mode, flags.floor_mib << 20).expect("a floor");
    std::thread::sleep(Duration::from_secs_f64(flags.rest));
    let (over, durable) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..IN_FLIGHT {
            scope.spawn(|| {
                let save = [7; SAVE];
                while !over.load(Ordering::Relaxed) {
                    log.save(&save).expect("the floor saves");
                    durable.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let rates = slices(flags, &durable);
        over.store(true, Ordering::Relaxed);
        rates
    })
}

fn ours(flags: &Flags) -> Vec<f64> {
    let scratch = Scratch::new(&flags.dir);
    let (path, values) = (scratch.path().join("state"), Values::new());
    fill(&path, &values, KEYS);
    let store = open(&path, flags.retention(Options::default()));
    std::thread::sleep(Duration::from_secs_f64(flags.rest));
    let (over, durable) = (AtomicBool::new(false), AtomicU64::new(0));
    let rates = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(0x5a7e);
            let mut window = Window::new(IN_FLIGHT);
            while !over.load(Ordering::Relaxed) {
                let batch = one(random.below(KEYS), values.value(random.next()));
                let waited = window.push(&store, batch);
                durable.fetch_add(u64::from(waited), Ordering::Relaxed);
            }
            window.finish();
        });
        let rates = slices(flags, &durable);
        over.store(true, Ordering::Relaxed);
        rates
    });
    let progress = store.progress();
    println!(
        "\nsustained, statedir: {} saves in {} groups, {} snapshots, {} saves slowed, {} rotations \
         unprepared",
        progress.saves,
        progress.groups,
        progress.checkpoints,
        progress.slowed,
        progress.unprepared_rotations
    );
    store.close().expect("closes");
    rates
}
