//! Group commit: saves of many threads share one flush.
//!
//! A *round* collects saves while the round before is being flushed. Whoever holds the *lead* takes
//! the collecting round, writes it once, and hands the lead on: to a thread that waits in the next
//! round, or to the flusher thread, which keeps it as long as saves come. Then the authority (the
//! gate) is asked, and exactly the round is woken.
//!
//! ```text
//! collecting --lead taken--> flushing --flushed--> confirming --+--> done: Ok(first lsn)
//!                                                                +--> done: refused | unknown
//! ```
//!
//! Invariants:
//! - At most one lead; rounds are flushed in the order in which they were opened.
//! - A round is done once, for all its saves alike, and only after its flush and its confirmation.
//! - A save that names how many refusals its submitter has seen is never flushed after one more:
//!   no save of a row is durable if one before it was refused.

use crate::base::limits::GROUP_TARGET;
use crate::disk::AlignedBuf;
use crate::format::group;
use crate::store::error::{Poison, Refusal};
use crate::store::round::{Round, Ticket};
use rustix::thread::futex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// A word that threads sleep on until it is set. Setting it costs a system call only if somebody
/// sleeps.
#[derive(Debug, Default)]
pub struct Signal(AtomicU32);

/// So many savers at once are led by the flusher: measured, it gains nothing at 8, and 7 % at 64.
pub const CROWD: u32 = 24;

const UNSET: u32 = 0;
const SET: u32 = 1;
const SLEEPERS: u32 = 2;

impl Signal {
    /// Sets the word and wakes all sleepers.
    pub fn set(&self) {
        if self.0.swap(SET, Ordering::AcqRel) == SLEEPERS {
            // Waking can fail only for a bad address: the word is ours.
            let _ = futex::wake(&self.0, futex::Flags::PRIVATE, u32::MAX >> 1);
        }
    }

    /// Sleeps until the word is set.
    pub fn wait(&self) {
        loop {
            match self.0.compare_exchange(UNSET, SLEEPERS, Ordering::AcqRel, Ordering::Acquire) {
                Err(SET) => return,
                // Returns at once if the word was set meanwhile; interrupted sleeps look again.
                _ => {
                    let _ = futex::wait(&self.0, futex::Flags::PRIVATE, SLEEPERS, None);
                }
            }
        }
    }

