//! Makes a backup a store again: into an empty directory, or in the place of one.
//!
//! Invariants:
//! - the control file comes last: a target is whole or no store, and a restore that was cut short
//!   is begun again by the next one, which knows it by its mark;
//! - the mark comes first, also before a state is put down on the way to a later one;
//! - the restored store has a new incarnation, and an epoch above everything that the backup, or
//!   what it replaces, has seen;
//! - in place, the directory is exchanged for the restored one in a single step, and what was there
//!   is kept beside it; nobody has it open for writing meanwhile.

use crate::base::{Epoch, Id, Lsn, Nanos};
use crate::disk::{Access, Disk, Real, Site, place};
use crate::export::ExportError;
use crate::export::opened::Opened;
use crate::format::{FileName, names};
use crate::store::directory::Directory;
use crate::store::{At, Beginning, OpenError, ReadError, begin_on, lock_on};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file in a target that says that a restore is under way there.
pub const MARK: &str = "RESTORING";

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The state's LSN.
    pub lsn: Lsn,
    /// When it was saved.
    pub time: Nanos,
    /// The new history.
    pub incarnation: Id,
    /// The epoch that it begins with.
    pub epoch: Epoch,
}

/// Restores into an empty directory (or one in which a restore was cut short). The new epoch is
/// above `above`, too.
///
/// # Errors
/// [`ExportError::NotEmpty`], [`ExportError::OutOfRange`] and others. A target that was begun with
/// is no store, and can be restored into again.
pub fn restore_on(
    opened: &Opened,
    target: &Arc<dyn Disk>,
    at: Option<At>,
    above: Epoch,
    now: Nanos,
    progress: &mut dyn FnMut(u64),
) -> Result<Restored, ExportError> {
    let mut begun = false;
    let replay = opened.state(at, &mut || {
        if !begun {
            begin(target.as_ref())?;
            begun = true;
        }
        Ok(Arc::clone(target))
    })?;
    let (lsn, time, chain) = (replay.lsn(), replay.time(), replay.chain());
    let view = replay.into_view();
    if !begun {
        begin(target.as_ref())?;
    }
    let epoch = opened.manifest.epoch.max(above).next();
    let beginning = Beginning { cluster: opened.manifest.cluster, epoch, chain, made: now };
    let incarnation = begin_on(target, &view, &beginning, progress)?;
    target.remove(MARK).map_err(ExportError::io(MARK))?;
    target.sync_names(Site::Scratch).map_err(ExportError::io("target"))?;
    Ok(Restored { lsn, time, incarnation, epoch })
}

/// Makes the target ready for the first file.
fn begin(target: &dyn Disk) -> Result<(), ExportError> {
    let mode = target.mode().map_err(ExportError::io("target"))?;
    if mode & 0o077 != 0 {
        return Err(ReadError::Open(OpenError::Permissions { mode }).into());
    }
    clear(target)?;
    mark(target).map_err(ExportError::io(MARK))
}

/// Makes sure that nothing is in the target; what a restore left that was cut short goes.
fn clear(target: &dyn Disk) -> Result<(), ExportError> {
    let io = |error| ExportError::io("target")(error);
    let entries = target.list().map_err(io)?;
    let begun = entries.iter().any(|entry| entry.name == MARK && entry.regular);
    let directory = Directory::read(target).map_err(io)?;
    let slots = directory.control.iter().flat_map(|control| &control.slots);
    if slots.into_iter().any(Result::is_ok) {
        return Err(ExportError::NotEmpty("a store".to_owned()));
    }
    for entry in entries {
        let ours = begun && entry.regular && FileName::parse(&entry.name).is_some();
        match entry.name.as_str() {
            MARK if begun => {}
            "lost+found" => {}
            name if ours => target.remove(name).map_err(ExportError::io(name))?,
            _ => return Err(ExportError::NotEmpty(entry.name)),
        }
    }
    Ok(())
}

