//! Which jobs a text means.
//!
//! ```text
//! 17           a job; an array, if that is the array's id: all its records
//! 12_*         all of the array
//! 12_3         a task
//! 12_[1-4,9-13:2]   several; brackets may be missing, `%n` at the end is not looked at
//! ```
//!
//! Invariants: any text gives a target or none; tasks are below MaxArraySize; what is found is in
//! the order in which it is to be done: the record with the tasks that wait first, so that none of
//! them starts while others are being cancelled.

use crate::controller::core::array;
use crate::controller::job::{Job, task_ids};
use crate::controller::state::State;

/// What a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A job, or an array with all that is in it.
    Whole(u32),
    /// Tasks of an array, ascending.
    Tasks(u32, Vec<u32>),
}

/// A part of what is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A record as it is.
    Record(u32),
    /// Tasks that are still in the record of their array, among others.
    Inside(u32, Vec<u32>),
    /// A task that there is not.
    Missing(u32),
}

/// What is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// One job: it is answered with a code.
    One(u32),
    /// Parts of this array.
    Parts(u32, Vec<Part>),
    /// Nothing.
    Nothing,
}

impl Target {
    /// The target that a text names.
    #[must_use]
    pub fn parse(text: &str, max_array_size: u32) -> Option<Target> {
        let (id, rest) = number(text.trim_start())?;
        let id = u32::try_from(id).ok().filter(|id| *id > 0)?;
        match rest {
            "" | "_*" => Some(Target::Whole(id)),
            rest => Some(Target::Tasks(id, tasks(rest.strip_prefix('_')?, max_array_size)?)),
        }
    }

    /// What there is of it.
    #[must_use]
    pub fn find(&self, state: &State) -> Found {
        match self {
            Target::Whole(id) => whole(state, *id),
            Target::Tasks(id, tasks) => some(state, *id, tasks),
        }
    }
}

/// The digits at the beginning, and the rest.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn tasks(text: &str, max: u32) -> Option<Vec<u32>> {
    let mut wanted = vec![false; usize::try_from(max).ok()?];
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last, step) = run(part)?;
        let (first, last) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
        let step = usize::try_from(step).ok().filter(|step| (1..wanted.len()).contains(step))?;
        wanted.get_mut(first..=last)?.iter_mut().step_by(step).for_each(|is| *is = true);
    }
    let found: Vec<u32> = (0..max).zip(wanted).filter_map(|(id, is)| is.then_some(id)).collect();
    (!found.is_empty()).then_some(found)
}

/// `1`, `[1`, `1-4`, `1-9:2]`, `3%2`.
fn run(part: &str) -> Option<(u64, u64, u64)> {
    let closed = |rest: &str| rest.strip_prefix(']').unwrap_or(rest).to_owned();
    let (first, rest) = number(part.strip_prefix('[').unwrap_or(part))?;
    let mut rest = closed(rest);
    let (mut last, mut step) = (first, 1);
    if let Some(behind) = rest.strip_prefix('-') {
        let (number_, behind) = number(behind)?;
        (last, rest) = (number_, closed(behind));
        if let Some(behind) = rest.strip_prefix(':') {
            let (number_, behind) = number(behind)?;
            (step, rest) = (number_, closed(behind));
        }
    }
    let fine = (rest.is_empty() || rest.starts_with('%')) && first <= last;
    fine.then_some((first, last, step))
}

fn whole(state: &State, id: u32) -> Found {
    let of_array = || state.arrays.get(&id).into_iter().flatten().copied();
    match state.job(id) {
        Some(job) if job.course.array_job_id != id => Found::One(id),
        found => {
            let first = found.map(|_| id);
            let others = of_array().filter(|other| *other != id);
            let parts: Vec<Part> = first.into_iter().chain(others).map(Part::Record).collect();
            if parts.is_empty() { Found::Nothing } else { Found::Parts(id, parts) }
        }
    }
}

