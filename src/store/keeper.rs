//! The store's own threads, and the work that they do aside: prepare the next segment, publish the
//! watermark when saves pause, apply, make snapshots, delete what is superseded.
//!
//! Invariant: none of this is needed for a save to be durable; whatever fails here is logged, and
//! tried again.

use crate::base::limits::BLOCK;
use crate::log::Job;
use crate::store::inner::{Gate, Inner, lock};
use crate::store::retention::DISSOLVE_PAUSE;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, mpsc};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// Saves have paused when none came for so long.
const IDLE: Duration = Duration::from_millis(10);

/// How often is looked after the segment's length until every group shows in it, and how long a
/// pause of saves is before that is done at once.
const STAMP: Duration = Duration::from_millis(5);

/// While saves come without a pause, the watermark is published this often.
const PUBLISH: Duration = Duration::from_secs(1);

/// How often a failed act is tried again, and superseded files are looked at.
const RETRY: Duration = Duration::from_millis(200);

/// How often superseded files are looked at when nothing else happens.
const PRUNE: Duration = Duration::from_secs(30);

/// How far snapshots stand behind, as nice(1) counts.
const NICE: i32 = 5;

/// Wakes the keeper. Ringing costs savers one atomic when it is awake.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    bell: Condvar,
    asleep: AtomicBool,
    activity: AtomicBool,
    /// The thread that lets copiers see groups, awake as long as the keeper is.
    stamper: OnceLock<Thread>,
}

impl Bell {
    /// There is something to do now.
    pub fn ring(&self) {
        *lock(&self.rung) = true;
        self.bell.notify_all();
    }

    /// A group was committed.
    pub fn active(&self) {
        self.activity.store(true, Ordering::Relaxed);
        if self.asleep.swap(false, Ordering::AcqRel) {
            self.ring();
        }
    }

    fn wait(&self, timeout: Duration) {
        let rung = lock(&self.rung);
        let outcome = self.bell.wait_timeout_while(rung, timeout, |rung| !*rung);
        let (mut rung, _) = outcome.expect("no panic under this lock");
        *rung = false;
        drop(rung);
        self.wake_stamper();
    }

    fn wake_stamper(&self) {
        // Without threads nobody sleeps.
        self.stamper.get().map(Thread::unpark);
    }
}

/// Wakes the thread that makes snapshots when one is due: what is logged until it looks again takes
/// room.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    /// Bytes logged since the store was opened at which it goes off, plus one; 0: it has gone off.
    at: AtomicU64,
    sleeper: OnceLock<Thread>,
}

impl Alarm {
    fn set(&self, logged: u64) {
        self.at.store(logged.saturating_add(1), Ordering::Release);
    }

    /// Whether it went off since it was set.
    pub fn went_off(&self) -> bool {
        self.at.load(Ordering::Acquire) == 0
    }

    /// So many bytes are logged.
    pub fn logged(&self, bytes: u64) {
        let at = self.at.load(Ordering::Acquire);
        if at != 0 && bytes >= at - 1 && self.at.swap(0, Ordering::AcqRel) != 0 {
            // Without threads nobody sleeps.
            self.sleeper.get().map(Thread::unpark);
        }
    }
}

