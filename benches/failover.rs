//! How long clients go without an answer when a controller goes: two of ours beside two of Slurm's
//! own over one directory, Slurm's own sbatch and slurmd under both.
//!
//! The measure: the longest gap between two acknowledgements of 8 loops of sbatch from the moment
//! of the event on, beside the longest gap in as many seconds before it (the undisturbed one of the
//! same round); likewise between two starts of jobs. One of the loops submits jobs that run, the
//! others jobs that wait: what an agent and its jobs do is not on a controller's host, and would
//! take a small machine for itself. The pair is the same in all rounds, and roles change with each:
//! both directions are measured in turn. Slurm's own begins anew after each.
//! `cargo bench --bench failover -- --help` lists the flags, `docs/benchmarks.md` has the results
//! with their commands.
//!
//! Invariant: every wait ends. What does not come in time is said, and counts as never served.

#[allow(dead_code, reason = "every user takes a part of it")]
#[path = "../tests/controller/agents.rs"]
mod agents;
#[allow(dead_code, reason = "every user takes a part of it")]
#[path = "../tests/controller/cluster.rs"]
mod cluster;
#[path = "failover/lab.rs"]
mod lab;
#[path = "failover/report.rs"]
mod report;
#[path = "failover/stream.rs"]
mod stream;

use lab::{Lab, Side};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What happens to the controller that reigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `kill -9` of all of it.
    Kill,
    /// SIGTERM.
    Stop,
    /// `scontrol takeover`.
    Takeover,
    /// SIGSTOP of the process that serves, SIGCONT later.
    Hang,
    /// SIGSTOP of all its processes, SIGCONT later; clients that try the other one first.
    Freeze,
}

const KINDS: [(&str, Kind); 5] = [
    ("kill", Kind::Kill),
    ("stop", Kind::Stop),
    ("takeover", Kind::Takeover),
    ("hang", Kind::Hang),
    ("freeze", Kind::Freeze),
];

/// The flags.
pub struct Flags {
    pub dir: PathBuf,
    pub ours: bool,
    pub slurm: bool,
    pub kinds: Vec<Kind>,
    pub rounds: usize,
    pub pending: usize,
    pub timeout_s: u32,
    /// How many of the loops submit jobs that run; those of the others wait.
    pub running: usize,
    /// How long nothing happens, and how long is looked at after the event.
    pub calm: Duration,
    /// How long it is waited for who never serves again.
    pub cap: Duration,
    /// After so long no round of a kind begins any more.
    pub within: Duration,
    /// Whether all that was written stays.
    pub keep: bool,
}

const HELP: &str = "\
usage: cargo bench --bench failover -- [flags]
  --side ours|slurm|both  whose controllers (both)
  --kinds A,B             of kill stop takeover hang freeze (all)
  --rounds N              how often each (3)
  --pending N             jobs that wait meanwhile (0)
  --running N             of 8 loops, how many submit jobs that run, others sbatch --hold (1)
  --timeout S             SlurmctldTimeout (5)
  --calm S                seconds before the event, and after it (3)
  --cap S                 how long it is waited for who does not serve again (25)
  --within S              after so long no round of a kind begins any more (3600)
  --keep                  leave logs and state there
  --dir DIR               where the data go (target/bench)";

fn parse() -> Flags {
    let mut flags = Flags {
        dir: "target/bench".into(),
        ours: true,
        slurm: true,
        kinds: KINDS.map(|(_, kind)| kind).to_vec(),
        rounds: 3,
        pending: 0,
        timeout_s: 5,
        running: 1,
        calm: Duration::from_secs(3),
        cap: Duration::from_secs(25),
        within: Duration::from_secs(3600),
        keep: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| wrong(&format!("{flag} wants a value")));
        match flag.as_str() {
            "--side" => {
                let side = value();
                (flags.ours, flags.slurm) = (side != "slurm", side != "ours");
            }
            "--kinds" => {
                let kind = |name: &str| {
                    let found = KINDS.iter().find(|(known, _)| *known == name);
                    found.unwrap_or_else(|| wrong(&format!("no kind {name}"))).1
                };
                flags.kinds = value().split(',').map(kind).collect();
            }
            "--rounds" => flags.rounds = number(&value()),
            "--pending" => flags.pending = number(&value()),
            "--running" => flags.running = number(&value()),
            "--timeout" => flags.timeout_s = number(&value()),
            "--calm" => flags.calm = Duration::from_secs(number(&value())),
            "--cap" => flags.cap = Duration::from_secs(number(&value())),
            "--within" => flags.within = Duration::from_secs(number(&value())),
            "--keep" => flags.keep = true,
            "--dir" => flags.dir = value().into(),
            // As cargo calls every bench.
            "--bench" => {}
            "--help" | "-h" => {
                println!("{HELP}");
                std::process::exit(0);
            }
            other => wrong(&format!("no flag {other}")),
        }
    }
    flags
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| wrong(&format!("{text} is no number")))
}

fn wrong(what: &str) -> ! {
    eprintln!("{what}\n{HELP}");
    std::process::exit(2);
}

fn main() {
    let flags = parse();
    let sides = [(Side::Ours, flags.ours), (Side::Slurm, flags.slurm)];
    for (side, _) in sides.into_iter().filter(|(_, wanted)| *wanted) {
        let mut lab = Lab::start(side, &flags);
        let filling = Instant::now();
        lab.fill(flags.pending);
        let took = filling.elapsed().as_secs();
        println!("{side:?}: {} jobs wait, submitted within {took} s", flags.pending);
        let mut told = BTreeSet::new();
        for kind in &flags.kinds {
            let (began, mut outcomes) = (Instant::now(), Vec::new());
            while outcomes.len() < flags.rounds && began.elapsed() < flags.within {
                let (round, primary) = (outcomes.len(), lab.primary());
                let outcome = stream::play(&mut lab, *kind, primary, &flags);
                println!("{side:?} {kind:?} round {round} of {}: {outcome}", lab::NAMES[primary]);
                told.extend(outcome.told.iter().copied());
                outcomes.push(outcome);
            }
            let known = lab.known();
            let lost = told.difference(&known).count();
            let title = format!("{side:?} {kind:?}");
            println!("{}", report::of(&title, &outcomes));
            println!("{title}: {} were acknowledged until now, {lost} of them lost", told.len());
        }
    }
}
