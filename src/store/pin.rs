//! Keeps files from being deleted while somebody copies them: a shared lock on each, which
//! retention honours. They go when the process ends, however it does.
//!
//! Invariants: every file named by [`Pins::directory`] can be read by its name for as long as the
//! pins live; nothing is changed, and the writer waits for nobody.

use crate::disk::{Access, Disk, File};
use crate::store::directory::Directory;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

/// How often a directory is read anew in which files go while they are pinned. Each time at least
/// one was deleted meanwhile.
const TRIES: usize = 100;

/// The segments and snapshots of one moment, kept from deletion.
#[derive(Debug)]
pub struct Pins {
    directory: Directory,
    files: BTreeMap<String, Arc<dyn File>>,
}

impl Pins {
    /// Pins every segment and snapshot that is there. A prepared segment and an unfinished snapshot
    /// are among them; the active segment goes on growing.
    ///
    /// # Errors
    /// Those of the file system; `Unsupported` where the mount has no locks; `WouldBlock` if files
    /// go faster than they can be pinned.
    pub fn take(disk: &dyn Disk) -> io::Result<Pins> {
        for _ in 0..TRIES {
            let directory = Directory::read(disk)?;
            if let Some(files) = lock_all(disk, &directory)? {
                return Ok(Pins { directory, files });
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// What was there when the pins were taken.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// A pinned file.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&Arc<dyn File>> {
        self.files.get(name)
    }

    /// The pinned files' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }
}

/// All files with their locks, or `None` if one of them went meanwhile.
fn lock_all(
    disk: &dyn Disk,
    directory: &Directory,
) -> io::Result<Option<BTreeMap<String, Arc<dyn File>>>> {
    let segments = directory.segments.values().map(|facts| facts.name());
    let snapshots = directory.snapshots.iter().map(|facts| facts.name());
    let mut files = BTreeMap::new();
    for name in segments.chain(snapshots) {
        let locked = disk.open(&name, Access::Read).and_then(|file| {
            file.try_lock(false)?;
            Ok(file)
        });
        match locked {
            Ok(file) => {
                files.insert(name, file);
            }
            // Deleted, or about to be.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::WouldBlock) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
    // Whoever deletes locks first and then removes the name: a name that is still there while we
    // have the lock stays.
    let there: BTreeSet<String> = disk.list()?.into_iter().map(|entry| entry.name).collect();
    Ok(files.keys().all(|name| there.contains(name)).then_some(files))
}
