//! Decides what a command does: `apply` takes configuration, state and command, and gives changes,
//! a return code and what is to be done once the changes are durable. It changes nothing itself.
//!
//! Invariants: a command is done whole or not at all; a refused one changes nothing; the changes,
//! and they alone, lead from one state to the next, in memory ([`State::take`]) and in the store
//! ([`batch`]) alike.

use crate::Batch;
use crate::controller::node::{NodeRecord, RecordError, TABLE};
use crate::format::BatchError;
use crate::slurm::conf::{Conf, Initial, Node};
use crate::slurm::hostlist::expand;
use crate::slurm::wire::Text;
use crate::slurm::wire::Unset;
use crate::slurm::wire::constants::{node, rc};
use crate::slurm::wire::tables::UpdateNode;
use crate::snapshot::SnapshotError;
use crate::store::View;
use std::collections::BTreeMap;

/// Slurm's code for a state that the node cannot take.
pub const INVALID_NODE_STATE: u32 = 2028;

/// A node that a cloud brings when it is wanted.
const CLOUD: u32 = 0x80;

/// What is known of the cluster beyond its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    nodes: BTreeMap<String, NodeRecord>,
}

/// One entry that is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// What is known of a node.
    Node(String, NodeRecord),
}

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Nodes are to be changed, by this user.
    UpdateNodes {
        /// What is to change.
        update: Box<UpdateNode>,
        /// Who asks.
        uid: u32,
    },
}

/// What is to be done once the changes are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A line in the log.
    Note(String),
}

/// What a command comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What changes; empty for a refusal.
    pub changes: Vec<Change>,
    /// Slurm's return code.
    pub code: u32,
    /// What is to be done afterwards.
    pub effects: Vec<Effect>,
}

impl Outcome {
    fn refused(code: u32) -> Outcome {
        Outcome { code, ..Outcome::default() }
    }
}

/// Why a state cannot be read from the store.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store does not give it.
    #[error(transparent)]
    Store(#[from] SnapshotError),
    /// An entry is none of ours.
    #[error("entry {key:?} of table {TABLE}: {error}")]
    Record {
        /// Its key.
        key: String,
        /// Why.
        error: RecordError,
    },
    /// A key is not text.
    #[error("a key of table {TABLE} is not text: {0:?}")]
    Key(Vec<u8>),
}

impl State {
    /// The state that the store holds.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn load(view: &View) -> Result<State, StateError> {
        let mut state = State::default();
        for entry in view.scan(TABLE, b"") {
            let (key, value) = entry?;
            let key = String::from_utf8(key.to_vec())
                .map_err(|error| StateError::Key(error.into_bytes()))?;
            let record = NodeRecord::decode(value)
                .map_err(|error| StateError::Record { key: key.clone(), error })?;
            state.nodes.insert(key, record);
        }
        Ok(state)
    }

    /// What is known of a node.
    #[must_use]
    pub fn node(&self, of: &Node) -> NodeRecord {
        self.nodes.get(&of.name).cloned().unwrap_or_else(|| initial(of))
    }

    /// Takes a change that is durable.
    pub fn take(&mut self, change: Change) {
        match change {
            Change::Node(name, record) => drop(self.nodes.insert(name, record)),
        }
    }
}

/// The save that makes changes durable.
///
/// # Errors
/// A limit of the store: a name or a value that is too long.
pub fn batch(changes: &[Change]) -> Result<Batch, BatchError> {
    let mut batch = Batch::new();
    for change in changes {
        match change {
            Change::Node(name, record) => {
                batch.put(TABLE, name.as_bytes(), &record.encode())?;
            }
        }
    }
    Ok(batch)
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
    let reason = of.reason.clone().unwrap_or_default().into_bytes();
    NodeRecord { state, reason, ..NodeRecord::default() }
}

/// What `command` comes to at the time `now`.
#[must_use]
pub fn apply(conf: &Conf, state: &State, command: &Command, now: i64) -> Outcome {
    match command {
        Command::UpdateNodes { update, uid } => update_nodes(conf, state, update, *uid, now),
    }
}

fn update_nodes(conf: &Conf, state: &State, update: &UpdateNode, uid: u32, now: i64) -> Outcome {
    let names = update.node_names.lossy();
    let Ok(names) = expand(&names) else { return Outcome::refused(rc::NODE) };
    if !only_known_fields(update) {
        return Outcome::refused(rc::UNSUPPORTED);
    }
    let mut outcome = Outcome::default();
    let mut seen = std::collections::BTreeSet::new();
    let places: std::collections::HashMap<&str, &Node> =
        conf.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    for name in names {
        let Some(node) = places.get(name.as_str()) else { return Outcome::refused(rc::NODE) };
        if !seen.insert(name.clone()) {
            continue;
        }
        let mut record = state.node(node);
        describe(&mut record, update, uid, now);
        if let Some(wish) = update.node_state.get() {
            match wished(record.state, wish) {
                Some(next) => record.state = next,
                None => return Outcome::refused(INVALID_NODE_STATE),
            }
            forget_reason(&mut record);
        }
        outcome.changes.push(Change::Node(name, record));
    }
    if outcome.changes.is_empty() {
        return Outcome::refused(rc::NODE);
    }
    let note = format!("uid {uid} changed {} node(s): {}", seen.len(), update.node_names.lossy());
    outcome.effects.push(Effect::Note(note));
    outcome
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
        record.reason = update.reason.bytes().to_vec();
        record.reason_uid = uid;
        record.reason_time = now;
    }
    for (text, field) in
        [(&update.comment, &mut record.comment), (&update.extra, &mut record.extra)]
    {
        if !text.is_none() {
            *field = text.bytes().to_vec();
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
        (record.reason, record.reason_uid, record.reason_time) = (Vec::new(), u32::UNSET, 0);
    }
}

#[cfg(test)]
mod tests;
