//! What a job gets of each of its nodes: tasks are spread over them, and cores taken for the tasks.
//!
//! As Slurm's cons_tres: a task on each node first, then core by core to each node in turn; the
//! cores of a node from each socket in turn, or of one socket after the other, as configured; a
//! task of several CPUs on one socket where it fits.
//!
//! Invariants: only free cores are given; a core is given whole, unless CPUs are what is counted;
//! every node gets a core at least.

use crate::controller::job::Share;
use crate::controller::sched::cores::Cores;
use crate::controller::sched::grid::Room;
use crate::controller::sched::layout::{Place, Select};
use crate::controller::sched::need::{Need, Wanted};
use crate::controller::sched::offer::{per_core, socket_most};

/// One node of those that were chosen.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// The node.
    pub place: &'a Place,
    /// What is free there.
    pub room: &'a Room,
    /// Most CPUs to take.
    pub most: u32,
}

/// The shares of a job. `None`: its tasks do not fit after all.
#[must_use]
pub fn shares(need: &Need, select: Select, chosen: &[Chosen<'_>]) -> Option<Vec<Share>> {
    if need.exclusive {
        return Some(chosen.iter().map(|node| whole(need, select, node)).collect());
    }
    let cpus = spread(need, chosen)?;
    let alone = chosen.len() == 1;
    let shares = chosen.iter().zip(cpus).map(|(node, cpus)| part(need, select, node, cpus, alone));
    shares.collect()
}

fn whole(need: &Need, select: Select, node: &Chosen<'_>) -> Share {
    let Chosen { place, room, .. } = node;
    // Memory is for the threads that are wanted, as it is where less than a node is.
    let threads = match select.by_core || select.by_socket {
        true => place.threads.min(need.threads),
        false => per_core(need, place),
    };
    let counted = place.cpus / place.threads * threads;
    let memory = memory(need, select, place, counted);
    let cpus = u16::try_from(place.cpus).expect("16 bits in slurm.conf");
    Share { node: place.name.clone(), cpus, memory, cores: room.free.bits(place.cores) }
}

/// MiB of a node for so many CPUs.
fn memory(need: &Need, select: Select, place: &Place, cpus: u32) -> u64 {
    match need.memory {
        _ if !select.memory => 0,
        Wanted::All => place.memory,
        Wanted::PerNode(mebibytes) => mebibytes,
        Wanted::PerCpu(mebibytes) => mebibytes.saturating_mul(cpus.into()),
    }
}

/// CPUs for the tasks of each node.
fn spread(need: &Need, chosen: &[Chosen<'_>]) -> Option<Vec<u32>> {
    let nodes = u32::try_from(chosen.len()).ok()?;
    if need.overcommit {
        return Some(chosen.iter().map(|node| need.cpus_per_task.min(node.most)).collect());
    }
    let per_node = need.tasks_per_node.max(1) * nodes;
    let cpus = per_node.max(need.min_cpus).max(nodes * need.node_cpus);
    let tasks = match (need.cpus_per_task, need.tasks_per_node) {
        (1, _) => cpus,
        (_, 0) => (cpus / need.cpus_per_task).max(1),
        (_, on_each) => on_each * nodes,
    };
    if need.plane > 0 {
        return in_planes(need, chosen, cpus / need.cpus_per_task);
    }
    let mut given: Vec<u32> = chosen.iter().map(|_| need.cpus_per_task).collect();
    let mut left = tasks.saturating_sub(nodes);
    let fits = |given: &[u32], at: usize| {
        let on_it = given[at] / need.cpus_per_task;
        let limit = need.tasks_per_node == 0 || on_it < need.tasks_per_node;
        limit && given[at] + need.cpus_per_task <= chosen[at].most
    };
    // What is left of cores that are taken anyway goes first.
    for at in 0..chosen.len() {
        let threads = chosen[at].place.threads;
        let rest = (threads - given[at] % threads) % threads / need.cpus_per_task;
        for _ in 0..rest {
            if left > 0 && fits(&given, at) {
                (given[at], left) = (given[at] + need.cpus_per_task, left - 1);
            }
        }
    }
    while left > 0 {
        let before = left;
        for at in 0..chosen.len() {
            for _ in 0..(chosen[at].place.threads / need.cpus_per_task).max(1) {
                if left > 0 && fits(&given, at) {
                    (given[at], left) = (given[at] + need.cpus_per_task, left - 1);
                }
            }
        }
        if left == before {
            return None;
        }
    }
    Some(given)
}

/// So many tasks to each node in turn. A node that is not reached gets one all the same.
fn in_planes(need: &Need, chosen: &[Chosen<'_>], tasks: u32) -> Option<Vec<u32>> {
    let each = need.cpus_per_task;
    let mut given: Vec<u32> = chosen.iter().map(|_| 0).collect();
    let mut left = tasks;
    while left > 0 {
        let before = left;
        for (given, node) in given.iter_mut().zip(chosen) {
            let room = (node.most - *given) / each;
            let some = need.plane.min(left).min(room);
            (*given, left) = (*given + some * each, left - some);
        }
        if left == before {
            return None;
        }
    }
    given.iter_mut().for_each(|given| *given = (*given).max(each));
    Some(given)
}

fn part(need: &Need, select: Select, node: &Chosen<'_>, cpus: u32, alone: bool) -> Option<Share> {
    // Where CPUs are counted, sockets do not matter.
    let block = !(select.by_core || select.by_socket)
        || need.block.unwrap_or(select.block || need.plane > 0);
    let share = taken(need, select, node, cpus, (block, alone))?;
    if share.memory <= node.room.memory {
        return Some(share);
    }
    // Whole sockets have more CPUs than are wanted; fewer sockets may do.
    taken(need, select, node, cpus, (true, alone)).filter(|share| share.memory <= node.room.memory)
}

fn taken(
    need: &Need,
    select: Select,
    node: &Chosen<'_>,
    cpus: u32,
    (block, alone): (bool, bool),
) -> Option<Share> {
    let Chosen { place, room, .. } = node;
    let used = per_core(need, place);
    let wanted = cpus.div_ceil(used);
    let mut sockets = Sockets::of(select, place, room);
    let mut cores = Cores::none(place.cores);
    if need.tasks_per_socket > 0 {
        sockets.limit(socket_most(need, place), wanted, alone);
    } else if !block && need.cpus_per_task > 1 {
        sockets.pack(need.cpus_per_task.div_ceil(used), wanted, &mut cores);
    }
    sockets.fill(block, wanted, &mut cores);
    if cores.count() < wanted {
        return None;
    }
    if select.by_socket {
        sockets.complete(&mut cores);
    }
    let whole_cores = select.by_core || select.by_socket;
    let given = if whole_cores { cores.count() * place.threads } else { cpus };
    let threads = place.threads.min(need.threads);
    let counted = if whole_cores { cores.count() * threads } else { cpus };
    Some(Share {
        node: place.name.clone(),
        cpus: u16::try_from(given).ok()?,
        memory: memory(need, select, place, counted),
        cores: cores.bits(place.cores),
    })
}

/// Free cores by socket, the lowest last.
struct Sockets {
    per_socket: u32,
    free: Vec<Vec<u32>>,
}

impl Sockets {
    fn of(select: Select, place: &Place, room: &Room) -> Sockets {
        let per_socket = place.per_socket;
        let mut free = vec![Vec::new(); place.sockets() as usize];
        let mut usable = vec![0; free.len()];
        for core in (0..place.cores).rev() {
            let socket = (core / per_socket) as usize;
            usable[socket] += usize::from(place.usable.has(core));
            if room.free.has(core) {
                free[socket].push(core);
            }
        }
        if select.by_socket {
            let sockets = free.iter_mut().zip(usable);
            sockets.filter(|(free, all)| free.len() < *all).for_each(|(free, _)| free.clear());
        }
        Sockets { per_socket, free }
    }

    /// No more than so many cores of each socket, and only of so many sockets as it takes: the
    /// first ones of the only node, the last ones of one of several, as the real controller was
    /// seen to.
    fn limit(&mut self, most: u32, wanted: u32, alone: bool) {
        for free in &mut self.free {
            let kept = free.len().min(most as usize);
            free.drain(..free.len() - kept);
        }
        let mut all: usize = self.free.iter().map(Vec::len).sum();
        let mut spare = |free: &mut Vec<u32>| {
            if all - free.len() >= wanted as usize {
                all -= free.len();
                free.clear();
            }
        };
        if alone {
            self.free.iter_mut().rev().for_each(&mut spare);
        } else {
            self.free.iter_mut().for_each(&mut spare);
        }
    }

    /// Tasks of so many cores each, none of them on two sockets.
    fn pack(&mut self, task: u32, wanted: u32, cores: &mut Cores) {
        for free in &mut self.free {
            while cores.count() + task <= wanted && free.len() >= task as usize {
                free.split_off(free.len() - task as usize).into_iter().for_each(|c| cores.put(c));
            }
        }
    }

    /// What is still wanted.
    fn fill(&mut self, block: bool, wanted: u32, cores: &mut Cores) {
        let mut left = wanted.saturating_sub(cores.count());
        while left > 0 && self.free.iter().any(|free| !free.is_empty()) {
            for free in &mut self.free {
                let once = if block { left } else { left.min(1) };
                for core in (0..once).map_while(|_| free.pop()) {
                    cores.put(core);
                    left -= 1;
                }
            }
        }
    }

    /// All that is left of the sockets in use.
    fn complete(&mut self, cores: &mut Cores) {
        let used: Vec<u32> = cores.iter().map(|core| core / self.per_socket).collect();
        for core in self.free.iter().flatten() {
            if used.contains(&(core / self.per_socket)) {
                cores.put(*core);
            }
        }
    }
}
