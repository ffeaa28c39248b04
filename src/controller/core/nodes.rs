//! What an operator changes of nodes, and what a node is.

use crate::controller::core::agents::lost;
use crate::controller::core::draft::Draft;
use crate::controller::core::{Effect, Outcome, Who, World};
use crate::controller::node::NodeRecord;
use crate::controller::state::{Change, State};
use crate::slurm::conf::{Initial, Node};
use crate::slurm::hostlist::expand;
use crate::slurm::wire::constants::{node, rc};
use crate::slurm::wire::tables::UpdateNode;
use crate::slurm::wire::{Message, Text, Time, Unset};
use std::collections::{BTreeSet, HashMap};

/// Slurm's code for a state that the node cannot take.
pub const INVALID_NODE_STATE: u32 = 2028;

/// A node that a cloud brings when it is wanted.
const CLOUD: u32 = 0x80;

/// What is known of a node.
#[must_use]
pub fn known(state: &State, of: &Node) -> NodeRecord {
    state.nodes.get(&of.name).cloned().unwrap_or_else(|| initial(of))
}

/// What a node is before anything was ever heard of it.
fn initial(of: &Node) -> NodeRecord {
    let state = match of.initial {
        Initial::Unknown => node::UNKNOWN,
        Initial::Down => node::DOWN,
        Initial::Drain => node::UNKNOWN | node::DRAIN,
        Initial::Fail => node::UNKNOWN | node::FAIL,
        Initial::Future => node::FUTURE,
        Initial::Cloud => node::IDLE | CLOUD,
    };
    NodeRecord { state, reason: of.reason.clone().into(), ..NodeRecord::default() }
}

/// Changes nodes: all of them, or none.
pub fn update(world: World<'_>, update: &UpdateNode, who: &Who) -> Outcome {
    let World { conf, now, .. } = world;
    if !who.admin {
        return Outcome::refused(rc::USER);
    }
    let names = update.node_names.lossy();
    let Ok(names) = expand(&names) else { return Outcome::refused(rc::NODE) };
    if !only_known_fields(update) {
        return Outcome::refused(rc::UNSUPPORTED);
    }
    let mut draft = Draft::new(world);
    let mut back = Vec::new();
    let mut seen = BTreeSet::new();
    let places: HashMap<&str, &Node> =
        conf.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    for name in names {
        let Some(node) = places.get(name.as_str()) else { return Outcome::refused(rc::NODE) };
        if !seen.insert(name.clone()) {
            continue;
        }
        let mut record = known(&draft.state, node);
        describe(&mut record, update, who.uid, now);
        if let Some(wish) = update.node_state.get() {
            match wished(record.state, wish) {
                Some(next) => record.state = next,
                None => return Outcome::refused(INVALID_NODE_STATE),
            }
            forget_reason(&mut record);
            if wish == node::RESUME {
                back.push(name.clone());
            }
        }
        draft.put(Change::Node(name, record));
        if update.node_state == node::DOWN {
            lost(&mut draft, node);
        }
    }
    if seen.is_empty() {
        return Outcome::refused(rc::NODE);
    }
    let names = update.node_names.lossy();
    draft.note(format!("uid {} changed {} node(s): {names}", who.uid, seen.len()));
    if !back.is_empty() {
        draft.effect(Effect::Register { nodes: back });
    }
    draft.effect(Effect::Schedule);
    draft.outcome(Message::code(rc::OK))
}

/// Whether nothing is asked for that this controller does not do yet.
fn only_known_fields(update: &UpdateNode) -> bool {
    let texts = [
        &update.features,
        &update.features_act,
        &update.gres,
        &update.node_addr,
        &update.node_hostname,
    ];
    texts.into_iter().all(Text::is_none)
        && update.weight.is_unset()
        && (update.cpu_bind == 0 || update.cpu_bind.is_unset())
}

/// Reason, comment and extra, where the request says anything about them.
fn describe(record: &mut NodeRecord, update: &UpdateNode, uid: u32, now: i64) {
    if !update.reason.is_none() {
        record.reason = update.reason.clone();
        record.reason_uid = uid;
        record.reason_time = Time(now);
    }
    for (text, field) in
        [(&update.comment, &mut record.comment), (&update.extra, &mut record.extra)]
    {
        if !text.is_none() {
            *field = text.clone();
        }
    }
}

/// The state after a wish; `None` where it cannot be had.
///
/// | wish | allowed | does |
/// |---|---|---|
/// | DOWN | always | base DOWN |
/// | DRAIN, FAIL, NoResp | always | sets the flag |
/// | UNDRAIN | drained | clears DRAIN |
/// | RESUME | DOWN, FUTURE, drained or failing | clears DRAIN, FAIL, DOWN and FUTURE |
/// | IDLE | base DOWN or IDLE | base IDLE |
///
/// After RESUME a node counts as not responding until it is heard of.
#[must_use]
pub fn wished(state: u32, wish: u32) -> Option<u32> {
    let (base, flags) = (state & node::BASE, state & !node::BASE);
    match wish {
        node::DOWN => Some(flags | node::DOWN),
        node::DRAIN | node::FAIL | node::NO_RESPOND => Some(state | wish),
        node::UNDRAIN => (flags & node::DRAIN != 0).then_some(state & !node::DRAIN),
        node::RESUME => {
            let out = matches!(base, node::DOWN | node::FUTURE);
            let marked = flags & (node::DRAIN | node::FAIL) != 0;
            let base = if out { node::IDLE } else { base };
            let flags = flags & !(node::DRAIN | node::FAIL) | node::NO_RESPOND;
            (out || marked).then_some(base | flags)
        }
        node::IDLE => matches!(base, node::DOWN | node::IDLE).then_some(flags | node::IDLE),
        _ => None,
    }
}

/// A node in service has no reason to be out of it.
fn forget_reason(record: &mut NodeRecord) {
    let out =
        record.state & node::BASE == node::DOWN || record.state & (node::DRAIN | node::FAIL) != 0;
    if !out && !record.reason.is_empty() {
        (record.reason, record.reason_uid, record.reason_time) = (Text::NONE, u32::UNSET, Time(0));
    }
}
