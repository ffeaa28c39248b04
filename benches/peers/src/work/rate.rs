//! Saves per second: some writers, each saving as fast as its saves become durable.
//!
//! Invariant: every counted save began after the warm-up and is divided by the time until the
//! last of them returned, so a save still under way at the bell is not counted for nothing.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::{Turn, interleave};
use crate::data::{Random, Values};
use crate::flags::Flags;
use crate::report::Row;
use crate::scratch::Scratch;
use crate::system::{Entry, Expect, Fault, System};

const WARMING: u8 = 0;
const TIMED: u8 = 1;
const OVER: u8 = 2;

/// `writers` threads, each save of `puts` puts of random keys; rates are of saves.
pub fn run(flags: &Flags, values: &Values, writers: usize, puts: usize) -> Result<Vec<Row>, Fault> {
    interleave(flags, flags.rounds, |entry| turn(flags, values, entry, writers, puts))
}

fn turn(
    flags: &Flags,
    values: &Values,
    entry: &Entry,
    writers: usize,
    puts: usize,
) -> Result<Turn, Fault> {
    let scratch = Scratch::new(&flags.dir, entry.name)?;
    let system = (entry.open)(scratch.path(), Expect { log_bytes: flags.floor_bytes })?;
    // Opening may have written much (a floor prewrites its files), and a device with a limited
    // rate would make the writers pay for it.
    std::thread::sleep(Duration::from_secs_f64(flags.rest));
    let phase = AtomicU8::new(WARMING);
    let start = Barrier::new(writers + 1);
    let write = |seed| {
        start.wait();
        let random = Random::new(seed);
        write_until_over(system.as_ref(), values, random, flags.keys, puts, &phase)
    };
    let (saves, elapsed) = std::thread::scope(|scope| {
        let write = &write;
        let threads: Vec<_> =
            (1..=writers as u64).map(|seed| scope.spawn(move || write(seed))).collect();
        start.wait();
        std::thread::sleep(Duration::from_secs_f64(flags.warmup));
        phase.store(TIMED, Ordering::Relaxed);
        let from = Instant::now();
        std::thread::sleep(Duration::from_secs_f64(flags.seconds));
        phase.store(OVER, Ordering::Relaxed);
        let counts = threads.into_iter().map(|t| t.join().expect("a writer does not panic"));
        let saves = counts.sum::<Result<u64, Fault>>()?;
        Ok::<_, Fault>((saves, from.elapsed()))
    })?;
    Ok((saves as f64 / elapsed.as_secs_f64(), Vec::new()))
}

/// Saves until the phase says it is over; returns how many began while it was timed.
fn write_until_over(
    system: &dyn System,
    values: &Values,
    mut random: Random,
    keys: u64,
    puts: usize,
    phase: &AtomicU8,
) -> Result<u64, Fault> {
    let mut batch = Vec::with_capacity(puts);
    let mut saves = 0;
    loop {
        batch.clear();
        batch.extend((0..puts).map(|_| values.put(random.below(keys), random.next())));
        let began = phase.load(Ordering::Relaxed);
        if began == OVER {
            return Ok(saves);
        }
        system.save(&batch)?;
        saves += u64::from(began == TIMED);
    }
}
