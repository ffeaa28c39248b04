//! What is free on each node.
//!
//! Invariants: a core that a job has is free for nobody else; a node whose state takes no work
//! gives nothing, whatever is free on it; what was taken is given back as it was.

use crate::controller::core::known;
use crate::controller::job::{Job, Share};
use crate::controller::sched::cores::Cores;
use crate::controller::sched::layout::{Layout, Place};
use crate::controller::state::State;
use crate::slurm::conf::Conf;
use crate::slurm::wire::Text;
use crate::slurm::wire::constants::node;

/// Flags with which a node takes no work.
const OUT: u32 = node::DRAIN
    | node::FAIL
    | node::NO_RESPOND
    | node::MAINT
    | node::INVALID_REGISTRATION
    | node::POWERED_DOWN
    | node::REBOOT_ISSUED
    | node::REBOOT_REQUESTED;

/// What is free on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Whether it takes work.
    pub up: bool,
    /// Free cores.
    pub free: Cores,
    /// How many those are.
    pub count: u32,
    /// Free memory, in MiB.
    pub memory: u64,
    /// How many jobs have something of it.
    pub jobs: u32,
}

/// What is free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// By place.
    pub rooms: Vec<Room>,
}

/// Whether a node takes work in that state. Being COMPLETING does not matter: what is left there
/// is still taken.
#[must_use]
pub fn takes_work(state: u32) -> bool {
    matches!(state & node::BASE, node::IDLE | node::ALLOCATED | node::MIXED) && state & OUT == 0
}

/// Whether a job still has its share of a node.
#[must_use]
pub fn has(job: &Job, node: &Text) -> bool {
    job.is_active() || job.is_completing() && job.course.completing.contains(node)
}

impl Room {
    fn empty(place: &Place, up: bool) -> Room {
        let free = place.usable.clone();
        Room { up, count: free.count(), free, memory: place.memory, jobs: 0 }
    }

    /// Whether nobody has anything of it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.jobs == 0
    }

    /// Takes a share. Memory that is not there is not taken: slurm.conf may have shrunk.
    fn take(&mut self, cores: &Cores, memory: u64) {
        self.free.remove(cores);
        self.count = self.free.count();
        self.memory = self.memory.saturating_sub(memory);
        self.jobs += 1;
    }

    fn give(&mut self, place: &Place, cores: &Cores, memory: u64) {
        self.free.add(cores);
        self.free.keep(&place.usable);
        self.count = self.free.count();
        self.memory = (self.memory + memory).min(place.memory);
        self.jobs = self.jobs.saturating_sub(1);
    }

    /// What is free both here and there.
    #[must_use]
    pub fn and(&self, other: &Room) -> Room {
        let mut free = self.free.clone();
        free.keep(&other.free);
        Room {
            up: self.up && other.up,
            count: free.count(),
            free,
            memory: self.memory.min(other.memory),
            jobs: self.jobs.max(other.jobs),
        }
    }
}

impl Grid {
    /// Nodes by their state, without any job.
    #[must_use]
    pub fn empty(layout: &Layout, conf: &Conf, state: &State) -> Grid {
        let rooms = layout.nodes.iter().zip(&conf.nodes);
        let rooms =
            rooms.map(|(place, node)| Room::empty(place, takes_work(known(state, node).state)));
        Grid { rooms: rooms.collect() }
    }

    /// What the jobs leave.
    #[must_use]
    pub fn of(layout: &Layout, conf: &Conf, state: &State) -> Grid {
        let mut grid = Grid::empty(layout, conf, state);
        for job in state.busy.iter().filter_map(|id| state.job(*id)) {
            for share in job.course.shares.iter().filter(|share| has(job, &share.node)) {
                grid.take(layout, share);
            }
        }
        grid
    }

    /// A job takes a share.
    pub fn take(&mut self, layout: &Layout, share: &Share) {
        let Some(at) = layout.place(&share.node) else { return };
        let cores = Cores::of(&share.cores, layout.nodes[at].cores);
        self.rooms[at].take(&cores, share.memory);
    }

    /// A job gives a share back.
    pub fn give(&mut self, layout: &Layout, share: &Share) {
        let Some(at) = layout.place(&share.node) else { return };
        let place = &layout.nodes[at];
        self.rooms[at].give(place, &Cores::of(&share.cores, place.cores), share.memory);
    }
}
