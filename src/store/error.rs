//! What can go wrong, with the facts that an operator needs. Sentences belong to `ctl`.

use crate::base::limits::TABLES_MAX;
use crate::base::{Epoch, Fenced, Id, Lsn, Nanos};
use crate::format::{BatchError, FormatError};
use crate::log::Stop;
use crate::snapshot::SnapshotError;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Why a save is not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SaveError {
    /// The save certainly was not and will not be applied.
    #[error("save refused: {0}")]
    Refused(Refusal),
    /// It may have been applied: the next open decides. The store takes no more saves.
    #[error("save's fate unknown until the store is opened again: {0}")]
    Unknown(Poison),
}

/// Why a save was not even tried.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// No room on the file system. Saves work again once there is some.
    #[error("no room on the file system: {0}")]
    NoRoom(Arc<io::Error>),
    /// What changed since the last snapshot takes all the memory that it may, and no snapshot can
    /// be made. Saves work again once one is.
    #[error("no snapshot can be made, and memory for what changed since the last is full: {0}")]
    Backlog(String),
    /// A save that was submitted before it, or beside it in the same group, was refused.
    #[error("a save submitted before it was refused")]
    Behind,
    /// A limit of the format.
    #[error(transparent)]
    Limit(#[from] BatchError),
    /// The store has, or had since it was opened, as many tables as it can.
    #[error("table {0:?} would be one more than {TABLES_MAX}")]
    Tables(String),
    /// An earlier failure: this writer takes no more saves.
    #[error("the writer has stopped: {0}")]
    Stopped(Poison),
    /// The store is being closed.
    #[error("the store is closed")]
    Closed,
}

/// What ended a writer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Poison {
    /// Writing or flushing a group failed. An fsync is never retried: what it did not flush may
    /// be gone from memory although the next one succeeds.
    #[error("a group could not be flushed: {0}; open the store again")]
    Flush(Arc<io::Error>),
    /// Another writer reigns.
    #[error(transparent)]
    Fenced(Fenced),
}

/// Damage: bytes that are not what was durable once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// The first save that is lost with it.
    pub lsn: Lsn,
    /// The last save that is whole without it.
    pub survives: Lsn,
    /// What stands there.
    pub found: Found,
    /// What says that more must be there.
    pub because: Evidence,
}

/// What stands where a group should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Zeros or the end of the file.
    Nothing,
    /// Something else.
    Bad(FormatError),
    /// It cannot be read.
    Unreadable(io::ErrorKind),
    /// The file is missing.
    Missing,
    /// The file ends early: its length, and the one that it was made with.
    Cut {
        /// Bytes that are there.
        len: u64,
        /// Bytes that were.
        made: u64,
    },
    /// The snapshot that the log goes on from here is missing.
    NoSnapshot,
    /// A snapshot whose bytes are damaged.
    Snapshot(String),
}

impl From<Stop> for Found {
    fn from(stop: Stop) -> Found {
        match stop {
            Stop::Blank => Found::Nothing,
            Stop::Bad(error) => Found::Bad(error),
            Stop::Unreadable(kind) => Found::Unreadable(kind),
        }
    }
}

