//! How jobs end, and wait again. Every way a job ends goes through here.
//!
//! ```text
//! PENDING ─ cancel ──────────────────────────────▶ over
//! RUNNING ─ end ──▶ over | COMPLETING ─ last node ▶ over
//!    └───── requeue ▶ PENDING | COMPLETING ─ last node ▶ PENDING
//! ```
//!
//! Invariants: while a node may still hold something of a job, its share there is taken (COMPLETING,
//! and the node in `completing`); a job waits again only when no node has anything of it; exit code
//! and end of a job are recorded once.

use crate::controller::core::{Effect, Ending, World};
use crate::controller::job::{Course, Job};
use crate::slurm::wire::constants::job as state;
use crate::slurm::wire::{Text, Time};
use std::sync::Arc;

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
    course.state = state::PENDING | state::COMPLETING;
    course.end_time = Time(world.now);
    course.restart_cnt = course.restart_cnt.saturating_add(1);
    course.requeues = course.requeues.saturating_add(1);
    leave(job, course)
}

fn leave(job: &Job, mut course: Course) -> (Arc<Job>, Vec<Effect>) {
    let nodes: Vec<Text> = course.shares.iter().map(|share| share.node.clone()).collect();
    course.completing.clone_from(&nodes);
    let uid = job.spec.user_id;
    let end = Effect::End { job: job.id, uid, nodes, how: Ending::Terminate };
    (next(job, course), vec![end, Effect::Schedule])
}

/// A node has nothing left of a job. `None`: that was known.
#[must_use]
pub fn left(job: &Job, node: &Text) -> Option<(Arc<Job>, Vec<Effect>)> {
    let at = job.course.completing.iter().position(|other| other == node)?;
    let mut course = job.course.clone();
    course.completing.remove(at);
    if course.completing.is_empty() {
        course.state &= !state::COMPLETING;
        if job.is_pending() {
            course.shares.clear();
            course.batch_host = Text::NONE;
            (course.start_time, course.end_time) = (Time(0), Time(0));
        }
    }
    Some((next(job, course), vec![Effect::Schedule]))
}

/// The same job, further on.
#[must_use]
pub fn next(job: &Job, course: Course) -> Arc<Job> {
    Arc::new(Job { id: job.id, spec: Arc::clone(&job.spec), course })
}
