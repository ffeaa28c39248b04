//! Opens a directory for writing: lock, recover, take a new epoch, seal what came before.
//!
//! Invariants:
//! - nothing is written before recovery has succeeded, and before what it found would survive a
//!   power cut: whoever wrote it may have been killed between a write and its sync;
//! - the epoch is durable in the control file before any file carries it, and the seal of the older
//!   epochs is durable before anything is served: from then on, bytes behind the seal never count.

use crate::base::{Authority, Epoch, Lsn, Point, SegmentId};
use crate::disk::{Access, Disk, File, Site};
use crate::format::control::ANCESTORS_MAX;
use crate::format::{Ancestor, Control, FileName, Seal, names};
use crate::log::{AppendError, Appender, Buffers, prepare};
use crate::store::commit::{Queue, Signal};
use crate::store::control::{Adoption, ControlFile, random_id};
use crate::store::create::check_mode;
use crate::store::decision::Whose;
use crate::store::directory::{Directory, SegmentFacts, SnapshotFacts};
use crate::store::doubt;
use crate::store::error::OpenError;
use crate::store::inner::{Counters, Followers, Inner, State, segment_header};
use crate::store::keeper::{self, Alarm, Bell};
use crate::store::options::Options;
use crate::store::reader::is_shared;
use crate::store::recovery::{Recovered, Report, Target, Writer, recover};
use crate::store::throttle::Throttle;
use crate::store::walk::Seals;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock, mpsc};
use std::thread::JoinHandle;

/// An opened store: its heart, its threads, what recovery passed by.
pub(crate) struct Opened {
    pub inner: Arc<Inner>,
    pub threads: Vec<JoinHandle<()>>,
    pub report: Report,
}

/// Opens `disk` for writing.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    options: Options,
    authority: Arc<dyn Authority>,
) -> Result<Opened, OpenError> {
    check_mode(disk.as_ref())?;
    // Before the lock file is made: looking at an empty directory leaves it empty.
    let seen = Directory::read(disk.as_ref()).map_err(OpenError::io("directory"))?;
    let (control, _) = crate::store::recovery::identify(&seen)?;
    let lock = lock_for(disk.as_ref(), authority.as_ref(), &control)?;
    let recovered = recover(disk.as_ref(), Target::End, Writer::Opens);
    let recovered = recovered.map_err(|error| unless_fenced(authority.as_ref(), error))?;
    start(disk, options, authority, recovered, lock)
}

/// What looks like damage to a host that was deposed meanwhile is none: its successor has deleted
/// what it does not need.
pub(crate) fn unless_fenced(authority: &dyn Authority, error: OpenError) -> OpenError {
    let epoch = authority.epoch().filter(|_| authority.shared());
    let fenced = epoch.and_then(|epoch| authority.confirm(epoch, Point::Serve(Lsn::ZERO)).err());
    fenced.map_or(error, OpenError::Fenced)
}

/// The lock that who writes by this authority holds.
pub(crate) fn lock_for(
    disk: &dyn Disk,
    authority: &dyn Authority,
    control: &Control,
) -> Result<Option<Arc<dyn File>>, OpenError> {
    match (authority.shared(), control.shared) {
        (true, false) => Err(OpenError::NotShared),
        // No lock: one that a frozen host holds would keep its successor out.
        (true, true) => Ok(None),
        (false, _) => lock_directory(disk).map(Some),
    }
}

/// Takes a new epoch after what `recovered` found, sealing the history there.
pub(crate) fn start(
    disk: Arc<dyn Disk>,
    options: Options,
    authority: Arc<dyn Authority>,
    recovered: Recovered,
    lock: Option<Arc<dyn File>>,
) -> Result<Opened, OpenError> {
    let started = begin(disk, options, Arc::clone(&authority), recovered, lock);
    started.map_err(|error| unless_fenced(authority.as_ref(), error))
}

