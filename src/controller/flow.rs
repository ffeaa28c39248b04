//! Whether saves get through: what is put off while they do not, and the one line that says so.
//!
//! ```text
//! open ----a save is refused---------------------> refused: for PAUSE, then the next one is tried
//!  |  \---one is under way for longer than HUNG--> hung: until it is there
//!  |   \--IN_FLIGHT_MAX are under way------------> crowded: until there are fewer
//! ```
//!
//! Invariants: nobody waits longer than the save that he is behind; what is put off was not begun;
//! each change between "saves get through" and "they do not" is one line in the log.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// After a refusal, how long nothing is tried: clients come again by themselves.
const PAUSE: Duration = Duration::from_secs(1);

/// A save that is under way for so long does not come soon. Clients give up after 10 s
/// (MessageTimeout), and would not know what became of their request.
const HUNG: Duration = Duration::from_secs(3);

/// Commands under way at a time. The rest of the server's connections is for those who only ask.
pub const IN_FLIGHT_MAX: usize = 768;

/// Counts what is under way.
#[derive(Debug)]
pub struct Flow {
    began: Instant,
    in_flight: AtomicUsize,
    /// When the save began that is waited for, in milliseconds after `began`, plus 1; 0: none is.
    waiting: AtomicU64,
    /// Until when nothing is tried, likewise.
    paused: AtomicU64,
    stuck: AtomicBool,
    said: Mutex<()>,
}

/// One command under way.
#[derive(Debug)]
pub struct UnderWay<'a>(&'a Flow);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Flow {
    /// Nothing is under way.
    pub fn new() -> Flow {
        Flow {
            began: Instant::now(),
            in_flight: AtomicUsize::new(0),
            waiting: AtomicU64::new(0),
            paused: AtomicU64::new(0),
            stuck: AtomicBool::new(false),
            said: Mutex::new(()),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// A command is to begin; `None`: it is put off.
    pub fn enter(&self) -> Option<UnderWay<'_>> {
        self.enter_at(self.now())
    }

    fn enter_at(&self, now: u64) -> Option<UnderWay<'_>> {
        if now < self.paused.load(Ordering::Acquire) {
            return None;
        }
        let since = self.waiting.load(Ordering::Acquire);
        let waits_ms = if since == 0 { 0 } else { now.saturating_sub(since) };
        if u128::from(waits_ms) >= HUNG.as_millis() {
            self.say(true, || format!("a save is under way for {} s", waits_ms / 1000));
            return None;
        }
        let others = self.in_flight.fetch_add(1, Ordering::AcqRel);
        let entered = UnderWay(self);
        (others < IN_FLIGHT_MAX).then_some(entered)
    }

    /// Whether changes are put off.
    pub fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Acquire)
    }

    /// A save is waited for.
    pub fn waits(&self) {
        self.waiting.store(self.now(), Ordering::Release);
    }

    /// The save is there, or refused.
    pub fn waited(&self) {
        self.waiting.store(0, Ordering::Release);
    }

    /// A save is durable.
    pub fn got_through(&self) {
        if self.stuck.load(Ordering::Acquire) {
            self.say(false, String::new);
        }
    }

    /// A save is refused.
    pub fn refused(&self, why: &dyn std::fmt::Display) {
        let pause = u64::try_from(PAUSE.as_millis()).expect("it is short");
        self.paused.store(self.now() + pause, Ordering::Release);
        self.say(true, || why.to_string());
    }

    fn say(&self, stuck: bool, why: impl FnOnce() -> String) {
        let _one = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stuck.swap(stuck, Ordering::AcqRel) == stuck {
            return;
        }
        if stuck {
            tracing::error!(
                "changes are put off (code 11), information is given: {}; next: df \
                 StateSaveLocation, statectl health",
                why()
            );
        } else {
            tracing::info!("changes are taken again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_refusal_or_behind_a_save_that_hangs_is_put_off() {
        let flow = Flow::new();
        assert!(flow.enter_at(1).is_some());
        flow.waiting.store(5, Ordering::Release);
        assert!(flow.enter_at(3004).is_some());
        assert!(flow.enter_at(3005).is_none(), "it hangs");
        assert!(flow.stuck.load(Ordering::Acquire));
        flow.waited();
        flow.got_through();
        assert!(flow.enter_at(3006).is_some());
        assert!(!flow.stuck.load(Ordering::Acquire));
        flow.refused(&"no room");
        let until = flow.paused.load(Ordering::Acquire);
        assert!(flow.enter_at(until - 1).is_none(), "it was refused");
        assert!(flow.enter_at(until).is_some(), "the next one is tried");
    }

    #[test]
    fn room_is_left_for_those_who_only_ask() {
        let flow = Flow::new();
        let mut all: Vec<_> = (0..IN_FLIGHT_MAX).map(|_| flow.enter().unwrap()).collect();
        assert!(flow.enter().is_none());
        assert!(flow.enter().is_none(), "who is put off does not count");
        all.pop();
        assert!(flow.enter().is_some());
    }
}
