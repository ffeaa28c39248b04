//! [`Store`]: the face of an open store.

use crate::base::limits::TABLES_MAX;
use crate::base::spans::Counted;
use crate::base::{Authority, Epoch, Id, Lsn};
use crate::disk::{Disk, Real};
use crate::format::Batch;
use crate::log::Job;
use crate::snapshot::SnapshotError;
use crate::store::checkpoint::CheckpointError;
use crate::store::commit::Part;
use crate::store::create;
use crate::store::error::{OpenError, ReadError, Refusal, SaveError};
use crate::store::follow::Follower;
use crate::store::history::{self, At, History};
use crate::store::inner::{Gate, Inner};
use crate::store::open;
use crate::store::options::Options;
use crate::store::recovery::{Report, Writer};
use crate::store::retention::Deleted;
use crate::store::round::{Ticket, Woken};
use crate::store::state::View;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

/// A store that is open for writing. Shared between threads by reference or `Arc`; every method
/// takes `&self`. Dropping it closes it, as far as that goes without errors being seen.
///
/// ```no_run
/// use statedir::{Batch, Options, Store};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let dir = std::path::Path::new("/var/spool/controller");
/// Store::create(dir, &Options::default())?;
/// let store = Store::open(dir, Options::default(), std::sync::Arc::new(statedir::base::Local))?;
/// let mut batch = Batch::new();
/// batch.put("jobs", b"17", b"pending")?;
/// let lsn = store.save(batch)?; // durable now
/// assert_eq!(store.get("jobs", b"17")?.as_deref(), Some(&b"pending"[..]));
/// # let _ = lsn;
/// store.close()?;
/// # Ok(())
/// # }
/// ```
pub struct Store {
    inner: Arc<Inner>,
    threads: Vec<JoinHandle<()>>,
    report: Report,
}

/// Closing could not do everything. What was acknowledged is safe all the same.
#[derive(Debug, thiserror::Error)]
#[error("closing: {0}")]
pub struct CloseError(#[from] io::Error);

/// How far the store has come, and what it did, since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The writer's epoch.
    pub epoch: Epoch,
    /// Durable here.
    pub flush_lsn: Lsn,
    /// Durable on everything that is required: acknowledged, and visible.
    pub commit_lsn: Lsn,
    /// Saves written.
    pub saves: u64,
    /// Groups written.
    pub groups: u64,
    /// Bytes written to the log.
    pub log_bytes: u64,
    /// Rotations that found no prepared segment.
    pub unprepared_rotations: u64,
    /// Saves that were slowed because a snapshot did not keep up.
    pub slowed: u64,
    /// Snapshots made.
    pub checkpoints: u64,
}

impl Store {
    /// Makes `path` (an empty directory, or none whose parent exists) an empty store.
    ///
    /// # Errors
    /// [`OpenError::NotEmpty`], [`OpenError::Permissions`], those of the file system. A `create`
    /// that was cut short is taken up again.
    pub fn create(path: &Path, _options: &Options) -> Result<(), OpenError> {
        let disk = Real::create(path).map_err(|error| match error.kind() {
            io::ErrorKind::DirectoryNotEmpty => OpenError::NotEmpty(String::from("something")),
            _ => OpenError::io(path.display().to_string())(error),
        })?;
        create::create(&disk)
    }

    /// As [`Store::create`], on any disk.
    ///
    /// # Errors
    /// As [`Store::create`].
    pub fn create_on(disk: &dyn Disk) -> Result<(), OpenError> {
        create::create(disk)
    }

    /// Opens the store in `path` for writing, recovering what was durable.
    ///
    /// # Errors
    /// [`OpenError`]; nothing in the directory was changed then.
    pub fn open(
        path: &Path,
        options: Options,
        authority: Arc<dyn Authority>,
    ) -> Result<Store, OpenError> {
        let disk = Real::open(path).map_err(OpenError::io(path.display().to_string()))?;
        Store::open_on(Arc::new(disk), options, authority)
    }

