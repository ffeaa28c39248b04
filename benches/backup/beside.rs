//! What savers lose while a backup, or rsync, copies the directory that they write: against what
//! the bare floor loses beside the same program, which copies an equal directory.

use crate::data::{VALUE, Values, key};
use crate::flags::Flags;
use crate::floor::{Log, Mode};
use crate::report::{Goal, Row, goals, table};
use crate::scratch::Scratch;
use crate::work::{back_up, filled, remove, settle, text};
use statedir::{Batch, Store};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub fn beside(flags: &Flags) {
    std::fs::create_dir_all(&flags.dir).expect("the bench directory can be made");
    let scratch = Scratch::new(&flags.dir);
    let values = Values::new();
    let (store, source) = filled(flags, &scratch, &values);
    let floor_dir = scratch.path().join("floor");
    std::fs::create_dir(&floor_dir).expect("a directory");
    let floor = Log::create(&floor_dir, Mode::Direct, 256 << 20).expect("a floor");
    let dest = scratch.path().join("copy");
    for savers in &flags.savers {
        for program in ["statectl backup", "rsync -a"] {
            pair(flags, &store, &floor, &source, &dest, *savers, program);
        }
    }
    drop(floor);
    store.close().expect("closes");
}

fn pair(
    flags: &Flags,
    store: &Store,
    floor: &Log,
    source: &Path,
    dest: &Path,
    savers: usize,
    program: &str,
) {
    let value = vec![7; VALUE];
    let save = |thread: u64, i: u64| {
        let mut batch = Batch::new();
        batch.put("jobs", &key(thread * 7919 + i % 5000), &value).expect("within limits");
        store.save(batch).expect("saves");
    };
    let bare = vec![7; VALUE + 16];
    let floor_save = |_: u64, _: u64| {
        floor.save(&bare).expect("the floor saves");
    };
    let copy = || match program {
        "rsync -a" => {
            // What vanishes meanwhile was superseded: rsync says so with 24.
            let from = format!("{}/", text(source));
            let args = ["-a", &from, text(dest)];
            let status = std::process::Command::new("rsync").args(args).status();
            let code = status.expect("rsync runs").code();
            assert!(matches!(code, Some(0 | 24)), "rsync: {code:?}");
        }
        _ => drop(back_up(source, dest, false)),
    };
    let mut rows = [
        Row::new("floor alone"),
        Row::new("floor beside it"),
        Row::new("statedir alone"),
        Row::new("statedir beside it"),
    ];
    for _ in 0..flags.rounds {
        for (at, save) in [(0, &floor_save as &(dyn Fn(u64, u64) + Sync)), (2, &save)] {
            settle(flags);
            let idle = || std::thread::sleep(Duration::from_secs_f64(flags.seconds));
            rows[at].rounds.push(rate(savers, save, idle));
            settle(flags);
            rows[at + 1].rounds.push(rate(savers, save, copy));
            remove(dest);
        }
    }
    table(&format!("{savers} savers beside {program}"), "saves/s", &rows);
    let (floor_keeps, keeps) = (rows[1].ratio_to(&rows[0]), rows[3].ratio_to(&rows[2]));
    println!("  keeps: floor {floor_keeps:.3}, statedir {keeps:.3}");
    let name = format!("keeps, of what the floor keeps ({savers}, {program})");
    goals(&[(&name, keeps / floor_keeps, Goal::AtLeast(0.9))]);
}

/// Saves per second of `savers` threads while `meanwhile` runs.
fn rate(savers: usize, save: &(dyn Fn(u64, u64) + Sync), meanwhile: impl FnOnce()) -> f64 {
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..savers as u64 {
            let (stop, count) = (&stop, &count);
            scope.spawn(move || {
                let mut i = 0;
                while !stop.load(Ordering::Relaxed) {
                    save(thread, i);
                    i += 1;
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let (from, before) = (Instant::now(), count.load(Ordering::Relaxed));
        meanwhile();
        let saved = count.load(Ordering::Relaxed) - before;
        let rate = saved as f64 / from.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        rate
    })
}
