//! Memory as the protocol has it: MiB of a node, or, with the highest bit, of each CPU.

use crate::slurm::conf::{Conf, Memory, Partition};
use crate::slurm::wire::Unset;

/// Memory of a CPU, not of a node.
pub const PER_CPU: u64 = 1 << 63;

/// What a partition says, or the cluster where it says nothing.
#[must_use]
pub fn packed(of: Memory, cluster: u64) -> u64 {
    match of {
        Memory::Unlimited => cluster,
        Memory::PerNode(mebibytes) => mebibytes,
        Memory::PerCpu(mebibytes) => mebibytes | PER_CPU,
    }
}

/// The cluster's memory, for partitions that say nothing; 0 for no limit.
#[must_use]
pub fn of_cluster(conf: &Conf, per_cpu: &str, per_node: &str) -> u64 {
    let limit = |number: u64| if number == u64::INFINITE { 0 } else { number };
    match limit(conf.number(per_cpu)) {
        0 => limit(conf.number(per_node)),
        mebibytes => mebibytes | PER_CPU,
    }
}

/// Memory of jobs that ask for none; 0: all that a node has.
#[must_use]
pub fn default_of(conf: &Conf, partition: &Partition) -> u64 {
    packed(partition.def_mem, of_cluster(conf, "DefMemPerCPU", "DefMemPerNode"))
}

/// Most memory of a job; 0: no limit.
#[must_use]
pub fn most_of(conf: &Conf, partition: &Partition) -> u64 {
    packed(partition.max_mem, of_cluster(conf, "MaxMemPerCPU", "MaxMemPerNode"))
}
