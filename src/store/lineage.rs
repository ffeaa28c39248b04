//! Whether something that an epoch has left belongs to the history is a table: for each combination
//! of facts exactly one row decides. The tests walk all combinations.
//!
//! Invariant: what lies behind a seal, or in an epoch that the history passes by, is kept and
//! counted, and is neither part of the history nor damage.

/// What an epoch is to the history, as the seals tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Before the very first segment of the history: cut off when that began anew.
    Before,
    /// Older than everything that the seals tell of: the beginning is deleted.
    Older,
    /// The history goes through it, and leaves it at a seal.
    Sealed,
    /// Between two that follow one another: a reign that nobody went on from.
    Skipped,
    /// The newest one that has begun.
    Newest,
    /// Claimed, and not begun yet, or the only one.
    Later,
}

/// Where something lies in its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Not behind the seal; where there is none, anywhere.
    Within,
    /// Behind the seal.
    Behind,
}

/// A snapshot's chain against the seal's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// They speak of different LSNs: the log between them tells.
    Apart,
    /// Of one LSN, and agree.
    Same,
    /// Of one LSN, and differ.
    Differs,
}

/// A segment against the one that the seal lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// An earlier one.
    Earlier,
    /// That one.
    Holds,
    /// A later one.
    Later,
}

/// What of a segment no later epoch goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphaned {
    /// Nothing.
    Nothing,
    /// What lies behind the seal.
    BehindSeal,
    /// All of it.
    Whole,
}

/// One row: facts (`None`: any), whether a state of that epoch lies on the history.
pub type StateRow = (Era, Option<Place>, bool);

/// Era × place → whether a state lies on the history.
pub const STATES: [StateRow; 7] = [
    (Era::Before, None, false),
    (Era::Skipped, None, false),
    (Era::Sealed, Some(Place::Within), true),
    // The same LSN in two epochs: the higher epoch wins.
    (Era::Sealed, Some(Place::Behind), false),
    (Era::Older, None, true),
    (Era::Newest, None, true),
    (Era::Later, None, true),
];

/// One row: facts (`None`: any), whether recovery may begin with such a snapshot.
pub type SnapshotRow = (Era, Option<Place>, Option<Link>, bool);

/// Era × where its log goes on × its chain → whether a snapshot lies on the history.
pub const SNAPSHOTS: [SnapshotRow; 9] = [
    (Era::Before, None, None, false),
    (Era::Skipped, None, None, false),
    (Era::Sealed, Some(Place::Behind), None, false),
    (Era::Sealed, Some(Place::Within), Some(Link::Apart), true),
    (Era::Sealed, Some(Place::Within), Some(Link::Same), true),
    // A zombie's, of saves that nobody has acknowledged.
    (Era::Sealed, Some(Place::Within), Some(Link::Differs), false),
    (Era::Older, None, None, true),
    (Era::Newest, None, None, true),
    (Era::Later, None, None, true),
];

/// One row: facts (`None`: any), what of a segment is an orphan.
pub type TailRow = (Era, Option<Segment>, Orphaned);

/// Era × which segment → what of it is an orphan.
pub const TAILS: [TailRow; 8] = [
    (Era::Before, None, Orphaned::Whole),
    (Era::Skipped, None, Orphaned::Whole),
    (Era::Sealed, Some(Segment::Earlier), Orphaned::Nothing),
    (Era::Sealed, Some(Segment::Holds), Orphaned::BehindSeal),
    (Era::Sealed, Some(Segment::Later), Orphaned::Whole),
    (Era::Older, None, Orphaned::Nothing),
    (Era::Newest, None, Orphaned::Nothing),
    // It may be about to begin, or be passed by: only who claims after it can tell.
    (Era::Later, None, Orphaned::Nothing),
];

/// Whether a state of an epoch lies on the history.
#[must_use]
pub fn state(era: Era, place: Place) -> bool {
    let row = STATES.iter().find(|(e, p, _)| *e == era && p.is_none_or(|p| p == place));
    row.expect("the test walks every combination").2
}

/// Whether a snapshot lies on the history.
#[must_use]
pub fn snapshot(era: Era, place: Place, link: Link) -> bool {
    let row = SNAPSHOTS.iter().find(|(e, p, l, _)| {
        *e == era && p.is_none_or(|p| p == place) && l.is_none_or(|l| l == link)
    });
    row.expect("the test walks every combination").3
}

/// What of a segment is an orphan.
#[must_use]
pub fn tail(era: Era, segment: Segment) -> Orphaned {
    let row = TAILS.iter().find(|(e, s, _)| *e == era && s.is_none_or(|s| s == segment));
    row.expect("the test walks every combination").2
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERAS: [Era; 6] =
        [Era::Before, Era::Older, Era::Sealed, Era::Skipped, Era::Newest, Era::Later];
    const PLACES: [Place; 2] = [Place::Within, Place::Behind];
    const LINKS: [Link; 3] = [Link::Apart, Link::Same, Link::Differs];
    const SEGMENTS: [Segment; 3] = [Segment::Earlier, Segment::Holds, Segment::Later];

    #[test]
    fn exactly_one_row_fits_each_state_snapshot_and_tail_of_an_epoch() {
        for era in ERAS {
            for place in PLACES {
                let fits = |(e, p, _): &&StateRow| *e == era && p.is_none_or(|p| p == place);
                assert_eq!(STATES.iter().filter(fits).count(), 1, "{era:?} {place:?}");
                for link in LINKS {
                    let rows = SNAPSHOTS.iter().filter(|(e, p, l, _)| {
                        *e == era && p.is_none_or(|p| p == place) && l.is_none_or(|l| l == link)
                    });
                    assert_eq!(rows.count(), 1, "{era:?} {place:?} {link:?}");
                }
            }
            for segment in SEGMENTS {
                let fits = |(e, s, _): &&TailRow| *e == era && s.is_none_or(|s| s == segment);
                assert_eq!(TAILS.iter().filter(fits).count(), 1, "{era:?} {segment:?}");
            }
        }
    }

    #[test]
    fn a_snapshot_is_begun_with_only_where_its_state_lies_on_the_history() {
        for era in ERAS {
            for place in PLACES {
                for link in LINKS {
                    assert!(!snapshot(era, place, link) || state(era, place), "{era:?} {place:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_of_the_history_is_an_orphan_and_nothing_behind_a_seal_is_history() {
        for era in ERAS {
            for segment in SEGMENTS {
                // Where a segment holds the seal, it holds both.
                match tail(era, segment) {
                    Orphaned::Nothing => assert!(state(era, Place::Within), "{era:?}"),
                    Orphaned::BehindSeal => assert!(!state(era, Place::Behind), "{era:?}"),
                    Orphaned::Whole => assert!(!state(era, Place::Behind), "{era:?}"),
                }
            }
        }
    }
}
