//! Makes a backup of a store that anybody may be writing, in a repository.
//!
//! A *full* one brings a snapshot and every group since, as far back as the history goes. An
//! *incremental* one names the files of the backup before it, and brings the groups since.
//!
//! Invariants:
//! - the source is only read, its files pinned meanwhile;
//! - the manifest comes last; what fails before is removed, what is killed is a leftover;
//! - an incremental backup goes on exactly where its parent ends, by LSN and chain, or becomes a
//!   full one and says why.

use crate::base::{Lsn, Nanos};
use crate::disk::{Access, Disk, Site};
use crate::export::ExportError;
use crate::export::copy::{Sum, Writer};
use crate::export::id::BackupId;
use crate::export::manifest::{Base, Manifest, Part};
use crate::export::part::{self, PartHeader};
use crate::export::repository::{FileKind, Repository};
use crate::format::{FileName, SnapshotHeader};
use crate::snapshot::Snapshot;
use crate::store::{Extract, Extracted, OpenError, Position, ReadError};
use std::sync::Arc;
use std::thread;

/// How often a store that changes meanwhile is looked at anew before damage is believed.
const TRIES: usize = 5;

/// A full backup is made when the incremental ones since the last have brought as much as that one,
/// but not below this many bytes.
const GROWN_MIN: u64 = 32 << 20;

/// And when there are this many parts: each is a file to open.
const PARTS_MAX: usize = 1000;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Backup {
    /// What the operator calls it.
    pub tag: Option<String>,
    /// Whether it may go on from the newest backup.
    pub incremental: bool,
    /// Whether the snapshot may share its blocks with the source.
    pub link: bool,
    /// Now.
    pub now: Nanos,
    /// Backups of this very run that the new one may replace: their small parts are put together.
    pub absorb: Vec<BackupId>,
    /// Whether no backup is made where nothing is new since the newest.
    pub only_new: bool,
}

/// Which kind of backup came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One that brought everything, and why, if less was asked for.
    Full(Option<&'static str>),
    /// One that went on from its parent.
    Incremental,
    /// None: the newest backup holds everything.
    Unchanged,
}

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Done {
    /// What it is.
    pub manifest: Manifest,
    /// Its kind.
    pub kind: Kind,
    /// Bytes that were written, the manifest not counted.
    pub written: u64,
    /// Whether its snapshot shares its blocks with the source.
    pub linked: bool,
}

/// Makes a backup of the store in `source`. `progress` gets bytes as they are written.
///
/// # Errors
/// [`ExportError`]; the repository is as before.
pub fn backup_on(
    source: &Arc<dyn Disk>,
    repository: &Repository,
    wanted: &Backup,
    progress: &mut dyn FnMut(u64),
) -> Result<Done, ExportError> {
    repository.clean()?;
    let mut tries = 0;
    loop {
        tries += 1;
        let outcome = Run::new(source, repository, wanted, progress)?.run();
        // A writer that came, went or rotated meanwhile can look like damage.
        let settled = |error: &ExportError| !error.is_damage() || tries == TRIES;
        match outcome {
            Err(error) if !settled(&error) => {}
            outcome => return outcome,
        }
    }
}

struct Run<'a> {
    source: &'a Arc<dyn Disk>,
    repository: &'a Repository,
    wanted: &'a Backup,
    progress: &'a mut dyn FnMut(u64),
    extract: Extract,
    id: BackupId,
    /// Files that were made, to be removed unless a manifest names them.
    made: Vec<String>,
    written: u64,
}

