//! What becomes of jobs that wait for others.

use super::*;
use crate::controller::core::ending::left;
use crate::controller::job::{Course, Share, TaskRun, unbegun};
use crate::slurm::wire::tables::JobDesc;
use crate::slurm::wire::{Bits, Field};
use std::path::Path;

fn conf(more: &str) -> Conf {
    let text = format!(
        "ClusterName=c\nSlurmctldHost=localhost\nNodeName=n\nPartitionName=p Nodes=n\n{more}"
    );
    Conf::read(Path::new("/x"), &mut |_| Ok(text.clone())).unwrap()
}

fn put(state: &mut State, id: u32, with: impl FnOnce(&mut JobDesc, &mut Course)) {
    let mut spec = JobDesc { bitflags: 0, user_id: 7, begin_time: Time(0), ..JobDesc::unset() };
    let mut course = Course { priority: 5, ..unbegun() };
    with(&mut spec, &mut course);
    state.take(Change::NextId(state.next_id.max(id + 1)));
    state.take(Change::Job(Arc::new(Job { id, spec: Arc::new(spec), course })));
}

fn waits(state: &mut State, id: u32, what: &str) {
    put(state, id, |_, course| {
        (course.dependency, course.reason) = (what.into(), reason::DEPENDENCY);
    });
}

fn run(state: &mut State, id: u32, started: i64) {
    let share = Share { node: "n".into(), cpus: 1, memory: 0, cores: Bits::from_set(1, [0]) };
    let mut course = state.job(id).unwrap().course.clone();
    (course.state, course.start_time) = (super::state::RUNNING, Time(started));
    course.shares = vec![share];
    let job = next(state.job(id).unwrap(), course);
    state.take(Change::Job(job));
}

/// It ends, and its node is clean.
fn over(conf: &Conf, state: &mut State, id: u32, base: u32) {
    let world = World { conf, state, now: 50 };
    let (job, _) = end(world, state.job(id).unwrap(), base, 0);
    let job = left(world, &job, &"n".into()).map_or(job, |(clean, _)| clean);
    state.take(Change::Job(job));
}

/// Everything that is due is written down.
fn settle(conf: &Conf, state: &mut State, now: i64) -> Due {
    let found = due(state, now);
    let outcome = review(World { conf, state, now }, &found.jobs);
    assert_eq!(found.jobs.is_empty(), outcome.changes.is_empty(), "what is due changes something");
    outcome.changes.into_iter().for_each(|change| state.take(change));
    assert_eq!(due(state, now).jobs, [0_u32; 0], "once is enough");
    found
}

fn left_of(state: &State, id: u32) -> (String, u16) {
    let course = &state.job(id).unwrap().course;
    (course.dependency.lossy().into_owned(), course.reason)
}

fn is_free(state: &State, id: u32) -> bool {
    left_of(state, id) == (String::new(), reason::NONE)
}

#[test]
fn jobs_become_eligible_when_what_they_wait_for_has_come_and_stay_so() {
    let conf = conf("");
    let (complete, failed) = (super::state::COMPLETE, super::state::FAILED);
    for (what, ends, free) in [
        ("afterok:1", complete, true),
        ("afterok:1", failed, false),
        ("afternotok:1", complete, false),
        ("afternotok:1", failed, true),
        ("afterany:1", failed, true),
        ("afterok:1?afternotok:1", failed, true),
        ("afterok:1,afterany:1", failed, false),
        ("afterok:99", failed, true),
    ] {
        let mut state = State::default();
        put(&mut state, 1, |_, _| ());
        waits(&mut state, 2, what);
        settle(&conf, &mut state, 10);
        run(&mut state, 1, 20);
        settle(&conf, &mut state, 30);
        let early = what == "afterok:99";
        assert_eq!(is_free(&state, 2), early, "{what}: it runs");
        over(&conf, &mut state, 1, ends);
        settle(&conf, &mut state, 60);
        assert_eq!(is_free(&state, 2), free, "{what}");
        if free && !early {
            assert_eq!(state.job(2).unwrap().course.eligible_time, Time(60), "{what}");
        }
        if !free {
            assert_eq!(left_of(&state, 2).1, reason::DEPENDENCY_NEVER, "{what}");
        }
        state.take(Change::ForgetJob(1));
        settle(&conf, &mut state, 70);
        assert_eq!(is_free(&state, 2), free, "{what}: what was found stays");
    }
}

