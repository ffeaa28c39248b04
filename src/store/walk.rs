//! Follows the one history through segments and epochs, group by group.
//!
//! Invariants: every group handed out links to the one before (chain, LSN); where two epochs hold
//! the same LSN the higher epoch wins, because the walk leaves an epoch where its seal says.

use crate::base::{Chain, Epoch, Lsn, SegmentId};
use crate::disk::Disk;
use crate::format::segment::FIRST_GROUP;
use crate::format::{FormatError, Group, GroupHeader, Seal, SnapshotHeader};
use crate::log::{Groups, Position, Stop};
use crate::store::decision::Stand;
use crate::store::directory::{Directory, SegmentFacts};
use crate::store::error::Found;
use crate::store::lineage::{self, Era, Link, Place};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io;

/// Where each epoch of the history ends and which segment goes on, from the newest start of an
/// epoch backwards. Epochs that are not on this path were never part of the history.
#[derive(Clone, Debug, Default)]
pub struct Seals {
    next: BTreeMap<(SegmentId, u64), (SegmentId, Seal)>,
    ends: BTreeMap<Epoch, Seal>,
    genesis: Option<SegmentId>,
    newest: Option<SegmentId>,
    /// The greatest epoch that has left a group or a finished snapshot.
    reached: Option<Epoch>,
}

impl Seals {
    /// Reads the path from the starts of epochs in `directory`.
    #[must_use]
    pub fn of(directory: &Directory) -> Seals {
        let starts: BTreeMap<Epoch, (SegmentId, Seal)> = directory
            .segments
            .values()
            .filter_map(|segment| Some((segment.id.epoch, (segment.id, segment.seal?))))
            .collect();
        let segments = directory.segments.values().filter(|segment| segment.first.is_some());
        let snapshots = directory.snapshots.iter().filter(|snapshot| snapshot.header.is_ok());
        let epochs = segments.map(|s| s.id.epoch).chain(snapshots.map(|s| s.epoch));
        let mut seals = Seals { reached: epochs.max(), ..Seals::default() };
        let mut at = starts.keys().next_back().copied();
        seals.newest = at.and_then(|epoch| starts.get(&epoch)).map(|(id, _)| *id);
        while let Some((id, seal)) = at.and_then(|epoch| starts.get(&epoch)) {
            if seal.segment.epoch.0 == 0 {
                seals.genesis = Some(*id);
                break;
            }
            // A seal points back in time: a file that says otherwise cannot make this loop.
            if seal.segment.epoch >= id.epoch {
                break;
            }
            seals.next.insert((seal.segment, seal.offset), (*id, *seal));
            seals.ends.insert(seal.segment.epoch, *seal);
            at = Some(seal.segment.epoch);
        }
        seals
    }

    /// The segment that the very first history starts in.
    #[must_use]
    pub fn genesis(&self) -> Option<SegmentId> {
        self.genesis
    }

    /// The segment that the newest epoch of the history starts in.
    #[must_use]
    pub fn newest(&self) -> Option<SegmentId> {
        self.newest
    }

    /// Where `epoch` was sealed, if it was.
    #[must_use]
    pub fn end_of(&self, epoch: Epoch) -> Option<&Seal> {
        self.ends.get(&epoch)
    }

    /// Whether it is known how far the history goes in `epoch`. A deletion that was cut short may
    /// have taken the start of a later epoch, and the seal in it: then what a deposed writer has
    /// left behind that seal cannot be told from history, nor can a torn tail from damage.
    #[must_use]
    pub fn bounds(&self, epoch: Epoch) -> bool {
        let sealed = self.tied() && self.ends.contains_key(&epoch);
        sealed || self.reached.is_none_or(|last| epoch >= last)
    }

    /// Whether the start of the last epoch is there: the seals then tell of the history.
    #[must_use]
    pub fn tied(&self) -> bool {
        self.newest.map(|newest| newest.epoch) >= self.reached
    }

    /// Whether a state of `epoch` at `lsn` can lie on the history.
    #[must_use]
    pub fn holds(&self, epoch: Epoch, lsn: Lsn) -> bool {
        let behind = self.ends.get(&epoch).is_some_and(|seal| lsn > seal.lsn);
        let place = if behind { Place::Behind } else { Place::Within };
        lineage::state(self.era(epoch), place)
    }

    /// What `epoch` is to the history.
    #[must_use]
    pub fn era(&self, epoch: Epoch) -> Era {
        let mut links = self.next.iter();
        if self.genesis.is_some_and(|first| epoch < first.epoch) {
            Era::Before
        } else if self.ends.contains_key(&epoch) {
            Era::Sealed
        } else if links.any(|((from, _), (to, _))| from.epoch < epoch && epoch < to.epoch) {
            Era::Skipped
        } else {
            match self.newest.map(|newest| epoch.cmp(&newest.epoch)) {
                Some(Ordering::Less) => Era::Older,
                Some(Ordering::Equal) => Era::Newest,
                Some(Ordering::Greater) | None => Era::Later,
            }
        }
    }

