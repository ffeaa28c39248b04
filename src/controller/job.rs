//! A job: one entry of the table `jobs`, keyed by its id (big-endian, so that they stand in order).
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | form, 1 |
//! | 1 | … | the record [`Entry`], packed as in Slurm's protocol 22.05 |
//!
//! Script, arguments and environment are an entry of the table `scripts`, under the id of the job,
//! or of the array that it belongs to: the record [`Payload`], form 1 or 2 (`entry`).

use crate::controller::entry::{self, EntryError};
use crate::slurm::wire::constants::job;
use crate::slurm::wire::record::record;
use crate::slurm::wire::tables::JobDesc;
use crate::slurm::wire::{Bits, Field, Text, Time, Unset};
use std::sync::Arc;

/// The table of jobs.
pub const JOBS: &str = "jobs";
/// The table of scripts.
pub const SCRIPTS: &str = "scripts";

record! {
    /// What a job has of one node.
    Share {
        node: Text;
        cpus: u16;
        memory: u64;
        cores: Bits;
    }

    /// Tasks of an array: `first`, and every `step`th up to `last`.
    TaskRun {
        first: u32;
        last: u32;
        step: u32;
    }

    /// What became of a job. `priority` is 0 for a job that is held, not set where the scheduler
    /// computes it, and otherwise what an administrator wants. `dependency` is what the job still
    /// waits for, as it is printed; what was asked for stays in the request. `launched` is when it
    /// was started last.
    Course {
        array_job_id: u32;
        array_task_id: u32;
        tasks: Vec<TaskRun>;
        array_max_tasks: u32;
        state: u32;
        reason: u16;
        state_desc: Text;
        priority: u32;
        user_name: Text;
        submit_time: Time;
        eligible_time: Time;
        accrue_time: Time;
        start_time: Time;
        end_time: Time;
        suspend_time: Time;
        pre_sus_time: Time;
        resize_time: Time;
        kill_time: Time;
        time_limit: u32;
        exit_code: u32;
        derived_ec: u32;
        restart_cnt: u16;
        requeues: u16;
        launches: u32;
        confirmed: u32;
        warned: u32;
        launched: Time;
        partition: Text;
        batch_host: Text;
        shares: Vec<Share>;
        completing: Vec<Text>;
        dependency: Text;
        request: Vec<u8>;
    }

    /// All that is kept of a job in its entry.
    Entry {
        course: Course;
        spec: JobDesc;
    }

    /// What a batch job brings along for the node that it runs on.
    Payload {
        script: Text;
        argv: Vec<Text>;
        environment: Vec<Text>;
        spank_job_env: Vec<Text>;
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its number.
    pub id: u32,
    /// What was asked for, with defaults filled in. Script, arguments and environment are not here.
    pub spec: Arc<JobDesc>,
    /// What became of it.
    pub course: Course,
}

impl Job {
    /// The entry's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        entry::encode_with(|out| {
            self.course.pack(out);
            self.spec.pack(out);
        })
    }

    /// The job in an entry.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn decode(id: u32, bytes: &[u8]) -> Result<Job, EntryError> {
        let Entry { course, spec } = entry::decode(bytes)?;
        Ok(Job { id, spec: Arc::new(spec), course })
    }

    /// Its base state.
    #[must_use]
    pub fn base(&self) -> u32 {
        self.course.state & job::BASE
    }

    /// Whether it waits to be started; parts of it may still be ending.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.base() == job::PENDING
    }

    /// Whether it runs, or is stopped for a while.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.base(), job::RUNNING | job::SUSPENDED)
    }

    /// Whether it is stopped for a while.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.base() == job::SUSPENDED
    }

    /// Whether nodes still work on its end.
    #[must_use]
    pub fn is_completing(&self) -> bool {
        self.course.state & job::COMPLETING != 0
    }

    /// Whether nothing will happen to it any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.base() > job::SUSPENDED && !self.is_completing()
    }

    /// Whether it is an array, with tasks that have not been split off.
    #[must_use]
    pub fn is_array(&self) -> bool {
        !self.course.tasks.is_empty()
    }

    /// The id under which its script is kept: its array's, or its own.
    #[must_use]
    pub fn script_id(&self) -> u32 {
        match self.course.array_job_id {
            0 => self.id,
            id => id,
        }
    }
}

impl TaskRun {
    /// How many tasks there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        if self.last < self.first {
            return 0;
        }
        (self.last - self.first) / self.step.max(1) + 1
    }
}

/// The ids of tasks, in order.
pub fn task_ids(tasks: &[TaskRun]) -> impl Iterator<Item = u32> + '_ {
    tasks.iter().flat_map(|run| {
        (0..run.count()).map(move |at| run.first.saturating_add(at.saturating_mul(run.step.max(1))))
    })
}

/// A course that has not begun: nothing set.
#[must_use]
pub fn unbegun() -> Course {
    Course { array_task_id: u32::UNSET, time_limit: u32::UNSET, ..Course::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_comes_back() {
        let spec = JobDesc { name: "job".into(), min_nodes: 2, ..JobDesc::unset() };
        let course = Course { tasks: vec![TaskRun { first: 1, last: 9, step: 2 }], ..unbegun() };
        let job = Job { id: 7, spec: Arc::new(spec), course };
        assert_eq!(Job::decode(7, &job.encode()).unwrap(), job);
    }

    #[test]
    fn tasks_are_counted_by_step() {
        let tasks = [
            TaskRun { first: 1, last: 7, step: 2 },
            TaskRun { first: 9, last: 9, step: 0 },
            TaskRun { first: 5, last: 4, step: 1 },
        ];
        assert_eq!(task_ids(&tasks).collect::<Vec<_>>(), [1, 3, 5, 7, 9]);
    }
}
