//! What time brings: warnings and limits of jobs that run; old jobs are forgotten.
//!
//! Invariants: a job that is stopped has all its time; a warning is sent once in each run.

use crate::controller::core::draft::Draft;
use crate::controller::core::{Effect, Ending, Outcome, World, current, ending, purge};
use crate::controller::job::{Course, Job};
use crate::controller::state::State;
use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::{job as state, rc, reason, step};
use crate::slurm::wire::{Message, Unset};

const SIGCONT: u16 = 18;
/// In a request to signal: the batch script alone.
const BATCH_ONLY: u16 = 1;
/// In a request to signal: the steps, not the batch script.
const STEPS_ONLY: u16 = 4;

/// Does what is due.
pub fn tick(world: World<'_>) -> Outcome {
    let mut draft = Draft::new(world);
    for id in &world.state.busy {
        let Some(job) = world.state.job(*id).filter(|job| job.base() == state::RUNNING) else {
            continue;
        };
        if is_over_limit(world.conf, world.state, job, world.now) {
            draft.note(format!("job {id} has reached its time limit"));
            draft.job(times_out(world, job));
        } else if warns(job, world.now) {
            warn(&mut draft, job);
        }
    }
    purge::purge(world).into_iter().for_each(|change| draft.put(change));
    draft.outcome(Message::code(rc::OK))
}

/// When its time is up; `None`: never.
#[must_use]
pub fn due(job: &Job) -> Option<i64> {
    let course = &job.course;
    let minutes = course.time_limit;
    if minutes == u32::INFINITE || minutes.is_unset() {
        return None;
    }
    let since = match course.suspend_time.0 {
        0 => course.start_time.0,
        goes_on => goes_on - course.pre_sus_time.0,
    };
    Some(since.saturating_add(i64::from(minutes) * 60))
}

/// Whether a job that runs has had its time, and what it may have beyond it.
#[must_use]
pub fn is_over_limit(conf: &Conf, state: &State, job: &Job, now: i64) -> bool {
    let Some(due) = due(job).filter(|due| now >= *due) else { return false };
    let name = job.course.partition.lossy();
    let own = current(conf, state).into_iter().find(|partition| partition.name == name);
    let own = own.and_then(|partition| partition.over_time_limit).map(u64::from);
    let minutes = own.unwrap_or_else(|| conf.number("OverTimeLimit"));
    let more = match i64::try_from(minutes) {
        Ok(minutes) if minutes < i64::from(u16::MAX) => minutes * 60,
        _ => 365 * 24 * 3600,
    };
    now >= due.saturating_add(more)
}

fn times_out(world: World<'_>, job: &Job) -> (std::sync::Arc<Job>, Vec<Effect>) {
    let (job, mut effects) = ending::end(world, job, state::TIMEOUT, reason::TIMEOUT);
    for effect in &mut effects {
        if let Effect::End { how, .. } = effect {
            *how = Ending::TimeLimit;
        }
    }
    (job, effects)
}

/// Whether a job is to be told that its time is nearly up.
fn warns(job: &Job, now: i64) -> bool {
    let (signal, time) = (job.spec.warn_signal, job.spec.warn_time);
    let wanted = signal != 0 && !signal.is_unset() && time != 0 && !time.is_unset();
    let near = due(job).is_some_and(|due| now.saturating_add(i64::from(time)) >= due);
    wanted && near && job.course.warned != job.course.launches
}

fn warn(draft: &mut Draft<'_>, job: &Job) {
    let asked = job.spec.warn_flags;
    let batch = !asked.is_unset() && asked & BATCH_ONLY != 0;
    let flags = if batch { BATCH_ONLY } else { STEPS_ONLY };
    let nodes: Vec<_> = job.course.shares.iter().map(|share| share.node.clone()).collect();
    let nodes = if batch { vec![job.course.batch_host.clone()] } else { nodes };
    let step = if batch { step::BATCH } else { step::NONE };
    for signal in [SIGCONT, job.spec.warn_signal] {
        draft.effect(Effect::Signal { job: job.id, nodes: nodes.clone(), step, signal, flags });
    }
    let course = Course { warned: job.course.launches, ..job.course.clone() };
    draft.job((ending::next(job, course), Vec::new()));
}
