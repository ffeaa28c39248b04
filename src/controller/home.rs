//! The store in StateSaveLocation: opened, never made. Whatever cannot be opened is named, with the
//! command to run next.

use crate::Batch;
use crate::base::Local;
use crate::controller::state::{State, StateError};
use crate::format::BatchError;
use crate::slurm::conf::own::Own;
use crate::store::{OpenError, Options, SaveError, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the name of the cluster is kept, so that no other cluster takes the state for its own.
const TABLE: &str = "cluster";
const NAME: &[u8] = b"name";

/// Names that Slurm's own controller leaves in a state directory.
const SLURMS: [&str; 8] = [
    "clustername",
    "job_state",
    "last_config_lite",
    "node_state",
    "part_state",
    "priority_last_decay_ran",
    "resv_state",
    "trigger_state",
];

/// Why the state is not there.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nothing is there.
    #[error("StateSaveLocation={0} is no store; next: statectl -C {0} init")]
    Empty(PathBuf),
    /// Slurm's controller has been there.
    #[error(
        "StateSaveLocation={dir} holds files of Slurm's own slurmctld ({file}), which stay as they \
         are; next: set StateSaveLocation to another directory, and statectl -C THERE init"
    )]
    Slurms {
        /// The directory.
        dir: PathBuf,
        /// One of its files.
        file: String,
    },
    /// Something else is there.
    #[error("StateSaveLocation={dir} is no store, and not empty ({file}); next: ls -la {dir}")]
    Other {
        /// The directory.
        dir: PathBuf,
        /// One of its files.
        file: String,
    },
    /// Other reasons of the store.
    #[error("StateSaveLocation={dir}: {error}; next: statectl -C {dir} status")]
    Store {
        /// The directory.
        dir: PathBuf,
        /// Why.
        error: OpenError,
    },
    /// The state of another cluster.
    #[error(
        "StateSaveLocation={dir} is the state of cluster {found}, and slurm.conf says \
         ClusterName={wanted}; next: correct one of the two"
    )]
    Cluster {
        /// The directory.
        dir: PathBuf,
        /// In the store.
        found: String,
        /// In slurm.conf.
        wanted: String,
    },
    /// What is in it is not readable.
    #[error("StateSaveLocation={dir}: {error}; next: statectl -C {dir} verify --full")]
    State {
        /// The directory.
        dir: PathBuf,
        /// Why.
        error: StateError,
    },
    /// The cluster's name cannot be saved.
    #[error("saving the cluster's name in {dir}: {error}; next: df -h {dir}")]
    Save {
        /// The directory.
        dir: PathBuf,
        /// Why.
        error: SaveError,
    },
    /// The cluster's name cannot be kept.
    #[error("ClusterName: {0}; next: choose a shorter one")]
    Name(#[from] BatchError),
}

/// Opens the store of that cluster, and the state in it.
///
/// # Errors
/// [`HomeError`]; nothing was changed then.
pub fn open(dir: &Path, cluster: &str, own: &Own) -> Result<(Store, State), HomeError> {
    let options =
        Options { history: own.history, history_ratio: own.history_ratio, ..Options::default() };
    let store = Store::open(dir, options, Arc::new(Local)).map_err(|error| why(dir, error))?;
    let place = || dir.to_owned();
    let kept = store
        .get(TABLE, NAME)
        .map_err(|error| HomeError::State { dir: place(), error: error.into() })?;
    match kept {
        None => {
            let mut batch = Batch::new();
            batch.put(TABLE, NAME, cluster.as_bytes())?;
            store.save(batch).map_err(|error| HomeError::Save { dir: place(), error })?;
        }
        Some(name) if name == cluster.as_bytes() => {}
        Some(name) => {
            let found = String::from_utf8_lossy(&name).into_owned();
            return Err(HomeError::Cluster { dir: place(), found, wanted: cluster.to_owned() });
        }
    }
    let state =
        State::load(&store.view()).map_err(|error| HomeError::State { dir: place(), error })?;
    Ok((store, state))
}

/// Looks at what is there instead of a store, without touching it.
fn why(dir: &Path, error: OpenError) -> HomeError {
    let gone = matches!(&error, OpenError::Io { source, .. }
        if source.kind() == std::io::ErrorKind::NotFound && !dir.exists());
    if gone {
        return HomeError::Empty(dir.to_owned());
    }
    // Files of Slurm come first: a directory with them may be open to others as well.
    let names: Vec<String> = std::fs::read_dir(dir).map_or(Vec::new(), |entries| {
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.collect()
    });
    let slurms = |name: &&String| SLURMS.contains(&name.as_str()) || name.starts_with("hash.");
    if let Some(file) = names.iter().filter(slurms).min() {
        return HomeError::Slurms { dir: dir.to_owned(), file: file.clone() };
    }
    match (error, names.into_iter().min()) {
        (OpenError::NotAStore, None) => HomeError::Empty(dir.to_owned()),
        (OpenError::NotAStore, Some(file)) => HomeError::Other { dir: dir.to_owned(), file },
        (error, _) => HomeError::Store { dir: dir.to_owned(), error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn said(dir: &Path) -> String {
        open(dir, "c", &Own::default()).map(drop).unwrap_err().to_string()
    }

    fn private() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        dir
    }

    #[test]
    fn what_is_no_store_is_named_and_left_as_it_is() {
        let dir = private();
        let path = dir.path();
        assert!(said(path).ends_with(&format!("next: statectl -C {} init", path.display())));
        assert!(said(&path.join("missing")).contains("missing is no store; next: statectl"));
        std::fs::write(path.join("notes"), "x").unwrap();
        assert!(said(path).contains("not empty (notes)"));
        std::fs::write(path.join("job_state"), "x").unwrap();
        assert!(said(path).contains("Slurm's own slurmctld (job_state), which stay as they are"));
        let mut names: Vec<_> =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["job_state", "notes"]);
    }

    #[test]
    fn the_state_of_another_cluster_is_refused() {
        let dir = private();
        Store::create(dir.path(), &Options::default()).unwrap();
        open(dir.path(), "c", &Own::default()).unwrap();
        let (_store, state) = open(dir.path(), "c", &Own::default()).unwrap();
        assert_eq!(state, State::default());
        drop(_store);
        let said = open(dir.path(), "d", &Own::default()).map(drop).unwrap_err().to_string();
        assert!(said.contains("the state of cluster c, and slurm.conf says ClusterName=d"));
    }
}
