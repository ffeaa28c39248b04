//! Tagged snapshots: a second name, under which a snapshot stays beyond retention.
//!
//! Invariants:
//! - a tag is one hard link: it is there or not, whenever power goes; once [`tag`] has returned it
//!   is durable, with every byte checked before;
//! - recovery, retention and the writer never look at it: it can neither mend nor harm a store;
//! - it holds the whole state by itself: no other file is needed to read it;
//! - a name leads to one snapshot at most.

use crate::base::{Epoch, Id, Lsn};
use crate::disk::{Disk, Site};
use crate::format::{FileName, TagName};
use crate::snapshot::{Snapshot, SnapshotError};
use crate::store::directory::{Directory, TagFacts};
use crate::store::error::{OpenError, ReadError};
use crate::store::recovery::identify;
use crate::store::retention::delete;
use crate::store::state::View;
use std::io;
use std::sync::Arc;

/// Why a tag was not made or not removed.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// Nothing can be called so.
    #[error("a tag is 1 to 64 letters, digits, '_', '.' and '-', not {0:?}")]
    Name(String),
    /// There is no such snapshot.
    #[error("there is no snapshot {0}")]
    NoSnapshot(String),
    /// There is no such tag.
    #[error("there is no tag {0}")]
    NoTag(String),
    /// The name is taken.
    #[error("tag {name} exists, at lsn {lsn}")]
    Exists {
        /// The name.
        name: String,
        /// The state's LSN.
        lsn: Lsn,
    },
    /// Somebody reads it.
    #[error("tag {0} is being read")]
    Pinned(String),
    /// The file system gives each file one name only.
    #[error("this file system has no hard links")]
    NoLinks,
    /// What would be tagged is damaged.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The directory is no store, or cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The tag called `name`, if there is one.
#[must_use]
pub fn find<'a>(directory: &'a Directory, name: &str) -> Option<&'a TagFacts> {
    directory.tags.iter().find(|facts| facts.tag.name == name)
}

/// Calls the snapshot of `epoch` at `lsn` `name`. Durable when this returns. Needs no lock: what a
/// writer deletes meanwhile is not found, or stays under its new name.
///
/// # Errors
/// [`TagError`].
pub fn tag(disk: &dyn Disk, epoch: Epoch, lsn: Lsn, name: &str) -> Result<TagName, TagError> {
    if !TagName::is_valid(name) {
        return Err(TagError::Name(name.to_owned()));
    }
    let directory = Directory::read(disk)?;
    identify(&directory)?;
    if let Some(taken) = find(&directory, name) {
        return Err(TagError::Exists { name: name.to_owned(), lsn: taken.tag.lsn });
    }
    let file = FileName::Snapshot { epoch, lsn }.to_string();
    let tag = TagName { epoch, lsn, name: name.to_owned() };
    let open = Snapshot::open(disk, &file).and_then(|snapshot| {
        snapshot.verify(1)?;
        // Whoever published it may have been killed before its sync.
        snapshot.flush().map_err(|source| SnapshotError::Io { name: file.clone(), source })
    });
    match open {
        Err(SnapshotError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(TagError::NoSnapshot(file));
        }
        outcome => outcome?,
    }
    match disk.link(&file, &tag.to_string()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(TagError::NoSnapshot(file));
        }
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Err(TagError::NoLinks),
        Err(error) => return Err(error.into()),
    }
    // The promise that it stays rests on this.
    disk.sync_names(Site::SnapshotName)?;
    Ok(tag)
}

/// Takes the tag called `name` away; its room is free once no other name leads there. Durable when
/// this returns.
///
/// # Errors
/// [`TagError`].
pub fn untag(disk: &dyn Disk, name: &str) -> Result<TagName, TagError> {
    let directory = Directory::read(disk)?;
    identify(&directory)?;
    let tag = find(&directory, name).ok_or_else(|| TagError::NoTag(name.to_owned()))?.tag.clone();
    // A reader's pin on the snapshot pins all its names; it need not be waited for while another
    // name is left, but nobody can tell.
    if !delete(disk, &tag.to_string())? {
        return Err(TagError::Pinned(name.to_owned()));
    }
    disk.sync_names(Site::SnapshotName)?;
    Ok(tag)
}

/// The state that `tag` holds, every chunk checked.
///
/// # Errors
/// [`OpenError::Foreign`] for another cluster's, [`ReadError::Snapshot`] for damage.
pub fn view(disk: &dyn Disk, cluster: Id, tag: &TagName) -> Result<View, ReadError> {
    let snapshot = Snapshot::open(disk, &tag.to_string())?;
    let header = *snapshot.header();
    if header.cluster != cluster {
        let incarnation = header.incarnation;
        return Err(OpenError::Foreign { file: tag.to_string(), incarnation }.into());
    }
    snapshot.verify(1)?;
    let (lsn, time) = (header.lsn, header.time);
    Ok(View { lsn, time, base: Some(Arc::new(snapshot)), ..View::default() })
}