    /// Whether a snapshot lies on the history: as [`Seals::holds`], and where its epoch was sealed
    /// the log goes on from it within the sealed part, with the sealed chain at its end.
    #[must_use]
    pub fn accepts(&self, snapshot: &SnapshotHeader) -> bool {
        let against = |seal: &Seal| {
            let goes_on = (snapshot.resume, snapshot.resume_offset);
            let within = goes_on <= (seal.segment, seal.offset) && snapshot.lsn <= seal.lsn;
            let link = match (snapshot.lsn == seal.lsn, snapshot.chain == seal.chain) {
                (false, _) => Link::Apart,
                (true, true) => Link::Same,
                (true, false) => Link::Differs,
            };
            (if within { Place::Within } else { Place::Behind }, link)
        };
        let seal = self.ends.get(&snapshot.epoch);
        let (place, link) = seal.map_or((Place::Within, Link::Apart), against);
        lineage::snapshot(self.era(snapshot.epoch), place, link)
    }

    /// The segment in which the history goes on from `at`, where an epoch was sealed.
    pub(crate) fn jump(&self, at: &Position) -> Option<SegmentId> {
        let (next, seal) = self.next.get(&(at.segment, at.offset))?;
        (seal.lsn == at.lsn && seal.chain == at.chain).then_some(*next)
    }
}

/// What comes next.
#[derive(Debug)]
pub enum Walked {
    /// A group; [`Walk::group`] hands it out.
    Group(GroupHeader),
    /// Nothing that belongs to the history.
    End(Stand, Found),
}

/// A walk through the history.
#[derive(Debug)]
pub struct Walk<'a> {
    disk: &'a dyn Disk,
    directory: &'a Directory,
    seals: &'a Seals,
    at: Position,
    groups: Option<Groups>,
}

