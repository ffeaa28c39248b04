//! Why a job may not start yet, whatever room there is.
//!
//! Invariant: `None` means that nothing but room keeps the job from starting; the scheduler and
//! `core::start` ask the same function.

use crate::controller::core::array::throttle;
use crate::controller::job::Job;
use crate::controller::state::State;
use crate::slurm::wire::constants::reason;

/// Why it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Slurm's number for it.
    pub reason: u16,
    /// When that is over; `None`: not by time alone.
    pub until: Option<i64>,
}

/// Why a job that is pending may not start; `None`: it may.
#[must_use]
pub fn wait(state: &State, job: &Job, now: i64) -> Option<Wait> {
    let forever = |reason| Some(Wait { reason, until: None });
    if job.course.priority == 0 {
        return forever(held(job.course.reason));
    }
    if job.is_completing() {
        return forever(reason::CLEANING);
    }
    if !job.course.dependency.is_empty() {
        let never = job.course.reason == reason::DEPENDENCY_NEVER;
        return forever(if never { reason::DEPENDENCY_NEVER } else { reason::DEPENDENCY });
    }
    let begin = job.spec.begin_time.0;
    if begin > now {
        return Some(Wait { reason: reason::BEGIN_TIME, until: Some(begin) });
    }
    if free_tasks(state, job) == 0 {
        return forever(reason::ARRAY_TASK_LIMIT);
    }
    None
}

/// A job that is held keeps what it was held for.
fn held(reason: u16) -> u16 {
    const KEPT: [u16; 4] =
        [reason::HELD, reason::HELD_USER, reason::MAX_REQUEUE, reason::BAD_CONSTRAINTS];
    if KEPT.contains(&reason) { reason } else { reason::HELD }
}

/// How many more tasks of a job's array may run; many for a job that is in none.
#[must_use]
pub fn free_tasks(state: &State, job: &Job) -> u32 {
    let array = job.course.array_job_id;
    let most = if array == 0 { 0 } else { throttle(state, array) };
    if most == 0 {
        return u32::MAX;
    }
    let busy = state.array(array).filter(|job| job.is_active()).count();
    most.saturating_sub(u32::try_from(busy).unwrap_or(u32::MAX))
}
