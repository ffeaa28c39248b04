//! Jobs that have been over for MinJobAge are forgotten, and their scripts.
//!
//! Kept for longer:
//! - what a job that waits depends on: what became of it is still asked for. Every number in a
//!   dependency counts, and all of an array counts when one task does;
//! - the record of an array, as long as another one of its tasks is known;
//! - the script of an array, as long as anything of the array is.
//!
//! MinJobAge=0: nothing is ever forgotten. Invariants: only what is over goes; a script goes with
//! the last job that it belongs to, in the same save; one pass is bounded.

use crate::controller::core::World;
use crate::controller::job::Job;
use crate::controller::state::{Change, State};
use std::collections::BTreeSet;

/// Most jobs of one pass: what a save and a reader's patience take. The next pass is soon.
const JOBS_MAX: usize = 2_000;

/// What is to be forgotten now.
#[must_use]
pub fn purge(world: World<'_>) -> Vec<Change> {
    let World { conf, state, now } = world;
    let age = i64::try_from(conf.number("MinJobAge")).unwrap_or(i64::MAX);
    let old = |end: i64| end <= now.saturating_sub(age);
    if age == 0 || state.over.get_min().is_none_or(|(end, _)| !old(*end)) {
        return Vec::new();
    }
    let needed = needed(state);
    let is_needed = |job: &Job| needed.contains(&job.id) || needed.contains(&job.script_id());
    let due = state.over.iter().take_while(|(end, _)| old(*end));
    let due = due
        .filter_map(|(_, id)| state.job(*id))
        .filter(|job| !is_needed(job) && !lives(state, job.id));
    let mut going: BTreeSet<u32> = due.take(JOBS_MAX).map(|job| job.id).collect();
    let stays: BTreeSet<u32> =
        going.iter().copied().filter(|id| has_tasks(state, *id, &going)).collect();
    going.retain(|id| !stays.contains(id));
    let scripts: BTreeSet<u32> = going.iter().map(|id| state.jobs[id].script_id()).collect();
    let last = |script: &u32| state.array(*script).all(|job| going.contains(&job.id));
    let scripts = scripts.iter().copied().filter(last).map(Change::ForgetScript);
    going.iter().copied().map(Change::ForgetJob).chain(scripts).collect()
}

/// Whether this is the record of an array of which others are not over.
fn lives(state: &State, id: u32) -> bool {
    let mut members = state.arrays.get(&id).into_iter().flatten();
    members.any(|other| !state.jobs[other].is_over())
}

/// Whether this is the record of an array of which others stay.
fn has_tasks(state: &State, id: u32, going: &BTreeSet<u32>) -> bool {
    let members = state.arrays.get(&id).into_iter().flatten();
    members.filter(|other| **other != id).any(|other| !going.contains(other))
}

