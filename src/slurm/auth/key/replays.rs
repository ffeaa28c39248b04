//! The nonces of requests that were served, for as long as their credentials would be valid.

use super::WINDOW_MS;
use crate::slurm::auth::AuthError;
use crate::slurm::auth::Nonce;
use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Most nonces remembered: 30 s at 30,000 requests a second, about 40 MB. Only holders of the key
/// get here.
const REMEMBERED_MAX: usize = 1 << 20;

const MS_PER_S: i64 = 1000;

#[derive(Debug)]
pub(super) struct Replays {
    started_ms: i64,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By the second in which they were made, so that old ones go at once.
    by_second: BTreeMap<i64, HashSet<Nonce>>,
    count: usize,
}

impl Replays {
    pub(super) fn new(started_ms: i64) -> Self {
        Replays { started_ms, seen: Mutex::default() }
    }

    /// Remembers a nonce, made at `time`; it is the first time that it is seen.
    pub(super) fn first(&self, nonce: Nonce, time: i64, now: i64) -> Result<(), AuthError> {
        if time < self.started_ms {
            return Err(AuthError::BeforeStart);
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget(now.saturating_sub(WINDOW_MS));
        if seen.count >= REMEMBERED_MAX {
            return Err(AuthError::Crowded(REMEMBERED_MAX));
        }
        if !seen.by_second.entry(time.div_euclid(MS_PER_S)).or_default().insert(nonce) {
            return Err(AuthError::Replayed);
        }
        seen.count += 1;
        Ok(())
    }
}

impl Seen {
    /// Forgets the seconds that are over before `oldest`.
    fn forget(&mut self, oldest: i64) {
        let kept = self.by_second.split_off(&oldest.div_euclid(MS_PER_S));
        let gone = std::mem::replace(&mut self.by_second, kept);
        self.count -= gone.values().map(HashSet::len).sum::<usize>();
    }
}
