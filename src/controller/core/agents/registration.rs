//! A node registers: what it has, against what slurm.conf says that it has.
//!
//! | what | ReturnToService=0 | 1 | 2 |
//! |---|---|---|---|
//! | less than slurm.conf says | INVALID_REG, and DRAIN with Slurm's words | the same | it has [the lesser of both](crate::controller::core::size) |
//! | a prolog or the environment of a job failed there | DRAIN | DRAIN | DRAIN |
//! | UNKNOWN, FUTURE | in service | in service | in service |
//! | DOWN, for a reason of the controller's own | stays | in service | in service |
//! | DOWN, for another reason | stays | stays | in service |
//! | booted since it was last heard of | DOWN, all its jobs are lost | the jobs from before are lost | as 1 |
//!
//! Slurm's own brings no node back that has less (2), nor one that was rebooted (1).
//!
//! Invariants: flags other than those named stay; a node that has less than it should is brought
//! back with ReturnToService=2 only; every registration is recorded, with when it booted.

use crate::controller::core::agents::{because, drain, lost, node_of, reconcile, without};
use crate::controller::core::draft::Draft;
use crate::controller::core::{Effect, Outcome, World, known, size};
use crate::controller::node::NodeRecord;
use crate::slurm::conf::Node;
use crate::slurm::wire::constants::{REGISTRATION_WANTS_TRES, node, rc, tres};
use crate::slurm::wire::tables::{Registered, Registration, Tres};
use crate::slurm::wire::{Message, Text, Time, Unset};
use std::cmp::max;
use std::collections::BTreeSet;

/// In a registration: the prolog of a job failed.
const PROLOG_FAILED: u32 = 4022;
/// In a registration: the environment of a job could not be made.
const ENVIRONMENT_FAILED: u32 = 4014;
/// The reason of a node that was silent for SlurmdTimeout.
pub const NOT_RESPONDING: &str = "Not responding";
/// The reason of a node that booted unexpectedly.
const REBOOTED: &str = "Node unexpectedly rebooted";

/// What the agent is told. A refusal would make it register again and again; without the list of
/// resources, which it asks for once, its launches would wait for ever.
fn reply(registration: &Registration) -> Message {
    if registration.flags & REGISTRATION_WANTS_TRES == 0 {
        return Message::code(rc::OK);
    }
    let one = |(id, kind): (u32, &str)| Tres { id, kind: kind.into(), ..Tres::default() };
    let tres = Some(tres::ALWAYS.map(one).to_vec());
    Message::Registered(Box::new(Registered { tres, node_name: Text::NONE }))
}

/// A node registers.
pub fn register(world: World<'_>, registration: &Registration, heard: i64) -> Outcome {
    let mut draft = Draft::new(world);
    let name = registration.node_name.lossy();
    match node_of(world.conf, &name) {
        Some(of) => {
            let heard = max(heard, known(world.state, of).registered.0);
            reconcile::jobs(&mut draft, of, registration);
            specification(&mut draft, of, registration, heard);
            size::tell(&mut draft, of);
        }
        None => draft.note(format!(
            "node {name} registers, and slurm.conf does not have it; next: add its NodeName line, \
             or stop its slurmd"
        )),
    }
    draft.outcome(reply(registration))
}

