//! What is free on each node.
//!
//! A job that is stopped for a while has memory, but no cores: others may get them, and when it
//! goes on, cores may have two jobs, as they have where jobs share them.
//!
//! Invariants: a core is free if no job has it; a node whose state takes no work gives nothing,
//! whatever is free on it; what was taken is given back as it was, however many jobs a core has.

use crate::controller::core::known;
use crate::controller::job::{Job, Share};
use crate::controller::sched::cores::Cores;
use crate::controller::sched::layout::{Layout, Place};
use crate::controller::sched::manner::{Manner, for_user};
use crate::controller::state::State;
use crate::slurm::conf::Conf;
use crate::slurm::wire::Text;
use crate::slurm::wire::constants::node;
use std::collections::HashSet;
use std::sync::Arc;

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
    /// How many jobs have cores of it.
    pub jobs: u32,
    /// Cores that two jobs have at least, three, and so on.
    more: Vec<Cores>,
    /// Whose jobs are there; empty where users have no nodes alone.
    users: Vec<User>,
}

/// Jobs of a user on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct User {
    id: u32,
    jobs: u32,
    /// Those that want it for their user alone.
    alone: u32,
}

/// What a job takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// The job.
    pub id: u32,
    /// Of its nodes.
    pub shares: Arc<[Share]>,
    /// Its partition.
    pub queue: Option<usize>,
    /// Beside others.
    pub manner: Manner,
    /// Whose it is, and whether he wants his nodes alone.
    pub user: (u32, bool),
    /// Whether it is stopped for a while.
    pub stopped: bool,
    /// Whether it runs: it has not ended, and is not to start later.
    pub runs: bool,
    /// Whether its nodes follow each other.
    pub contiguous: bool,
}

impl Taken {
    /// What a job has that is busy.
    #[must_use]
    pub fn of(layout: &Layout, job: &Job) -> Taken {
        let shares = job.course.shares.iter();
        let shares = shares.filter(|share| layout.place(&share.node).is_some());
        let queue = layout.queue(&job.course.partition);
        let alone = for_user(queue.map(|at| &layout.queues[at]), &job.spec);
        Taken {
            id: job.id,
            shares: shares.filter(|share| has(job, &share.node)).cloned().collect(),
            queue,
            manner: Manner::of_job(layout, job),
            user: (job.spec.user_id, alone),
            stopped: job.is_stopped(),
            runs: job.is_active(),
            contiguous: job.spec.contiguous == 1,
        }
    }

    /// Its cores, by place.
    pub fn cores<'a>(&'a self, layout: &'a Layout) -> impl Iterator<Item = (usize, Cores)> + 'a {
        self.shares.iter().filter_map(|share| {
            let at = layout.place(&share.node)?;
            Some((at, Cores::of(&share.cores, layout.nodes[at].cores)))
        })
    }
}

/// What is free.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// By place.
    pub rooms: Vec<Room>,
    /// Who has something, in the order in which they started; empty where nobody shares.
    pub jobs: Vec<Arc<Taken>>,
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

/// A job that has something, and what that is.
pub type Busy<'a> = (&'a Arc<Job>, Arc<Taken>);

/// The jobs that have something; where jobs share, in the order in which they started.
#[must_use]
pub fn busy<'a>(layout: &Layout, state: &'a State) -> Vec<Busy<'a>> {
    let mut jobs: Vec<&Arc<Job>> = state.busy.iter().filter_map(|id| state.job(*id)).collect();
    if layout.shares {
        jobs.sort_by_key(|job| (job.course.start_time.0, job.id));
    }
    jobs.into_iter().map(|job| (job, Arc::new(Taken::of(layout, job)))).collect()
}

impl Room {
    fn empty(place: &Place, up: bool) -> Room {
        let free = place.usable.clone();
        let (more, users) = (Vec::new(), Vec::new());
        Room { up, count: free.count(), free, memory: place.memory, jobs: 0, more, users }
    }

    /// The same with other cores free.
    #[must_use]
    pub fn with(&self, free: Cores) -> Room {
        Room { count: free.count(), free, more: Vec::new(), ..self.clone() }
    }

