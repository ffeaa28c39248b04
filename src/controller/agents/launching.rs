//! Launches whose answers have not been taken into the state yet.
//!
//! An agent answers a launch before the prolog runs, and says in a request of its own that it
//! failed. That request may be here first; what it means depends on the answer, so it waits.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Jobs that are being launched, and how often.
#[derive(Debug, Default)]
pub struct Launching {
    jobs: Mutex<HashMap<u32, u32>>,
    ended: Notify,
}

/// One launch under way.
#[derive(Debug)]
pub struct UnderWay<'a>(&'a Launching, u32);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let count = jobs.get_mut(&self.1).expect("it is under way");
        *count -= 1;
        if *count == 0 {
            jobs.remove(&self.1);
        }
        self.0.ended.notify_waiters();
    }
}

impl Launching {
    /// A launch begins; until what is returned goes.
    pub fn begin(&self, job: u32) -> UnderWay<'_> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        *jobs.entry(job).or_default() += 1;
        UnderWay(self, job)
    }

    fn is_under_way(&self, job: u32) -> bool {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&job)
    }

    /// Waits until no launch of that job is under way.
    pub async fn over(&self, job: u32) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // From here on an end is not missed.
            ended.as_mut().enable();
            if !self.is_under_way(job) {
                return;
            }
            ended.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::{Context, Waker};

    #[test]
    fn who_asks_waits_for_the_launches_of_that_job_alone() {
        let launching = Launching::default();
        let mut context = Context::from_waker(Waker::noop());
        let (first, second) = (launching.begin(7), launching.begin(7));
        let mut other = Box::pin(launching.over(8));
        assert!(other.as_mut().poll(&mut context).is_ready());
        let mut over = Box::pin(launching.over(7));
        assert!(over.as_mut().poll(&mut context).is_pending());
        drop(first);
        assert!(over.as_mut().poll(&mut context).is_pending());
        drop(second);
        assert!(over.as_mut().poll(&mut context).is_ready());
    }
}
