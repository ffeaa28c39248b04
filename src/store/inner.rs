//! The heart of an open store: what its threads share, and the path of a group from the queue to
//! its acknowledgement.
//!
//! Invariants:
//! - `commit_lsn <= flush_lsn`; nothing above `commit_lsn` is shown or acknowledged;
//! - groups enter `flushed` in order, and leave it in order, once committed.

use crate::base::spans::Spans;
use crate::base::{Authority, Epoch, Fenced, Id, Lsn, Point, SegmentId};
use crate::disk::{Disk, File};
use crate::format::{SegmentHeader, group};
use crate::log::{AppendError, Appender, Buffers, Job, Position, Prepared, Written, prepare};
use crate::store::commit::{CROWD, Queue, Signal, Taken};
use crate::store::control::ControlFile;
use crate::store::error::{Poison, Refusal, SaveError};
use crate::store::keeper::Alarm;
use crate::store::keeper::Bell;
use crate::store::options::Options;
use crate::store::round::Round;
use crate::store::state::View;
use crate::store::throttle::{Steps, Throttle};
use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock, mpsc};
use std::time::Instant;

/// From this many committed saves on, or so many bytes, the applier is woken; fewer are applied by
/// whoever next asks for the state. Waking it for every group would cost savers their core.
const APPLY_SAVES: u64 = 1024;
const APPLY_BYTES: u64 = 1 << 20;

/// Bytes of committed saves that may wait to be applied: past this, whoever commits applies them.
const UNAPPLIED_MAX: u64 = 32 << 20;

/// A segment is at most this part of what the store holds, but may always be so many bytes.
const SHARE_OF_LIVE: u64 = 8;
const SEGMENT_ENOUGH: u64 = 16 << 20;

/// A group that is flushed and not yet applied.
#[derive(Debug)]
pub(crate) struct FlushedGroup {
    written: Written,
    saves: u64,
    after: Position,
    bytes: u64,
}

/// Flushed groups in order.
#[derive(Debug, Default)]
pub(crate) struct Unapplied {
    groups: VecDeque<FlushedGroup>,
    bytes: u64,
    saves: u64,
}

/// The state, and where in the log it stands.
#[derive(Debug)]
pub(crate) struct State {
    pub view: View,
    pub position: Position,
    /// Bytes of log since the snapshot.
    pub log_bytes: u64,
    /// Of these, bytes that the snapshot in the making will hold.
    pub log_before: u64,
}

/// Counters since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub saves: AtomicU64,
    pub groups: AtomicU64,
    pub log_bytes: AtomicU64,
    pub unprepared_rotations: AtomicU64,
    pub slowed: AtomicU64,
    pub checkpoints: AtomicU64,
    /// How long groups took to be written and flushed.
    pub flushes: Spans,
}

pub(crate) struct Inner {
    pub disk: Arc<dyn Disk>,
    pub options: Options,
    pub authority: Arc<dyn Authority>,
    pub epoch: Epoch,
    pub cluster: Id,
    pub incarnation: Id,
    pub queue: Queue,
    pub appender: Mutex<Appender>,
    pub prepared: Mutex<Option<Prepared>>,
    pub next_ordinal: AtomicU64,
    pub next_capacity: AtomicU64,
    /// Bytes of keys and values in the newest snapshot.
    pub live_bytes: AtomicU64,
    pub flushed: Mutex<Unapplied>,
    pub state: Mutex<State>,
    pub flush_lsn: AtomicU64,
    pub commit_lsn: AtomicU64,
    /// For followers that sleep until there is more.
    pub followers: Followers,
    pub control: Mutex<ControlFile>,
    pub tables: RwLock<HashSet<Box<str>>>,
    pub checkpointing: Mutex<()>,
    pub bell: Bell,
    pub alarm: Alarm,
    /// Deleted files whose room is still to be freed.
    pub nameless: Mutex<Vec<Arc<dyn File>>>,
    pub closing: AtomicBool,
    /// Applies what is committed.
    pub applier: Signal,
    /// Computes links of large groups.
    pub hasher: Option<mpsc::Sender<Job>>,
    /// Asks the authority for the flusher, where that may wait.
    pub acknowledger: Option<mpsc::Sender<Gate>>,
    pub buffers: Buffers,
    pub counters: Counters,
    /// Slows savers when no snapshot keeps up with them.
    pub throttle: Throttle,
    /// Held as long as the store is open: nobody else writes here. None in a shared directory.
    pub lock: Option<Arc<dyn File>>,
}

/// Followers in this process that wait for saves.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    waiting: Mutex<usize>,
    more: Condvar,
}

