//! The state of the cluster beyond its configuration: nodes, partitions, jobs, and what is derived
//! from them. A value: copying it costs nothing, and a copy never changes.
//!
//! Invariants:
//! - [`Change`]s, and they alone, lead from one state to the next, in memory ([`State::take`]) and
//!   in the store ([`batch`]) alike: what [`State::load`] reads is what was taken, derived parts
//!   included.
//! - Ids of jobs are never used twice: `next_id` is above every one, and changes with it.

use crate::Batch;
use crate::controller::entry::{self, EntryError};
use crate::controller::job::{JOBS, Job, Payload, SCRIPTS, Share};
use crate::controller::loading;
use crate::controller::node::{self, NodeRecord};
use crate::format::{BatchError, Op, Ops};
use crate::slurm::wire::record::record;
use crate::slurm::wire::tables::UpdatePartition;
use crate::slurm::wire::{Text, Time};
use crate::snapshot::SnapshotError;
use crate::store::View;
use imbl::{HashMap, OrdMap, OrdSet};
use std::sync::Arc;

/// The table of what was changed of partitions since slurm.conf.
pub const PARTITIONS: &str = "partitions";
/// The table of what there is one of.
pub const CLUSTER: &str = "cluster";
/// In it: the next id of a job.
const NEXT_ID: &[u8] = b"next_job_id";
/// In it: ids of jobs that agents knew, and the state did not: a [`Range`].
const UNSEEN: &[u8] = b"unseen_job_ids";

record! {
    /// What an operator changed of a partition; the state of one that was created is all of it.
    PartitionRecord {
        created: u8;
        deleted: u8;
        update: UpdatePartition;
    }

    /// Whose history the state is of: the store's incarnation when a controller began with it last,
    /// and when another one was found then; 0: never.
    Origin {
        incarnation: Vec<u8>;
        restored: Time;
    }

    /// A number.
    Number {
        value: u32;
    }

    /// From, and up to but not including.
    Range {
        from: u32;
        until: u32;
    }
}

/// In it: an [`Origin`].
const ORIGIN: &[u8] = b"origin";

/// What jobs make of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Jobs that run there.
    pub running: OrdSet<u32>,
    /// Jobs that are stopped for a while: their CPUs are free, their memory is not.
    pub stopped: OrdSet<u32>,
    /// Jobs whose end is being worked on there.
    pub completing: OrdSet<u32>,
    /// CPUs in use.
    pub cpus: u32,
    /// Memory in use, in MiB.
    pub memory: u64,
}

impl Load {
    /// Jobs that have not ended.
    pub fn active(&self) -> impl Iterator<Item = u32> {
        self.running.iter().chain(&self.stopped).copied()
    }

    /// All jobs that have something of the node.
    pub fn all(&self) -> impl Iterator<Item = u32> {
        self.active().chain(self.completing.iter().copied())
    }
}

/// What is known of the cluster beyond its configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The id of the next job; 0: FirstJobId.
    pub next_id: u32,
    /// Ids of jobs that were given out by a state that is lost: from, and up to but not including.
    pub unseen: Option<(u32, u32)>,
    /// Whose history this is; `None`: no controller has begun with it.
    pub origin: Option<Origin>,
    /// What is known of nodes.
    pub nodes: OrdMap<String, NodeRecord>,
    /// What was changed of partitions.
    pub partitions: OrdMap<String, PartitionRecord>,
    /// Jobs.
    pub jobs: OrdMap<u32, Arc<Job>>,
    /// Derived: jobs that wait.
    pub pending: OrdSet<u32>,
    /// Derived: jobs that run or are suspended, or whose end is being worked on.
    pub busy: OrdSet<u32>,
    /// Derived: jobs that are over, by the time of their end.
    pub over: OrdSet<(i64, u32)>,
    /// Derived: jobs of an array, by its id.
    pub arrays: HashMap<u32, OrdSet<u32>>,
    /// Derived: how many jobs there are, each task of an array counted.
    pub tasks: u64,
    /// Derived: jobs by the beginning of the digest of the request that brought them.
    pub requests: HashMap<u64, u32>,
    /// Derived: what jobs make of nodes, by name; nodes without any are not here.
    pub loads: HashMap<Text, Load>,
}

