//! Deletes retained snapshots that an operator no longer wants, and the log that only they need.
//!
//! Invariants:
//! - the newest sound snapshot stays, and the log from there on; it is read in full before anything
//!   goes, because what goes could have stood in for it;
//! - any subset of the deletions leaves gaps only below the oldest snapshot that is left: a kill or
//!   a power cut in between costs history at most, never the state;
//! - what a reader pins stays, and so does what was superseded so recently that a copier which has
//!   listed it may still want it;
//! - no lock is needed: the writer never needs what goes, and looks anew before it deletes.

use crate::base::{Epoch, Lsn, Nanos};
use crate::disk::{Disk, Site};
use crate::format::SnapshotHeader;
use crate::snapshot::Snapshot;
use crate::store::directory::{Directory, SnapshotFacts};
use crate::store::error::ReadError;
use crate::store::retention::{Deleted, delete};
use std::time::Duration;

/// A snapshot that prune may look at.
#[derive(Clone, Debug)]
pub struct Retained {
    /// The maker's epoch.
    pub epoch: Epoch,
    /// The state's LSN.
    pub lsn: Lsn,
    /// Its name.
    pub name: String,
    /// Bytes that it occupies.
    pub allocated: u64,
    /// Its header.
    pub header: SnapshotHeader,
    /// When a later one took its place; `None` for the newest.
    pub superseded: Option<Nanos>,
}

/// The sound snapshots, oldest first; the last is the newest, which recovery starts from.
#[must_use]
pub fn retained(directory: &Directory) -> Vec<Retained> {
    let mut sound: Vec<(&SnapshotFacts, SnapshotHeader)> = directory
        .snapshots
        .iter()
        .filter_map(|facts| Some((facts, *facts.header.as_ref().ok()?)))
        .collect();
    sound.sort_by_key(|(facts, _)| (facts.epoch, facts.lsn));
    let made = sound.iter().map(|(_, header)| Some(header.made)).skip(1).chain([None]);
    sound
        .iter()
        .zip(made)
        .map(|((facts, header), superseded)| Retained {
            epoch: facts.epoch,
            lsn: facts.lsn,
            name: facts.name(),
            allocated: facts.allocated,
            header: *header,
            superseded,
        })
        .collect()
}

/// The files that go if the snapshots in `gone` do, in the order in which they must. The newest
/// is left out even if it is in there.
#[must_use]
pub fn files(
    directory: &Directory,
    gone: &[(Epoch, Lsn)],
    now: Nanos,
    min_age: Duration,
) -> Vec<Deleted> {
    let all = retained(directory);
    let Some((newest, older)) = all.split_last() else { return Vec::new() };
    let goes = |s: &&Retained| gone.contains(&(s.epoch, s.lsn));
    let mut files: Vec<Deleted> = older
        .iter()
        .filter(goes)
        .map(|s| Deleted { name: s.name.clone(), bytes: s.allocated, reason: "not kept" })
        .collect();
    if files.is_empty() {
        return files;
    }
    let oldest = older.iter().find(|s| !goes(s)).unwrap_or(newest);
    // A copier may have listed the log that a young snapshot superseded.
    let age = Duration::from_nanos(now.0.saturating_sub(oldest.header.made.0));
    if age >= min_age {
        let segments = directory.segments.values();
        let segments = segments.filter(|segment| segment.id < oldest.header.resume);
        files.extend(segments.map(|segment| Deleted {
            name: segment.name(),
            bytes: segment.allocated,
            reason: "older than every snapshot",
        }));
    }
    files
}

/// Deletes `files`, which [`files`] has named; those that a reader pins stay. What is returned is
/// gone, durably.
///
/// # Errors
/// [`ReadError::Snapshot`] where the newest snapshot is damaged: nothing is deleted then.
pub fn remove(disk: &dyn Disk, files: Vec<Deleted>) -> Result<Vec<Deleted>, ReadError> {
    let directory = Directory::read(disk)?;
    let Some(newest) = retained(&directory).pop() else { return Ok(Vec::new()) };
    Snapshot::open(disk, &newest.name)?.verify(1)?;
    let mut done = Vec::new();
    for file in files {
        assert!(file.name != newest.name, "the newest snapshot is never among them");
        if delete(disk, &file.name)? {
            done.push(file);
        }
    }
    disk.sync_names(Site::SnapshotName)?;
    Ok(done)
}
