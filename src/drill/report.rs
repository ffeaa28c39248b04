//! What is printed, in words that need no other page.

use crate::drill::args::Args;
use crate::drill::judge::Verdict;
use crate::drill::place::{CPUS, NODES, Place};
use crate::drill::round::Round;
use std::time::Duration;

/// How many ids are named of each kind.
const NAMED: usize = 10;

/// What is going to happen.
pub fn opening(place: &Place, args: &Args) -> String {
    let [one, other] = NODES;
    let (dir, port) = (place.dir.display(), place.port);
    let root = if rustix::process::geteuid().is_root() { "" } else { "no root, " };
    format!(
        "A cluster in {dir}: slurmctld on port {port}, agents {one} and {other} with {CPUS} CPUs \
         each; {root}nothing of Slurm's is used.\n{} rounds: {} jobs, {} sbatch at a time; in the \
         middle the worst happens, and is mended at once.",
        args.rounds, args.jobs, args.submitters
    )
}

/// A round.
pub fn row(round: &Round, first: bool) -> String {
    let head = "\n  round  told an id  ran  lost  run twice | seconds until: it answers  next id  \
                next job\n";
    let verdict = &round.verdict;
    let line = format!(
        "  {:>5}  {:>10}  {:>3}  {:>4}  {:>9} | {:>25}  {:>7}  {:>8}   {}, after {} ids",
        round.number,
        round.told.len(),
        round.ran,
        verdict.lost(),
        verdict.twice(),
        seconds(round.gaps.answers),
        seconds(round.gaps.told),
        seconds(round.gaps.started),
        round.scenario.says,
        round.told_before,
    );
    format!("{}{line}", if first { head } else { "" })
}

fn seconds(span: Option<Duration>) -> String {
    span.map_or_else(|| "-".to_owned(), |span| format!("{:.3}", span.as_secs_f64()))
}

/// What it all comes to.
pub fn closing(rounds: &[Round], verdict: &Verdict, took: Duration) -> String {
    let told: usize = rounds.iter().map(|round| round.told.len()).sum();
    let sent: usize = rounds.iter().map(|round| round.sent.len()).sum();
    let untold_there: usize = rounds.iter().map(|round| round.untold_there).sum();
    let (lost, twice) = (verdict.lost(), verdict.twice());
    let mut text = format!(
        "\n{told} times sbatch printed an id: scontrol knows {} of them, each with its script, and \
         {} ran to their end.\n",
        told - verdict.unknown.union(&verdict.other_script).count(),
        told - verdict.no_output.len()
    );
    text += &format!(
        "{} times sbatch failed, because nobody was there: {untold_there} of these jobs were \
         taken all the same; nobody was told, so both are right.\n",
        sent - told
    );
    for (kind, ids) in verdict.kinds() {
        if !ids.is_empty() {
            let named: Vec<String> = ids.iter().take(NAMED).map(u32::to_string).collect();
            let more = if ids.len() > NAMED { ", …" } else { "" };
            text += &format!("{kind}: {} (ids {}{more})\n", ids.len(), named.join(", "));
        }
    }
    let outcome = if *verdict == Verdict::default() { "passed" } else { "FAILED" };
    let took = took.as_secs_f64();
    text + &format!(
        "drill {outcome}: {told} acknowledged, {lost} lost, {twice} run twice, {took:.1} s"
    )
}