/// One entry that is new, or gone.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// What is known of a node.
    Node(String, NodeRecord),
    /// What was changed of a partition.
    Partition(String, PartitionRecord),
    /// A partition is again as slurm.conf has it.
    ForgetPartition(String),
    /// A job.
    Job(Arc<Job>),
    /// A job is forgotten.
    ForgetJob(u32),
    /// The script of a job, or of an array.
    Script(u32, Arc<Payload>),
    /// A script is forgotten.
    ForgetScript(u32),
    /// The id of the next job.
    NextId(u32),
    /// Ids from, and up to but not including, which a state that is lost may have given out.
    Unseen(u32, u32),
    /// Whose history the state is of.
    Origin(Origin),
}

/// Why a state cannot be read from the store.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store does not give it.
    #[error(transparent)]
    Store(#[from] SnapshotError),
    /// An entry is none of ours.
    #[error("entry {key:?} of table {table}: {error}")]
    Entry {
        /// Its table.
        table: &'static str,
        /// Its key, as text.
        key: String,
        /// Why.
        error: EntryError,
    },
    /// An entry is not there.
    #[error("entry {key} of table {table} is missing")]
    Missing {
        /// Its table.
        table: &'static str,
        /// Its key.
        key: u32,
    },
    /// A save cannot be read.
    #[error("a save cannot be read: {0}")]
    Op(String),
    /// A key is not text.
    #[error("a key of table {table} is not text: {key:?}")]
    Key {
        /// Its table.
        table: &'static str,
        /// The key.
        key: Vec<u8>,
    },
}

/// An entry that is none of ours.
#[derive(Debug)]
pub struct Fault {
    /// Its table.
    pub table: &'static str,
    /// Its key.
    pub key: Vec<u8>,
    /// Why.
    pub why: StateError,
}

/// What an entry of a table of the state says.
///
/// # Errors
/// [`StateError`].
///
/// # Panics
/// If the table is none of the state's: the caller's mistake.
pub fn read(table: &'static str, key: &[u8], value: &[u8]) -> Result<Change, StateError> {
    let wrong = none_of_ours(table, key);
    Ok(match table {
        CLUSTER if key == UNSEEN => {
            let range: Range = entry::decode(value).map_err(wrong)?;
            Change::Unseen(range.from, range.until)
        }
        CLUSTER if key == ORIGIN => Change::Origin(entry::decode(value).map_err(wrong)?),
        CLUSTER => Change::NextId(entry::decode::<Number>(value).map_err(wrong)?.value),
        node::TABLE => {
            let record = NodeRecord::decode(value).map_err(wrong)?;
            Change::Node(name(table, key)?, record)
        }
        PARTITIONS => {
            let record = entry::decode(value).map_err(wrong)?;
            Change::Partition(name(table, key)?, record)
        }
        JOBS => {
            let job = entry::id_of(key).and_then(|id| Job::decode(id, value));
            Change::Job(Arc::new(job.map_err(wrong)?))
        }
        SCRIPTS => {
            let read = || Ok((entry::id_of(key)?, entry::decode::<Payload>(value)?));
            let (id, payload) = read().map_err(wrong)?;
            Change::Script(id, Arc::new(payload))
        }
        _ => unreachable!("{table} is no table of the state"),
    })
}

/// What it means that an entry of a table of the state is gone; `None`: nothing that is kept in
/// memory.
///
/// # Errors
/// [`StateError`]: nobody takes such an entry away while the state is in use.
pub fn gone(table: &str, key: &[u8]) -> Result<Option<Change>, StateError> {
    Ok(match table {
        PARTITIONS => Some(Change::ForgetPartition(name(PARTITIONS, key)?)),
        JOBS => {
            let id = entry::id_of(key).map_err(none_of_ours(JOBS, key))?;
            Some(Change::ForgetJob(id))
        }
        node::TABLE => return Err(StateError::Key { table: node::TABLE, key: key.to_vec() }),
        _ => None,
    })
}

/// The changes of a save, in order, as [`State::take`] wants them.
///
/// # Errors
/// [`StateError`]; an entry that no controller of this version has saved.
pub fn changes(ops: Ops<'_>) -> Result<Vec<Change>, StateError> {
    let mut changes = Vec::new();
    for op in ops {
        match op.map_err(|error| StateError::Op(error.to_string()))? {
            Op::Put { table, key, value } => {
                // The name of the cluster stands in the same table, and no script is in memory.
                let known = [node::TABLE, PARTITIONS, JOBS].into_iter().find(|of| *of == table);
                let numbers = table == CLUSTER && [NEXT_ID, UNSEEN, ORIGIN].contains(&key);
                if let Some(table) = known.or(numbers.then_some(CLUSTER)) {
                    changes.push(read(table, key, value)?);
                }
            }
            Op::Delete { table, key } => changes.extend(gone(table, key)?),
        }
    }
    Ok(changes)
}

