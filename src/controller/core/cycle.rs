//! What time brings: limits, begin times, old jobs forgotten.

use crate::controller::core::{Outcome, World};
use crate::slurm::wire::constants::rc;

/// Does what is due.
pub fn tick(_world: World<'_>) -> Outcome {
    Outcome::refused(rc::OK)
}
