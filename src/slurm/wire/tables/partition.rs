//! Partitions, as `sinfo` and `scontrol show partition` ask for them, and as they are changed.

use crate::slurm::wire::Bits;
use crate::slurm::wire::Text;
use crate::slurm::wire::record::record;
use crate::slurm::wire::tables::JobDefault;

record! {
    /// A partition (2010). `node_inx` counts nodes in the order of the reply about nodes.
    Partition {
        name: Text;
        cpu_bind: u32;
        grace_time: u32;
        max_time: u32;
        default_time: u32;
        max_nodes: u32;
        min_nodes: u32;
        total_nodes: u32;
        total_cpus: u32;
        def_mem_per_cpu: u64;
        max_cpus_per_node: u32;
        max_mem_per_cpu: u64;
        flags: u16;
        max_share: u16;
        over_time_limit: u16;
        preempt_mode: u16;
        priority_job_factor: u16;
        priority_tier: u16;
        state_up: u16;
        cr_type: u16;
        resume_timeout: u16;
        suspend_timeout: u16;
        suspend_time: u32;
        allow_accounts: Text;
        allow_groups: Text;
        allow_alloc_nodes: Text;
        allow_qos: Text;
        qos_char: Text;
        alternate: Text;
        deny_accounts: Text;
        deny_qos: Text;
        nodes: Text;
        nodesets: Text;
        node_inx: Bits;
        billing_weights_str: Text;
        tres_fmt_str: Text;
        job_defaults_list: Option<Vec<JobDefault>>;
    }

    /// A change of a partition (3005), or a new one (3003).
    UpdatePartition {
        allow_accounts: Text;
        allow_alloc_nodes: Text;
        allow_groups: Text;
        allow_qos: Text;
        alternate: Text;
        billing_weights_str: Text;
        cpu_bind: u32;
        def_mem_per_cpu: u64;
        default_time: u32;
        deny_accounts: Text;
        deny_qos: Text;
        flags: u16;
        job_defaults_str: Text;
        grace_time: u32;
        max_cpus_per_node: u32;
        max_mem_per_cpu: u64;
        max_nodes: u32;
        max_share: u16;
        max_time: u32;
        min_nodes: u32;
        name: Text;
        nodes: Text;
        over_time_limit: u16;
        preempt_mode: u16;
        priority_job_factor: u16;
        priority_tier: u16;
        qos_char: Text;
        state_up: u16;
    }

    /// A partition is to go (3004).
    DeletePartition {
        name: Text;
    }
}
