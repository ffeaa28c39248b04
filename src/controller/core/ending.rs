//! How jobs end, and wait again. Every way a job ends goes through here.
//!
//! ```text
//! PENDING ─ cancel ──────────────────────────────▶ over
//! RUNNING ─ end ──▶ over | COMPLETING ─ last node ▶ over ─ requeue ▶ PENDING
//!    └───── requeue ▶ PENDING | COMPLETING ─ last node ▶ PENDING
//!                        └ cancel ▶ over | COMPLETING ─ last node ▶ over
//! ```
//!
//! Invariants: while a node may still hold something of a job, its share there is taken
//! (COMPLETING, and the node in `completing`); a job waits again only when no node has anything of
//! it; exit code and end of a job are recorded once.

use crate::controller::core::{Effect, Ending, World};
use crate::controller::job::{Course, Job};
use crate::slurm::wire::constants::{job as state, reason};
use crate::slurm::wire::tables::JobDesc;
use crate::slurm::wire::{Text, Time};
use std::sync::Arc;

/// How often a job may be queued again for failures that are not its own, as in Slurm.
const REQUEUES_MAX: u16 = 6;

/// Seconds before a job may start again. slurmd refuses credentials that are not younger, by whole
/// seconds, than the request to end the job.
const REST_S: i64 = 2;

/// A job is over, or will be when its nodes have nothing left of it.
///
/// `base` is the state that it ends in, `reason` Slurm's number for why. One that waits again while
/// its nodes are still at work does not wait any more; when it ended stays as it is.
///
/// # Panics
/// If `base` is no state to end in, or the job is over: the caller's mistake.
#[must_use]
pub fn end(world: World<'_>, job: &Job, base: u32, reason: u16) -> (Arc<Job>, Vec<Effect>) {
    assert!(base > state::SUSPENDED && base <= state::OUT_OF_MEMORY, "a state to end in: {base}");
    assert!(job.is_pending() || job.is_active(), "job {} is over", job.id);
    let mut course = job.course.clone();
    course.reason = reason;
    if job.is_pending() && job.is_completing() {
        course.state = base | state::COMPLETING;
        return (next(job, course), vec![Effect::Schedule]);
    }
    course.end_time = ended(world, job);
    if job.is_pending() {
        course.state = base;
        course.start_time = course.end_time;
        return (next(job, course), vec![Effect::Schedule]);
    }
    course.state = base | state::COMPLETING;
    leave(job, course)
}

/// A job is to wait again, as soon as its nodes have nothing left of it; one that is over, too.
///
/// # Panics
/// If it waits already: the caller's mistake.
#[must_use]
pub fn requeue(world: World<'_>, job: &Job) -> (Arc<Job>, Vec<Effect>) {
    assert!(!job.is_pending(), "job {} waits", job.id);
    let mut course = job.course.clone();
    course.restart_cnt = course.restart_cnt.saturating_add(1);
    course.requeues = course.requeues.saturating_add(1);
    course.reason = reason::NONE;
    course.state_desc = Text::NONE;
    if job.is_over() {
        course.state = state::PENDING;
        return (waits(world, job, course), vec![Effect::Schedule]);
    }
    if job.is_completing() {
        course.state = state::PENDING | state::COMPLETING;
        return (next(job, course), vec![Effect::Schedule]);
    }
    again(world, job, course)
}

fn again(world: World<'_>, job: &Job, mut course: Course) -> (Arc<Job>, Vec<Effect>) {
    assert!(job.is_active(), "job {} does not run", job.id);
    course.state = state::PENDING | state::COMPLETING;
    course.end_time = ended(world, job);
    leave(job, course)
}

/// A job that runs is to wait again for a failure that is not its own: too often, and it is held.
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
/// needs no permission; its nodes are asked all the same to end it.
///
/// # Panics
/// If it does not run: the caller's mistake.
#[must_use]
pub fn relaunch(world: World<'_>, job: &Job) -> (Arc<Job>, Vec<Effect>) {
    again(world, job, job.course.clone())
}

/// The same for a start of which no node can know.
///
/// # Panics
/// If it does not run: the caller's mistake.
#[must_use]
pub fn take_back(world: World<'_>, job: &Job) -> (Arc<Job>, Vec<Effect>) {
    assert!(job.is_active(), "job {} does not run", job.id);
    let course = Course { state: state::PENDING, reason: reason::NONE, ..job.course.clone() };
    (waits(world, job, course), vec![Effect::Schedule])
}

/// A job goes on without one of its nodes.
///
/// # Panics
/// If it does not run, or has no other node: the caller's mistake.
#[must_use]
pub fn shrink(world: World<'_>, job: &Job, node: &Text) -> (Arc<Job>, Vec<Effect>) {
    let mut course = job.course.clone();
    course.shares.retain(|share| share.node != *node);
    assert!(job.is_active() && !course.shares.is_empty(), "job {} keeps a node", job.id);
    course.resize_time = Time(world.now);
    (next(job, course), vec![Effect::Schedule])
}

/// When a job that ends now has ended: while it is stopped, it does not run.
fn ended(world: World<'_>, job: &Job) -> Time {
    if job.base() == state::SUSPENDED { job.course.suspend_time } else { Time(world.now) }
}

