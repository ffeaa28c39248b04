//! The state at any retained LSN or time: the snapshot before it, and the log up to it.

use crate::base::{Lsn, Nanos};
use crate::disk::Disk;
use crate::format::FileName;
use crate::store::directory::Directory;
use crate::store::error::{Found, OpenError, ReadError};
use crate::store::lineage::Era;
use crate::store::recovery::{Target, Writer, recover};
use crate::store::state::View;
use crate::store::walk::Seals;

/// A point in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// After this save.
    Lsn(Lsn),
    /// After the last save at or before this time.
    Time(Nanos),
}

/// What can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The oldest LSN at which the state can be read.
    pub oldest_lsn: Lsn,
    /// When that was saved; zero for the beginning of the store.
    pub oldest_time: Nanos,
    /// The newest one.
    pub newest_lsn: Lsn,
    /// When that was saved.
    pub newest_time: Nanos,
}

/// The range that can be read, where the newest state is known.
pub(crate) fn range(
    disk: &dyn Disk,
    newest_lsn: Lsn,
    newest_time: Nanos,
) -> Result<History, ReadError> {
    Ok(range_of(&Directory::read(disk)?, newest_lsn, newest_time))
}

/// As [`range`], from the facts.
pub(crate) fn range_of(directory: &Directory, newest_lsn: Lsn, newest_time: Nanos) -> History {
    let seals = Seals::of(directory);
    let (oldest_lsn, oldest_time) = if seals.genesis().is_some() {
        (Lsn::ZERO, Nanos::default())
    } else {
        let sound = directory.snapshots.iter().filter_map(|facts| facts.header.as_ref().ok());
        let oldest = sound.map(|header| (header.lsn, header.time)).min();
        oldest.unwrap_or((newest_lsn, newest_time))
    };
    History { oldest_lsn, oldest_time, newest_lsn, newest_time }
}

/// The state at `at`.
pub(crate) fn at(disk: &dyn Disk, at: At, writer: Writer) -> Result<View, ReadError> {
    let directory = Directory::read(disk)?;
    let oldest = range_of(&directory, Lsn::ZERO, Nanos::default());
    match at {
        At::Lsn(lsn) if lsn < oldest.oldest_lsn => {
            let newest = recover(disk, Target::End, writer)?.view.lsn();
            return Err(ReadError::OutOfRange { oldest: oldest.oldest_lsn, newest });
        }
        At::Time(time) if time < oldest.oldest_time => {
            return Err(ReadError::TooEarly { oldest: oldest.oldest_time });
        }
        At::Lsn(_) | At::Time(_) => {}
    }
    let target = match at {
        At::Lsn(lsn) => Target::Lsn(lsn),
        At::Time(time) => Target::Time(time),
    };
    let view = match recover(disk, target, writer) {
        Ok(recovered) => recovered.view,
        Err(error) => return Err(below_a_gap(&directory, at, error)),
    };
    match at {
        At::Lsn(lsn) if view.lsn() != lsn => {
            Err(ReadError::OutOfRange { oldest: oldest.oldest_lsn, newest: view.lsn() })
        }
        _ => Ok(view),
    }
}

/// A deletion that was cut short may have left older files, but not the ones that lead on from
/// them: that is no damage, the history begins behind the gap. Where it took the start of the next
/// epoch, and the seal in it, nobody can tell a torn tail that the next epoch had left behind from
/// damage: either way nothing leads on from there.
fn below_a_gap(directory: &Directory, at: At, error: OpenError) -> ReadError {
    let OpenError::Corruption(damage) = &error else { return error.into() };
    let seals = Seals::of(directory);
    let unsealed = match FileName::parse(&damage.file) {
        Some(FileName::Segment(id)) => seals.era(id.epoch) == Era::Older,
        _ => false,
    };
    if !unsealed && !matches!(damage.found, Found::Missing | Found::Nothing) {
        return error.into();
    }
    let sound = directory.snapshots.iter().filter_map(|facts| facts.header.as_ref().ok());
    let on_history = sound.filter(|header| seals.accepts(header));
    let lsns: Vec<(Lsn, Nanos)> = on_history.map(|header| (header.lsn, header.time)).collect();
    let behind = lsns.iter().copied().find(|(lsn, _)| *lsn > damage.survives);
    match (behind.zip(lsns.last().copied()), at) {
        (Some(((oldest, _), (newest, _))), At::Lsn(_)) => ReadError::OutOfRange { oldest, newest },
        (Some(((_, oldest), _)), At::Time(_)) => ReadError::TooEarly { oldest },
        (None, _) => error.into(),
    }
}
