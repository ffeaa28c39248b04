//! Recovery is a table: for each combination of facts exactly one row decides. The tests walk all
//! combinations.

/// What the control file is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// There is no such file.
    Absent,
    /// Neither slot can be read.
    None,
    /// Neither slot can be read, and one is of a newer statedir.
    Newer,
    /// One slot can be read: normal after a crash.
    One,
    /// Both can.
    Both,
}

/// What becomes of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No store; `create` may make one, also where an earlier `create` was cut short.
    NoStore,
    /// A store.
    Store,
    /// A store whose other slot is rewritten at the next open for writing.
    StoreOneSlot,
    /// Data without a control file that says whose: refused.
    Refused,
    /// Refused, naming the version that is needed.
    TooNew,
}

/// One row: facts (`None`: any), decision.
pub type StandingRow = (Option<Slots>, Option<bool>, Standing);

/// Control file × data beside it → what the directory is.
pub const STANDING: [StandingRow; 7] = [
    (Some(Slots::Absent), Some(false), Standing::NoStore),
    (Some(Slots::None), Some(false), Standing::NoStore),
    (Some(Slots::Absent), Some(true), Standing::Refused),
    (Some(Slots::None), Some(true), Standing::Refused),
    (Some(Slots::Newer), None, Standing::TooNew),
    (Some(Slots::One), None, Standing::StoreOneSlot),
    (Some(Slots::Both), None, Standing::Store),
];

/// What the directory is.
#[must_use]
pub fn standing(slots: Slots, data: bool) -> Standing {
    let row = STANDING
        .iter()
        .find(|(s, d, _)| s.is_none_or(|s| s == slots) && d.is_none_or(|d| d == data));
    row.expect("the test walks every combination").2
}

/// What stands where the log stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Zeros, or the end of the file.
    Blank,
    /// Bytes that are no group, or cannot be read.
    Written,
    /// The segment that the log goes on in is not there, is cut, or nobody can read its groups.
    Missing,
}

/// What says that saves beyond the stop were durable here once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Nothing.
    None,
    /// A good group further on, or one that nobody can read.
    LaterGroup,
    /// The control file, or a snapshot's name.
    Durable,
}

/// Whose directory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The primary's, which wrote the log here.
    Original,
    /// A copy: groups may have arrived in it in any order while they were written.
    Copy,
    /// A replica's: several groups were in flight at once.
    Replica,
}

/// What becomes of the end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The log ends here, cleanly.
    Clean,
    /// An unfinished last group: cut by the next seal, counted, reported.
    TornTail,
    /// The log ends here; what a copier caught of later groups is set aside and counted.
    BrokenCopy,
    /// Something durable is damaged: refused.
    Corruption,
}

/// One row: facts (`None`: any), decision.
pub type EndRow = (Option<Stand>, Option<Bound>, Option<Whose>, End);

/// What stands there × what was durable × whose it is → what it means.
pub const END: [EndRow; 13] = [
    (None, Some(Bound::Durable), None, End::Corruption),
    // The log goes on in a segment that is made whole before it is used, and never deleted before
    // it has a successor.
    (Some(Stand::Missing), Some(Bound::None), None, End::Corruption),
    (Some(Stand::Missing), Some(Bound::LaterGroup), None, End::Corruption),
    (Some(Stand::Blank), Some(Bound::None), None, End::Clean),
    (Some(Stand::Written), Some(Bound::None), Some(Whose::Original), End::TornTail),
    (Some(Stand::Written), Some(Bound::None), Some(Whose::Replica), End::TornTail),
    (Some(Stand::Written), Some(Bound::None), Some(Whose::Copy), End::BrokenCopy),
    // A primary writes a group only after its predecessor is flushed.
    (Some(Stand::Blank), Some(Bound::LaterGroup), Some(Whose::Original), End::Corruption),
    (Some(Stand::Written), Some(Bound::LaterGroup), Some(Whose::Original), End::Corruption),
    (Some(Stand::Blank), Some(Bound::LaterGroup), Some(Whose::Copy), End::BrokenCopy),
    (Some(Stand::Written), Some(Bound::LaterGroup), Some(Whose::Copy), End::BrokenCopy),
    // A replica may have had several groups in flight.
    (Some(Stand::Blank), Some(Bound::LaterGroup), Some(Whose::Replica), End::TornTail),
    (Some(Stand::Written), Some(Bound::LaterGroup), Some(Whose::Replica), End::TornTail),
];

/// What the end of the log means.
#[must_use]
pub fn end(stand: Stand, bound: Bound, whose: Whose) -> End {
    let row = END.iter().find(|(s, b, w, _)| {
        s.is_none_or(|s| s == stand) && b.is_none_or(|b| b == bound) && w.is_none_or(|w| w == whose)
    });
    row.expect("the test walks every combination").3
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: [Slots; 5] = [Slots::Absent, Slots::None, Slots::Newer, Slots::One, Slots::Both];
    const STANDS: [Stand; 3] = [Stand::Blank, Stand::Written, Stand::Missing];
    const BOUNDS: [Bound; 3] = [Bound::None, Bound::LaterGroup, Bound::Durable];
    const WHOSE: [Whose; 3] = [Whose::Original, Whose::Copy, Whose::Replica];

    #[test]
    fn exactly_one_row_fits_each_standing() {
        for slots in SLOTS {
            for data in [false, true] {
                let rows = STANDING.iter().filter(|(s, d, _)| {
                    s.is_none_or(|s| s == slots) && d.is_none_or(|d| d == data)
                });
                assert_eq!(rows.count(), 1, "{slots:?} {data}");
            }
        }
    }

    #[test]
    fn exactly_one_row_fits_each_end() {
        for stand in STANDS {
            for bound in BOUNDS {
                for whose in WHOSE {
                    let rows = END.iter().filter(|(s, b, w, _)| {
                        s.is_none_or(|s| s == stand)
                            && b.is_none_or(|b| b == bound)
                            && w.is_none_or(|w| w == whose)
                    });
                    assert_eq!(rows.count(), 1, "{stand:?} {bound:?} {whose:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_durable_is_ever_cut() {
        for stand in STANDS {
            for whose in WHOSE {
                assert_eq!(end(stand, Bound::Durable, whose), End::Corruption);
            }
            assert_eq!(end(stand, Bound::LaterGroup, Whose::Original), End::Corruption);
        }
    }

    #[test]
    fn data_without_control_are_never_taken_for_an_empty_directory() {
        for slots in [Slots::Absent, Slots::None] {
            assert_eq!(standing(slots, true), Standing::Refused);
        }
    }
}
