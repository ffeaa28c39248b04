//! `--deadline`: a time by which a job has to be over. One that could start, but would not be over
//! by then, ends as DEADLINE; one that starts gets no more time than until then.
//!
//! As in Slurm: what counts is the least time that the job needs (`--time-min`), or its time limit;
//! a job with neither is given a least time of a minute when it is submitted. A job that is held,
//! or waits for others, is left alone.
//!
//! Invariant: `late` and `next` agree: a job is late from `next` on, and not before.

use crate::controller::job::Job;
use crate::controller::sched::layout::time_limit;
use crate::slurm::conf::Partition;
use crate::slurm::wire::Unset;
use crate::slurm::wire::tables::JobDesc;

/// The time by which a job has to be over; `None`: it does not say.
#[must_use]
pub fn of(spec: &JobDesc) -> Option<i64> {
    let time = spec.deadline.0;
    let unset = u32::try_from(time).is_ok_and(Unset::is_unset);
    (time != 0 && !unset).then_some(time)
}

/// When it is too late for a job to start; `None`: never.
#[must_use]
pub fn next(job: &Job) -> Option<i64> {
    let time = of(&job.spec)?;
    let least = job.spec.time_min.get().filter(|least| *least > 0);
    let limit = job.course.time_limit.get().filter(|limit| *limit != u32::INFINITE);
    let minutes = least.or(limit)?;
    Some(time.saturating_sub(i64::from(minutes) * 60).saturating_add(1))
}

/// Whether it is too late for a job to start.
#[must_use]
pub fn late(job: &Job, now: i64) -> bool {
    next(job).is_some_and(|time| now >= time)
}

/// Minutes that a job gets that starts now.
#[must_use]
pub fn minutes(partition: &Partition, job: &Job, now: i64) -> u32 {
    let asked = job.course.time_limit.get().or(job.spec.time_limit.get());
    let usual = time_limit(partition, asked);
    match of(&job.spec).map(|time| u32::try_from((time - now) / 60).unwrap_or(0)) {
        None | Some(0) => usual,
        Some(left) => usual.min(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::job::{Course, unbegun};
    use crate::slurm::wire::{Field, Time};
    use std::sync::Arc;

    fn job(deadline: i64, least: u32, limit: u32) -> Job {
        let deadline = Time(deadline);
        let spec = JobDesc { deadline, time_min: least, ..JobDesc::unset() };
        Job { id: 1, spec: Arc::new(spec), course: Course { time_limit: limit, ..unbegun() } }
    }

    #[test]
    fn it_is_too_late_when_the_least_time_is_more_than_is_left() {
        for (least, limit, wanted) in [
            (0, 2, Some(881)),
            (u32::UNSET, 2, Some(881)),
            (1, 2, Some(941)),
            (0, u32::UNSET, None),
            (0, u32::INFINITE, None),
        ] {
            let job = job(1000, least, limit);
            assert_eq!(next(&job), wanted, "{least} {limit}");
            let from = wanted.unwrap_or(i64::MAX);
            assert!(!late(&job, from - 1) && late(&job, from) == wanted.is_some());
        }
        assert_eq!(next(&job(0, 1, 2)), None);
        assert_eq!(next(&job(u32::UNSET.into(), 1, 2)), None);
    }
}
