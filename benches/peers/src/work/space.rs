//! What overwriting costs: disk space in units of the live data, and device bytes for each byte put.
//!
//! Every key is written once and then overwritten ten times, each pass in another order, by one
//! writer in saves of 100 puts. `peak` is the most that was allocated at any time, `close` what
//! stays after closing, `device` all that the device wrote until then, divided by the bytes of all
//! puts. Rates are of puts.
//!
//! Invariant: the time is without the syncs that make the device's counter exact.

use std::time::Instant;

use super::{Turn, interleave};
use crate::data::{PAIR, Values, shuffled};
use crate::device::{Device, allocated, watch};
use crate::flags::Flags;
use crate::report::Row;
use crate::scratch::Scratch;
use crate::system::{Entry, Expect, Fault, KEY, System, VALUE};

/// Puts in a save.
const PUTS: u64 = 100;
/// Times each key is overwritten after it was first written.
const OVERWRITES: u64 = 10;

pub fn run(flags: &Flags, values: &Values) -> Result<Vec<Row>, Fault> {
    interleave(flags, flags.space_rounds, |entry| turn(flags, values, entry))
}

fn turn(flags: &Flags, values: &Values, entry: &Entry) -> Result<Turn, Fault> {
    let scratch = Scratch::new(&flags.dir, entry.name)?;
    let dir = scratch.path();
    let live = (flags.keys * (KEY + VALUE) as u64) as f64;
    let device = Device::of(dir)?;
    let mut before = device.written()?;
    let system = (entry.open)(dir, Expect { log_bytes: flags.floor_bytes })?;
    if !entry.reclaims {
        before = device.written()?; // prewriting is the floor's set-up, not its cost
    }
    let from = Instant::now();
    let (written, peak) = watch(dir, || overwrite(system.as_ref(), values, flags.keys));
    let puts = written?;
    let elapsed = from.elapsed();
    drop(system);
    let units = |bytes: u64| Some(bytes as f64 / live);
    let close = allocated(dir);
    let of_engine = |bytes| if entry.reclaims { units(bytes) } else { None };
    let columns = vec![
        ("peak", of_engine(peak.max(close))),
        ("close", of_engine(close)),
        ("device", Some((device.written()? - before) as f64 / (puts * PAIR) as f64)),
    ];
    Ok((puts as f64 / elapsed.as_secs_f64(), columns))
}

/// Writes every key once and overwrites it; returns the number of puts.
fn overwrite(system: &dyn System, values: &Values, keys: u64) -> Result<u64, Fault> {
    let mut batch = Vec::new();
    let mut puts = 0;
    for pass in 0..=OVERWRITES {
        for first in (0..keys).step_by(PUTS as usize) {
            batch.clear();
            let numbers = (first..keys.min(first + PUTS)).map(|i| shuffled(i, keys, pass));
            batch.extend(numbers.map(|n| values.put(n, n * 31 + pass)));
            system.save(&batch)?;
            puts += batch.len() as u64;
        }
    }
    Ok(puts)
}
