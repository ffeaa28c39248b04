//! What reading a whole segment has shown: its groups are good, and these are their links.
//!
//! Links of groups can be computed apart from one another, so that segments are read in parallel,
//! each by one thread from front to back; whether one group leads to the next is then a matter of
//! comparing.
//!
//! Invariant: a proof is of a group that was whole with good checksums when it was read. Groups
//! never change, so it stays true for as long as the file does.

use crate::base::Chain;
use crate::disk::File;
use crate::format::segment::FIRST_GROUP;
use crate::format::{GroupHeader, SegmentHeader};
use crate::log::Groups;
use std::sync::Arc;

/// A good group.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// Where it stands.
    pub offset: u64,
    /// Its header.
    pub header: GroupHeader,
    /// The chain up to its end.
    pub link: Chain,
}

/// The good groups of a segment from its first one on, up to the first place where none stands.
#[derive(Clone, Debug, Default)]
pub struct Proofs(Vec<Proof>);

impl Proofs {
    /// Reads a segment.
    #[must_use]
    pub fn of(file: Arc<dyn File>, header: SegmentHeader) -> Proofs {
        let mut groups = Groups::new(file, header, FIRST_GROUP);
        let mut proofs = Vec::new();
        while let Ok(header) = groups.look() {
            let offset = groups.offset();
            let link = groups.take().link();
            proofs.push(Proof { offset, header, link });
        }
        Proofs(proofs)
    }

    /// The group at `offset`.
    #[must_use]
    pub fn at(&self, offset: u64) -> Option<&Proof> {
        let found = self.0.binary_search_by_key(&offset, |proof| proof.offset);
        found.ok().map(|at| &self.0[at])
    }
}
