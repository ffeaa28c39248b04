//! What the register remembers of a controller's own depositions, so that a quarantine holds over
//! restarts of its process: a deposed controller ends at once and begins anew.
//!
//! Invariants: only a reign that another ended because this one was silent counts; who died, ceded,
//! or was relieved by an operator, is free; who was given a reign since is, too. Clocks of two
//! hosts that differ make a quarantine longer or shorter, within its own length, and nothing worse.

use crate::base::Nanos;
use crate::format::{Reason, Reign};
use crate::role::takeover::{CALM_QUARANTINES, DOUBLINGS_MAX, QUARANTINE_MIN, QUARANTINE_TIMEOUTS};
use std::time::Duration;

/// So many reigns are looked back.
pub const REIGNS: u64 = 32;

/// What is left of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// For so long this controller does not claim.
    pub left: Duration,
    /// How often it was doubled, with the next one.
    pub doublings: u32,
}

/// The shortest quarantine.
#[must_use]
pub fn least(timeout: Duration) -> Duration {
    QUARANTINE_MIN.max(timeout * QUARANTINE_TIMEOUTS)
}

/// How long one takes that was doubled so often.
#[must_use]
pub fn length(timeout: Duration, doublings: u32) -> Duration {
    least(timeout) * (1 << doublings.min(DOUBLINGS_MAX))
}

/// What `reigns`, in order, say of `host` at `now`; `None`: it was never deposed.
#[must_use]
pub fn of(host: &str, reigns: &[Reign], timeout: Duration, now: Nanos) -> Option<Quarantine> {
    let since = |from: Nanos, to: Nanos| Duration::from_nanos(to.0.saturating_sub(from.0));
    let is_own = |reign: &Reign| reign.primary.as_deref() == Some(host);
    let mut doublings = 0;
    let mut until = None;
    for pair in reigns.windows(2) {
        let [reign, next] = pair else { continue };
        if is_own(next) {
            until = None;
        } else if is_own(reign) && next.reason == Reason::Silent {
            if since(reign.claimed, next.claimed) >= least(timeout) * CALM_QUARANTINES {
                doublings = 0;
            }
            until = Some((next.claimed, length(timeout, doublings)));
            doublings += 1;
        }
    }
    let left =
        until.map_or(Duration::ZERO, |(began, length)| length.saturating_sub(since(began, now)));
    (doublings > 0).then_some(Quarantine { left, doublings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Epoch, Id};

    const T: Duration = Duration::from_secs(2);

    fn reigns(of: &[(&str, Reason, u64)]) -> Vec<Reign> {
        let reign = |(epoch, (host, reason, second)): (u64, &(&str, Reason, u64))| Reign {
            cluster: Id([1; 16]),
            epoch: Epoch(epoch),
            nonce: Id([2; 16]),
            claimed: Nanos(second * 1_000_000_000),
            reason: *reason,
            primary: Some((*host).to_owned()),
            members: Vec::new(),
        };
        (1..).zip(of).map(reign).collect()
    }

    fn left(of_: &[(&str, Reason, u64)], second: u64) -> Option<(u64, u32)> {
        let found = of("a", &reigns(of_), T, Nanos(second * 1_000_000_000));
        found.map(|found| (found.left.as_secs(), found.doublings))
    }

    #[test]
    fn who_was_deposed_for_its_silence_is_in_quarantine_whatever_restarts_and_others_are_not() {
        use Reason::{Asked, Dead, Handover, Silent, Start};
        let begins = ("a", Start, 100);
        assert_eq!(left(&[], 0), None);
        assert_eq!(left(&[begins], 101), None);
        for reason in [Dead, Handover, Asked, Start] {
            assert_eq!(left(&[begins, ("b", reason, 110)], 111), None, "{reason:?}");
        }
        assert_eq!(left(&[("b", Start, 100), ("c", Silent, 110)], 111), None, "somebody else");
        let deposed = [begins, ("b", Silent, 110)];
        assert_eq!(left(&deposed, 111), Some((29, 1)));
        assert_eq!(left(&deposed, 140), Some((0, 1)));
        // A clock that is behind: the whole of it, and no more.
        assert_eq!(left(&deposed, 1), Some((30, 1)));
        // What others do among themselves changes nothing.
        assert_eq!(left(&[deposed[0], deposed[1], ("c", Dead, 112)], 113), Some((27, 1)));
        // A reign since then ends it; the next one is twice as long, and after a calm reign not.
        let back = [deposed[0], deposed[1], ("a", Handover, 112)];
        assert_eq!(left(&back, 113), Some((0, 1)));
        assert_eq!(left(&[&back[..], &[("b", Silent, 120)]].concat(), 120), Some((60, 2)));
        assert_eq!(left(&[&back[..], &[("b", Silent, 412)]].concat(), 412), Some((30, 1)));
        assert_eq!(length(Duration::from_secs(10), 99), Duration::from_secs(40 * 64));
    }
}
