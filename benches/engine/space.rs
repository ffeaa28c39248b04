//! Room on disk, and bytes that the device writes: every key put once, then overwritten ten times,
//! each pass in another order, by one writer in saves of 100 puts, and closed.
//!
//! Close and peak are in units of the live data (keys and values): allocated blocks of all files of
//! the directory, as du counts them, zeros included; the peak is the most that a thread saw that
//! looked every 2 ms. A file that was deleted while the store still has it mapped shows in neither.
//! Device bytes are those that the block device of the directory has written, by its own counter
//! (/sys/dev/block/*/stat), with all that is dirty written out before and after: for each byte that
//! was put. Whatever else the machine writes meanwhile counts: run it alone, and see from what the
//! device wrote in the second before each turn whether it was.

use crate::data::{PAIR, Values, key, shuffled};
use crate::device::{Device, LOOK, allocated, watch};
use crate::flags::Flags;
use crate::report::{Goal, goals, median};
use crate::scratch::{Scratch, open};
use crate::state::TABLE;
use statedir::{Batch, Options, Store};
use std::time::Duration;

/// Puts in a save.
const PUTS: u64 = 100;
/// Times each key is overwritten after it was first put.
const OVERWRITES: u64 = 10;

/// What one turn took.
struct Spent {
    close: f64,
    peak: f64,
    device: f64,
    /// Bytes per second that the device wrote for others before.
    noise: f64,
    snapshots: u64,
    unprepared: u64,
}

/// The workload.
pub fn space(flags: &Flags) {
    println!(
        "\nspace: {} keys of 1 KiB put once and overwritten {OVERWRITES} times, peak seen every {} ms",
        flags.space_keys,
        LOOK.as_millis()
    );
    for ratio in &flags.ratios {
        for history in [false, true] {
            turns(flags, *ratio, history);
        }
    }
}

fn turns(flags: &Flags, ratio: f64, history: bool) {
    let options = Options { snapshot_ratio: ratio, ..Options::default() };
    let options = if history { options } else { options.without_history() };
    let turns: Vec<Spent> = (0..flags.rounds).map(|_| turn(flags, &options)).collect();
    let of = |number: fn(&Spent) -> f64| median(&turns.iter().map(number).collect::<Vec<f64>>());
    let retention = if history { "default retention" } else { "history off" };
    println!("\n  s = {ratio}, {retention}");
    println!(
        "  at close {:.2}, peak {:.2} x live data; device {:.2} x bytes put = {:.1} x live data; \
         {:.0} snapshots, {:.0} rotations unprepared; others made the device write {:.2} MiB/s",
        of(|spent| spent.close),
        of(|spent| spent.peak),
        of(|spent| spent.device),
        of(|spent| spent.device) * (OVERWRITES + 1) as f64,
        of(|spent| spent.snapshots as f64),
        of(|spent| spent.unprepared as f64),
        of(|spent| spent.noise) / f64::from(1 << 20),
    );
    let device = ("device / bytes put", of(|spent| spent.device), Goal::AtMost(2.15 + 1.0 / ratio));
    if history {
        // What is kept for copiers and for reading the past is wanted: no goal for room.
        return goals(&[device]);
    }
    goals(&[
        ("at close / live", of(|spent| spent.close), Goal::AtMost(1.1 + ratio)),
        ("peak / live", of(|spent| spent.peak), Goal::AtMost(2.2 + ratio)),
        device,
    ]);
}

fn turn(flags: &Flags, options: &Options) -> Spent {
    let scratch = Scratch::new(&flags.dir);
    let path = scratch.path().join("state");
    let values = Values::new();
    let device = Device::of(scratch.path()).expect("a device");
    let noise = device.noise(Duration::from_secs(1)).expect("its counter");
    let before = device.written().expect("its counter");
    let (progress, peak) = watch(&path, || {
        Store::create(&path, options).expect("a store can be made");
        let store = open(&path, options.clone());
        overwrite(&store, &values, flags.space_keys);
        let progress = store.progress();
        store.close().expect("closes");
        progress
    });
    let written = device.written().expect("its counter") - before;
    let live = (flags.space_keys * PAIR) as f64;
    Spent {
        close: allocated(&path) as f64 / live,
        peak: peak as f64 / live,
        device: written as f64 / (live * (OVERWRITES + 1) as f64),
        noise,
        snapshots: progress.checkpoints,
        unprepared: progress.unprepared_rotations,
    }
}

fn overwrite(store: &Store, values: &Values, keys: u64) {
    for pass in 0..=OVERWRITES {
        for first in (0..keys).step_by(PUTS as usize) {
            let mut batch = Batch::new();
            for i in first..keys.min(first + PUTS) {
                let n = shuffled(i, keys, pass);
                batch.put(TABLE, &key(n), values.value(n * 31 + pass)).expect("within limits");
            }
            store.save(batch).expect("saves");
        }
    }
}