impl Followers {
    /// Sleeps until `ready`, or the time is over.
    pub fn wait(&self, timeout: std::time::Duration, ready: impl Fn() -> bool) {
        let mut waiting = self.waiting.lock().expect("no panic under this lock");
        *waiting += 1;
        let outcome = self.more.wait_timeout_while(waiting, timeout, |_| !ready());
        let (mut waiting, _) = outcome.expect("no panic under this lock");
        *waiting -= 1;
    }

    /// Wakes those that sleep.
    pub fn wake(&self) {
        if *self.waiting.lock().expect("no panic under this lock") > 0 {
            self.more.notify_all();
        }
    }
}

/// A round that is flushed, or failed to be, and whose members wait.
pub(crate) struct FlushedRound {
    round: Arc<Round>,
    saves: u32,
    flushed: Result<Lsn, SaveError>,
}

/// Work for the acknowledger.
pub(crate) enum Gate {
    /// Ask, and wake the members.
    Round(FlushedRound),
    /// No more work comes.
    Stop,
}

/// Ends a round whose last save has the LSN in `outcome`.
fn finish(round: &Round, saves: u32, outcome: Result<Lsn, SaveError>) {
    round.finish(outcome.map(|last| Lsn(last.0 + 1 - u64::from(saves))));
}

/// Locks, where a panic of another thread under the lock is a bug of ours.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic under this lock")
}

impl Inner {
    pub fn commit_lsn(&self) -> Lsn {
        Lsn(self.commit_lsn.load(Ordering::Acquire))
    }

    pub fn flush_lsn(&self) -> Lsn {
        Lsn(self.flush_lsn.load(Ordering::Acquire))
    }

    /// Takes the collecting round to its end. The caller holds the lead; afterwards it does not.
    pub fn lead(&self) {
        self.lead_round();
        // Rounds that only tickets wait in are the flusher's: without threads, that is whoever
        // leads.
        while !self.options.background && self.queue.flusher.take() {
            self.lead_round();
        }
    }

    fn lead_round(&self) {
        if let Some(round) = self.flush_round() {
            // The next group may be flushed while this one waits at the gate.
            self.queue.hand_on(round.saves, self.options.background);
            self.conclude(round);
        }
    }

    /// The flusher's part: leads round after round while many save at once, and gives the lead
    /// back when they no longer do. The next group is written as soon as one is; a saver would have
    /// to be woken first, which takes as long as the disk.
    pub fn lead_crowd(&self) {
        while let Some(round) = self.flush_round() {
            let crowd = round.saves >= CROWD;
            if !crowd {
                self.queue.hand_on(round.saves, true);
            }
            match &self.acknowledger {
                // Only the flusher is never to wait at the gate.
                Some(acknowledger) => drop(acknowledger.send(Gate::Round(round))),
                None => self.conclude(round),
            }
            if !crowd {
                return;
            }
        }
    }

    /// Waits where too much was logged since the last snapshot; whether it had to.
    fn admit(&self) -> Result<bool, String> {
        if !self.options.background {
            return Ok(false);
        }
        self.throttle.admit(self.steps(), || self.queue.is_ending())
    }

    /// What happens at which backlog.
    pub fn steps(&self) -> Steps {
        Steps::new(self.due(), self.options.changes_max_bytes)
    }

    /// Flushes the collecting round. `None`: there was nobody in it, and the lead is given back.
    fn flush_round(&self) -> Option<FlushedRound> {
        // Before any lock is taken: it may take as long as a snapshot does.
        let admitted = self.admit();
        let mut appender = lock(&self.appender);
        appender.pace.linger(|| self.queue.joined());
        let mut taken = self.queue.take(|| self.buffers.take())?;
        let started = Instant::now();
        if admitted == Ok(true) {
            self.counters.slowed.fetch_add(u64::from(taken.saves), Ordering::Relaxed);
        }
        let admitted = admitted.map_err(|why| SaveError::Refused(Refusal::Backlog(why)));
        let flushed = admitted.and_then(|_| self.flush(&mut appender, &mut taken));
        if matches!(flushed, Err(SaveError::Refused(_))) {
            // Before the lead is handed on: the next round sees it.
            self.queue.count_refusal();
        }
        appender.pace.learn(taken.saves, self.queue.joined(), started.elapsed());
        Some(FlushedRound { round: taken.round, saves: taken.saves, flushed })
    }

    /// Confirms a flushed round and wakes everybody in it.
    fn conclude(&self, round: FlushedRound) {
        let outcome = round.flushed.and_then(|last| self.confirm(last));
        finish(&round.round, round.saves, outcome);
        self.after_commit();
    }

