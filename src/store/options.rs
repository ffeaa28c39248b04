//! What an embedder may choose. The defaults suit a controller.

use crate::base::{Nanos, limits};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The clock that groups and snapshots are stamped with. Times never decide what is safe.
pub type Clock = Arc<dyn Fn() -> Nanos + Send + Sync>;

/// How a store behaves. Nothing here changes what is promised.
#[derive(Clone)]
pub struct Options {
    /// A snapshot is made when this much has been logged since the last one, in units of what that
    /// one holds. 1.0: each byte of log costs at most one byte of snapshot, and the log to replay
    /// is at most as long as the state.
    pub snapshot_ratio: f64,
    /// No snapshot is made before this many bytes are logged.
    pub snapshot_min_bytes: u64,
    /// What has been logged since the last snapshot is kept in memory. It may take this much, or
    /// four times what a snapshot is due at, whichever is more: from three quarters of it on saves
    /// are slowed, and there they wait for the snapshot that is being made; if none can be made,
    /// they are refused. Without the store's own threads this does not hold.
    pub changes_max_bytes: u64,
    /// How far back the state can be read; less if [`Options::history_ratio`] says so.
    pub history: Duration,
    /// Superseded files may take this much, in units of what the newest snapshot holds.
    pub history_ratio: f64,
    /// Superseded files stay at least this long, so that a copier which has listed them can still
    /// read them. Only a nearly full disk outranks it.
    pub retain_min_age: Duration,
    /// First segment of an epoch, bytes.
    pub segment_min: u64,
    /// Largest segment, bytes.
    pub segment_max: u64,
    /// Whether threads of the store's own prepare segments, apply, snapshot and delete. Without
    /// them [`Store::maintain`](crate::Store::maintain) does so when called.
    pub background: bool,
    /// Open for writing although the file system cannot tell a copy from the original: this
    /// directory is a copy, give it a history of its own.
    pub adopt: bool,
    /// The wall clock.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            snapshot_ratio: 1.0,
            snapshot_min_bytes: 32 << 20,
            changes_max_bytes: 512 << 20,
            history: Duration::from_secs(24 * 3600),
            history_ratio: 1.0,
            retain_min_age: Duration::from_secs(15 * 60),
            segment_min: limits::SEGMENT_MIN,
            segment_max: limits::SEGMENT_MAX,
            background: true,
            adopt: false,
            clock: Arc::new(Nanos::now),
        }
    }
}

impl Options {
    /// No history is kept, and superseded files go at once.
    #[must_use]
    pub fn without_history(mut self) -> Options {
        self.history = Duration::ZERO;
        self.history_ratio = 0.0;
        self.retain_min_age = Duration::ZERO;
        self
    }

    /// No threads: [`Store::maintain`](crate::Store::maintain) does their work when called.
    #[must_use]
    pub fn without_threads(mut self) -> Options {
        self.background = false;
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("snapshot_ratio", &self.snapshot_ratio)
            .field("history", &self.history)
            .field("retain_min_age", &self.retain_min_age)
            .field("background", &self.background)
            .finish_non_exhaustive()
    }
}
