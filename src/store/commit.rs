//! Group commit: saves of many threads share one flush.
//!
//! A *round* collects saves while the round before is being flushed. Whoever holds the *lead* takes
//! the collecting round, writes it once, and hands the lead on: to the first thread that waits in
//! the next round, or to the flusher thread if only tickets are in it. Then it asks the authority
//! (the gate), and wakes exactly its round.
//!
//! ```text
//! collecting --lead taken--> flushing --flushed--> confirming --+--> done: Ok(first lsn)
//!                                                                +--> done: refused | unknown
//! ```
//!
//! Invariants:
//! - At most one lead; rounds are flushed in the order in which they were opened.
//! - A round is done once, for all its saves alike, and only after its flush and its confirmation.

use crate::base::Lsn;
use crate::base::limits::GROUP_TARGET;
use crate::disk::AlignedBuf;
use crate::format::group;
use crate::store::error::{Poison, Refusal, SaveError};
use rustix::thread::futex;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

/// How a round ended: the LSN of its first save, or why there is none.
pub type Outcome = Result<Lsn, SaveError>;

/// A word that threads sleep on until it is set. Setting it costs a system call only if somebody
/// sleeps.
#[derive(Debug, Default)]
pub struct Signal(AtomicU32);

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

/// Saves that share one flush.
#[derive(Debug, Default)]
pub struct Round {
    outcome: OnceLock<Outcome>,
    done: Signal,
    lead: Signal,
    wakers: Mutex<Vec<Waker>>,
}

impl Round {
    /// Ends the round and wakes everybody in it.
    pub fn finish(&self, outcome: Outcome) {
        assert!(self.outcome.set(outcome).is_ok(), "a round is done once");
        self.done.set();
        let wakers = std::mem::take(&mut *self.wakers.lock().expect("no panic under this lock"));
        wakers.into_iter().for_each(Waker::wake);
    }

    fn outcome(&self, index: u64) -> Option<Outcome> {
        self.outcome.get().map(|outcome| outcome.clone().map(|first| first.plus(index)))
    }
}

/// A save on its way. Dropping it changes nothing: the save goes on.
#[derive(Debug)]
pub struct Ticket {
    round: Arc<Round>,
    index: u64,
}

impl Ticket {
    /// Sleeps until the save is durable.
    ///
    /// # Errors
    /// [`SaveError`].
    pub fn wait(self) -> Result<Lsn, SaveError> {
        self.round.done.wait();
        self.round.outcome(self.index).expect("done rounds have an outcome")
    }

    /// The outcome, if there is one already.
    #[must_use]
    pub fn poll_now(&self) -> Option<Result<Lsn, SaveError>> {
        self.round.outcome(self.index)
    }
}

impl Future for Ticket {
    type Output = Result<Lsn, SaveError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(outcome) = self.round.outcome(self.index) {
            return Poll::Ready(outcome);
        }
        let mut wakers = self.round.wakers.lock().expect("no panic under this lock");
        // The round may have ended before the lock: then nobody would wake this task.
        if let Some(outcome) = self.round.outcome(self.index) {
            return Poll::Ready(outcome);
        }
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

/// What a saver has to do after its save is in a round.
#[derive(Debug)]
pub enum Part {
    /// Take the lead now.
    Lead,
    /// Nothing: wait for the round.
    Follow,
    /// Wait until the lead is handed over, then take it.
    Next,
}

#[derive(Debug, Default)]
struct Collecting {
    round: Arc<Round>,
    saves: u32,
    /// The saves' bytes, behind room for a group's header: each saver copies its own.
    group: AlignedBuf,
    /// Somebody will take this round: the one who has the lead already, or a thread in it that
    /// waits for the lead.
    has_leader: bool,
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
    /// Their bytes, encoded and in order, behind room for the group's header.
    pub group: AlignedBuf,
}

impl Queue {
    /// Puts an encoded save into the collecting round. Waits while that is full.
    ///
    /// # Errors
    /// [`Refusal`] if the queue is stopped.
    pub fn push(&self, save: &[u8], blocking: bool) -> Result<(Ticket, Part), Refusal> {
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
        let ticket = Ticket { round: Arc::clone(&queue.round), index: u64::from(queue.saves) };
        if queue.saves == 0 {
            queue.group.clear();
            queue.group.resize(group::HEADER_LEN);
        }
        queue.group.extend_from_slice(save);
        queue.saves += 1;
        self.joined.fetch_add(1, Ordering::Relaxed);
        let part = if !queue.led {
            queue.led = true;
            // Whoever joins before the leader takes the round is not to wait for its lead.
            queue.has_leader = true;
            Part::Lead
        } else if blocking && !queue.has_leader {
            queue.has_leader = true;
            Part::Next
        } else {
            Part::Follow
        };
        Ok((ticket, part))
    }

    /// Waits in the round of `ticket` until its lead is handed over.
    pub fn await_lead(&self, ticket: &Ticket) {
        ticket.round.lead.wait();
    }

    /// Saves in the collecting round, as far as can be told without the lock.
    pub fn joined(&self) -> u32 {
        self.joined.load(Ordering::Relaxed)
    }

    /// Takes the collecting round; the next one collects in `spare` from now on. Only the leader
    /// calls this.
    pub fn take(&self, spare: AlignedBuf) -> Taken {
        let mut queue = self.collecting.lock().expect("no panic under this lock");
        assert!(queue.led, "only the leader takes");
        queue.has_leader = false;
        let taken = Taken {
            round: std::mem::take(&mut queue.round),
            saves: std::mem::take(&mut queue.saves),
            group: std::mem::replace(&mut queue.group, spare),
        };
        self.joined.store(0, Ordering::Relaxed);
        drop(queue);
        if taken.group.len() > GROUP_TARGET / 2 {
            self.room.notify_all();
        }
        taken
    }

    /// Hands the lead to the next round, if there is one.
    pub fn hand_on(&self) {
        let mut queue = self.collecting.lock().expect("no panic under this lock");
        if queue.saves == 0 {
            queue.led = false;
            drop(queue);
            self.room.notify_all();
        } else if queue.has_leader {
            let next = Arc::clone(&queue.round);
            drop(queue);
            next.lead.set();
        } else {
            // As in `push`: the flusher is the one who leads this round.
            queue.has_leader = true;
            drop(queue);
            self.flusher.set();
        }
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
