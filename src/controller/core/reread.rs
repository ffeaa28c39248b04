//! slurm.conf was read: what is kept of the state, and what gives way to the file.
//!
//! The table of docs/operations.md ("Which of slurm.conf and the state counts") is this file and
//! [`partitions::reread`].

use crate::controller::core::{Effect, Outcome, World, partitions};
use crate::controller::state::Change;
use crate::slurm::wire::{Text, Unset};

/// At the start everything that was changed counts; when the file is read again, less of it does.
pub fn read(world: World<'_>, again: bool) -> Outcome {
    let mut changes = Vec::new();
    if again {
        changes.extend(partitions::reread(world));
        changes.extend(as_in_file(world));
    }
    Outcome::done(changes, vec![Effect::Schedule])
}

/// Features and weights are slurm.conf's again. State, reason, comment and extra stay.
fn as_in_file(world: World<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, record) in &world.state.nodes {
        let mut record = record.clone();
        (record.features, record.features_act) = (Text::NONE, Text::NONE);
        record.weight = u32::UNSET;
        if record != world.state.nodes[name] {
            changes.push(Change::Node(name.clone(), record));
        }
    }
    changes
}
