//! What jobs that share find beside others: cores that are idle first, then those that jobs of
//! other tiers have, then those that jobs of their own partition have, row by row.
//!
//! As Slurm's cons_tres: a partition with OverSubscribe=YES:n or FORCE:n has n rows; in one row no
//! core has two jobs; the fullest row that a job fits into takes it. With select/linear a node has
//! up to n jobs: nodes with the fewest first, and all of them those of a job like it, if there is
//! one.
//!
//! Invariant: what a view shows as free, `core::start` accepts.

use crate::controller::sched::cores::Cores;
use crate::controller::sched::grid::{Grid, Room, Taken};
use crate::controller::sched::layout::Layout;
use crate::controller::sched::manner::{Manner, rows};
use crate::controller::sched::need::Need;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// Rooms by place, as one job sees them.
pub type View = Vec<Room>;

/// One row: what its jobs have, by place.
#[derive(Clone, Debug, Default)]
struct Row {
    cores: HashMap<usize, Cores>,
    count: u32,
}

impl Row {
    fn fits(&self, layout: &Layout, job: &Taken) -> bool {
        let meets = |(at, cores): (usize, Cores)| {
            self.cores.get(&at).is_some_and(|taken| taken.meets(&cores))
        };
        !job.cores(layout).any(meets)
    }

    fn put(&mut self, layout: &Layout, job: &Taken) {
        for (at, cores) in job.cores(layout) {
            self.count += cores.count();
            let taken = self.cores.entry(at).or_insert_with(|| Cores::none(layout.nodes[at].cores));
            taken.add(&cores);
        }
    }
}

/// Whether a job of that need may be on each node at all, beside those that are there.
#[must_use]
pub fn barred(layout: &Layout, queue: usize, need: &Need, grid: &Grid) -> Vec<bool> {
    let mut found = vec![false; layout.nodes.len()];
    for job in grid.jobs.iter().filter(|job| !job.stopped) {
        let shares = |of: usize| rows(layout.queues[of].partition.max_share) > 1;
        let bars = match (need.manner, job.manner) {
            (_, Manner::Reserved) | (Manner::Shared, Manner::Own) => true,
            (Manner::Own, Manner::Shared) => job.queue.is_some_and(|of| of != queue && shares(of)),
            _ => false,
        };
        if bars {
            job.cores(layout).for_each(|(at, _)| found[at] = true);
        }
    }
    found
}

/// What there is beyond idle cores for a job that shares, in the order in which it is tried.
#[must_use]
pub fn views(layout: &Layout, queue: usize, grid: &Grid) -> Vec<View> {
    if layout.queues[queue].select.whole {
        return by_count(layout, queue, grid);
    }
    let mut found = beside_tiers(layout, queue, grid);
    found.extend(in_rows(layout, queue, grid));
    found
}

/// All cores but those that some jobs have.
fn without<'a>(layout: &Layout, jobs: impl Iterator<Item = &'a Taken>) -> Vec<Cores> {
    let mut free: Vec<Cores> = layout.nodes.iter().map(|place| place.usable.clone()).collect();
    for (at, cores) in jobs.flat_map(|job| job.cores(layout)) {
        free[at].remove(&cores);
    }
    free
}

fn view(grid: &Grid, free: Vec<Cores>) -> View {
    grid.rooms.iter().zip(free).map(|(room, free)| room.with(free)).collect()
}

/// Cores that jobs of other tiers have: of lower ones as few as will do.
fn beside_tiers(layout: &Layout, queue: usize, grid: &Grid) -> Vec<View> {
    let tier = |of: Option<usize>| of.map(|of| layout.queues[of].partition.priority_tier);
    let own = tier(Some(queue));
    let mut lower: Vec<usize> =
        (0..layout.queues.len()).filter(|of| tier(Some(*of)) < own).collect();
    lower.sort_by_key(|of| Reverse(tier(Some(*of))));
    let others = grid.jobs.iter().any(|job| tier(job.queue) != own && !job.stopped);
    if !others {
        return Vec::new();
    }
    let avoiding = |kept: &[usize]| {
        let taken = |job: &&Taken| {
            !job.stopped
                && (tier(job.queue) == own || job.queue.is_some_and(|of| kept.contains(&of)))
        };
        view(grid, without(layout, grid.jobs.iter().map(AsRef::as_ref).filter(taken)))
    };
    (0..=lower.len()).rev().map(|kept| avoiding(&lower[..kept])).collect()
}

