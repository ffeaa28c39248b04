//! Lines that anybody on the network can cause: a few at a time, the others counted.
//!
//! Invariant: however often it is asked, at most [`Rarely::AT_ONCE`] lines leave in one period, and
//! the first one of the next period says how many did not.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A gate for one kind of line.
#[derive(Debug, Default)]
pub struct Rarely {
    turn: Mutex<Option<Turn>>,
}

#[derive(Debug)]
struct Turn {
    began: Instant,
    written: u32,
    held_back: u64,
}

impl Rarely {
    /// Lines in one period.
    pub const AT_ONCE: u32 = 5;
    /// How long a period is.
    pub const PERIOD: Duration = Duration::from_secs(10);

    /// A gate that nothing has come to.
    #[must_use]
    pub const fn new() -> Rarely {
        Rarely { turn: Mutex::new(None) }
    }

    /// Whether a line may be written now: `Some`, with the number of those that were not.
    pub fn may(&self, now: Instant) -> Option<u64> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |turn: &Turn| now.saturating_duration_since(turn.began) >= Self::PERIOD;
        match turn.as_mut() {
            Some(turn) if !over(turn) && turn.written >= Self::AT_ONCE => {
                turn.held_back += 1;
                None
            }
            Some(turn) if !over(turn) => {
                turn.written += 1;
                Some(0)
            }
            last => {
                let held_back = last.map_or(0, |turn| turn.held_back);
                *turn = Some(Turn { began: now, written: 1, held_back: 0 });
                Some(held_back)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_and_a_count() {
        let (gate, start) = (Rarely::default(), Instant::now());
        let written = (0..1000).filter(|_| gate.may(start).is_some()).count();
        assert_eq!(written, 5);
        let later = start + Rarely::PERIOD;
        assert_eq!(gate.may(later - Duration::from_millis(1)), None);
        assert_eq!(gate.may(later), Some(996), "the next period counts those before");
        assert_eq!(gate.may(later), Some(0));
    }
}
