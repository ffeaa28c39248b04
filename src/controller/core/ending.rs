//! How jobs end, and wait again. Every way a job ends goes through here.
//!
//! ```text
//! PENDING ─ cancel ──────────────────────────────▶ over
//! RUNNING ─ end ──▶ over | COMPLETING ─ last node ▶ over
//!    └───── requeue ▶ PENDING | COMPLETING ─ last node ▶ PENDING (for a moment not eligible)
//! ```
//!
//! Invariants: while a node may still hold something of a job, its share there is taken (COMPLETING,
//! and the node in `completing`); a job waits again only when no node has anything of it; exit code
//! and end of a job are recorded once.

use crate::controller::core::{Effect, Ending, World};
use crate::controller::job::{Course, Job};
use crate::slurm::wire::constants::job as state;
use crate::slurm::wire::constants::reason;
use crate::slurm::wire::tables::JobDesc;
use crate::slurm::wire::{Text, Time};
use std::sync::Arc;

/// How often a job may be queued again for failures that are not its own, as in Slurm.
const REQUEUES_MAX: u16 = 6;

/// Seconds before a job may start again. slurmd refuses credentials that are not younger than the
/// request to end the job, by whole seconds.
const REST_S: i64 = 2;

/// A job is over, or will be when its nodes have nothing left of it.
///
/// `base` is the state that it ends in, `reason` Slurm's number for why.
#[must_use]
pub fn end(world: World<'_>, job: &Job, base: u32, reason: u16) -> (Arc<Job>, Vec<Effect>) {
    assert!(base > state::SUSPENDED && base <= state::OUT_OF_MEMORY, "a state to end in: {base}");
    let mut course = job.course.clone();
    course.end_time = Time(world.now);
    course.reason = reason;
    if !job.is_active() {
        course.state = base;
        course.shares.clear();
        return (next(job, course), vec![Effect::Schedule]);
    }
    course.state = base | state::COMPLETING;
    leave(job, course)
}

/// A job that runs is to wait again, as soon as its nodes have nothing left of it.
#[must_use]
pub fn requeue(world: World<'_>, job: &Job) -> (Arc<Job>, Vec<Effect>) {
    assert!(job.is_active(), "job {} does not run", job.id);
    let mut course = job.course.clone();
    course.restart_cnt = course.restart_cnt.saturating_add(1);
    course.requeues = course.requeues.saturating_add(1);
    again(world, job, course)
}

/// The same for a failure that is not the job's: after [`REQUEUES_MAX`] it is held.
#[must_use]
pub fn requeue_or_hold(world: World<'_>, job: &Job) -> (Arc<Job>, Vec<Effect>) {
    let (job, effects) = requeue(world, job);
    if job.course.requeues < REQUEUES_MAX {
        return (job, effects);
    }
    let course =
        Course { priority: 0, reason: reason::MAX_REQUEUE, requeues: 0, ..job.course.clone() };
    (next(&job, course), effects)
}

/// A job whose start never came to anything is to wait again. That does not count as a restart, and
/// it needs no permission; its nodes are asked all the same to end it.
#[must_use]
pub fn relaunch(world: World<'_>, job: &Job) -> (Arc<Job>, Vec<Effect>) {
    again(world, job, job.course.clone())
}

/// The same for a start of which no node can know.
#[must_use]
pub fn take_back(world: World<'_>, job: &Job) -> (Arc<Job>, Vec<Effect>) {
    assert!(job.is_active(), "job {} does not run", job.id);
    let course = Course { state: state::PENDING, reason: reason::NONE, ..job.course.clone() };
    (waits(world, job, course), vec![Effect::Schedule])
}

fn again(world: World<'_>, job: &Job, mut course: Course) -> (Arc<Job>, Vec<Effect>) {
    assert!(job.is_active(), "job {} does not run", job.id);
    course.state = state::PENDING | state::COMPLETING;
    course.end_time = Time(world.now);
    course.reason = reason::NONE;
    (course.pre_sus_time, course.suspend_time) = (Time(0), Time(0));
    leave(job, course)
}

fn leave(job: &Job, mut course: Course) -> (Arc<Job>, Vec<Effect>) {
    let nodes: Vec<Text> = course.shares.iter().map(|share| share.node.clone()).collect();
    course.completing.clone_from(&nodes);
    let uid = job.spec.user_id;
    let end = Effect::End { job: job.id, uid, nodes, how: Ending::Terminate };
    (next(job, course), vec![end, Effect::Schedule])
}

/// A job goes on without one of its nodes.
#[must_use]
pub fn shrink(world: World<'_>, job: &Job, node: &Text) -> (Arc<Job>, Vec<Effect>) {
    let mut course = job.course.clone();
    course.shares.retain(|share| share.node != *node);
    assert!(job.is_active() && !course.shares.is_empty(), "job {} keeps a node", job.id);
    course.resize_time = Time(world.now);
    (next(job, course), vec![Effect::Schedule])
}

/// A node has nothing left of a job. `None`: that was known.
#[must_use]
pub fn left(world: World<'_>, job: &Job, node: &Text) -> Option<(Arc<Job>, Vec<Effect>)> {
    let at = job.course.completing.iter().position(|other| other == node)?;
    let mut course = job.course.clone();
    course.completing.remove(at);
    let mut next = next(job, course.clone());
    if course.completing.is_empty() {
        course.state &= !state::COMPLETING;
        next = if job.is_pending() { waits(world, job, course) } else { self::next(job, course) };
    }
    Some((next, vec![Effect::Schedule]))
}

/// A job waits, with nothing left of its last run.
fn waits(world: World<'_>, job: &Job, mut course: Course) -> Arc<Job> {
    course.shares.clear();
    course.batch_host = Text::NONE;
    (course.start_time, course.end_time) = (Time(0), Time(0));
    let begin = Time(world.now + REST_S).max(job.spec.begin_time);
    course.eligible_time = begin;
    course.accrue_time = Time(0);
    let spec = JobDesc { begin_time: begin, ..JobDesc::clone(&job.spec) };
    Arc::new(Job { id: job.id, spec: Arc::new(spec), course })
}

/// The same job, further on.
#[must_use]
pub fn next(job: &Job, course: Course) -> Arc<Job> {
    Arc::new(Job { id: job.id, spec: Arc::clone(&job.spec), course })
}
