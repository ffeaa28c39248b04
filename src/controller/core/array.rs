//! Tasks of an array become jobs of their own.
//!
//! An array is one record, `id == array_job_id`, with the runs of the tasks that are still alike
//! (`course.tasks`). A task that starts, or that is treated alone, is split off:
//!
//! ```text
//! 12_[1-4]  ─ split 3 ─▶  12_[1-2,4] (record 12)  +  12_3 (record 17, the next free id)
//! 12_[4]    ─ split 4 ─▶  12_4 (record 12 itself)
//! ```
//!
//! Invariants: every task is in exactly one record, before and after; only the record of the array
//! has tasks in it, and the limit on how many run (`array_max_tasks`): find it by [`throttle`].

use crate::controller::core::ending::next;
use crate::controller::core::ids::Ids;
use crate::controller::job::{Job, TaskRun};
use crate::controller::state::State;
use std::sync::Arc;

/// A task that was split off.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// The task, as a job of its own.
    pub task: Arc<Job>,
    /// What is left of the array; none: the task was the last one, and has taken its record.
    pub rest: Option<Arc<Job>>,
}

/// Splits a task off its array. `None`: it is not in there, or no id is free.
#[must_use]
pub fn split(array: &Job, task: u32, ids: &mut Ids<'_>) -> Option<Split> {
    let left = without(&array.course.tasks, task)?;
    let mut own = array.course.clone();
    own.tasks.clear();
    own.array_task_id = task;
    if left.is_empty() {
        return Some(Split { task: next(array, own), rest: None });
    }
    own.array_max_tasks = 0;
    let id = ids.give()?;
    let mut course = array.course.clone();
    course.tasks = left;
    let task = Arc::new(Job { id, spec: Arc::clone(&array.spec), course: own });
    Some(Split { task, rest: Some(next(array, course)) })
}

/// How many tasks of an array may run at once; 0: all.
#[must_use]
pub fn throttle(state: &State, array_job_id: u32) -> u32 {
    state.job(array_job_id).map_or(0, |job| job.course.array_max_tasks)
}

/// Whether a task is among these.
#[must_use]
pub fn has(tasks: &[TaskRun], task: u32) -> bool {
    tasks.iter().any(|run| run.has(task))
}

/// The same tasks but one. `None`: it is not among them.
#[must_use]
pub fn without(tasks: &[TaskRun], task: u32) -> Option<Vec<TaskRun>> {
    let at = tasks.iter().position(|run| run.has(task))?;
    let TaskRun { first, step, .. } = tasks[at];
    let (step, last) = (step.max(1), tasks[at].end());
    let before = (task > first).then(|| TaskRun { first, last: task - step, step });
    let after = (task < last).then(|| TaskRun { first: task + step, last, step });
    let parts = before.into_iter().chain(after);
    Some(tasks[..at].iter().cloned().chain(parts).chain(tasks[at + 1..].iter().cloned()).collect())
}

impl TaskRun {
    /// Whether a task is in it.
    #[must_use]
    pub fn has(&self, task: u32) -> bool {
        let step = self.step.max(1);
        task >= self.first && task <= self.last && (task - self.first).is_multiple_of(step)
    }

    /// The last task that is in it; there is one.
    fn end(&self) -> u32 {
        self.first + (self.count() - 1) * self.step.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::core::World;
    use crate::controller::job::{Course, task_ids, unbegun};
    use crate::controller::state::Change;
    use crate::slurm::conf::Conf;
    use crate::slurm::wire::Field;
    use crate::slurm::wire::tables::JobDesc;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn conf() -> Conf {
        let text = "ClusterName=c\nSlurmctldHost=localhost\nNodeName=n\nPartitionName=p Nodes=n\n";
        Conf::read(Path::new("/x"), &mut |_| Ok(text.to_owned())).unwrap()
    }

    fn array(tasks: Vec<TaskRun>) -> Job {
        let course = Course { array_job_id: 12, array_max_tasks: 2, tasks, ..unbegun() };
        Job { id: 12, spec: Arc::new(JobDesc::unset()), course }
    }

    fn run(first: u32, last: u32, step: u32) -> TaskRun {
        TaskRun { first, last, step }
    }

    #[test]
    fn the_last_task_takes_the_record_of_the_array() {
        let conf = conf();
        let state = State { next_id: 17, ..State::default() };
        let mut ids = Ids::of(World { conf: &conf, state: &state, now: 1 });
        let job = array(vec![run(1, 4, 1)]);
        let Split { task, rest } = split(&job, 3, &mut ids).unwrap();
        assert_eq!((task.id, task.course.array_job_id, task.course.array_task_id), (17, 12, 3));
        assert!(!task.is_array() && task.course.array_max_tasks == 0);
        let rest = rest.unwrap();
        assert_eq!((rest.id, &rest.course.tasks), (12, &vec![run(1, 2, 1), run(4, 4, 1)]));
        assert_eq!(rest.course.array_max_tasks, 2);
        assert_eq!(split(&rest, 3, &mut ids), None, "it is gone");
        let job = array(vec![run(4, 4, 1)]);
        let Split { task, rest } = split(&job, 4, &mut ids).unwrap();
        assert_eq!((task.id, task.course.array_task_id, rest), (12, 4, None));
        assert_eq!(ids.change(), Some(Change::NextId(18)), "one id was needed");
    }

    fn runs() -> impl Strategy<Value = Vec<TaskRun>> {
        let one = (0..5_u32, 0..12_u32, 0..4_u32);
        // Runs of an array do not overlap.
        prop::collection::vec(one, 1..4).prop_map(|parts| {
            let mut from = 0;
            let next = |(gap, len, step)| {
                let first = from + gap;
                from = first + len + 1;
                run(first, first + len, step)
            };
            parts.into_iter().map(next).collect()
        })
    }

    fn config() -> ProptestConfig {
        ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn every_task_is_in_exactly_one_record(
            tasks in runs(),
            order in prop::collection::vec(0..60_u32, 1..60),
        ) {
            let conf = conf();
            let state = State { next_id: 100, ..State::default() };
            let mut ids = Ids::of(World { conf: &conf, state: &state, now: 1 });
            let all: Vec<u32> = task_ids(&tasks).collect();
            let (mut left, mut records) = (Some(array(tasks)), BTreeSet::new());
            let mut split_off = Vec::new();
            for task in order {
                let Some(job) = &left else { break };
                let was = has(&job.course.tasks, task);
                prop_assert_eq!(was, task_ids(&job.course.tasks).any(|id| id == task));
                let Some(Split { task: own, rest }) = split(job, task, &mut ids) else {
                    prop_assert!(!was);
                    continue;
                };
                prop_assert!(was && records.insert(own.id), "an id twice");
                split_off.push(own.course.array_task_id);
                left = rest.map(|rest| rest.as_ref().clone());
            }
            let mut found = split_off;
            found.extend(left.iter().flat_map(|job| task_ids(&job.course.tasks)));
            found.sort_unstable();
            prop_assert_eq!(found, all);
        }
    }
}
