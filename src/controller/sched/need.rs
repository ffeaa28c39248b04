//! What a job needs to start, in the scheduler's terms. Jobs of equal need are alike: where one
//! finds no room, none of them does.

use crate::controller::sched::layout::Layout;
use crate::controller::sched::manner::{Manner, for_user, whole_nodes};
use crate::slurm::conf::Memory;
use crate::slurm::wire::tables::JobDesc;
use crate::slurm::wire::{Text, Unset};

/// Memory of a CPU, not of a node.
const PER_CPU: u64 = 1 << 63;
/// In `task_dist`: how cores are taken from sockets.
const BY_SOCKET: u32 = 0xf0;
const BLOCK_CORES: u32 = 0x20;
/// In `bitflags`: of a range of node counts the least is wanted.
const USE_MIN_NODES: u64 = 1 << 9;
/// In `bitflags`: over as many nodes as there are tasks.
const SPREAD: u64 = 1 << 8;
/// In `task_dist`: so many tasks to each node in turn.
const DISTRIBUTION: u32 = 0xf;
const PLANE: u32 = 4;

/// Memory that a job wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// All that a node has.
    All,
    /// MiB of each node.
    PerNode(u64),
    /// MiB for each CPU.
    PerCpu(u64),
}

/// What a job needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Need {
    /// Fewest nodes.
    pub min_nodes: u32,
    /// Most nodes; none: as many as it takes.
    pub max_nodes: Option<u32>,
    /// How many it would like.
    pub nodes: u32,
    /// Fewest CPUs.
    pub min_cpus: u32,
    /// Most CPUs.
    pub max_cpus: Option<u32>,
    /// Tasks; 0: it does not say.
    pub tasks: u32,
    /// CPUs of a task, at least 1.
    pub cpus_per_task: u32,
    /// Tasks on each node; 0: it does not say.
    pub tasks_per_node: u32,
    /// Most tasks on each socket, and the fewest on each node; 0: it does not say.
    pub tasks_per_socket: u32,
    /// Most CPUs to use of a core.
    pub cpus_per_core: u32,
    /// Threads of a core that it wants; memory for CPUs is for these.
    pub threads: u32,
    /// Fewest CPUs of each node.
    pub node_cpus: u32,
    /// Fewest free cores of a socket that is used.
    pub socket_cores: u32,
    /// Fewest such sockets of a node.
    pub sockets: u32,
    /// Memory.
    pub memory: Wanted,
    /// MiB that a node's disk has.
    pub tmp_disk: u32,
    /// All of its nodes' cores.
    pub exclusive: bool,
    /// How it uses cores beside others.
    pub manner: Manner,
    /// Whose it is, where users have nodes alone; whether this job wants that.
    pub user: Option<(u32, bool)>,
    /// Tasks may be more than CPUs.
    pub overcommit: bool,
    /// Nodes that follow each other.
    pub contiguous: bool,
    /// Cores of one socket after the other; none: as the cluster does it.
    pub block: Option<bool>,
    /// Over as many nodes as it may have.
    pub spread: bool,
    /// Tasks that each node gets in turn; 0: one, and then as cores go.
    pub plane: u32,
    /// Features of nodes, as written.
    pub features: Text,
    /// Nodes that it must have.
    pub required: Text,
    /// Nodes that it must not have.
    pub excluded: Text,
}

fn number(value: u16) -> u32 {
    if value.is_unset() || value == u16::INFINITE { 0 } else { value.into() }
}

fn wide(value: u32) -> Option<u32> {
    value.get().filter(|value| *value != u32::INFINITE)
}

impl Need {
    /// What a request needs in a partition.
    #[must_use]
    pub fn of(spec: &JobDesc, layout: &Layout, queue: usize) -> Need {
        let queue = &layout.queues[queue];
        let cpus_per_task = number(spec.cpus_per_task).max(1);
        let tasks = wide(spec.num_tasks).unwrap_or(0);
        let tasks_per_node = number(spec.ntasks_per_node);
        let overcommit = spec.overcommit == 1;
        let asked = wide(spec.min_nodes).unwrap_or(1).max(1);
        let by_tasks = if tasks_per_node == 0 { 0 } else { tasks.div_ceil(tasks_per_node) };
        let min_nodes = asked.max(queue.partition.min_nodes).max(by_tasks);
        let max_nodes = wide(spec.max_nodes).filter(|most| *most > 0);
        let like =
            max_nodes.filter(|_| spec.bitflags.is_unset() || spec.bitflags & USE_MIN_NODES == 0);
        let least = if overcommit {
            min_nodes
        } else {
            let per_node = min_nodes.saturating_mul(tasks_per_node.max(1));
            tasks.max(per_node).saturating_mul(cpus_per_task)
        };
        let per_core = match number(spec.ntasks_per_core) {
            0 => u32::MAX,
            tasks => tasks.saturating_mul(cpus_per_task),
        };
        let threads = match number(spec.threads_per_core) {
            0 => u32::MAX,
            threads => threads,
        };
        Need {
            min_nodes,
            max_nodes,
            nodes: like.unwrap_or(min_nodes).max(min_nodes),
            // Of tasks that may be more than CPUs, nobody wants to know how many there are.
            min_cpus: match overcommit {
                true => least,
                false => least.max(wide(spec.min_cpus).unwrap_or(0)).max(min_nodes),
            },
            max_cpus: wide(spec.max_cpus),
            tasks,
            cpus_per_task,
            tasks_per_node,
            tasks_per_socket: number(spec.ntasks_per_socket),
            cpus_per_core: per_core.min(threads),
            threads,
            node_cpus: number(spec.pn_min_cpus),
            socket_cores: number(spec.cores_per_socket).max(1),
            sockets: number(spec.sockets_per_node).max(1),
            memory: memory(spec.pn_min_memory, queue.partition.def_mem, layout.def_mem),
            tmp_disk: wide(spec.pn_min_tmp_disk).unwrap_or(0),
            exclusive: whole_nodes(queue.select.whole, queue.partition.max_share, spec.shared),
            manner: Manner::in_queue(queue, spec),
            user: layout.by_user.then(|| (spec.user_id, for_user(Some(queue), spec))),
            overcommit,
            contiguous: number(spec.contiguous) != 0,
            block: match spec.task_dist & BY_SOCKET {
                _ if spec.task_dist.is_unset() => None,
                0 => None,
                by => Some(by == BLOCK_CORES),
            },
            spread: !spec.bitflags.is_unset() && spec.bitflags & SPREAD != 0,
            plane: match spec.task_dist & DISTRIBUTION {
                PLANE if !spec.task_dist.is_unset() => number(spec.plane_size),
                _ => 0,
            },
            features: spec.features.clone(),
            required: spec.req_nodes.clone(),
            excluded: spec.exc_nodes.clone(),
        }
    }
}

fn memory(asked: u64, partition: Memory, cluster: Memory) -> Wanted {
    let of = |memory| match memory {
        Memory::Unlimited => Wanted::All,
        Memory::PerNode(mebibytes) => Wanted::PerNode(mebibytes),
        Memory::PerCpu(mebibytes) => Wanted::PerCpu(mebibytes),
    };
    match asked {
        0 => Wanted::All,
        asked if asked.is_unset() || asked == u64::INFINITE => match of(partition) {
            Wanted::All => of(cluster),
            found => found,
        },
        asked if asked & PER_CPU != 0 => Wanted::PerCpu(asked & !PER_CPU),
        asked => Wanted::PerNode(asked),
    }
}
