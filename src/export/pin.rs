//! A private folder that shows a state directory as it is at one moment, for a copier that takes
//! its time.
//!
//! ```text
//! DIR/..  or  DIR           .NAME.pin-PID-…/NAME/CONTROL   a copy, read before all others
//!                                               log-…      a hard link; the last ones are copies
//!                                               snap-… tag-…  hard links
//! ```
//!
//! Invariants:
//! - files that never change again are linked: whoever deletes them takes only the other name;
//!   files that do are copied, after the control file, which is older than all of them;
//! - a listing counts only if nothing came or went while it was linked: else it could miss both a
//!   snapshot that was superseded and the one that supersedes it;
//! - length and time of what is copied are those from before it was read, so that a copier that
//!   skips what looks the same in both never skips what is not;
//! - folders that killed runs have left are removed by the next run; nobody takes them for a store;
//! - at most [`PINS_MAX`] at a time hold a directory: what they keep from being freed is bounded.

use crate::base::limits::{BLOCK, PINS_MAX};
use crate::base::{Nanos, SegmentId};
use crate::disk::folder::{Facts, Folder, dress};
use crate::disk::{Disk, Real};
use crate::export::tree::TreeError;
use crate::format::{FileName, TagName, names};
use crate::store::OpenError;
use crate::store::directory::Directory;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How often a directory that changes meanwhile is listed anew. One round takes well under a
/// millisecond, and files come and go a few times a second at most.
const TRIES: u32 = 200;

/// Until then a writer shows in a file's length and time what it has appended before (it takes
/// 20 ms, where the machine lets it).
const SETTLE: Duration = Duration::from_millis(40);

/// A directory, pinned. Dropping it removes the folder.
#[derive(Debug)]
pub struct Pin {
    parent: Folder,
    name: Vec<u8>,
    /// Locked as long as this lives.
    _room: Folder,
    view: PathBuf,
}

/// Why a directory could not be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// It is no store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// As many as may hold it do.
    #[error("{} is held still by {PINS_MAX} others, as many as may", .path.display())]
    Crowded {
        /// The directory.
        path: PathBuf,
        /// The processes.
        by: Vec<u32>,
    },
    /// It never stood still.
    #[error("{} changes too fast to be pinned", .0.display())]
    Restless(PathBuf),
    /// The file system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

impl From<PinError> for TreeError {
    fn from(error: PinError) -> TreeError {
        TreeError::List(io::Error::other(error))
    }
}

impl Pin {
    /// Pins the state directory `path`.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn new(path: &Path) -> Result<Pin, PinError> {
        let failed = |source| PinError::Io { path: path.to_owned(), source };
        let source = Folder::open(path).map_err(failed)?;
        let disk = Real::open(path).map_err(failed)?;
        let name = name_of(path).map_err(failed)?;
        // What was acknowledged before we were called is to be in the copy, and to look so.
        thread::sleep(SETTLE);
        let mut refused = None;
        for parent in [path.join(".."), path.to_owned()] {
            let parent = Folder::open(&parent).map_err(failed)?;
            match room(&parent, &source, &name) {
                Ok((room_name, room)) => {
                    let view = room.place(&name);
                    let pin = Pin { parent, name: room_name, _room: room, view };
                    pin.not_too_many(path, &name)?;
                    pin.fill(path, &source, &disk, &name)?;
                    return Ok(pin);
                }
                // Not ours to write, or the directory is a mount of its own: in it, then.
                Err(error) => refused = Some(error),
            }
        }
        Err(failed(refused.expect("both places were tried")))
    }

    /// The folder that shows the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.view
    }

    /// Counted with its own folder, so that of two that come at once none is overlooked.
    fn not_too_many(&self, path: &Path, name: &[u8]) -> Result<(), PinError> {
        let prefix = prefix(name);
        let mut by = Vec::new();
        let listed = self.parent.each(|found, _| {
            if found != self.name
                && let Some(id) = found.strip_prefix(&*prefix)
            {
                let id = String::from_utf8_lossy(id);
                by.extend(id.split('-').next().and_then(|pid| pid.parse::<u32>().ok()));
            }
            Ok::<(), io::Error>(())
        });
        listed.map_err(|source| PinError::Io { path: path.to_owned(), source })?;
        match by.len() < PINS_MAX {
            true => Ok(()),
            false => Err(PinError::Crowded { path: path.to_owned(), by }),
        }
    }

    fn fill(&self, path: &Path, source: &Folder, disk: &Real, name: &[u8]) -> Result<(), PinError> {
        let failed = |source| PinError::Io { path: path.to_owned(), source };
        for _ in 0..TRIES {
            let view = self._room.make(name).map_err(failed)?;
            if attempt(source, disk, &view)? {
                let facts = source.own_facts().map_err(failed)?;
                return view.dress(&facts).map_err(failed);
            }
            self._room.remove_tree(name).map_err(failed)?;
        }
        Err(PinError::Restless(path.to_owned()))
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Err(error) = self.parent.remove_tree(&self.name) {
            tracing::warn!(%error, "a pin's folder could not be removed");
        }
    }
}