fn name(table: &'static str, key: &[u8]) -> Result<String, StateError> {
    String::from_utf8(key.to_vec())
        .map_err(|error| StateError::Key { table, key: error.into_bytes() })
}

/// The error about an entry that is none of ours.
pub fn none_of_ours<'a>(
    table: &'static str,
    key: &'a [u8],
) -> impl FnOnce(EntryError) -> StateError + use<'a> {
    move |error| {
        let key = entry::id_of(key)
            .map_or_else(|_| String::from_utf8_lossy(key).into_owned(), |id| id.to_string());
        StateError::Entry { table, key, error }
    }
}

impl State {
    /// The state that the store holds.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn load(view: &View) -> Result<State, StateError> {
        let mut state = State::default();
        for key in [NEXT_ID, UNSEEN, ORIGIN] {
            if let Some(value) = view.get(CLUSTER, key)? {
                state.take(read(CLUSTER, key, value)?);
            }
        }
        for table in [node::TABLE, PARTITIONS] {
            for entry in view.scan(table, b"") {
                let (key, value) = entry?;
                state.take(read(table, key, value)?);
            }
        }
        loading::jobs(view, &mut state)?;
        Ok(state)
    }

    /// The entries that cannot be read, scripts too.
    ///
    /// # Errors
    /// The store does not give them.
    pub fn faults(view: &View) -> Result<Vec<Fault>, SnapshotError> {
        let mut found = Vec::new();
        for key in [NEXT_ID, UNSEEN, ORIGIN] {
            if let Some(Err(why)) = view.get(CLUSTER, key)?.map(|value| read(CLUSTER, key, value)) {
                found.push(Fault { table: CLUSTER, key: key.to_vec(), why });
            }
        }
        for table in [node::TABLE, PARTITIONS, JOBS, SCRIPTS] {
            for entry in view.scan(table, b"") {
                let (key, value) = entry?;
                if let Err(why) = read(table, key, value) {
                    found.push(Fault { table, key: key.to_vec(), why });
                }
            }
        }
        Ok(found)
    }

    /// Takes a change.
    pub fn take(&mut self, change: Change) {
        match change {
            Change::Node(name, record) => drop(self.nodes.insert(name, record)),
            Change::Partition(name, record) => drop(self.partitions.insert(name, record)),
            Change::ForgetPartition(name) => drop(self.partitions.remove(&name)),
            Change::Job(job) => {
                self.forget(job.id);
                self.derive(&job, true);
                self.jobs.insert(job.id, job);
            }
            Change::ForgetJob(id) => self.forget(id),
            Change::NextId(id) => self.next_id = id,
            Change::Unseen(from, until) => self.unseen = Some((from, until)),
            Change::Origin(origin) => self.origin = Some(origin),
            Change::Script(..) | Change::ForgetScript(_) => {}
        }
    }

    /// Takes a job of which nothing was known.
    ///
    /// # Panics
    /// If something was: the caller's mistake.
    pub fn take_new(&mut self, job: Arc<Job>) {
        self.derive(&job, true);
        let old = self.jobs.insert(job.id, job);
        assert!(old.is_none(), "it was known");
    }

    /// A job.
    #[must_use]
    pub fn job(&self, id: u32) -> Option<&Arc<Job>> {
        self.jobs.get(&id)
    }

    /// Whether an id was not given out by this state, as far as it knows.
    #[must_use]
    pub fn is_unseen(&self, id: u32, first: u32) -> bool {
        let lost = self.unseen.is_some_and(|(from, until)| (from..until).contains(&id));
        lost || id >= self.next_id.max(first)
    }

    /// The jobs of an array, or the one job that is in none, in the order of their ids.
    pub fn array(&self, id: u32) -> impl Iterator<Item = &Arc<Job>> {
        let of_array = self.arrays.get(&id).into_iter().flatten();
        let alone = self.jobs.get(&id).filter(|job| job.course.array_job_id == 0);
        of_array.filter_map(|id| self.jobs.get(id)).chain(alone)
    }

    /// The job that this very request has brought.
    #[must_use]
    pub fn requested(&self, request: &[u8]) -> Option<u32> {
        let id = self.requests.get(&beginning(request)?)?;
        self.jobs.get(id).filter(|job| job.course.request == request).map(|job| job.id)
    }

    /// What jobs make of a node.
    #[must_use]
    pub fn load_of(&self, node: &str) -> Load {
        self.loads.get(&Text::from(node)).cloned().unwrap_or_default()
    }
}

