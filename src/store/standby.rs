//! [`Standby`]: follows a directory that another host writes, with the whole state in memory, and
//! becomes its writer without loading it again.
//!
//! Invariants:
//! - the state is always one that was confirmed: what no watermark of an epoch vouches for is held
//!   back. A seal does not vouch: whoever wrote it may have been deposed before it was confirmed;
//! - what is held back is read anew when another epoch has begun, from the end of what is
//!   confirmed, which no seal ever cuts;
//! - the memory for what changed since the snapshot is bounded as the writer's is: a newer snapshot
//!   becomes the base;
//! - a snapshot is read when it may become the base, and once: never at each look.

use crate::base::{Authority, Lsn};
use crate::disk::Disk;
use crate::format::{FileName, Kind};
use crate::log::{Payload, Position};
use crate::snapshot::Snapshot;
use crate::store::directory::Directory;
use crate::store::error::{OpenError, ReadError};
use crate::store::follow::{Saved, position_of, snapshots};
use crate::store::open;
use crate::store::options::Options;
use crate::store::recovery::{self, recover_from};
use crate::store::state::View;
use crate::store::walk::{Seals, Walk, Walked, genesis};
use crate::store::writer::Store;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How often the directory is looked at while nothing comes.
const POLL: Duration = Duration::from_millis(5);

/// Bytes of groups that are read before they are applied.
const AHEAD: u64 = 4 << 20;

/// With so many bytes changed since the snapshot below them, a newer one becomes the base.
const REBASE: u64 = 64 << 20;

/// Threads that verify a snapshot.
const VERIFY_THREADS: usize = 2;

/// How often a standby begins again, at most, while what it reads is being deleted.
const BEGINNINGS: usize = 10;

/// What a standby has come to know.
#[derive(Debug)]
pub enum News {
    /// These saves are confirmed, and in the view, in order.
    Saves(Vec<Saved>),
    /// What followed was deleted before it was read: the view was loaded anew.
    Again,
}

/// A standby that has become the writer.
#[derive(Debug)]
pub struct Promoted {
    /// The store.
    pub store: Store,
    /// Saves that are in the store, and that no [`News`] has told yet.
    pub missed: Vec<Saved>,
}

struct HeldGroup {
    payload: Arc<Payload>,
    saves: Vec<Saved>,
    after: Position,
    bytes: u64,
}

/// A warm standby of a shared directory.
pub struct Standby {
    disk: Arc<dyn Disk>,
    directory: Directory,
    names: Vec<String>,
    seals: Seals,
    view: View,
    /// The end of the last group in the view.
    at: Position,
    /// The end of the last group that was read.
    read: Position,
    held: VecDeque<HeldGroup>,
    vouched: Lsn,
    /// Bytes of log in the view, over its snapshot.
    log_bytes: u64,
    /// The newest snapshot that was looked at for a base.
    tried: Lsn,
}

impl Standby {
    /// Loads the confirmed state, beside whoever writes.
    ///
    /// # Errors
    /// [`OpenError`]: no store, or nothing in it can be read.
    pub fn open_on(disk: Arc<dyn Disk>) -> Result<Standby, OpenError> {
        let failed = |error| match error {
            ReadError::Open(error) => error,
            error => OpenError::io("log")(io::Error::other(error)),
        };
        let mut begun = 1;
        loop {
            let mut standby = Standby::at_base(Arc::clone(&disk))?;
            match standby.catch_up() {
                // A writer deletes as this reads. What is gone for good is so each time.
                Err(error) if is_gone(&error) && begun < BEGINNINGS => begun += 1,
                caught_up => return caught_up.map(|()| standby).map_err(failed),
            }
        }
    }

    /// At the newest snapshot.
    fn at_base(disk: Arc<dyn Disk>) -> Result<Standby, OpenError> {
        let io = |what: &str| OpenError::io(what.to_owned());
        let names = names_of(disk.as_ref()).map_err(io("directory"))?;
        let directory = Directory::read(disk.as_ref()).map_err(io("directory"))?;
        let (control, _) = recovery::identify(&directory)?;
        recovery::check_files(&directory, &control)?;
        let seals = Seals::of(&directory);
        let (view, at) = base(disk.as_ref(), &directory, &seals);
        let vouched = control.watermark.max(at.lsn);
        let tried = at.lsn;
        Ok(Standby {
            disk,
            directory,
            names,
            seals,
            view,
            at,
            read: at,
            held: VecDeque::new(),
            vouched,
            log_bytes: 0,
            tried,
        })
    }

    /// Up to what is confirmed now: while somebody writes all the time, there is always more.
    fn catch_up(&mut self) -> Result<(), ReadError> {
        let confirmed = recovery::published(self.disk.as_ref())?;
        while !self.look()?.is_empty() && self.at.lsn < confirmed {}
        Ok(())
    }

