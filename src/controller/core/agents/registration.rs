//! A node registers: what it has, against what slurm.conf says that it has.
//!
//! | what | comes to |
//! |---|---|
//! | less than slurm.conf says | INVALID_REG, and DRAIN with Slurm's words, unless out of service |
//! | a prolog or the environment of a job failed there | DRAIN |
//! | UNKNOWN, FUTURE | in service |
//! | DOWN | in service, as ReturnToService says |
//! | booted since it was last heard of, unless ReturnToService=2 | DOWN, its jobs are lost |
//!
//! Invariants: flags other than those named stay; a node that has less than it should is never
//! brought back; every registration is recorded, with when it booted.

use crate::controller::core::agents::{drain, lost, node_of, reconcile};
use crate::controller::core::draft::Draft;
use crate::controller::core::{Effect, Outcome, World, known};
use crate::controller::node::NodeRecord;
use crate::slurm::conf::{Conf, Node};
use crate::slurm::wire::constants::{REGISTRATION_WANTS_TRES, node, rc, tres};
use crate::slurm::wire::tables::{Registered, Registration, Tres};
use crate::slurm::wire::{Message, Text, Time, Unset};
use std::cmp::max;

/// In a registration: the prolog of a job failed.
const PROLOG_FAILED: u32 = 4022;
/// In a registration: the environment of a job could not be made.
const ENVIRONMENT_FAILED: u32 = 4014;
/// The only reason with which ReturnToService=1 brings a node back.
pub const NOT_RESPONDING: &str = "Not responding";
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
    let lacks = lacks(draft.conf, of, registration);
    if !lacks.is_empty() {
        let lacks = lacks.join(", ");
        record.state |= node::INVALID_REGISTRATION;
        draft.note(format!("node {} has less than slurm.conf says: {lacks}", of.name));
        let out = record.state & node::BASE == node::DOWN
            || record.state & (node::DRAIN | node::FAIL) != 0;
        if !out {
            drain(&mut record, &lacks, draft.now);
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
            drain(&mut record, why, draft.now);
            draft.note(format!("node {} is drained: {why}", of.name));
        }
        return draft.node(of, record);
    }
    in_order(draft, of, record, heard);
}

/// A node that has all that it should.
fn in_order(draft: &mut Draft<'_>, of: &Node, mut record: NodeRecord, heard: i64) {
    let rebooted = heard != 0 && record.boot_time.0 > heard;
    let to_service = draft.conf.number("ReturnToService");
    match record.state & node::BASE {
        node::UNKNOWN | node::FUTURE => into_service(&mut record),
        node::DOWN if returns(to_service, &record, rebooted) => {
            into_service(&mut record);
            draft.note(format!("node {} returned to service", of.name));
        }
        _ if rebooted && to_service != 2 => {
            draft.note(format!("node {} has booted since it was last heard of", of.name));
            if record.reason.is_empty() || record.reason.bytes() == NOT_RESPONDING.as_bytes() {
                record.reason = REBOOTED.into();
                (record.reason_uid, record.reason_time) = (0, Time(draft.now));
            }
            draft.node(of, record);
            return lost(draft, of);
        }
        _ => {}
    }
    draft.node(of, record);
    draft.effect(Effect::Schedule);
}

fn returns(to_service: u64, record: &NodeRecord, rebooted: bool) -> bool {
    match to_service {
        2 => true,
        1 => record.reason.bytes() == NOT_RESPONDING.as_bytes() && !rebooted,
        _ => false,
    }
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

/// What it lacks, in Slurm's words.
fn lacks(conf: &Conf, of: &Node, registration: &Registration) -> Vec<String> {
    let all = |sockets: u16, cores: u16, threads: u16| {
        u64::from(sockets) * u64::from(cores) * u64::from(threads)
    };
    let mut lacks = Vec::new();
    if says(conf, "SlurmdParameters", "config_overrides").is_some() {
        return lacks;
    }
    let found = all(registration.sockets, registration.cores, registration.threads);
    if found < all(of.sockets, of.cores, of.threads) {
        lacks.push("Low socket*core*thread count".to_owned());
    }
    if registration.cpus < of.cpus {
        lacks.push("Low CPUs".to_owned());
    }
    let least = memory_percent(conf);
    // Exact for every memory that there is: far below 2^53 MiB.
    let percent = registration.real_memory as f64 / of.real_memory.max(1) as f64 * 100.0;
    if percent < least {
        let (found, wanted) = (registration.real_memory, of.real_memory);
        lacks.push(format!(
            "Low RealMemory (reported:{found} < {least:.2}% of configured:{wanted})"
        ));
    }
    if registration.tmp_disk < of.tmp_disk {
        lacks.push("Low TmpDisk".to_owned());
    }
    lacks
}

fn memory_percent(conf: &Conf) -> f64 {
    let set = says(conf, "SlurmctldParameters", "node_reg_mem_percent=");
    set.and_then(|text| text.parse().ok()).unwrap_or(100.0)
}

/// What stands behind `word` in a list of a parameter.
fn says<'a>(conf: &'a Conf, parameter: &str, word: &str) -> Option<&'a str> {
    let list = conf.text(parameter)?;
    let parts = list.split(',').map(str::trim);
    let mut found = parts.filter_map(|part| {
        let begin = part.get(..word.len())?;
        begin.eq_ignore_ascii_case(word).then(|| &part[word.len()..])
    });
    found.next()
}
