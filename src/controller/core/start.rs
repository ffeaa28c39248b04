//! Jobs start.

use crate::controller::core::{Outcome, Start, World};
use crate::slurm::wire::constants::rc;

/// Starts a job, if it still waits and the room is still free.
pub fn start(_world: World<'_>, _start: &Start) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}
