//! A predecessor that was killed holds the store's lock and the port until the system has taken it
//! apart: with much memory, or on a busy machine, that is a while after whoever killed it has been
//! told so.
//!
//! Invariants: what is taken by one that lives is refused all the same, a little later; whoever was
//! himself stopped or starved while he waited looks once more before he gives up.

use crate::controller::home::HomeError;
use crate::store::OpenError;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long whoever holds what is needed may take to be gone: he may not be about to go.
const OF_A_STRANGER: Duration = Duration::from_secs(3);

/// How long the own predecessor may, of whom the guard has seen the end: on the slowest machine he
/// is gone some time, and giving up would end the guard, too.
const OF_THE_DEAD: Duration = Duration::from_secs(60);

/// Between two looks.
pub const LOOK: Duration = Duration::from_millis(5);

/// How long is waited, from now on.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    until: Instant,
}

impl Patience {
    /// Of one that starts, or that starts again after its predecessor's end.
    #[must_use]
    pub fn new(again: bool) -> Patience {
        Patience { until: Instant::now() + if again { OF_THE_DEAD } else { OF_A_STRANGER } }
    }

    /// Whether a look that begins now is the last one. Asked before the look, not after it: who
    /// slept through all of his time has looked too early.
    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Tries as long as somebody else has the store.
    ///
    /// # Errors
    /// The last error.
    pub fn until_free<T>(self, open: impl FnMut() -> Result<T, HomeError>) -> Result<T, HomeError> {
        until(|| self.is_over(), open)
    }
}

fn until<T>(
    mut is_over: impl FnMut() -> bool,
    mut open: impl FnMut() -> Result<T, HomeError>,
) -> Result<T, HomeError> {
    loop {
        let last = is_over();
        match open() {
            Err(HomeError::Store { error: OpenError::Locked, .. }) if !last => sleep(LOOK),
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn locked() -> HomeError {
        HomeError::Store { dir: "/x".into(), error: OpenError::Locked }
    }

    #[test]
    fn a_store_that_becomes_free_is_taken_and_other_errors_are_told_at_once() {
        let mut tries = 0;
        let patience = Patience::new(true);
        let taken = patience.until_free(|| {
            tries += 1;
            if tries < 3 { Err(locked()) } else { Ok(tries) }
        });
        assert_eq!(taken.unwrap(), 3);
        let mut tries = 0;
        let refused = patience.until_free(|| {
            tries += 1;
            Err::<(), _>(HomeError::Empty("/x".into()))
        });
        assert!(refused.is_err() && tries == 1);
    }

    #[test]
    fn who_slept_through_his_time_looks_once_more_and_no_oftener() {
        let (over, mut tries) = (Cell::new(false), 0);
        let taken = until(
            || over.get(),
            || {
                tries += 1;
                // It is stopped while it looks.
                let slept = over.replace(true);
                if slept { Ok(tries) } else { Err(locked()) }
            },
        );
        assert_eq!(taken.unwrap(), 2);
        let mut tries = 0;
        let refused = Patience { until: Instant::now() }.until_free(|| {
            tries += 1;
            Err::<(), _>(locked())
        });
        assert!(refused.is_err() && tries == 1, "{tries}");
    }
}