    /// The confirmed state, as far as it is known here.
    #[must_use]
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// The last LSN in the view.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.view.lsn
    }

    /// The last LSN that was read, confirmed or not.
    #[must_use]
    pub fn read_lsn(&self) -> Lsn {
        self.read.lsn
    }

    /// What has come, waiting for it up to `timeout`.
    ///
    /// # Errors
    /// Those of the file system; the view stands, and it may be tried again.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<News>, ReadError> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(news) = self.poll()? {
                return Ok(Some(news));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(POLL.min(left));
        }
    }

    /// What has come, without waiting.
    ///
    /// # Errors
    /// As [`Standby::next`].
    pub fn poll(&mut self) -> Result<Option<News>, ReadError> {
        match self.look() {
            Ok(saves) if saves.is_empty() => Ok(None),
            Ok(saves) => Ok(Some(News::Saves(saves))),
            Err(error) if is_gone(&error) => {
                self.again()?;
                Ok(Some(News::Again))
            }
            Err(error) => Err(error),
        }
    }

    fn look(&mut self) -> Result<Vec<Saved>, ReadError> {
        let came = self.read_on()?;
        let waiting = self.held.back().is_some_and(|group| group.after.lsn > self.vouched);
        if waiting || !came {
            // In this order: an epoch's seal is there before its watermark. What is read ahead of
            // an older one is dropped before another's watermark speaks of other saves.
            let published = match waiting {
                true => recovery::published(self.disk.as_ref())?,
                false => Lsn::ZERO,
            };
            self.look_around()?;
            self.vouched = self.vouched.max(published);
        }
        let saves = self.apply();
        if self.log_bytes >= REBASE {
            self.rebase();
        }
        Ok(saves)
    }

    /// Reads the directory anew where it has changed, or where an epoch has begun whose seal was
    /// not there yet.
    fn look_around(&mut self) -> Result<bool, ReadError> {
        let names = names_of(self.disk.as_ref())?;
        let newest = self.seals.newest().map(|id| id.epoch);
        let unsealed = self.directory.segments.keys().any(|id| Some(id.epoch) > newest);
        if names == self.names && !unsealed {
            return Ok(false);
        }
        let before = self.seals.newest();
        self.directory = Directory::read(self.disk.as_ref())?;
        (self.seals, self.names) = (Seals::of(&self.directory), names);
        if self.seals.newest() != before {
            self.held.clear();
            self.read = self.at;
        }
        let came = self.read_on()?;
        let id = self.read.segment;
        if !came && id.epoch.0 > 0 && !self.directory.segments.contains_key(&id) {
            return Err(ReadError::Behind { oldest: Lsn::ZERO });
        }
        // A deletion that was cut short may leave this segment, but not the next one.
        let further = snapshots(&self.directory, &self.seals).map(|header| header.lsn).max();
        if !came && self.held.is_empty() && further > Some(self.at.lsn) {
            return Err(ReadError::Behind { oldest: Lsn::ZERO });
        }
        Ok(came)
    }

    /// Reads groups behind what was read; whether there were any.
    fn read_on(&mut self) -> Result<bool, ReadError> {
        if self.read.segment.epoch.0 == 0 {
            self.read = genesis(&self.seals);
            self.at = self.read;
        }
        let ahead: u64 = self.held.iter().map(|group| group.bytes).sum();
        let mut room = AHEAD.saturating_sub(ahead);
        let mut walk = Walk::new(self.disk.as_ref(), &self.directory, &self.seals, self.read)?;
        let mut came = false;
        while room > 0 {
            let Walked::Group(header) = walk.step()? else { break };
            came = true;
            self.vouched = self.vouched.max(header.watermark);
            let payload = match header.kind {
                Kind::Saves => walk.group().payload().to_vec(),
                Kind::EpochStart => {
                    walk.pass();
                    Vec::new()
                }
            };
            let payload = Arc::new(Payload::Copy(payload));
            let bad = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            let saves = match header.kind {
                Kind::Saves => Saved::of(&header, &payload).map_err(bad)?,
                Kind::EpochStart => Vec::new(),
            };
            let (after, bytes) = (walk.position(), header.disk_len());
            room = room.saturating_sub(bytes);
            self.held.push_back(HeldGroup { payload, saves, after, bytes });
        }
        self.read = walk.position();
        Ok(came)
    }

    /// Applies what is vouched for. The start of an epoch is passed only with a save of it that
    /// is: before that, another one may seal the same history.
    fn apply(&mut self) -> Vec<Saved> {
        let mut applied = Vec::new();
        let counts = |group: &HeldGroup| !group.saves.is_empty() && group.after.lsn <= self.vouched;
        let ready = self.held.iter().rposition(counts).map_or(0, |last| last + 1);
        for group in self.held.drain(..ready) {
            put(&mut self.view, &group);
            self.at = group.after;
            self.log_bytes += group.bytes;
            applied.extend(group.saves);
        }
        settle(&mut self.view);
        applied
    }

    /// Begins again from the newest snapshot.
    fn again(&mut self) -> Result<(), ReadError> {
        *self = Standby::open_on(Arc::clone(&self.disk))?;
        Ok(())
    }

    /// Takes a newer snapshot as the base, with what follows it up to where the view stands. Where
    /// that cannot be had, everything stays as it is.
    fn rebase(&mut self) {
        let own = self.view.base.as_ref().map_or(Lsn::ZERO, |base| base.header().lsn);
        let newest = snapshots(&self.directory, &self.seals).map(|header| header.lsn).max();
        let Some(newest) = newest.filter(|lsn| *lsn > self.tried.max(own) && *lsn <= self.at.lsn)
        else {
            return;
        };
        self.tried = newest;
        let (mut view, from) = base(self.disk.as_ref(), &self.directory, &self.seals);
        if from.lsn <= own || from.lsn > self.at.lsn {
            return;
        }
        let until = self.at;
        let walk = Walk::new(self.disk.as_ref(), &self.directory, &self.seals, from);
        let Ok(mut walk) = walk else { return };
        let mut log_bytes = 0;
        while walk.position() != until {
            let Ok(Walked::Group(header)) = walk.step() else { return };
            let payload = Arc::new(Payload::Copy(walk.group().payload().to_vec()));
            let after = walk.position();
            let saves = match header.kind {
                Kind::Saves => Saved::of(&header, &payload).unwrap_or_default(),
                Kind::EpochStart => Vec::new(),
            };
            put(&mut view, &HeldGroup { payload, saves, after, bytes: header.disk_len() });
            log_bytes += header.disk_len();
            if after.lsn > until.lsn {
                return;
            }
        }
        settle(&mut view);
        (self.view, self.log_bytes) = (view, log_bytes);
    }

    /// Opens the directory for writing, as `authority` allows: reads afresh what has come since,
    /// seals it, and serves. Nothing that is in memory is loaded again.
    ///
    /// # Errors
    /// As [`Store::open`]; the standby goes on as before.
    pub fn promote(
        &self,
        options: Options,
        authority: Arc<dyn Authority>,
    ) -> Result<Promoted, OpenError> {
        let found = Directory::skim(self.disk.as_ref()).map_err(OpenError::io("directory"))?;
        let (control, _) = recovery::identify(&found)?;
        let lock = open::lock_for(self.disk.as_ref(), authority.as_ref(), &control)?;
        let recovered = recover_from(self.disk.as_ref(), self.view.clone(), self.at);
        let mut recovered =
            recovered.map_err(|error| open::unless_fenced(authority.as_ref(), error))?;
        recovered.log_bytes += self.log_bytes;
        let missed = std::mem::take(&mut recovered.since);
        let disk = Arc::clone(&self.disk);
        let opened = open::start(disk, options, authority, recovered, lock)?;
        Ok(Promoted { store: Store::of(opened), missed })
    }
}

