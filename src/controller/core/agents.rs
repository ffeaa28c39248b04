//! What agents report: registrations, silence, the ends of jobs.

use crate::controller::core::{Outcome, World};
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::tables::{BatchDone, EpilogDone, Registration};

/// A node registers.
pub fn register(_world: World<'_>, _registration: &Registration, _heard: i64) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}

/// Nodes that were silent have answered.
pub fn answered(_world: World<'_>, _nodes: &[String]) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}

/// Nodes have not answered.
pub fn silent(_world: World<'_>, _nodes: &[String], _down: bool) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}

/// A batch script has ended.
pub fn batch_done(_world: World<'_>, _done: &BatchDone) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}

/// A node has nothing left of a job.
pub fn epilog_done(_world: World<'_>, _done: &EpilogDone) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}
