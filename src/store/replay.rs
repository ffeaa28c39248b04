//! A state put together outside of a directory: a snapshot, and the groups that follow it.
//!
//! Invariants:
//! - a group is applied only if it links to what came before, by LSN and chain;
//! - memory is what [`Replay::change_bytes`] says: whoever puts the state down in a snapshot gives
//!   it back by [`Replay::rest_on`].

use crate::base::{Chain, Lsn, Nanos};
use crate::format::{Group, Kind, Ops};
use crate::log::Payload;
use crate::snapshot::Snapshot;
use crate::store::history::At;
use crate::store::runs::Change;
use crate::store::state::View;
use std::sync::Arc;

/// Memory that an op takes, besides its group: twice while runs of changes become one.
const OP_BYTES: u64 = 2 * size_of::<Change>() as u64;

/// Why a group is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It is not the one that follows.
    #[error("the group at lsn {found} does not follow lsn {after}")]
    Link {
        /// The last LSN before it.
        after: Lsn,
        /// The first one in it.
        found: Lsn,
    },
    /// One of its ops makes no sense.
    #[error("an op of save {0} has an impossible value")]
    Op(Lsn),
}

/// A state that grows by groups.
#[derive(Debug)]
pub struct Replay {
    view: View,
    chain: Chain,
    target: Option<At>,
    reached: bool,
    /// Whether changes are kept, and not only looked at.
    keeps: bool,
    change_bytes: u64,
}

impl Replay {
    /// Begins with a snapshot, or with the empty state; goes up to `target`, or as far as there are
    /// groups.
    #[must_use]
    pub fn new(base: Option<Arc<Snapshot>>, target: Option<At>) -> Replay {
        let (lsn, time, chain) = base.as_ref().map_or_else(Default::default, |base| {
            let header = base.header();
            (header.lsn, header.time, header.chain)
        });
        let view = View { base, lsn, time, ..View::default() };
        let reached = matches!(target, Some(At::Lsn(wanted)) if lsn >= wanted);
        Replay { view, chain, target, reached, keeps: true, change_bytes: 0 }
    }

    /// As [`Replay::new`], only to see whether the groups make a history, and where it ends:
    /// nothing is kept of them, and the view at the end is no state.
    #[must_use]
    pub fn only_looking(base: Option<Arc<Snapshot>>, target: Option<At>) -> Replay {
        Replay { keeps: false, ..Replay::new(base, target) }
    }

    /// Applies what the target wants of the next group. Returns whether the target is reached, so
    /// that later groups are not wanted.
    ///
    /// # Errors
    /// [`ReplayError`]; the state is then of no use.
    pub fn group(&mut self, group: &Group<'_>) -> Result<bool, ReplayError> {
        if self.reached {
            return Ok(true);
        }
        let header = &group.header;
        if header.first_lsn != self.view.lsn.next() || header.prev != self.chain {
            return Err(ReplayError::Link { after: self.view.lsn, found: header.first_lsn });
        }
        if matches!(self.target, Some(At::Time(time)) if header.time > time) {
            self.reached = true;
            return Ok(true);
        }
        if header.kind == Kind::Saves {
            self.apply(group)?;
        }
        self.view.time = self.view.time.max(header.time);
        self.reached = matches!(self.target, Some(At::Lsn(wanted)) if self.view.lsn >= wanted);
        self.chain = if self.view.lsn == header.last_lsn() {
            group.link()
        } else {
            // Within a group the history has no link: this one is no other history's.
            Chain::of(group.link().0.as_slice(), &self.view.lsn.0.to_le_bytes())
        };
        Ok(self.reached)
    }

    fn apply(&mut self, group: &Group<'_>) -> Result<(), ReplayError> {
        let holder = self.keeps.then(|| Arc::new(Payload::Copy(group.payload().to_vec())));
        let mut rest = holder.as_ref().map_or(group.payload(), |holder| &***holder);
        let mut ops_taken = 0;
        for _ in 0..group.header.saves {
            if matches!(self.target, Some(At::Lsn(wanted)) if self.view.lsn >= wanted) {
                break;
            }
            let lsn = self.view.lsn.next();
            let (ops, after) = Ops::split(rest).map_err(|_| ReplayError::Op(lsn))?;
            if ops.clone().any(|op| op.is_err()) {
                return Err(ReplayError::Op(lsn));
            }
            ops_taken += ops.clone().count() as u64;
            if let Some(holder) = &holder {
                self.view.active.apply_ops(holder, ops);
            }
            self.view.lsn = lsn;
            rest = after;
        }
        if self.keeps {
            self.view.active.count_bytes(group.payload().len() as u64);
            self.change_bytes += group.payload().len() as u64 + ops_taken * OP_BYTES;
        }
        Ok(())
    }

    /// Bytes of memory that the changes since the base take, at most.
    #[must_use]
    pub fn change_bytes(&self) -> u64 {
        self.change_bytes
    }

    /// Bytes of the snapshot that it rests on.
    #[must_use]
    pub fn base_bytes(&self) -> u64 {
        self.view.base.as_ref().map_or(0, |base| base.header().file_len())
    }

    /// The state so far.
    pub fn view(&mut self) -> &View {
        self.view.active.settle();
        &self.view
    }

    /// Goes on from `base`, which holds the state so far: nothing of it stays in memory.
    ///
    /// # Panics
    /// If that is the state of another LSN.
    pub fn rest_on(&mut self, base: Arc<Snapshot>) {
        assert_eq!(base.header().lsn, self.view.lsn, "the state so far");
        let (lsn, time) = (self.view.lsn, self.view.time);
        self.view = View { base: Some(base), lsn, time, ..View::default() };
        self.change_bytes = 0;
    }

    /// The LSN so far.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.view.lsn
    }

    /// The time of the last group so far.
    #[must_use]
    pub fn time(&self) -> Nanos {
        self.view.time
    }

    /// The chain so far.
    #[must_use]
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// The state.
    #[must_use]
    pub fn into_view(mut self) -> View {
        self.view.active.settle();
        self.view
    }
}
