//! What the scheduler knows of a cluster before any job: nodes by their place in slurm.conf, and
//! partitions as queues with their members. It changes with slurm.conf and with partitions only,
//! but for `by_user`.
//!
//! Invariant: places count as [`Conf::nodes`] does, everywhere in the scheduler.

use crate::controller::core::{current, members, node_features, node_weight, size};
use crate::controller::sched::cores::Cores;
use crate::controller::sched::manner::{Manner, for_user};
use crate::controller::state::State;
use crate::slurm::conf::{Conf, Memory, Node, Partition, PartitionState, select_parameters};
use crate::slurm::hostlist::{expand, natural};
use crate::slurm::wire::{Text, Unset};
use std::borrow::Cow;
use std::collections::HashMap;

const CR_SOCKET: u16 = 0x2;
const CR_CORE: u16 = 0x4;
const CR_MEMORY: u16 = 0x10;
const CORE_BLOCK: u16 = 0x1000;
const LEAST_LOADED: u16 = 0x4000;

/// What is given to jobs, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Select {
    /// Whole nodes only (select/linear).
    pub whole: bool,
    /// A core is given with all its threads.
    pub by_core: bool,
    /// A socket is given with all its cores.
    pub by_socket: bool,
    /// Memory is counted.
    pub memory: bool,
    /// Cores of one socket after the other, not of each in turn.
    pub block: bool,
    /// The least loaded nodes first.
    pub least_loaded: bool,
}

impl Select {
    fn of(conf: &Conf, partition: Option<&Partition>) -> Select {
        let whole = conf.text("SelectType") == Some("select/linear");
        let set = conf.text("SelectTypeParameters").and_then(|text| select_parameters(text).ok());
        let cluster = set.unwrap_or(if whole { 0 } else { CR_CORE });
        let own = partition.map_or(0, |partition| partition.select_parameters);
        // A partition may say cores or sockets; what else there is, the cluster says.
        let units = CR_SOCKET | CR_CORE;
        let bits = if own & units == 0 { cluster } else { cluster & !units | own & units };
        Select {
            whole,
            by_core: bits & CR_CORE != 0,
            by_socket: bits & CR_SOCKET != 0,
            memory: bits & CR_MEMORY != 0,
            block: bits & CORE_BLOCK != 0,
            least_loaded: bits & LEAST_LOADED != 0 || partition.is_some_and(|of| of.least_loaded),
        }
    }
}

/// A node.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name.
    pub name: Text,
    /// Cores of all sockets.
    pub cores: u32,
    /// Cores of a socket.
    pub per_socket: u32,
    /// CPUs that a core counts as.
    pub threads: u32,
    /// CPUs.
    pub cpus: u32,
    /// MiB for jobs.
    pub memory: u64,
    /// MiB.
    pub tmp_disk: u32,
    /// Lower ones are taken first.
    pub weight: u32,
    /// Its features, as written.
    pub features: Option<String>,
    /// Cores for jobs.
    pub usable: Cores,
    /// It has less than slurm.conf says, for now.
    pub less: bool,
}

impl Place {
    /// As slurm.conf has it.
    #[must_use]
    pub fn of(node: &Node) -> Place {
        let cores = (u32::from(node.sockets) * u32::from(node.cores)).max(1);
        let cpus = u32::from(node.cpus);
        // As many CPUs as cores or sockets: threads are not told apart.
        let threads = if cpus > cores { u32::from(node.threads) } else { 1 };
        let mut usable = Cores::all(cores);
        let kept = u32::from(node.core_spec_count).min(cores - 1);
        (cores - kept..cores).for_each(|core| usable.cut(core));
        Place {
            name: node.name.as_str().into(),
            cores,
            per_socket: u32::from(node.cores).max(1),
            threads,
            cpus: cpus - (kept * threads).min(cpus),
            memory: node.real_memory.saturating_sub(node.mem_spec_limit),
            tmp_disk: node.tmp_disk,
            weight: node.weight,
            features: node.features.clone(),
            usable,
            less: false,
        }
    }

    /// The node as it is, with the features and the weight that it was given since.
    #[must_use]
    pub fn now(conf: &Conf, node: &Node, state: &State) -> Place {
        let mut place = Place::of(node);
        if let Some(record) = state.nodes.get(&node.name) {
            if let Cow::Owned(less) = size::now(conf, node, record) {
                place.shrink(&less);
            }
            let (_, active) = node_features(node, record);
            place.features = active.as_str().map(str::to_owned);
            place.weight = node_weight(node, record);
        }
        place
    }

