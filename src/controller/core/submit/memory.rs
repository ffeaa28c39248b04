//! Memory that a job asks for, or gets by default, and what partitions allow.
//!
//! A job that wants more memory for a CPU than allowed gets more CPUs for a task instead; one that
//! wants more for a node than allowed is refused, or waits.

use crate::controller::core::submit::place::{Enforce, Place};
use crate::controller::core::submit::refusal::{Refusal, code};
use crate::controller::memory::{PER_CPU, default_of, most_of};
use crate::slurm::conf::Conf;
use crate::slurm::wire::Unset;
use crate::slurm::wire::tables::JobDesc;

/// In `bitflags`: the user said how much memory.
pub const MEMORY_SET: u64 = 1 << 23;

/// Fills in what the job does not say, and refuses what no partition allows.
pub fn check(
    conf: &Conf,
    places: &[Place<'_>],
    spec: &mut JobDesc,
    enforce: Enforce,
) -> Result<(), Refusal> {
    spec.bitflags &= !MEMORY_SET;
    if spec.pn_min_memory.is_unset() {
        spec.pn_min_memory = default_of(conf, &places[0].partition);
    } else {
        spec.bitflags |= MEMORY_SET;
        let fits = |place| adjusted(conf, place, spec).is_some();
        let fine = match enforce {
            Enforce::No => true,
            Enforce::Any => places.iter().any(fits),
            Enforce::All => places.iter().all(fits),
        };
        if !fine {
            return Err(code::MEMORY.into());
        }
    }
    if spec.pn_min_memory == PER_CPU {
        spec.pn_min_memory = 0;
    }
    Ok(())
}

/// What a request becomes by a partition's limit on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjusted {
    memory: u64,
    cpus_per_task: u16,
    node_cpus: u16,
    min_cpus: u32,
    max_cpus: u32,
}

impl Adjusted {
    fn same(spec: &JobDesc) -> Adjusted {
        Adjusted {
            memory: spec.pn_min_memory,
            cpus_per_task: spec.cpus_per_task,
            node_cpus: spec.pn_min_cpus,
            min_cpus: spec.min_cpus,
            max_cpus: spec.max_cpus,
        }
    }

    /// Whether the request is another one by it.
    #[must_use]
    pub fn differs(&self, spec: &JobDesc) -> bool {
        *self != Adjusted::same(spec)
    }

    /// The request with it.
    #[must_use]
    pub fn of(self, spec: &JobDesc) -> JobDesc {
        JobDesc {
            pn_min_memory: self.memory,
            cpus_per_task: self.cpus_per_task,
            pn_min_cpus: self.node_cpus,
            min_cpus: self.min_cpus,
            max_cpus: self.max_cpus,
            ..spec.clone()
        }
    }
}

/// The request as the partition's limit has it; `None`: it is above the limit.
#[must_use]
pub fn adjusted(conf: &Conf, place: &Place<'_>, spec: &JobDesc) -> Option<Adjusted> {
    let (limit, wanted) = (most_of(conf, &place.partition), spec.pn_min_memory);
    let same = Adjusted::same(spec);
    if limit & !PER_CPU == 0 {
        return Some(same);
    }
    let first = place.nodes.first();
    match (wanted & PER_CPU != 0, limit & PER_CPU != 0) {
        (true, true) => Some(more_cpus(spec, same, wanted & !PER_CPU, limit & !PER_CPU)),
        (false, false) => {
            let all = first.map_or(0, |node| node.real_memory.saturating_sub(node.mem_spec_limit));
            let wanted = if wanted == 0 { all } else { wanted };
            (wanted <= limit).then_some(same)
        }
        (true, false) => {
            let cpus = node_cpus(place, spec);
            ((wanted & !PER_CPU).saturating_mul(cpus) <= limit).then_some(same)
        }
        // CPUs enough that their memory is what the node is to give.
        (false, true) => {
            let all = first.map_or(0, |node| node.real_memory.saturating_sub(node.mem_spec_limit));
            let wanted = if wanted == 0 { all } else { wanted };
            let cpus = u16::try_from(wanted.div_ceil(limit & !PER_CPU)).ok()?;
            let least = spec.pn_min_cpus.get().unwrap_or(0).max(cpus);
            let tasks = spec.ntasks_per_node.get().filter(|tasks| *tasks > 0);
            let cpus_per_task = tasks.map_or(spec.cpus_per_task, |tasks| least.div_ceil(tasks));
            Some(Adjusted { node_cpus: least, cpus_per_task, ..same })
        }
    }
}

fn more_cpus(spec: &JobDesc, same: Adjusted, wanted: u64, limit: u64) -> Adjusted {
    if wanted <= limit {
        return same;
    }
    let factor = wanted.div_ceil(limit);
    let each = u64::from(spec.cpus_per_task.get().unwrap_or(1).max(1)).saturating_mul(factor);
    let cpus_per_task = u16::try_from(each).unwrap_or(u16::UNSET - 1);
    let memory = wanted.div_ceil(factor) | PER_CPU;
    let tasks = spec.num_tasks.get().filter(|tasks| *tasks > 0);
    match (tasks, spec.min_cpus.get()) {
        (Some(tasks), Some(_)) => {
            let min_cpus = tasks.saturating_mul(cpus_per_task.into());
            let max_cpus = spec.max_cpus.get().map_or(spec.max_cpus, |most| most.max(min_cpus));
            Adjusted { memory, cpus_per_task, min_cpus, max_cpus, ..same }
        }
        _ => Adjusted { memory, cpus_per_task, node_cpus: cpus_per_task, ..same },
    }
}

/// CPUs that the job will have of a node at least.
fn node_cpus(place: &Place<'_>, spec: &JobDesc) -> u64 {
    if place.partition.max_share == 0 || spec.shared == 0 {
        return place.nodes.first().map_or(0, |node| node.cpus.into());
    }
    let positive = |number: Option<u32>| number.filter(|number| *number > 0).map(u64::from);
    let mut cpus = positive(spec.ntasks_per_node.get().map(u32::from)).unwrap_or(1);
    if let (Some(tasks), Some(nodes)) =
        (positive(spec.num_tasks.get()), positive(spec.max_nodes.get()))
    {
        cpus = cpus.max(tasks.div_ceil(nodes));
    }
    cpus *= positive(spec.cpus_per_task.get().map(u32::from)).unwrap_or(1);
    cpus.max(spec.pn_min_cpus.get().map_or(0, u64::from))
}
