//! A repository for a while, beside what is made out of it: an archive, or a store.
//!
//! Invariant: it goes when its owner goes; what a killed one left is taken over by the next of the
//! same name, and removed with it.

use crate::disk::{Disk, Real, place};
use crate::export::ExportError;
use crate::export::repository::{FileKind, Hold, MARK, Repository};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory that holds a repository for a while.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Scratch {
    /// Makes one beside `path`; empties the one that is there.
    ///
    /// # Errors
    /// [`ExportError::Busy`] if a process is at work in it; [`ExportError::NotEmpty`] if the
    /// directory is somebody else's; those of the file system.
    pub fn beside(path: &Path) -> Result<Scratch, ExportError> {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".making");
        let path = path.with_file_name(name);
        let io = |error| ExportError::io(path.display().to_string())(error);
        let disk: Arc<dyn Disk> = match Real::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Arc::new(Real::create(&path).map_err(io)?)
            }
            opened => Arc::new(opened.map_err(io)?),
        };
        // While it is locked nobody is at work in it.
        match Repository::open(Arc::clone(&disk), Hold::Change) {
            Ok(_) => empty(disk.as_ref()),
            Err(ExportError::NotARepository) => {}
            Err(error) => return Err(error),
        }
        let entries = disk.list().map_err(io)?;
        if let Some(stranger) = entries.iter().find(|entry| entry.name != MARK) {
            return Err(ExportError::NotEmpty(stranger.name.clone()));
        }
        Ok(Scratch { path, disk })
    }

    /// Its directory.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        empty(self.disk.as_ref());
        let _ = place::remove(&self.path);
    }
}

/// Removes what is ours; best effort.
fn empty(disk: &dyn Disk) {
    for entry in disk.list().unwrap_or_default() {
        if entry.name == MARK || FileKind::parse(&entry.name).is_some() {
            let _ = disk.remove(&entry.name);
        }
    }
}
