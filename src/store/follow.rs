//! Every save in order, as it becomes visible: for a warm standby, in this process or in another
//! one that reads the same directory.
//!
//! Invariant: nothing is handed out before it is durable and acknowledged (in this process), or
//! vouched for by a watermark (in another one).

use crate::base::{Epoch, Lsn, Nanos, SegmentId};
use crate::disk::Disk;
use crate::format::segment::FIRST_GROUP;
use crate::format::{FileName, FormatError, GroupHeader, Kind, Ops, SnapshotHeader};
use crate::log::{Payload, Position};
use crate::store::directory::Directory;
use crate::store::error::ReadError;
use crate::store::inner::Inner;
use crate::store::recovery;
use crate::store::walk::{Seals, Walk, Walked, genesis};
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How often another process's directory is looked at.
const POLL: Duration = Duration::from_millis(5);

/// Bytes of saves that are read at once.
const AHEAD: usize = 4 << 20;

/// A save as it stands in the log.
#[derive(Clone)]
pub struct Saved {
    /// Its LSN.
    pub lsn: Lsn,
    /// The epoch that wrote it.
    pub epoch: Epoch,
    /// When its group was put together.
    pub time: Nanos,
    pub(crate) group: Arc<Payload>,
    pub(crate) start: usize,
}

impl Saved {
    /// The saves of a whole group of the log.
    ///
    /// # Errors
    /// [`FormatError`] if its frames do not fit: then somebody wrote them so.
    pub(crate) fn of(
        header: &GroupHeader,
        payload: &Arc<Payload>,
    ) -> Result<Vec<Saved>, FormatError> {
        let mut rest: &[u8] = payload;
        let mut saves = Vec::new();
        for i in 0..u64::from(header.saves) {
            let start = payload.len() - rest.len();
            rest = Ops::split(rest)?.1;
            let (lsn, group) = (header.first_lsn.plus(i), Arc::clone(payload));
            saves.push(Saved { lsn, epoch: header.epoch, time: header.time, group, start });
        }
        Ok(saves)
    }

    /// What it puts and deletes, in order.
    #[must_use]
    pub fn ops(&self) -> Ops<'_> {
        Ops::split(&self.group[self.start..]).expect("the group's frames were checked").0
    }
}

impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saved").field("lsn", &self.lsn).field("epoch", &self.epoch).finish()
    }
}

enum Source {
    Inside(Arc<Inner>),
    Outside(Arc<dyn Disk>),
}

/// Reads saves in order. Ends never: ask again.
pub struct Follower {
    source: Source,
    directory: Directory,
    seals: Seals,
    at: Position,
    next: Lsn,
    /// Read, and not yet known to be visible.
    ahead: VecDeque<Saved>,
    /// The greatest LSN that a group's watermark, the control file or a snapshot vouches for.
    vouched: Lsn,
}

impl Follower {
    pub(crate) fn inside(inner: Arc<Inner>, from: Lsn) -> Result<Follower, ReadError> {
        let directory = Directory::read(inner.disk.as_ref())?;
        Follower::new(Source::Inside(inner), directory, from)
    }

    pub(crate) fn outside(disk: Arc<dyn Disk>, from: Lsn) -> Result<Follower, ReadError> {
        let directory = Directory::read(disk.as_ref())?;
        Follower::new(Source::Outside(disk), directory, from)
    }

    fn new(source: Source, directory: Directory, from: Lsn) -> Result<Follower, ReadError> {
        let seals = Seals::of(&directory);
        let disk = match &source {
            Source::Inside(inner) => inner.disk.as_ref(),
            Source::Outside(disk) => disk.as_ref(),
        };
        let at = start(disk, &directory, &seals, from)?;
        // What a snapshot holds was acknowledged, whatever the watermarks say so far.
        let snapshots = snapshots(&directory, &seals);
        let vouched = snapshots.map(|header| header.lsn).max().unwrap_or_default();
        Ok(Follower {
            source,
            directory,
            seals,
            at,
            next: Lsn(from.0.max(1)),
            ahead: VecDeque::new(),
            vouched,
        })
    }

    fn disk(&self) -> Arc<dyn Disk> {
        match &self.source {
            Source::Inside(inner) => Arc::clone(&inner.disk),
            Source::Outside(disk) => Arc::clone(disk),
        }
    }