/// What a job that waits again does not have any more.
fn forget_run(course: &mut Course) {
    course.shares.clear();
    course.batch_host = Text::NONE;
    (course.start_time, course.end_time) = (Time(0), Time(0));
    (course.suspend_time, course.pre_sus_time) = (Time(0), Time(0));
    (course.exit_code, course.derived_ec) = (0, 0);
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
pub fn left(world: World<'_>, job: &Job, node: &Text) -> Option<(Arc<Job>, Vec<Effect>)> {
    let at = job.course.completing.iter().position(|other| other == node)?;
    let mut course = job.course.clone();
    course.completing.remove(at);
    if course.completing.is_empty() {
        course.state &= !state::COMPLETING;
    }
    let waits_now = job.is_pending() && course.completing.is_empty();
    let next = if waits_now { waits(world, job, course) } else { next(job, course) };
    Some((next, vec![Effect::Schedule]))
}

/// A job waits, with nothing left of its last run; in a moment it may start.
fn waits(world: World<'_>, job: &Job, mut course: Course) -> Arc<Job> {
    forget_run(&mut course);
    let begin = Time(world.now + REST_S).max(job.spec.begin_time);
    (course.eligible_time, course.accrue_time) = (begin, Time(0));
    let spec = JobDesc { begin_time: begin, ..JobDesc::clone(&job.spec) };
    Arc::new(Job { id: job.id, spec: Arc::new(spec), course })
}

/// The same job, further on.
#[must_use]
pub fn next(job: &Job, course: Course) -> Arc<Job> {
    Arc::new(Job { id: job.id, spec: Arc::clone(&job.spec), course })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::job::{Share, unbegun};
    use crate::controller::state::{Change, Load, State};
    use crate::slurm::conf::Conf;
    use crate::slurm::wire::tables::JobDesc;
    use crate::slurm::wire::{Bits, Field};
    use std::path::Path;

    fn running(nodes: &[&str]) -> Job {
        let share = |node: &&str| {
            let cores = Bits::from_set(1, [0]);
            Share { node: (*node).into(), cpus: 1, memory: 5, cores }
        };
        let shares = nodes.iter().map(share).collect();
        let course = Course { state: state::RUNNING, shares, start_time: Time(3), ..unbegun() };
        Job { id: 7, spec: Arc::new(JobDesc::unset()), course }
    }

    /// The state with that job alone, checked against itself.
    fn with(job: &Arc<Job>) -> State {
        let mut state = State::default();
        state.take(Change::Job(Arc::clone(job)));
        state
    }

    fn conf() -> Conf {
        let text = "ClusterName=c\nSlurmctldHost=localhost\nNodeName=n\nPartitionName=p Nodes=n\n";
        Conf::read(Path::new("/x"), &mut |_| Ok(text.to_owned())).unwrap()
    }

    #[test]
    fn a_job_that_is_to_wait_again_can_be_cancelled_and_keeps_its_nodes_until_they_are_clean() {
        let (conf, state) = (conf(), State::default());
        let world = World { conf: &conf, state: &state, now: 9 };
        let (again, effects) = requeue(world, &running(&["a", "b"]));
        assert_eq!(effects.len(), 2, "its nodes are told");
        assert!(again.is_pending() && again.is_completing() && again.course.restart_cnt == 1);
        let later = World { now: 20, ..world };
        let (gone, effects) = end(later, &again, state::CANCELLED, 0);
        assert_eq!(effects, [Effect::Schedule], "its nodes were told before");
        assert_eq!(gone.course.end_time, Time(9), "when it ended");
        assert_eq!(with(&gone).load_of("b").cpus, 1);
        let (gone, _) = left(world, &gone, &"a".into()).unwrap();
        let (gone, _) = left(world, &gone, &"b".into()).unwrap();
        assert!(gone.is_over() && gone.base() == state::CANCELLED);
        assert_eq!(with(&gone).load_of("b"), Load::default());
        assert_eq!(left(world, &gone, &"b".into()), None);
    }

    #[test]
    fn a_job_that_is_over_waits_again_without_a_trace_of_its_run() {
        let (conf, state) = (conf(), State::default());
        let world = World { conf: &conf, state: &state, now: 9 };
        let (ended, _) = end(world, &running(&["a"]), state::FAILED, reason::EXIT_CODE);
        assert_eq!((ended.course.end_time, ended.course.reason), (Time(9), reason::EXIT_CODE));
        let (over, _) = left(world, &ended, &"a".into()).unwrap();
        let (again, _) = requeue(world, &over);
        let course = &again.course;
        assert!(again.is_pending() && !again.is_completing() && course.shares.is_empty());
        assert_eq!((course.start_time, course.end_time, course.reason), (Time(0), Time(0), 0));
    }

    #[test]
    fn a_job_that_is_stopped_ends_when_it_was_stopped() {
        let (conf, state) = (conf(), State::default());
        let world = World { conf: &conf, state: &state, now: 9 };
        let mut job = running(&["a"]);
        (job.course.state, job.course.suspend_time) = (state::SUSPENDED, Time(5));
        assert_eq!(end(world, &job, state::CANCELLED, 0).0.course.end_time, Time(5));
        assert_eq!(requeue(world, &job).0.course.end_time, Time(5));
    }
}
