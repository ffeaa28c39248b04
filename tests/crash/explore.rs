//! Walks through all crash states of a workload, on two threads.

use crate::check::check;
use crate::stage::{Broken, Life, Stage};
use statedir::disk::Site;
use statedir::disk::fake::{Crash, Crashes};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

/// Something to do on a disk, which is then crashed at every moment of it.
pub struct Workload {
    pub name: &'static str,
    pub run: fn(&mut Stage) -> Result<(), Broken>,
    /// Random choices of what survives, at each moment.
    pub random: u64,
}

/// Which part of a workload is walked.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub unit: usize,
    pub muted: Option<Site>,
    /// One life and one moment in it; else all.
    pub only: Option<(usize, usize)>,
    /// Stop at the first breach.
    pub first: bool,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Outcome {
    pub states: u64,
    pub broken: Vec<Broken>,
}

/// Plays `workload` and judges every state that crashes leave.
pub fn explore(workload: &Workload, part: Part) -> Outcome {
    let mut stage = Stage::new(part.unit, part.muted);
    let ran = catch_unwind(AssertUnwindSafe(|| (workload.run)(&mut stage)));
    let broken = match ran {
        Ok(Ok(())) => Vec::new(),
        Ok(Err(broken)) => vec![format!("{} unit {}: {broken}", workload.name, part.unit)],
        Err(_) => vec![format!("{} unit {}: the workload panics", workload.name, part.unit)],
    };
    if !broken.is_empty() && part.first {
        return Outcome { states: 0, broken };
    }
    stage.end_life();
    let walk =
        Mutex::new((states(&stage.lives, workload.random, part), Outcome { states: 0, broken }));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| judge_states(workload, part, &walk));
        }
    });
    walk.into_inner().expect("judging does not panic").1
}

type States<'a> = Box<dyn Iterator<Item = (usize, &'a Life, Crash)> + Send + 'a>;

fn states(lives: &[Life], random: u64, part: Part) -> States<'_> {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let crashes = Crashes::new(random * number("STATEDIR_RANDOM", 1), number("STATEDIR_SEED", 7));
    let numbered = lives.iter().enumerate();
    let wanted = numbered.filter(move |(life, _)| part.only.is_none_or(|only| only.0 == *life));
    Box::new(wanted.flat_map(move |(number, life)| {
        let points = part.only.map_or(life.from..usize::MAX, |only| only.1..only.1 + 1);
        crashes.within(&life.disk, points).map(move |crash| (number, life, crash))
    }))
}

fn judge_states(workload: &Workload, part: Part, walk: &Mutex<(States<'_>, Outcome)>) {
    loop {
        let (life, crash, ordinal, number) = {
            let mut walk = walk.lock().expect("judging does not panic");
            if part.first && !walk.1.broken.is_empty() {
                return;
            }
            let Some((number, life, crash)) = walk.0.next() else { return };
            walk.1.states += 1;
            (life, crash, walk.1.states, number)
        };
        if let Err(broken) = check(life, &crash, ordinal) {
            let mut walk = walk.lock().expect("judging does not panic");
            walk.1.broken.push(format!(
                "{broken}\n  after {:?} at moment {} of life {number}, acknowledged {:?} or {:?}; \
                 repeat: STATEDIR_CRASH={},{},{number},{} timeout 300 cargo test \
                 --no-default-features --test crash power_cut -- --nocapture",
                crash.survivors,
                crash.point,
                crash.acknowledged,
                life.floor,
                workload.name,
                part.unit,
                crash.point,
            ));
        }
    }
}