/// Jobs that dependencies name, and arrays.
fn needed(state: &State) -> BTreeSet<u32> {
    let waiting = state.pending.iter().filter_map(|id| state.job(*id));
    let texts = waiting.map(|job| job.spec.dependency.lossy()).filter(|text| !text.is_empty());
    let mut found = BTreeSet::new();
    for text in texts {
        for number in text.split(|c: char| !c.is_ascii_digit()) {
            let Ok(id) = number.parse() else { continue };
            found.insert(id);
            let array = state.job(id).map_or(0, |job| job.course.array_job_id);
            found.insert(array);
        }
    }
    found.remove(&0);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::job::{Course, unbegun};
    use crate::slurm::conf::Conf;
    use crate::slurm::wire::constants::job;
    use crate::slurm::wire::tables::JobDesc;
    use crate::slurm::wire::{Field, Time};
    use std::path::Path;
    use std::sync::Arc;

    fn conf(more: &str) -> Conf {
        let text = "ClusterName=c\nSlurmctldHost=localhost\nNodeName=n\nPartitionName=p Nodes=n\n";
        Conf::read(Path::new("/x"), &mut |_| Ok(format!("{text}{more}"))).unwrap()
    }

    /// Id, array, state, end, dependency.
    type Row = (u32, u32, u32, i64, &'static str);

    fn purged(more: &str, now: i64, rows: &[Row]) -> (Vec<u32>, Vec<u32>) {
        let mut state = State::default();
        for (id, array_job_id, base, end, dependency) in rows {
            let mut spec = JobDesc::unset();
            spec.dependency = (*dependency).into();
            let end_time = Time(*end);
            let course =
                Course { array_job_id: *array_job_id, state: *base, end_time, ..unbegun() };
            state.take(Change::Job(Arc::new(Job { id: *id, spec: Arc::new(spec), course })));
        }
        let conf = conf(more);
        let (mut jobs, mut scripts) = (Vec::new(), Vec::new());
        for change in purge(World { conf: &conf, state: &state, now }) {
            match change {
                Change::ForgetJob(id) => jobs.push(id),
                Change::ForgetScript(id) => scripts.push(id),
                other => panic!("{other:?}"),
            }
        }
        (jobs, scripts)
    }

    const OVER: u32 = job::COMPLETE;
    const NONE: [u32; 0] = [];

    #[test]
    fn jobs_go_when_they_are_old_and_over() {
        let rows = [
            (1, 0, OVER, 100, ""),
            (2, 0, OVER, 101, ""),
            (3, 0, job::RUNNING, 0, ""),
            (4, 0, OVER | job::COMPLETING, 50, ""),
            (5, 0, job::PENDING, 0, ""),
        ];
        assert_eq!(purged("", 399, &rows).0, NONE);
        assert_eq!(purged("", 400, &rows), (vec![1], vec![1]));
        assert_eq!(purged("", 401, &rows).0, [1, 2]);
        assert_eq!(purged("MinJobAge=2\n", 103, &rows).0, [1, 2]);
        assert_eq!(purged("MinJobAge=0\n", 9_999, &rows).0, NONE);
    }

    #[test]
    fn what_a_dependency_asks_for_stays_until_it_was_judged() {
        let over = [(1, 0, OVER, 1, ""), (2, 0, OVER, 1, ""), (12, 12, OVER, 1, "")];
        for (dependency, gone) in [
            ("afterok:1", vec![2, 12]),
            ("afterany:1:2", vec![12]),
            ("afterok:12_3?afternotok:2(failed)", vec![1]),
            ("singleton", vec![1, 2, 12]),
        ] {
            let rows = [&over[..], &[(20, 0, job::PENDING, 0, dependency)]].concat();
            assert_eq!(purged("", 1_000, &rows).0, gone, "{dependency}");
            let rows = [&over[..], &[(20, 0, job::RUNNING, 0, dependency)]].concat();
            assert_eq!(purged("", 1_000, &rows).0, [1, 2, 12], "it waits no more");
        }
        let rows = [(30, 12, OVER, 1, ""), (12, 12, OVER, 1, ""), (20, 0, 0, 0, "afterok:30")];
        assert_eq!(purged("", 1_000, &rows).0, NONE, "the array of a task");
    }

    #[test]
    fn an_array_goes_with_its_last_task_and_so_does_its_script() {
        let (array, old) = ((12, 12, OVER, 1, ""), (20, 12, OVER, 1, ""));
        let rows = [array, old, (21, 12, OVER, 900, "")];
        assert_eq!(purged("", 1_000, &rows), (vec![20], vec![]));
        assert_eq!(purged("", 1_200, &rows), (vec![12, 20, 21], vec![12]));
        assert_eq!(purged("", 1_000, &[array, old]), (vec![12, 20], vec![12]));
        assert_eq!(purged("", 1_000, &[old]), (vec![20], vec![12]));
        let rows = [array, (22, 12, job::RUNNING, 0, "")];
        assert_eq!(purged("", 1_000, &rows), (vec![], vec![]));
    }
}
