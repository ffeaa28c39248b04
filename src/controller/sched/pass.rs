//! One look at all jobs that wait: which of them start now, where, and why the others do not.
//!
//! In the order of [`order`](crate::controller::sched::order), each job is tried, or is skipped as
//! equal in need to one that was just refused. The first job of a partition that finds no room gets
//! `Resources`; with `sched/backfill` it holds nodes from the earliest time at which it would fit,
//! and those behind it start if that delays nothing; with `sched/builtin` those behind it wait, and
//! its partition's nodes with them.
//!
//! Invariants: pure, and the same for the same input; every pending job gets a reason or a start;
//! what is proposed fits together, in the order in which it is proposed.

use crate::controller::core::{Start, deadline};
use crate::controller::job::{Job, Share, task_ids};
use crate::controller::sched::choose::{Bounds, Offer, choose};
use crate::controller::sched::forecast::{Forecast, Forecasts};
use crate::controller::sched::grid::{Grid, Room, Taken, busy};
use crate::controller::sched::hold::{Times, seconds};
use crate::controller::sched::layout::{Layout, Queue};
use crate::controller::sched::manner::Manner;
use crate::controller::sched::need::Need;
use crate::controller::sched::offer::{Terms, offer, per_core};
use crate::controller::sched::order::Priorities;
use crate::controller::sched::rows::{barred, mate, views};
use crate::controller::sched::share::{self, Chosen};
use crate::controller::sched::wait::{free_tasks, wait};
use crate::controller::state::State;
use crate::slurm::conf::{Conf, PartitionState};
use crate::slurm::hostlist::{by_prefix, compress};
use crate::slurm::wire::constants::reason;
use crate::slurm::wire::{Text, Unset};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a pass found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// What is to be started, in this order.
    pub starts: Vec<Start>,
    /// What there is to say of jobs that wait.
    pub forecasts: Forecasts,
    /// When time alone makes the next job ready.
    pub next: Option<i64>,
}

/// A job in one of the partitions that it may run in.
struct Candidate<'a> {
    tier: u16,
    priority: u32,
    job: &'a Arc<Job>,
    queue: usize,
}

/// Jobs that are alike.
#[derive(PartialEq, Eq, Hash)]
struct Shape {
    need: Need,
    queue: usize,
    minutes: u32,
}

/// Why a job was not started.
#[derive(Clone, Debug)]
struct No {
    reason: u16,
    text: Text,
}

impl No {
    fn because(reason: u16) -> No {
        No { reason, text: Text::NONE }
    }
}

struct Pass<'a> {
    layout: &'a Layout,
    now: i64,
    backfill: bool,
    times: Times,
    empty: Grid,
    /// Partitions in which a job has found no room.
    blocked: Vec<bool>,
    /// Nodes that are kept for jobs of partitions that are blocked.
    closed: Vec<bool>,
    /// CPUs in use by queue and node, where a queue limits them.
    in_use: HashMap<(usize, usize), u32>,
    refused: HashMap<Shape, No>,
    started: HashSet<u32>,
    /// Tasks that were started, by array.
    tasks: HashMap<u32, u32>,
    found: Found,
}

/// Looks at all jobs that wait.
#[must_use]
pub fn pass(conf: &Conf, state: &State, layout: &Layout, now: i64) -> Found {
    let busy = busy(layout, state);
    let grid = Grid::of(layout, conf, state, &busy);
    let mut pass = Pass {
        layout,
        now,
        backfill: conf.text("SchedulerType") != Some("sched/builtin"),
        times: Times::of(&busy, grid, now),
        empty: Grid::empty(layout, conf, state),
        blocked: vec![false; layout.queues.len()],
        closed: vec![false; layout.nodes.len()],
        in_use: in_use(layout, state),
        refused: HashMap::new(),
        started: HashSet::new(),
        tasks: HashMap::new(),
        found: Found::default(),
    };
    let mut ready = pass.ready(state, &Priorities::of(conf, layout));
    ready.sort_by_key(|of| (Reverse(of.tier), Reverse(of.priority), of.job.id, of.queue));
    for candidate in &ready {
        pass.consider(state, candidate);
    }
    pass.found
}

