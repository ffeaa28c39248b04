//! Repositories of backups as commands name them: opened with patience, their errors with the next
//! command to run.

use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::progress::Progress;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::ctl::time::{When, rfc3339};
use crate::disk::{Access, Disk, Real};
use crate::export::{ExportError, Hold, Listed, Manifest, Reading, Repository, read_archive};
use crate::store::At;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How often a busy repository is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// The file by which a directory is known for a repository.
const MARK: &str = "REPOSITORY";

/// Whether `path` is a repository of backups.
#[must_use]
pub fn is_repository(path: &Path) -> bool {
    path.join(MARK).is_file()
}

/// Whether `path` is to be an archive, by its name.
#[must_use]
pub fn is_archive(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".tar") || name.ends_with(".tar.zst")
}

/// A point in the history of a backup.
#[must_use]
pub fn point(when: &When) -> Option<At> {
    match when {
        When::Latest => None,
        When::Lsn(lsn) | When::Snapshot(_, lsn) => Some(At::Lsn(*lsn)),
        When::Time(time) => Some(At::Time(*time)),
        #[allow(unreachable_patterns, reason = "other names of points mean nothing here")]
        _ => None,
    }
}

impl Session {
    /// Opens a repository, waiting for it as long as `--timeout` says. With `make`, an empty or
    /// missing directory becomes one.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn repository(&self, path: &Path, hold: Hold, make: bool) -> Result<Repository, Failure> {
        let failed = |error| self.exporting(&error, path);
        let io = |source| failed(ExportError::Io { what: path.display().to_string(), source });
        let disk: Arc<dyn Disk> = match Real::open(path) {
            Err(error) if make && error.kind() == io::ErrorKind::NotFound => {
                Arc::new(Real::create(path).map_err(io)?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(failed(ExportError::NotARepository));
            }
            opened => Arc::new(opened.map_err(io)?),
        };
        let started = Instant::now();
        loop {
            let opened = match make {
                true => Repository::create(Arc::clone(&disk)),
                false => Repository::open(Arc::clone(&disk), hold),
            };
            match opened {
                Err(ExportError::Busy)
                    if started.elapsed() < self.timeout().unwrap_or_default() =>
                {
                    thread::sleep(RETRY);
                }
                outcome => return outcome.map_err(failed),
            }
        }
    }

    /// The directory that a file is in, and its name there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn place(&self, path: &Path) -> Result<(Real, String), Failure> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| {
            let shown = text::shell(path.as_os_str());
            Failure::new(Exit::Usage, format!("{shown} is no file's name"), "statectl --help")
        })?;
        let opened = Real::open(parent).map_err(|source| {
            let error = ExportError::Io { what: parent.display().to_string(), source };
            self.exporting(&error, path)
        })?;
        Ok((opened, name.to_owned()))
    }

    /// Opens an archive for reading.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn archive(&self, path: &Path) -> Result<Reading, Failure> {
        let (parent, name) = self.place(path)?;
        let file = parent.open(&name, Access::Read).map_err(|source| {
            let error = ExportError::Io { what: name.clone(), source };
            self.exporting(&error, path)
        })?;
        Ok(Reading { file, at: 0 })
    }

    /// Reads all of an archive and compares it with its digests.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_archive(&self, path: &Path) -> Result<Manifest, Failure> {
        let archive = self.archive(path)?;
        let progress = Progress::bytes(self, "verifying", 0);
        let checked = read_archive(archive, None, &mut |bytes| progress.add(bytes));
        checked.map_err(|error| self.exporting(&error, path))
    }

    /// The backups in a repository; damaged manifests are said on stderr.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn backups(&self, repository: &Repository, path: &Path) -> Result<Vec<Listed>, Failure> {
        let backups = repository.list().map_err(|error| self.exporting(&error, path))?;
        for listed in &backups {
            if let Err(error) = &listed.manifest {
                self.warn(&format!("warning: backup {} is damaged: {error}", listed.id));
            }
        }
        Ok(backups)
    }

    /// Why nothing was backed up, restored, checked or removed.
    #[must_use]
    pub fn exporting(&self, error: &ExportError, repository: &Path) -> Failure {
        let dest = text::shell(repository.as_os_str());
        let mut message = format!("{dest}: {error}");
        let (exit, next) = match error {
            ExportError::NotARepository => (Exit::NotFound, self.next(&format!("backup {dest}"))),
            ExportError::NotEmpty(_) => {
                message = error.to_string();
                (Exit::Unsafe, format!("ls -lA {dest}"))
            }
            ExportError::Busy => (Exit::Busy, format!("fuser -v {dest}/{MARK}")),
            ExportError::StoreBusy => {
                message = format!("{}: {error}", self.quoted_dir());
                (Exit::Busy, format!("fuser -v {}/LOCK", self.quoted_dir()))
            }
            ExportError::NotFound(_) => (Exit::NotFound, format!("statectl backups {dest}")),
            ExportError::OutOfRange { oldest, newest } => {
                message = format!("{message}; from {} to {}", rfc3339(oldest.1), rfc3339(newest.1));
                (Exit::NotFound, format!("statectl backups {dest}"))
            }
            ExportError::Damaged { .. } => (Exit::Corruption, format!("statectl verify {dest}")),
            ExportError::Hostile { .. } => (Exit::Corruption, format!("tar -tvf {dest}")),
            ExportError::TooNew(_) => (Exit::Failed, "statectl --version".to_owned()),
            ExportError::Store(error) => return self.reading(error),
            ExportError::Snapshot(error) => return self.snapshot(error),
            ExportError::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    (Exit::Failed, format!("df -h {dest}"))
                }
                io::ErrorKind::NotFound => (Exit::NotFound, format!("ls -ld {dest}")),
                _ => (Exit::Failed, format!("ls -ld {dest}")),
            },
        };
        Failure::new(exit, message, next)
    }
}
