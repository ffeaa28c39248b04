//! slurm.conf was read: what is kept of the state, and what gives way to the file.
//!
//! The table of docs/operations.md ("Which of slurm.conf and the state counts") is this file and
//! [`partitions::reread`]. At the start everything that was changed counts; when the file is read
//! again, less of it does. Both times the jobs on nodes that are gone from the file have lost these
//! nodes, as if they had failed: nobody would ever say that they are done.

use crate::controller::core::agents::empty;
use crate::controller::core::draft::Draft;
use crate::controller::core::{Effect, Outcome, World, partitions, signals};
use crate::controller::state::Change;
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::{Message, Text};
use std::collections::HashSet;

/// slurm.conf was read, at the start or again.
pub fn read(world: World<'_>, again: bool) -> Outcome {
    let mut draft = Draft::new(world);
    if !again {
        signals::forget(&mut draft);
    } else {
        partitions::reread(world).into_iter().for_each(|change| draft.put(change));
        as_in_file(world).into_iter().for_each(|change| draft.put(change));
    }
    for name in gone(world) {
        draft.note(format!("node {name} is not in slurm.conf any more: what ran there is lost"));
        empty(&mut draft, &name);
    }
    draft.effect(Effect::Schedule);
    draft.outcome(Message::code(rc::OK))
}

/// Features and weights are slurm.conf's again. State, reason, comment and extra stay.
fn as_in_file(world: World<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, record) in &world.state.nodes {
        let mut record = record.clone();
        (record.features, record.features_act) = (Text::NONE, Text::NONE);
        record.weight = 0;
        if record != world.state.nodes[name] {
            changes.push(Change::Node(name.clone(), record));
        }
    }
    changes
}

/// Nodes on which there are jobs and which are not in the file, in the order of their names.
fn gone(world: World<'_>) -> Vec<String> {
    let known: HashSet<&str> = world.conf.nodes.iter().map(|node| node.name.as_str()).collect();
    let used = world.state.loads.keys().map(|name| name.lossy().into_owned());
    let mut gone: Vec<String> = used.filter(|name| !known.contains(name.as_str())).collect();
    gone.sort_unstable();
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::core::{Command, Who, apply, known};
    use crate::controller::job::{Course, Job, Share, unbegun};
    use crate::controller::state::State;
    use crate::slurm::conf::Conf;
    use crate::slurm::wire::constants::{job, node};
    use crate::slurm::wire::tables::{JobDesc, UpdateNode};
    use crate::slurm::wire::{Bits, Field};
    use std::path::Path;
    use std::sync::Arc;

    fn conf(nodes: &str) -> Conf {
        let text = format!(
            "ClusterName=c\nSlurmctldHost=localhost\nNodeName={nodes} Feature=a Weight=3\n\
             PartitionName=p Nodes=ALL\n"
        );
        Conf::read(Path::new("/x"), &mut |_| Ok(text.clone())).unwrap()
    }

    fn does(conf: &Conf, state: &mut State, command: &Command) {
        let outcome = apply(World { conf, state, now: 9 }, command);
        assert_eq!(outcome.reply, Message::code(rc::OK));
        outcome.changes.into_iter().for_each(|change| state.take(change));
    }

    fn runs(state: &mut State, id: u32, nodes: &[&str], requeue: u16) {
        let share = |node: &&str| {
            let cores = Bits::from_set(1, [0]);
            Share { node: (*node).into(), cpus: 1, memory: 0, cores }
        };
        let shares: Vec<Share> = nodes.iter().map(share).collect();
        let batch_host = nodes[0].into();
        let course = Course { state: job::RUNNING, shares, batch_host, ..unbegun() };
        let mut spec = JobDesc::unset();
        (spec.requeue, spec.kill_on_node_fail, spec.partition) = (requeue, 1, "p".into());
        state.take(Change::Job(Arc::new(Job { id, spec: Arc::new(spec), course })));
    }

    #[test]
    fn what_was_said_of_a_node_stays_and_its_features_and_weight_are_the_files_again() {
        let (conf, mut state) = (conf("n[1-2]"), State::default());
        let update = UpdateNode {
            node_names: "n1".into(),
            node_state: node::DRAIN,
            reason: "fan".into(),
            comment: "c".into(),
            features: "b".into(),
            weight: 9,
            ..UpdateNode::default()
        };
        let who = Who { admin: true, ..Who::default() };
        does(&conf, &mut state, &Command::UpdateNodes { update: Box::new(update), who });
        let changed = state.clone();
        does(&conf, &mut state, &Command::Read { again: false });
        assert_eq!(state, changed, "a start changes nothing");
        does(&conf, &mut state, &Command::Read { again: true });
        let (now, before) = (&state.nodes["n1"], &changed.nodes["n1"]);
        assert_eq!(
            (now.state, &now.reason, &now.comment),
            (before.state, &before.reason, &before.comment,)
        );
        assert!(now.features.is_none() && now.weight == 0);
    }

    #[test]
    fn a_node_that_left_the_file_takes_its_jobs_with_it_and_is_known_when_it_comes_back() {
        for again in [false, true] {
            let (before, mut state) = (conf("n[1-2]"), State::default());
            let record = known(&state, &before.nodes[1]);
            let drained = node::DRAIN | record.state;
            state.nodes.insert(
                "n2".into(),
                crate::controller::node::NodeRecord { state: drained, ..record },
            );
            runs(&mut state, 1, &["n1"], 1);
            runs(&mut state, 2, &["n1", "n2"], 1);
            runs(&mut state, 3, &["n2"], 0);
            let after = conf("n1");
            does(&after, &mut state, &Command::Read { again });
            let state_of = |id: u32| state.job(id).unwrap().course.state;
            assert_eq!(state_of(1), job::RUNNING);
            assert_eq!(state_of(2), job::PENDING | job::COMPLETING, "n1 has still to end it");
            assert_eq!(state_of(3), job::NODE_FAIL);
            assert!(!state.loads.contains_key(&Text::from("n2")));
            assert_eq!(known(&state, &before.nodes[1]).state, drained);
        }
    }
}
