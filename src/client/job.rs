//! Jobs, as they come from a controller: task ids of arrays read, names of what is asked.

use crate::client::{ranges, text, users};
use crate::slurm::wire::Unset;
use crate::slurm::wire::constants::job;
use crate::slurm::wire::tables::Job;

/// What to show, in requests.
pub mod show {
    pub const ALL: u16 = 1;
    pub const DETAIL: u16 = 2;
    pub const FEDERATION: u16 = 0x40;
    pub const FUTURE: u16 = 0x80;
}

/// A job, and the tasks that its record stands for.
#[derive(Clone, Debug)]
pub struct Known {
    /// The record.
    pub job: Job,
    /// Its task ids as they are printed, if it stands for several.
    pub tasks_text: Option<String>,
    /// Its task ids, likewise.
    pub tasks: Option<Vec<u32>>,
}

impl Known {
    /// Reads the tasks of a record.
    pub fn new(job: Job) -> Known {
        let mask = text::of(&job.array_task_str);
        let tasks = ranges::tasks(&mask);
        let tasks_text = match &tasks {
            Some(tasks) => Some(ranges::shown(tasks, job.array_max_tasks)),
            None => Some(mask).filter(|mask| !mask.is_empty()),
        };
        Known { job, tasks_text, tasks }
    }

    /// Whether it waits.
    pub fn pending(&self) -> bool {
        self.job.job_state & job::BASE == job::PENDING
    }

    /// Whether its nodes are being cleaned.
    pub fn completing(&self) -> bool {
        self.job.job_state & job::COMPLETING != 0
    }

    /// Whether it is, or stands for, a task of an array.
    pub fn has_task(&self, task: u32) -> bool {
        self.job.array_task_id == task
            || self.tasks.as_ref().is_some_and(|tasks| tasks.contains(&task))
    }

    /// `7`, `7_1`, `7_[2-3%1]`.
    pub fn id(&self) -> String {
        let job = &self.job;
        match &self.tasks_text {
            Some(tasks) => format!("{}_[{tasks}]", job.array_job_id),
            None if !job.array_task_id.is_unset() => {
                format!("{}_{}", job.array_job_id, job.array_task_id)
            }
            None if job.het_job_id != 0 => format!("{}+{}", job.het_job_id, job.het_job_offset),
            None => job.job_id.to_string(),
        }
    }
}

/// Where a job's output goes: its pattern filled in as clients do it (the agent knows more).
pub fn output(job: &Job) -> String {
    if job.std_out.is_none() { standard(job) } else { filled(job, &text::of(&job.std_out)) }
}

/// Where its errors go.
pub fn errors(job: &Job) -> String {
    if job.std_err.is_none() { output(job) } else { filled(job, &text::of(&job.std_err)) }
}

/// Where its input comes from.
pub fn input(job: &Job) -> String {
    if job.std_in.is_none() { "/dev/null".to_owned() } else { filled(job, &text::of(&job.std_in)) }
}

fn standard(job: &Job) -> String {
    let dir = text::or_null(&job.work_dir);
    if job.array_job_id != 0 {
        format!("{dir}/slurm-{}_{}.out", job.array_job_id, job.array_task_id)
    } else {
        format!("{dir}/slurm-{}.out", job.job_id)
    }
}

fn filled(job: &Job, pattern: &str) -> String {
    let array = if job.array_task_id.is_unset() { job.job_id } else { job.array_job_id };
    let path = pattern
        .replace("%A", &array.to_string())
        .replace("%a", &job.array_task_id.to_string())
        .replace("%j", &job.job_id.to_string())
        .replace("%u", &users::name(job.user_id))
        .replace("%x", &text::or_null(&job.name));
    if path.starts_with('/') { path } else { format!("{}/{path}", text::or_null(&job.work_dir)) }
}
