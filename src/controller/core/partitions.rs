//! What an operator changes of partitions, and what a partition is.

use crate::controller::core::{Outcome, Who, World};
use crate::controller::state::State;
use crate::slurm::conf::{Conf, Partition};
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::tables::{DeletePartition, UpdatePartition};

/// All partitions, as they are now: slurm.conf's, and what operators changed since.
#[must_use]
pub fn current(conf: &Conf, _state: &State) -> Vec<Partition> {
    conf.partitions.clone()
}

/// Changes a partition.
pub fn update(_world: World<'_>, _update: &UpdatePartition, _who: &Who) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}

/// Makes a partition.
pub fn create(_world: World<'_>, _update: &UpdatePartition, _who: &Who) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}

/// Removes a partition.
pub fn delete(_world: World<'_>, _request: &DeletePartition, _who: &Who) -> Outcome {
    Outcome::refused(rc::UNSUPPORTED)
}
