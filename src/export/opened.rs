//! A backup that is about to be restored: every byte of it compared with its digest.
//!
//! Invariant: nothing is interpreted before its digest was compared; what a digest covers is still
//! read by total decoders, for whoever can write a file can write its digest.

use crate::base::{Lsn, Nanos};
use crate::disk::{Access, Disk, Mapping};
use crate::export::ExportError;
use crate::export::manifest::{Manifest, Part};
use crate::export::part::{Groups, PartHeader};
use crate::snapshot::Snapshot;
use crate::store::{At, Replay};
use blake3::Hash;
use std::io;
use std::sync::Arc;

/// A whole backup. Who opened it keeps its files from being removed.
#[derive(Debug)]
pub struct Opened {
    /// What it is.
    pub manifest: Manifest,
    base: Option<Arc<Snapshot>>,
    parts: Vec<(Part, Mapping)>,
}

impl Opened {
    /// Opens the files of `manifest` in `disk`, reading all of them. `progress` gets their bytes.
    ///
    /// # Errors
    /// [`ExportError::Damaged`] and others.
    pub fn open(
        disk: &dyn Disk,
        manifest: Manifest,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Opened, ExportError> {
        let base = match &manifest.base {
            None => None,
            Some(base) => {
                drop(whole(disk, &base.file, base.bytes, base.digest)?);
                progress(base.bytes);
                let snapshot = Snapshot::open_copy(disk, &base.file)?;
                let header = snapshot.header();
                if (header.lsn, header.time, header.cluster)
                    != (manifest.from.0, manifest.from.1, manifest.cluster)
                {
                    return Err(ExportError::damaged(&base.file, "is another snapshot"));
                }
                Some(Arc::new(snapshot))
            }
        };
        let mut parts = Vec::with_capacity(manifest.parts.len());
        for part in &manifest.parts {
            let mapping = whole(disk, &part.file, part.bytes, part.digest)?;
            progress(part.bytes);
            parts.push((part.clone(), mapping));
        }
        Ok(Opened { manifest, base, parts })
    }

    /// The state at a point in time; without one, the newest.
    ///
    /// # Errors
    /// [`ExportError::OutOfRange`]; [`ExportError::Damaged`] where the groups make no history.
    pub fn state(&self, at: Option<At>) -> Result<Replay, ExportError> {
        if at.is_some_and(|at| !covers(&self.manifest, at)) {
            let (oldest, newest) = range_of(&self.manifest);
            return Err(ExportError::OutOfRange { oldest, newest });
        }
        let mut replay = Replay::new(self.base.clone(), at);
        for (part, mapping) in &self.parts {
            let damaged = |what: String| ExportError::damaged(&part.file, what);
            let (header, groups) =
                PartHeader::decode(mapping).map_err(|e| ExportError::format(&part.file, e))?;
            if header.cluster != self.manifest.cluster
                || (header.after, header.chain) != (replay.lsn(), replay.chain())
            {
                return Err(damaged("does not go on where the one before it ends".to_owned()));
            }
            for group in Groups(groups) {
                let group = group.map_err(|e| ExportError::format(&part.file, e))?;
                if replay.group(&group).map_err(|e| damaged(e.to_string()))? {
                    return Ok(replay);
                }
            }
            if (replay.lsn(), replay.time()) != (part.lsn, part.time) {
                return Err(damaged("ends elsewhere than the manifest says".to_owned()));
            }
        }
        let end = &self.manifest.end;
        if (replay.lsn(), replay.chain()) != (end.lsn, end.chain) {
            return Err(ExportError::damaged(
                self.manifest.id.as_str(),
                "the history in it ends elsewhere than the manifest says",
            ));
        }
        Ok(replay)
    }
}

/// The oldest and the newest state in a backup.
#[must_use]
pub fn range_of(manifest: &Manifest) -> ((Lsn, Nanos), (Lsn, Nanos)) {
    (manifest.from, (manifest.end.lsn, manifest.end.time))
}

/// Whether the state at `at` is known from the backup: until it was made, for times.
pub(crate) fn covers(manifest: &Manifest, at: At) -> bool {
    match at {
        At::Lsn(lsn) => (manifest.from.0..=manifest.end.lsn).contains(&lsn),
        At::Time(time) => (manifest.from.1..=manifest.made.max(manifest.end.time)).contains(&time),
    }
}

/// All of a file, if it is what it was.
pub(crate) fn whole(
    disk: &dyn Disk,
    name: &str,
    bytes: u64,
    digest: Hash,
) -> Result<Mapping, ExportError> {
    let damaged = |what: &str| ExportError::damaged(name, what);
    let file = match disk.open(name, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged("is missing"));
        }
        file => file.map_err(ExportError::io(name))?,
    };
    let len = file.len().map_err(ExportError::io(name))?;
    if len != bytes {
        return Err(damaged(&format!("has {len} bytes instead of {bytes}")));
    }
    let mapping = file.map(bytes).map_err(ExportError::io(name))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_rayon(&mapping);
    if mapping.faulted() {
        return Err(damaged("cannot be read"));
    }
    if hasher.finalize() != digest && !cfg!(fuzzing) {
        return Err(damaged("the digest does not fit"));
    }
    Ok(mapping)
}
