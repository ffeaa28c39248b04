//! slurm.conf was read: what is kept of the state, and what gives way to the file.
//!
//! The table of docs/operations.md ("Which of slurm.conf and the state counts") is this file and
//! [`partitions::reread`].

use crate::controller::core::{Effect, Outcome, World, partitions};

/// At the start everything that was changed counts; when the file is read again, less of it does.
pub fn read(world: World<'_>, again: bool) -> Outcome {
    let changes = if again { partitions::reread(world) } else { Vec::new() };
    Outcome::done(changes, vec![Effect::Schedule])
}
