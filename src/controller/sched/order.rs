//! Who comes first: the partition's tier, then priority, then the lower id.
//!
//! | PriorityType | priority of a job |
//! |---|---|
//! | `priority/basic` | falls from job to job: the order of submission |
//! | `priority/multifactor` | age, size and partition by their weights, site factor and nice |
//!
//! A priority that somebody set stays; 0 is held. Fair share, associations, qualities of service
//! and weights of resources add nothing: there is no data of them here.

use crate::controller::job::Job;
use crate::controller::sched::layout::Layout;
use crate::slurm::conf::{Conf, minutes};
use crate::slurm::wire::Unset;
use crate::slurm::wire::constants::job::NICE_OFFSET;

/// Above the first priority that `priority/basic` gives.
const FIRST: u32 = 0xffff_0000;
/// The highest priority that is one.
const LAST: u32 = u32::MAX - 2;

/// How priorities come about.
#[derive(Clone, Copy, Debug)]
pub struct Priorities {
    multifactor: bool,
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
        // Counts of nodes and CPUs are far below what a float holds exactly.
        Priorities {
            multifactor: conf.text("PriorityType") == Some("priority/multifactor"),
            age: weight("PriorityWeightAge"),
            age_most: f64::from(age_most.unwrap_or(7 * 24 * 60)) * 60.0,
            size: weight("PriorityWeightJobSize"),
            partition: weight("PriorityWeightPartition"),
            favor_small: conf.flag("PriorityFavorSmall"),
            by_submission: flags.split(',').any(|flag| flag.trim() == "ACCRUE_ALWAYS"),
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
        let partition = f64::from(layout.queues[queue].partition.priority_job_factor);
        let sum = self.age * self.age_factor(job, now)
            + self.size * self.size_factor(job)
            + self.partition * partition / self.factor_most;
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

    fn size_factor(&self, job: &Job) -> f64 {
        let nodes = f64::from(job.spec.min_nodes.get().unwrap_or(1)) / self.nodes;
        let cpus = f64::from(job.spec.min_cpus.get().unwrap_or(1)) / self.cpus;
        let share = f64::midpoint(nodes, cpus);
        if self.favor_small { 1.0 - share } else { share }.clamp(0.0, 1.0)
    }
}
