//! Saves beside a snapshot: 4 writers in one run, through several snapshots that the store makes by
//! itself, and the times between them.
//!
//! A snapshot is due each time a part of the live data has been logged (`--due`), so that phases
//! with and without one take turns. A phase with one begins when the snapshot's file appears in the
//! directory (looked for every millisecond) and ends when the store counts it as made. The deletion
//! of what it supersedes follows at once, and its room is freed little by little: so the goal for the
//! worst stall is held against the whole run, while what ends within a quarter of a second after a
//! snapshot belongs to neither phase for the rates. The first snapshot, while segments still grow, is not
//! counted; neither are the rates of one that came so soon after the last that there was no time
//! without.
//!
//! Invariant: every save is recorded with its end and its time; a phase is made of the saves that
//! ended in it, divided by its length.

use crate::data::{PAIR, Random, Values};
use crate::flags::Flags;
use crate::report::{Goal, Row, goals, median, table};
use crate::scratch::{Scratch, open};
use crate::state::{fill, one};
use statedir::format::FileName;
use statedir::{Options, Store};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WRITERS: u64 = 4;
/// How long after a snapshot its deletions may make writers wait.
const AFTERMATH: f64 = 0.25;
/// A shorter time without a snapshot is none to compare with, seconds.
const ALONE_MIN: f64 = 0.25;
/// How often the directory is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// A save, in seconds since the run began, and how long it took.
#[derive(Clone, Copy)]
struct Saved {
    end: f64,
    took: f64,
}

/// A snapshot: when it was made, and the log's bytes before and after.
struct Made {
    begin: f64,
    end: f64,
    logged: u64,
}

/// The workload.
pub fn beside(flags: &Flags) {
    let scratch = Scratch::new(&flags.dir);
    let (path, values) = (scratch.path().join("state"), Values::new());
    let live = flags.beside_keys * PAIR;
    fill(&path, &values, flags.beside_keys);
    let options = flags.retention(Options {
        snapshot_ratio: flags.due,
        snapshot_min_bytes: 0,
        ..Options::default()
    });
    let store = open(&path, options);
    std::thread::sleep(Duration::from_secs_f64(flags.rest));
    let over = AtomicBool::new(false);
    let from = Instant::now();
    let (saves, made) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|seed| {
                let (store, values, over) = (&store, &values, &over);
                scope.spawn(move || write(store, values, flags.beside_keys, seed, over, from))
            })
            .collect();
        // One to warm up, and one time without a snapshot behind the last.
        let made = watch(&store, &path, flags.rounds + 1, flags.limit, from);
        over.store(true, Ordering::Relaxed);
        let saves = writers.into_iter().flat_map(|writer| writer.join().expect("no panic"));
        (saves.collect::<Vec<Saved>>(), made)
    });
    let progress = store.progress();
    store.close().expect("closes");
    println!(
        "\nbeside: {WRITERS} writers, {} live keys of 1 KiB ({:.0} MiB), a snapshot when {} x that \
         is logged; {} saves slowed, {} rotations unprepared",
        flags.beside_keys,
        live as f64 / f64::from(1 << 20),
        flags.due,
        progress.slowed,
        progress.unprepared_rotations,
    );
    report(&saves, &made, live);
}

/// Saves single puts of random keys until it is over.
fn write(
    store: &Store,
    values: &Values,
    keys: u64,
    seed: u64,
    over: &AtomicBool,
    from: Instant,
) -> Vec<Saved> {
    let mut random = Random::new(seed);
    let mut saves = Vec::with_capacity(1 << 20);
    while !over.load(Ordering::Relaxed) {
        let batch = one(random.below(keys), values.value(random.next()));
        let begin = from.elapsed().as_secs_f64();
        store.save(batch).expect("saves");
        let end = from.elapsed().as_secs_f64();
        saves.push(Saved { end, took: end - begin });
    }
    saves
}

