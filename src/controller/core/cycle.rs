//! What time brings: limits, begin times, old jobs forgotten.

use crate::controller::core::{Outcome, World, purge};

/// Does what is due.
pub fn tick(world: World<'_>) -> Outcome {
    Outcome::done(purge::purge(world), Vec::new())
}