/// Starts the threads.
pub(crate) fn start(
    inner: &Arc<Inner>,
    jobs: mpsc::Receiver<Job>,
    gate: Option<mpsc::Receiver<Gate>>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
        thread::Builder::new().name(format!("statedir-{name}")).spawn(body)
    };
    let (applier, flusher, keeper, pruner) =
        (Arc::clone(inner), Arc::clone(inner), Arc::clone(inner), Arc::clone(inner));
    let stamper = Arc::clone(inner);
    let mut threads = vec![
        // Apart from the applier: a saver may wait for a link.
        spawn(
            "hasher",
            Box::new(move || {
                for job in jobs {
                    match job {
                        Job::Hash(job) => job.run(),
                        Job::Stop => return,
                    }
                }
            }),
        )?,
        spawn("applier", Box::new(move || apply_loop(&applier)))?,
        spawn("flusher", Box::new(move || flush_loop(&flusher)))?,
        spawn("keeper", Box::new(move || keeper_loop(&keeper)))?,
        spawn("stamper", Box::new(move || stamp_loop(&stamper)))?,
        spawn("checkpoint", Box::new(move || checkpoint_loop(&pruner)))?,
    ];
    if let Some(gate) = gate {
        let inner = Arc::clone(inner);
        threads.push(spawn("gate", Box::new(move || inner.acknowledge(&gate)))?);
    }
    Ok(threads)
}

/// Leads rounds that no thread waits in.
fn flush_loop(inner: &Inner) {
    loop {
        inner.queue.flusher.wait();
        if inner.queue.flusher.take() {
            if inner.closing.load(Ordering::Acquire) {
                return;
            }
            inner.lead_crowd();
        }
    }
}

/// Applies what is committed.
fn apply_loop(inner: &Inner) {
    while !inner.closing.load(Ordering::Acquire) {
        inner.applier.wait();
        inner.applier.take();
        inner.apply_committed();
    }
}

fn keeper_loop(inner: &Inner) {
    let mut last_activity = Instant::now();
    let mut last_published = Instant::now();
    let mut failing = false;
    while !inner.closing.load(Ordering::Acquire) {
        if inner.bell.activity.swap(false, Ordering::AcqRel) {
            last_activity = Instant::now();
        }
        if last_activity.elapsed() >= IDLE || last_published.elapsed() >= PUBLISH {
            last_published = Instant::now();
            if let Err(error) = inner.publish_watermark() {
                tracing::warn!(%error, "the watermark could not be published");
            }
        }
        if let Err(error) = inner.prepare_next() {
            if !failing {
                tracing::warn!(%error, "no segment could be prepared");
            }
            failing = true;
        } else {
            failing = false;
        }
        let wait = match (inner.published(), failing) {
            (false, _) => IDLE,
            (true, true) => RETRY,
            (true, false) => {
                inner.bell.asleep.store(true, Ordering::Release);
                // A group committed before the word was set has left its mark.
                if inner.bell.activity.load(Ordering::Acquire) { IDLE } else { PRUNE }
            }
        };
        inner.bell.wait(wait);
        inner.bell.asleep.store(false, Ordering::Release);
    }
    inner.bell.wake_stamper();
}

/// Lets copiers see groups soon, whatever the keeper has to wait for meanwhile: a watermark is
/// flushed and a segment written in tens of milliseconds on a busy disk, and a copier that looks
/// twice in that time would take the second look for the first.
fn stamp_loop(inner: &Inner) {
    inner.bell.stamper.get_or_init(thread::current);
    let mut last = inner.commit_lsn();
    while !inner.closing.load(Ordering::Acquire) {
        let lsn = inner.commit_lsn();
        let idle = lsn == last;
        last = lsn;
        if inner.stamp(idle) && inner.bell.asleep.load(Ordering::Acquire) {
            thread::park();
        } else {
            thread::park_timeout(STAMP);
        }
    }
}

/// Makes this thread give way to savers where both want the same core. Not further: it must come
/// on beside a busy process, too.
fn give_way() {
    let own = rustix::thread::gettid();
    // Where that is not allowed, snapshots are made all the same.
    let _ = rustix::process::setpriority_process(Some(own), NICE);
}

