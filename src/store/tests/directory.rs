//! A shared directory as the model checker sees it: files with what they say, without bytes. What
//! they mean is decided by the code that production runs: [`Seals`] and retention.

use crate::base::{Chain, Epoch, Id, Lsn, Nanos, SegmentId};
use crate::format::segment::FIRST_GROUP;
use crate::format::{GroupHeader, Kind, Seal, SegmentHeader, SnapshotHeader};
use crate::log::Position;
use crate::store::directory::{Directory, SegmentFacts, SnapshotFacts};
use crate::store::retention::{self, Rules};
use crate::store::walk::{Seals, genesis};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A segment: epoch, ordinal.
pub type Segment = (u8, u8);

/// A place between groups: a segment, and how many groups of it lie before.
pub type Place = (Segment, u8);

/// A group: the start of an epoch, with where the older history ends, or one save.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    pub seal: Option<(Place, u8, u64)>,
    pub lsn: u8,
    pub value: u8,
    pub watermark: u8,
    pub prev: u64,
}

impl Group {
    /// The chain up to its end.
    pub fn link(&self, epoch: u8) -> u64 {
        let fields = [u64::from(epoch), u64::from(self.lsn), u64::from(self.value), self.prev];
        let mixed = fields.iter().chain(self.seal.iter().map(|(_, _, chain)| chain));
        mixed.fold(0xcbf2_9ce4_8422_2325, |hash, field| {
            (hash ^ field).wrapping_mul(0x0100_0000_01b3).rotate_left(17)
        })
    }
}

/// A snapshot: its name, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Snap {
    pub epoch: u8,
    pub lsn: u8,
    pub chain: u64,
    pub resume: Place,
    pub state: Vec<u8>,
}

/// The files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dir {
    /// Who has claimed epoch 1, 2, 3…
    pub claims: Vec<u8>,
    pub segments: BTreeMap<Segment, Vec<Group>>,
    pub snaps: BTreeSet<Snap>,
    /// The watermark in each epoch's control file.
    pub marks: BTreeMap<u8, u8>,
}

/// What recovery gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recovered {
    /// The values of the saves 1, 2, 3…
    pub state: Vec<u8>,
    pub end: Place,
    pub chain: u64,
    /// The snapshot that the state was put together with.
    pub base: Option<Snap>,
    /// What the snapshot and the groups vouch for.
    pub vouched: u8,
}

fn id((epoch, ordinal): Segment) -> SegmentId {
    SegmentId { epoch: Epoch(epoch.into()), ordinal: ordinal.into() }
}

fn small(id: SegmentId) -> Segment {
    (id.epoch.0 as u8, id.ordinal as u8)
}

fn chain(chain: u64) -> Chain {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&chain.to_le_bytes());
    Chain(bytes)
}

fn offset(groups: u8) -> u64 {
    FIRST_GROUP + u64::from(groups)
}

fn position((segment, groups): Place, lsn: u8, link: u64) -> Position {
    Position {
        segment: id(segment),
        offset: offset(groups),
        lsn: Lsn(lsn.into()),
        chain: chain(link),
        time: Nanos(0),
    }
}

impl Dir {
    /// The newest epoch that is claimed.
    pub fn newest(&self) -> u8 {
        self.claims.len() as u8
    }

    /// The directory's facts, as the store gathers them.
    fn facts(&self) -> Directory {
        let segment = |(name, groups): (&Segment, &Vec<Group>)| {
            let header = SegmentHeader {
                cluster: Id::default(),
                incarnation: Id::default(),
                id: id(*name),
                nonce: 0,
                created: Nanos(0),
                prewritten: 0,
            };
            let first = groups.first().map(|group| GroupHeader {
                kind: if group.seal.is_some() { Kind::EpochStart } else { Kind::Saves },
                payload_len: 0,
                saves: u32::from(group.seal.is_none()),
                epoch: Epoch(name.0.into()),
                first_lsn: Lsn(u64::from(group.lsn) + u64::from(group.seal.is_some())),
                time: Nanos(0),
                watermark: Lsn(group.watermark.into()),
                prev: chain(group.prev),
            });
            let sealed = |(place, lsn, link): &(Place, u8, u64)| Seal {
                segment: id(place.0),
                offset: if place.0.0 == 0 { 0 } else { offset(place.1) },
                lsn: Lsn((*lsn).into()),
                chain: chain(*link),
                incarnation: Id::default(),
            };
            let facts = SegmentFacts {
                id: id(*name),
                len: 0,
                allocated: 1,
                modified: Nanos(0),
                header: Ok(header),
                first,
                seal: groups.first().and_then(|group| group.seal.as_ref().map(sealed)),
                proofs: None,
            };
            (id(*name), facts)
        };
        let mut snapshots: Vec<_> = self.snaps.iter().map(snapshot).collect();
        snapshots.sort_by_key(|facts| (facts.lsn, facts.epoch));
        Directory {
            control: None,
            controls: BTreeMap::new(),
            segments: self.segments.iter().map(segment).collect(),
            snapshots,
            tags: Vec::new(),
            strangers: Vec::new(),
        }
    }

    /// The greatest watermark of any epoch.
    pub fn published(&self) -> u8 {
        self.marks.values().copied().max().unwrap_or(0)
    }

