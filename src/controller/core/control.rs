//! What users and administrators do with jobs: cancel and signal, change, hold and release, queue
//! again, stop and continue, bring to the top.
//!
//! - [`targets`]: which records a request means: `17`, `12_3`, `12_[1-4,9]`, `12_*`.
//! - [`edit`]: the changes of one command, and what is answered about each part of an array.
//! - the others: one kind of request each.
//!
//! Invariants: nobody but its owner and administrators changes a job; a part of a request that is
//! refused changes nothing, and the parts of an array are answered one by one; a job that is not
//! named does not change; jobs end and wait again by [`ending`](super::ending) alone.

mod edit;
mod kill;
mod requeue;
mod suspend;
mod targets;
mod top;
mod update;

pub use kill::kill;
pub use requeue::requeue;
pub use suspend::suspend;
pub use top::top;
pub use update::update;

use crate::controller::core::Who;
use crate::controller::job::Job;
use crate::slurm::wire::Unset;

/// Whether somebody may do anything with a job.
fn may(who: &Who, job: &Job) -> bool {
    who.admin || (!who.uid.is_unset() && who.uid == job.spec.user_id)
}

#[cfg(test)]
mod tests;
