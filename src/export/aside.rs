//! A folder for a while in a place that others may use, too, such as /tmp.
//!
//! Invariants: it goes when its owner goes; what a killed one left is removed by the next one in
//! the same place, which knows by its lock that nobody is at work in it, and can remove only what
//! is its user's.

use crate::base::Nanos;
use crate::disk::folder::Folder;
use crate::disk::{Disk, Real};
use crate::export::ExportError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How the names begin.
pub const PREFIX: &str = ".restore-test-";

/// How often a folder is made anew that another one took for a leftover before it was locked.
const TRIES: u32 = 100;

/// The folder.
#[derive(Debug)]
pub struct Aside {
    parent: Folder,
    name: Vec<u8>,
    path: PathBuf,
    /// Locked as long as this lives.
    _folder: Folder,
}

impl Aside {
    /// Makes one in `place`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn make(place: &Path) -> io::Result<Aside> {
        let parent = Folder::open(place)?;
        // Of others in a place such as /tmp we may see names, and no more.
        let _ = parent.remove_leftovers(PREFIX.as_bytes());
        for _ in 0..TRIES {
            let id = format!("{PREFIX}{}-{:x}", std::process::id(), Nanos::now().0);
            let made = parent.make(id.as_bytes()).and_then(|folder| {
                let locked = folder.try_lock()?;
                // Locked, it stays: unless it went just before.
                let there = parent.sub(id.as_bytes()).is_ok();
                Ok((locked && there).then_some(folder))
            });
            match made {
                Ok(Some(folder)) => {
                    let (name, path) = (id.as_bytes().to_vec(), place.join(&id));
                    return Ok(Aside { parent, name, path, _folder: folder });
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Err(error) = self.parent.remove_tree(&self.name) {
            tracing::warn!(%error, path = %self.path.display(), "could not be removed");
        }
    }
}

/// A folder that is made when it is needed.
#[derive(Debug)]
pub struct Beside<'a> {
    place: &'a Path,
    made: Option<(Aside, Arc<dyn Disk>)>,
}

impl<'a> Beside<'a> {
    /// None yet; in `place`.
    #[must_use]
    pub fn new(place: &'a Path) -> Beside<'a> {
        Beside { place, made: None }
    }

    /// The folder.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn disk(&mut self) -> Result<Arc<dyn Disk>, ExportError> {
        if self.made.is_none() {
            let io = |error| ExportError::io(self.place.display().to_string())(error);
            let aside = Aside::make(self.place).map_err(io)?;
            let disk: Arc<dyn Disk> = Arc::new(Real::open(aside.path()).map_err(io)?);
            self.made = Some((aside, disk));
        }
        let (_, disk) = self.made.as_ref().expect("made above");
        Ok(Arc::clone(disk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_one_left_goes_with_the_next_and_what_is_in_use_stays() {
        let place = tempfile::tempdir().unwrap();
        let in_use = Aside::make(place.path()).unwrap();
        std::fs::write(in_use.path().join("file"), "x").unwrap();
        let left = place.path().join(format!("{PREFIX}1-1"));
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join("file"), "x").unwrap();
        std::fs::create_dir(place.path().join("another")).unwrap();
        let next = Aside::make(place.path()).unwrap();
        assert!(!left.exists() && in_use.path().join("file").exists() && next.path().exists());
        drop((in_use, next));
        let names = std::fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["another"]);
    }
}