fn begin(
    disk: Arc<dyn Disk>,
    options: Options,
    authority: Arc<dyn Authority>,
    recovered: Recovered,
    lock: Option<Arc<dyn File>>,
) -> Result<Opened, OpenError> {
    let shared = authority.shared();
    let seen = recovered.directory.greatest_epoch();
    let epoch = authority.epoch().unwrap_or(seen.next());
    if epoch <= seen {
        return Err(OpenError::Epoch { granted: epoch, seen });
    }
    if shared && recovered.whose == Whose::Copy {
        return Err(OpenError::SharedCopy);
    }
    let adoption = adoption(disk.as_ref(), &options, &recovered)?;
    let incarnation = adoption.as_ref().map(|adoption| adoption.incarnation);
    let incarnation = incarnation.unwrap_or(recovered.control.incarnation);
    let io = |what: &str| OpenError::io(what.to_owned());
    sync_found(disk.as_ref(), &recovered)?;
    let (mut control, vouched) = if shared {
        let vouched = recovered.control.watermark;
        let made = ControlFile::create_of(disk.as_ref(), &recovered.control, epoch, vouched);
        (made.map_err(io("control file of the epoch"))?, vouched)
    } else {
        let opened = ControlFile::open(disk.as_ref(), recovered.control.clone());
        let mut control = opened.map_err(io(names::CONTROL))?;
        control.start_epoch(epoch, recovered.end.lsn, adoption).map_err(io(names::CONTROL))?;
        // Nobody else writes here: what recovery found is the history.
        (control, recovered.end.lsn)
    };

    let ordinal = recovered.directory.greatest_ordinal().saturating_add(1);
    let id = SegmentId { epoch, ordinal };
    let cluster = recovered.control.cluster;
    let header = segment_header(cluster, incarnation, id, &options).map_err(io("segment"))?;
    // Small, and needed now: its zeros are written at once, in one piece.
    let zeros = disk.prewrite_helps();
    let active = prepare(disk.as_ref(), &header, options.segment_min, zeros, &mut |_| {})
        .map_err(io("segment"))?;
    let (jobs, receiver) = mpsc::channel();
    let hasher = options.background.then_some(jobs);
    let end = recovered.end;
    let mut appender = Appender::new(epoch, active, &end, vouched, hasher.clone());
    let first = end.segment.epoch == Epoch(0);
    let seal = Seal {
        segment: end.segment,
        offset: if first { 0 } else { end.offset },
        lsn: end.lsn,
        chain: end.chain,
        incarnation: recovered.control.incarnation,
    };
    // From here on the older history ends at the seal, whatever stands behind it.
    appender.start_epoch(&seal, (options.clock)()).map_err(|error| match error {
        AppendError::Room(source) | AppendError::Flush(source) => {
            OpenError::Io { what: "segment".to_owned(), source: Arc::new(source) }
        }
    })?;
    // Whoever claims a later epoch from here on reads this seal, and goes on from it.
    authority.confirm(epoch, Point::Serve(end.lsn))?;
    if shared {
        control.update(|control| control.watermark = end.lsn).map_err(io("control file"))?;
        forget_controls(disk.as_ref(), &recovered.directory);
    }
    let position = appender.position();
    let segment_next = (options.segment_min * 2).min(options.segment_max);
    let live_bytes = recovered.view.base.as_ref().map_or(0, |base| base.header().logical_bytes);
    let tables = recovered.view.table_names().into_iter().map(Into::into).collect();
    let asks_aside = options.background && authority.may_wait();
    let (acknowledger, gate) = asks_aside.then(mpsc::channel).unzip();
    let inner = Arc::new(Inner {
        state: Mutex::new(State {
            view: recovered.view,
            position,
            log_bytes: recovered.log_bytes,
            log_before: 0,
        }),
        disk,
        options,
        authority,
        epoch,
        cluster,
        incarnation,
        queue: Queue::default(),
        appender: Mutex::new(appender),
        prepared: Mutex::new(None),
        next_ordinal: AtomicU64::new(ordinal.saturating_add(1)),
        next_capacity: AtomicU64::new(segment_next),
        live_bytes: AtomicU64::new(live_bytes),
        flushed: Mutex::default(),
        flush_lsn: AtomicU64::new(end.lsn.0),
        commit_lsn: AtomicU64::new(end.lsn.0),
        followers: Followers::default(),
        control: Mutex::new(control),
        tables: RwLock::new(tables),
        checkpointing: Mutex::new(()),
        bell: Bell::default(),
        alarm: Alarm::default(),
        nameless: Mutex::default(),
        closing: AtomicBool::new(false),
        applier: Signal::default(),
        hasher,
        acknowledger,
        buffers: Buffers::default(),
        counters: Counters::default(),
        throttle: Throttle::new(recovered.log_bytes),
        lock,
    });
    let threads = if inner.options.background {
        keeper::start(&inner, receiver, gate).map_err(OpenError::io("threads"))?
    } else {
        Vec::new()
    };
    Ok(Opened { inner, threads, report: recovered.report })
}

/// Makes what recovery goes by survive a power cut, before anything is written or deleted because
/// of it: a snapshot lost after its segments would be the end. (The control file does so itself.)
pub(crate) fn sync_found(disk: &dyn Disk, recovered: &Recovered) -> Result<(), OpenError> {
    disk.sync_names(Site::Found).map_err(OpenError::io("directory"))?;
    if let Some(doubt) = &recovered.doubt {
        let name = FileName::Segment(doubt.segment).to_string();
        doubt.remove(disk).map_err(OpenError::io(name))?;
    }
    if let Some(base) = &recovered.view.base {
        // Records and footer were flushed before the header was written.
        base.flush().map_err(OpenError::io(base.name()))?;
        settle_header(disk, base.name())?;
    }
    if let Some(newest) = newer_snapshot(recovered) {
        settle_header(disk, &newest)?;
    }
    if recovered.whose == Whose::Copy {
        flush_copy(disk, &recovered.directory)?;
    }
    Ok(())
}

