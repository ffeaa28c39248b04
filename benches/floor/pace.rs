//! How long a leader lingers before it writes, for savers who are just about to come.
//!
//! The members of a group that was just made durable are likely to save again within
//! microseconds. A leader that starts at once misses them: the savers split into two cohorts
//! that take turns on the device, each half the size it could be. So a leader lets them come,
//! but no longer than a fraction of a write, and for no more than a handful: past that, waking
//! and copying take as long as the device, and the two are better overlapped.
//!
//! Invariant: a saver who is alone never lingers, as nobody else was in the group before.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Savers for which lingering pays; measured on two cores.
const ENOUGH: u32 = 16;
/// The fraction of a write's time that lingering may take.
const PATIENCE: u32 = 2;

/// What the last group tells about the next.
#[derive(Default)]
pub(super) struct Pace {
    expected: u32,
    limit: Duration,
}

impl Pace {
    /// Returns when as many as expected have `joined` the open group, or patience is over.
    pub(super) fn linger(&self, joined: &AtomicU32) {
        if joined.load(Ordering::Relaxed) >= self.expected {
            return;
        }
        let from = Instant::now();
        // Yielding, not sleeping: those who are to come need this core now, and being woken
        // again would take longer than the wait.
        while joined.load(Ordering::Relaxed) < self.expected && from.elapsed() < self.limit {
            std::thread::yield_now();
        }
    }

    /// Notes a group of `members` whose write `took` so long while `waiting` joined the next.
    pub(super) fn learn(&mut self, members: u32, waiting: u32, took: Duration) {
        self.expected = members.saturating_add(waiting).min(ENOUGH);
        self.limit = took / PATIENCE;
    }
}
