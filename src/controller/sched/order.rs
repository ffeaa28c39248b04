//! Who comes first: the partition's tier, then priority, then the lower id.
//!
//! | PriorityType | priority of a job |
//! |---|---|
//! | `priority/basic` | falls from job to job: the order of submission |
//! | `priority/multifactor` | age, size, partition and resources by their weights, site factor, nice |
//!
//! A priority that somebody set stays; 0 is held. Fair share, associations and qualities of service
//! add nothing: there is no data of them here. Of PriorityFlags these have an effect:
//! ACCRUE_ALWAYS, SMALL_RELATIVE_TO_TIME, NO_NORMAL_PART, NO_NORMAL_TRES, NO_NORMAL_ALL.

use crate::controller::job::Job;
use crate::controller::sched::layout::Layout;
use crate::slurm::conf::{Conf, minutes};
use crate::slurm::wire::Unset;
use crate::slurm::wire::constants::job::NICE_OFFSET;
use crate::slurm::wire::tables::JobDesc;

/// Above the first priority that `priority/basic` gives.
const FIRST: u32 = 0xffff_0000;
/// In `pn_min_memory`: of a CPU, not of a node.
const PER_CPU: u64 = 1 << 63;
/// The highest priority that is one.
const LAST: u32 = u32::MAX - 2;

/// What there is of what PriorityWeightTRES knows.
#[derive(Clone, Copy, Debug, Default)]
struct Amounts {
    cpus: f64,
    memory: f64,
    nodes: f64,
}

/// How priorities come about.
#[derive(Clone, Debug)]
pub struct Priorities {
    multifactor: bool,
    relative_to_time: bool,
    plain_partition: bool,
    plain_resources: bool,
    /// By what a job asks for; CPUs count as what is billed, too.
    resources: Option<Amounts>,
    /// What each partition has, and the memory of its first node.
    all: Vec<(Amounts, u64)>,
    age: f64,
    age_most: f64,
    size: f64,
    partition: f64,
    favor_small: bool,
    by_submission: bool,
    nodes: f64,
    cpus: f64,
    factor_most: f64,
}

fn to_i64(number: u32) -> i64 {
    if number.is_unset() { 0 } else { i64::from(number) - i64::from(NICE_OFFSET) }
}

impl Priorities {
    /// As configured.
    #[must_use]
    pub fn of(conf: &Conf, layout: &Layout) -> Priorities {
        let weight = |name: &str| u32::try_from(conf.number(name)).unwrap_or(u32::MAX).into();
        let age_most = conf.text("PriorityMaxAge").and_then(|text| minutes(text).ok());
        let flags = conf.text("PriorityFlags").unwrap_or("").to_ascii_uppercase();
        let cpus: u64 = layout.nodes.iter().map(|node| u64::from(node.cpus)).sum();
        let factors = layout.queues.iter().map(|queue| queue.partition.priority_job_factor);
        let flag = |name: &str| flags.split(',').any(|flag| flag.trim() == name);
        let all = layout.queues.iter().map(|queue| {
            let nodes = queue.members.iter().map(|at| &layout.nodes[*at]);
            let first = nodes.clone().next().map_or(0, |node| node.memory);
            let of = nodes.fold(Amounts::default(), |sum, node| Amounts {
                cpus: sum.cpus + f64::from(node.cpus),
                memory: sum.memory + node.memory as f64,
                nodes: sum.nodes + 1.0,
            });
            (of, first)
        });
        // Counts of nodes and CPUs are far below what a float holds exactly.
        Priorities {
            multifactor: conf.text("PriorityType") == Some("priority/multifactor"),
            relative_to_time: flag("SMALL_RELATIVE_TO_TIME"),
            plain_partition: flag("NO_NORMAL_PART") || flag("NO_NORMAL_ALL"),
            plain_resources: flag("NO_NORMAL_TRES") || flag("NO_NORMAL_ALL"),
            resources: conf.text("PriorityWeightTRES").map(weights),
            all: all.collect(),
            age: weight("PriorityWeightAge"),
            age_most: f64::from(age_most.unwrap_or(7 * 24 * 60)) * 60.0,
            size: weight("PriorityWeightJobSize"),
            partition: weight("PriorityWeightPartition"),
            favor_small: conf.flag("PriorityFavorSmall"),
            by_submission: flag("ACCRUE_ALWAYS"),
            nodes: layout.nodes.len().max(1) as f64,
            cpus: cpus.max(1) as f64,
            factor_most: f64::from(factors.max().unwrap_or(0).max(1)),
        }
    }

