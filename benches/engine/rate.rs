//! Saves per second: writers that wait for each save, one thread that pipelines, large saves.

use crate::flags::Flags;
use crate::floor::{Log, Mode, bare_loop};
use crate::report::{Row, median, table};
use crate::scratch::Scratch;
use statedir::{Batch, Options, Store};
use std::collections::VecDeque;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub const VALUE: usize = 1024;
const KEYS: u64 = 100_000;

/// A cheap sequence of keys that differs from thread to thread.
pub fn key(thread: u64, i: u64) -> [u8; 16] {
    let mut x = (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ thread.wrapping_mul(0xd1b5_4a32)) | 1;
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (x >> 11) % KEYS;
    let mut key = *b"key-000000000000";
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

fn one(thread: u64, i: u64, value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put("jobs", &key(thread, i), value).expect("within limits");
    batch
}

/// Saves per second of `threads` threads that each call `save` in a loop.
pub fn threads(flags: &Flags, threads: usize, save: impl Fn(u64, u64) + Sync) -> f64 {
    std::thread::sleep(Duration::from_secs_f64(flags.rest));
    let stop = AtomicBool::new(false);
    let start = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads as u64)
            .map(|thread| {
                let (stop, start, save) = (&stop, &start, &save);
                scope.spawn(move || {
                    start.wait();
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) {
                        save(thread, count);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        start.wait();
        let from = Instant::now();
        std::thread::sleep(Duration::from_secs_f64(flags.seconds));
        stop.store(true, Ordering::Relaxed);
        let saves: u64 = workers.into_iter().map(|w| w.join().expect("no panic")).sum();
        saves as f64 / from.elapsed().as_secs_f64()
    })
}

fn floor_of(flags: &Flags, mode: Mode, writers: usize, bytes: usize) -> f64 {
    if flags.alone {
        return f64::NAN;
    }
    let scratch = Scratch::new(&flags.dir);
    let log = Log::create(scratch.path(), mode, flags.floor_mib << 20).expect("a floor");
    let save = vec![7; bytes];
    threads(flags, writers, |_, _| {
        log.save(&save).expect("the floor saves");
    })
}

fn ours(flags: &Flags, writers: usize, save: impl Fn(&Store, u64, u64) + Sync) -> f64 {
    let scratch = Scratch::new(&flags.dir);
    let (store, _) = scratch.store(Options::default());
    warm_up(&store);
    let rate = threads(flags, writers, |thread, i| save(&store, thread, i));
    if flags.alone {
        println!("{:?}", store.progress());
    }
    store.close().expect("closes");
    rate
}

/// Brings the segments to a usual size: a store that has just been made is small.
fn warm_up(store: &Store) {
    // As a controller that has run for a while: its segments are prepared.
    let value = vec![0; 512 << 10];
    for i in 0..40 {
        store.save(one(0, i % 4, &value)).expect("saves");
    }
}

/// The one-writer floor against a bare loop: below 0.9 it is no floor, and the bench fails.
pub fn floor(flags: &Flags) {
    for (mode, name) in [(Mode::Buffered, "buffered"), (Mode::Direct, "direct")] {
        let mut rows = [Row::new("bare loop"), Row::new("floor, 1 writer")];
        for _ in 0..flags.rounds {
            let scratch = Scratch::new(&flags.dir);
            let n = 2000;
            let took = bare_loop(scratch.path(), mode, VALUE + 16, n).expect("a loop");
            rows[0].rounds.push(n as f64 / took.as_secs_f64());
            rows[1].rounds.push(floor_of(flags, mode, 1, VALUE + 16));
        }
        table(&format!("floor against bare loop, {name}"), "saves/s", &rows);
        let ratios: Vec<f64> =
            rows[1].rounds.iter().zip(&rows[0].rounds).map(|(floor, bare)| floor / bare).collect();
        if flags.rounds > 1 {
            assert!(median(&ratios) >= 0.9, "the floor is below 0.9 of a bare loop: no floor");
        }
    }
}

/// Writers that each wait for their save.
pub fn writers(flags: &Flags, writers: usize) {
    let mut rows =
        [Row::new("floor buffered"), Row::new("floor direct"), Row::new("statedir save")];
    let value = vec![7; VALUE];
    for _ in 0..flags.rounds {
        rows[0].rounds.push(floor_of(flags, Mode::Buffered, writers, VALUE + 16));
        rows[1].rounds.push(floor_of(flags, Mode::Direct, writers, VALUE + 16));
        rows[2].rounds.push(ours(flags, writers, |store, thread, i| {
            store.save(one(thread, i, &value)).expect("saves");
        }));
    }
    table(&format!("{writers} writers, 1 KiB values"), "saves/s", &rows);
}

/// 256 saves in flight from one thread, against the floor's 256 threads.
pub fn burst(flags: &Flags) {
    let mut rows = [
        Row::new("floor buffered, 256 threads"),
        Row::new("floor direct, 256 threads"),
        Row::new("statedir submit, 1 thread"),
    ];
    let value = vec![7; VALUE];
    for _ in 0..flags.rounds {
        rows[0].rounds.push(floor_of(flags, Mode::Buffered, 256, VALUE + 16));
        rows[1].rounds.push(floor_of(flags, Mode::Direct, 256, VALUE + 16));
        let scratch = Scratch::new(&flags.dir);
        let (store, _) = scratch.store(Options::default());
        warm_up(&store);
        std::thread::sleep(Duration::from_secs_f64(flags.rest));
        let from = Instant::now();
        let mut tickets = VecDeque::with_capacity(256);
        let mut count = 0_u64;
        while from.elapsed().as_secs_f64() < flags.seconds {
            for _ in 0..64 {
                if tickets.len() == 256 {
                    let ticket: statedir::store::Ticket = tickets.pop_front().expect("256");
                    ticket.wait().expect("saves");
                }
                tickets.push_back(store.submit(one(0, count, &value)).expect("submits"));
                count += 1;
            }
        }
        for ticket in tickets {
            ticket.wait().expect("saves");
        }
        rows[2].rounds.push(count as f64 / from.elapsed().as_secs_f64());
        store.close().expect("closes");
    }
    table("256 saves in flight, 1 KiB values", "saves/s", &rows);
}

/// One writer, saves of 1,000 ops of 1 KiB.
pub fn batch(flags: &Flags) {
    let mut rows =
        [Row::new("floor buffered"), Row::new("floor direct"), Row::new("statedir save")];
    let value = vec![7; VALUE];
    for _ in 0..flags.rounds {
        rows[0].rounds.push(floor_of(flags, Mode::Buffered, 1, 1000 * (VALUE + 16)));
        rows[1].rounds.push(floor_of(flags, Mode::Direct, 1, 1000 * (VALUE + 16)));
        rows[2].rounds.push(ours(flags, 1, |store, thread, i| {
            let mut batch = Batch::new();
            for op in 0..1000 {
                batch.put("jobs", &key(thread, i * 1000 + op), &value).expect("within limits");
            }
            store.save(batch).expect("saves");
        }));
    }
    table("1 writer, saves of 1,000 ops of 1 KiB", "saves/s", &rows);
}
