//! What the scheduler thinks of jobs that wait. It is published beside the state and never saved:
//! it is made anew from the state.

use crate::slurm::wire::{Text, Time};
use imbl::HashMap;

/// About one job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Slurm's number for why it waits.
    pub reason: u16,
    /// More about that.
    pub state_desc: Text,
    /// Its priority.
    pub priority: u32,
    /// When it will start; 0: nobody knows.
    pub start: Time,
    /// Where; none: nobody knows.
    pub nodes: Text,
    /// When it was looked at last.
    pub evaluated: Time,
}

/// About all jobs that were looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecast {
    /// When the last round of backfill ended; 0: there was none.
    pub backfill: Time,
    /// By the ids of jobs.
    pub jobs: HashMap<u32, Estimate>,
}