fn checkpoint_loop(inner: &Inner) {
    give_way();
    inner.alarm.sleeper.get_or_init(thread::current);
    let mut pruned = Instant::now();
    while !inner.closing.load(Ordering::Acquire) {
        if inner.checkpoint_due() && inner.queue.stopped().is_none() {
            if let Err(error) = inner.checkpoint(true) {
                tracing::warn!(%error, "no snapshot could be made");
                thread::park_timeout(RETRY);
            }
        } else if pruned.elapsed() >= PRUNE || inner.short_of_space() {
            pruned = Instant::now();
            if let Err(error) = inner.prune() {
                tracing::warn!(%error, "superseded files could not be deleted");
            }
            thread::park_timeout(RETRY);
        } else {
            inner.set_alarm();
            let interrupted = || inner.alarm.went_off() || inner.closing.load(Ordering::Acquire);
            while !interrupted() && inner.dissolve() {
                thread::park_timeout(DISSOLVE_PAUSE);
            }
            if !interrupted() {
                thread::park_timeout(RETRY);
            }
        }
    }
}

impl Inner {
    /// Sets the alarm for the next snapshot.
    pub fn set_alarm(&self) {
        // In this order: what is logged between the two makes it go off early.
        let logged = self.counters.log_bytes.load(Ordering::Relaxed);
        self.alarm.set(logged.saturating_add(self.until_due()));
    }

    /// Everything that the threads do, once; for stores without threads.
    pub fn maintain(&self) -> io::Result<()> {
        self.apply_committed();
        self.prepare_next()?;
        self.stamp(true);
        self.publish_watermark()
    }

    /// Lets a copier see what was appended; whether there is nothing left to show.
    fn stamp(&self, idle: bool) -> bool {
        let mut appender = lock(&self.appender);
        if let Err(error) = appender.stamp((self.options.clock)(), idle) {
            tracing::warn!(%error, "a segment was not stamped");
        }
        appender.is_stamped()
    }

    /// Makes the segment that the next rotation takes.
    fn prepare_next(&self) -> io::Result<()> {
        if lock(&self.prepared).is_some() {
            return Ok(());
        }
        let capacity = self.next_capacity();
        let made = self.make_segment(capacity, self.disk.prewrite_helps())?;
        *lock(&self.prepared) = Some(made);
        Ok(())
    }

    /// Whether the control file vouches for everything committed.
    pub fn published(&self) -> bool {
        lock(&self.control).current().watermark >= self.commit_lsn()
    }

    /// Brings the last acknowledged save under a watermark, too, and shows it to other processes.
    pub fn publish_watermark(&self) -> io::Result<()> {
        let mut control = lock(&self.control);
        let committed = self.commit_lsn();
        if control.current().watermark >= committed {
            return Ok(());
        }
        control.update(|control| control.watermark = committed)
    }

    /// Gives back the room of zeros that no group will need, keeping lengths as they are.
    pub fn give_back(&self) -> io::Result<()> {
        let mut appender = lock(&self.appender);
        appender.final_stamp()?;
        let used = appender.used();
        let active = appender.active();
        let rest = active.file.len()?.saturating_sub(used).next_multiple_of(BLOCK as u64);
        if rest > 0 {
            active.file.punch(used, rest)?;
        }
        if let Some(prepared) = lock(&self.prepared).take() {
            let first = BLOCK as u64;
            prepared.file.punch(first, prepared.capacity - first)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarm_goes_off_once_when_enough_is_logged_and_wakes_who_sleeps() {
        let alarm = Arc::new(Alarm::default());
        alarm.set(100);
        alarm.logged(99);
        assert!(!alarm.went_off());
        let (ready, set) = mpsc::channel();
        let sleeper = thread::spawn({
            let alarm = Arc::clone(&alarm);
            move || {
                alarm.sleeper.get_or_init(thread::current);
                ready.send(()).unwrap();
                while !alarm.went_off() {
                    thread::park();
                }
            }
        });
        set.recv().unwrap();
        alarm.logged(100);
        sleeper.join().unwrap();
        alarm.logged(1000);
        assert!(alarm.went_off());
        alarm.set(u64::MAX);
        alarm.logged(u64::MAX / 2);
        assert!(!alarm.went_off());
    }
}
