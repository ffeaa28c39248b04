//! `scontrol suspend`, `resume`: administrators stop jobs for a while, and let them go on.
//!
//! While a job is stopped its time limit does not run on: `pre_sus_time` is how long it ran before,
//! `suspend_time` when it was stopped or went on last. As in Slurm a job that was stopped has
//! priority 0 until it goes on.

use crate::controller::core::control::edit::{Answers, Edit};
use crate::controller::core::control::targets::{Found, Part, Target};
use crate::controller::core::{Effect, Outcome, Who, World, ending};
use crate::controller::job::Job;
use crate::slurm::wire::constants::{job, rc};
use crate::slurm::wire::tables::Suspend;
use crate::slurm::wire::{Message, Time, Unset};

/// Stop. The other one is: go on.
const SUSPEND: u16 = 0;
const RESUME: u16 = 1;

/// Stops jobs for a while, or lets them go on.
pub fn suspend(world: World<'_>, request: &Suspend, who: &Who) -> Outcome {
    if !who.admin {
        return Outcome::refused(rc::ACCESS);
    }
    if request.op > RESUME {
        return Outcome::refused(rc::UNSUPPORTED);
    }
    let mut edit = Edit::of(world);
    let found = if request.job_id_str.is_none() {
        world.state.job(request.job_id).map_or(Found::Nothing, |job| Found::One(job.id))
    } else {
        let max = u32::try_from(world.conf.number("MaxArraySize")).unwrap_or(u32::MAX);
        let target = request.job_id_str.as_str().and_then(|text| Target::parse(text, max));
        target.map_or(Found::Nothing, |target| target.find(world.state))
    };
    let reply = match found {
        Found::Nothing => Message::code(rc::JOB),
        Found::One(id) => Message::code(one(&mut edit, id, request.op)),
        Found::Parts(array, parts) => of_array(&mut edit, array, parts, request.op),
    };
    edit.outcome(reply)
}

fn of_array(edit: &mut Edit<'_>, array: u32, parts: Vec<Part>, op: u16) -> Message {
    let mut answers = Answers::of(array);
    for part in parts {
        match part {
            Part::Record(id) => {
                let code = one(edit, id, op);
                answers.add_job(&edit.job(id).expect("it was found"), code);
            }
            Part::Inside(id, tasks) => {
                let code = one(edit, id, op);
                tasks.into_iter().for_each(|task| answers.add(task, code));
            }
            Part::Missing(task) => answers.add(task, rc::JOB),
        }
    }
    answers.reply()
}

fn one(edit: &mut Edit<'_>, id: u32, op: u16) -> u32 {
    let Some(job) = edit.job(id) else { return rc::JOB };
    if job.is_pending() {
        return rc::PENDING;
    }
    if !job.is_active() {
        return rc::ALREADY_DONE;
    }
    let now = edit.world.now;
    let mut course = job.course.clone();
    match (op, job.base()) {
        (SUSPEND, job::SUSPENDED) => return rc::OK,
        (SUSPEND, _) => {
            let since =
                if course.suspend_time.0 == 0 { course.start_time } else { course.suspend_time };
            course.pre_sus_time = Time(course.pre_sus_time.0 + (now - since.0).max(0));
            (course.state, course.priority) = (job::SUSPENDED, 0);
            // Its CPUs are free for others.
            edit.effect(Effect::Schedule);
        }
        (_, job::SUSPENDED) => {
            course.state = job::RUNNING;
            course.priority = u32::UNSET;
        }
        _ => return rc::NOT_SUSPENDED,
    }
    course.suspend_time = Time(now);
    edit.effect(to_nodes(&job, op));
    edit.put(ending::next(&job, course));
    rc::OK
}

fn to_nodes(job: &Job, op: u16) -> Effect {
    let nodes = job.course.shares.iter().map(|share| share.node.clone()).collect();
    Effect::Suspend { job: job.id, nodes, op }
}