impl<'a> Walk<'a> {
    /// Starts after `at`.
    ///
    /// # Errors
    /// Those of the file system, when the segment is opened.
    pub fn new(
        disk: &'a dyn Disk,
        directory: &'a Directory,
        seals: &'a Seals,
        at: Position,
    ) -> io::Result<Walk<'a>> {
        let mut walk = Walk { disk, directory, seals, at, groups: None };
        walk.enter(at.segment, at.offset)?;
        Ok(walk)
    }

    /// The end of the last group handed out.
    #[must_use]
    pub fn position(&self) -> Position {
        self.at
    }

    /// The reader of the present segment, if it is there.
    pub fn groups(&mut self) -> Option<&mut Groups> {
        self.groups.as_mut()
    }

    /// Forgets what was read, so that the next step sees what a writer has added.
    pub fn refresh(&mut self) {
        if let Some(groups) = &mut self.groups {
            groups.refresh();
        }
    }

    /// Looks for the next group of the history.
    ///
    /// # Errors
    /// Those of the file system, when a segment is opened.
    pub fn step(&mut self) -> io::Result<Walked> {
        loop {
            if let Some(next) = self.seals.jump(&self.at) {
                self.enter(next, FIRST_GROUP)?;
                continue;
            }
            let (stand, found) = match self.groups.as_mut().map(Groups::look) {
                Some(Ok(header)) if self.links(&header) => return Ok(Walked::Group(header)),
                Some(Ok(_)) => (Stand::Written, Found::Bad(FormatError::Field("chain"))),
                Some(Err(Stop::Blank)) => (Stand::Blank, Found::Nothing),
                Some(Err(stop)) => (Stand::Written, stop.into()),
                None => self.without_reader(),
            };
            match self.successor() {
                Some(next) => self.enter(next, FIRST_GROUP)?,
                None => {
                    let (stand, found) = self.cut()?.unwrap_or((stand, found));
                    return Ok(Walked::End(stand, found));
                }
            }
        }
    }

    /// Hands out the group that [`Walk::step`] has found, moving past it.
    ///
    /// # Panics
    /// Without such a step before.
    pub fn group(&mut self) -> Group<'_> {
        let groups = self.groups.as_mut().expect("step has found a group");
        let header = groups.look().expect("step has found a group");
        let group = groups.take();
        self.at.offset += header.disk_len();
        self.at.lsn = header.last_lsn();
        self.at.time = header.time;
        self.at.chain = group.link();
        group
    }

    /// Moves past the group that [`Walk::step`] has found, where its saves are not wanted.
    ///
    /// # Panics
    /// As [`Walk::group`].
    pub fn pass(&mut self) {
        let groups = self.groups.as_mut().expect("step has found a group");
        let (header, link) = groups.pass();
        self.at.offset += header.disk_len();
        self.at.lsn = header.last_lsn();
        self.at.time = header.time;
        self.at.chain = link;
    }

    fn links(&self, header: &GroupHeader) -> bool {
        header.prev == self.at.chain && header.first_lsn == self.at.lsn.next()
    }

    fn without_reader(&self) -> (Stand, Found) {
        let header = self.directory.segments.get(&self.at.segment).map(|segment| segment.header);
        match header {
            // What leads here (a snapshot) was made after groups were written here, and those after
            // the first block: it was there.
            Some(Err(error)) => (Stand::Missing, Found::Bad(error)),
            Some(Ok(_)) | None => (Stand::Missing, Found::Missing),
        }
    }

    /// Where the present segment is shorter than when it was made, which was before its first group
    /// was written: what is lost with the rest, nobody can tell. Behind that length room is made as
    /// groups need it: a crash may take the new length, but not the group, if only padding of it
    /// stands behind the old one.
    fn cut(&self) -> io::Result<Option<(Stand, Found)>> {
        let Some(groups) = &self.groups else { return Ok(None) };
        let facts = self.directory.segments.get(&self.at.segment);
        let made = facts.and_then(|facts| facts.header.ok()).map_or(0, |h| h.prewritten);
        let len = groups.file().len()?;
        Ok((len < made).then_some((Stand::Missing, Found::Cut { len, made })))
    }

    /// The segment of the same epoch that goes on from here, after a rotation.
    fn successor(&self) -> Option<SegmentId> {
        let ordinal = self.at.segment.ordinal.checked_add(1)?;
        let from = SegmentId { ordinal, ..self.at.segment };
        let until = SegmentId { ordinal: u64::MAX, ..self.at.segment };
        let mut later = self.directory.segments.range(from..=until);
        later.find(|(_, segment)| self.starts(segment)).map(|(id, _)| *id)
    }

    /// Whether the history goes on at the start of `segment`: by the facts, or, where it was empty
    /// when they were gathered, by what a writer has put there since.
    fn starts(&self, segment: &SegmentFacts) -> bool {
        if let Some(first) = &segment.first {
            return self.links(first);
        }
        let (Ok(header), Ok(file)) = (segment.header, segment.open(self.disk)) else {
            return false;
        };
        Groups::first(file, header).look().is_ok_and(|first| self.links(&first))
    }

    fn enter(&mut self, segment: SegmentId, offset: u64) -> io::Result<()> {
        self.at.segment = segment;
        self.at.offset = offset;
        self.groups = None;
        let Some(facts) = self.directory.segments.get(&segment) else { return Ok(()) };
        let Ok(header) = facts.header else { return Ok(()) };
        match facts.open(self.disk) {
            Ok(file) => {
                let groups = Groups::new(file, header, offset);
                self.groups = Some(groups.believing(facts.proofs.clone()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The beginning of the very first history.
#[must_use]
pub fn genesis(seals: &Seals) -> Position {
    Position {
        segment: seals.genesis().unwrap_or_default(),
        offset: FIRST_GROUP,
        chain: Chain::default(),
        ..Position::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(segment: SegmentId, offset: u64, lsn: u64) -> Seal {
        let (lsn, chain, incarnation) = (Lsn(lsn), Chain([1; 16]), Default::default());
        Seal { segment, offset, lsn, chain, incarnation }
    }

    /// Epochs 2, 4 and 7 follow one another; 3, 5 and 6 were claimed, too.
    #[test]
    fn seals_tell_what_each_epoch_is_to_the_history() {
        let id = |epoch, ordinal| SegmentId { epoch: Epoch(epoch), ordinal };
        let mut seals = Seals { newest: Some(id(7, 9)), ..Seals::default() };
        for (from, to, lsn) in [(id(2, 1), id(4, 5), 10), (id(4, 6), id(7, 9), 20)] {
            let seal = seal(from, 8192, lsn);
            seals.next.insert((from, seal.offset), (to, seal));
            seals.ends.insert(from.epoch, seal);
        }
        let eras = (1..=8).map(|epoch| seals.era(Epoch(epoch))).collect::<Vec<_>>();
        let (sealed, skipped) = (Era::Sealed, Era::Skipped);
        let told = [Era::Older, sealed, skipped, sealed, skipped, skipped, Era::Newest, Era::Later];
        assert_eq!(eras, told);
        assert!(seals.holds(Epoch(4), Lsn(20)) && !seals.holds(Epoch(4), Lsn(21)));
        seals.genesis = Some(id(2, 1));
        assert_eq!(seals.era(Epoch(1)), Era::Before);
    }

    /// What was left of histories that were cut off to nothing bound the one that began anew: a
    /// store was opened, took saves, and then was refused.
    #[test]
    fn a_name_from_before_the_beginning_lies_on_no_history() {
        let first = SegmentId { epoch: Epoch(3), ordinal: 5 };
        let seals = Seals { genesis: Some(first), ..Seals::default() };
        assert!(!seals.holds(Epoch(2), Lsn(1)));
        assert!(seals.holds(Epoch(3), Lsn(1)));
        assert!(Seals::default().holds(Epoch(2), Lsn(1)), "the beginning may be deleted");
    }
}
