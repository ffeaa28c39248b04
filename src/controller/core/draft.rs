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
use std::collections::HashMap;
use std::sync::Arc;

/// Changes and effects that have been decided.
pub struct Draft<'a> {
    /// The configuration.
    pub conf: &'a Conf,
    /// Now.
    pub now: i64,
    /// The state with the changes.
    pub state: State,
    /// In the order in which they were made; those that came to nothing are gone.
    changes: Vec<Option<Change>>,
    /// Where the last change of an entry is.
    places: HashMap<Entry, usize>,
    effects: Vec<Effect>,
}

/// What is changed once at most.
#[derive(PartialEq, Eq, Hash)]
enum Entry {
    Node(String),
    Job(u32),
    NextId,
    Unseen,
    Origin,
}

fn entry(change: &Change) -> Option<Entry> {
    match change {
        Change::Node(name, _) => Some(Entry::Node(name.clone())),
        Change::Job(job) => Some(Entry::Job(job.id)),
        Change::NextId(_) => Some(Entry::NextId),
        Change::Unseen(..) => Some(Entry::Unseen),
        Change::Origin(_) => Some(Entry::Origin),
        _ => None,
    }
}

impl<'a> Draft<'a> {
    /// Nothing has been decided.
    #[must_use]
    pub fn new(world: World<'a>) -> Draft<'a> {
        let World { conf, state, now } = world;
        let (changes, places, effects) = (Vec::new(), HashMap::new(), Vec::new());
        Draft { conf, now, state: state.clone(), changes, places, effects }
    }

    /// What the next decision rests on.
    #[must_use]
    pub fn world(&self) -> World<'_> {
        World { conf: self.conf, state: &self.state, now: self.now }
    }

    /// A change. It costs the same, however many there are.
    pub fn put(&mut self, change: Change) {
        self.state.take(change.clone());
        let at = self.changes.len();
        if let Some(before) = entry(&change).and_then(|entry| self.places.insert(entry, at)) {
            self.changes[before] = None;
        }
        self.changes.push(Some(change));
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
        let changes = self.changes.into_iter().flatten().collect();
        Outcome { changes, reply, effects: self.effects }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::job::unbegun;
    use crate::slurm::wire::Field;
    use crate::slurm::wire::tables::JobDesc;
    use std::path::Path;

    #[test]
    fn an_entry_is_changed_once_and_the_last_change_counts() {
        let text = "ClusterName=c\nSlurmctldHost=localhost\nNodeName=n\nPartitionName=p Nodes=n\n";
        let conf = Conf::read(Path::new("/x"), &mut |_| Ok(text.to_owned())).unwrap();
        let state = State::default();
        let mut draft = Draft::new(World { conf: &conf, state: &state, now: 1 });
        let job = |id, priority| {
            let course = crate::controller::job::Course { priority, ..unbegun() };
            Change::Job(Arc::new(Job { id, spec: Arc::new(JobDesc::unset()), course }))
        };
        let node =
            |state| Change::Node("n".to_owned(), NodeRecord { state, ..NodeRecord::default() });
        for change in [job(1, 1), node(1), Change::ForgetScript(7), job(2, 1), Change::NextId(3)] {
            draft.put(change);
        }
        for change in [job(1, 2), Change::ForgetScript(7), node(2), Change::NextId(4)] {
            draft.put(change);
        }
        assert_eq!(draft.state.job(1).unwrap().course.priority, 2);
        let wanted = [
            Change::ForgetScript(7),
            job(2, 1),
            job(1, 2),
            Change::ForgetScript(7),
            node(2),
            Change::NextId(4),
        ];
        assert_eq!(draft.outcome(Message::code(0)).changes, wanted);
    }
}