    /// Concludes rounds that the flusher has flushed, until it is told to stop: asks the authority
    /// once for all that came meanwhile.
    pub fn acknowledge(&self, gate: &mpsc::Receiver<Gate>) {
        while let Ok(Gate::Round(first)) = gate.recv() {
            let mut rounds = vec![first];
            let mut stop = false;
            while let (false, Ok(more)) = (stop, gate.try_recv()) {
                match more {
                    Gate::Round(round) => rounds.push(round),
                    Gate::Stop => stop = true,
                }
            }
            let last = rounds.iter().rev().find_map(|round| round.flushed.as_ref().ok());
            let confirmed = last.map(|last| self.confirm(*last));
            for round in rounds {
                let outcome = round.flushed.and_then(|last| match &confirmed {
                    Some(Err(error)) => Err(error.clone()),
                    _ => Ok(last),
                });
                finish(&round.round, round.saves, outcome);
            }
            self.after_commit();
            if stop {
                return;
            }
        }
    }

    fn flush(&self, appender: &mut Appender, taken: &mut Taken) -> Result<Lsn, SaveError> {
        if let Some(refusal) = self.queue.stopped() {
            return Err(SaveError::Refused(refusal));
        }
        if self.queue.is_behind(taken.seen) {
            return Err(SaveError::Refused(Refusal::Behind));
        }
        let group = std::mem::take(&mut taken.group);
        self.make_room(appender, group.len() - group::HEADER_LEN)?;
        let now = (self.options.clock)();
        // Not what is flushed: that may still be waiting at the gate.
        appender.vouch(self.commit_lsn());
        let whole = group.len();
        let began = Instant::now();
        let (flushed, buffer) =
            appender.append(group, taken.saves, now).map_err(|error| self.failed(error))?;
        self.counters.flushes.note(began.elapsed());
        let after = appender.position();
        let written = Written::of(buffer, whole, &self.buffers);
        let mut unapplied = lock(&self.flushed);
        unapplied.bytes += flushed.bytes;
        unapplied.saves += u64::from(taken.saves);
        unapplied.groups.push_back(FlushedGroup {
            written,
            saves: u64::from(taken.saves),
            after,
            bytes: flushed.bytes,
        });
        drop(unapplied);
        self.flush_lsn.store(flushed.last_lsn.0, Ordering::Release);
        self.counters.saves.fetch_add(u64::from(taken.saves), Ordering::Relaxed);
        self.counters.groups.fetch_add(1, Ordering::Relaxed);
        self.counters.log_bytes.fetch_add(flushed.bytes, Ordering::Relaxed);
        self.throttle.logged(flushed.bytes);
        Ok(flushed.last_lsn)
    }

    /// The gate between flush and acknowledgement.
    fn confirm(&self, last: Lsn) -> Result<Lsn, SaveError> {
        match self.authority.confirm(self.epoch, Point::Acknowledge(last)) {
            Ok(()) => {
                self.commit_lsn.fetch_max(last.0, Ordering::AcqRel);
                Ok(last)
            }
            Err(fenced) => Err(SaveError::Unknown(self.fence(fenced))),
        }
    }

    /// Whoever else asks the authority and is refused stops the writer, too.
    pub fn fence(&self, fenced: Fenced) -> Poison {
        let poison = Poison::Fenced(fenced);
        tracing::error!(%poison, "writer stops");
        self.queue.stop(Refusal::Stopped(poison.clone()));
        poison
    }

    fn failed(&self, error: AppendError) -> SaveError {
        match error {
            AppendError::Room(error) => {
                // Told by whoever is refused: it may be thousands of times.
                SaveError::Refused(Refusal::NoRoom(Arc::new(error)))
            }
            AppendError::Flush(error) => {
                let poison = Poison::Flush(Arc::new(error));
                tracing::error!(%poison, "writer stops");
                self.queue.stop(Refusal::Stopped(poison.clone()));
                SaveError::Unknown(poison)
            }
        }
    }

    /// Sees to it that a group of `payload` bytes has room.
    fn make_room(&self, appender: &mut Appender, payload: usize) -> Result<(), SaveError> {
        let rotate = match appender.must_rotate(payload) {
            Ok(rotate) => rotate,
            // No room behind the rest of this segment: there may be a prepared one.
            Err(AppendError::Room(_)) => true,
            Err(error) => return Err(self.failed(error)),
        };
        if !rotate {
            return Ok(());
        }
        let confirmed = self.authority.confirm(self.epoch, Point::Rotate);
        confirmed.map_err(|fenced| SaveError::Refused(Refusal::Stopped(self.fence(fenced))))?;
        let active = appender.active().header.id;
        let next = self.next_segment(payload, active).map_err(|error| {
            self.bell.ring();
            self.failed(AppendError::Room(error))
        })?;
        if let Err(error) = appender.final_stamp() {
            tracing::warn!(%error, "a full segment was not stamped");
        }
        appender.rotate(next);
        self.bell.ring();
        Ok(())
    }