/// What says that saves were durable which are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The control file's watermark.
    Watermark(Lsn),
    /// A snapshot was made at this LSN.
    Snapshot(Lsn),
    /// A good group further on, in the segment of this ordinal at this offset.
    LaterGroup {
        /// The segment's ordinal.
        ordinal: u64,
        /// Where it stands.
        offset: u64,
    },
    /// Something stands in a segment whose first block cannot be read.
    Written,
    /// The log has come as far as into this segment, and it is not there any more, or not whole.
    Resume,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} offset {} lsn {}: ", self.file, self.offset, self.lsn)?;
        match &self.found {
            Found::Nothing => f.write_str("nothing is written there"),
            Found::Bad(error) => error.fmt(f),
            Found::Unreadable(kind) => write!(f, "cannot be read ({kind})"),
            Found::Missing => f.write_str("the file is missing"),
            Found::Cut { len, made } => write!(f, "the file ends at {len} instead of {made}"),
            Found::NoSnapshot => f.write_str(
                "nothing leads here: a snapshot, or the segment before this one, is missing",
            ),
            Found::Snapshot(text) => f.write_str(text),
        }?;
        match self.because {
            Evidence::Watermark(lsn) => write!(f, ", but lsn {lsn} was durable")?,
            Evidence::Snapshot(lsn) => write!(f, ", but a snapshot was made at lsn {lsn}")?,
            Evidence::LaterGroup { ordinal, offset } => {
                write!(f, ", but later saves stand in segment {ordinal} at offset {offset}")?;
            }
            Evidence::Written => f.write_str(", but something is written behind it")?,
            Evidence::Resume => f.write_str(", but the log may go on there")?,
        }
        write!(f, "; saves up to lsn {} survive", self.survives)
    }
}

/// Why a directory is not opened. Nothing in it was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// No store is here: the directory holds neither control file nor data.
    #[error("no store in this directory")]
    NotAStore,
    /// Creating one was asked for where something is.
    #[error("the directory is not empty: {0} is in it")]
    NotEmpty(String),
    /// Another process writes here.
    #[error("another process has this store open for writing")]
    Locked,
    /// Others than the owner may enter the directory.
    #[error("the directory is open to others (mode {mode:03o})")]
    Permissions {
        /// Its permission bits.
        mode: u32,
    },
    /// Both slots of the control file are unusable, and there are data beside it.
    #[error("both slots of the control file are unusable: {0}")]
    Control(FormatError),
    /// Written by a newer statedir.
    #[error("{file}: {source}")]
    TooNew {
        /// The file.
        file: String,
        /// What it needs.
        source: FormatError,
    },
    /// Files of another history are in the directory.
    #[error("{file} belongs to another history ({incarnation})")]
    Foreign {
        /// The file.
        file: String,
        /// Its incarnation.
        incarnation: Id,
    },
    /// Something durable is damaged or missing.
    #[error("{0}")]
    Corruption(Box<Damage>),
    /// More adoptions than a control file remembers.
    #[error("this directory was adopted too often since its last snapshot")]
    Adoptions,
    /// The epoch granted is not above one that wrote here.
    #[error("epoch {granted} is granted, but epoch {seen} has written here")]
    Epoch {
        /// What the authority granted.
        granted: Epoch,
        /// The greatest one found.
        seen: Epoch,
    },
    /// Several hosts may write this directory: only its register gives leave to.
    #[error("the directory is shared between controllers: only the one that reigns writes it")]
    Shared,
    /// The directory has no register.
    #[error("the directory is not shared: it has no register")]
    NotShared,
    /// A copy of a shared directory: it belongs to no controller.
    #[error("this is a copy of a shared directory")]
    SharedCopy,
    /// Another writer reigns.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// The file system refused.
    #[error("{what}: {source}")]
    Io {
        /// File or act.
        what: String,
        /// Why.
        source: Arc<io::Error>,
    },
}

impl OpenError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> OpenError {
        let what = what.into();
        move |source| OpenError::Io { what, source: Arc::new(source) }
    }
}

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The LSN lies outside the retained history, or in a gap that a deletion has left in it.
    #[error("outside the retained history: lsn {oldest} to {newest}")]
    OutOfRange {
        /// The oldest LSN that can be read; of a gap, the first one above it.
        oldest: Lsn,
        /// The newest one.
        newest: Lsn,
    },
    /// No save is as old as this, or it lies in such a gap.
    #[error("before the retained history, which begins at {oldest:?}")]
    TooEarly {
        /// The first later time of which the state can be read.
        oldest: Nanos,
    },
    /// The follower was too slow: what it wants is deleted.
    #[error("too far behind: saves from lsn {oldest} on are retained")]
    Behind {
        /// The first later LSN whose save can be read, or will be.
        oldest: Lsn,
    },
    /// The store cannot be opened for reading.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A snapshot is damaged.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}