/// What a digest is found by.
fn beginning(request: &[u8]) -> Option<u64> {
    request.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// Derived parts: a job leaves them as it came into them.
impl State {
    fn forget(&mut self, id: u32) {
        if let Some(old) = self.jobs.remove(&id) {
            self.derive(&old, false);
        }
    }

    fn derive(&mut self, job: &Job, is: bool) {
        let put = |set: &mut OrdSet<u32>| if is { set.insert(job.id) } else { set.remove(&job.id) };
        if job.is_pending() {
            put(&mut self.pending);
        }
        if job.is_active() || job.is_completing() {
            put(&mut self.busy);
        }
        if job.is_over() {
            let key = (job.course.end_time.0, job.id);
            if is {
                self.over.insert(key)
            } else {
                self.over.remove(&key)
            };
        }
        let array = job.course.array_job_id;
        // Tasks that were split off have their array's request, too.
        if let (Some(request), true) =
            (beginning(&job.course.request), array == 0 || array == job.id)
        {
            if is {
                self.requests.insert(request, job.id);
            } else {
                self.requests.remove(&request);
            }
        }
        let tasks = job.course.tasks.iter().map(|run| u64::from(run.count())).sum::<u64>().max(1);
        self.tasks = if is { self.tasks + tasks } else { self.tasks - tasks };
        if array != 0 {
            let members = self.arrays.entry(array).or_default();
            put(members);
            if members.is_empty() {
                self.arrays.remove(&array);
            }
        }
        for share in &job.course.shares {
            self.occupy(job, share, is);
        }
    }

    /// What a job has of a node, it has until the node has said that nothing of it is left there.
    fn occupy(&mut self, job: &Job, share: &Share, is: bool) {
        let completing = job.is_completing() && job.course.completing.contains(&share.node);
        if !job.is_active() && !completing {
            return;
        }
        let load = self.loads.entry(share.node.clone()).or_default();
        let (set, cpus) = match (completing, job.is_stopped()) {
            (true, _) => (&mut load.completing, share.cpus),
            (false, true) => (&mut load.stopped, 0),
            (false, false) => (&mut load.running, share.cpus),
        };
        let (cpus, memory) = (u32::from(cpus), share.memory);
        if is {
            set.insert(job.id);
            (load.cpus, load.memory) = (load.cpus + cpus, load.memory + memory);
        } else {
            set.remove(&job.id);
            (load.cpus, load.memory) = (load.cpus - cpus, load.memory - memory);
        }
        if *load == Load::default() {
            self.loads.remove(&share.node);
        }
    }
}

/// The script of a job, or of an array.
///
/// # Errors
/// [`StateError`].
pub fn payload(view: &View, id: u32) -> Result<Payload, StateError> {
    let key = entry::key(id);
    let value = view.get(SCRIPTS, &key)?;
    let missing = || StateError::Missing { table: SCRIPTS, key: id };
    entry::decode(value.ok_or_else(missing)?).map_err(none_of_ours(SCRIPTS, &key))
}

/// The save that makes changes durable.
///
/// # Errors
/// A limit of the store: a name or a value that is too long.
pub fn batch(changes: &[Change]) -> Result<Batch, BatchError> {
    let mut batch = Batch::new();
    for change in changes {
        match change {
            Change::Node(name, record) => {
                batch.put(node::TABLE, name.as_bytes(), &record.encode())?;
            }
            Change::Partition(name, record) => {
                batch.put(PARTITIONS, name.as_bytes(), &entry::encode(record))?;
            }
            Change::ForgetPartition(name) => {
                batch.delete(PARTITIONS, name.as_bytes())?;
            }
            Change::Job(job) => {
                batch.put(JOBS, &entry::key(job.id), &job.encode())?;
            }
            Change::ForgetJob(id) => {
                batch.delete(JOBS, &entry::key(*id))?;
            }
            Change::Script(id, payload) => {
                batch.put(SCRIPTS, &entry::key(*id), &entry::encode_compressed(&**payload))?;
            }
            Change::ForgetScript(id) => {
                batch.delete(SCRIPTS, &entry::key(*id))?;
            }
            Change::NextId(value) => {
                batch.put(CLUSTER, NEXT_ID, &entry::encode(&Number { value: *value }))?;
            }
            Change::Unseen(from, until) => {
                let range = Range { from: *from, until: *until };
                batch.put(CLUSTER, UNSEEN, &entry::encode(&range))?;
            }
            Change::Origin(origin) => {
                batch.put(CLUSTER, ORIGIN, &entry::encode(origin))?;
            }
        }
    }
    Ok(batch)
}
