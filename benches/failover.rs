//! How long clients go without an answer when a controller goes: two of ours beside two of Slurm's
//! own over one directory, Slurm's own sbatch and slurmd under both.
//!
//! The measure: the longest gap between two acknowledgements of 8 loops of sbatch from the moment
//! of the event on, beside the longest gap in the seconds before it (the undisturbed one of the
//! same run); likewise between two starts of jobs. `cargo bench --bench failover -- --help` lists
//! the flags, `docs/benchmarks.md` has the results with their commands.

#[allow(dead_code, reason = "every user takes a part of it")]
#[path = "../tests/controller/agents.rs"]
mod agents;
#[allow(dead_code, reason = "every user takes a part of it")]
#[path = "../tests/controller/cluster.rs"]
mod cluster;
#[path = "failover/lab.rs"]
mod lab;
#[path = "failover/stream.rs"]
mod stream;

use lab::{Lab, Side};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use stream::Outcome;

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
    /// How long it is waited for who never serves again.
    pub cap: Duration,
}

const HELP: &str = "\
usage: cargo bench --bench failover -- [flags]
  --side ours|slurm|both  whose controllers (both)
  --kinds A,B             of kill stop takeover hang freeze (all)
  --rounds N              how often each (3)
  --pending N             jobs that wait meanwhile (0)
  --timeout S             SlurmctldTimeout (5)
  --cap S                 how long it is waited for who does not serve again (25)
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
        cap: Duration::from_secs(25),
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
            "--timeout" => flags.timeout_s = number(&value()),
            "--cap" => flags.cap = Duration::from_secs(number(&value())),
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
        lab.fill(flags.pending);
        let mut told = BTreeSet::new();
        for kind in &flags.kinds {
            let mut outcomes = Vec::new();
            for round in 0..flags.rounds {
                let primary = lab.primary();
                let outcome = stream::play(&mut lab, *kind, primary, &flags);
                println!("{side:?} {kind:?} round {round} of {}: {outcome}", lab::NAMES[primary]);
                told.extend(outcome.told.iter().copied());
                outcomes.push(outcome);
            }
            let known = lab.known();
            let lost = told.difference(&known).count();
            println!(
                "{side:?} {kind:?}, n = {}: {}; {lost} lost",
                flags.rounds,
                summary(&outcomes)
            );
        }
    }
}

fn summary(outcomes: &[Outcome]) -> String {
    let column = |what: &dyn Fn(&Outcome) -> Duration| {
        let mut all: Vec<u128> = outcomes.iter().map(|one| what(one).as_millis()).collect();
        all.sort_unstable();
        format!("{} ({} to {})", all[all.len() / 2], all[0], all[all.len() - 1])
    };
    format!(
        "longest gap between acknowledgements {} ms, undisturbed {} ms; between starts {} ms, \
         undisturbed {} ms",
        column(&|one| one.acks.after),
        column(&|one| one.acks.before),
        column(&|one| one.starts.after),
        column(&|one| one.starts.before)
    )
}