fn specification(draft: &mut Draft<'_>, of: &Node, registration: &Registration, heard: i64) {
    let mut record = known(&draft.state, of);
    let before = record.state;
    describe(&mut record, registration, draft.now);
    record.state &= !(node::NO_RESPOND | node::INVALID_REGISTRATION);
    if before & node::NO_RESPOND != 0 {
        draft.note(format!("node {} responds again", of.name));
    }
    let lacks = size::lacks(draft.conf, of, &record);
    if !lacks.is_empty() && !size::may_shrink(draft.conf) {
        let lacks = lacks.join(", ");
        record.state |= node::INVALID_REGISTRATION;
        draft.note(format!("node {} has less than slurm.conf says: {lacks}", of.name));
        let out = record.state & node::BASE == node::DOWN
            || record.state & (node::DRAIN | node::FAIL) != 0;
        if !out {
            drain(&mut record, &lacks, draft.world());
        }
        return draft.node(of, record);
    }
    let failed = match registration.status {
        PROLOG_FAILED => Some("Prolog error"),
        ENVIRONMENT_FAILED => Some("Job env setup error"),
        _ => None,
    };
    if let Some(why) = failed {
        if record.state & (node::DRAIN | node::FAIL) == 0 {
            drain(&mut record, why, draft.world());
            draft.note(format!("node {} is drained: {why}", of.name));
        }
        return draft.node(of, record);
    }
    let rebooted = heard != 0 && record.boot_time.0 > heard;
    if rebooted {
        draft.note(format!("node {} has booted since it was last heard of", of.name));
    }
    let booted = record.boot_time.0;
    let stays = in_order(draft, of, record, rebooted);
    if rebooted && stays {
        let reported: BTreeSet<u32> = registration.steps.iter().map(|step| step.job_id).collect();
        forgotten(draft, of, booted, &reported);
    }
}

/// A node that has what it must have; whether it is in service, or out of it as before.
fn in_order(draft: &mut Draft<'_>, of: &Node, mut record: NodeRecord, rebooted: bool) -> bool {
    let to_service = draft.conf.number("ReturnToService");
    match record.state & node::BASE {
        node::UNKNOWN | node::FUTURE => into_service(&mut record),
        node::DOWN if returns(to_service, &record) => {
            into_service(&mut record);
            draft.note(format!("node {} returned to service", of.name));
        }
        _ if rebooted && to_service == 0 => {
            because(&mut record, REBOOTED, draft.world());
            draft.node(of, record);
            lost(draft, of);
            return false;
        }
        _ => {}
    }
    draft.node(of, record);
    draft.effect(Effect::Schedule);
    true
}

/// Whether a node that is DOWN returns to service when it registers.
fn returns(to_service: u64, record: &NodeRecord) -> bool {
    let why = record.reason.bytes();
    let automatic = [NOT_RESPONDING, REBOOTED].iter().any(|own| why == own.as_bytes());
    to_service == 2 || to_service == 1 && automatic
}

/// What ran on a node before it booted is no more, unless the node says otherwise.
fn forgotten(draft: &mut Draft<'_>, of: &Node, booted: i64, reported: &BTreeSet<u32>) {
    let load = draft.state.load_of(&of.name);
    let gone = |draft: &Draft<'_>, id: &u32| {
        let job = draft.state.job(*id);
        !reported.contains(id) && job.is_some_and(|job| job.course.start_time.0 < booted)
    };
    let running = load.active().filter(|id| gone(draft, id)).collect();
    let completing = load.completing.into_iter().filter(|id| gone(draft, id)).collect();
    without(draft, &of.name, running, completing);
}

/// Back in service: what it was out of service for is forgotten, unless it is on its way out.
pub fn into_service(record: &mut NodeRecord) {
    record.state = record.state & !node::BASE | node::IDLE;
    if record.state & (node::DRAIN | node::FAIL) == 0 {
        (record.reason, record.reason_uid, record.reason_time) = (Text::NONE, u32::UNSET, Time(0));
    }
}

fn describe(record: &mut NodeRecord, registration: &Registration, now: i64) {
    let up = i64::from(registration.up_time);
    if up <= now {
        record.boot_time = Time(now - up);
        record.slurmd_start_time = registration.slurmd_start_time;
    }
    record.registered = Time(now);
    record.arch = registration.arch.clone();
    record.os = registration.os.clone();
    record.version = registration.version.clone();
    record.cpus = registration.cpus;
    record.boards = registration.boards;
    record.sockets = registration.sockets;
    record.cores = registration.cores;
    record.threads = registration.threads;
    record.real_memory = registration.real_memory;
    record.tmp_disk = registration.tmp_disk;
}
