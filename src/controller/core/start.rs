//! Jobs start.
//!
//! Invariants, whatever was proposed and however long ago: a core is never given twice, unless jobs
//! share it, and then to no more of them than OverSubscribe says; nor is memory given beyond what a
//! node has; a node that takes no work gets none, and one that a user has for himself is nobody
//! else's; a job starts only if nothing but room kept it waiting, one from before a restore only
//! when every node has said what it runs; a task of an array becomes a job of its own in the same
//! save in which it starts.

use crate::controller::core::array::{Split, has as has_task, split};
use crate::controller::core::ending::next;
use crate::controller::core::ids::Ids;
use crate::controller::core::{
    Effect, Outcome, Start, World, current, deadline, known, members, restored,
};
use crate::controller::job::{Course, Job, Share};
use crate::controller::sched::cores::Cores;
use crate::controller::sched::grid::{has, takes_work};
use crate::controller::sched::layout::{Place, find, starts};
use crate::controller::sched::manner::{Manner, USER, rows};
use crate::controller::sched::wait::wait;
use crate::controller::state::Change;
use crate::slurm::conf::{Conf, Partition};
use crate::slurm::wire::constants::{job as state, rc, reason};
use crate::slurm::wire::{Text, Time, Unset};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Slurm's code for nodes that are in use.
const NODES_BUSY: u32 = 2016;
/// Slurm's code for nodes that do not belong to the partition.
const NODES_NOT_IN_PARTITION: u32 = 2004;
/// Slurm's code for a job that does not wait to be started.
const NOT_PENDING: u32 = 2021;

/// Starts a job, if it still waits and the room is still free.
pub fn start(world: World<'_>, start: &Start) -> Outcome {
    match decide(world, start) {
        Ok(outcome) => outcome,
        Err(code) => Outcome::refused(code),
    }
}

fn decide(world: World<'_>, start: &Start) -> Result<Outcome, u32> {
    let job = world.state.job(start.job).ok_or(rc::JOB)?;
    let fits = match start.task {
        Some(task) => has_task(&job.course.tasks, task),
        None => !job.is_array(),
    };
    if !fits || !job.is_pending() || wait(world.state, job, world.now).is_some() {
        return Err(NOT_PENDING);
    }
    // It may run on a node that has not registered since a restore.
    if restored::is_behind(world.state, job)
        && !restored::awaited(world.conf, world.state).is_empty()
    {
        return Err(NODES_BUSY);
    }
    let partition = partition_of(world, job, &start.partition)?;
    let places = places(world, &partition, &start.shares)?;
    let manner = Manner::of(linear(world.conf), partition.max_share, job.spec.shared);
    check_room(world, &places, &start.shares, (job, &partition, manner))?;
    let mut ids = Ids::of(world);
    let (job, rest) = match start.task {
        None => (Arc::clone(job), None),
        Some(task) => {
            let Split { task, rest } = split(job, task, &mut ids).ok_or(NOT_PENDING)?;
            (task, rest)
        }
    };
    let minutes = deadline::minutes(&partition, &job, world.now);
    let running = next(&job, begun(world.now, &job, start, minutes));
    let launch = Effect::Launch { job: running.id };
    let changes = ids.change().into_iter().chain(rest.map(Change::Job));
    Ok(Outcome::done(changes.chain([Change::Job(running)]).collect(), vec![launch]))
}

/// The partition, if the job may run in it and it starts jobs.
fn partition_of(world: World<'_>, job: &Job, name: &Text) -> Result<Partition, u32> {
    let list =
        if job.spec.partition.is_empty() { &job.course.partition } else { &job.spec.partition };
    let named = list.lossy().split(',').any(|one| one.trim().as_bytes() == name.bytes());
    let mut all = current(world.conf, world.state).into_iter();
    let found = all.find(|one| one.name.as_bytes() == name.bytes()).filter(|_| named);
    found.filter(|partition| starts(partition.state)).ok_or(rc::PARTITION)
}

