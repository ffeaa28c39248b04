//! Makes a state directory. The control file comes last: without it there is no store, and a
//! `create` that was cut short is simply begun again.

use crate::disk::{Disk, Site};
use crate::format::FileName;
use crate::store::control::{ControlFile, random_id};
use crate::store::decision::Standing;
use crate::store::directory::Directory;
use crate::store::error::OpenError;
use crate::store::recovery;

/// Makes `disk` an empty store of a new cluster.
pub(crate) fn create(disk: &dyn Disk) -> Result<(), OpenError> {
    check_mode(disk)?;
    let directory = Directory::read(disk).map_err(OpenError::io("directory"))?;
    if let Some(name) = directory.strangers.iter().find(|name| *name != "lost+found") {
        return Err(OpenError::NotEmpty(name.clone()));
    }
    if recovery::standing(&directory) != Standing::NoStore {
        let data = directory.segments.keys().next().map(|id| FileName::Segment(*id));
        let found = data.unwrap_or(FileName::Control);
        return Err(OpenError::NotEmpty(found.to_string()));
    }
    // The directory's own name first: a control file in a directory that vanishes is no store.
    disk.sync_parent(Site::DirectoryName).map_err(OpenError::io("parent directory"))?;
    let id = || random_id().map_err(OpenError::io("random numbers"));
    ControlFile::create(disk, id()?, id()?).map_err(OpenError::io("control file"))
}

/// A directory that others may enter is not written.
pub(crate) fn check_mode(disk: &dyn Disk) -> Result<(), OpenError> {
    let mode = disk.mode().map_err(OpenError::io("directory"))?;
    if mode & 0o077 != 0 {
        return Err(OpenError::Permissions { mode });
    }
    Ok(())
}
