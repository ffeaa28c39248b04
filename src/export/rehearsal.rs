//! A restore, rehearsed: a copy, or what a backup gives back, is put in a place of its own, opened
//! for writing as after a disaster, and compared entry by entry with what it was taken from.
//!
//! Invariants: the directory itself is only read, whoever writes it meanwhile; the place is empty
//! again afterwards (what a killed one leaves goes with the next); nothing is said to be restorable
//! that was not compared.

use crate::base::{Epoch, Local, Lsn, Nanos};
use crate::disk::{Disk, Real};
use crate::export::ExportError;
use crate::export::aside::{Aside, Beside};
use crate::export::diff::{Side, diff};
use crate::export::opened::Opened;
use crate::export::pin::{Pin, PinError};
use crate::export::restore::restore_on;
use crate::export::tree::TreeError;
use crate::snapshot::SnapshotError;
use crate::store::{OpenError, Options, Reader, Store, View};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was restored and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rehearsed {
    /// The state's LSN.
    pub lsn: Lsn,
    /// Entries that are equal: all of them.
    pub entries: u64,
    /// Bytes of files that were copied, or of the state that was written.
    pub bytes: u64,
}

/// Why it failed.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The directory could not be held still.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// There is not enough room.
    #[error("{} has room for {free} bytes, {needed} are needed", .place.display())]
    NoRoom {
        /// Where.
        place: PathBuf,
        /// Bytes that are free there.
        free: u64,
        /// Bytes that it takes.
        needed: u64,
    },
    /// The copy does not open, or the directory does not.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was restored is not what was there.
    #[error("the restored state differs in {0} entries")]
    Different(u64),
    /// The backup cannot be restored.
    #[error(transparent)]
    Backup(#[from] ExportError),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] TreeError),
    /// The file system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

/// Restores a copy of the directory `path` below `place`, opens it for writing, compares, and
/// removes it. `progress` gets the bytes that were copied since the last call.
///
/// # Errors
/// [`RehearsalError`].
pub fn rehearse(
    path: &Path,
    place: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Rehearsed, RehearsalError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| RehearsalError::Io { path, source }
    };
    let pin = Pin::new(path)?;
    let files = list(pin.path()).map_err(failed(pin.path()))?;
    let needed: u64 = files.iter().map(|(_, allocated)| allocated).sum();
    // The copy makes a segment of its own when it is opened.
    let needed = needed + (1 << 20);
    let free = Real::open(place).and_then(|disk| disk.space()).map_err(failed(place))?.free;
    if free < needed {
        return Err(RehearsalError::NoRoom { place: place.to_owned(), free, needed });
    }
    let scratch = Aside::make(place).map_err(failed(place))?;
    let mut bytes = 0;
    for (file, _) in &files {
        let to = scratch.path().join(file.file_name().expect("it was listed"));
        let copied = fs::copy(file, &to).map_err(failed(&to))?;
        bytes += copied;
        progress(copied);
    }
    let source = Reader::open(pin.path())?;
    let (lsn, entries) = compare(source.view(), scratch.path())?;
    Ok(Rehearsed { lsn, entries, bytes })
}

/// Restores the newest state of a backup below `place`, as [`rehearse`] does with a directory.
///
/// # Errors
/// [`RehearsalError`].
pub fn rehearse_backup(
    opened: &Opened,
    place: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Rehearsed, RehearsalError> {
    let failed = |source| RehearsalError::Io { path: place.to_owned(), source };
    let needed = opened.manifest.bytes() + opened.room_aside() + (1 << 20);
    let free = Real::open(place).and_then(|disk| disk.space()).map_err(failed)?.free;
    if free < needed {
        return Err(RehearsalError::NoRoom { place: place.to_owned(), free, needed });
    }
    let scratch = Aside::make(place).map_err(failed)?;
    let target: Arc<dyn Disk> = Arc::new(Real::open(scratch.path()).map_err(failed)?);
    let mut bytes = 0;
    let mut count = |so_far: u64| {
        progress(so_far.saturating_sub(bytes));
        bytes = bytes.max(so_far);
    };
    restore_on(opened, &target, None, Epoch(0), Nanos::now(), &mut count)?;
    let mut source = Beside::new(place);
    let view = opened.state(None, &mut || source.disk())?.into_view();
    let (lsn, entries) = compare(&view, scratch.path())?;
    Ok(Rehearsed { lsn, entries, bytes })
}

/// Opens the store in `restored` for writing; its LSN, and how many entries are as in `source`.
fn compare(source: &View, restored: &Path) -> Result<(Lsn, u64), RehearsalError> {
    // Where nobody can tell a copy from the original, this is one.
    let options = Options { adopt: true, ..Options::default() };
    let store = Store::open(restored, options, Arc::new(Local))?;
    let view = store.view();
    let mut different = 0;
    diff(Side::View(source), Side::View(&view), &mut |_, _, _| {
        different += 1;
        Ok::<(), TreeError>(())
    })?;
    if different > 0 || view.lsn() != source.lsn() {
        return Err(RehearsalError::Different(different));
    }
    let mut entries = 0;
    view.for_each(|_, _, _| {
        entries += 1;
        Ok::<(), SnapshotError>(())
    })
    .map_err(TreeError::from)?;
    Ok((view.lsn(), entries))
}

/// The files in a folder with the bytes that they occupy.
fn list(folder: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.path(), entry.metadata()?.blocks() * 512));
    }
    files.sort();
    Ok(files)
}
