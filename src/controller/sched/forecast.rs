//! What the last pass found about jobs that wait: why, and when they would start. It is in memory
//! only: a new pass finds it again.

use crate::controller::sched::bell::Bell;
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

/// What hangs at the board.
#[derive(Debug, Default)]
struct Sheet {
    found: Arc<Forecasts>,
    changed: i64,
}

/// Where the last pass's forecasts hang.
#[derive(Debug, Default)]
pub struct Board {
    sheet: RwLock<Sheet>,
    bell: Bell,
}

impl Board {
    /// Asks for a new look.
    #[must_use]
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// What the last pass found.
    #[must_use]
    pub fn read(&self) -> Arc<Forecasts> {
        Arc::clone(&self.sheet.read().unwrap_or_else(PoisonError::into_inner).found)
    }

    /// When something else was found than before; 0: never.
    #[must_use]
    pub fn changed(&self) -> i64 {
        self.sheet.read().unwrap_or_else(PoisonError::into_inner).changed
    }

    /// A pass that ended `now` has found that.
    pub fn write(&self, found: Forecasts, now: i64) {
        let mut sheet = self.sheet.write().unwrap_or_else(PoisonError::into_inner);
        let same = |(id, new): (&u32, &Forecast)| {
            // When it was looked at says nothing new about the job.
            let old = sheet.found.get(id);
            old.is_some_and(|old| Forecast { evaluated: new.evaluated, ..old.clone() } == *new)
        };
        if found.len() != sheet.found.len() || !found.iter().all(same) {
            sheet.changed = now;
        }
        sheet.found = Arc::new(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_says_when_something_else_was_found() {
        let board = Board::default();
        let found = |reason, evaluated| {
            Forecasts::from([(7, Forecast { reason, evaluated, ..Forecast::default() })])
        };
        board.write(found(1, 10), 10);
        board.write(found(1, 20), 20);
        assert_eq!((board.changed(), board.read()[&7].evaluated), (10, 20));
        board.write(found(3, 30), 30);
        assert_eq!(board.changed(), 30);
        board.write(Forecasts::default(), 40);
        assert_eq!(board.changed(), 40);
    }
}