/// Says that a restore is under way, before anything else is made.
fn mark(target: &dyn Disk) -> io::Result<()> {
    match target.open(MARK, Access::Create) {
        Ok(file) => file.sync(Site::RestoreMark)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    target.sync_names(Site::RestoreMark)?;
    target.sync_parent(Site::DirectoryName)
}

/// A step of [`in_place`]. Each is one call that happens or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The restored directory is whole, beside the old one.
    Restored,
    /// The two have changed places.
    Exchanged,
    /// The old one has its lasting name.
    Kept,
}

/// Restores in the place of `dir`. Returns where the old directory is kept. `each` is called after
/// each step; an error from it ends the work there, as a kill would.
///
/// # Errors
/// [`ExportError::StoreBusy`] while a daemon has the store open; [`ExportError::Io`] where the two
/// cannot change places (a mount point). The old directory is then as it was.
pub fn in_place(
    opened: &Opened,
    dir: &Path,
    at: Option<At>,
    now: Nanos,
    progress: &mut dyn FnMut(u64),
    each: &mut dyn FnMut(Step) -> io::Result<()>,
) -> Result<(Restored, PathBuf), ExportError> {
    let dir = &dir.canonicalize().map_err(ExportError::io(dir.display().to_string()))?;
    let io = |error| ExportError::io(dir.display().to_string())(error);
    let old = Real::open(dir).map_err(io)?;
    let _lock = lock_on(&old).map_err(|error| match error {
        OpenError::Locked => ExportError::StoreBusy,
        error => ReadError::Open(error).into(),
    })?;
    discard_unfinished(dir);
    let above = Directory::read(&old).map_err(io)?.greatest_epoch();
    let id = crate::export::BackupId::new(now).map_err(ExportError::io("random numbers"))?;
    let beside = |what: &str| {
        let mut name = dir.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{what}-{id}"));
        dir.with_file_name(name)
    };
    let (fresh, kept) = (beside("restoring"), beside("replaced"));
    let mut target = Real::create(&fresh).map_err(io)?;
    target.belong_like(&old).map_err(io)?;
    let target: Arc<dyn Disk> = Arc::new(target);
    let restored = restore_on(opened, &target, at, above, now, progress).inspect_err(|_| {
        discard(target.as_ref(), &fresh);
    })?;
    each(Step::Restored).map_err(io)?;
    if let Err(error) = place::exchange(&fresh, dir) {
        discard(target.as_ref(), &fresh);
        return Err(io(error));
    }
    // From here on it is the restored one, also after a power cut.
    target.sync_parent(Site::DirectoryName).map_err(io)?;
    each(Step::Exchanged).map_err(io)?;
    place::rename(&fresh, &kept).map_err(io)?;
    old.sync_parent(Site::DirectoryName).map_err(io)?;
    each(Step::Kept).map_err(io)?;
    Ok((restored, kept))
}

/// Removes what restores in this place left that were cut short before they were whole. Nobody is
/// at work there: whoever is holds the store's lock.
fn discard_unfinished(dir: &Path) {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else { return };
    let prefix = format!("{}.restoring-", name.to_string_lossy());
    let entries = Real::open(parent).and_then(|parent| parent.list()).unwrap_or_default();
    for entry in entries.iter().filter(|entry| entry.name.starts_with(&prefix)) {
        let path = parent.join(&entry.name);
        if let Ok(found) = Real::open(&path)
            && found.open(MARK, Access::Read).is_ok()
        {
            discard(&found, &path);
        }
    }
}

/// Removes what was made beside, as far as it is ours.
fn discard(target: &dyn Disk, path: &Path) {
    for entry in target.list().unwrap_or_default() {
        if entry.name == MARK || FileName::parse(&entry.name).is_some() || entry.name == names::LOCK
        {
            let _ = target.remove(&entry.name);
        }
    }
    let _ = place::remove(path);
}
