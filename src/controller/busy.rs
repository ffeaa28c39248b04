//! How long a thread has been at one piece of work: what a hang looks like from outside. Waiting,
//! for a disk or for something to do, is no work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One thread's work.
#[derive(Debug)]
pub struct Busy {
    began: Instant,
    /// When the work that is under way began, in milliseconds after `began`, plus 1; 0: none is.
    since: AtomicU64,
}

impl Default for Busy {
    fn default() -> Busy {
        Busy { began: Instant::now(), since: AtomicU64::new(0) }
    }
}

impl Busy {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Does a piece of work.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        self.since.store(self.now(), Ordering::Release);
        let done = work();
        self.since.store(0, Ordering::Release);
        done
    }

    /// How long it has been under way.
    pub fn how_long(&self) -> Duration {
        match self.since.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            since => Duration::from_millis(self.now().saturating_sub(since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_under_way_counts() {
        let busy = Busy::default();
        assert_eq!(busy.how_long(), Duration::ZERO);
        busy.during(|| {
            while busy.how_long() < Duration::from_millis(3) {
                std::thread::yield_now();
            }
        });
        assert_eq!(busy.how_long(), Duration::ZERO);
    }
}