    /// As the store's recovery: the newest snapshot that lies on the history, and the log behind
    /// it; `None` where something durable is missing. Without `seals`, nobody recorded any.
    pub fn recover(&self, seals: bool) -> Option<Recovered> {
        let facts = self.facts();
        let path = Seals::of(&facts);
        let accepts = |snap: &&Snap| {
            !seals || snapshot(snap).header.is_ok_and(|header| path.accepts(&header))
        };
        let base = self.snaps.iter().filter(accepts).max_by_key(|snap| (snap.epoch, snap.lsn));
        let mut found = match base {
            Some(snap) => Recovered {
                state: snap.state.clone(),
                end: snap.resume,
                chain: snap.chain,
                base: Some(snap.clone()),
                vouched: snap.lsn,
            },
            None if self.segments.is_empty() => {
                Recovered { state: Vec::new(), end: ((0, 0), 0), chain: 0, base: None, vouched: 0 }
            }
            None => {
                let first = small(genesis(&path).segment);
                let there = self.segments.get(&first)?.first()?;
                there.seal.as_ref().filter(|(place, _, _)| place.0.0 == 0)?;
                Recovered { state: Vec::new(), end: (first, 0), chain: 0, base: None, vouched: 0 }
            }
        };
        if seals {
            self.walk(&path, &mut found)
        } else {
            self.walk_unsealed(&mut found)
        }
        let published = self.published();
        let named = self.snaps.iter().filter(accepts).map(|snap| snap.lsn).max().unwrap_or(0);
        // Something durable is not there: the store refuses to open.
        if published.max(named) > found.state.len() as u8 {
            return None;
        }
        Some(found)
    }

    /// Follows the history from where `found` ends.
    fn walk(&self, seals: &Seals, found: &mut Recovered) {
        loop {
            let at = position(found.end, found.state.len() as u8, found.chain);
            if let Some(next) = seals.jump(&at) {
                found.end = (small(next), 0);
            }
            if !self.take(found) && !self.rotated(found) {
                return;
            }
        }
    }

    /// Takes the group that stands at the end, if it links; whether it did.
    fn take(&self, found: &mut Recovered) -> bool {
        let (segment, at) = found.end;
        let group = self.segments.get(&segment).and_then(|groups| groups.get(usize::from(at)));
        let Some(group) = group.filter(|group| group.prev == found.chain) else { return false };
        let follows =
            usize::from(group.lsn) == found.state.len() + usize::from(group.seal.is_none());
        if !follows {
            return false;
        }
        if group.seal.is_none() {
            found.state.push(group.value);
        }
        found.vouched = found.vouched.max(group.watermark);
        found.chain = group.link(segment.0);
        found.end = (segment, at + 1);
        true
    }

    /// Goes on in the next segment of the epoch, if the log does.
    fn rotated(&self, found: &mut Recovered) -> bool {
        let (segment, _) = found.end;
        let mut later = self.segments.range((segment.0, segment.1 + 1)..(segment.0 + 1, 0));
        let links = |groups: &Vec<Group>| {
            groups.first().is_some_and(|group| group.prev == found.chain && group.seal.is_none())
        };
        let next = later.find(|(_, groups)| links(groups)).map(|(name, _)| *name);
        next.inspect(|name| found.end = (*name, 0)).is_some()
    }

    /// Without seals: each epoch's groups for as long as they link, then those of later ones that
    /// link to what was found.
    fn walk_unsealed(&self, found: &mut Recovered) {
        loop {
            if self.take(found) || self.rotated(found) {
                continue;
            }
            let epoch = found.end.0.0;
            let next = self.segments.iter().find(|(name, groups)| {
                let links = groups.first().is_some_and(|group| group.prev == found.chain);
                name.0 > epoch && links
            });
            let Some((name, _)) = next else { return };
            found.end = (*name, 0);
        }
    }

    /// What a writer would delete that stands in `active`, whose base is `base`, by the store's
    /// own rules.
    pub fn superseded(&self, active: Segment, base: Option<&Snap>, flushed: u8) -> Vec<File> {
        let rules = Rules {
            history: Duration::ZERO,
            history_ratio: 0.0,
            min_age: Duration::ZERO,
            short_of_space: false,
            now: Nanos(1),
        };
        let gone = retention::decide(&self.facts(), &rules);
        let resume = base.map(|snap| id(snap.resume.0));
        let gone = retention::own(gone, id(active), resume, Lsn(flushed.into()));
        gone.into_iter().filter_map(|file| self.named(&file.name)).collect()
    }

    fn named(&self, name: &str) -> Option<File> {
        let segment = self
            .segments
            .keys()
            .find(|one| crate::format::FileName::Segment(id(**one)).to_string() == name);
        let snap = self.snaps.iter().find(|snap| snapshot(snap).name() == name);
        segment.map(|one| File::Segment(*one)).or(snap.map(|snap| File::Snap(snap.epoch, snap.lsn)))
    }

    /// Removes a file.
    pub fn remove(&mut self, file: &File) {
        match file {
            File::Segment(name) => drop(self.segments.remove(name)),
            File::Snap(epoch, lsn) => {
                self.snaps.retain(|snap| (snap.epoch, snap.lsn) != (*epoch, *lsn));
            }
        }
    }
}

/// A file's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum File {
    Segment(Segment),
    Snap(u8, u8),
}

fn snapshot(snap: &Snap) -> SnapshotFacts {
    let header = SnapshotHeader {
        cluster: Id::default(),
        incarnation: Id::default(),
        epoch: Epoch(snap.epoch.into()),
        lsn: Lsn(snap.lsn.into()),
        chain: chain(snap.chain),
        time: Nanos(0),
        made: Nanos(0),
        resume: id(snap.resume.0),
        resume_offset: offset(snap.resume.1),
        data_len: 0,
        footer_len: 0,
        entries: 0,
        logical_bytes: 0,
        footer_crc: 0,
    };
    SnapshotFacts {
        epoch: header.epoch,
        lsn: header.lsn,
        len: 0,
        allocated: 1,
        modified: Nanos(0),
        header: Ok(header),
    }
}