/// The rows of the job's own partition.
fn in_rows(layout: &Layout, queue: usize, grid: &Grid) -> Vec<View> {
    let most = rows(layout.queues[queue].partition.max_share) as usize;
    let own = |job: &&Taken| job.queue == Some(queue) && !job.stopped;
    let jobs: Vec<&Taken> = grid.jobs.iter().map(AsRef::as_ref).filter(own).collect();
    let (mut found, full) = packed(layout, &jobs, most);
    found.sort_by_key(|row| Reverse(row.count));
    if found.len() < most {
        found.push(Row::default());
    }
    let free = |row: &Row| {
        let mut free: Vec<Cores> = layout.nodes.iter().map(|place| place.usable.clone()).collect();
        for (at, cores) in row.cores.iter().chain(&full.cores) {
            free[*at].remove(cores);
        }
        view(grid, free)
    };
    found.iter().take(most).map(free).collect()
}

/// Jobs in as few rows as come of putting each into the first that it fits into. Cores that have as
/// many jobs as there may be are full, whatever rows say: a job that went on after it was stopped
/// may fit into none.
fn packed(layout: &Layout, jobs: &[&Taken], most: usize) -> (Vec<Row>, Row) {
    let mut found: Vec<Row> = Vec::new();
    for job in jobs {
        let at = found.iter().position(|row| row.fits(layout, job)).unwrap_or(found.len());
        if at == found.len() {
            found.push(Row::default());
        }
        found[at].put(layout, job);
    }
    let mut full = Row::default();
    if found.len() >= most {
        let mut counts: HashMap<(usize, u32), usize> = HashMap::new();
        let cores = jobs.iter().flat_map(|job| job.cores(layout));
        for (at, core) in
            cores.flat_map(|(at, cores)| cores.iter().map(|core| (at, core)).collect::<Vec<_>>())
        {
            *counts.entry((at, core)).or_default() += 1;
        }
        for ((at, core), _) in counts.into_iter().filter(|(_, count)| *count >= most) {
            let set = full.cores.entry(at).or_insert_with(|| Cores::none(layout.nodes[at].cores));
            set.put(core);
        }
    }
    (found, full)
}

/// Nodes with at most one job, at most two, and so on.
fn by_count(layout: &Layout, queue: usize, grid: &Grid) -> Vec<View> {
    let most = rows(layout.queues[queue].partition.max_share);
    let view = |count: u32| {
        let room = |(room, place): (&Room, &crate::controller::sched::layout::Place)| {
            let fits = room.jobs <= count;
            room.with(if fits { place.usable.clone() } else { Cores::none(place.cores) })
        };
        grid.rooms.iter().zip(&layout.nodes).map(room).collect()
    };
    (1..most).map(view).collect()
}

/// With select/linear: the nodes of a job that is like this one, of those that would do.
#[must_use]
pub fn mate(
    layout: &Layout,
    need: &Need,
    nodes: u32,
    required: &[usize],
    usable: &[usize],
    grid: &Grid,
) -> Option<Vec<usize>> {
    let jobs = grid.jobs.iter().filter(|job| !job.stopped && job.runs);
    let mut found: Vec<(u32, Vec<usize>)> = jobs
        .filter(|job| job.contiguous == need.contiguous && job.shares.len() == nodes as usize)
        .filter(|job| {
            job.shares.iter().map(|share| u32::from(share.cpus)).sum::<u32>() >= need.min_cpus
        })
        .map(|job| (job.id, job.cores(layout).map(|(at, _)| at).collect()))
        .collect();
    found.sort_unstable();
    let usable: BTreeSet<usize> = usable.iter().copied().collect();
    let fits = |places: &Vec<usize>| {
        places.iter().all(|at| usable.contains(at)) && required.iter().all(|at| places.contains(at))
    };
    found.into_iter().map(|(_, places)| places).find(fits)
}
