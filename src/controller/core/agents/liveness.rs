//! Nodes that are silent, answer again, or are lost; and nodes that get no new work.
//!
//! ```text
//!            silent            silent for SlurmdTimeout
//! in service ─────▶ NO_RESPOND ─────────────────────────▶ DOWN "Not responding", its jobs lost
//!      ▲               │ answers                            │ answers, as ReturnToService says
//!      └───────────────┴────────────────────────────────────┘
//! ```

use crate::controller::core::agents::node_of;
use crate::controller::core::agents::registration::{NOT_RESPONDING, into_service};
use crate::controller::core::draft::Draft;
use crate::controller::core::ending;
use crate::controller::core::{Effect, Outcome, World, known};
use crate::controller::job::Job;
use crate::controller::node::NodeRecord;
use crate::slurm::conf::{Conf, Node};
use crate::slurm::wire::constants::{job, node, rc, reason};
use crate::slurm::wire::{Message, Text, Time};

/// Whether an answer, without a registration, changes what is known of a node.
#[must_use]
pub fn may_return(conf: &Conf, record: &NodeRecord) -> bool {
    let base = record.state & node::BASE;
    base != node::FUTURE
        && (record.state & node::NO_RESPOND != 0
            || base == node::UNKNOWN
            || base == node::DOWN && returns(conf, record))
}

fn returns(conf: &Conf, record: &NodeRecord) -> bool {
    let valid = record.state & node::INVALID_REGISTRATION == 0;
    let why = record.reason.bytes() == NOT_RESPONDING.as_bytes();
    valid && matches!((conf.number("ReturnToService"), why), (2, _) | (1, true))
}

/// Nodes that were silent have answered.
pub fn answered(world: World<'_>, nodes: &[String]) -> Outcome {
    let mut draft = Draft::new(world);
    for of in nodes.iter().filter_map(|name| node_of(world.conf, name)) {
        let mut record = known(&draft.state, of);
        if !may_return(world.conf, &record) {
            continue;
        }
        if record.state & node::NO_RESPOND != 0 {
            draft.note(format!("node {} responds again", of.name));
        }
        record.state &= !node::NO_RESPOND;
        match record.state & node::BASE {
            node::UNKNOWN => into_service(&mut record),
            node::DOWN if returns(world.conf, &record) => {
                into_service(&mut record);
                draft.note(format!("node {} returned to service", of.name));
            }
            _ => {}
        }
        draft.node(of, record);
        draft.effect(Effect::Schedule);
    }
    draft.outcome(Message::code(rc::OK))
}

/// Nodes have not answered.
pub fn silent(world: World<'_>, nodes: &[String], down: bool) -> Outcome {
    let mut draft = Draft::new(world);
    for of in nodes.iter().filter_map(|name| node_of(world.conf, name)) {
        let mut record = known(&draft.state, of);
        let base = record.state & node::BASE;
        if base == node::FUTURE || down && base == node::DOWN {
            continue;
        }
        if record.state & node::NO_RESPOND == 0 {
            draft.note(format!("node {} does not respond", of.name));
        }
        record.state |= node::NO_RESPOND;
        if down {
            draft.note(format!("node {} has not responded for SlurmdTimeout: it is down", of.name));
            because(&mut record, NOT_RESPONDING, world);
        }
        draft.node(of, record);
        if down {
            lost(&mut draft, of);
        }
    }
    draft.outcome(Message::code(rc::OK))
}

/// The reason of the controller itself, in the name of SlurmUser: it does not take the place of an
/// operator's.
pub fn because(record: &mut NodeRecord, why: &str, world: World<'_>) {
    if record.reason.is_empty() || record.reason.bytes().starts_with(NOT_RESPONDING.as_bytes()) {
        record.reason = why.into();
        (record.reason_uid, record.reason_time) = (world.conf.slurm_user, Time(world.now));
    }
}

/// A node gets no new work. One that gets none already stays as it is.
pub fn drain(record: &mut NodeRecord, why: &str, world: World<'_>) {
    if record.state & node::DRAIN != 0 {
        return;
    }
    record.state |= node::DRAIN;
    because(record, why, world);
}

/// A node is out of service, and with it whatever ran there.
pub fn lost(draft: &mut Draft<'_>, of: &Node) {
    let mut record = known(&draft.state, of);
    record.state = record.state & !node::BASE | node::DOWN;
    draft.node(of, record);
    empty(draft, &of.name);
}

/// Nothing runs on a node any more: it is out of service, or not even in slurm.conf.
pub fn empty(draft: &mut Draft<'_>, name: &str) {
    let load = draft.state.load_of(name);
    let running = load.active().collect();
    without(draft, name, running, load.completing.into_iter().collect());
}

/// These jobs are no longer on a node.
pub fn without(draft: &mut Draft<'_>, name: &str, running: Vec<u32>, completing: Vec<u32>) {
    let name = Text::from(name);
    for id in completing {
        leaves(draft, id, &name);
    }
    for id in running {
        let Some(job) = draft.state.job(id).cloned() else { continue };
        fails(draft, &job, &name);
        leaves(draft, id, &name);
    }
    draft.effect(Effect::Schedule);
}

/// Nobody waits for a node any more.
pub fn leaves(draft: &mut Draft<'_>, id: u32, node: &Text) {
    let left = draft.state.job(id).and_then(|job| ending::left(draft.world(), job, node));
    if let Some(left) = left {
        draft.job(left);
    }
}

/// A job has lost a node.
fn fails(draft: &mut Draft<'_>, job: &Job, node: &Text) {
    let shrinks = job.spec.kill_on_node_fail == 0
        && job.course.shares.len() > 1
        && job.course.batch_host != *node;
    let next = if shrinks {
        draft.note(format!("job {} goes on without node {}", job.id, node.lossy()));
        ending::shrink(draft.world(), job, node)
    } else if job.spec.requeue == 1 {
        draft.note(format!("job {} is queued again: node {} failed", job.id, node.lossy()));
        ending::requeue(draft.world(), job)
    } else {
        draft.note(format!("job {} ends: node {} failed", job.id, node.lossy()));
        ending::end(draft.world(), job, job::NODE_FAIL, reason::DOWN_NODE)
    };
    draft.job(next);
}