    /// As [`Store::open`], on any disk.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: Options,
        authority: Arc<dyn Authority>,
    ) -> Result<Store, OpenError> {
        open::open(disk, options, authority).map(Store::of)
    }

    pub(crate) fn of(opened: open::Opened) -> Store {
        Store { inner: opened.inner, threads: opened.threads, report: opened.report }
    }

    /// What recovery passed by when the store was opened.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The writer's epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.inner.epoch
    }

    /// The identity of this directory's history.
    #[must_use]
    pub fn incarnation(&self) -> Id {
        self.inner.incarnation
    }

    /// How far the store has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let count = &self.inner.counters;
        Progress {
            epoch: self.inner.epoch,
            // In this order: a commit between the two reads never shows as ahead of its flush.
            commit_lsn: self.inner.commit_lsn(),
            flush_lsn: self.inner.flush_lsn(),
            saves: count.saves.load(Ordering::Relaxed),
            groups: count.groups.load(Ordering::Relaxed),
            log_bytes: count.log_bytes.load(Ordering::Relaxed),
            unprepared_rotations: count.unprepared_rotations.load(Ordering::Relaxed),
            slowed: count.slowed.load(Ordering::Relaxed),
            checkpoints: count.checkpoints.load(Ordering::Relaxed),
        }
    }

    /// How long groups took to be written and flushed, since the store was opened.
    #[must_use]
    pub fn flushes(&self) -> Counted {
        self.inner.counters.flushes.counted()
    }

    /// Applies `batch` atomically. Returns its LSN when it is durable.
    ///
    /// # Errors
    /// [`SaveError::Refused`]: certainly not applied. [`SaveError::Unknown`]: the next open
    /// decides.
    pub fn save(&self, batch: Batch) -> Result<Lsn, SaveError> {
        self.check_tables(&batch)?;
        let save = batch.encode();
        let (ticket, part) =
            self.inner.queue.push(&save, true, None).map_err(SaveError::Refused)?;
        // Its bytes are in the group.
        drop(save);
        if part == Part::Lead || ticket.round().wait_to_lead() == Woken::Lead {
            self.inner.lead();
        }
        ticket.wait()
    }

    /// Puts `batch` on its way and returns at once, except while more than a group's worth of saves
    /// waits. Saves are applied in the order in which they were submitted by one thread.
    ///
    /// # Errors
    /// [`SaveError::Refused`].
    pub fn submit(&self, batch: Batch) -> Result<Ticket, SaveError> {
        self.put_on_its_way(batch, None)
    }

    /// As [`Store::submit`], for saves that rest on those before them: it is refused if one was
    /// refused since [`Store::refusals`] was `seen`, so that none of a row is durable without those
    /// that were submitted before it. Saves of others in the same group are refused with it.
    ///
    /// After a refusal: wait for every ticket of the row, ask for `refusals` again, and go on from
    /// the state that is durable.
    ///
    /// # Errors
    /// [`SaveError::Refused`], with [`Refusal::Behind`] at once or from the ticket.
    pub fn submit_after(&self, batch: Batch, seen: u64) -> Result<Ticket, SaveError> {
        self.put_on_its_way(batch, Some(seen))
    }

    /// Groups of saves that were refused since the store was opened.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.inner.queue.refusals()
    }

    fn put_on_its_way(&self, batch: Batch, seen: Option<u64>) -> Result<Ticket, SaveError> {
        self.check_tables(&batch)?;
        let save = batch.encode();
        let (ticket, part) =
            self.inner.queue.push(&save, false, seen).map_err(SaveError::Refused)?;
        match part {
            Part::Lead if self.inner.options.background => self.inner.queue.flusher.set(),
            Part::Lead => self.inner.lead(),
            Part::Follow => {}
        }
        Ok(ticket)
    }

    fn check_tables(&self, batch: &Batch) -> Result<(), SaveError> {
        let known = self.inner.tables.read().expect("no panic under this lock");
        if batch.tables().all(|table| known.contains(table)) {
            return Ok(());
        }
        drop(known);
        let mut known = self.inner.tables.write().expect("no panic under this lock");
        let new: BTreeSet<&str> = batch.tables().filter(|table| !known.contains(*table)).collect();
        if known.len() + new.len() > TABLES_MAX {
            let table = new.last().map(|table| (*table).to_owned()).unwrap_or_default();
            return Err(SaveError::Refused(Refusal::Tables(table)));
        }
        known.extend(new.into_iter().map(Into::into));
        Ok(())
    }

    /// The whole state as it is now. Later saves do not show.
    #[must_use]
    pub fn view(&self) -> View {
        self.inner.current_state().view.clone()
    }

    /// The value of `key` in `table`.
    ///
    /// # Errors
    /// [`SnapshotError`] where the disk no longer gives what it held.
    pub fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, SnapshotError> {
        self.view().get(table, key).map(|value| value.map(<[u8]>::to_vec))
    }

    /// Hands every entry to `each`, in order of tables and keys: what a controller does at start.
    /// Every byte was verified when the store was opened.
    ///
    /// # Errors
    /// As [`Store::get`], or what `each` returns.
    pub fn load<E: From<SnapshotError>>(
        &self,
        each: impl FnMut(&str, &[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.view().for_each(each)
    }

    /// The state at a retained LSN or time.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] and others.
    pub fn at(&self, at: At) -> Result<View, ReadError> {
        let writer = Writer::Lives(self.inner.commit_lsn());
        history::at(self.inner.disk.as_ref(), at, writer)
    }

    /// The range that [`Store::at`] can read.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn history(&self) -> Result<History, ReadError> {
        let view = self.view();
        history::range(self.inner.disk.as_ref(), view.lsn(), view.time())
    }

    /// Every save from `from` on, in order, and those that follow.
    ///
    /// # Errors
    /// [`ReadError::Behind`] if `from` is no longer retained.
    pub fn follow(&self, from: Lsn) -> Result<Follower, ReadError> {
        Follower::inside(Arc::clone(&self.inner), from)
    }

    /// Makes a snapshot of the state as it is now, without stopping writers. `None`: nothing has
    /// changed since the last one.
    ///
    /// # Errors
    /// [`CheckpointError`]; the store goes on as before.
    pub fn checkpoint(&self) -> Result<Option<Lsn>, CheckpointError> {
        self.inner.checkpoint(false)
    }

    /// Deletes superseded files that are no longer to be retained.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn prune(&self) -> io::Result<Vec<Deleted>> {
        self.inner.prune()
    }

    /// The work of the store's threads, once: for stores that were opened without threads.
    ///
    /// # Errors
    /// Those of the file system; nothing acknowledged is at stake.
    pub fn maintain(&self) -> io::Result<()> {
        self.inner.maintain()
    }

    /// Ends the store: saves in flight are finished, the watermark is published, room that was
    /// prepared is given back.
    ///
    /// # Errors
    /// [`CloseError`]; what was acknowledged is safe all the same.
    pub fn close(mut self) -> Result<(), CloseError> {
        self.shut().map_err(CloseError)
    }

    fn shut(&mut self) -> io::Result<()> {
        if self.inner.closing.load(Ordering::Acquire) {
            return Ok(());
        }
        let outcome = self.finish();
        // A follower may keep the rest alive, but not the right to write.
        outcome.and(self.inner.lock.as_ref().map_or(Ok(()), |lock| lock.unlock()))
    }

    fn finish(&mut self) -> io::Result<()> {
        let inner = &self.inner;
        // What waits is flushed; then the lead is kept: no group is flushed from here on, and the
        // threads may go.
        inner.queue.close();
        inner.closing.store(true, Ordering::Release);
        inner.queue.flusher.set();
        inner.applier.set();
        inner.bell.ring();
        for thread in &self.threads {
            thread.thread().unpark();
        }
        if let Some(hasher) = &inner.hasher {
            // The hasher is there until it is told to stop.
            drop(hasher.send(Job::Stop));
        }
        if let Some(acknowledger) = &inner.acknowledger {
            // Behind everything that was flushed.
            drop(acknowledger.send(Gate::Stop));
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store has panicked");
            }
        }
        inner.apply_committed();
        if inner.queue.poison().is_some() {
            return Ok(());
        }
        inner.publish_watermark()?;
        inner.give_back()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.shut() {
            tracing::warn!(%error, "the store was not closed cleanly");
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.inner.disk.path())
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}
