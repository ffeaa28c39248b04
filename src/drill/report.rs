//! What is printed, in words that need no other page.

use crate::drill::args::Args;
use crate::drill::judge::Verdict;
use crate::drill::place::{CPUS, HOSTS, NODES, Place, TIMEOUT_S};
use crate::drill::round::Round;
use std::time::Duration;

/// How many ids are named of each kind.
const NAMED: usize = 10;

/// What is going to happen.
pub fn opening(place: &Place, args: &Args) -> String {
    let ([first, second], [one, other]) = (HOSTS, NODES);
    let [here, there] = place.addresses;
    let (dir, port) = (place.dir.display(), place.port);
    let root = if rustix::process::geteuid().is_root() { "" } else { "no root, " };
    let net = if place.net.is_some() { "networks of their own" } else { "loopback" };
    let disk = if place.disk.is_some() { "a small file system of its own" } else { "this disk" };
    format!(
        "A cluster in {dir}\n\
         slurmctld {first} ({here}) and {second} ({there}) on {net}, port {port}, \
         SlurmctldTimeout={TIMEOUT_S}, one state directory on {disk};\n\
         agents {one} and {other} with {CPUS} CPUs each; {root}nothing of Slurm's is used. {} jobs \
         a round, {} sbatch at a time.",
        args.jobs, args.submitters
    )
}

/// What stands above the rounds.
pub fn head() -> String {
    format!("\n  {:<40} | {:^29} |", "", "seconds until another")
        + &format!(
            "\n  {:<40} | {:>9} {:>9} {:>9} | acknowledged  lost  run twice  failed",
            "what happens", "reigns", "next id", "next job"
        )
}

/// A round.
pub fn row(round: &Round) -> String {
    let verdict = &round.verdict;
    format!(
        "  {:<40} | {:>9} {:>9} {:>9} | {:>12}  {:>4}  {:>9}  {:>6}",
        round.scenario.says.replace('%', round.primary),
        seconds(round.gaps.reigns),
        seconds(round.gaps.told),
        seconds(round.gaps.started),
        round.told.len(),
        verdict.lost(),
        verdict.twice(),
        round.sent.len() - round.told.len()
    )
}

fn seconds(span: Option<Duration>) -> String {
    span.map_or_else(|| "-".to_owned(), |span| format!("{:.3}", span.as_secs_f64()))
}

/// What it all comes to.
pub fn closing(rounds: &[Round], verdict: &Verdict, took: Duration) -> String {
    let told: usize = rounds.iter().map(|round| round.told.len()).sum();
    let sent: usize = rounds.iter().map(|round| round.sent.len()).sum();
    let ran: usize = rounds.iter().map(|round| round.ran).sum();
    let untold_there: usize = rounds.iter().map(|round| round.untold_there).sum();
    let (lost, twice) = (verdict.lost(), verdict.twice());
    let mut text = format!(
        "\n{told} times sbatch printed an id: scontrol knows {} of them, each with its script, and \
         {ran} ran to their end.\n",
        told - verdict.unknown.union(&verdict.other_script).count().min(told)
    );
    text += &format!(
        "{} times sbatch failed, because nobody was there or its controller went: {untold_there} \
         of these jobs were taken all the same; nobody was told, so both are right.\n",
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
