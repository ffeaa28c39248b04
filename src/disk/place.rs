//! Whole directories and what stands beside them: the few acts that are not within one flat
//! directory. By path, durable after a [`Disk::sync_parent`](crate::disk::Disk::sync_parent).

use crate::disk::whole::uninterrupted;
use rustix::fs::{CWD, RenameFlags};
use std::io;
use std::path::Path;

/// Two names of one file system change places, in a single step.
///
/// # Errors
/// Those of the file system: `EBUSY` for a mount point, `EINVAL` where it cannot be done.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    uninterrupted(|| Ok(rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?))
}

/// Renames; what stands at `to` stays.
///
/// # Errors
/// `AlreadyExists`, and others of the file system.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    uninterrupted(|| Ok(rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?))
}

/// Removes an empty directory.
///
/// # Errors
/// `DirectoryNotEmpty`, and others of the file system.
pub fn remove(directory: &Path) -> io::Result<()> {
    uninterrupted(|| Ok(rustix::fs::rmdir(directory)?))
}
