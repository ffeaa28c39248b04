//! What can go wrong with backups, with the facts that an operator needs. Sentences on what to do
//! next belong to `ctl`.

use crate::base::{Lsn, Nanos};
use crate::format::FormatError;
use crate::snapshot::SnapshotError;
use crate::store::{OpenError, ReadError};
use std::io;

/// Why nothing was backed up, restored or removed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The directory holds no repository.
    #[error("no repository of backups in this directory")]
    NotARepository,
    /// A repository can only be made in an empty directory, a store only restored into one.
    #[error("the directory is not empty: {0} is in it")]
    NotEmpty(String),
    /// Another process changes the repository, or reads what is to be changed.
    #[error("another process is at work in this repository")]
    Busy,
    /// A process has the store open for writing that was to be replaced.
    #[error("a process has the store open for writing")]
    StoreBusy,
    /// No backup has this id or tag, or there is none at all.
    #[error("no backup {0:?} here")]
    NotFound(String),
    /// No backup here holds the point in time.
    #[error("{}", out_of_range(.oldest, .newest))]
    OutOfRange {
        /// The oldest state that can be restored.
        oldest: (Lsn, Nanos),
        /// The newest one.
        newest: (Lsn, Nanos),
    },
    /// Bytes are not what the manifest says, or the manifest is not what it was.
    #[error("{file}: {what}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// Written by a newer statedir.
    #[error("{0}: needs a newer statedir")]
    TooNew(String),
    /// An archive or a delta holds what no backup of ours holds: nothing of it was used.
    #[error("{entry}: {what}")]
    Hostile {
        /// Which entry, or file.
        entry: String,
        /// What is wrong with it.
        what: String,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] ReadError),
    /// A snapshot cannot be read or written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The file system refused.
    #[error("{what}: {source}")]
    Io {
        /// File or act.
        what: String,
        /// Why.
        source: io::Error,
    },
}

fn out_of_range(oldest: &(Lsn, Nanos), newest: &(Lsn, Nanos)) -> String {
    format!("outside of what is backed up: lsn {} to {}", oldest.0, newest.0)
}

impl ExportError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> ExportError {
        let what = what.into();
        move |source| ExportError::Io { what, source }
    }

    pub(crate) fn damaged(file: &str, what: impl ToString) -> ExportError {
        ExportError::Damaged { file: file.to_owned(), what: what.to_string() }
    }

    pub(crate) fn hostile(entry: &str, what: impl ToString) -> ExportError {
        ExportError::Hostile { entry: entry.to_owned(), what: what.to_string() }
    }

    pub(crate) fn format(file: &str, error: FormatError) -> ExportError {
        match error {
            FormatError::TooNew { .. } => ExportError::TooNew(file.to_owned()),
            error => ExportError::damaged(file, error),
        }
    }

    /// Whether bytes that were durable once are damaged or missing.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            ExportError::Damaged { .. } => true,
            ExportError::Snapshot(error) => error.is_damage(),
            ExportError::Store(ReadError::Open(error)) => matches!(error, OpenError::Corruption(_)),
            ExportError::Store(ReadError::Snapshot(error)) => error.is_damage(),
            _ => false,
        }
    }
}