#[test]
fn after_counts_minutes_from_the_start() {
    let conf = conf("");
    let mut state = State::default();
    put(&mut state, 1, |_, _| ());
    waits(&mut state, 2, "after:1+2");
    waits(&mut state, 3, "after:1");
    settle(&conf, &mut state, 10);
    run(&mut state, 1, 100);
    let found = settle(&conf, &mut state, 150);
    assert_eq!((found.jobs, found.next), (vec![3], Some(220)));
    settle(&conf, &mut state, 220);
    assert!(is_free(&state, 2) && is_free(&state, 3));
}

#[test]
fn singletons_run_one_after_the_other() {
    let conf = conf("");
    let mut state = State::default();
    for id in 1..=3 {
        put(&mut state, id, |spec, course| {
            (spec.name, course.dependency) = ("one".into(), "singleton".into());
        });
    }
    put(&mut state, 4, |spec, course| {
        (spec.name, course.dependency) = ("one".into(), "singleton".into());
        spec.user_id = 8;
    });
    assert_eq!(settle(&conf, &mut state, 10).jobs, [1, 4], "another user's does not matter");
    run(&mut state, 1, 20);
    assert!(settle(&conf, &mut state, 20).jobs.is_empty());
    over(&conf, &mut state, 1, super::state::FAILED);
    assert_eq!(settle(&conf, &mut state, 30).jobs, [2]);
}

#[test]
fn what_never_comes_cancels_a_job_where_that_is_wanted() {
    let failed = super::state::FAILED;
    for (more, flags, killed) in [
        ("", 0, false),
        ("", KILL_INVALID, true),
        ("DependencyParameters=kill_invalid_depend\n", 0, true),
        ("SchedulerParameters=a=1,kill_invalid_depend\n", 0, true),
        ("DependencyParameters=kill_invalid_depend\n", KEEP_INVALID, false),
    ] {
        let (conf, mut state) = (conf(more), State::default());
        put(&mut state, 1, |_, _| ());
        put(&mut state, 2, |spec, course| {
            (spec.bitflags, course.dependency) = (flags, "afterok:1".into());
        });
        run(&mut state, 1, 20);
        over(&conf, &mut state, 1, failed);
        settle(&conf, &mut state, 60);
        let job = state.job(2).unwrap();
        assert_eq!(job.base() == super::state::CANCELLED, killed, "{more}{flags}");
        assert_eq!(job.course.reason, reason::DEPENDENCY_NEVER);
    }
}

#[test]
fn tasks_follow_the_tasks_of_the_same_number() {
    let conf = conf("");
    let mut state = State::default();
    for (array, what) in [(1, ""), (2, "aftercorr:1_*")] {
        put(&mut state, array, |_, course| {
            course.array_job_id = array;
            course.tasks = vec![TaskRun { first: 1, last: 3, step: 1 }];
            course.dependency = if what.is_empty() { Text::NONE } else { what.into() };
            course.reason = reason::DEPENDENCY;
        });
    }
    settle(&conf, &mut state, 10);
    let array = Arc::clone(state.job(1).unwrap());
    let mut ids = Ids::of(World { conf: &conf, state: &state, now: 10 });
    let Split { task, rest } = array::split(&array, 2, &mut ids).unwrap();
    let (first, change) = (task.id, ids.change().unwrap());
    let changes = [change, Change::Job(task), Change::Job(rest.unwrap())];
    changes.into_iter().for_each(|change| state.take(change));
    run(&mut state, first, 20);
    over(&conf, &mut state, first, super::state::COMPLETE);
    settle(&conf, &mut state, 60);
    let freed: Vec<&Arc<Job>> = state.array(2).filter(|job| is_free(&state, job.id)).collect();
    assert_eq!(freed.len(), 1);
    assert_eq!((freed[0].course.array_task_id, freed[0].is_array()), (2, false));
    assert_eq!(left_of(&state, 2).0, "aftercorr:1_*", "the others still wait");
    assert_eq!(task_ids(&state.job(2).unwrap().course.tasks).collect::<Vec<_>>(), [1, 3]);
}
