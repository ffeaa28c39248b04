//! What deposed primaries wrote behind their seals: saves that nobody acknowledged.
//!
//! Invariant: nothing here is part of the history, and nothing of it is damage. It stays for as
//! long as its segment does, and is counted and listed for who wants to know what a client that
//! got no answer had asked for.

use crate::base::{Epoch, Lsn};
use crate::disk::Disk;
use crate::format::Kind;
use crate::format::segment::FIRST_GROUP;
use crate::log::{Groups, Payload};
use crate::store::directory::{Directory, SegmentFacts};
use crate::store::follow::Saved;
use crate::store::lineage::{self, Orphaned, Segment};
use crate::store::walk::Seals;
use std::cmp::Ordering;
use std::io;
use std::sync::Arc;

/// A tail of a segment that no later epoch goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The segment.
    pub file: String,
    /// Whose it is.
    pub epoch: Epoch,
    /// Where it begins.
    pub offset: u64,
    /// Whole groups in it.
    pub groups: u64,
    /// Saves in these.
    pub saves: u64,
    /// The LSN that its first save would have had.
    pub first_lsn: Lsn,
    /// Bytes that the groups take.
    pub bytes: u64,
}

/// The orphans in `disk`, in order.
///
/// # Errors
/// Those of the file system.
pub fn orphans_on(disk: &dyn Disk) -> io::Result<Vec<Orphan>> {
    let directory = Directory::read(disk)?;
    let seals = Seals::of(&directory);
    let mut found = Vec::new();
    for facts in directory.segments.values() {
        if let Some(from) = begins(facts, &seals) {
            found.extend(tail(disk, facts, from)?);
        }
    }
    Ok(found)
}

/// The last LSN of an epoch that has ended, as the seal of a later one says; `None`: none speaks of
/// it.
///
/// # Errors
/// Those of the file system.
pub fn sealed_on(disk: &dyn Disk, epoch: Epoch) -> io::Result<Option<Lsn>> {
    let directory = Directory::read(disk)?;
    Ok(Seals::of(&directory).end_of(epoch).map(|seal| seal.lsn))
}

/// The saves of an orphan, in order: what somebody asked for and was never told to be done.
///
/// # Errors
/// `NotFound` where its segment has gone meanwhile, and others of the file system.
pub fn orphaned_on(disk: &dyn Disk, orphan: &Orphan) -> io::Result<Vec<Saved>> {
    let directory = Directory::read(disk)?;
    let mut segments = directory.segments.values();
    let gone = || io::Error::new(io::ErrorKind::NotFound, format!("{} is gone", orphan.file));
    let facts = segments.find(|facts| facts.name() == orphan.file).ok_or_else(gone)?;
    let header = facts.header.map_err(io::Error::other)?;
    let mut groups = Groups::new(facts.open(disk)?, header, orphan.offset);
    let mut saves = Vec::new();
    for _ in 0..orphan.groups {
        let Ok(header) = groups.look() else { break };
        let group = groups.take();
        if header.kind == Kind::Saves {
            let payload = Arc::new(Payload::Copy(group.payload().to_vec()));
            saves.extend(Saved::of(&header, &payload).map_err(io::Error::other)?);
        }
    }
    Ok(saves)
}

/// Where the part of a segment begins that lies behind its epoch's seal, or off the history.
fn begins(facts: &SegmentFacts, seals: &Seals) -> Option<u64> {
    // Without the newest seal nobody can tell.
    if !seals.tied() {
        return None;
    }
    let seal = seals.end_of(facts.id.epoch);
    let segment = match seal.map(|seal| facts.id.cmp(&seal.segment)) {
        Some(Ordering::Less) | None => Segment::Earlier,
        Some(Ordering::Equal) => Segment::Holds,
        Some(Ordering::Greater) => Segment::Later,
    };
    match lineage::tail(seals.era(facts.id.epoch), segment) {
        Orphaned::Nothing => None,
        Orphaned::BehindSeal => seal.map(|seal| seal.offset),
        Orphaned::Whole => Some(FIRST_GROUP),
    }
}

fn tail(disk: &dyn Disk, facts: &SegmentFacts, from: u64) -> io::Result<Option<Orphan>> {
    let Ok(header) = facts.header else { return Ok(None) };
    let file = match facts.open(disk) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut groups = Groups::new(file, header, from);
    let mut orphan: Option<Orphan> = None;
    while let Ok(group) = groups.look() {
        groups.pass();
        let orphan = orphan.get_or_insert_with(|| Orphan {
            file: facts.name(),
            epoch: facts.id.epoch,
            offset: from,
            groups: 0,
            saves: 0,
            first_lsn: group.first_lsn,
            bytes: 0,
        });
        orphan.groups += 1;
        orphan.saves += u64::from(group.saves);
        orphan.bytes += group.disk_len();
    }
    Ok(orphan)
}
