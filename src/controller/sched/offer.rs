//! How many CPUs a node has for a job.
//!
//! Invariant: of what is offered, any smaller number of CPUs in whole tasks can be had, too.

use crate::controller::core::features::{Constraint, Joint};
use crate::controller::sched::choose::Offer;
use crate::controller::sched::grid::Room;
use crate::controller::sched::layout::{Layout, Place, Select};
use crate::controller::sched::need::{Need, Wanted};
use crate::slurm::wire::Text;

/// What a need comes to on the nodes of a cluster: worked out once for all nodes.
#[derive(Clone, Debug)]
pub struct Terms {
    constraint: Option<Constraint>,
    /// Of features in brackets, the one that all nodes are to have.
    same: Option<String>,
    /// Nodes that the job must have, ascending.
    pub required: Vec<usize>,
    /// Features that so many nodes must have.
    pub counted: Vec<(String, u32)>,
    excluded: Vec<usize>,
}

impl Terms {
    /// In the order in which they are to be tried: several, where features are alternatives for all
    /// nodes. None: there is a node, or a constraint, that nobody knows.
    #[must_use]
    pub fn of(need: &Need, layout: &Layout) -> Vec<Terms> {
        let nodes =
            |list: &Text| if list.is_empty() { Some(Vec::new()) } else { layout.listed(list) };
        let (Some(required), Some(excluded)) = (nodes(&need.required), nodes(&need.excluded))
        else {
            return Vec::new();
        };
        // Nodes that are to follow each other include what is between those that are required.
        let required = match (need.contiguous, required.as_slice()) {
            (true, [first, .., last]) => (*first..=*last).collect(),
            _ => required,
        };
        let plain = Terms { constraint: None, same: None, required, counted: Vec::new(), excluded };
        if need.features.is_empty() {
            return vec![plain];
        }
        let Ok(constraint) = Constraint::parse(&need.features.lossy()) else { return Vec::new() };
        let counted = constraint.features.iter().filter(|feature| feature.count > 0);
        let counted = counted.map(|feature| (feature.name.clone(), feature.count)).collect();
        let with = Terms { counted, constraint: Some(constraint.clone()), ..plain };
        let mut alternatives = Vec::new();
        let mut before = false;
        for feature in &constraint.features {
            let is = feature.joint == Joint::Same;
            if is || before {
                alternatives.push(Terms { same: Some(feature.name.clone()), ..with.clone() });
            }
            before = is;
        }
        if alternatives.is_empty() { vec![with] } else { alternatives }
    }

    /// Whether a node, all of it free, would be of the right kind.
    #[must_use]
    pub fn suits(&self, need: &Need, select: Select, at: usize, place: &Place) -> bool {
        let features = place.features.as_deref();
        let memory = match need.memory {
            Wanted::PerNode(mebibytes) => mebibytes <= place.memory,
            Wanted::PerCpu(mebibytes) => select.memory || mebibytes <= place.memory,
            Wanted::All => true,
        };
        memory
            && need.tmp_disk <= place.tmp_disk
            && self.constraint.as_ref().is_none_or(|wanted| wanted.may_use(features))
            && self.same.as_ref().is_none_or(|name| place.has(name))
            && self.excluded.binary_search(&at).is_err()
    }

    /// Marks offers as required, so that features are on as many nodes as is wanted; whether there
    /// are so many.
    #[must_use]
    pub fn require(&self, layout: &Layout, offers: &mut [Offer]) -> bool {
        self.counted.iter().all(|(name, count)| {
            let has = |offer: &Offer| layout.nodes[offer.at].has(name);
            let there = offers.iter().filter(|offer| offer.required && has(offer)).count();
            let more = (*count as usize).saturating_sub(there);
            let free = offers.iter_mut().filter(|offer| !offer.required && has(offer));
            free.take(more).map(|offer| offer.required = true).count() == more
        })
    }
}

/// CPUs of one core that a job uses.
#[must_use]
pub fn per_core(need: &Need, place: &Place) -> u32 {
    place.threads.min(need.cpus_per_core).max(1)
}

