//! The store in StateSaveLocation: opened, never made. Whatever cannot be opened is named, with the
//! command to run next.
//!
//! Invariants: files of Slurm's own slurmctld stay as they are, wherever they lie; what keeps that
//! one away from our store is there before anything else is changed.

mod guard;
mod recover;

pub use recover::{Recover, RecoverError};

use crate::Batch;
use crate::base::{Authority, Local};
use crate::controller::state::{State, StateError};
use crate::format::BatchError;
use crate::format::guard::NAMES;
use crate::slurm::conf::own::Own;
use crate::store::{OpenError, Options, SaveError, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the name of the cluster is kept, so that no other cluster takes the state for its own.
const TABLE: &str = "cluster";
const NAME: &[u8] = b"name";

/// Names that Slurm's own controller leaves in a state directory, besides those of [`NAMES`].
const SLURMS: [&str; 6] = [
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
    #[error("StateSaveLocation={dir}: {error}; next: statectl -C {dir} doctor")]
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
    #[error(
        "StateSaveLocation={dir}: {error}; next: statectl -C {dir} verify --full; -i starts \
         without what cannot be read, and keeps a copy"
    )]
    State {
        /// The directory.
        dir: PathBuf,
        /// Why.
        error: Box<StateError>,
    },
    /// The cluster's name cannot be saved.
    #[error("saving the cluster's name in {dir}: {error}; next: df -h {dir}")]
    Save {
        /// The directory.
        dir: PathBuf,
        /// Why.
        error: SaveError,
    },
    /// What keeps Slurm's own controller away cannot be written.
    #[error("{dir}: {error}; next: df -h {dir}; ls -la {dir}")]
    Guard {
        /// The directory.
        dir: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// What was to be left out at the start is still there.
    #[error("{dir}: {error}; next: statectl -C {dir} status, or start without -c, -i and -r")]
    Recover {
        /// The directory.
        dir: PathBuf,
        /// Why.
        error: RecoverError,
    },
    /// The cluster's name cannot be kept.
    #[error("ClusterName: {0}; next: choose a shorter one")]
    Name(#[from] BatchError),
}

/// Opens the store of that cluster, and the state in it.
///
/// # Errors
/// [`HomeError`]; nothing of the state was changed then.
pub fn open(
    dir: &Path,
    cluster: &str,
    own: &Own,
    leave_out: Recover,
) -> Result<(Store, State), HomeError> {
    let store = open_store(dir, cluster, own, leave_out, Arc::new(Local))?;
    let state = state_in(dir, &store)?;
    Ok((store, state))
}

/// The state in a store.
///
/// # Errors
/// [`HomeError::State`].
pub fn state_in(dir: &Path, store: &Store) -> Result<State, HomeError> {
    State::load(&store.view())
        .map_err(|error| HomeError::State { dir: dir.to_owned(), error: Box::new(error) })
}

/// Opens the store of that cluster, by that authority.
///
/// # Errors
/// [`HomeError`]; nothing of the state was changed then.
pub fn open_store(
    dir: &Path,
    cluster: &str,
    own: &Own,
    leave_out: Recover,
    authority: Arc<dyn Authority>,
) -> Result<Store, HomeError> {
    not_slurms(dir)?;
    let store = Store::open(dir, options(own), authority).map_err(|error| why(dir, error))?;
    settle(&store, dir, cluster)?;
    recover::recover(&store, dir, leave_out)
        .map_err(|error| HomeError::Recover { dir: dir.to_owned(), error })?;
    Ok(store)
}

/// As [`open`], where the state was followed in memory: `promote` opens the store with it. What
/// keeps that from being done comes back as it is.
///
/// # Errors
/// The outer ones are those of `promote`, the inner ones those of [`open`].
pub fn promote<E>(
    dir: &Path,
    cluster: &str,
    own: &Own,
    promote: impl FnOnce(Options) -> Result<(Store, State), E>,
) -> Result<Result<(Store, State), HomeError>, E> {
    if let Err(error) = not_slurms(dir) {
        return Ok(Err(error));
    }
    let (store, state) = promote(options(own))?;
    Ok(settle(&store, dir, cluster).map(|()| (store, state)))
}

fn options(own: &Own) -> Options {
    Options { history: own.history, history_ratio: own.history_ratio, ..Options::default() }
}

fn not_slurms(dir: &Path) -> Result<(), HomeError> {
    match NAMES.into_iter().find(|name| guard::is_slurms(dir, name)) {
        Some(file) => Err(HomeError::Slurms { dir: dir.to_owned(), file: file.to_owned() }),
        None => Ok(()),
    }
}

/// The store is this cluster's from now on, and nobody else's.
fn settle(store: &Store, dir: &Path, cluster: &str) -> Result<(), HomeError> {
    let place = || dir.to_owned();
    let kept = store
        .get(TABLE, NAME)
        .map_err(|error| HomeError::State { dir: place(), error: Box::new(error.into()) })?;
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
    guard::put(dir).map_err(|error| HomeError::Guard { dir: place(), error })
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
    use crate::controller::job::{Course, Job};
    use crate::controller::node::NodeRecord;
    use crate::controller::state::{self, Change, PartitionRecord};
    use crate::disk::Real;
    use crate::format::guard::TEXT;
    use crate::store::directory::Directory;
    use crate::store::{View, tags};
    use std::os::unix::fs::PermissionsExt;

    fn said(dir: &Path) -> String {
        open(dir, "c", &Own::default(), Recover::default()).map(drop).unwrap_err().to_string()
    }

    fn opened(dir: &Path, cluster: &str, leave_out: Recover) -> Result<(Store, State), HomeError> {
        open(dir, cluster, &Own::default(), leave_out)
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
        opened(dir.path(), "c", Recover::default()).unwrap();
        let (_store, state) = opened(dir.path(), "c", Recover::default()).unwrap();
        assert_eq!(state, State::default());
        drop(_store);
        let said = opened(dir.path(), "d", Recover::default()).map(drop).unwrap_err().to_string();
        assert!(said.contains("the state of cluster c, and slurm.conf says ClusterName=d"));
    }

    #[test]
    fn files_of_slurm_in_a_store_are_refused_and_stay_and_ours_come_by_themselves() {
        let dir = private();
        Store::create(dir.path(), &Options::default()).unwrap();
        std::fs::write(dir.path().join("job_state"), "precious").unwrap();
        assert!(said(dir.path()).contains("Slurm's own slurmctld (job_state)"));
        assert_eq!(std::fs::read(dir.path().join("job_state")).unwrap(), b"precious");
        std::fs::remove_file(dir.path().join("job_state")).unwrap();
        for _ in 0..2 {
            let _ = opened(dir.path(), "c", Recover::default()).unwrap();
            for name in NAMES {
                assert_eq!(std::fs::read_to_string(dir.path().join(name)).unwrap(), TEXT);
            }
        }
        let elsewhere = private();
        guard::put(elsewhere.path()).unwrap();
        assert!(said(elsewhere.path()).contains("is no store, and not empty (clustername)"));
    }

    /// A store with a job, a node, a changed partition, and a node that cannot be read.
    fn filled() -> tempfile::TempDir {
        let dir = private();
        Store::create(dir.path(), &Options::default()).unwrap();
        let (store, _) = opened(dir.path(), "c", Recover::default()).unwrap();
        let job = Job { id: 7, spec: Arc::default(), course: Course::default() };
        let changes = [
            Change::NextId(8),
            Change::Job(Arc::new(job)),
            Change::Script(7, Arc::default()),
            Change::Node("n1".to_owned(), NodeRecord::default()),
            Change::Partition("main".to_owned(), PartitionRecord::default()),
        ];
        store.save(state::batch(&changes).unwrap()).unwrap();
        let mut batch = Batch::new();
        batch.put("nodes", b"n2", b"garbage").unwrap();
        store.save(batch).unwrap();
        store.close().unwrap();
        dir
    }

    #[test]
    fn what_cannot_be_read_is_refused_or_left_out_and_kept_under_a_tag() {
        let dir = filled();
        let told = said(dir.path());
        assert!(told.contains("entry \"n2\" of table nodes") && told.contains("-i"), "{told}");
        let ignore = Recover { ignore: true, ..Recover::default() };
        let (store, state) = opened(dir.path(), "c", ignore).unwrap();
        assert_eq!((state.jobs.len(), state.nodes.len(), state.partitions.len()), (1, 1, 1));
        store.close().unwrap();
        let kept = tagged(dir.path());
        assert_eq!(kept.get("nodes", b"n2").unwrap(), Some(&b"garbage"[..]));
        // Once it is gone, nothing more is to be kept.
        opened(dir.path(), "c", ignore).unwrap().0.close().unwrap();
        tagged(dir.path());
    }

    #[test]
    fn what_is_cleared_is_kept_under_a_tag_and_ids_go_on() {
        let dir = filled();
        let clear = Recover { clear: true, ..Recover::default() };
        let (store, state) = opened(dir.path(), "c", clear).unwrap();
        assert_eq!(state, State { next_id: 8, ..State::default() });
        assert_eq!(store.view().tables().unwrap(), ["cluster"]);
        store.close().unwrap();
        let kept = tagged(dir.path());
        assert!(kept.get("jobs", &7_u32.to_be_bytes()).unwrap().is_some());
        assert!(kept.get("scripts", &7_u32.to_be_bytes()).unwrap().is_some());
    }

    #[test]
    fn with_r_the_partitions_are_as_slurm_conf_says_and_the_rest_stays() {
        let dir = filled();
        let leave_out = Recover { ignore: true, forget_partitions: true, ..Recover::default() };
        let (_store, state) = opened(dir.path(), "c", leave_out).unwrap();
        assert_eq!((state.jobs.len(), state.nodes.len(), state.partitions.len()), (1, 1, 0));
        assert!(tagged(dir.path()).get("partitions", b"main").unwrap().is_some());
    }

    /// The state under the one tag that there is.
    fn tagged(dir: &Path) -> View {
        let disk = Real::open(dir).unwrap();
        let tags = Directory::read(&disk).unwrap().tags;
        assert_eq!(tags.len(), 1);
        let cluster = tags[0].header.as_ref().unwrap().cluster;
        tags::view(&disk, cluster, &tags[0].tag).unwrap()
    }
}
