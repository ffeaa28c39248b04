//! How long things took, counted by size: each bound is twice the one before.
//!
//! Invariant: noting one takes two additions and no lock, so that it may stand where saves are
//! flushed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds, and a last part for what is longer.
pub const PARTS: usize = 22;

/// The first bound.
const FIRST_NS: u64 = 16_000;

/// Counters that grow.
#[derive(Debug, Default)]
pub struct Spans {
    parts: [AtomicU64; PARTS],
    total_ns: AtomicU64,
}

/// What was counted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many were longer than the bound before, and at most as long as this part's.
    pub parts: [u64; PARTS],
    /// All of them, together.
    pub total: Duration,
}

/// The bound of a part; `None`: the last one has none.
#[must_use]
pub fn bound(part: usize) -> Option<Duration> {
    (part + 1 < PARTS).then(|| Duration::from_nanos(FIRST_NS << part))
}

impl Spans {
    /// Counts one.
    pub fn note(&self, span: Duration) {
        let ns = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let doublings = ns.saturating_sub(1) / FIRST_NS;
        let part = (u64::BITS - doublings.leading_zeros()) as usize;
        self.parts[part.min(PARTS - 1)].fetch_add(1, Ordering::Relaxed);
        self.total_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let parts = self.parts.each_ref().map(|part| part.load(Ordering::Relaxed));
        let total = Duration::from_nanos(self.total_ns.load(Ordering::Relaxed));
        Counted { parts, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_counted_where_its_bound_is_the_first_that_holds_it() {
        let of = |span: Duration| {
            let spans = Spans::default();
            spans.note(span);
            let counted = spans.counted();
            assert_eq!((counted.parts.iter().sum::<u64>(), counted.total), (1, span));
            counted.parts.iter().position(|count| *count == 1).unwrap()
        };
        assert_eq!(of(Duration::ZERO), 0);
        for part in 0..PARTS - 1 {
            let bound = bound(part).unwrap();
            assert_eq!(of(bound), part);
            assert_eq!(of(bound + Duration::from_nanos(1)), part + 1);
        }
        assert_eq!(bound(PARTS - 1), None);
        assert_eq!(of(Duration::from_secs(86_400)), PARTS - 1);
    }
}
