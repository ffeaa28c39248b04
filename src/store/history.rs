//! The state at any retained LSN or time: the snapshot before it, and the log up to it.

use crate::base::{Lsn, Nanos};
use crate::disk::Disk;
use crate::store::directory::Directory;
use crate::store::error::{Found, OpenError, ReadError};
use crate::store::follow::snapshots;
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
    let (oldest_lsn, oldest_time) =
        if seals.genesis().is_some_and(|first| seals.bounds(first.epoch)) {
            (Lsn::ZERO, Nanos::default())
        } else {
            let oldest = snapshots(directory, &seals).map(|header| (header.lsn, header.time)).min();
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
            let oldest = begins_again(disk, &directory, time, writer)?;
            return Err(ReadError::TooEarly { oldest });
        }
        At::Lsn(_) | At::Time(_) => {}
    }
    let target = match at {
        At::Lsn(lsn) => Target::Lsn(lsn),
        At::Time(time) => Target::Time(time),
    };
    let view = match recover(disk, target, writer) {
        Ok(recovered) => recovered.view,
        Err(error) => return Err(below_a_gap(disk, &directory, at, error, writer)?),
    };
    match at {
        At::Lsn(lsn) if view.lsn() != lsn => {
            Err(ReadError::OutOfRange { oldest: oldest.oldest_lsn, newest: view.lsn() })
        }
        _ => Ok(view),
    }
}

/// A deletion that was cut short may have left older files, but not the ones that lead on from
/// them: that is no damage, the history begins behind the gap.
fn below_a_gap(
    disk: &dyn Disk,
    directory: &Directory,
    at: At,
    error: OpenError,
    writer: Writer,
) -> Result<ReadError, ReadError> {
    let OpenError::Corruption(damage) = &error else { return Ok(error.into()) };
    let seals = Seals::of(directory);
    let behind = snapshots(directory, &seals).find(|header| header.lsn > damage.survives);
    let (true, Some(oldest)) = (matches!(damage.found, Found::Missing | Found::Nothing), behind)
    else {
        return Ok(error.into());
    };
    Ok(match at {
        At::Lsn(_) => {
            let newest = recover(disk, Target::End, writer)?.view.lsn();
            ReadError::OutOfRange { oldest: oldest.lsn, newest }
        }
        At::Time(time) => {
            ReadError::TooEarly { oldest: begins_again(disk, directory, time, writer)? }
        }
    })
}

/// The first time after `time` of which the state is known. Of a snapshot's own time it is not
/// where the log behind it is gone: another save may have been made at that time.
fn begins_again(
    disk: &dyn Disk,
    directory: &Directory,
    time: Nanos,
    writer: Writer,
) -> Result<Nanos, ReadError> {
    let seals = Seals::of(directory);
    for header in snapshots(directory, &seals).filter(|header| header.time > time) {
        match recover(disk, Target::Time(header.time), writer) {
            Ok(_) => return Ok(header.time),
            Err(OpenError::Corruption(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(recover(disk, Target::End, writer)?.view.time())
}
