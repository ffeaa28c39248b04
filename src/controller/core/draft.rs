//! What a command comes to, in the making: a state that already has the changes decided so far, so
//! that the next decision rests on them.
//!
//! Invariants: each entry is changed at most once in the end; what [`Draft::state`] shows is the
//! state that the changes lead to.

use crate::controller::core::{Effect, Outcome, World};
use crate::controller::job::Job;
use crate::controller::node::NodeRecord;
use crate::controller::state::{Change, State};
use crate::slurm::conf::{Conf, Node};
use crate::slurm::wire::Message;
use std::sync::Arc;

/// Changes and effects that have been decided.
pub struct Draft<'a> {
    /// The configuration.
    pub conf: &'a Conf,
    /// Now.
    pub now: i64,
    /// The state with the changes.
    pub state: State,
    changes: Vec<Change>,
    effects: Vec<Effect>,
}

/// Whether two changes are of the same entry.
fn same(a: &Change, b: &Change) -> bool {
    match (a, b) {
        (Change::Node(a, _), Change::Node(b, _)) => a == b,
        (Change::Job(a), Change::Job(b)) => a.id == b.id,
        (Change::NextId(_), Change::NextId(_))
        | (Change::Unseen(..), Change::Unseen(..))
        | (Change::Origin(_), Change::Origin(_)) => true,
        _ => false,
    }
}

impl<'a> Draft<'a> {
    /// Nothing has been decided.
    #[must_use]
    pub fn new(world: World<'a>) -> Draft<'a> {
        let World { conf, state, now } = world;
        Draft { conf, now, state: state.clone(), changes: Vec::new(), effects: Vec::new() }
    }

    /// What the next decision rests on.
    #[must_use]
    pub fn world(&self) -> World<'_> {
        World { conf: self.conf, state: &self.state, now: self.now }
    }

    /// A change.
    pub fn put(&mut self, change: Change) {
        self.state.take(change.clone());
        self.changes.retain(|other| !same(other, &change));
        self.changes.push(change);
    }

    /// A node is different.
    pub fn node(&mut self, of: &Node, record: NodeRecord) {
        if self.state.nodes.get(&of.name) != Some(&record) {
            self.put(Change::Node(of.name.clone(), record));
        }
    }

    /// A job goes on, as [`ending`](crate::controller::core::ending) decided.
    pub fn job(&mut self, (job, effects): (Arc<Job>, Vec<Effect>)) {
        self.put(Change::Job(job));
        self.effects.extend(effects);
    }

    /// Something to do.
    pub fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// A line in the log.
    pub fn note(&mut self, line: String) {
        self.effect(Effect::Note(line));
    }

    /// What the command comes to. The scheduler is told once.
    #[must_use]
    pub fn outcome(mut self, reply: Message) -> Outcome {
        let schedule = self.effects.contains(&Effect::Schedule);
        self.effects.retain(|effect| *effect != Effect::Schedule);
        self.effects.extend(schedule.then_some(Effect::Schedule));
        Outcome { changes: self.changes, reply, effects: self.effects }
    }
}
