//! A repository of backups: one flat directory.
//!
//! | name | what |
//! |---|---|
//! | `REPOSITORY` | version; locked by who changes the repository, shared by who reads its files |
//! | `ID.backup` | a manifest: a backup is there when its manifest is |
//! | `ID.base` | a snapshot that the backup of this name brought |
//! | `ID.part` | groups that it brought |
//! | `ID.backup.tmp` | a manifest that was never finished |
//!
//! Invariants:
//! - a manifest gets its name only after everything that it names survives a power cut, names
//!   included; it loses it before any of that goes;
//! - a file that no manifest names is a leftover: never offered, and removed by the next process
//!   that changes the repository (but not while a manifest is damaged: it may be the one that names
//!   the file);
//! - names that are not ours are never touched.

use crate::disk::{Access, Disk, File, Site};
use crate::export::ExportError;
use crate::export::id::BackupId;
use crate::export::manifest::{MANIFEST_MAX, Manifest};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// The file that makes a directory a repository.
pub const MARK: &str = "REPOSITORY";

/// What stands in it.
pub const MARK_TEXT: &str = "statedir-repository 1\n";

/// Which file of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Its manifest.
    Manifest,
    /// Its snapshot.
    Base,
    /// Its groups.
    Part,
    /// A manifest that was never finished.
    Draft,
}

impl FileKind {
    /// Which file of which backup `name` is, or `None` where it is not ours.
    #[must_use]
    pub fn parse(name: &str) -> Option<(FileKind, BackupId)> {
        let (id, ending) = name.split_once('.')?;
        let kind = match ending {
            "backup" => FileKind::Manifest,
            "base" => FileKind::Base,
            "part" => FileKind::Part,
            "backup.tmp" => FileKind::Draft,
            _ => return None,
        };
        Some((kind, id.parse().ok()?))
    }

    /// The name of such a file of a backup.
    #[must_use]
    pub fn of(self, id: &BackupId) -> String {
        let ending = match self {
            FileKind::Manifest => "backup",
            FileKind::Base => "base",
            FileKind::Part => "part",
            FileKind::Draft => "backup.tmp",
        };
        format!("{id}.{ending}")
    }
}

/// What a process does in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It reads files: nobody removes any meanwhile.
    Read,
    /// It adds or removes.
    Change,
}

/// A backup as a repository lists it.
#[derive(Debug)]
pub struct Listed {
    /// Its name.
    pub id: BackupId,
    /// Its manifest, or what is wrong with it.
    pub manifest: Result<Manifest, ExportError>,
}

/// A repository, held for reading or for changes.
#[derive(Debug)]
pub struct Repository {
    disk: Arc<dyn Disk>,
    _lock: Arc<dyn File>,
}

impl Repository {
    /// Makes an empty directory a repository, or takes one that is there, for changes.
    ///
    /// # Errors
    /// [`ExportError::NotEmpty`], and as [`Repository::open`].
    pub fn create(disk: Arc<dyn Disk>) -> Result<Repository, ExportError> {
        match Repository::open(Arc::clone(&disk), Hold::Change) {
            Err(ExportError::NotARepository) => {}
            outcome => return outcome,
        }
        let entries = disk.list().map_err(ExportError::io("repository"))?;
        // What a `create` that was cut short left is no stranger.
        let stranger =
            entries.iter().find(|entry| entry.name != "lost+found" && entry.name != MARK);
        if let Some(entry) = stranger {
            return Err(ExportError::NotEmpty(entry.name.clone()));
        }
        make(disk.as_ref()).map_err(ExportError::io(MARK))?;
        Repository::open(disk, Hold::Change)
    }

