//! The state as a plain tree: a table a folder, an entry a file.
//!
//! ```text
//! TREE/.statectl-export   what it is: LSN, time, identities
//! TREE/jobs/17            the value of key 17 in table jobs
//! TREE/jobs/a%2Fb         of key a/b
//! TREE/jobs/%K….key       a key too long for a name
//! TREE/jobs/%K….value     and its value
//! ```
//!
//! Invariants:
//! - a tree is there whole or not at all: it is written beside its place, flushed, and renamed;
//! - reading one back gives the same state, or an error that names the file;
//! - nothing in a tree is followed out of it; memory is bounded by the largest value, and, where
//!   entries are wanted in order, by the keys of one table.

mod about;
pub mod names;
mod read;
mod write;

pub use about::{ABOUT, About};
pub use read::{Change, Table, Totals, Tree, changes};
pub use write::{Exported, Options, write_tree};

use crate::snapshot::SnapshotError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a tree was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Something is there already.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// What would be replaced is no exported tree.
    #[error("{} is no exported tree: it is not replaced", .0.display())]
    NotATree(PathBuf),
    /// There is nothing that a tree would hold.
    #[error("{} is no exported tree: there is no table in it", .0.display())]
    Nothing(PathBuf),
    /// Its description is damaged or of a newer version.
    #[error("{}: {what}", .path.display())]
    About {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A tree to link to is on another file system.
    #[error("{} is on another file system: nothing there can be linked to", .0.display())]
    OtherDevice(PathBuf),
    /// Something that is neither file nor folder, or one where the other should be.
    #[error("{} is {what}", .path.display())]
    Kind {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A name that no table and no key has.
    #[error("{} is no name of a {of}", .path.display())]
    Name {
        /// Where.
        path: PathBuf,
        /// What should be called so.
        of: &'static str,
    },
    /// A long key and its value do not fit together.
    #[error("{}: {what}", .path.display())]
    LongKey {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// A value beyond the limit.
    #[error("{} is larger than a value can be", .0.display())]
    TooLarge(PathBuf),
    /// Changed while it was read.
    #[error("{} was changed meanwhile", .0.display())]
    Changed(PathBuf),
    /// The state cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The file system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// The file system refused to list a folder.
    #[error("{0}")]
    List(#[from] io::Error),
}

impl TreeError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> TreeError {
        let path = path.to_owned();
        move |source| TreeError::Io { path, source }
    }
}