/// The nodes: the partition's, in order, none twice, and all of them take work.
fn places(world: World<'_>, partition: &Partition, shares: &[Share]) -> Result<Vec<Place>, u32> {
    let members = members(world.conf, partition);
    let mut found = Vec::with_capacity(shares.len());
    let mut before = None;
    for share in shares {
        let at = find(world.conf, &share.node).ok_or(rc::NODE)?;
        if members.binary_search(&at).is_err() || before >= Some(at) {
            return Err(NODES_NOT_IN_PARTITION);
        }
        let node = &world.conf.nodes[at];
        if !takes_work(known(world.state, node).state) {
            return Err(NODES_BUSY);
        }
        found.push(Place::now(world.conf, node, world.state));
        before = Some(at);
    }
    if found.is_empty() { Err(NODES_BUSY) } else { Ok(found) }
}

/// Whether whole nodes are given.
fn linear(conf: &Conf) -> bool {
    conf.text("SelectType") == Some("select/linear")
}

/// What is left of a node.
struct Left {
    place: Place,
    /// Cores that jobs have, each as often as jobs have it that this one would share it with.
    taken: Vec<Cores>,
    memory: u64,
}

/// What is asked for is free: against the shares of every job that has something of these nodes.
fn check_room(
    world: World<'_>,
    places: &[Place],
    shares: &[Share],
    (job, partition, manner): (&Job, &Partition, Manner),
) -> Result<(), u32> {
    let mut left: HashMap<&Text, Left> = HashMap::new();
    let mut others: HashSet<u32> = HashSet::new();
    for (place, share) in places.iter().zip(shares) {
        let (taken, memory) = (Vec::new(), place.memory);
        left.insert(&share.node, Left { place: place.clone(), taken, memory });
        if let Some(load) = world.state.loads.get(&share.node) {
            others.extend(load.all());
        }
    }
    let all = current(world.conf, world.state);
    let linear = linear(world.conf);
    for other in others.iter().filter_map(|id| world.state.job(*id)) {
        let of = all.iter().find(|of| of.name.as_bytes() == other.course.partition.bytes());
        let stranger = other.spec.user_id != job.spec.user_id;
        let theirs =
            of.map_or(Manner::Own, |of| Manner::of(linear, of.max_share, other.spec.shared));
        let shared = (manner, theirs) == (Manner::Shared, Manner::Shared);
        for share in other.course.shares.iter().filter(|share| has(other, &share.node)) {
            let Some(left) = left.get_mut(&share.node) else { continue };
            if stranger && (alone(job, Some(partition)) || alone(other, of)) {
                return Err(NODES_BUSY);
            }
            left.memory = left.memory.saturating_sub(share.memory);
            let cores = Cores::of(&share.cores, share.cores.len());
            match (other.is_stopped(), shared) {
                (true, _) => {}
                // Own cores are nobody else's; jobs of other partitions do not count.
                (false, true) if linear || of.is_some_and(|of| of.name == partition.name) => {
                    left.taken.push(cores);
                }
                (false, true) => {}
                (false, false) => left.place.usable.remove(&cores),
            }
        }
    }
    let most = rows(partition.max_share) as usize;
    let fits = shares.iter().all(|share| {
        let left = &left[&share.node];
        let wanted = Cores::of(&share.cores, share.cores.len());
        let room = |core| {
            let jobs = left.taken.iter().filter(|taken| taken.has(core)).count();
            left.place.usable.has(core) && jobs < most
        };
        wanted.count() > 0
            && share.cpus > 0
            && wanted.iter().all(room)
            && share.memory <= left.memory
    });
    if fits { Ok(()) } else { Err(NODES_BUSY) }
}

/// Whether a job has its nodes for its user alone.
fn alone(job: &Job, partition: Option<&Partition>) -> bool {
    job.spec.shared == USER || partition.is_some_and(|of| of.exclusive_user)
}

fn begun(now: i64, job: &Job, start: &Start, minutes: u32) -> Course {
    let end = if minutes == u32::INFINITE { 0 } else { now + i64::from(minutes) * 60 };
    let or_now = |time: Time| if time.0 == 0 { Time(now) } else { time };
    Course {
        state: state::RUNNING,
        reason: reason::NONE,
        state_desc: Text::NONE,
        start_time: Time(now),
        launched: Time(now),
        end_time: Time(end),
        eligible_time: or_now(job.course.eligible_time),
        accrue_time: or_now(job.course.accrue_time),
        time_limit: minutes,
        partition: start.partition.clone(),
        batch_host: start.shares[0].node.clone(),
        shares: start.shares.clone(),
        launches: job.course.launches + 1,
        ..job.course.clone()
    }
}