/// The newest snapshot, where the state was put together with an older one: others may be deleted
/// because of it.
fn newer_snapshot(recovered: &Recovered) -> Option<String> {
    let seals = Seals::of(&recovered.directory);
    let accepted = recovered
        .directory
        .snapshots
        .iter()
        .filter(|facts| facts.header.as_ref().is_ok_and(|header| seals.accepts(header)));
    let newest = accepted.max_by_key(|facts| (facts.epoch, facts.lsn))?.name();
    let base = recovered.view.base.as_ref().map(|base| base.name());
    (base != Some(newest.as_str())).then_some(newest)
}

/// A snapshot that is gone was superseded by one that is durable.
fn settle_header(disk: &dyn Disk, name: &str) -> Result<(), OpenError> {
    let settled = disk.open(name, Access::Write);
    let settled = settled.and_then(|file| doubt::settle(file.as_ref(), 0, Site::Found));
    match settled {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        settled => settled.map_err(OpenError::io(name)),
    }
}

/// Copiers do not flush: every file that the history goes through may stand in the page cache only,
/// and so may the directory itself.
fn flush_copy(disk: &dyn Disk, directory: &Directory) -> Result<(), OpenError> {
    disk.sync_parent(Site::Found).map_err(OpenError::io("parent directory"))?;
    let segments = directory.segments.values().map(SegmentFacts::name);
    let snapshots = directory.snapshots.iter().map(SnapshotFacts::name);
    for name in segments.chain(snapshots) {
        let synced = disk.open(&name, Access::Read).and_then(|file| file.sync(Site::Found));
        synced.map_err(OpenError::io(name))?;
    }
    Ok(())
}

/// Removes the control files of older epochs: the newest one vouches for all that they do. Their
/// writers, if they wake, write what has no name any more.
fn forget_controls(disk: &dyn Disk, directory: &Directory) {
    for epoch in directory.controls.keys() {
        if let Err(error) = disk.remove(&FileName::ControlOf(*epoch).to_string())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, %epoch, "the control file of an older epoch stays");
        }
    }
}

/// Takes the directory's lock, as an open for writing does: nobody writes it while the file is
/// open.
///
/// # Errors
/// [`OpenError::Locked`], [`OpenError::Shared`], and others of the file system.
pub fn lock_directory(disk: &dyn Disk) -> Result<Arc<dyn File>, OpenError> {
    let file = take_lock(disk)?;
    // Looked at under the lock, which whoever makes the directory a shared one takes, too.
    if is_shared(disk) { Err(OpenError::Shared) } else { Ok(file) }
}

fn take_lock(disk: &dyn Disk) -> Result<Arc<dyn File>, OpenError> {
    let opened = match disk.open(names::LOCK, Access::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match disk.open(names::LOCK, Access::Create) {
                // Another process was quicker to make it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    disk.open(names::LOCK, Access::Write)
                }
                made => made,
            }
        }
        opened => opened,
    };
    let file = opened.map_err(OpenError::io(names::LOCK))?;
    match file.try_lock(true) {
        Ok(()) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(OpenError::Locked),
        Err(error) => Err(OpenError::io(names::LOCK)(error)),
    }
}

/// A copy that is opened for writing becomes a store of its own.
fn adoption(
    disk: &dyn Disk,
    options: &Options,
    recovered: &Recovered,
) -> Result<Option<Adoption>, OpenError> {
    if recovered.whose != Whose::Copy && !options.adopt {
        return Ok(None);
    }
    let control = &recovered.control;
    let directory = &recovered.directory;
    let segments = directory.segments.values().filter_map(|s| s.header.as_ref().ok());
    let snapshots = directory.snapshots.iter().filter_map(|s| s.header.as_ref().ok());
    let present: Vec<_> =
        segments.map(|s| s.incarnation).chain(snapshots.map(|s| s.incarnation)).collect();
    let mut ancestors = control.ancestors.clone();
    let last_epoch = directory.greatest_epoch();
    ancestors.push(Ancestor { incarnation: control.incarnation, last_epoch });
    ancestors.retain(|ancestor| present.contains(&ancestor.incarnation));
    if ancestors.len() > ANCESTORS_MAX {
        return Err(OpenError::Adoptions);
    }
    let handle = disk.handle(names::CONTROL).map_err(OpenError::io(names::CONTROL))?;
    Ok(Some(Adoption {
        incarnation: random_id().map_err(OpenError::io("random numbers"))?,
        handle: handle.unwrap_or_default(),
        ancestors,
    }))
}
