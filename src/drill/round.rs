//! One round, in order: a primary, a standby that is ready; a stream of submissions, the worst in
//! the middle of it, mended when another reign has begun; the stream goes on until as many jobs are
//! told as were asked for; then all jobs run to their end, and what was told is compared with what
//! is there.

use crate::drill::args::Args;
use crate::drill::cluster::Cluster;
use crate::drill::judge::{self, HEAVY, Told, Verdict};
use crate::drill::ledger::{Event, Gaps, Ledger};
use crate::drill::load::Stream;
use crate::drill::place::{HOSTS, TIMEOUT_S};
use crate::drill::scenario::{Scenario, Until};
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
    /// What happened in it.
    pub scenario: &'static Scenario,
    /// Who reigned until then.
    pub primary: &'static str,
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
    let primary = cluster.until_settled()?;
    let sent = before.iter().flat_map(|round| &round.sent).filter(|number| **number < HEAVY);
    let (ledger, next) = (Mutex::new(Ledger::default()), AtomicU32::new(1));
    next.store(sent.max().map_or(1, |last| last + 1), Ordering::Relaxed);
    let (jobs, stop, claimed) = (args.jobs as usize, AtomicBool::new(false), AtomicUsize::new(0));
    let (heavy, light) = (AtomicU32::new(HEAVY + number * 10_000), AtomicBool::new(false));
    let stream = Stream {
        place: cluster.place,
        round: number,
        begun: Instant::now(),
        ledger: &ledger,
        next: &next,
        jobs,
        claimed: &claimed,
        stop: &stop,
        heavy: &heavy,
        light: &light,
    };
    let after = moment(number, jobs);
    std::thread::scope(|scope| {
        let (stream, _ends) = (&stream, EndsIt(&stop));
        scope.spawn(move || stream.watch());
        for submitter in 0..args.submitters {
            scope.spawn(move || stream.submit(submitter));
        }
        until_told(cluster, stream, after)?;
        match scenario.until {
            Until::PutOff => {
                scope.spawn(move || stream.submit_heavy());
                full(cluster, stream, scenario, primary)?;
                scope.spawn(move || stream.submit_one());
            }
            _ => gone(cluster, stream, scenario, primary)?,
        }
        until_told(cluster, stream, stream.jobs)?;
        until_over(cluster, stream)
    })?;
    let ledger = ledger.into_inner().expect("nobody panics with it");
    judged(cluster, &ledger, scenario, (number, HOSTS[primary]))
}

/// Sets a flag when it goes, whatever the reason: whoever looks at it ends.
struct EndsIt<'a>(&'a AtomicBool);

impl Drop for EndsIt<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// After how many ids the worst happens: a third, a half, two thirds of them, in turn.
fn moment(round: u32, jobs: usize) -> usize {
    jobs * (round as usize % 3 + 2) / 6
}

/// The primary goes, or its role does; another reign begins; it is mended.
fn gone(
    cluster: &mut Cluster<'_>,
    stream: &Stream<'_>,
    scenario: &'static Scenario,
    primary: usize,
) -> Result<(), End> {
    cluster.mark(primary);
    stream.note(Event::Fault);
    let now = scenario.fault.iter().chain(scenario.at_once());
    let served = cluster.serving(primary);
    now.copied().try_for_each(|act| cluster.act(act, primary))?;
    stream.note(Event::Struck);
    cluster.progress.show(&format!("round {}: waiting for another reign", stream.round));
    let other = 1 - primary;
    if scenario.until == Until::SameReigns {
        let limit = 3 * Duration::from_secs(TIMEOUT_S.into());
        let reigns = stop::until(limit, || Ok(cluster.reigns(other)?.then_some(())))?;
        if reigns.is_some() || !cluster.reigns(primary)? {
            return Err(cluster.look("the reign has changed hands, without need", other));
        }
        return scenario.mend.iter().copied().try_for_each(|act| cluster.act(act, primary));
    }
    let either = scenario.until == Until::OneReigns;
    let come = stop::until_often(STILL, || {
        // What is frozen may still have answered: another process counts.
        let again = either && cluster.serving(primary) != served;
        Ok((cluster.reigns(other)? || again && cluster.reigns(primary)?).then_some(()))
    })?;
    if come.is_none() {
        let what = format!("nobody else reigns after {}", scenario.says);
        return Err(cluster.look(&what.replace('%', HOSTS[primary]), other));
    }
    stream.note(Event::Reigns);
    scenario.mend.iter().copied().try_for_each(|act| cluster.act(act, primary))
}

/// There is no room, until submissions are put off, while information is given; then there is.
fn full(
    cluster: &mut Cluster<'_>,
    stream: &Stream<'_>,
    scenario: &'static Scenario,
    primary: usize,
) -> Result<(), End> {
    cluster.mark(primary);
    scenario.fault.iter().copied().try_for_each(|act| cluster.act(act, primary))?;
    let put_off = stop::until(STILL, || {
        cluster.progress.show(&format!("round {}: until nothing more fits", stream.round));
        Ok(cluster.said_since(primary).contains("changes are put off").then_some(()))
    })?;
    let asked = cluster.client("squeue").arg("-h").output();
    let answered = asked.is_ok_and(|ran| ran.status.success());
    stream.light.store(true, Ordering::Release);
    stream.note(Event::Fault);
    scenario.mend.iter().copied().try_for_each(|act| cluster.act(act, primary))?;
    stream.note(Event::Reigns);
    if put_off.is_none() || !answered {
        let what = "on a full disk submissions are not put off, or information is not given";
        return Err(cluster.look(what, primary));
    }
    Ok(())
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
            drop(ledger);
            let what = format!("no submission gets an id any more; sbatch says: {why}");
            return Err(cluster.look(&what, 0));
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
    (number, primary): (u32, &'static str),
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
    Ok(Round { scenario, primary, told, sent, untold_there, ran, verdict, gaps })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_happens_within_the_stream_earlier_and_later() {
        assert_eq!((1..=4).map(|round| moment(round, 60)).collect::<Vec<_>>(), [30, 40, 20, 30]);
        for jobs in [20, 20_000] {
            assert!((1..=1000).all(|round| (1..jobs - 1).contains(&moment(round, jobs))));
        }
    }
}
