//! Who may extend the log. The store asks between the flush of a group and its
//! acknowledgement, and before every other effect that a successor could see.
//!
//! Invariant: no save is acknowledged, no snapshot published and no file deleted unless
//! [`Authority::confirm`] has returned `Ok` after the bytes in question were flushed.

use crate::base::{Epoch, Lsn};
use std::fmt;
use std::sync::Arc;

/// What the store is about to make true, and asks leave for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Everything up to this LSN is flushed here and is about to be acknowledged. One answer
    /// covers all groups flushed before it was asked for.
    Acknowledge(Lsn),
    /// A snapshot at this LSN is about to be published.
    Publish(Lsn),
    /// A new segment is about to be used.
    Rotate,
    /// Superseded files are about to be deleted.
    Delete,
    /// The history up to this LSN is sealed, durably, and about to be vouched for and served.
    Serve(Lsn),
}

/// The writer's epoch has ended, or nobody can tell: somebody else may extend the log now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fenced {
    /// The epoch that asked.
    pub own: Epoch,
    /// The epoch that reigns, where it is known.
    pub current: Option<Epoch>,
    /// The host that holds it, where that is known; or why nobody can tell.
    pub by: Option<Arc<str>>,
}

impl Fenced {
    /// `own` has ended because `current` reigns.
    #[must_use]
    pub fn new(own: Epoch, current: Option<Epoch>) -> Fenced {
        Fenced { own, current, by: None }
    }
}

impl fmt::Display for Fenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.own;
        match (self.current, &self.by) {
            (Some(epoch), Some(host)) => {
                write!(f, "deposed by epoch {epoch} of {host} (own epoch {own})")
            }
            (Some(epoch), None) => write!(f, "epoch {own} has ended: {epoch} reigns"),
            (None, Some(why)) => write!(f, "cannot tell whether epoch {own} still reigns: {why}"),
            (None, None) => write!(f, "epoch {own} has ended"),
        }
    }
}

/// The right to write one state directory.
pub trait Authority: Send + Sync {
    /// The epoch that this authority was granted for `cluster`, or `None` where the store may
    /// take 1 + the greatest epoch it has seen (a directory that only this host can write).
    fn epoch(&self) -> Option<Epoch> {
        None
    }

    /// Whether several hosts may write the directory, each in epochs that a register grants. The
    /// log is then not locked; what only one writer may touch carries its epoch in its name.
    fn shared(&self) -> bool {
        false
    }

    /// Whether [`Authority::confirm`] may wait for others: a disk, a peer, a clock. Groups are then
    /// confirmed by a thread of their own, one answer for all that were flushed meanwhile.
    fn may_wait(&self) -> bool {
        true
    }

    /// Called between a flush and its acknowledgement, and before other effects. May block: that
    /// holds back acknowledgements, while later groups are flushed already.
    ///
    /// # Errors
    /// [`Fenced`]: nothing from this writer may be acknowledged any more; the store is poisoned.
    fn confirm(&self, epoch: Epoch, point: Point) -> Result<(), Fenced>;
}

/// The authority of a directory that one host can write: the lock and the control file suffice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl Authority for Local {
    fn may_wait(&self) -> bool {
        false
    }

    fn confirm(&self, _epoch: Epoch, _point: Point) -> Result<(), Fenced> {
        Ok(())
    }
}
