//! The history as a backup takes it: snapshots and groups of one moment, pinned, beside a writer.
//!
//! Invariants:
//! - nothing is handed out that is not durable and vouched for, and at least what was acknowledged
//!   when [`Extract::open`] was called, unless the writer fails to publish it within [`PATIENCE`];
//! - every group handed out links to the one before; where the history stops short of what is
//!   durable, that is an error, never an end;
//! - nothing is changed, and no lock of the writer's is taken.

use crate::base::{Chain, Epoch, Lsn, SegmentId};
use crate::disk::Disk;
use crate::format::segment::FIRST_GROUP;
use crate::format::{Control, FileName, FormatError, Group, SnapshotHeader};
use crate::log::Groups;
use crate::store::Position;
use crate::store::beyond::Beyond;
use crate::store::decision::Stand;
use crate::store::directory::Directory;
use crate::store::error::{Damage, Evidence, Found, OpenError, ReadError};
use crate::store::follow;
use crate::store::pin::Pins;
use crate::store::reader::{Reader, writer_lives};
use crate::store::recovery;
use crate::store::walk::{Seals, Walk, Walked, genesis};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long is waited for the writer to vouch for its last group: it does so 10 ms after going
/// idle, and every second at least.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(2);

/// A moment of a store, to be copied.
#[derive(Debug)]
pub struct Extract {
    disk: Arc<dyn Disk>,
    pins: Pins,
    seals: Seals,
    control: Control,
    durable: Lsn,
    writer_lives: bool,
}

/// What was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extracted {
    /// Where it ends.
    pub end: Position,
    /// Groups.
    pub groups: u64,
}

impl Extract {
    /// Pins what is there.
    ///
    /// # Errors
    /// As [`Reader::open`], where no writer lives; those of the file system.
    pub fn open(disk: Arc<dyn Disk>) -> Result<Extract, ReadError> {
        let writer_lives = writer_lives(disk.as_ref());
        // Before anything is listed: what is durable now is in the files listed later.
        let durable = match closed_at(disk.as_ref())? {
            _ if writer_lives => recovery::published(disk.as_ref())?,
            Some(lsn) => lsn,
            // A living writer has recovered this directory; else it is done here, with everything
            // that recovery checks.
            None => Reader::open_on(Arc::clone(&disk))?.view().lsn(),
        };
        let pins = Pins::take(disk.as_ref())?;
        let (control, _) = recovery::identify(pins.directory())?;
        let seals = Seals::of(pins.directory());
        let mut extract = Extract { disk, pins, seals, control, durable, writer_lives };
        let snapshots = extract.snapshots().map(|header| header.lsn).max();
        if extract.writer_lives {
            extract.durable = extract.durable.max(snapshots.unwrap_or_default());
        }
        Ok(extract)
    }

    /// What the control file says.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The greatest epoch that has left a trace here.
    #[must_use]
    pub fn greatest_epoch(&self) -> Epoch {
        self.pins.directory().greatest_epoch()
    }

    /// The pinned files.
    #[must_use]
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The least that is durable.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Where a copy of the history can begin, the longest history first: the empty state (`None`),
    /// or a snapshot.
    #[must_use]
    pub fn bases(&self) -> Vec<Option<SnapshotHeader>> {
        let mut snapshots: Vec<_> = self.snapshots().copied().collect();
        snapshots.sort_by_key(|header| (header.lsn, header.epoch));
        // Also where a writer has only begun with its very first segment.
        let mut segments = self.pins.directory().segments.values();
        let empty = snapshots.is_empty() && segments.all(|segment| segment.first.is_none());
        let begins = |first: SegmentId| self.seals.bounds(first.epoch);
        let beginning = empty || self.seals.genesis().is_some_and(begins);
        let beginning = beginning.then_some(None);
        beginning.into_iter().chain(snapshots.into_iter().map(Some)).collect()
    }

    /// Where the log goes on behind a base.
    #[must_use]
    pub fn behind(&self, base: Option<&SnapshotHeader>) -> Position {
        base.map_or_else(|| genesis(&self.seals), behind)
    }

