//! What a submitted job comes to.

use crate::controller::core::{Outcome, Who, World};
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::tables::JobDesc;

/// Accepts a batch job, or says why not.
pub fn submit(_world: World<'_>, _desc: &JobDesc, _who: &Who, _request: &[u8]) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}
