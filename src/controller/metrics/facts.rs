//! Everything that is shown, as a value: read from the durable state and from counters.

use crate::base::spans::Counted;
use crate::controller::core::known;
use crate::controller::metrics::Numbers;
use crate::controller::node::NodeRecord;
use crate::controller::service::Service;
use crate::controller::state::{Load, State};
use crate::format::FileName;
use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::node;
use crate::store::Progress;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;

/// The states of jobs, by the number of their base.
pub const JOB_STATES: [&str; 12] = [
    "pending",
    "running",
    "suspended",
    "completed",
    "cancelled",
    "failed",
    "timeout",
    "node_fail",
    "preempted",
    "boot_fail",
    "deadline",
    "out_of_memory",
];

/// The states of nodes: each is in one.
pub const NODE_STATES: [&str; 9] = [
    "unknown",
    "idle",
    "mixed",
    "allocated",
    "completing",
    "draining",
    "drained",
    "down",
    "future",
];

/// What the state directory occupies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Segments of the log.
    pub log: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// What the file system has left for us.
    pub free: u64,
    /// When that was, in seconds since 1970.
    pub at: i64,
}

impl Sizes {
    /// Measures a directory.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn of(dir: &Path, now: i64) -> io::Result<Sizes> {
        let room = rustix::fs::statvfs(dir)?;
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        let mut sizes = Sizes { free, at: now, ..Sizes::default() };
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            // It may go while we look.
            let Ok(found) = entry.metadata() else { continue };
            match name.to_str().and_then(FileName::parse) {
                Some(FileName::Segment(_)) => sizes.log += found.blocks() * 512,
                Some(FileName::Snapshot { .. }) => sizes.snapshots += found.blocks() * 512,
                _ => {}
            }
        }
        Ok(sizes)
    }
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Jobs by state; of an array each task.
    pub jobs: BTreeMap<&'static str, u64>,
    /// Nodes by state.
    pub nodes: BTreeMap<&'static str, u64>,
    /// Nodes that do not answer.
    pub silent: u64,
    /// When the controller began.
    pub started: i64,
    /// How far the store is.
    pub progress: Progress,
    /// How long flushes took.
    pub flushes: Counted,
    /// How long saves took.
    pub saves: Counted,
    /// Ids that were told.
    pub submitted: u64,
    /// Refusals by code.
    pub refused: BTreeMap<u32, u64>,
    /// Whether changes are put off.
    pub stuck: bool,
    /// What files occupy; `None`: not measured yet.
    pub sizes: Option<Sizes>,
}

impl Facts {
    /// What is now.
    pub fn of(service: &Service) -> Facts {
        let (conf, state) = service.durable();
        let numbers: &Numbers = service.numbers();
        let (store, stuck) = service.health();
        let (nodes, silent) = nodes(&conf, &state);
        Facts {
            jobs: jobs(&state),
            nodes,
            silent,
            started: service.host().started,
            progress: store.progress(),
            flushes: store.flushes(),
            saves: numbers.saves.counted(),
            submitted: numbers.submitted.load(Ordering::Relaxed),
            refused: numbers.refusals(),
            stuck,
            sizes: numbers.sizes(),
        }
    }
}

fn jobs(state: &State) -> BTreeMap<&'static str, u64> {
    let mut found: BTreeMap<_, _> = JOB_STATES.into_iter().map(|name| (name, 0)).collect();
    for of in state.jobs.values() {
        // Of an array each task that has no record of its own.
        let tasks: u64 = of.course.tasks.iter().map(|run| u64::from(run.count())).sum();
        if let Some(name) = JOB_STATES.get(of.base() as usize) {
            *found.entry(name).or_default() += tasks.max(1);
        }
    }
    found
}

fn nodes(conf: &Conf, state: &State) -> (BTreeMap<&'static str, u64>, u64) {
    let mut found: BTreeMap<_, _> = NODE_STATES.into_iter().map(|name| (name, 0)).collect();
    let mut silent = 0;
    for of in &conf.nodes {
        let record = known(state, of);
        *found.entry(node_state(&record, &state.load_of(&of.name), of.cpus)).or_default() += 1;
        silent += u64::from(record.state & node::NO_RESPOND != 0);
    }
    (found, silent)
}

/// The first that is true, of what an operator wants to know first.
fn node_state(record: &NodeRecord, load: &Load, cpus: u16) -> &'static str {
    let busy = !load.running.is_empty() || !load.completing.is_empty();
    match record.state & node::BASE {
        node::DOWN | node::ERROR => "down",
        node::FUTURE => "future",
        _ if record.state & (node::DRAIN | node::FAIL) != 0 && busy => "draining",
        _ if record.state & (node::DRAIN | node::FAIL) != 0 => "drained",
        _ if !load.running.is_empty() && load.cpus >= u32::from(cpus) => "allocated",
        _ if !load.running.is_empty() => "mixed",
        _ if !load.completing.is_empty() => "completing",
        node::UNKNOWN => "unknown",
        _ => "idle",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::wire::constants::node::{DOWN, DRAIN, IDLE, NO_RESPOND, UNKNOWN};
    use imbl::OrdSet;

    #[test]
    fn a_node_is_in_the_state_that_an_operator_wants_to_know_first() {
        let of = |state: u32, running: &[u32], completing: &[u32], used: u32| {
            let record = NodeRecord { state, ..NodeRecord::default() };
            let ids = |ids: &[u32]| ids.iter().copied().collect::<OrdSet<u32>>();
            let (running, completing) = (ids(running), ids(completing));
            let load = Load { running, completing, cpus: used, ..Load::default() };
            node_state(&record, &load, 4)
        };
        let cases = [
            (of(IDLE, &[], &[], 0), "idle"),
            (of(UNKNOWN, &[], &[], 0), "unknown"),
            (of(IDLE, &[1], &[], 1), "mixed"),
            (of(IDLE, &[1], &[2], 4), "allocated"),
            (of(IDLE, &[], &[2], 4), "completing"),
            (of(IDLE | DRAIN, &[1], &[], 4), "draining"),
            (of(IDLE | DRAIN, &[], &[], 0), "drained"),
            (of(DOWN | DRAIN | NO_RESPOND, &[1], &[], 1), "down"),
        ];
        for (found, wanted) in cases {
            assert_eq!(found, wanted);
            assert!(NODE_STATES.contains(&found));
        }
    }

    #[test]
    fn segments_and_snapshots_are_measured_and_other_files_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str| std::fs::write(dir.path().join(name), [1; 5000]).unwrap();
        put("log-0000000001-0000000001");
        put("snap-0000000001-00000000000000000007");
        put("notes");
        let sizes = Sizes::of(dir.path(), 7).unwrap();
        assert!(sizes.log >= 5000 && sizes.log == sizes.snapshots && sizes.at == 7, "{sizes:?}");
        assert!(sizes.free > 0);
    }
}