/// Most cores of a socket that a job uses.
#[must_use]
pub fn socket_most(need: &Need, place: &Place) -> u32 {
    match need.tasks_per_socket.saturating_mul(need.cpus_per_task) {
        0 => u32::MAX,
        cpus => cpus.div_ceil(per_core(need, place)),
    }
}

/// How many CPUs `room` has for a job; 0: none. `most`: no more than so many.
#[must_use]
pub fn offer(need: &Need, select: Select, place: &Place, room: &Room, most: u32) -> u32 {
    let whole = || room.count == place.usable.count();
    if !room.up || room.count == 0 || need.exclusive && !whole() || !room.admits(need.user) {
        return 0;
    }
    let per_core = per_core(need, place);
    let by = need.sockets > 1 || need.socket_cores > 1 || need.tasks_per_socket > 0;
    let cores =
        if by || select.by_socket { by_sockets(need, select, place, room) } else { room.count };
    // Cores are given with all their threads: the last one may go beyond the limit.
    let limit = most.div_ceil(place.threads).saturating_mul(per_core);
    let (mut cpus, all) = (cores * per_core, cores * place.threads);
    if need.exclusive && all > most {
        return 0;
    }
    cpus = cpus.min(most).min(limit);
    if let Some(fit) = by_memory(need, select, place, room, per_core) {
        if need.exclusive && fit < cpus {
            return 0;
        }
        cpus = cpus.min(fit);
    }
    if need.overcommit {
        return if cpus < need.node_cpus { 0 } else { cpus };
    }
    let tasks = cpus / need.cpus_per_task;
    let of_sockets = if need.tasks_per_node == 0 { need.tasks_per_socket } else { 0 };
    if tasks < need.tasks_per_node.max(least_tasks(need)).max(of_sockets) || cpus < need.node_cpus {
        return 0;
    }
    if need.exclusive {
        return cpus;
    }
    let tasks = if need.tasks_per_node > 0 { tasks.min(need.tasks_per_node) } else { tasks };
    tasks * need.cpus_per_task
}

/// Tasks that must fit on each node.
fn least_tasks(need: &Need) -> u32 {
    if need.max_nodes == Some(1) && need.tasks > 0 { need.tasks } else { 1 }
}

/// Free cores on the sockets that will do.
fn by_sockets(need: &Need, select: Select, place: &Place, room: &Room) -> u32 {
    let (mut cores, mut sockets) = (0, 0);
    for socket in 0..place.sockets() {
        let range = place.per_socket * socket..(place.per_socket * (socket + 1)).min(place.cores);
        let usable = range.clone().filter(|core| place.usable.has(*core)).count();
        let free = range.filter(|core| room.free.has(*core)).count();
        let free = if select.by_socket && free < usable { 0 } else { free };
        let free = u32::try_from(free).expect("cores of a node");
        if free >= need.socket_cores && free > 0 {
            (cores, sockets) = (cores + free.min(socket_most(need, place)), sockets + 1);
        }
    }
    if sockets < need.sockets { 0 } else { cores }
}

/// CPUs that memory is there for; `None`: as many as there are.
fn by_memory(
    need: &Need,
    select: Select,
    place: &Place,
    room: &Room,
    per_core: u32,
) -> Option<u32> {
    if !select.memory {
        return None;
    }
    match need.memory {
        Wanted::All => (room.memory < place.memory).then_some(0),
        Wanted::PerNode(mebibytes) => (room.memory < mebibytes).then_some(0),
        Wanted::PerCpu(mebibytes) => {
            let fit = u32::try_from(room.memory / mebibytes.max(1)).unwrap_or(u32::MAX);
            if !select.by_core && !select.by_socket {
                return Some(fit);
            }
            // Cores are given with all their threads, sockets with all their cores.
            let unit = if select.by_socket { place.per_socket } else { 1 };
            Some(fit / (unit * place.threads.min(need.threads)) * unit * per_core)
        }
    }
}
