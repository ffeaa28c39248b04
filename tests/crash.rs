//! Power cuts and kills at every moment of what a store does: nothing acknowledged is lost, batches
//! are whole, nothing is invented, and the store opens.
//!
//! `STATEDIR_CRASH=workload[,unit[,life,moment]]` walks through that part alone; `STATEDIR_SEED`
//! makes other random choices, `STATEDIR_RANDOM` so many times as many.

#[path = "crash/check.rs"]
mod check;
#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;
#[path = "crash/copies.rs"]
mod copies;
#[path = "crash/explore.rs"]
mod explore;
#[path = "crash/stage.rs"]
mod stage;
#[path = "crash/workloads.rs"]
mod workloads;

use explore::{Part, explore};
use statedir::disk::Site;
use std::time::Instant;
use workloads::{ALL, LEAST};

/// Workload, unit, and life with moment.
type Asked = (String, Option<usize>, Option<(usize, usize)>);

/// What is asked for by the environment: workload, unit, life and moment.
fn asked() -> Option<Asked> {
    let asked = std::env::var("STATEDIR_CRASH").ok()?;
    let mut words = asked.split(',');
    let name = words.next().expect("split gives one").to_owned();
    let mut number = || words.next().map(|word| word.parse().expect("a number"));
    let unit = number();
    Some((name, unit, number().zip(number())))
}

#[test]
fn acknowledged_saves_survive_power_cuts_and_kills_and_nothing_is_invented() {
    let asked = asked();
    let (mut total, mut broken, mut few) = (0, Vec::new(), Vec::new());
    for workload in &ALL {
        let started = Instant::now();
        let mut states = 0;
        for unit in [512, 4096] {
            let only = match &asked {
                None => None,
                Some((name, _, _)) if name != workload.name => continue,
                Some((_, Some(wanted), _)) if *wanted != unit => continue,
                Some((_, _, only)) => *only,
            };
            let outcome = explore(workload, Part { unit, muted: None, only, first: false });
            states += outcome.states;
            broken.extend(outcome.broken);
        }
        println!("{:<24} {states:>6} states, {:.1?}", workload.name, started.elapsed());
        total += states;
        few.extend((states < LEAST).then_some((workload.name, states)));
    }
    println!("crash states: {total} unique, {} violations", broken.len());
    for one in broken.iter().take(10) {
        println!("VIOLATION {one}");
    }
    assert!(broken.is_empty(), "{} violations; the first: {}", broken.len(), broken[0]);
    assert!(asked.is_some() || total >= 20_000, "{total} states are too few");
    assert!(asked.is_some() || few.is_empty(), "fewer than {LEAST} states: {few:?}");
}

#[test]
fn every_sync_is_needed() {
    let mut idle = Vec::new();
    for site in Site::ALL {
        let found = ALL.iter().find_map(|workload| {
            let part = Part { unit: 512, muted: Some(site), only: None, first: true };
            let broken = explore(workload, part).broken.into_iter().next()?;
            Some((workload.name, broken))
        });
        match found {
            Some((name, broken)) => {
                let line = broken.lines().next().unwrap_or_default();
                println!("without {site:?}: {name}: {line}");
            }
            None => idle.push(site),
        }
    }
    assert!(idle.is_empty(), "no workload needs the syncs of {idle:?}");
}