/// CPUs that the jobs of a partition use on each node, where the partition limits them.
fn in_use(layout: &Layout, state: &State) -> HashMap<(usize, usize), u32> {
    let mut found = HashMap::new();
    if layout.queues.iter().all(|queue| queue.partition.max_cpus_per_node == u32::MAX) {
        return found;
    }
    let jobs = state.busy.iter().filter_map(|id| state.job(*id));
    for job in jobs.filter(|job| !job.is_stopped()) {
        let Some(queue) = layout.queue(&job.course.partition) else { continue };
        for share in &job.course.shares {
            if let Some(at) = layout.place(&share.node) {
                *found.entry((queue, at)).or_insert(0) += u32::from(share.cpus);
            }
        }
    }
    found
}

impl<'a> Pass<'a> {
    /// Jobs that only want room; the others get their reasons.
    fn ready(&mut self, state: &'a State, priorities: &Priorities) -> Vec<Candidate<'a>> {
        let mut found = Vec::with_capacity(state.pending.len());
        let mut queues: HashMap<&Text, Vec<usize>> = HashMap::new();
        for job in state.pending.iter().filter_map(|id| state.job(*id)) {
            let list = partitions(job);
            let of_job = queues.entry(list).or_insert_with(|| named(self.layout, list));
            let first = of_job.first().copied();
            let priority =
                first.map_or(0, |queue| priorities.priority(job, self.layout, queue, self.now));
            if let Some(wait) = wait(state, job, self.now) {
                self.next(wait.until);
                let forecast = Forecast { start: wait.until.unwrap_or(0), ..Forecast::default() };
                self.say(job.id, No::because(wait.reason), Forecast { priority, ..forecast });
                continue;
            }
            if of_job.is_empty() {
                self.say(job.id, No::because(reason::PARTITION_DOWN), Forecast::default());
            }
            for queue in of_job.iter().copied() {
                let priority = priorities.priority(job, self.layout, queue, self.now);
                let tier = self.layout.queues[queue].partition.priority_tier;
                found.push(Candidate { tier, priority, job, queue });
            }
        }
        found
    }

    fn next(&mut self, time: Option<i64>) {
        let times = [self.found.next, time];
        self.found.next = times.into_iter().flatten().min();
    }

    fn say(&mut self, job: u32, no: No, forecast: Forecast) {
        let now = self.now;
        let forecast = Forecast { reason: no.reason, text: no.text, evaluated: now, ..forecast };
        self.found.forecasts.insert(job, forecast);
    }

    fn consider(&mut self, state: &State, candidate: &Candidate<'a>) {
        let Candidate { job, queue, priority, .. } = candidate;
        if self.started.contains(&job.id) {
            return;
        }
        let forecast = Forecast { priority: *priority, ..Forecast::default() };
        let asked = job.course.time_limit.get().or(job.spec.time_limit.get());
        let of_queue = &self.layout.queues[*queue];
        if let Some(no) = refused_by(of_queue, asked) {
            return self.also(job.id, no, forecast);
        }
        let minutes = deadline::minutes(&of_queue.partition, job, self.now);
        let shape =
            Shape { need: Need::of(&job.spec, self.layout, *queue), queue: *queue, minutes };
        let array = job.course.array_job_id;
        let begun = self.tasks.get(&array).copied().unwrap_or(0);
        let free = if array == 0 { u32::MAX } else { free_tasks(state, job) };
        let free = free.saturating_sub(begun);
        if !job.is_array() {
            if free == 0 {
                return self.say(job.id, No::because(reason::ARRAY_TASK_LIMIT), forecast);
            }
            match self.try_shape(&shape) {
                Ok(shares) => self.start(job, None, &shape, shares),
                Err(no) => self.wait(job, shape, no, forecast),
            }
            return;
        }
        let free = free as usize;
        let mut tasks = task_ids(&job.course.tasks);
        for task in tasks.by_ref().take(free) {
            match self.try_shape(&shape) {
                Ok(shares) => self.start(job, Some(task), &shape, shares),
                Err(no) => return self.wait(job, shape, no, forecast),
            }
        }
        if tasks.next().is_some() {
            self.say(job.id, No::because(reason::ARRAY_TASK_LIMIT), forecast);
        }
    }

    /// A job that may run in several partitions keeps the reason that says most.
    fn also(&mut self, job: u32, no: No, forecast: Forecast) {
        const SAY_MUCH: [u16; 2] = [reason::RESOURCES, reason::PRIORITY];
        let before = self.found.forecasts.get(&job);
        if before.is_none_or(|before| !SAY_MUCH.contains(&before.reason)) {
            self.say(job, no, forecast);
        }
    }

    fn try_shape(&self, shape: &Shape) -> Result<Vec<Share>, No> {
        if let Some(no) = self.refused.get(shape) {
            return Err(no.clone());
        }
        if self.blocked[shape.queue] && !self.backfill {
            return Err(No::because(reason::PRIORITY));
        }
        let queue = &self.layout.queues[shape.queue];
        let bounds = bounds(&shape.need, queue);
        if bounds.max < bounds.min || queue.members.len() < bounds.min as usize {
            return Err(No::because(reason::PARTITION_NODE_LIMIT));
        }
        let terms = Terms::of(&shape.need, self.layout);
        if terms.is_empty() {
            return Err(No::because(reason::BAD_CONSTRAINTS));
        }
        let end = self.now.saturating_add(seconds(shape.minutes));
        let found = self.fit(shape, &terms, bounds, self.times.until(end), true);
        found.ok_or_else(|| self.why(shape, &terms, bounds))
    }

    /// Shares of what is free in a grid.
    fn fit(
        &self,
        shape: &Shape,
        terms: &[Terms],
        bounds: Bounds,
        grid: &Grid,
        now: bool,
    ) -> Option<Vec<Share>> {
        terms.iter().find_map(|terms| self.fit_by(shape, terms, bounds, grid, now))
    }

    fn fit_by(
        &self,
        shape: &Shape,
        terms: &Terms,
        bounds: Bounds,
        grid: &Grid,
        now: bool,
    ) -> Option<Vec<Share>> {
        if !self.layout.shares {
            return self.fit_in(shape, terms, bounds, &grid.rooms, &[], now);
        }
        let barred = barred(self.layout, shape.queue, &shape.need, grid);
        let idle = self.fit_in(shape, terms, bounds, &grid.rooms, &barred, now);
        if idle.is_some() || shape.need.manner != Manner::Shared {
            return idle;
        }
        views(self.layout, shape.queue, grid).iter().find_map(|rooms| {
            let beside = self.beside(shape, terms, bounds, grid, rooms, &barred, now);
            beside.or_else(|| self.fit_in(shape, terms, bounds, rooms, &barred, now))
        })
    }

    /// With select/linear: all the nodes of a job that is like this one.
    #[allow(clippy::too_many_arguments, reason = "one step of fit_by")]
    fn beside(
        &self,
        shape: &Shape,
        terms: &Terms,
        bounds: Bounds,
        grid: &Grid,
        rooms: &[Room],
        barred: &[bool],
        now: bool,
    ) -> Option<Vec<Share>> {
        let queue = &self.layout.queues[shape.queue];
        if !queue.select.whole {
            return None;
        }
        let offers = self.offers(shape, terms, rooms, barred, now);
        let usable: Vec<usize> = offers.iter().map(|offer| offer.at).collect();
        let nodes = bounds.like.min(bounds.max);
        let found = mate(self.layout, &shape.need, nodes, &terms.required, &usable, grid)?;
        let chosen: Vec<Chosen<'_>> = found
            .into_iter()
            .map(|at| {
                let place = &self.layout.nodes[at];
                Chosen { place, room: &rooms[at], most: place.cpus }
            })
            .collect();
        share::shares(&shape.need, queue.select, &chosen)
    }

    /// What each node has for a job.
    fn offers(
        &self,
        shape: &Shape,
        terms: &Terms,
        rooms: &[Room],
        barred: &[bool],
        now: bool,
    ) -> Vec<Offer> {
        let (need, queue) = (&shape.need, &self.layout.queues[shape.queue]);
        let limit = queue.partition.max_cpus_per_node;
        let mut offers = Vec::new();
        for at in queue.members.iter().copied() {
            let (place, room) = (&self.layout.nodes[at], &rooms[at]);
            let required = !terms.required.is_empty() && terms.required.contains(&at);
            let kept = now && self.closed[at] || barred.get(at).is_some_and(|barred| *barred);
            let used = match limit {
                u32::MAX => 0,
                _ => self.in_use.get(&(shape.queue, at)).copied().unwrap_or(0),
            };
            let most = limit.saturating_sub(used);
            let cpus = if kept || room.count == 0 || !terms.suits(need, queue.select, at, place) {
                0
            } else {
                offer(need, queue.select, place, room, most)
            };
            if cpus > 0 {
                let (per_core, weight) = (per_core(need, place), place.weight);
                offers.push(Offer { at, cpus, per_core, weight, required });
            }
        }
        offers
    }

    fn fit_in(
        &self,
        shape: &Shape,
        terms: &Terms,
        bounds: Bounds,
        rooms: &[Room],
        barred: &[bool],
        now: bool,
    ) -> Option<Vec<Share>> {
        let (need, queue) = (&shape.need, &self.layout.queues[shape.queue]);
        let mut offers = self.offers(shape, terms, rooms, barred, now);
        let required = offers.iter().filter(|offer| offer.required).count();
        if required < terms.required.len() || !terms.require(self.layout, &mut offers) {
            return None;
        }
        let chosen = choose(need, bounds, &offers, queue.select.least_loaded)?;
        let chosen: Vec<Chosen<'_>> = chosen
            .into_iter()
            .map(|(at, most)| {
                let (place, room) = (&self.layout.nodes[at], &rooms[at]);
                Chosen { place, room, most }
            })
            .collect();
        share::shares(need, queue.select, &chosen)
    }

    /// Why there is no room: for ever, as long as nodes are out of service, or just now.
    fn why(&self, shape: &Shape, terms: &[Terms], bounds: Bounds) -> No {
        if self.fit(shape, terms, bounds, &self.empty, false).is_some() {
            return No::because(reason::RESOURCES);
        }
        let mut all = self.empty.clone();
        all.rooms.iter_mut().for_each(|room| room.up = true);
        let members = &self.layout.queues[shape.queue].members;
        // What a node lacks now it may register with again.
        let less = |at: usize| self.layout.nodes[at].less;
        let small = self.fit(shape, terms, bounds, &all, false).is_none();
        if small && !members.iter().any(|at| less(*at)) {
            return No::because(reason::PARTITION_CONFIG);
        }
        let required = &terms[0].required;
        let wanted = if required.is_empty() { members } else { required };
        let out = wanted.iter().filter(|at| !self.empty.rooms[**at].up || small && less(**at));
        let names: Vec<_> = out.map(|at| self.layout.nodes[*at].name.lossy()).collect();
        let mut names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        names.sort_unstable_by(|a, b| by_prefix(a, b));
        let text = format!("ReqNodeNotAvail, UnavailableNodes:{}", compress(names));
        No { reason: reason::NODE_NOT_AVAILABLE, text: text.into() }
    }

    fn start(&mut self, job: &Job, task: Option<u32>, shape: &Shape, shares: Vec<Share>) {
        let end = self.now.saturating_add(seconds(shape.minutes));
        let taken = Arc::new(taken(job, shape, shares.clone(), true));
        self.times.start(self.layout, &taken, end);
        let queue = &self.layout.queues[shape.queue];
        if queue.partition.max_cpus_per_node != u32::MAX {
            for share in &shares {
                let at = self.layout.place(&share.node).expect("a node of the layout");
                *self.in_use.entry((shape.queue, at)).or_insert(0) += u32::from(share.cpus);
            }
        }
        self.started.insert(job.id);
        if job.course.array_job_id != 0 {
            *self.tasks.entry(job.course.array_job_id).or_insert(0) += 1;
        }
        self.found.forecasts.remove(&job.id);
        let partition = queue.partition.name.as_str().into();
        self.found.starts.push(Start { job: job.id, task, partition, shares });
    }

    fn wait(&mut self, job: &Job, shape: Shape, no: No, forecast: Forecast) {
        if no.reason != reason::RESOURCES {
            self.also(job.id, no.clone(), forecast);
            self.refused.insert(shape, no);
            return;
        }
        let priority = No::because(reason::PRIORITY);
        if self.blocked[shape.queue] {
            self.also(job.id, priority.clone(), forecast);
            self.refused.insert(shape, priority);
            return;
        }
        self.blocked[shape.queue] = true;
        let (start, nodes) = if self.backfill { self.hold(job, &shape) } else { (0, Text::NONE) };
        if !self.backfill {
            self.layout.queues[shape.queue].members.iter().for_each(|at| self.closed[*at] = true);
        }
        self.say(job.id, no, Forecast { start, nodes, ..forecast });
        self.refused.insert(shape, priority);
    }

    /// Holds the nodes that a job gets first; when that is, and which.
    fn hold(&mut self, job: &Job, shape: &Shape) -> (i64, Text) {
        let bounds = bounds(&shape.need, &self.layout.queues[shape.queue]);
        let terms = Terms::of(&shape.need, self.layout);
        let mut times = self.times.clone();
        let fits = |grid: &Grid| {
            let shares = self.fit(shape, &terms, bounds, grid, false)?;
            Some(taken(job, shape, shares, false))
        };
        let found = times.hold(self.layout, seconds(shape.minutes), fits);
        self.times = times;
        let Some((start, taken)) = found else { return (0, Text::NONE) };
        let names: Vec<_> = taken.shares.iter().map(|share| share.node.lossy()).collect();
        let mut names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        names.sort_unstable_by(|a, b| by_prefix(a, b));
        (start, compress(names).into())
    }
}

/// What a job takes that starts.
fn taken(job: &Job, shape: &Shape, shares: Vec<Share>, runs: bool) -> Taken {
    let need = &shape.need;
    Taken {
        id: job.id,
        shares: shares.into(),
        queue: Some(shape.queue),
        manner: need.manner,
        user: need.user.unwrap_or((job.spec.user_id, false)),
        stopped: false,
        runs,
        contiguous: need.contiguous,
    }
}

/// The partitions that a job may run in, as written.
fn partitions(job: &Job) -> &Text {
    if job.spec.partition.is_empty() { &job.course.partition } else { &job.spec.partition }
}

/// Partitions by their names.
fn named(layout: &Layout, list: &Text) -> Vec<usize> {
    let mut found = Vec::new();
    for name in list.lossy().split(',') {
        if let Some(queue) = layout.queue(&name.trim().into())
            && !found.contains(&queue)
        {
            found.push(queue);
        }
    }
    found
}

/// Why a partition starts no job that asks for so much time.
fn refused_by(queue: &Queue, asked: Option<u32>) -> Option<No> {
    let reason = match queue.partition.state {
        PartitionState::Down => reason::PARTITION_DOWN,
        PartitionState::Inactive => reason::PARTITION_INACTIVE,
        _ if asked.is_some_and(|asked| asked > queue.partition.max_time) => {
            reason::PARTITION_TIME_LIMIT
        }
        _ => return None,
    };
    Some(No::because(reason))
}

/// How many nodes a job may get in a partition.
fn bounds(need: &Need, queue: &Queue) -> Bounds {
    let max = need.max_nodes.unwrap_or(u32::MAX).min(queue.partition.max_nodes);
    let like = need.max_nodes.map_or(need.min_nodes, |_| need.nodes.min(max));
    Bounds { min: need.min_nodes, max, like: like.max(need.min_nodes) }
}
