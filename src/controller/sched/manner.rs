//! How jobs use their nodes beside others, as their partition's OverSubscribe and their own request
//! have it.
//!
//! | OverSubscribe | nothing asked | `--exclusive` | `--oversubscribe` |
//! |---|---|---|---|
//! | EXCLUSIVE | whole nodes | whole nodes | whole nodes |
//! | NO | cores of its own | whole nodes | cores of its own |
//! | YES:n | cores of its own | whole nodes | cores of up to n jobs |
//! | FORCE:n | cores of up to n jobs | all cores of nodes, each of up to n jobs | as nothing asked |
//!
//! With select/linear it is nodes instead of cores, and FORCE:1 is NO.
//!
//! Invariants: jobs that share cores are never on a node with jobs that do not, and a core has as
//! many jobs of one partition as its OverSubscribe says, at most.

use crate::controller::job::Job;
use crate::controller::sched::layout::{Layout, Queue};
use crate::slurm::wire::tables::JobDesc;

/// In `max_share`: jobs share whether they want to or not.
const FORCE: u16 = 0x8000;
/// In `shared`: the nodes are for this job alone.
const ALONE: u16 = 0;
/// In `shared`: others may have the same cores.
const OVERSUBSCRIBE: u16 = 1;
/// In `shared`: the nodes are for this user alone.
pub const USER: u16 = 2;

/// How a job uses its nodes' cores beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manner {
    /// Nobody else is on its nodes.
    Reserved,
    /// Nobody else has its cores.
    Own,
    /// Others may have its cores, too.
    Shared,
}

impl Manner {
    /// Of a job with that `shared` in a partition with that `max_share`.
    #[must_use]
    pub fn of(linear: bool, max_share: u16, shared: u16) -> Manner {
        let (force, jobs) = (max_share & FORCE != 0, max_share & !FORCE);
        match (max_share, linear) {
            (0, _) => Manner::Reserved,
            _ if force && (jobs > 1 || !linear) => Manner::Shared,
            _ if jobs > 1 && shared == OVERSUBSCRIBE => Manner::Shared,
            (_, true) => Manner::Reserved,
            (_, false) => Manner::Own,
        }
    }

    /// Of a job in a queue.
    #[must_use]
    pub fn in_queue(queue: &Queue, spec: &JobDesc) -> Manner {
        Manner::of(queue.select.whole, queue.partition.max_share, spec.shared)
    }

    /// Of a job that has nodes; its partition may be gone.
    #[must_use]
    pub fn of_job(layout: &Layout, job: &Job) -> Manner {
        let queue = layout.queue(&job.course.partition);
        queue.map_or(Manner::Own, |at| Manner::in_queue(&layout.queues[at], &job.spec))
    }
}

/// Whether a job in a partition gets whole nodes.
#[must_use]
pub fn whole_nodes(linear: bool, max_share: u16, shared: u16) -> bool {
    linear || max_share == 0 || shared == ALONE
}

/// How many jobs of a partition may have one core, or with select/linear one node.
#[must_use]
pub fn rows(max_share: u16) -> u32 {
    u32::from(max_share & !FORCE).max(1)
}

/// Whether a job has its nodes for its user alone.
#[must_use]
pub fn for_user(queue: Option<&Queue>, spec: &JobDesc) -> bool {
    spec.shared == USER || queue.is_some_and(|queue| queue.partition.exclusive_user)
}
