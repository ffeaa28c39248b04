//! One round, in order: a stream of submissions, the worst in the middle of it, mended at once; the
//! stream goes on until as many jobs are told as were asked for; then all jobs run to their end,
//! and what was told is compared with what is there.

use crate::drill::args::Args;
use crate::drill::cluster::Cluster;
use crate::drill::judge::{self, Told, Verdict};
use crate::drill::ledger::{Event, Gaps, Ledger};
use crate::drill::load::Stream;
use crate::drill::scenario::Scenario;
use crate::drill::{End, evidence, stop};
use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long nothing at all may happen. Nothing is measured by it.
const STILL: Duration = Duration::from_secs(60);

/// What became of a round.
#[derive(Debug)]
pub struct Round {
    /// Counted from 1.
    pub number: u32,
    /// What happened in it.
    pub scenario: &'static Scenario,
    /// How many were told before that.
    pub told_before: usize,
    /// Who was told what.
    pub told: Vec<Told>,
    /// What was submitted.
    pub sent: BTreeSet<u32>,
    /// How many of them whose client failed have a job all the same.
    pub untold_there: usize,
    /// How many jobs ran to their end.
    pub ran: usize,
    /// What is wrong.
    pub verdict: Verdict,
    /// How long things took after the fault.
    pub gaps: Gaps,
}

/// Plays it.
///
/// # Errors
/// It could not be played.
pub fn play(
    cluster: &mut Cluster<'_>,
    args: &Args,
    scenario: &'static Scenario,
    number: u32,
    before: &[Round],
) -> Result<Round, End> {
    let outputs = cluster.place.outputs(number);
    fs::create_dir(&outputs)
        .map_err(|error| End::unable(format!("{}: {error}", outputs.display()), "set TMPDIR"))?;
    let first = before.iter().flat_map(|round| &round.sent).max().map_or(1, |last| last + 1);
    let (ledger, next) = (Mutex::new(Ledger::default()), AtomicU32::new(first));
    let (jobs, stop, claimed) = (args.jobs as usize, AtomicBool::new(false), AtomicUsize::new(0));
    let after = moment(number, args.rounds, jobs);
    let stream = Stream {
        place: cluster.place,
        round: number,
        begun: Instant::now(),
        ledger: &ledger,
        next: &next,
        jobs,
        claimed: &claimed,
        stop: &stop,
    };
    std::thread::scope(|scope| {
        let (stream, _ends) = (&stream, EndsIt(&stop));
        scope.spawn(move || stream.watch());
        for submitter in 0..args.submitters {
            scope.spawn(move || stream.submit(submitter));
        }
        during(cluster, stream, scenario, after)?;
        until_over(cluster, stream)
    })?;
    let ledger = ledger.into_inner().expect("nobody panics with it");
    judged(cluster, &ledger, scenario, number, after)
}

/// Sets a flag when it goes, whatever the reason: whoever looks at it ends.
struct EndsIt<'a>(&'a AtomicBool);

impl Drop for EndsIt<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// After how many ids the worst happens: earlier and later in the stream, by the round.
fn moment(round: u32, rounds: u32, jobs: usize) -> usize {
    (jobs * (2 * round as usize - 1) / (2 * rounds as usize)).clamp(1, jobs - 1)
}

/// From the first submission to the last id.
fn during(
    cluster: &mut Cluster<'_>,
    stream: &Stream<'_>,
    scenario: &'static Scenario,
    after: usize,
) -> Result<(), End> {
    until_told(cluster, stream, after)?;
    stream.note(Event::Fault);
    scenario.fault.iter().chain(scenario.mend).try_for_each(|act| cluster.act(*act))?;
    let come = stop::until_often(STILL, || Ok(cluster.answers()?.then_some(())))?;
    if come.is_none() {
        let said = cluster.controller_said();
        let what = format!("slurmctld takes no connection after {}:\n{said}", scenario.says);
        return Err(End::unable(what, "run it again with --keep, and read the log"));
    }
    stream.note(Event::Answers);
    until_told(cluster, stream, stream.jobs)
}

fn until_told(cluster: &Cluster<'_>, stream: &Stream<'_>, many: usize) -> Result<(), End> {
    let (mut last, mut changed) = (0, Instant::now());
    loop {
        stop::asked()?;
        let told = stream.told();
        if told >= many {
            return Ok(());
        }
        if told > last {
            (last, changed) = (told, Instant::now());
        }
        let (round, jobs) = (stream.round, stream.jobs);
        cluster.progress.show(&format!("round {round}: {told} of {jobs} jobs have their id"));
        if changed.elapsed() >= STILL {
            let ledger = stream.ledger.lock().expect("nobody panics with it");
            let why = ledger.refused_since().map_or("(nothing)", |(_, why)| why).to_owned();
            let what = format!("no submission gets an id any more; sbatch says: {why}");
            return Err(End::unable(what, "run it again with --keep, and read slurmctld.log"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until no job is in the queue, or nothing happens any more: what is missing then is lost.
fn until_over(cluster: &Cluster<'_>, stream: &Stream<'_>) -> Result<(), End> {
    let (mut last, mut changed) = (usize::MAX, Instant::now());
    loop {
        stop::asked()?;
        let ran = cluster.client("squeue").arg("-h").output();
        let ran = ran.map_err(|error| End::unable(format!("squeue: {error}"), "try again"))?;
        let left = String::from_utf8_lossy(&ran.stdout).lines().count();
        if ran.status.success() && left == 0 {
            return Ok(());
        }
        if left != last {
            (last, changed) = (left, Instant::now());
        }
        let round = stream.round;
        cluster.progress.show(&format!("round {round}: {left} jobs wait or run"));
        if changed.elapsed() >= STILL {
            cluster.progress.say(&format!("round {round}: {left} jobs do not end, or hang"));
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn judged(
    cluster: &Cluster<'_>,
    ledger: &Ledger,
    scenario: &'static Scenario,
    number: u32,
    told_before: usize,
) -> Result<Round, End> {
    cluster.progress.show(&format!("round {number}: asking for each job and its script"));
    let (told, sent) = (ledger.told(), ledger.sent().into_iter().collect::<BTreeSet<u32>>());
    let there = evidence::collect(cluster.place, &told)?;
    let verdict = judge::verdict(&told, &sent, &there);
    let ran = told.iter().filter(|job| !verdict.no_output.contains(&job.id)).count();
    let numbers: BTreeSet<u32> = told.iter().map(|job| job.number).collect();
    let untold = sent.difference(&numbers).map(|number| judge::name(*number));
    let untold: BTreeSet<String> = untold.collect();
    let untold_there = there.jobs.values().filter(|job| untold.contains(&job.name)).count();
    let gaps = ledger.gaps();
    Ok(Round { number, scenario, told_before, told, sent, untold_there, ran, verdict, gaps })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_happens_within_the_stream_earlier_and_later() {
        assert_eq!((1..=3).map(|round| moment(round, 3, 300)).collect::<Vec<_>>(), [50, 150, 250]);
        for (rounds, jobs) in [(1, 20), (1000, 20), (7, 20_000)] {
            let all = (1..=rounds).map(|round| moment(round, rounds, jobs));
            assert!(all.into_iter().all(|at| (1..jobs).contains(&at)));
        }
    }
}