    /// The next save, waiting for it up to `timeout`; `None` if none came.
    ///
    /// # Errors
    /// [`ReadError::Behind`] if it was deleted before it was read; others of the file system.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Saved>, ReadError> {
        let until = Instant::now() + timeout;
        loop {
            let visible = self.visible()?;
            if let Some(saved) = self.ahead.pop_front_if(|saved| saved.lsn <= visible) {
                self.next = saved.lsn.next();
                return Ok(Some(saved));
            }
            if self.ahead.is_empty() && self.read()? {
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            match &self.source {
                Source::Inside(inner) => {
                    let next = self.next;
                    inner.followers.wait(left, || inner.commit_lsn() >= next);
                }
                // What another process writes is seen by looking. What nobody vouches for may be an
                // ended epoch's, which goes on writing for as long as it has not noticed.
                Source::Outside(disk) => {
                    thread::sleep(POLL.min(left));
                    let disk = Arc::clone(disk);
                    if !self.ahead.is_empty() && self.superseded(disk.as_ref())? {
                        self.reread(disk.as_ref())?;
                    }
                }
            }
            if self.ahead.is_empty() || matches!(self.source, Source::Outside(_)) {
                self.read()?;
            }
        }
    }

    fn visible(&mut self) -> Result<Lsn, ReadError> {
        match &self.source {
            Source::Inside(inner) => Ok(inner.commit_lsn()),
            Source::Outside(disk) => {
                if self.ahead.front().is_some_and(|saved| saved.lsn > self.vouched) {
                    let disk = Arc::clone(disk);
                    let published = recovery::published(disk.as_ref())?;
                    // In this order: an epoch's seal is there before its watermark. What was read
                    // ahead of an older one is dropped before another's watermark speaks of it.
                    if published > self.vouched && self.superseded(disk.as_ref())? {
                        self.reread(disk.as_ref())?;
                    }
                    self.vouched = self.vouched.max(published);
                }
                Ok(self.vouched)
            }
        }
    }

    /// Reads groups that have come; says whether there were any.
    fn read(&mut self) -> Result<bool, ReadError> {
        let disk = self.disk();
        let mut found = self.read_from(disk.as_ref())?;
        if !found {
            // Looked for before the directory is read anew: what led up to it was there by then.
            let further = snapshots(&self.directory, &self.seals)
                .map(position_of)
                .filter(|there| there.lsn >= self.at.lsn)
                .find(|there| (there.segment, there.offset) > (self.at.segment, self.at.offset));
            // The log may go on in a file that was not there before.
            self.reread(disk.as_ref())?;
            found = self.read_from(disk.as_ref())?;
            let gone = !self.directory.segments.contains_key(&self.at.segment);
            if !found && gone && self.at.segment.epoch.0 > 0 {
                return Err(behind(disk.as_ref(), &self.directory, &self.seals, self.next));
            }
            // A deletion that was cut short may leave older segments, but not the next one.
            match further.filter(|_| !found) {
                Some(there) if there.lsn > self.at.lsn => {
                    return Err(behind(disk.as_ref(), &self.directory, &self.seals, self.next));
                }
                Some(there) => {
                    // Each time further on, so this ends.
                    self.at = there;
                    return self.read();
                }
                None => {}
            }
        }
        Ok(found)
    }

    /// Reads the directory anew. What was read ahead in an epoch that has ended since may lie
    /// behind its seal: then it never was, and the way is looked for again from what was handed
    /// out, which is confirmed.
    fn reread(&mut self, disk: &dyn Disk) -> Result<(), ReadError> {
        let before = self.seals.newest();
        self.directory = Directory::read(disk)?;
        self.seals = Seals::of(&self.directory);
        if self.seals.newest() > before && before.is_some() {
            self.ahead.clear();
            self.at = start(disk, &self.directory, &self.seals, self.next)?;
        }
        Ok(())
    }

    /// Whether files of a later epoch are there than those that were looked at.
    fn superseded(&self, disk: &dyn Disk) -> Result<bool, ReadError> {
        let entries = disk.list()?;
        let names = entries.iter().filter_map(|entry| FileName::parse(&entry.name));
        let epochs = names.filter_map(|name| match name {
            FileName::Segment(id) => Some(id.epoch),
            _ => None,
        });
        Ok(epochs.max() > self.seals.newest().map(|id| id.epoch))
    }

