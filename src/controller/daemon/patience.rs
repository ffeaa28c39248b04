//! A predecessor that was killed holds the store's lock and the port until the system has taken it
//! apart: with much memory, or on a busy machine, that is a while after whoever killed it has been
//! told so.
//!
//! Invariant: what is taken by one that lives is refused all the same, a little later.

use crate::controller::home::HomeError;
use crate::store::OpenError;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a predecessor may take to be gone.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Between two looks.
pub const LOOK: Duration = Duration::from_millis(5);

/// Tries as long as somebody else has the store, within [`PATIENCE`].
///
/// # Errors
/// The last error.
pub fn until_free<T>(mut open: impl FnMut() -> Result<T, HomeError>) -> Result<T, HomeError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match open() {
            Err(HomeError::Store { error: OpenError::Locked, .. }) if Instant::now() < until => {
                sleep(LOOK);
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked() -> HomeError {
        HomeError::Store { dir: "/x".into(), error: OpenError::Locked }
    }

    #[test]
    fn a_store_that_becomes_free_is_taken_and_other_errors_are_told_at_once() {
        let mut tries = 0;
        let taken = until_free(|| {
            tries += 1;
            if tries < 3 { Err(locked()) } else { Ok(tries) }
        });
        assert_eq!(taken.unwrap(), 3);
        let mut tries = 0;
        let refused = until_free(|| {
            tries += 1;
            Err::<(), _>(HomeError::Empty("/x".into()))
        });
        assert!(refused.is_err() && tries == 1);
    }
}
