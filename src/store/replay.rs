//! A state put together outside of a directory: a snapshot, and the groups that follow it.
//!
//! Invariant: a group is applied only if it links to what came before, by LSN and chain.

use crate::base::{Chain, Lsn, Nanos};
use crate::format::{Group, Kind, Ops};
use crate::log::Payload;
use crate::snapshot::Snapshot;
use crate::store::history::At;
use crate::store::state::View;
use std::sync::Arc;

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
        Replay { view, chain, target, reached }
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
        let holder = Arc::new(Payload::Copy(group.payload().to_vec()));
        let mut rest: &[u8] = &holder;
        for _ in 0..group.header.saves {
            if matches!(self.target, Some(At::Lsn(wanted)) if self.view.lsn >= wanted) {
                break;
            }
            let lsn = self.view.lsn.next();
            let (ops, after) = Ops::split(rest).map_err(|_| ReplayError::Op(lsn))?;
            if ops.clone().any(|op| op.is_err()) {
                return Err(ReplayError::Op(lsn));
            }
            self.view.active.apply_ops(&holder, ops);
            self.view.lsn = lsn;
            rest = after;
        }
        self.view.active.count_bytes(group.payload().len() as u64);
        Ok(())
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
