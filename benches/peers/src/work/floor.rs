//! The floors' own sanity check: one writer through the bare log against a loop of nothing but
//! write and flush. A floor below 0.9 of its loop is no floor, and no ratio to it means anything.
//!
//! Invariant: log and loop write groups of the same padded size into files prewritten alike.

use std::time::{Duration, Instant};

use crate::flags::Flags;
use crate::report::{Row, median};
use crate::scratch::Scratch;
use crate::system::{Fault, KEY, VALUE};
use crate::systems::floor::{Log, Mode, bare_loop};

/// Groups written before the log's clock starts.
const WARMUP: u64 = 100;

/// The sizes of a save: one put, and a thousand.
pub const SIZES: [usize; 2] = [KEY + 4 + VALUE, 1000 * (KEY + 4 + VALUE)];

/// Measures loops and logs in turn, with saves of `bytes`.
pub fn run(flags: &Flags, bytes: usize) -> Result<Vec<Row>, Fault> {
    let modes = [
        (Mode::Buffered, "loop-buffered", "floor-buffered"),
        (Mode::Direct, "loop-direct", "floor-direct"),
    ];
    let mut rates = [const { (Vec::new(), Vec::new()) }; 2];
    for _ in 0..flags.rounds {
        for ((mode, loop_name, log_name), (loops, logs)) in modes.iter().zip(&mut rates) {
            let scratch = Scratch::new(&flags.dir, loop_name)?;
            let probe = bare_loop(scratch.path(), *mode, bytes, WARMUP)?;
            let n = (WARMUP as f64 * flags.seconds / probe.as_secs_f64()) as u64;
            drop(scratch);
            let scratch = Scratch::new(&flags.dir, loop_name)?;
            let elapsed = bare_loop(scratch.path(), *mode, bytes, n)?;
            loops.push(n as f64 / elapsed.as_secs_f64());
            drop(scratch);
            let scratch = Scratch::new(&flags.dir, log_name)?;
            logs.push(log_rate(&scratch, flags, *mode, bytes, n)?);
        }
    }
    let rows =
        modes.into_iter().zip(rates).flat_map(|((_, loop_name, log_name), (loops, logs))| {
            let of_loop = median(&logs).zip(median(&loops)).map(|(log, bare)| log / bare);
            [(loop_name, loops, None), (log_name, logs, of_loop)]
        });
    let row = |(system, rates, of_loop)| Row { system, rates, extras: vec![("of-loop", of_loop)] };
    Ok(rows.map(row).collect())
}

fn log_rate(
    scratch: &Scratch,
    flags: &Flags,
    mode: Mode,
    bytes: usize,
    n: u64,
) -> Result<f64, Fault> {
    let log = Log::create(scratch.path(), mode, flags.floor_bytes)?;
    std::thread::sleep(Duration::from_secs_f64(flags.rest)); // see rate.rs
    let save = vec![0x5a; bytes];
    for _ in 0..WARMUP {
        log.save(&save)?;
    }
    let from = Instant::now();
    for _ in 0..n {
        log.save(&save)?;
    }
    Ok(n as f64 / from.elapsed().as_secs_f64())
}
