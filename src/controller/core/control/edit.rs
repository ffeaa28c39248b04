//! The changes of one command, and what is answered about the parts of an array.
//!
//! Invariant: what a later part of the command sees is what the earlier ones made of it; nothing of
//! it is in the state before the outcome's changes are taken.

use crate::controller::core::array::{self, Split};
use crate::controller::core::ids::Ids;
use crate::controller::core::{Effect, Outcome, World};
use crate::controller::job::Job;
use crate::controller::state::Change;
use crate::slurm::wire::Message;
use crate::slurm::wire::tables::{ArrayError, ArrayErrors};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The changes so far.
pub struct Edit<'a> {
    /// What they are decided by.
    pub world: World<'a>,
    ids: Ids<'a>,
    jobs: BTreeMap<u32, Arc<Job>>,
    effects: Vec<Effect>,
}

impl<'a> Edit<'a> {
    /// No changes.
    pub fn of(world: World<'a>) -> Edit<'a> {
        Edit { world, ids: Ids::of(world), jobs: BTreeMap::new(), effects: Vec::new() }
    }

    /// A job as it is now.
    pub fn job(&self, id: u32) -> Option<Arc<Job>> {
        self.jobs.get(&id).or_else(|| self.world.state.job(id)).cloned()
    }

    /// A job has changed.
    pub fn put(&mut self, job: Arc<Job>) {
        self.jobs.insert(job.id, job);
    }

    /// Something is to be done afterwards.
    pub fn effect(&mut self, effect: Effect) {
        if effect != Effect::Schedule || !self.effects.contains(&effect) {
            self.effects.push(effect);
        }
    }

    /// Splits a task off; the job that it becomes.
    pub fn split(&mut self, array: u32, task: u32) -> Option<Arc<Job>> {
        let array = self.job(array)?;
        let Split { task, rest } = array::split(&array, task, &mut self.ids)?;
        rest.into_iter().for_each(|rest| self.put(rest));
        self.put(Arc::clone(&task));
        Some(task)
    }

    /// All of it.
    pub fn outcome(self, reply: Message) -> Outcome {
        let next = self.ids.change();
        let jobs = self.jobs.into_values().map(Change::Job);
        Outcome { changes: next.into_iter().chain(jobs).collect(), reply, effects: self.effects }
    }
}

/// What is answered about tasks of an array: those with the same code together.
pub struct Answers {
    array: u32,
    codes: BTreeMap<u32, Vec<(u32, u32)>>,
}

impl Answers {
    /// Nothing yet.
    pub fn of(array: u32) -> Answers {
        Answers { array, codes: BTreeMap::new() }
    }

    /// A record, or a task that is not there.
    pub fn add_job(&mut self, job: &Job, code: u32) {
        if !job.is_array() {
            return self.add(job.course.array_task_id, code);
        }
        for run in &job.course.tasks {
            let runs = self.codes.entry(code).or_default();
            if run.step <= 1 {
                runs.push((run.first, run.last));
                continue;
            }
            // What follows would not fit into the text.
            let ids = crate::controller::job::task_ids(std::slice::from_ref(run)).take(TEXT_MAX);
            runs.extend(ids.map(|id| (id, id)));
        }
    }

    /// A task.
    pub fn add(&mut self, task: u32, code: u32) {
        self.codes.entry(code).or_default().push((task, task));
    }

    /// The reply: a code for each group, in the order of their first tasks.
    pub fn reply(self) -> Message {
        let mut groups: Vec<(Vec<(u32, u32)>, u32)> =
            self.codes.into_iter().map(|(code, runs)| (joined(runs), code)).collect();
        groups.sort_unstable();
        let id = self.array;
        let error = |(runs, error_code): (Vec<(u32, u32)>, u32)| ArrayError {
            error_code,
            job_array_id: format!("{id}_{}", text(&runs)).into(),
        };
        let errors = groups.into_iter().map(error).collect();
        Message::ArrayErrors(Box::new(ArrayErrors { errors }))
    }
}

/// The longest list of tasks in an answer.
const TEXT_MAX: usize = 28;

/// The same tasks, ascending, each run as long as it can be.
fn joined(mut runs: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    runs.sort_unstable();
    let mut found: Vec<(u32, u32)> = Vec::new();
    for (first, last) in runs {
        match found.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => found.push((first, last)),
        }
    }
    found
}

fn text(runs: &[(u32, u32)]) -> String {
    let mut list = String::new();
    for (first, last) in runs {
        let run = if first == last { first.to_string() } else { format!("{first}-{last}") };
        if list.len() + run.len() + 1 > TEXT_MAX {
            return list + "...";
        }
        let comma = if list.is_empty() { "" } else { "," };
        list = list + comma + &run;
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_with_the_same_code_are_answered_together() {
        let mut answers = Answers::of(12);
        for (task, code) in [(7, 0), (3, 2017), (2, 0), (1, 0), (9, 2084), (0, 2017)] {
            answers.add(task, code);
        }
        let Message::ArrayErrors(found) = answers.reply() else { panic!() };
        let found: Vec<_> = found
            .errors
            .iter()
            .map(|error| (error.job_array_id.lossy().into_owned(), error.error_code))
            .collect();
        let told = [("12_0,3", 2017), ("12_1-2,7", 0), ("12_9", 2084)];
        assert_eq!(found, told.map(|(text, code)| (text.to_owned(), code)));
    }

    #[test]
    fn a_long_list_is_cut() {
        let runs: Vec<(u32, u32)> = (0..100).map(|at| (at * 2, at * 2)).collect();
        assert_eq!(text(&runs), "0,2,4,6,8,10,12,14,16,18,20...");
    }
}