    /// The prepared segment, or one that is made now, without waiting for zeros. That one is not
    /// small: a flush into it costs a commit of metadata, but making it costs several.
    fn next_segment(&self, payload: usize, active: SegmentId) -> io::Result<Prepared> {
        let needed = Appender::segment_for(payload);
        // Ordinals in use must ascend, or recovery would not find the way. So one that is too small
        // is passed over for good, and so is one whose making began before the active segment's
        // and ended too late.
        let prepared = lock(&self.prepared).take();
        let fits = |next: &Prepared| next.capacity >= needed && next.header.id > active;
        if let Some(prepared) = prepared.filter(fits) {
            return Ok(prepared);
        }
        self.counters.unprepared_rotations.fetch_add(1, Ordering::Relaxed);
        match self.make_segment(self.next_capacity().max(needed), false) {
            // There may be room for a small one.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.make_segment(self.options.segment_min.max(needed), false)
            }
            made => made,
        }
    }

    /// The capacity of the next segment: each is twice as large as the one before, up to a share of
    /// what the store holds, so that room in reserve stays small beside it.
    pub fn next_capacity(&self) -> u64 {
        let share = (self.live_bytes.load(Ordering::Relaxed) / SHARE_OF_LIVE).max(SEGMENT_ENOUGH);
        let most = share.min(self.options.segment_max).max(self.options.segment_min);
        self.next_capacity.load(Ordering::Relaxed).min(most)
    }

    /// Makes a segment of this epoch.
    pub fn make_segment(&self, capacity: u64, zeros: bool) -> io::Result<Prepared> {
        let ordinal = self.next_ordinal.fetch_add(1, Ordering::Relaxed);
        let id = SegmentId { epoch: self.epoch, ordinal };
        let header = segment_header(self.cluster, self.incarnation, id, &self.options)?;
        let made = prepare(self.disk.as_ref(), &header, capacity, zeros, &mut |_| {})?;
        let doubled = (capacity * 2).min(self.options.segment_max);
        self.next_capacity.fetch_max(doubled, Ordering::Relaxed);
        Ok(made)
    }

    /// Sees to it that what was committed is applied soon, by somebody else if it is much.
    fn after_commit(&self) {
        self.alarm.logged(self.counters.log_bytes.load(Ordering::Relaxed));
        self.followers.wake();
        self.bell.active();
        let (saves, bytes) = {
            let unapplied = lock(&self.flushed);
            (unapplied.saves, unapplied.bytes)
        };
        if bytes >= UNAPPLIED_MAX || !self.options.background {
            self.apply_committed();
        } else if saves >= APPLY_SAVES || bytes >= APPLY_BYTES {
            self.applier.set();
        }
    }

    /// Applies everything that is committed; afterwards the state stands at `commit_lsn`, at least
    /// as it was when this was called.
    pub fn apply_committed(&self) {
        drop(self.current_state());
        self.merge_changes();
    }

    /// The state at `commit_lsn`.
    pub fn current_state(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        let committed = self.commit_lsn();
        loop {
            let mut unapplied = lock(&self.flushed);
            let ready = unapplied.groups.pop_front_if(|group| group.after.lsn <= committed);
            let Some(group) = ready else { break };
            unapplied.bytes -= group.bytes;
            unapplied.saves -= group.saves;
            drop(unapplied);
            state.view.active.apply(&Arc::new(group.written.keep(&self.buffers)));
            state.view.lsn = group.after.lsn;
            state.view.time = group.after.time;
            state.position = group.after;
            state.log_bytes += group.bytes;
        }
        state.view.active.settle();
        state
    }

    /// Merges what changed into larger runs, while others look at the state.
    pub fn merge_changes(&self) {
        let due = || lock(&self.state).view.active.merge_due();
        while let Some(due) = due() {
            let run = due.run();
            lock(&self.state).view.active.merged(due, run);
        }
    }

    /// Whether enough was logged for a snapshot.
    pub fn checkpoint_due(&self) -> bool {
        self.until_due() == 0
    }

    /// Bytes to be logged until a snapshot is due.
    pub fn until_due(&self) -> u64 {
        let logged = self.current_state().log_bytes;
        self.due().saturating_sub(logged)
    }

    /// Bytes of log that a snapshot is due at.
    fn due(&self) -> u64 {
        let live = self.live_bytes.load(Ordering::Relaxed);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )]
        let wanted = (live as f64 * self.options.snapshot_ratio) as u64;
        wanted.max(self.options.snapshot_min_bytes)
    }
}

/// The first block of a new segment.
pub(crate) fn segment_header(
    cluster: Id,
    incarnation: Id,
    id: SegmentId,
    options: &Options,
) -> io::Result<SegmentHeader> {
    let random = crate::store::control::random_id()?;
    let mut nonce = [0; 8];
    nonce.copy_from_slice(&random.0[..8]);
    Ok(SegmentHeader {
        cluster,
        incarnation,
        id,
        nonce: u64::from_le_bytes(nonce),
        created: (options.clock)(),
        prewritten: 0,
    })
}
