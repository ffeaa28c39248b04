//! `scontrol requeue`, `requeuehold`: jobs that run, end or are over wait again.
//!
//! Refused: those that wait (2024), those that must not be queued again or whose partition is gone
//! (2037). With `State=RUNNING` those that do not run are left alone.

use crate::controller::core::control::edit::{Answers, Edit};
use crate::controller::core::control::may;
use crate::controller::core::control::targets::{Found, Part, Target};
use crate::controller::core::{Effect, Outcome, Who, World, current, ending};
use crate::controller::job::Job;
use crate::slurm::wire::Message;
use crate::slurm::wire::constants::{job, rc, reason};
use crate::slurm::wire::tables::Requeue;
use std::sync::Arc;

/// Queues jobs again.
pub fn requeue(world: World<'_>, request: &Requeue, who: &Who) -> Outcome {
    let mut edit = Edit::of(world);
    let flags = request.flags;
    let reply = if request.job_id_str.is_none() {
        Message::code(one(&mut edit, request.job_id, flags, who))
    } else {
        let max = u32::try_from(world.conf.number("MaxArraySize")).unwrap_or(u32::MAX);
        let target = request.job_id_str.as_str().and_then(|text| Target::parse(text, max));
        let found = target.map_or(Found::Nothing, |target| target.find(world.state));
        of_found(&mut edit, found, flags, who)
    };
    edit.outcome(reply)
}

fn of_found(edit: &mut Edit<'_>, found: Found, flags: u32, who: &Who) -> Message {
    let (array, parts) = match found {
        Found::Nothing => return Message::code(rc::JOB),
        Found::One(id) => return Message::code(one(edit, id, flags, who)),
        Found::Parts(array, parts) => (array, parts),
    };
    let mut answers = Answers::of(array);
    for part in parts {
        match part {
            Part::Record(id) => {
                let code = one(edit, id, flags, who);
                answers.add_job(&edit.job(id).expect("it was found"), code);
            }
            // They wait.
            Part::Inside(id, tasks) => {
                let code = one(edit, id, flags, who);
                tasks.into_iter().for_each(|task| answers.add(task, code));
            }
            Part::Missing(task) => answers.add(task, rc::JOB),
        }
    }
    answers.reply()
}

fn one(edit: &mut Edit<'_>, id: u32, flags: u32, who: &Who) -> u32 {
    let Some(job) = edit.job(id) else { return rc::JOB };
    if !may(who, &job) {
        return rc::ACCESS;
    }
    if flags & job::BASE == job::RUNNING && !job.is_active() {
        return rc::OK;
    }
    if job.spec.requeue != 1 || !has_partition(edit.world, &job) {
        return rc::DISABLED;
    }
    if job.is_pending() {
        return rc::PENDING;
    }
    let (mut again, effects) = ending::requeue(edit.world, &job);
    hold(Arc::make_mut(&mut again), flags);
    edit.put(again);
    effects.into_iter().for_each(|effect| edit.effect(effect));
    edit.effect(Effect::Note(format!("uid {} queued job {id} again", who.uid)));
    rc::OK
}

/// Whether there is any of the partitions that it may run in.
fn has_partition(world: World<'_>, job: &Job) -> bool {
    let names = job.spec.partition.lossy();
    let current = current(world.conf, world.state);
    names.split(',').any(|name| current.iter().any(|partition| partition.name == name))
}

fn hold(job: &mut Job, flags: u32) {
    if flags & job::SPECIAL_EXIT != 0 {
        job.course.state |= job::SPECIAL_EXIT;
        job.course.state_desc = "job requeued in special exit state".into();
    }
    if flags & job::REQUEUE_HOLD != 0 {
        let launch = flags & job::LAUNCH_FAILED != 0;
        job.course.state_desc =
            if launch { "launch failed requeued held" } else { "job requeued in held state" }
                .into();
    }
    if flags & (job::SPECIAL_EXIT | job::REQUEUE_HOLD) != 0 {
        (job.course.reason, job.course.priority) = (reason::HELD_USER, 0);
    }
}
