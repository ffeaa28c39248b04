//! Scripts that have ended, epilogs that have run, launches that were answered.
//!
//! | a script ended | comes to |
//! |---|---|
//! | with 0 | COMPLETED; TIMEOUT if that was after its limit |
//! | with another code, with a signal | FAILED |
//! | for want of memory | OUT_OF_MEMORY |
//! | with a code of RequeueExit, RequeueExitHold | waits again; held there |
//! | because its agent could not run it | its node is drained; waits again, if it may |
//!
//! Invariants: a job that has ended keeps its state; its exit code is recorded once, whoever ended
//! it; what another node than its batch host says of it is not heard.

use crate::controller::core::agents::liveness::leaves;
use crate::controller::core::agents::{drain, node_of};
use crate::controller::core::draft::Draft;
use crate::controller::core::{Effect, Outcome, Who, World, cycle, ending, known};
use crate::controller::job::{Course, Job};
use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::{job as state, rc, reason};
use crate::slurm::wire::tables::{BatchDone, EpilogDone, Requeue};
use crate::slurm::wire::{Message, Text};

/// In an exit status: memory was short.
const OUT_OF_MEMORY: u32 = 253;
/// From an agent: the job runs there already.
const DUPLICATE: u32 = 2019;
/// From an agent: its prolog failed.
const PROLOG_FAILED: u32 = 4022;
/// From an agent: the job was over anyway, which is no error.
const OVER: [u32; 3] = [rc::AGENT_NOT_RUNNING, rc::ALREADY_DONE, rc::AGENT_REVOKED];
/// Why a node is drained whose agent refuses this controller's epoch.
const LATER_CONTROLLER: &str = "Its agent has obeyed a later controller, see its log";
/// From an agent: errors that are not the node's. A reply that was not read, no such user, user or
/// group unknown, a frequency of accounting.
const NOT_THE_NODES: [u32; 5] = [1002, rc::USER, 4005, 4006, 4003];

/// A node is drained by name, if slurm.conf has it.
fn drain_node(draft: &mut Draft<'_>, name: &str, why: &str) {
    let Some(of) = node_of(draft.conf, name) else { return };
    let mut record = known(&draft.state, of);
    drain(&mut record, why, draft.world());
    draft.note(format!("node {name} is drained: {why}"));
    draft.node(of, record);
}

/// A batch script has ended.
pub fn batch_done(world: World<'_>, done: &BatchDone) -> Outcome {
    let mut draft = Draft::new(world);
    let Some(job) = world.state.job(done.job_id).cloned() else {
        return Outcome::refused(rc::JOB);
    };
    let (host, node) = (&job.course.batch_host, &done.node_name);
    if !host.is_empty() && !node.is_empty() && host != node {
        let (id, host, node) = (job.id, host.lossy(), node.lossy());
        draft.note(format!("node {node} reports the end of job {id}, which runs on {host}"));
        return draft.outcome(Message::code(rc::OK));
    }
    let fault = if OVER.contains(&done.slurm_rc) { rc::OK } else { done.slurm_rc };
    if fault != rc::OK {
        let (id, node) = (job.id, node.lossy());
        draft.note(format!("node {node} could not run job {id}: code {fault}"));
    }
    let nodes_fault = fault != rc::OK && !NOT_THE_NODES.contains(&fault);
    if nodes_fault {
        drain_node(&mut draft, &node.lossy(), "batch job complete failure");
    }
    let again = nodes_fault && done.job_rc != 0 && job.spec.requeue == 1;
    let code = if job.is_active() {
        ends(&mut draft, &job, done.job_rc, again);
        rc::OK
    } else if job.is_pending() {
        rc::OK
    } else {
        // Somebody else ended it: how the script took it is worth knowing.
        if job.course.exit_code == 0 && done.job_rc != 0 {
            let course = Course { exit_code: done.job_rc, ..job.course.clone() };
            draft.job((ending::next(&job, course), Vec::new()));
        }
        rc::ALREADY_DONE
    };
    draft.outcome(Message::code(code))
}

/// The code of a script that ended by itself.
fn exit_status(code: u32) -> Option<u32> {
    (code & 0x7f == 0).then_some(code >> 8 & 0xff)
}