impl fmt::Debug for Standby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standby").field("lsn", &self.view.lsn).finish_non_exhaustive()
    }
}

/// Whether what was being read has been deleted: by the writer, or, on a network file
/// system, behind a name or a handle that this host still has.
fn is_gone(error: &ReadError) -> bool {
    let missing = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
    };
    match error {
        ReadError::Behind { .. } => true,
        ReadError::Io(error) => missing(error),
        ReadError::Open(OpenError::Io { source, .. }) => missing(source),
        _ => false,
    }
}

/// The newest sound snapshot of the history, and where the log goes on behind it; the beginning
/// where there is none.
fn base(disk: &dyn Disk, directory: &Directory, seals: &Seals) -> (View, Position) {
    let mut candidates: Vec<_> = directory.snapshots.iter().collect();
    candidates.sort_by_key(|facts| (facts.epoch, facts.lsn));
    for facts in candidates.into_iter().rev() {
        if !facts.header.as_ref().is_ok_and(|header| seals.accepts(header)) {
            continue;
        }
        let opened = Snapshot::open(disk, &facts.name());
        let sound = opened.and_then(|snapshot| {
            snapshot.verify(VERIFY_THREADS)?;
            Ok(snapshot)
        });
        match sound {
            Ok(snapshot) => {
                let at = position_of(snapshot.header());
                let base = Some(Arc::new(snapshot));
                return (View { lsn: at.lsn, time: at.time, base, ..View::default() }, at);
            }
            Err(error) => tracing::warn!(file = facts.name(), %error, "a snapshot is passed by"),
        }
    }
    (View::default(), genesis(seals))
}

fn put(view: &mut View, group: &HeldGroup) {
    for saved in &group.saves {
        view.active.apply_ops(&group.payload, saved.ops());
    }
    view.active.count_bytes(group.payload.len() as u64);
    (view.lsn, view.time) = (group.after.lsn, group.after.time);
}

fn settle(view: &mut View) {
    view.active.settle();
    while let Some(due) = view.active.merge_due() {
        let run = due.run();
        view.active.merged(due, run);
    }
}

fn names_of(disk: &dyn Disk) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = disk.list()?.into_iter().map(|entry| entry.name).collect();
    // A prepared segment, a snapshot, an epoch: everything that the history goes through.
    names.retain(|name| {
        let kind = FileName::parse(name);
        matches!(kind, Some(FileName::Segment(_) | FileName::Snapshot { .. }))
    });
    names.sort();
    Ok(names)
}