    /// The priority of a job in a partition; 0: it is held.
    #[must_use]
    pub fn priority(&self, job: &Job, layout: &Layout, queue: usize, now: i64) -> u32 {
        let nice = to_i64(job.spec.nice);
        let clamped = |sum: i64| u32::try_from(sum.clamp(1, LAST.into())).expect("clamped");
        if let Some(own) = job.course.priority.get() {
            return own;
        }
        if !self.multifactor {
            return clamped(i64::from(FIRST.saturating_sub(job.id)) - nice);
        }
        let of = &layout.queues[queue].partition;
        let partition = f64::from(of.priority_job_factor);
        let partition = if self.plain_partition { partition } else { partition / self.factor_most };
        let sum = self.age * self.age_factor(job, now)
            + self.size * self.size_factor(job, of.max_time)
            + self.partition * partition
            + self.resources.map_or(0.0, |weights| self.by_resources(job, queue, weights));
        // The cast saturates, and cuts off as Slurm does.
        clamped(sum as i64 + to_i64(job.spec.site_factor) - nice)
    }

    fn age_factor(&self, job: &Job, now: i64) -> f64 {
        let since =
            if self.by_submission { job.course.submit_time } else { job.course.accrue_time };
        if since.0 <= 0 || since.0 >= now || self.age_most <= 0.0 {
            return 0.0;
        }
        ((now - since.0) as f64 / self.age_most).min(1.0)
    }

    fn size_factor(&self, job: &Job, max_time: u32) -> f64 {
        let nodes = f64::from(job.spec.min_nodes.get().unwrap_or(1));
        let cpus = job.spec.max_cpus.get().filter(|most| *most > 0).or(job.spec.min_cpus.get());
        let cpus = f64::from(cpus.unwrap_or(1));
        let share = if self.relative_to_time {
            // As many CPUs as so many nodes have on the average.
            let cpus = cpus.max(nodes * self.cpus / self.nodes);
            let minutes = job.course.time_limit.get().unwrap_or(max_time);
            cpus / f64::from(minutes.max(1)) / self.cpus
        } else {
            f64::midpoint(nodes / self.nodes, cpus / self.cpus)
        };
        if self.favor_small { 1.0 - share } else { share }.clamp(0.0, 1.0)
    }

    fn by_resources(&self, job: &Job, queue: usize, weights: Amounts) -> f64 {
        let (all, first) = self.all[queue];
        let asked = asked(&job.spec, first);
        let share = |asked: f64, all: f64| match all {
            _ if self.plain_resources => asked,
            0.0 => 0.0,
            all => asked / all,
        };
        weights.cpus * share(asked.cpus, all.cpus)
            + weights.memory * share(asked.memory, all.memory)
            + weights.nodes * share(asked.nodes, all.nodes)
    }
}

/// `CPU=1000,Mem=2000`: what is not known here counts nothing.
fn weights(text: &str) -> Amounts {
    let mut found = Amounts::default();
    for (name, value) in text.split(',').filter_map(|pair| pair.split_once('=')) {
        let value = value.trim().parse().unwrap_or(0.0);
        match name.trim().to_ascii_lowercase().as_str() {
            // Without weights for it, what is billed is CPUs.
            "cpu" | "billing" => found.cpus += value,
            "mem" => found.memory = value,
            "node" => found.nodes = value,
            _ => {}
        }
    }
    found
}

/// What a job asks for; all memory is that of the first node, for each.
fn asked(spec: &JobDesc, first: u64) -> Amounts {
    let cpus = spec.min_cpus.get().unwrap_or(1);
    let nodes = spec.min_nodes.get().unwrap_or(1);
    let memory = match spec.pn_min_memory {
        0 => first.saturating_mul(nodes.into()),
        each if each.is_unset() => 0,
        each if each & PER_CPU != 0 => (each & !PER_CPU).saturating_mul(cpus.into()),
        each => each.saturating_mul(nodes.into()),
    };
    Amounts { cpus: cpus.into(), memory: memory as f64, nodes: nodes.into() }
}