fn ends(draft: &mut Draft<'_>, job: &Job, code: u32, again: bool) {
    let course = Course { exit_code: code, ..job.course.clone() };
    let ended = ending::next(job, course);
    let listed = |name| exit_status(code).is_some_and(|code| names(draft.conf, name, code));
    let over = cycle::is_over_limit(draft.conf, &draft.state, job, draft.now);
    let next = if again {
        ending::requeue_or_hold(draft.world(), &ended)
    } else if listed("RequeueExit") {
        ending::requeue(draft.world(), &ended)
    } else if listed("RequeueExitHold") {
        let (job, effects) = ending::requeue(draft.world(), &ended);
        let mut course = Course { priority: 0, reason: reason::HELD_USER, ..job.course.clone() };
        course.state |= state::SPECIAL_EXIT;
        (ending::next(&job, course), effects)
    } else {
        let (base, why) = match (code, exit_status(code)) {
            (0, _) if over => (state::TIMEOUT, reason::TIMEOUT),
            (0, _) => (state::COMPLETE, reason::NONE),
            (code, _) if code & 0xff == OUT_OF_MEMORY => {
                (state::OUT_OF_MEMORY, reason::OUT_OF_MEMORY)
            }
            (_, Some(_)) => (state::FAILED, reason::EXIT_CODE),
            (_, None) => (state::FAILED, reason::LAUNCH),
        };
        ending::end(draft.world(), &ended, base, why)
    };
    draft.job(next);
}

/// Whether a parameter lists an exit code, as in `1,3-5`.
fn names(conf: &Conf, parameter: &str, code: u32) -> bool {
    let parts = conf.text(parameter).unwrap_or("").split(',');
    let mut parts = parts.map(|part| part.trim());
    parts.any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u32>();
        matches!((number(first), number(last)), (Ok(first), Ok(last))
            if (first..=last).contains(&code))
    })
}

/// A node has nothing left of a job.
pub fn epilog_done(world: World<'_>, done: &EpilogDone) -> Outcome {
    let mut draft = Draft::new(world);
    if done.return_code != rc::OK {
        drain_node(&mut draft, &done.node_name.lossy(), "Epilog error");
    }
    leaves(&mut draft, done.job_id, &done.node_name);
    draft.outcome(Message::code(rc::OK))
}

/// An agent could not start a job, because the answer to its launch was read by nobody: the
/// controller was gone by then. It asks for what it always asks for, to hold the job; this one
/// waits again. `None`: the request is of another kind, or about a launch that was answered.
///
/// Of a job that is over the launch was an older one, which came late and was refused; of one that
/// was launched more than once nobody can tell: its node is asked whether it has the job.
pub fn not_launched(world: World<'_>, request: &Requeue, who: &Who) -> Option<Outcome> {
    let from_agent = who.admin && request.flags & state::LAUNCH_FAILED != 0;
    let unconfirmed =
        |job: &&std::sync::Arc<Job>| job.is_active() && job.course.confirmed != job.course.launches;
    let job = world.state.job(request.job_id).filter(|_| from_agent)?;
    let mut draft = Draft::new(world);
    let (id, node) = (job.id, job.course.batch_host.lossy());
    if unconfirmed(&job) {
        draft.note(format!("node {node} did not start job {id}: it waits again"));
        draft.job(ending::relaunch(world, job));
    } else if job.is_over() {
        draft.note(format!("a late launch of job {id}, which is over, was refused"));
    } else if job.is_active() && job.course.launches > 1 {
        draft.note(format!("a launch of job {id} was refused: node {node} is asked what it has"));
        let course = Course { confirmed: 0, ..job.course.clone() };
        draft.job((ending::next(job, course), Vec::new()));
    } else {
        return None;
    }
    Some(draft.outcome(Message::code(rc::OK)))
}

/// An agent has answered a launch; `None`: it was not reached, and cannot know of it.
pub fn launched(world: World<'_>, id: u32, launch: u32, node: &Text, code: Option<u32>) -> Outcome {
    let mut draft = Draft::new(world);
    let of_this_launch =
        |job: &&std::sync::Arc<Job>| job.is_active() && job.course.launches == launch;
    let Some(job) = world.state.job(id).filter(of_this_launch).cloned() else {
        return draft.outcome(Message::code(rc::OK));
    };
    let name = node.lossy();
    match code {
        Some(rc::OK | DUPLICATE) => {
            if code != Some(rc::OK) {
                drain_node(&mut draft, &name, "Duplicate jobid");
            }
            let course = Course { confirmed: launch, ..job.course.clone() };
            draft.job((ending::next(&job, course), Vec::new()));
        }
        Some(PROLOG_FAILED) => {
            drain_node(&mut draft, &name, "Prolog/Epilog failure");
            draft.job(ending::requeue_or_hold(world, &job));
        }
        Some(rc::STANDBY) => {
            drain_node(&mut draft, &name, LATER_CONTROLLER);
            draft.job(ending::take_back(world, &job));
        }
        Some(code) => {
            draft.note(format!("node {name} refuses job {id} with code {code}: it waits again"));
            draft.job(ending::requeue_or_hold(world, &job));
        }
        None => {
            draft.note(format!("node {name} is not reached: job {id} waits again"));
            draft.job(ending::take_back(world, &job));
        }
    }
    draft.effect(Effect::Schedule);
    draft.outcome(Message::code(rc::OK))
}