fn some(state: &State, id: u32, tasks: &[u32]) -> Found {
    let members: Vec<&Job> = state.array(id).map(AsRef::as_ref).collect();
    if members.iter().all(|job| job.course.array_job_id != id) {
        return Found::Nothing;
    }
    let mut parts = Vec::new();
    let mut left = tasks.to_vec();
    for job in members.iter().filter(|job| job.is_array()) {
        let (inside, others): (Vec<u32>, Vec<u32>) =
            left.into_iter().partition(|task| array::has(&job.course.tasks, *task));
        left = others;
        if inside.is_empty() {
            continue;
        }
        // A record that is over is not taken apart.
        let all = inside.len() == task_ids(&job.course.tasks).take(inside.len() + 1).count();
        let whole = all || !job.is_pending();
        parts.push(if whole { Part::Record(job.id) } else { Part::Inside(job.id, inside) });
    }
    for task in left {
        // A task that ran before may be known more than once: the newest counts.
        let of_task =
            members.iter().rfind(|job| !job.is_array() && job.course.array_task_id == task);
        parts.push(of_task.map_or(Part::Missing(task), |job| Part::Record(job.id)));
    }
    Found::Parts(id, parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::job::{Course, TaskRun, unbegun};
    use crate::controller::state::Change;
    use crate::slurm::wire::Field;
    use crate::slurm::wire::tables::JobDesc;
    use proptest::prelude::*;
    use std::sync::Arc;

    #[test]
    fn targets_are_written_as_in_slurm() {
        let tasks = |id, tasks: &[u32]| Some(Target::Tasks(id, tasks.to_vec()));
        for (text, target) in [
            ("17", Some(Target::Whole(17))),
            (" 17", Some(Target::Whole(17))),
            ("12_*", Some(Target::Whole(12))),
            ("12_3", tasks(12, &[3])),
            ("12_[3]", tasks(12, &[3])),
            ("12_[1-4]", tasks(12, &[1, 2, 3, 4])),
            ("12_[4,1-2,2]", tasks(12, &[1, 2, 4])),
            ("12_1-9:3,0", tasks(12, &[0, 1, 4, 7])),
            ("12_[1-3%2]", tasks(12, &[1, 2, 3])),
            ("12_99", tasks(12, &[99])),
            ("12_100", None),
            ("12_[4-1]", None),
            ("12_[1-4:0]", None),
            ("12_[]", None),
            ("12_", None),
            ("12_x", None),
            ("12+1", None),
            ("12x", None),
            ("0", None),
            ("-3", None),
            ("", None),
            ("99999999999999999999", None),
            ("4294967296", None),
        ] {
            assert_eq!(Target::parse(text, 100), target, "{text}");
        }
    }

    fn job(id: u32, array: u32, task: Option<u32>, tasks: &[TaskRun]) -> Job {
        let (mut course, tasks) = (unbegun(), tasks.to_vec());
        course = Course { array_job_id: array, tasks, ..course };
        course.array_task_id = task.unwrap_or(course.array_task_id);
        Job { id, spec: Arc::new(JobDesc::unset()), course }
    }

    #[test]
    fn what_is_named_is_found_whatever_became_of_the_array() {
        let mut state = State::default();
        let run = TaskRun { first: 1, last: 7, step: 2 };
        for job in [
            job(5, 0, None, &[]),
            job(12, 12, None, &[run]),
            job(17, 12, Some(0), &[]),
            job(31, 30, Some(4), &[]),
        ] {
            state.take(Change::Job(Arc::new(job)));
        }
        let record = |ids: &[u32]| ids.iter().copied().map(Part::Record).collect::<Vec<_>>();
        for (text, found) in [
            ("5", Found::One(5)),
            ("17", Found::One(17)),
            ("6", Found::Nothing),
            ("12", Found::Parts(12, record(&[12, 17]))),
            ("30", Found::Parts(30, record(&[31]))),
            ("12_0", Found::Parts(12, record(&[17]))),
            ("12_3", Found::Parts(12, vec![Part::Inside(12, vec![3])])),
            ("12_[0-7]", Found::Parts(12, [record(&[12, 17]), vec![]].concat())),
            ("12_2", Found::Parts(12, vec![Part::Missing(2)])),
            ("5_1", Found::Nothing),
            ("6_1", Found::Nothing),
        ] {
            let mut found_now = Target::parse(text, 100).unwrap().find(&state);
            if let Found::Parts(_, parts) = &mut found_now {
                parts.retain(|part| text != "12_[0-7]" || !matches!(part, Part::Missing(_)));
            }
            assert_eq!(found_now, found, "{text}");
        }
    }

    fn config() -> ProptestConfig {
        ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn any_text_gives_a_target_or_none(text in "[0-9_\\[\\],:%*x é-]{0,20}") {
            if let Some(Target::Tasks(_, tasks)) = Target::parse(&text, 50) {
                prop_assert!(tasks.is_sorted() && tasks.last().is_some_and(|last| *last < 50));
            }
        }
    }
}