    /// Only what is there; cores keep their numbers.
    fn shrink(&mut self, less: &Node) {
        self.less = true;
        let (sockets, per_socket) = (u32::from(less.sockets), u32::from(less.cores));
        self.threads = self.threads.min(u32::from(less.threads)).max(1);
        let cpus = u32::from(less.cpus);
        let mut left = self.usable.count().min(cpus / self.threads);
        for core in 0..self.cores {
            let there = core / self.per_socket < sockets && core % self.per_socket < per_socket;
            if !there || left == 0 {
                self.usable.cut(core);
            } else if self.usable.has(core) {
                left -= 1;
            }
        }
        self.cpus = self.cpus.min(self.usable.count() * self.threads);
        self.memory = self.memory.min(less.real_memory.saturating_sub(less.mem_spec_limit));
        self.tmp_disk = self.tmp_disk.min(less.tmp_disk);
    }

    /// Whether it has a feature.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.as_deref().is_some_and(|all| all.split(',').any(|one| one == feature))
    }

    /// How many sockets there are.
    #[must_use]
    pub fn sockets(&self) -> u32 {
        self.cores.div_ceil(self.per_socket)
    }
}

/// A partition.
#[derive(Clone, Debug)]
pub struct Queue {
    /// What is said of it.
    pub partition: Partition,
    /// Its nodes, ascending.
    pub members: Vec<usize>,
    /// The same, by place.
    pub has: Vec<bool>,
    /// What is given here.
    pub select: Select,
}

/// Whether a partition starts jobs.
#[must_use]
pub fn starts(state: PartitionState) -> bool {
    matches!(state, PartitionState::Up | PartitionState::Drain)
}

/// Minutes that a job has in a partition: what it asks for, unless that is nothing or too much.
#[must_use]
pub fn time_limit(partition: &Partition, asked: Option<u32>) -> u32 {
    match asked {
        Some(asked) if asked <= partition.max_time => asked,
        _ => partition.default_time.unwrap_or(partition.max_time),
    }
}

/// The place of a node, by its name.
#[must_use]
pub fn find(conf: &Conf, name: &Text) -> Option<usize> {
    let name = name.as_str()?;
    conf.nodes.binary_search_by(|node| natural(&node.name, name)).ok()
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The nodes, in the order of slurm.conf's.
    pub nodes: Vec<Place>,
    /// The partitions.
    pub queues: Vec<Queue>,
    /// Memory of jobs that ask for none, where the partition says nothing.
    pub def_mem: Memory,
    /// Whether jobs may share cores, or with select/linear nodes, anywhere.
    pub shares: bool,
    /// Whether there are jobs that have nodes for their user alone, or partitions of such jobs.
    pub by_user: bool,
    places: HashMap<Text, usize>,
    names: HashMap<Text, usize>,
}

impl Layout {
    /// From the configuration, and what was changed of partitions.
    #[must_use]
    pub fn of(conf: &Conf, state: &State) -> Layout {
        let nodes: Vec<Place> =
            conf.nodes.iter().map(|node| Place::now(conf, node, state)).collect();
        let places: HashMap<Text, usize> =
            nodes.iter().enumerate().map(|(at, node)| (node.name.clone(), at)).collect();
        let partitions = current(conf, state).into_iter();
        let queues: Vec<Queue> = partitions.map(|partition| queue(conf, partition)).collect();
        let names = queues.iter().enumerate();
        let names = names.map(|(at, queue)| (queue.partition.name.as_str().into(), at)).collect();
        let of_cpu = conf.number("DefMemPerCPU");
        let of_node = conf.number("DefMemPerNode");
        let def_mem = match (of_cpu, of_node) {
            (cpu, _) if cpu != 0 && cpu != u64::MAX => Memory::PerCpu(cpu),
            (_, node) if node != 0 && node != u64::MAX => Memory::PerNode(node),
            _ => Memory::Unlimited,
        };
        let shares = queues.iter().any(|queue| {
            let of = |shared| Manner::of(queue.select.whole, queue.partition.max_share, shared);
            of(u16::UNSET) == Manner::Shared || of(1) == Manner::Shared
        });
        let jobs = state.pending.iter().chain(&state.busy).filter_map(|id| state.job(*id));
        let by_user = queues.iter().any(|queue| queue.partition.exclusive_user)
            || jobs.into_iter().any(|job| for_user(None, &job.spec));
        Layout { nodes, queues, def_mem, shares, by_user, places, names }
    }

    /// A node by its name.
    #[must_use]
    pub fn place(&self, name: &Text) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// A partition by its name.
    #[must_use]
    pub fn queue(&self, name: &Text) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The nodes of a list of names; `None`: one of them is not there.
    #[must_use]
    pub fn listed(&self, names: &Text) -> Option<Vec<usize>> {
        let names = expand(names.as_str()?).ok()?;
        let mut found: Vec<usize> =
            names.iter().map(|name| self.place(&name.as_str().into())).collect::<Option<_>>()?;
        found.sort_unstable();
        found.dedup();
        Some(found)
    }
}

fn queue(conf: &Conf, partition: Partition) -> Queue {
    let members = members(conf, &partition);
    let mut has = vec![false; conf.nodes.len()];
    members.iter().for_each(|at| has[*at] = true);
    let select = Select::of(conf, Some(&partition));
    Queue { partition, members, has, select }
}
