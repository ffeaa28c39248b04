//! The drill: a whole cluster on loopback, as any user, without any program of Slurm: two
//! controllers on one state directory, two agents. Jobs are submitted in a stream, the worst
//! happens in the middle of it, and everything that somebody was told is counted afterwards.
//!
//! | part | what it does |
//! |---|---|
//! | `scenario` | the table of what is done to the cluster, as data |
//! | `ledger` | what happened when: events in, seconds out; no I/O |
//! | `judge` | what was told against what is there: lost, run twice; no I/O |
//! | `cluster`, `place` | the processes, and the directory they live in |
//! | `space` | a file system and networks of its own, where the user may have them |
//! | `keeper` | a second process: whichever is killed, nothing stays |
//! | `load`, `evidence` | clients that submit, clients that ask |
//! | `round`, `report` | one round in order; what is printed |
//!
//! Invariants:
//! - What counts as told is what a client printed, and what counts as there is what clients show:
//!   the drill looks into no file of the controllers but their logs, and there only for when to go
//!   on.
//! - Whatever is started is a descendant, and ends with the drill, whatever signal ends it; the
//!   directory goes then, unless something was lost: then it is the evidence.
//! - Nothing is passed that was not shown: what cannot be asked is an error, never a 0.

mod args;
mod cluster;
mod evidence;
mod judge;
mod keeper;
mod ledger;
mod load;
mod place;
mod progress;
mod report;
mod round;
mod scenario;
mod space;
mod stop;

use args::Args;
use cluster::Cluster;
use judge::Verdict;
use place::{Ground, Mount, Place, Root};
use progress::Progress;
use round::Round;
use scenario::{Needs, Scenario};
use space::{Disk, Net};
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
    let progress = Progress::new();
    let ended = begin(&args, &progress);
    match ended {
        Ok(code) => code,
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

fn begin(args: &Args, progress: &Progress) -> Result<u8, End> {
    let (begun, programs, root) = (Instant::now(), programs(args)?, place::root()?);
    if let Some(code) = keeper::split(&root)? {
        return Ok(code);
    }
    stop::catch();
    let wanted = |needs| args.scenarios().into_iter().filter(move |one| one.needs == needs);
    // While there is one thread.
    let disk = wanted(Needs::Disk).next().map_or(Ok(()), |_| space::may_mount());
    let mut root = Root::make(root, args.keep)?;
    let plain: Vec<_> = wanted(Needs::Nothing).collect();
    let mut all = All::default();
    if !plain.is_empty() {
        let place = Place::make(root.dir.join("pair"), programs.clone(), Ground::Plain)?;
        play(args, &plain, &place, progress, &mut all)?;
    }
    let more: Vec<_> = wanted(Needs::Disk).chain(wanted(Needs::Net)).collect();
    if !more.is_empty() {
        let dir = root.dir.join("apart");
        // Whoever is started by this thread is where it is.
        let apart = || apart(args, more, dir, programs, disk, &mut all);
        std::thread::scope(|scope| scope.spawn(apart).join().expect("it does not panic"))?;
    }
    progress.say(&report::closing(&all.rounds, &all.verdict, begun.elapsed()));
    if all.verdict != Verdict::default() {
        root.keep();
        progress.say(&format!("kept as evidence: {}", root.dir.display()));
        return Ok(LOST);
    }
    Ok(0)
}

/// What has come of all rounds.
#[derive(Default)]
struct All {
    rounds: Vec<Round>,
    verdict: Verdict,
}

/// Plays what needs a file system or a network of its own, or says why not.
fn apart(
    args: &Args,
    mut wanted: Vec<&'static Scenario>,
    dir: PathBuf,
    programs: PathBuf,
    disk: Result<(), String>,
    all: &mut All,
) -> Result<(), End> {
    let progress = Progress::new();
    let cuts = wanted.iter().any(|one| one.needs == Needs::Net);
    let net = if cuts { Net::make().map(Some) } else { Ok(None) };
    let mut without = Vec::new();
    wanted.retain(|one| match (one.needs, &disk, &net) {
        (Needs::Disk, Err(why), _) | (Needs::Net, _, Err(why)) => {
            without.push(format!("{}: {why}", one.name));
            false
        }
        _ => true,
    });
    if let (Some(why), true) = (without.first(), args.scenario.is_some()) {
        return Err(End::unable(why, "leave it out of --scenario"));
    }
    without.iter().for_each(|why| progress.say(&format!("  left out: {why}")));
    if wanted.is_empty() {
        return Ok(());
    }
    let disk = disk.is_ok().then_some(Disk::mount as Mount);
    let place = Place::make(dir, programs, Ground::Own { disk, net: net.ok().flatten() })?;
    play(args, &wanted, &place, &progress, all)
}

/// Starts a cluster, plays each scenario in it, and asks once more for all of its jobs.
fn play(
    args: &Args,
    scenarios: &[&'static Scenario],
    place: &Place,
    progress: &Progress,
    all: &mut All,
) -> Result<(), End> {
    let mut cluster = Cluster::begin(place, progress)?;
    progress.say(&report::opening(place, args));
    cluster.until_ready()?;
    progress.say(&report::head());
    let mut rounds: Vec<Round> = Vec::new();
    for (number, scenario) in (1..).zip(scenarios.repeat(args.rounds as usize)) {
        let round = round::play(&mut cluster, args, scenario, number, &rounds)?;
        progress.say(&report::row(&round));
        rounds.push(round);
    }
    let told: Vec<_> = rounds.iter().flat_map(|round| round.told.iter().cloned()).collect();
    progress.show("asking for all of them again");
    let sent = rounds.iter().flat_map(|round| round.sent.iter().copied()).collect();
    let evidence = evidence::collect(place, &told)?;
    let last = judge::verdict(&told, &sent, &evidence);
    let verdict = rounds.iter().map(|round| &round.verdict).fold(last, |sum, one| sum.plus(one));
    all.verdict = std::mem::take(&mut all.verdict).plus(&verdict);
    all.rounds.extend(rounds);
    Ok(())
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