    /// Takes a repository that is there.
    ///
    /// # Errors
    /// [`ExportError::NotARepository`]; [`ExportError::Busy`] if another process is at work there.
    pub fn open(disk: Arc<dyn Disk>, hold: Hold) -> Result<Repository, ExportError> {
        let access = if hold == Hold::Change { Access::Write } else { Access::Read };
        let file = match disk.open(MARK, access) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ExportError::NotARepository);
            }
            Err(error) => return Err(ExportError::io(MARK)(error)),
        };
        check_mark(file.as_ref())?;
        match file.try_lock(hold == Hold::Change) {
            Ok(()) => {}
            // Storage without locks can be restored from all the same.
            Err(error) if hold == Hold::Read && error.kind() == io::ErrorKind::Unsupported => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(ExportError::Busy);
            }
            Err(error) => return Err(ExportError::io(MARK)(error)),
        }
        Ok(Repository { disk, _lock: file })
    }

    /// Its directory.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The backups, oldest first.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn list(&self) -> Result<Vec<Listed>, ExportError> {
        let ids = self.names()?.into_iter().filter_map(|name| match FileKind::parse(&name) {
            Some((FileKind::Manifest, id)) => Some(id),
            _ => None,
        });
        let mut backups: Vec<Listed> =
            ids.map(|id| Listed { manifest: self.manifest(&id), id }).collect();
        // Names tell seconds. A damaged manifest counts as the newest of its second.
        backups.sort_by_key(|backup| {
            let sound = backup.manifest.as_ref().ok();
            let moment = sound.map(|manifest| (manifest.made, manifest.end.lsn));
            (backup.id.second().to_owned(), moment.is_none(), moment, backup.id.clone())
        });
        Ok(backups)
    }

    /// A backup's manifest.
    ///
    /// # Errors
    /// [`ExportError::NotFound`], [`ExportError::Damaged`] and others.
    pub fn manifest(&self, id: &BackupId) -> Result<Manifest, ExportError> {
        let name = FileKind::Manifest.of(id);
        let file = match self.disk.open(&name, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ExportError::NotFound(id.to_string()));
            }
            Err(error) => return Err(ExportError::io(name)(error)),
        };
        let bytes = read_small(file.as_ref(), &name)?;
        let manifest = Manifest::decode(&name, &bytes)?;
        if manifest.id != *id {
            return Err(ExportError::damaged(&name, "is the manifest of another backup"));
        }
        Ok(manifest)
    }

    /// Files of ours that no backup names.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn leftovers(&self) -> Result<Vec<String>, ExportError> {
        let backups = self.list()?;
        let whole = backups.iter().all(|backup| backup.manifest.is_ok());
        let manifests = backups.iter().filter_map(|backup| backup.manifest.as_ref().ok());
        let named: BTreeSet<&str> =
            manifests.flat_map(|manifest| manifest.files().map(|(name, ..)| name)).collect();
        let mut leftovers = self.names()?;
        leftovers.retain(|name| match FileKind::parse(name) {
            Some((FileKind::Draft, _)) => true,
            Some((FileKind::Base | FileKind::Part, _)) => whole && !named.contains(name.as_str()),
            Some((FileKind::Manifest, _)) | None => false,
        });
        Ok(leftovers)
    }

    /// Removes the leftovers; returns how many there were.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn clean(&self) -> Result<usize, ExportError> {
        let leftovers = self.leftovers()?;
        for name in &leftovers {
            self.disk.remove(name).map_err(ExportError::io(name.as_str()))?;
        }
        Ok(leftovers.len())
    }

    /// Makes a backup part of the repository; its files are written and flushed.
    ///
    /// # Errors
    /// Those of the file system: the backup is not there, or, after the last step, may be.
    pub fn publish(&self, manifest: &Manifest) -> Result<(), ExportError> {
        let draft = FileKind::Draft.of(&manifest.id);
        let io = |error| ExportError::io(draft.as_str())(error);
        let file = self.disk.open(&draft, Access::Create).map_err(io)?;
        file.write_at(&manifest.encode(), 0).map_err(io)?;
        file.sync(Site::Manifest).map_err(io)?;
        // The files' names, before the manifest's.
        self.disk.sync_names(Site::BackupNames).map_err(io)?;
        self.disk.rename(&draft, &FileKind::Manifest.of(&manifest.id)).map_err(io)?;
        // The backup is there from here on.
        self.disk.sync_names(Site::ManifestName).map_err(io)
    }

    /// Removes backups, and the files that no other one names.
    ///
    /// # Errors
    /// Those of the file system: some of the backups may be gone, the others are whole.
    pub fn remove(&self, ids: &[BackupId]) -> Result<(), ExportError> {
        for id in ids {
            let name = FileKind::Manifest.of(id);
            self.disk.remove(&name).map_err(ExportError::io(name))?;
        }
        // No manifest may come back when its files are gone.
        self.disk.sync_names(Site::ManifestRemoved).map_err(ExportError::io("repository"))?;
        self.clean().map(|_| ())
    }

    fn names(&self) -> Result<Vec<String>, ExportError> {
        let entries = self.disk.list().map_err(ExportError::io("repository"))?;
        let mut names: Vec<String> =
            entries.into_iter().filter(|entry| entry.regular).map(|entry| entry.name).collect();
        names.sort();
        Ok(names)
    }
}

/// Makes the directory a repository; what was cut short is made again.
fn make(disk: &dyn Disk) -> io::Result<()> {
    let file = match disk.open(MARK, Access::Create) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.open(MARK, Access::Write)?
        }
        file => file?,
    };
    file.try_lock(true)?;
    file.write_at(MARK_TEXT.as_bytes(), 0)?;
    file.sync(Site::RepositoryMark)?;
    disk.sync_names(Site::RepositoryName)?;
    disk.sync_parent(Site::DirectoryName)
}

/// Whether the directory's mark is whole.
fn check_mark(file: &dyn File) -> Result<(), ExportError> {
    let text = read_small(file, MARK)?;
    if text == MARK_TEXT.as_bytes() {
        return Ok(());
    }
    // One that was being made: nothing came behind it.
    if MARK_TEXT.as_bytes().starts_with(&text) || text.iter().all(|byte| *byte == 0) {
        return Err(ExportError::NotARepository);
    }
    let version = text.strip_prefix(b"statedir-repository ");
    let version = version.and_then(|rest| std::str::from_utf8(rest).ok());
    match version.map(|rest| rest.trim_end().parse::<u32>()) {
        Some(Ok(_)) => Err(ExportError::TooNew(MARK.to_owned())),
        _ => Err(ExportError::damaged(MARK, "is not what makes a repository")),
    }
}

/// All of a file that cannot be long.
fn read_small(file: &dyn File, name: &str) -> Result<Vec<u8>, ExportError> {
    let io = |error| ExportError::io(name)(error);
    let len = file.len().map_err(io)?;
    if len > MANIFEST_MAX {
        return Err(ExportError::damaged(name, "longer than any such file"));
    }
    let mut bytes = vec![0; usize::try_from(len).expect("bounded by MANIFEST_MAX")];
    let got = file.read_at(&mut bytes, 0).map_err(io)?;
    bytes.truncate(got);
    Ok(bytes)
}
