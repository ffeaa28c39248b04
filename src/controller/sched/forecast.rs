//! What the last pass found about jobs that wait: why, and when they would start. It is in memory
//! only: a new pass finds it again.

use crate::slurm::wire::Text;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// What was found about one job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Slurm's number for why it waits; 0: it is about to start.
    pub reason: u16,
    /// Words for it, where Slurm has more than a name.
    pub text: Text,
    /// Its priority; 0: held.
    pub priority: u32,
    /// When it would start; 0: nobody knows.
    pub start: i64,
    /// Where, as Slurm shows it in `sched_nodes`; empty: nobody knows.
    pub nodes: Text,
    /// When it was looked at.
    pub evaluated: i64,
}

/// All that was found, by job; an array's tasks are found under the array's record.
pub type Forecasts = HashMap<u32, Forecast>;

/// Where the last pass's forecasts hang.
#[derive(Debug, Default)]
pub struct Board(RwLock<Arc<Forecasts>>);

impl Board {
    /// What the last pass found.
    #[must_use]
    pub fn read(&self) -> Arc<Forecasts> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A pass has found that.
    pub fn write(&self, found: Forecasts) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
    }
}
