//! A backup that is about to be restored: every byte of it compared with its digest.
//!
//! Invariants:
//! - nothing is interpreted before its digest was compared; what a digest covers is still read by
//!   total decoders, for whoever can write a file can write its digest;
//! - memory for what changed since the base is bounded, however long the log in the parts is: past
//!   [`RESTORE_CHANGES_MAX`], or a quarter of the state where that is more, the state is put down
//!   as a snapshot in a place that the caller gives, whose name goes at once, and goes on from
//!   there. A quarter, so that a large state is not written once for each portion of the log.

use crate::base::limits::RESTORE_CHANGES_MAX;
use crate::base::{Lsn, Nanos, SegmentId};
use crate::disk::{Access, Disk, Mapping};
use crate::export::ExportError;
use crate::export::manifest::{Manifest, Part};
use crate::export::part::{Groups, PartHeader};
use crate::format::segment::FIRST_GROUP;
use crate::snapshot::{Builder, Plan, Snapshot};
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
    changes_max: Option<u64>,
}

/// Where a state may be put down for a while; asked for only when it is needed. Who gives it sees
/// to it that nothing is there under a name of ours.
pub type Place<'a> = dyn FnMut() -> Result<Arc<dyn Disk>, ExportError> + 'a;

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
        Ok(Opened { manifest, base, parts, changes_max: None })
    }

    /// Holds exactly so much in memory, however large the state is.
    pub fn set_changes_max(&mut self, bytes: u64) {
        self.changes_max = Some(bytes);
    }

    /// So many bytes of changes are held in memory over a base of `base_bytes`.
    fn changes_max(&self, base_bytes: u64) -> u64 {
        self.changes_max.unwrap_or_else(|| RESTORE_CHANGES_MAX.max(base_bytes / 4))
    }

    /// Bytes of disk that a state may take for a while, besides what is made of it.
    #[must_use]
    pub fn room_aside(&self) -> u64 {
        let parts: u64 = self.manifest.parts.iter().map(|part| part.bytes).sum();
        // The state as it was put down before, and the one that is being put down.
        if parts > self.changes_max(0) / 2 { 2 * self.manifest.bytes() } else { 0 }
    }

    /// The state at a point in time; without one, the newest. What does not fit into memory is put
    /// down in `place`.
    ///
    /// # Errors
    /// [`ExportError::OutOfRange`]; [`ExportError::Damaged`] where the groups make no history;
    /// those of `place`.
    pub fn state(&self, at: Option<At>, place: &mut Place<'_>) -> Result<Replay, ExportError> {
        self.walk(at, Replay::new(self.base.clone(), at), place)
    }

    /// Where the state at a point in time is in the history, after a look at every group up to
    /// there.
    ///
    /// # Errors
    /// As [`Opened::state`].
    pub fn reach(&self, at: Option<At>) -> Result<Lsn, ExportError> {
        let looking = Replay::only_looking(self.base.clone(), at);
        let mut nowhere = || unreachable!("nothing is kept, so nothing is put down");
        Ok(self.walk(at, looking, &mut nowhere)?.lsn())
    }

    fn walk(
        &self,
        at: Option<At>,
        mut replay: Replay,
        place: &mut Place<'_>,
    ) -> Result<Replay, ExportError> {
        if at.is_some_and(|at| !covers(&self.manifest, at)) {
            let (oldest, newest) = range_of(&self.manifest);
            return Err(ExportError::OutOfRange { oldest, newest });
        }
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
                if replay.change_bytes() > self.changes_max(replay.base_bytes()) {
                    self.put_down(&mut replay, &place()?)?;
                }
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

    /// Writes the state so far down in `disk`, and goes on from there. The file has no name any
    /// more when this returns, and goes when nobody reads it.
    fn put_down(&self, replay: &mut Replay, disk: &Arc<dyn Disk>) -> Result<(), ExportError> {
        let manifest = &self.manifest;
        let epoch = manifest.epoch;
        let plan = Plan {
            cluster: manifest.cluster,
            incarnation: manifest.incarnation,
            epoch,
            lsn: replay.lsn(),
            chain: replay.chain(),
            time: replay.time(),
            made: manifest.made,
            // Nobody goes on with a log from here.
            resume: SegmentId { epoch, ordinal: 1 },
            resume_offset: FIRST_GROUP,
        };
        let mut builder = Builder::create(Arc::clone(disk), plan)?;
        replay.view().for_each(|table, key, value| builder.push(table, key, value))?;
        let snapshot = builder.finish()?.publish()?;
        disk.remove(snapshot.name()).map_err(ExportError::io(snapshot.name()))?;
        replay.rest_on(Arc::new(snapshot));
        Ok(())
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
