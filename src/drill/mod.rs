//! The drill: a whole cluster on loopback, as any user, without any program of Slurm. Jobs are
//! submitted in a stream, the worst happens in the middle of it, and everything that somebody was
//! told is counted afterwards.
//!
//! | part | what it does |
//! |---|---|
//! | `scenario` | the table of what is done to the cluster, as data |
//! | `ledger` | what happened when: events in, seconds out; no I/O |
//! | `judge` | what was told against what is there: lost, run twice; no I/O |
//! | `cluster`, `place` | the processes, and the directory they live in |
//! | `load`, `evidence` | clients that submit, clients that ask |
//! | `round`, `report` | one round in order; what is printed |
//!
//! Invariants:
//! - What counts as told is what a client printed, and what counts as there is what clients show:
//!   the drill looks into no file of the controller.
//! - Whatever is started is a descendant, and ends before the drill does, also when a signal ends
//!   it; the directory goes then, unless something was lost: then it is the evidence.
//! - Nothing is passed that was not shown: what cannot be asked is an error, never a 0.

mod args;
mod cluster;
mod evidence;
mod judge;
mod ledger;
mod load;
mod place;
mod progress;
mod report;
mod round;
mod scenario;
mod stop;

use args::Args;
use cluster::Cluster;
use judge::Verdict;
use place::Place;
use progress::Progress;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

/// Why the drill ends before it has shown anything.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A signal.
    Interrupted(i32),
    /// What cannot be done, and what to do.
    Unable(String),
}

impl End {
    fn unable(what: impl std::fmt::Display, next: &str) -> End {
        End::Unable(format!("{what}; next: {next}"))
    }
}

/// Exit codes beside 0 (nothing lost), 2 (usage) and those of signals.
const LOST: u8 = 1;
const UNABLE: u8 = 3;

/// Runs the program; its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args = match args::parse(args) {
        Ok(args) => args,
        Err(code) => return code,
    };
    stop::catch();
    let progress = Progress::new();
    match play(&args, &progress) {
        Ok(true) => 0,
        Ok(false) => LOST,
        Err(End::Interrupted(signal)) => {
            progress.say("drill: interrupted; everything it had started is gone");
            u8::try_from(128 + signal).unwrap_or(UNABLE)
        }
        Err(End::Unable(why)) => {
            progress.say(&format!("drill: could not be carried out: {why}"));
            UNABLE
        }
    }
}

/// Whether nothing was lost, and nothing ran twice.
fn play(args: &Args, progress: &Progress) -> Result<bool, End> {
    let begun = Instant::now();
    let programs = programs(args)?;
    let mut place = Place::make(programs, args.keep)?;
    let mut cluster = Cluster::begin(&place, progress)?;
    progress.say(&report::opening(&place, args));
    cluster.until_ready()?;
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        let scenario = scenario::of_round(args.scenario, number);
        rounds.push(round::play(&mut cluster, args, scenario, number, rounds.as_slice())?);
        progress.say(&report::row(rounds.last().expect("just pushed"), number == 1));
    }
    let told: Vec<_> = rounds.iter().flat_map(|round| round.told.iter().cloned()).collect();
    progress.show("asking for all of them again");
    let sent = rounds.iter().flat_map(|round| round.sent.iter().copied()).collect();
    let evidence = evidence::collect(&place, &told)?;
    let last = judge::verdict(&told, &sent, &evidence);
    let verdict = rounds.iter().map(|round| &round.verdict).fold(last, |sum, one| sum.plus(one));
    drop(cluster);
    progress.say(&report::closing(&rounds, &verdict, begun.elapsed()));
    if verdict != Verdict::default() {
        place.keep();
        progress.say(&format!("kept as evidence: {}", place.dir.display()));
    }
    Ok(verdict == Verdict::default())
}

/// Where the programs are: beside this one, if nobody says.
fn programs(args: &Args) -> Result<PathBuf, End> {
    let beside = || std::env::current_exe().ok()?.parent().map(PathBuf::from);
    let folder = args.programs.clone().or_else(beside);
    let folder = folder.ok_or_else(|| End::unable("nobody knows where I am", "say --programs"))?;
    // They are run from elsewhere.
    let folder = std::path::absolute(&folder)
        .map_err(|error| End::unable(format!("{}: {error}", folder.display()), "say another"))?;
    for name in cluster::PROGRAMS {
        if !folder.join(name).is_file() {
            let what = format!("{} is not there", folder.join(name).display());
            return Err(End::unable(what, "cargo build --release, or say --programs DIR"));
        }
    }
    Ok(folder)
}
