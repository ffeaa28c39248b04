//! What agents report, and that they are silent.
//!
//! - `registration`: what a node is, and whether it is fit for service.
//! - `reconcile`: the jobs that it has, against those that it should have.
//! - `liveness`: silent, answering, lost.
//! - `reports`: scripts that ended, epilogs that ran, launches that were answered.
//!
//! Invariants: what an agent reports about a job that has gone on meanwhile changes nothing; a
//! node's state is changed in one place each for drain and for loss ([`drain`], [`lost`]).

use crate::slurm::conf::{Conf, Node};

mod liveness;
mod reconcile;
mod registration;
mod reports;

pub use liveness::{answered, because, drain, empty, lost, may_return, silent, without};
pub use reconcile::patience as patience_of_launch;
pub use registration::register;
pub use reports::{batch_done, epilog_done, launched, not_launched};

/// A node of slurm.conf.
#[must_use]
pub fn node_of<'a>(conf: &'a Conf, name: &str) -> Option<&'a Node> {
    conf.nodes.iter().find(|node| node.name == name)
}

#[cfg(test)]
mod tests;
