//! How long a leader lingers before it writes, for savers who are just about to come.
//!
//! The savers of a group that was just made durable are likely to save again within microseconds. A
//! leader that starts at once misses them: they split into two halves that take turns on the disk,
//! each half the size it could be (measured: up to twice the rate at 8 savers). So a leader lets
//! them come; but no longer than a part of a write, and only for a handful: past that, waking and
//! copying take as long as the disk, and are better overlapped.
//!
//! Invariant: a saver who is alone never lingers.

use std::thread;
use std::time::{Duration, Instant};

/// Savers for which lingering pays.
const ENOUGH: u32 = 16;

/// The part of a write's time that lingering may take.
const PATIENCE: u32 = 2;

/// What the last group tells about the next.
#[derive(Debug, Default)]
pub struct Pace {
    expected: u32,
    limit: Duration,
}

impl Pace {
    /// Returns when as many as expected have `joined`, or patience is over.
    pub fn linger(&self, joined: impl Fn() -> u32) {
        if joined() >= self.expected {
            return;
        }
        let from = Instant::now();
        // Yielding, not sleeping: those who are to come need this core now.
        while joined() < self.expected && from.elapsed() < self.limit {
            thread::yield_now();
        }
    }

    /// Notes a group of `members` whose write `took` so long while `waiting` joined the next.
    pub fn learn(&mut self, members: u32, waiting: u32, took: Duration) {
        self.expected = members.saturating_add(waiting).min(ENOUGH);
        self.limit = took / PATIENCE;
    }
}
