//! A round: saves that share one flush, the threads that sleep until it is durable, and the
//! tickets that stand for saves.
//!
//! All sleep on one word. The lead can be offered to whoever waits in a save of the round; a ticket
//! cannot take it, so its sleepers are woken apart from the others.
//!
//! Invariants:
//! - a round is done once, for all its saves alike;
//! - an offered lead is taken by exactly one of the threads in [`Round::wait_to_lead`], if there
//!   is one or one is still to come.

use crate::base::Lsn;
use crate::store::error::SaveError;
use rustix::thread::futex;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

/// How a round ended: the LSN of its first save, or why there is none.
pub type Outcome = Result<Lsn, SaveError>;

/// The lead is offered to whoever waits in a save.
const LEAD: u32 = 1;
/// The round has ended.
const DONE: u32 = 2;
/// Somebody sleeps in a save.
const SAVERS: u32 = 4;
/// Somebody sleeps on a ticket.
const TICKETS: u32 = 8;

/// Sleepers in saves, for the kernel.
const SAVER_BITS: NonZeroU32 = NonZeroU32::new(1).expect("not zero");
/// Sleepers on tickets.
const TICKET_BITS: NonZeroU32 = NonZeroU32::new(2).expect("not zero");

/// Why a saver was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// It has the lead now.
    Lead,
    /// The round has ended.
    Done,
}

/// Saves that share one flush.
#[derive(Debug, Default)]
pub struct Round {
    outcome: OnceLock<Outcome>,
    word: AtomicU32,
    wakers: Mutex<Vec<Waker>>,
}

impl Round {
    /// Ends the round and wakes everybody in it.
    pub fn finish(&self, outcome: Outcome) {
        assert!(self.outcome.set(outcome).is_ok(), "a round is done once");
        if self.word.fetch_or(DONE, Ordering::AcqRel) & (SAVERS | TICKETS) != 0 {
            // Waking can fail only for a bad address: the word is ours.
            let _ = futex::wake(&self.word, futex::Flags::PRIVATE, u32::MAX >> 1);
        }
        let wakers = std::mem::take(&mut *self.wakers.lock().expect("no panic under this lock"));
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Lets one of the savers that wait, or that is about to, take the lead.
    pub fn offer_lead(&self) {
        if self.word.fetch_or(LEAD, Ordering::AcqRel) & SAVERS != 0 {
            // Waking can fail only for a bad address: the word is ours.
            let _ = futex::wake_bitset(&self.word, futex::Flags::PRIVATE, 1, SAVER_BITS);
        }
    }

    /// Sleeps in a save until the round has ended or the lead is to be taken.
    pub fn wait_to_lead(&self) -> Woken {
        loop {
            let now = self.word.load(Ordering::Acquire);
            if now & DONE != 0 {
                return Woken::Done;
            }
            if now & LEAD == 0 {
                self.sleep(now, SAVERS, SAVER_BITS);
            } else if self.change(now, now & !LEAD) {
                return Woken::Lead;
            }
        }
    }

    /// Sleeps until the round has ended.
    fn wait(&self) {
        loop {
            let now = self.word.load(Ordering::Acquire);
            if now & DONE != 0 {
                return;
            }
            self.sleep(now, TICKETS, TICKET_BITS);
        }
    }

    /// Sleeps unless the word is no longer `now`. May return at any time.
    fn sleep(&self, now: u32, mark: u32, bits: NonZeroU32) {
        if now & mark != 0 || self.change(now, now | mark) {
            // Returns at once if the word has changed; interrupted sleeps look again.
            let flags = futex::Flags::PRIVATE;
            let _ = futex::wait_bitset(&self.word, flags, now | mark, None, bits);
        }
    }

    fn change(&self, from: u32, to: u32) -> bool {
        self.word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
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
    /// The save at place `index` of `round`.
    pub(super) fn new(round: Arc<Round>, index: u64) -> Ticket {
        Ticket { round, index }
    }

    /// The round that it is in.
    pub(super) fn round(&self) -> &Round {
        &self.round
    }

    /// Sleeps until the save is durable.
    ///
    /// # Errors
    /// [`SaveError`].
    pub fn wait(self) -> Result<Lsn, SaveError> {
        self.round.wait();
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    /// Threads that wait in saves and on tickets of one round: the lead goes to one of the savers
    /// however often it is offered, and at the end all are woken.
    #[test]
    fn offered_leads_go_to_savers_one_at_a_time_and_nobody_sleeps_on() {
        for _ in 0..300 {
            let round = Arc::new(Round::default());
            let (leads, leading) = (AtomicUsize::new(0), AtomicUsize::new(0));
            thread::scope(|scope| {
                for i in 0..8 {
                    let (round, leads, leading) = (Arc::clone(&round), &leads, &leading);
                    scope.spawn(move || {
                        if i % 2 == 0 {
                            let ticket = Ticket::new(Arc::clone(&round), i);
                            assert_eq!(ticket.wait().unwrap(), Lsn(7 + i));
                            return;
                        }
                        while round.wait_to_lead() == Woken::Lead {
                            assert_eq!(leading.fetch_add(1, Ordering::SeqCst), 0, "one lead");
                            leading.fetch_sub(1, Ordering::SeqCst);
                            if leads.fetch_add(1, Ordering::SeqCst) < 5 {
                                round.offer_lead();
                            } else {
                                round.finish(Ok(Lsn(7)));
                            }
                        }
                    });
                }
                round.offer_lead();
            });
            assert_eq!(leads.into_inner(), 6);
        }
    }
}
