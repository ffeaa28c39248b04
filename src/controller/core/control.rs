//! What users change of their jobs: cancel, change, requeue, suspend.

use crate::controller::core::{Outcome, Who, World};
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::tables::{JobDesc, KillRequest, Requeue, Suspend, TopJob};

/// Signals or cancels jobs.
pub fn kill(_world: World<'_>, _request: &KillRequest, _who: &Who) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}

/// Changes jobs.
pub fn update(_world: World<'_>, _desc: &JobDesc, _who: &Who) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}

/// Queues jobs again.
pub fn requeue(_world: World<'_>, _request: &Requeue, _who: &Who) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}

/// Stops jobs for a while, or lets them go on.
pub fn suspend(_world: World<'_>, _request: &Suspend, _who: &Who) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}

/// Makes jobs the first of their user.
pub fn top(_world: World<'_>, _request: &TopJob, _who: &Who) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}