    /// Hands out the groups after `from`, in order, to the end of what is durable.
    ///
    /// # Errors
    /// [`OpenError::Corruption`] where the log does not go on from there to what is durable (also:
    /// `from` is of another history, or too old); what `each` returns.
    pub fn groups<E: From<ReadError>>(
        &self,
        from: Position,
        each: &mut dyn FnMut(&Group<'_>) -> Result<(), E>,
    ) -> Result<Extracted, E> {
        let io = |error| E::from(ReadError::Io(error));
        let from = if is_beginning(&from) { genesis(&self.seals) } else { from };
        let directory = self.pins.directory();
        let mut walk = Walk::new(self.disk.as_ref(), directory, &self.seals, from).map_err(io)?;
        let mut done = Extracted { end: from, groups: 0 };
        let mut vouched = self.durable;
        // Whole groups that nobody has vouched for yet, each with the place behind it.
        let mut held: Vec<(Vec<u8>, Position)> = Vec::new();
        let found = loop {
            let header = match walk.step().map_err(io)? {
                Walked::End(_, found) => break found,
                Walked::Group(header) => header,
            };
            vouched = vouched.max(header.watermark);
            release(&mut held, vouched, &mut done, each)?;
            let group = walk.group();
            if held.is_empty() && group.header.last_lsn() <= vouched {
                each(&group)?;
                done.groups += 1;
                done.end = walk.position();
            } else {
                let bytes = [group.head(), group.payload()].concat();
                held.push((bytes, walk.position()));
            }
            if !self.writer_lives && held.len() > 1 {
                // Beyond what recovery has found, nothing counts.
                break Found::Nothing;
            }
        };
        if let Some((_, last)) = held.last() {
            vouched = self.wait_for(last.lsn, vouched)?;
        }
        release(&mut held, vouched, &mut done, each)?;
        if done.end.lsn < self.durable {
            return Err(E::from(self.short(&done.end, found)));
        }
        Ok(done)
    }

    /// The LSN that is vouched for, once it has come to `lsn`, or patience is at its end.
    fn wait_for(&self, lsn: Lsn, vouched: Lsn) -> Result<Lsn, ReadError> {
        let started = Instant::now();
        let mut vouched = vouched;
        while self.writer_lives && vouched < lsn && started.elapsed() < PATIENCE {
            thread::sleep(LOOK);
            vouched = vouched.max(recovery::published(self.disk.as_ref())?);
            if !writer_lives(self.disk.as_ref()) {
                break;
            }
        }
        Ok(vouched)
    }

    fn short(&self, end: &Position, found: Found) -> ReadError {
        let damage = Damage {
            file: FileName::Segment(end.segment).to_string(),
            offset: end.offset,
            lsn: end.lsn.next(),
            survives: end.lsn,
            found,
            because: Evidence::Watermark(self.durable),
        };
        OpenError::Corruption(Box::new(damage)).into()
    }

    /// Whether the history goes through this place: not whether its groups are still there to go on
    /// from, which [`Extract::groups`] finds out.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn holds(&self, place: &Position) -> std::io::Result<bool> {
        let known = |p: &Position| {
            (p.segment, p.offset, p.lsn, p.chain)
                == (place.segment, place.offset, place.lsn, place.chain)
        };
        let mut bases = self.bases().into_iter();
        if bases.any(|base| match base {
            None => is_beginning(place),
            Some(header) => known(&behind(&header)),
        }) {
            return Ok(true);
        }
        let sealed = self.seals.end_of(place.segment.epoch);
        let cut =
            sealed.is_some_and(|seal| (place.segment, place.offset) > (seal.segment, seal.offset));
        if cut || place.lsn > self.durable || !self.seals.holds(place.segment.epoch, place.lsn) {
            return Ok(false);
        }
        let segments = &self.pins.directory().segments;
        let Some(facts) = segments.get(&place.segment) else {
            // Superseded and deleted: the next one may still begin where it ended.
            let mut firsts = segments.values().filter_map(|segment| segment.first);
            let next = (place.lsn.next(), place.chain);
            return Ok(firsts.any(|first| (first.first_lsn, first.prev) == next));
        };
        let Ok(header) = facts.header else { return Ok(false) };
        let file = facts.open(self.disk.as_ref())?;
        let mut groups = Groups::new(file, header, FIRST_GROUP);
        let mut last = None;
        while groups.offset() < place.offset && groups.look().is_ok() {
            let group = groups.take();
            last = Some((group.header.last_lsn(), group.link()));
        }
        Ok(groups.offset() == place.offset && last == Some((place.lsn, place.chain)))
    }

    /// The finished snapshots that are known to lie on the history.
    fn snapshots(&self) -> impl Iterator<Item = &SnapshotHeader> {
        follow::snapshots(self.pins.directory(), &self.seals)
    }
}

/// The last LSN of a store that was closed, so that recovery has nothing to decide: its log ends
/// where its watermark says, and nothing stands behind. `None` where recovery must look.
fn closed_at(disk: &dyn Disk) -> Result<Option<Lsn>, ReadError> {
    let directory = Directory::read(disk)?;
    let (control, facts) = recovery::identify(&directory)?;
    recovery::check_files(&directory, &control)?;
    if !facts.original || control.replica || facts.slots.iter().any(Result::is_err) {
        return Ok(None);
    }
    let seals = Seals::of(&directory);
    let sound = directory.snapshots.iter().filter_map(|facts| facts.header.as_ref().ok());
    let sound = sound.filter(|header| seals.holds(header.epoch, header.lsn));
    let newest = sound.max_by_key(|header| (header.epoch, header.lsn));
    let start = newest.map_or_else(|| genesis(&seals), behind);
    let mut walk = Walk::new(disk, &directory, &seals, start)?;
    let stand = loop {
        match walk.step()? {
            Walked::Group(_) => drop(walk.group()),
            Walked::End(stand, _) => break stand,
        }
    };
    let end = walk.position();
    let beyond = Beyond::look(disk, &directory, &end)?;
    let nothing = beyond.group.is_none() && beyond.headless.is_none() && beyond.written == 0;
    let clean = stand == Stand::Blank && nothing && end.lsn == control.watermark;
    Ok(clean.then_some(end.lsn))
}

/// Whether nothing came before, wherever the first segment was then.
fn is_beginning(place: &Position) -> bool {
    (place.lsn, place.chain) == (Lsn::ZERO, Chain::default())
}

/// Where the log goes on behind a snapshot.
fn behind(header: &SnapshotHeader) -> Position {
    Position {
        segment: header.resume,
        offset: header.resume_offset,
        lsn: header.lsn,
        chain: header.chain,
        time: header.time,
    }
}

/// Hands out what is vouched for by now.
fn release<E: From<ReadError>>(
    held: &mut Vec<(Vec<u8>, Position)>,
    vouched: Lsn,
    done: &mut Extracted,
    each: &mut dyn FnMut(&Group<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let ready = held.iter().take_while(|(_, after)| after.lsn <= vouched).count();
    for (bytes, after) in held.drain(..ready) {
        let (group, _) = Group::unpack(&bytes).map_err(|error| E::from(corrupt(error)))?;
        each(&group)?;
        done.groups += 1;
        done.end = after;
    }
    Ok(())
}

fn corrupt(error: FormatError) -> ReadError {
    ReadError::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, error))
}