/// Waits for `count` snapshots, at most `limit` seconds.
fn watch(store: &Store, path: &Path, count: usize, limit: f64, from: Instant) -> Vec<Made> {
    let mut made = Vec::new();
    let mut known = snapshots(path);
    let mut begun: Option<(f64, u64, u64)> = None;
    while made.len() < count {
        let now = from.elapsed().as_secs_f64();
        assert!(now < limit, "{} snapshots in {limit} s (--limit), {count} wanted", made.len());
        let progress = store.progress();
        match begun {
            None => {
                let seen = snapshots(path);
                if seen.difference(&known).next().is_some() {
                    begun = Some((now, progress.log_bytes, progress.checkpoints));
                }
                known = seen;
            }
            Some((begin, logged, before)) if progress.checkpoints > before => {
                made.push(Made { begin, end: now, logged: progress.log_bytes - logged });
                begun = None;
                known = snapshots(path);
            }
            Some(_) => {}
        }
        std::thread::sleep(LOOK);
    }
    std::thread::sleep(Duration::from_secs_f64(AFTERMATH));
    made
}

/// The names of the snapshots in a directory, finished or not.
fn snapshots(path: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(path).expect("the store's directory").flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| matches!(FileName::parse(name), Some(FileName::Snapshot { .. }))).collect()
}

fn report(saves: &[Saved], made: &[Made], live: u64) {
    let mut rates = [Row::new("without a snapshot"), Row::new("beside a snapshot")];
    let (mut times, mut worst) = ([Vec::new(), Vec::new()], [0.0_f64; 2]);
    for pair in made.windows(2) {
        let (before, now) = (&pair[0], &pair[1]);
        let alone = now.begin - before.end - AFTERMATH;
        println!(
            "  without for {alone:.2} s, then a snapshot in {:.2} s while {:.2} x live data were logged",
            now.end - now.begin,
            now.logged as f64 / live as f64
        );
        // A save that was slow because of the end of a snapshot may end after it. This holds for
        // every snapshot, whether there is a time without one to compare with or not.
        worst[1] = worst[1].max(slowest(saves, now.begin, now.end + AFTERMATH));
        if alone < ALONE_MIN {
            println!("  not counted: no time without a snapshot; --due should be more");
            continue;
        }
        worst[0] = worst[0].max(slowest(saves, before.end + AFTERMATH, now.begin));
        let phases = [(before.end + AFTERMATH, now.begin), (now.begin, now.end)];
        for (phase, (begin, end)) in phases.into_iter().enumerate() {
            let of = saves.iter().filter(|save| save.end >= begin && save.end < end);
            let of: Vec<f64> = of.map(|save| save.took).collect();
            rates[phase].rounds.push(of.len() as f64 / (end - begin));
            times[phase].extend(of);
        }
    }
    let logged: Vec<f64> = made[1..].iter().map(|made| made.logged as f64 / live as f64).collect();
    println!("  logged during a snapshot: median {:.2} x live data", median(&logged));
    let most = logged.iter().copied().fold(0.0, f64::max);
    goals(&[
        ("most logged meanwhile / live", most, Goal::AtMost(1.0)),
        ("worst stall of the run, ms", worst[0].max(worst[1]) * 1e3, Goal::AtMost(20.0)),
    ]);
    if rates[0].rounds.is_empty() {
        println!("  nothing to compare");
        return;
    }
    table("4 writers", "saves/s", &rates);
    let percentiles: Vec<[f64; 3]> = times
        .iter_mut()
        .map(|times| {
            times.sort_by(f64::total_cmp);
            [0.5, 0.99, 0.999].map(|part| 1e3 * at(times, part))
        })
        .collect();
    for (row, (of, worst)) in rates.iter().zip(percentiles.iter().zip(worst)) {
        println!(
            "  {:<28} p50 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms, worst {:.3} ms",
            row.name,
            of[0],
            of[1],
            of[2],
            worst * 1e3
        );
    }
    goals(&[
        ("rate beside / without", rates[1].ratio_to(&rates[0]), Goal::AtLeast(0.75)),
        ("p99 beside / without", percentiles[1][1] / percentiles[0][1], Goal::AtMost(2.0)),
        ("p99 beside, ms", percentiles[1][1], Goal::AtMost(1.0)),
    ]);
}

/// The longest of the saves that ended from `begin` until `end`.
fn slowest(saves: &[Saved], begin: f64, end: f64) -> f64 {
    let of = saves.iter().filter(|save| save.end >= begin && save.end < end);
    of.fold(0.0, |worst, save| worst.max(save.took))
}

/// The value below which `part` of the sorted `times` lie.
fn at(times: &[f64], part: f64) -> f64 {
    let last = times.len().saturating_sub(1);
    times.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}
