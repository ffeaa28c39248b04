//! Keeps the memory for what changed since the last snapshot within bounds.
//!
//! ```text
//! backlog, in units of what a snapshot is due at
//!   1  a snapshot is made, paced
//!   2  it is made as fast as it can be
//!   3  groups wait a little, the longer the nearer the next step is
//!   4  groups wait for the snapshot; if none can be made, saves are refused
//! ```
//!
//! The last two steps do not begin before
//! [`Options::changes_max_bytes`](crate::Options::changes_max_bytes) are logged. Invariants:
//! - the backlog is at most the fourth step, one group, and what a failed snapshot's retry takes;
//! - nobody waits here with a lock, nor when the store is closing, nor without the threads that
//!   make snapshots: whatever a snapshot needs, no saver holds it.

use crate::store::inner::lock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// What a group waits just before the last step.
const DELAY_MAX: Duration = Duration::from_millis(20);

/// How often somebody who waits looks whether the store is closing.
const LOOK: Duration = Duration::from_millis(20);

/// Bytes of log at which what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// From here on a snapshot is no longer paced.
    pub hurry: u64,
    /// From here on groups are delayed.
    pub slow: u64,
    /// Here they wait until there is a snapshot.
    pub wall: u64,
}

impl Steps {
    /// The steps where a snapshot is due at `due` bytes, and `enough` may be taken in any case.
    pub fn new(due: u64, enough: u64) -> Steps {
        let wall = due.saturating_mul(4).max(enough);
        Steps { hurry: due.saturating_mul(2), slow: wall - wall / 4, wall }
    }

    /// How long a group waits.
    fn delay(&self, backlog: u64) -> Duration {
        let (over, span) = (backlog.saturating_sub(self.slow), self.wall - self.slow);
        #[expect(clippy::cast_precision_loss)]
        DELAY_MAX.mul_f64(over.min(span) as f64 / span.max(1) as f64)
    }
}

/// What has been logged since the last snapshot.
#[derive(Debug)]
pub(crate) struct Throttle {
    backlog: AtomicU64,
    /// Why the last attempt made no snapshot.
    failed: Mutex<Option<String>>,
    changed: Condvar,
}

impl Throttle {
    /// Begins with so many bytes of log behind the snapshot.
    pub fn new(backlog: u64) -> Throttle {
        let backlog = AtomicU64::new(backlog);
        Throttle { backlog, failed: Mutex::new(None), changed: Condvar::new() }
    }

    /// A group was flushed.
    pub fn logged(&self, bytes: u64) {
        self.backlog.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A snapshot stands for so many bytes.
    pub fn snapshotted(&self, bytes: u64) {
        let mut failed = lock(&self.failed);
        self.backlog.fetch_sub(bytes, Ordering::Relaxed);
        *failed = None;
        self.changed.notify_all();
    }

    /// No snapshot could be made.
    pub fn failed(&self, why: String) {
        *lock(&self.failed) = Some(why);
        self.changed.notify_all();
    }

    /// Bytes of log since the last snapshot.
    pub fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Waits until the next group may be flushed; whether it had to.
    ///
    /// # Errors
    /// Why no snapshot can be made, past the last step.
    pub fn admit(&self, steps: Steps, over: impl Fn() -> bool) -> Result<bool, String> {
        let backlog = self.backlog();
        if backlog < steps.slow {
            return Ok(false);
        }
        let mut failed = lock(&self.failed);
        if backlog < steps.wall {
            let waited = self.changed.wait_timeout(failed, steps.delay(backlog));
            drop(waited.expect("no panic under this lock"));
            return Ok(true);
        }
        while self.backlog() >= steps.wall && !over() {
            if let Some(why) = &*failed {
                return Err(why.clone());
            }
            let waited = self.changed.wait_timeout(failed, LOOK);
            failed = waited.expect("no panic under this lock").0;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_wait_the_longer_the_nearer_the_wall_is() {
        let steps = Steps::new(100, 0);
        assert_eq!(steps, Steps { hurry: 200, slow: 300, wall: 400 });
        assert_eq!(Steps::new(100, 1000), Steps { hurry: 200, slow: 750, wall: 1000 });
        assert_eq!(steps.delay(299), Duration::ZERO);
        assert_eq!(steps.delay(350), DELAY_MAX / 2);
        assert_eq!(steps.delay(u64::MAX), DELAY_MAX);
        assert_eq!(Steps::new(u64::MAX, 0).wall, u64::MAX);
    }

    #[test]
    fn behind_the_wall_the_end_of_the_wait_is_a_snapshot_its_failure_or_closing() {
        let steps = Steps::new(100, 0);
        let throttle = Throttle::new(200);
        assert_eq!(throttle.admit(steps, || false), Ok(false));
        throttle.logged(300);
        assert_eq!(throttle.admit(steps, || true), Ok(true));
        throttle.failed("no room".to_owned());
        assert_eq!(throttle.admit(steps, || false), Err("no room".to_owned()));
        std::thread::scope(|scope| {
            throttle.failed.lock().unwrap().take();
            let waits = scope.spawn(|| throttle.admit(steps, || false));
            throttle.snapshotted(400);
            assert!(waits.join().unwrap().is_ok());
        });
        assert_eq!(throttle.backlog(), 100);
    }
}