    fn read_from(&mut self, disk: &dyn Disk) -> Result<bool, ReadError> {
        if self.at.segment.epoch.0 == 0 {
            self.at = genesis(&self.seals);
        }
        let mut walk = Walk::new(disk, &self.directory, &self.seals, self.at)?;
        let mut found = false;
        let mut read = 0;
        while read < AHEAD {
            let Walked::Group(header) = walk.step()? else { break };
            found = true;
            self.vouched = self.vouched.max(header.watermark);
            let group = walk.group();
            if group.header.kind != Kind::Saves {
                continue;
            }
            let payload = Arc::new(Payload::Copy(group.payload().to_vec()));
            let saves = Saved::of(&header, &payload).map_err(corrupt)?;
            self.ahead.extend(saves.into_iter().filter(|saved| saved.lsn >= self.next));
            read += payload.len();
        }
        self.at = walk.position();
        Ok(found)
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("next", &self.next).finish_non_exhaustive()
    }
}

fn corrupt(error: FormatError) -> ReadError {
    ReadError::Io(io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Where saves after `wanted` can be had again: what begins before it does not lead there, and what
/// begins behind it may lead nowhere, either.
fn behind(disk: &dyn Disk, directory: &Directory, seals: &Seals, wanted: Lsn) -> ReadError {
    let logs = firsts(directory, seals).map(|(_, first)| first.first_lsn);
    let snapshots = snapshots(directory, seals).map(|header| header.lsn.next());
    let oldest: BTreeSet<Lsn> = logs.chain(snapshots).filter(|lsn| *lsn > wanted).collect();
    let mut there = oldest.iter().filter(|lsn| leads_to(disk, directory, seals, **lsn));
    let oldest = there.next().or(oldest.last()).copied();
    ReadError::Behind { oldest: oldest.unwrap_or(wanted.next()) }
}

/// Whether the save is in the log.
fn leads_to(disk: &dyn Disk, directory: &Directory, seals: &Seals, lsn: Lsn) -> bool {
    let walk = place(directory, seals, lsn).map(|at| Walk::new(disk, directory, seals, at));
    let Some(Ok(mut walk)) = walk else { return false };
    while let Ok(Walked::Group(header)) = walk.step() {
        if header.saves > 0 {
            return header.first_lsn <= lsn;
        }
        walk.pass();
    }
    false
}

/// The segments that are known to begin on the history, each with its first group.
fn firsts<'a>(
    directory: &'a Directory,
    seals: &'a Seals,
) -> impl Iterator<Item = (SegmentId, GroupHeader)> + 'a {
    let firsts = directory.segments.values().filter_map(|s| Some((s.id, s.first?)));
    firsts.filter(|(id, first)| {
        let before = Lsn(first.first_lsn.0.saturating_sub(1));
        seals.bounds(id.epoch) && seals.holds(id.epoch, before)
    })
}

/// Where the log goes on behind a snapshot.
pub(crate) fn position_of(header: &SnapshotHeader) -> Position {
    Position {
        segment: header.resume,
        offset: header.resume_offset,
        lsn: header.lsn,
        chain: header.chain,
        time: header.time,
    }
}

/// The sound snapshots that are known to lie on the history, by LSN.
pub(crate) fn snapshots<'a>(
    directory: &'a Directory,
    seals: &'a Seals,
) -> impl Iterator<Item = &'a SnapshotHeader> {
    let sound = directory.snapshots.iter().filter_map(|facts| facts.header.as_ref().ok());
    sound.filter(|header| seals.accepts(header) && seals.bounds(header.epoch))
}

/// A place in the log from which `from` is reached.
fn start(
    disk: &dyn Disk,
    directory: &Directory,
    seals: &Seals,
    from: Lsn,
) -> Result<Position, ReadError> {
    let nothing = directory.segments.is_empty() && directory.snapshots.is_empty();
    let at = place(directory, seals, from).or_else(|| nothing.then(|| genesis(seals)));
    at.ok_or_else(|| behind(disk, directory, seals, from))
}

/// The last place before `from` of which it is known that the history goes through it.
fn place(directory: &Directory, seals: &Seals, from: Lsn) -> Option<Position> {
    let before = |lsn: Lsn| lsn.0 < from.0.max(1);
    let early = firsts(directory, seals).filter(|(_, first)| first.first_lsn.0 <= from.0.max(1));
    let segment = early.max_by_key(|(id, _)| *id).map(|(segment, first)| Position {
        segment,
        offset: FIRST_GROUP,
        lsn: Lsn(first.first_lsn.0.saturating_sub(1)),
        chain: first.prev,
        time: first.time,
    });
    let snapshot = snapshots(directory, seals)
        .filter(|header| before(header.lsn))
        .max_by_key(|header| (header.epoch, header.lsn))
        .map(position_of);
    [segment, snapshot].into_iter().flatten().max_by_key(|position| position.lsn)
}