impl<'a> Run<'a> {
    fn new(
        source: &'a Arc<dyn Disk>,
        repository: &'a Repository,
        wanted: &'a Backup,
        progress: &'a mut dyn FnMut(u64),
    ) -> Result<Run<'a>, ExportError> {
        let extract = Extract::open(Arc::clone(source))?;
        let id = BackupId::new(wanted.now).map_err(ExportError::io("random numbers"))?;
        Ok(Run { source, repository, wanted, progress, extract, id, made: Vec::new(), written: 0 })
    }

    fn run(mut self) -> Result<Done, ExportError> {
        let outcome = self.make();
        // A backup whose last sync has failed may be there all the same: then its files must be.
        let absent = |error| matches!(error, ExportError::NotFound(_));
        if outcome.is_err() && self.repository.manifest(&self.id).is_err_and(absent) {
            self.give_up();
        }
        outcome
    }

    fn make(&mut self) -> Result<Done, ExportError> {
        let why = if self.wanted.incremental {
            let parent = self.newest()?;
            match parent.ok_or("there is no earlier backup of this store").and_then(grown) {
                Ok(parent) => match self.incremental(&parent)? {
                    Some(done) => return Ok(done),
                    None => Some("the history no longer leads on from the newest backup"),
                },
                Err(why) => Some(why),
            }
        } else {
            None
        };
        self.full(why)
    }

    /// The newest whole backup of this cluster.
    fn newest(&self) -> Result<Option<Manifest>, ExportError> {
        let backups = self.repository.list()?.into_iter().rev();
        let mut sound = backups.filter_map(|backup| backup.manifest.ok());
        Ok(sound.find(|manifest| manifest.cluster == self.extract.control().cluster))
    }

    fn full(&mut self, why: Option<&'static str>) -> Result<Done, ExportError> {
        let mut bases = self.extract.bases().into_iter().peekable();
        loop {
            let Some(base) = bases.next() else {
                return Err(ReadError::Open(OpenError::NotAStore).into());
            };
            match self.full_from(base.as_ref(), why) {
                // A gap below a snapshot is what a deletion that was cut short leaves; a damaged
                // snapshot is passed by as long as there is another one.
                Err(error) if error.is_damage() && bases.peek().is_some() => self.give_up(),
                outcome => return outcome,
            }
        }
    }

    /// Removes what was made so far.
    fn give_up(&mut self) {
        for name in self.made.drain(..) {
            // Best effort: what stays is a leftover.
            let _ = self.repository.disk().remove(&name);
        }
        self.written = 0;
    }

    fn full_from(
        &mut self,
        base: Option<&SnapshotHeader>,
        why: Option<&'static str>,
    ) -> Result<Done, ExportError> {
        let from = self.extract.behind(base);
        // The log first: where it does not reach, the snapshot is not copied in vain.
        let (part, done) = self.groups(from, &[])?;
        let mut linked = false;
        let base = match base {
            None => None,
            Some(header) => {
                let (base, shares) = self.base(header)?;
                linked = shares;
                Some(base)
            }
        };
        let manifest = Manifest {
            from: (from.lsn, from.time),
            parent: None,
            base,
            parts: part.into_iter().collect(),
            ..self.manifest(done.end)
        };
        self.publish(manifest, Kind::Full(why), linked)
    }

    /// Goes on from `parent`; `None` if the history does not lead on from there.
    fn incremental(&mut self, parent: &Manifest) -> Result<Option<Done>, ExportError> {
        let io = ExportError::io("the source's log");
        if !self.extract.holds(&parent.end).map_err(io)? {
            return Ok(None);
        }
        if self.wanted.only_new && parent.end.lsn == self.extract.durable() {
            let (manifest, kind) = (parent.clone(), Kind::Unchanged);
            return Ok(Some(Done { manifest, kind, written: 0, linked: false }));
        }
        let keep = self.kept(parent);
        let (kept, absorbed) = parent.parts.split_at(keep);
        let (part, done) = match self.groups(parent.end, absorbed) {
            Ok(outcome) => outcome,
            // Deleted before it was pinned: a full backup has all that there is.
            Err(error) if error.is_damage() => {
                self.give_up();
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let manifest = Manifest {
            from: parent.from,
            parent: Some(parent.id.clone()),
            base: parent.base.clone(),
            parts: kept.iter().cloned().chain(part).collect(),
            ..self.manifest(done.end)
        };
        self.publish(manifest, Kind::Incremental, false).map(Some)
    }

    /// How many of the parent's parts stay as they are: the last ones that this run has made are
    /// put together with what is new, as long as each is no larger than those behind it.
    fn kept(&self, parent: &Manifest) -> usize {
        let ours = |part: &Part| {
            FileKind::parse(&part.file).is_some_and(|(_, id)| self.wanted.absorb.contains(&id))
        };
        let mut keep = parent.parts.len();
        let mut behind = 64 << 10;
        while let Some(part) = parent.parts[..keep].last() {
            if !ours(part) || part.bytes > behind {
                break;
            }
            behind += part.bytes;
            keep -= 1;
        }
        keep
    }

    /// Writes the groups after `from`, behind those of the parts before it; without any, no file.
    fn groups(
        &mut self,
        from: Position,
        before: &[Part],
    ) -> Result<(Option<Part>, Extracted), ExportError> {
        let name = FileKind::Part.of(&self.id);
        let disk = Arc::clone(self.repository.disk());
        let cluster = self.extract.control().cluster;
        let mut writer: Option<Writer> = None;
        for part in before {
            let bytes = read_part(disk.as_ref(), part)?;
            let (_, groups) =
                PartHeader::decode(&bytes).map_err(|e| ExportError::format(&part.file, e))?;
            match &mut writer {
                Some(writer) => writer.write(groups)?,
                None => {
                    self.made.push(name.clone());
                    let mut made = Writer::create(disk.as_ref(), &name)?;
                    made.write(&bytes)?;
                    writer = Some(made);
                }
            }
        }
        let (made, progress) = (&mut self.made, &mut self.progress);
        let done = self.extract.groups(from, &mut |group| {
            let writer = match &mut writer {
                Some(writer) => writer,
                None => {
                    let header = PartHeader { cluster, after: from.lsn, chain: group.header.prev };
                    made.push(name.clone());
                    let mut made = Writer::create(disk.as_ref(), &name)?;
                    made.write(&header.encode())?;
                    writer.insert(made)
                }
            };
            writer.write(group.head())?;
            writer.write(group.payload())?;
            progress((group.head().len() + group.payload().len()) as u64);
            Ok::<(), ExportError>(())
        })?;
        let Some(writer) = writer else { return Ok((None, done)) };
        let Sum { bytes, digest } = writer.finish(Site::BackupFile)?;
        self.written += bytes;
        let (lsn, time) = (done.end.lsn, done.end.time);
        Ok((Some(Part { file: name, bytes, digest, lsn, time }), done))
    }

    /// Copies the snapshot, or links to it; says whether it shares its blocks.
    fn base(&mut self, header: &SnapshotHeader) -> Result<(Base, bool), ExportError> {
        let SnapshotHeader { epoch, lsn, .. } = *header;
        let original = FileName::Snapshot { epoch, lsn }.to_string();
        let name = FileKind::Base.of(&self.id);
        let pinned = self.extract.pins().file(&original).cloned();
        let file = pinned.ok_or_else(|| ExportError::damaged(&original, "is missing"))?;
        let disk = Arc::clone(self.repository.disk());
        self.made.push(name.clone());
        let linked = self.wanted.link && disk.take_in(file.as_ref(), &name).is_ok();
        let len = file.len().map_err(ExportError::io(original.as_str()))?;
        let source = Arc::clone(self.source);
        let (sum, sound) = thread::scope(|scope| {
            // What is copied must be what was once written, not only what is read.
            let sound = scope.spawn(|| Snapshot::open(source.as_ref(), &original)?.verify(1));
            let sum = if linked {
                sum_of(disk.as_ref(), &name)
            } else {
                Writer::create(disk.as_ref(), &name).and_then(|mut writer| {
                    writer.copy(file.as_ref(), len, self.progress)?;
                    writer.finish(Site::BackupFile)
                })
            };
            (sum, sound.join().expect("verifying does not panic"))
        });
        sound?;
        let Sum { bytes, digest } = sum?;
        if !linked {
            self.written += bytes;
        }
        Ok((Base { file: name, bytes, digest }, linked))
    }

    /// What holds for every backup of this run.
    fn manifest(&self, end: Position) -> Manifest {
        let control = self.extract.control();
        Manifest {
            id: self.id.clone(),
            tag: self.wanted.tag.clone(),
            cluster: control.cluster,
            incarnation: control.incarnation,
            epoch: self.extract.greatest_epoch(),
            made: self.wanted.now,
            from: (Lsn::ZERO, Nanos::default()),
            end,
            parent: None,
            base: None,
            parts: Vec::new(),
        }
    }

    fn publish(
        &mut self,
        manifest: Manifest,
        kind: Kind,
        linked: bool,
    ) -> Result<Done, ExportError> {
        self.made.push(FileKind::Draft.of(&self.id));
        self.repository.publish(&manifest)?;
        self.made.clear();
        Ok(Done { manifest, kind, written: self.written, linked })
    }
}

/// The parent, unless so much has come since the last full backup that another one is due.
fn grown(parent: Manifest) -> Result<Manifest, &'static str> {
    let of = |name: &str| FileKind::parse(name).map(|(_, id)| id);
    let first = parent.files().next().and_then(|(name, ..)| of(name));
    let (mut full, mut since) = (0, 0);
    for (name, bytes, _) in parent.files() {
        if of(name) == first {
            full += bytes;
        } else {
            since += bytes;
        }
    }
    if parent.parts.len() >= PARTS_MAX {
        return Err("the newest backup has as many parts as may be");
    }
    if since > full.max(GROWN_MIN) {
        return Err("the incremental backups have grown larger than the full one");
    }
    Ok(parent)
}

/// All of a part, compared with its digest.
fn read_part(disk: &dyn Disk, part: &Part) -> Result<Vec<u8>, ExportError> {
    let io = |error| ExportError::io(part.file.as_str())(error);
    let file = disk.open(&part.file, Access::Read).map_err(io)?;
    let mapping = file.map(part.bytes).map_err(io)?;
    if blake3::hash(&mapping) != part.digest {
        return Err(ExportError::damaged(&part.file, "the digest does not fit"));
    }
    let bytes = mapping.to_vec();
    part::PartHeader::decode(&bytes).map_err(|e| ExportError::format(&part.file, e))?;
    Ok(bytes)
}

/// Length and digest of a file that is there; durable when this returns.
fn sum_of(disk: &dyn Disk, name: &str) -> Result<Sum, ExportError> {
    let io = |error| ExportError::io(name)(error);
    let file = disk.open(name, Access::Read).map_err(io)?;
    let bytes = file.len().map_err(io)?;
    let mapping = file.map(bytes).map_err(io)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_rayon(&mapping);
    if mapping.faulted() {
        return Err(ExportError::damaged(name, "cannot be read"));
    }
    file.sync(Site::BackupFile).map_err(io)?;
    Ok(Sum { bytes, digest: hasher.finalize() })
}
