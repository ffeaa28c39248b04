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

/// Slurm's code for generic resources that there are none of.
const GRES: u32 = 2072;

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
    let reason = of.reason.clone().into();
    NodeRecord { state, reason, ..NodeRecord::default() }
}

/// The features that a node has, and those of them that are active.
#[must_use]
pub fn node_features(of: &Node, record: &NodeRecord) -> (Text, Text) {
    let own = || Text::from(of.features.clone());
    let set = |text: &Text| (!text.is_none()).then(|| text.clone());
    let available = set(&record.features).unwrap_or_else(own);
    let active = set(&record.features_act).unwrap_or_else(|| available.clone());
    let shown = |text: Text| if text.is_empty() { Text::NONE } else { text };
    (shown(available), shown(active))
}

/// The weight of a node: lower ones are taken first.
#[must_use]
pub fn node_weight(of: &Node, record: &NodeRecord) -> u32 {
    record.weight.checked_sub(1).unwrap_or(of.weight)
}

/// Changes nodes: all of them, or none.
pub fn update(world: World<'_>, update: &UpdateNode, who: &Who) -> Outcome {
    let World { conf, now, .. } = world;
    if !who.admin {
        return Outcome::refused(rc::USER);
    }
    let names = update.node_names.lossy();
    let Ok(names) = expand(&names) else { return Outcome::refused(rc::NODE) };
    if let Some(code) = not_here(update) {
        return Outcome::refused(code);
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
        if let Err(code) = equip(&mut record, node, update) {
            return Outcome::refused(code);
        }
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

/// The code for what this controller has none of.
fn not_here(update: &UpdateNode) -> Option<u32> {
    let addresses = [&update.node_addr, &update.node_hostname];
    let bound = update.cpu_bind != 0 && !update.cpu_bind.is_unset();
    if !addresses.into_iter().all(Text::is_none) || bound {
        return Some(rc::UNSUPPORTED);
    }
    (!update.gres.is_empty()).then_some(GRES)
}

/// Features and weight, where the request says anything about them. Active features must be
/// available ones.
fn equip(record: &mut NodeRecord, of: &Node, update: &UpdateNode) -> Result<(), u32> {
    if !update.features.is_none() {
        record.features = update.features.clone();
        // What was active may not be available any more: all of it is, unless this says otherwise.
        record.features_act = Text::NONE;
    }
    if !update.features_act.is_none() {
        record.features_act = update.features_act.clone();
    }
    if let Some(weight) = update.weight.get() {
        record.weight = weight.saturating_add(1);
    }
    let (available, active) = node_features(of, record);
    let (available, active) = (available.lossy(), active.lossy());
    let named = active.split(',').filter(|feature| !feature.is_empty());
    let mut missing = named.filter(|feature| !available.split(',').any(|other| other == *feature));
    if missing.next().is_some() { Err(rc::FEATURE_SUBSET) } else { Ok(()) }
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
/// | IDLE | base DOWN or IDLE | base IDLE, clears DRAIN and FAIL |
///
/// Of a node that registered with less than slurm.conf says, UNDRAIN, RESUME and IDLE are refused.
/// There is no power saving here: POWER_DOWN, POWER_UP and their like are refused, as by Slurm
/// without SuspendProgram.
/// After RESUME a node counts as not responding until it is heard of.
#[must_use]
pub fn wished(state: u32, wish: u32) -> Option<u32> {
    let (base, flags) = (state & node::BASE, state & !node::BASE);
    let invalid = flags & node::INVALID_REGISTRATION != 0;
    match wish {
        node::UNDRAIN | node::RESUME | node::IDLE if invalid => None,
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
        node::IDLE => {
            let flags = flags & !(node::DRAIN | node::FAIL);
            matches!(base, node::DOWN | node::IDLE).then_some(flags | node::IDLE)
        }
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