    /// Takes cores: what is not free any more goes where a second job's, a third job's are kept.
    fn take(&mut self, cores: &Cores) {
        let mut rest = cores.clone();
        rest.remove(&self.free);
        self.free.remove(cores);
        self.count = self.free.count();
        self.jobs += 1;
        for layer in &mut self.more {
            let mut twice = rest.clone();
            twice.keep(layer);
            layer.add(&rest);
            rest = twice;
        }
        if rest.count() > 0 {
            self.more.push(rest);
        }
    }

    fn give(&mut self, place: &Place, cores: &Cores) {
        let mut rest = cores.clone();
        for layer in self.more.iter_mut().rev() {
            let mut last = rest.clone();
            last.keep(layer);
            layer.remove(&last);
            rest.remove(&last);
        }
        self.more.retain(|layer| layer.count() > 0);
        self.free.add(&rest);
        self.free.keep(&place.usable);
        self.count = self.free.count();
        self.jobs = self.jobs.saturating_sub(1);
    }

    fn enter(&mut self, (id, alone): (u32, bool)) {
        let at = self.users.iter().position(|user| user.id == id).unwrap_or(self.users.len());
        if at == self.users.len() {
            self.users.push(User { id, jobs: 0, alone: 0 });
        }
        let user = &mut self.users[at];
        (user.jobs, user.alone) = (user.jobs + 1, user.alone + u32::from(alone));
    }

    fn go(&mut self, (id, alone): (u32, bool)) {
        if let Some(user) = self.users.iter_mut().find(|user| user.id == id) {
            user.jobs = user.jobs.saturating_sub(1);
            user.alone = user.alone.saturating_sub(u32::from(alone));
        }
        self.users.retain(|user| user.jobs > 0);
    }

    /// Whether a job of that user, who may want the node alone, may be there beside the others.
    #[must_use]
    pub fn admits(&self, user: Option<(u32, bool)>) -> bool {
        user.is_none_or(|(id, alone)| {
            let others = self.users.iter().filter(|other| other.id != id);
            others.into_iter().all(|other| !alone && other.alone == 0)
        })
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
            more: self.more.clone(),
            users: self.users.iter().chain(&other.users).copied().collect(),
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
        Grid { rooms: rooms.collect(), jobs: Vec::new() }
    }

    /// What the jobs leave.
    #[must_use]
    pub fn of(layout: &Layout, conf: &Conf, state: &State, busy: &[Busy<'_>]) -> Grid {
        let mut grid = Grid::empty(layout, conf, state);
        busy.iter().for_each(|(_, taken)| grid.take(layout, taken));
        grid
    }

    /// A job takes what it has. Memory that is not there is not taken: slurm.conf may have shrunk.
    pub fn take(&mut self, layout: &Layout, job: &Arc<Taken>) {
        for (share, (at, cores)) in job.shares.iter().zip(job.cores(layout)) {
            let room = &mut self.rooms[at];
            room.memory = room.memory.saturating_sub(share.memory);
            if !job.stopped {
                room.take(&cores);
            }
            if layout.by_user {
                room.enter(job.user);
            }
        }
        if layout.shares {
            self.jobs.push(Arc::clone(job));
        }
    }

    /// A job gives it back.
    pub fn give(&mut self, layout: &Layout, job: &Arc<Taken>) {
        for (share, (at, cores)) in job.shares.iter().zip(job.cores(layout)) {
            let (room, place) = (&mut self.rooms[at], &layout.nodes[at]);
            room.memory = (room.memory + share.memory).min(place.memory);
            if !job.stopped {
                room.give(place, &cores);
            }
            room.go(job.user);
        }
        self.jobs.retain(|other| !Arc::ptr_eq(other, job));
    }

    /// What is free both here and there.
    #[must_use]
    pub fn and(&self, other: &Grid) -> Grid {
        let rooms = self.rooms.iter().zip(&other.rooms).map(|(a, b)| a.and(b)).collect();
        let here: HashSet<*const Taken> = self.jobs.iter().map(Arc::as_ptr).collect();
        let there = other.jobs.iter().filter(|job| !here.contains(&Arc::as_ptr(job)));
        Grid { rooms, jobs: self.jobs.iter().chain(there).cloned().collect() }
    }
}
