//! Jobs start.

use crate::controller::core::{Outcome, Start, World};
use crate::slurm::wire::Text;
use crate::slurm::wire::constants::rc;

/// Starts a job, if it still waits and the room is still free.
pub fn start(_world: World<'_>, _start: &Start) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}

/// An agent has answered a launch.
pub fn launched(
    _world: World<'_>,
    _job: u32,
    _launch: u32,
    _node: &Text,
    _code: Option<u32>,
) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}
