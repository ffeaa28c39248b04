//! [`Reader`]: looks at a directory without a lock, whether somebody writes it or not.
//!
//! Invariants: nothing is changed; nothing is shown that is not durable. While a writer lives, that
//! is what its watermarks vouch for; else what recovery finds, made durable by the reader itself.

use crate::base::{Lsn, SegmentId};
use crate::disk::{Access, Disk, Real};
use crate::format::{Control, names};
use crate::log::{Position, Proofs};
use crate::store::directory::{Directory, read_control};
use crate::store::error::{OpenError, ReadError};
use crate::store::follow::Follower;
use crate::store::history::{self, At, History};
use crate::store::recovery::{Recovered, Report, Target, Wanted, Writer, recover_in};
use crate::store::state::View;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// How often a directory that somebody writes, and in which no file has come or gone meanwhile, is
/// read anew before what was found is believed.
const TRIES: usize = 4;

/// How often it is read at all. A writer that retains nothing may delete what a reader has listed,
/// and on a busy machine several times in a row: that is no damage. So often in a row it is not.
const LOOKS_MAX: usize = 100;

/// What reading segments has shown.
pub(crate) type ProofsOf = BTreeMap<SegmentId, Arc<Proofs>>;

/// A state directory, looked at.
pub struct Reader {
    disk: Arc<dyn Disk>,
    recovered: Recovered,
    writer_lives: bool,
}

impl Reader {
    /// Reads the state in `path`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<Reader, OpenError> {
        let disk = Real::open(path).map_err(OpenError::io(path.display().to_string()))?;
        Reader::open_on(Arc::new(disk))
    }

    /// As [`Reader::open`], on any disk.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_on(disk: Arc<dyn Disk>) -> Result<Reader, OpenError> {
        let (recovered, writer_lives) = look(disk.as_ref(), Wanted::State, &ProofsOf::new())?;
        Ok(Reader { disk, recovered, writer_lives })
    }

    /// As [`Reader::open_on`], but the view holds nothing that was saved since the snapshot: for
    /// who wants to know where the log ends. `proofs` are believed.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub(crate) fn end_of(disk: Arc<dyn Disk>, proofs: &ProofsOf) -> Result<Reader, OpenError> {
        let (recovered, writer_lives) = look(disk.as_ref(), Wanted::End, proofs)?;
        Ok(Reader { disk, recovered, writer_lives })
    }

    /// The state when the reader was opened.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.recovered.view
    }

    /// What recovery passed by.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.recovered.report
    }

    /// What the control file says.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.recovered.control
    }

    /// The files.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.recovered.directory
    }

    /// Where the log ends.
    #[must_use]
    pub fn end(&self) -> Position {
        self.recovered.end
    }

    /// Whether a process has the store open for writing.
    #[must_use]
    pub fn writer_lives(&self) -> bool {
        self.writer_lives
    }

    /// The directory's permission bits, if others than the owner may enter it.
    #[must_use]
    pub fn open_to_others(&self) -> Option<u32> {
        self.disk.mode().ok().filter(|mode| mode & 0o077 != 0)
    }

    /// The range that [`Reader::at`] can read.
    #[must_use]
    pub fn history(&self) -> History {
        let view = self.view();
        history::range_of(self.directory(), view.lsn(), view.time())
    }

    /// The state at a retained LSN or time.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] and others.
    pub fn at(&self, at: At) -> Result<View, ReadError> {
        let view = self.view();
        match at {
            // What is not vouched for is not shown in this way, either.
            At::Lsn(lsn) if lsn > view.lsn() => {
                Err(ReadError::OutOfRange { oldest: self.history().oldest_lsn, newest: view.lsn() })
            }
            At::Time(time) if time >= view.time() => Ok(view.clone()),
            _ => history::at(self.disk.as_ref(), at, Writer::Lives(view.lsn())),
        }
    }

    /// Every save from `from` on, in order, and those that follow.
    ///
    /// # Errors
    /// [`ReadError::Behind`] if `from` is no longer retained.
    pub fn follow(&self, from: Lsn) -> Result<Follower, ReadError> {
        Follower::outside(Arc::clone(&self.disk), from)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("view", self.view()).finish_non_exhaustive()
    }
}

/// Whether a process has the store open for writing.
#[must_use]
pub fn writer_lives(disk: &dyn Disk) -> bool {
    let lock = disk.open(names::LOCK, Access::Read);
    let locked = lock.and_then(|file| file.is_locked()).unwrap_or(false);
    // Nobody locks a shared directory: there may be a writer on another host at any time.
    locked || is_shared(disk)
}

/// Whether several hosts may write the directory.
#[must_use]
pub fn is_shared(disk: &dyn Disk) -> bool {
    read_control(disk).is_ok_and(|facts| facts.shared())
}

/// Reads the state; what looks damaged while a writer lives, or comes and goes, is read anew before
/// it is believed.
fn look(
    disk: &dyn Disk,
    wanted: Wanted,
    proofs: &ProofsOf,
) -> Result<(Recovered, bool), OpenError> {
    let (mut looks, mut tries, mut listed) = (0, 0, None);
    loop {
        looks += 1;
        let before = writer_lives(disk);
        let writer = if before { Writer::Lives(Lsn::ZERO) } else { Writer::None };
        let outcome = Directory::read(disk).map_err(OpenError::io("directory"));
        let outcome = outcome.and_then(|mut directory| {
            for (id, facts) in &mut directory.segments {
                facts.proofs = proofs.get(id).cloned();
            }
            recover_in(disk, directory, Target::End, writer, wanted)
        });
        // A writer that came meanwhile may have had a group in flight.
        let moved = before || writer_lives(disk);
        let settled = match &outcome {
            // A slot that is being written looks damaged.
            Ok(recovered) if recovered.report.one_slot => !moved,
            Ok(_) => before || !moved,
            Err(OpenError::NotAStore) => true,
            Err(_) => !moved,
        };
        let now = if settled { None } else { names_in(disk) };
        tries += usize::from(now.is_none() || now == listed);
        listed = now;
        if settled || tries == TRIES || looks == LOOKS_MAX {
            return outcome.map(|recovered| (recovered, before));
        }
    }
}

/// What is there, in order. `None`: that cannot be said.
fn names_in(disk: &dyn Disk) -> Option<Vec<String>> {
    let mut names: Vec<String> = disk.list().ok()?.into_iter().map(|entry| entry.name).collect();
    names.sort_unstable();
    Some(names)
}