/// The directory's own name, which a copier that is told to copy the directory itself shows.
fn name_of(path: &Path) -> io::Result<Vec<u8>> {
    let whole = match path.file_name() {
        Some(_) => path.to_owned(),
        // Such as `.` or `/spool/..`.
        None => std::fs::canonicalize(path)?,
    };
    Ok(whole.file_name().map_or(b"state".to_vec(), |name| name.as_bytes().to_vec()))
}

/// How the names of the folders begin.
fn prefix(name: &[u8]) -> Vec<u8> {
    [b".", name, b".pin-"].concat()
}

/// Makes a locked folder in `parent`, if files of `source` can be linked into it.
fn room(parent: &Folder, source: &Folder, name: &[u8]) -> io::Result<(Vec<u8>, Folder)> {
    if parent.own_facts()?.device != source.own_facts()?.device {
        return Err(io::ErrorKind::CrossesDevices.into());
    }
    let prefix = prefix(name);
    parent.remove_leftovers(&prefix)?;
    let id = format!("{}-{:x}", std::process::id(), Nanos::now().0);
    let room_name = [&prefix, id.as_bytes()].concat();
    let room = parent.make(&room_name)?;
    room.try_lock()?;
    // A mount of the same device elsewhere takes no links either.
    match source.link(names::CONTROL.as_bytes(), &room, b"probe") {
        Ok(()) => Ok((room_name, room)),
        Err(error) => {
            parent.remove_tree(&room_name)?;
            Err(error)
        }
    }
}

/// One try; whether the directory stood still.
fn attempt(source: &Folder, disk: &Real, view: &Folder) -> Result<bool, PinError> {
    let failed = |source| PinError::Io { path: view.path().to_owned(), source };
    let control = names::CONTROL.as_bytes();
    match copy(source, view, control) {
        Ok(true) => {}
        Ok(false) => return Err(OpenError::NotAStore.into()),
        Err(error) => return Err(failed(error)),
    }
    let directory = Directory::read(disk).map_err(failed)?;
    let listed = ours(disk).map_err(failed)?;
    let changing = changing(&directory);
    // In the order of names, as a copier goes: what is copied later is newer.
    for name in &listed {
        let bytes = name.as_bytes();
        if bytes == control || name == names::LOCK {
            continue;
        }
        let there = match FileName::parse(name) {
            Some(FileName::Segment(id)) if changing.contains(&id) => copy(source, view, bytes),
            _ => match source.link(bytes, view, bytes) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            },
        };
        if !there.map_err(failed)? {
            return Ok(false);
        }
    }
    Ok(listed == ours(disk).map_err(failed)?)
}

/// The names of the store's files.
fn ours(disk: &Real) -> io::Result<BTreeSet<String>> {
    let entries = disk.list()?.into_iter().filter(|entry| entry.regular);
    let names = entries.map(|entry| entry.name);
    let known = |name: &String| FileName::parse(name).is_some() || TagName::parse(name).is_some();
    Ok(names.filter(known).collect())
}

/// The segments that may still change: a later one of a higher epoch, or of the same with groups in
/// it, shows that one does not.
fn changing(directory: &Directory) -> BTreeSet<SegmentId> {
    let used = directory.segments.values().filter(|segment| segment.first.is_some());
    let last = used.map(|segment| segment.id).max();
    let ids = directory.segments.keys().copied();
    ids.filter(|id| last.is_none_or(|last| *id >= last)).collect()
}

/// Copies a file as it is now, zeros behind its end included; whether it is there.
fn copy(source: &Folder, to: &Folder, name: &[u8]) -> io::Result<bool> {
    let (from, facts) = match source.file(name) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let made = to.create(name)?;
    made.set_len(facts.len)?;
    copy_data(&from, &made, facts.len)?;
    dress(&made, &Facts { ..facts })?;
    Ok(true)
}

/// Copies what is not zeros.
fn copy_data(from: &File, to: &File, len: u64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < len {
        let wanted = buffer.len().min(usize::try_from(len - at).unwrap_or(usize::MAX));
        let got = from.read_at(&mut buffer[..wanted], at)?;
        if got == 0 {
            return Ok(());
        }
        for (number, block) in buffer[..got].chunks(BLOCK).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                to.write_all_at(block, at + (number * BLOCK) as u64)?;
            }
        }
        at += got as u64;
    }
    Ok(())
}
