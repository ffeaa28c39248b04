//! `scancel`: jobs are cancelled or signalled.
//!
//! | job | SIGKILL | another signal |
//! |---|---|---|
//! | waits | cancelled | 2020 |
//! | waits for its nodes to be clean | cancelled when they are | 2020 |
//! | runs | ended on its nodes | sent: to the script (`--batch`), to all (`--full`), to the steps |
//! | is stopped | ended on its nodes | 2020 |
//! | ends, is over | 2021 | 2021 |
//!
//! SIGKILL that names the script or the steps (`--batch`, steps only) is sent like any other
//! signal. Of an array the codes of all records count as one: the highest; only if all were over it
//! is 2021.

use crate::controller::core::control::edit::Edit;
use crate::controller::core::control::may;
use crate::controller::core::control::targets::{Found, Part, Target};
use crate::controller::core::{Effect, Outcome, Who, World, ending, signals};
use crate::controller::job::Job;
use crate::slurm::wire::constants::{job, rc, step};
use crate::slurm::wire::tables::KillRequest;
use crate::slurm::wire::{Message, Text};

const SIGKILL: u16 = 9;
/// The batch script alone.
const BATCH: u16 = 0x1;
/// Every step, and not the batch script.
const STEPS_ONLY: u16 = 0x4;
/// Every step, and the batch script.
const FULL: u16 = 0x8;

/// Signals or cancels jobs.
pub fn kill(world: World<'_>, request: &KillRequest, who: &Who) -> Outcome {
    let mut edit = Edit::of(world);
    let code = if request.sjob_id.is_none() {
        by_number(&mut edit, request, who)
    } else {
        by_text(&mut edit, request, who)
    };
    if code == rc::ERROR {
        return Outcome::refused(code);
    }
    if code == rc::OK {
        let (what, signal) = (named(request), request.signal);
        edit.effect(Effect::Note(format!("uid {} sent signal {signal} to job {what}", who.uid)));
    }
    edit.outcome(Message::code(code))
}

fn named(request: &KillRequest) -> String {
    match request.sjob_id.as_str() {
        Some(text) => text.to_owned(),
        None => request.step_id.job_id.to_string(),
    }
}

/// One record, or a step of it.
fn by_number(edit: &mut Edit<'_>, request: &KillRequest, who: &Who) -> u32 {
    let Some(job) = edit.job(request.step_id.job_id) else { return rc::JOB };
    match request.step_id.step_id {
        step::NONE if !may(who, &job) => rc::ACCESS,
        step::NONE => one(edit, &job, request),
        _ if !may(who, &job) => rc::USER,
        _ if !job.is_pending() && !job.is_active() => rc::ALREADY_DONE,
        _ if job.base() != job::RUNNING => rc::TRANSITION,
        step::BATCH => {
            let (signal, flags) = (request.signal, request.flags | BATCH);
            edit.effect(to_script(&job, signal, flags));
            rc::OK
        }
        // Jobs here have no other steps.
        _ => rc::JOB,
    }
}

fn by_text(edit: &mut Edit<'_>, request: &KillRequest, who: &Who) -> u32 {
    let max = u32::try_from(edit.world.conf.number("MaxArraySize")).unwrap_or(u32::MAX);
    let target = request.sjob_id.as_str().and_then(|text| Target::parse(text, max));
    let Some(target) = target else { return rc::JOB };
    match target.find(edit.world.state) {
        Found::Nothing => rc::JOB,
        Found::One(id) => {
            let job = edit.job(id).expect("it was found");
            if may(who, &job) { one(edit, &job, request) } else { rc::ACCESS }
        }
        Found::Parts(array, parts) => of_array(edit, request, who, array, parts),
    }
}

fn of_array(
    edit: &mut Edit<'_>,
    request: &KillRequest,
    who: &Who,
    array: u32,
    parts: Vec<Part>,
) -> u32 {
    // All records of an array are of one user.
    if !edit.world.state.array(array).all(|job| may(who, job)) {
        return rc::ACCESS;
    }
    let mut codes = Vec::new();
    for part in parts {
        match part {
            Part::Record(id) => {
                let job = edit.job(id).expect("it was found");
                codes.push(one(edit, &job, request));
            }
            Part::Inside(..) if request.signal != SIGKILL => codes.push(rc::TRANSITION),
            Part::Inside(id, tasks) => {
                for task in tasks {
                    let job = edit.split(id, task);
                    codes.push(job.map_or(rc::ERROR, |job| one(edit, &job, request)));
                }
            }
            Part::Missing(_) => codes.push(rc::JOB),
        }
    }
    let left = codes.iter().copied().filter(|code| *code != rc::ALREADY_DONE);
    left.max().unwrap_or(rc::ALREADY_DONE)
}

/// One record. Whoever asks may.
fn one(edit: &mut Edit<'_>, job: &Job, request: &KillRequest) -> u32 {
    let (signal, flags) = (request.signal, request.flags);
    if !job.is_pending() && !job.is_active() {
        return rc::ALREADY_DONE;
    }
    let apart = flags & (BATCH | STEPS_ONLY) != 0;
    if signal == SIGKILL && (!apart || job.base() != job::RUNNING) {
        let (job, effects) = ending::end(edit.world, job, job::CANCELLED, job.course.reason);
        edit.put(job);
        effects.into_iter().for_each(|effect| edit.effect(effect));
        return rc::OK;
    }
    if job.base() != job::RUNNING {
        return rc::TRANSITION;
    }
    if signals::matters(signal) {
        match signals::sent(job) {
            Some(job) => edit.put(job),
            None => return rc::TRANSITION,
        }
    }
    let effect = if flags & BATCH != 0 {
        to_script(job, signal, flags)
    } else {
        let nodes = job.course.shares.iter().map(|share| share.node.clone()).collect();
        let flags = if flags & (FULL | STEPS_ONLY) == 0 { STEPS_ONLY } else { flags };
        Effect::Signal { job: job.id, nodes, step: step::NONE, signal, flags }
    };
    edit.effect(effect);
    rc::OK
}

fn to_script(job: &Job, signal: u16, flags: u16) -> Effect {
    let nodes: Vec<Text> = vec![job.course.batch_host.clone()];
    Effect::Signal { job: job.id, nodes, step: step::BATCH, signal, flags }
}
