//! What of the state is left out at the start: -c, -i and -r of the command line.
//!
//! Invariants: before anything is left out, the whole state is kept under a tag, which is durable
//! and logged with the commands that read it and give its room back; what is left out goes in one
//! save; ids of jobs are never used again, whatever is cleared.

use crate::Batch;
use crate::controller::state::{CLUSTER, Fault, PARTITIONS, State};
use crate::disk::Real;
use crate::format::{BatchError, FileName};
use crate::snapshot::SnapshotError;
use crate::store::tags::{self, TagError};
use crate::store::{CheckpointError, SaveError, Store};
use std::path::Path;

/// What is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recover {
    /// -c: jobs, and what is known of nodes and partitions.
    pub clear: bool,
    /// -i: what cannot be read.
    pub ignore: bool,
    /// -r: what was changed of partitions.
    pub forget_partitions: bool,
}

/// Why nothing was left out.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The state cannot be read.
    #[error(transparent)]
    Read(#[from] SnapshotError),
    /// No snapshot was made.
    #[error("no copy of the state can be made: {0}")]
    Copy(#[from] CheckpointError),
    /// It has no name.
    #[error("the copy of the state cannot be kept: {0}")]
    Tag(#[from] TagError),
    /// More than one save takes.
    #[error("too much at once: {0}")]
    Batch(#[from] BatchError),
    /// It was not saved.
    #[error("saving: {0}")]
    Save(#[from] SaveError),
    /// The directory cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// An entry that is left out.
type Gone = (String, Vec<u8>);

/// Leaves out what is asked for, and keeps a copy.
///
/// # Errors
/// [`RecoverError`]; nothing is left out then.
pub fn recover(store: &Store, dir: &Path, recover: Recover) -> Result<(), RecoverError> {
    let mut gone = Vec::new();
    if recover.clear {
        gone.extend(entries(store, |table| table != CLUSTER)?);
    } else if recover.forget_partitions {
        gone.extend(entries(store, |table| table == PARTITIONS)?);
    }
    if recover.ignore && !recover.clear {
        for Fault { table, key, why } in State::faults(&store.view())? {
            let shown = String::from_utf8_lossy(&key);
            tracing::error!("left out, for it cannot be read: {table}/{shown}: {why}");
            gone.push((table.to_owned(), key));
        }
    }
    if gone.is_empty() {
        return Ok(());
    }
    let tag = keep(store, dir)?;
    let mut batch = Batch::new();
    for (table, key) in &gone {
        batch.delete(table, key)?;
    }
    // What was asked for holds from here on: the save's flush.
    store.save(batch)?;
    let (count, dir) = (gone.len(), dir.display());
    tracing::warn!(
        "{count} entries of the state are left out; all of it is kept as tag:{tag}: \
         statectl -C {dir} dump --at tag:{tag} shows it, statectl -C {dir} snapshot rm tag:{tag} \
         gives its room back"
    );
    Ok(())
}

fn entries(store: &Store, of: impl Fn(&str) -> bool) -> Result<Vec<Gone>, SnapshotError> {
    let view = store.view();
    let mut found = Vec::new();
    for table in view.tables()?.into_iter().filter(|table| of(table)) {
        for entry in view.scan(table, b"") {
            found.push((table.to_owned(), entry?.0.to_vec()));
        }
    }
    Ok(found)
}

/// The state as it is, under a tag: its name.
fn keep(store: &Store, dir: &Path) -> Result<String, RecoverError> {
    let made = store.checkpoint()?;
    let before = store.report().snapshot.as_ref().and_then(|name| FileName::parse(name));
    let (epoch, lsn) = match (made, before) {
        (Some(lsn), _) => (store.epoch(), lsn),
        (None, Some(FileName::Snapshot { epoch, lsn })) => (epoch, lsn),
        (None, _) => return Err(TagError::NoSnapshot("of an empty state".to_owned()).into()),
    };
    let disk = Real::open(dir)?;
    let name = format!("before-{}", lsn.0);
    match tags::tag(&disk, epoch, lsn, &name) {
        // The last start was cut short right here.
        Err(TagError::Exists { lsn: kept, .. }) if kept == lsn => Ok(name),
        other => Ok(other.map(|tag| tag.name)?),
    }
}
