//! Who may extend the log. The store asks between the flush of a group and its
//! acknowledgement, and before every other effect that a successor could see.
//!
//! Invariant: no save is acknowledged, no snapshot published and no file deleted unless
//! [`Authority::confirm`] has returned `Ok` after the bytes in question were flushed.

use crate::base::{Epoch, Lsn};

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
}

/// The writer's epoch has ended: somebody else may extend the log now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("epoch {own} has ended{}", .current.map_or(String::new(), |e| format!(": {e} reigns")))]
pub struct Fenced {
    /// The epoch that asked.
    pub own: Epoch,
    /// The epoch that reigns, where it is known.
    pub current: Option<Epoch>,
}

/// The right to write one state directory.
pub trait Authority: Send + Sync {
    /// The epoch that this authority was granted for `cluster`, or `None` where the store may
    /// take 1 + the greatest epoch it has seen (a directory that only this host can write).
    fn epoch(&self) -> Option<Epoch> {
        None
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