    /// Whether the word is set; takes it back.
    pub fn take(&self) -> bool {
        self.0.compare_exchange(SET, UNSET, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// What a saver has to do after its save is in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Take the lead now.
    Lead,
    /// Wait for the round, or until the lead is offered.
    Follow,
}

#[derive(Debug, Default)]
struct Collecting {
    round: Arc<Round>,
    saves: u32,
    /// The least count of refusals that one of the saves may come after; `None`: any.
    seen: Option<u64>,
    /// The saves' bytes, behind room for a group's header: each saver copies its own.
    group: AlignedBuf,
    /// Of these, saves that a thread waits in, which can take the lead.
    savers: u32,
    /// Somebody holds the lead.
    led: bool,
    /// The store is closing: what waits is flushed, nothing more is taken.
    stopping: bool,
    stopped: Option<Refusal>,
}

/// The queue of saves.
#[derive(Debug, Default)]
pub struct Queue {
    collecting: Mutex<Collecting>,
    /// Saves in the collecting round, to be looked at without the lock.
    joined: AtomicU32,
    /// Rounds that were refused. Only the leader adds to it.
    refusals: AtomicU64,
    room: Condvar,
    /// The flusher thread is to take the lead.
    pub flusher: Signal,
}

/// Saves that a leader has taken.
#[derive(Debug)]
pub struct Taken {
    /// Their round.
    pub round: Arc<Round>,
    /// How many they are.
    pub saves: u32,
    /// The least count of refusals that one of them may come after.
    pub seen: Option<u64>,
    /// Their bytes, encoded and in order, behind room for the group's header.
    pub group: AlignedBuf,
}

impl Queue {
    /// Puts an encoded save into the collecting round. Waits while that is full. With `seen`, it
    /// is refused, here or with its round, once more rounds than that were refused.
    ///
    /// # Errors
    /// [`Refusal`] if the queue is stopped, or more than `seen` rounds were refused.
    pub fn push(
        &self,
        save: &[u8],
        blocking: bool,
        seen: Option<u64>,
    ) -> Result<(Ticket, Part), Refusal> {
        let mut queue = self.collecting.lock().expect("no panic under this lock");
        while queue.stopped.is_none()
            && queue.saves > 0
            && queue.group.len() + save.len() > GROUP_TARGET
        {
            queue = self.room.wait(queue).expect("no panic under this lock");
        }
        if let Some(refusal) = &queue.stopped {
            return Err(refusal.clone());
        }
        if queue.stopping {
            return Err(Refusal::Closed);
        }
        if self.is_behind(seen) {
            return Err(Refusal::Behind);
        }
        queue.seen = queue.seen.into_iter().chain(seen).min();
        let ticket = Ticket::new(Arc::clone(&queue.round), u64::from(queue.saves));
        if queue.saves == 0 {
            queue.group.clear();
            queue.group.resize(group::HEADER_LEN);
        }
        queue.group.extend_from_slice(save);
        queue.saves += 1;
        queue.savers += u32::from(blocking);
        self.joined.store(queue.saves, Ordering::Relaxed);
        let part = if queue.led { Part::Follow } else { Part::Lead };
        queue.led = true;
        Ok((ticket, part))
    }

    /// Rounds that were refused.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Acquire)
    }

    /// A round is refused. Only the leader calls this, before it takes the next one.
    pub fn count_refusal(&self) {
        self.refusals.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether more rounds were refused than a save may come after.
    pub fn is_behind(&self, seen: Option<u64>) -> bool {
        seen.is_some_and(|seen| seen < self.refusals())
    }

    /// Saves in the collecting round, as far as can be told without the lock.
    pub fn joined(&self) -> u32 {
        self.joined.load(Ordering::Relaxed)
    }

    /// Takes the collecting round; the next one collects in a `spare` buffer. `None`: nobody is
    /// in it, and the lead is given back. Only the leader calls this.
    pub fn take(&self, spare: impl FnOnce() -> AlignedBuf) -> Option<Taken> {
        let mut queue = self.collecting.lock().expect("no panic under this lock");
        assert!(queue.led, "only the leader takes");
        if queue.saves == 0 {
            self.release(queue);
            return None;
        }
        queue.savers = 0;
        let taken = Taken {
            round: std::mem::take(&mut queue.round),
            saves: std::mem::take(&mut queue.saves),
            seen: queue.seen.take(),
            group: std::mem::replace(&mut queue.group, spare()),
        };
        self.joined.store(0, Ordering::Relaxed);
        drop(queue);
        if taken.group.len() > GROUP_TARGET / 2 {
            self.room.notify_all();
        }
        Some(taken)
    }

    /// Hands the lead on, after a group of `saves`: to somebody in the next round, or to the
    /// flusher thread. That one is handed rounds in which nobody waits and, if there is one, those
    /// of a crowd: it goes on to the next round at once, while a saver must be woken first.
    pub fn hand_on(&self, saves: u32, to_flusher: bool) {
        let queue = self.collecting.lock().expect("no panic under this lock");
        if queue.saves == 0 {
            self.release(queue);
        } else if queue.savers == 0 || to_flusher && saves + queue.saves >= CROWD {
            drop(queue);
            self.flusher.set();
        } else {
            let next = Arc::clone(&queue.round);
            drop(queue);
            next.offer_lead();
        }
    }

    fn release(&self, mut queue: MutexGuard<'_, Collecting>) {
        queue.led = false;
        drop(queue);
        self.room.notify_all();
    }

    /// Lets the saves that wait be flushed, refuses new ones, and keeps the lead for ever.
    pub fn close(&self) {
        let mut queue = self.collecting.lock().expect("no panic under this lock");
        queue.stopping = true;
        while queue.led {
            queue = self.room.wait(queue).expect("no panic under this lock");
        }
        queue.led = true;
        queue.stopped.get_or_insert(Refusal::Closed);
    }

    /// Refuses all saves from now on, those that wait included.
    pub fn stop(&self, refusal: Refusal) {
        let mut queue = self.collecting.lock().expect("no panic under this lock");
        queue.stopped.get_or_insert(refusal);
        drop(queue);
        self.room.notify_all();
    }

    /// Whether the store is closing, or has stopped.
    pub fn is_ending(&self) -> bool {
        let queue = self.collecting.lock().expect("no panic under this lock");
        queue.stopping || queue.stopped.is_some()
    }

    /// Why saves are refused, if they are.
    pub fn stopped(&self) -> Option<Refusal> {
        self.collecting.lock().expect("no panic under this lock").stopped.clone()
    }

    /// The poison that stopped the queue, if one did.
    pub fn poison(&self) -> Option<Poison> {
        match self.stopped() {
            Some(Refusal::Stopped(poison)) => Some(poison),
            _ => None,
        }
    }
}
