//! A description of a job in which nothing is said: what clients begin with.

use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::select;
use crate::slurm::wire::tables::JobDesc;
use crate::slurm::wire::{SelectJob, Unset};

/// Nothing is said. Of numbers whose 0 says nothing, 0; of the others the mark of what is not set.
pub fn blank(conf: &Conf) -> JobDesc {
    let plugin = match conf.text("SelectType") {
        Some("select/cons_res") => select::CONS_RES,
        Some("select/linear") => select::LINEAR,
        _ => select::CONS_TRES,
    };
    JobDesc {
        select_jobinfo: SelectJob(plugin),
        site_factor: u32::UNSET,
        contiguous: u16::UNSET,
        core_spec: u16::UNSET,
        task_dist: u32::UNSET,
        kill_on_node_fail: u16::UNSET,
        job_id: u32::UNSET,
        alloc_sid: u32::UNSET,
        pn_min_cpus: u16::UNSET,
        pn_min_memory: u64::UNSET,
        pn_min_tmp_disk: u32::UNSET,
        cpu_freq_min: u32::UNSET,
        cpu_freq_max: u32::UNSET,
        cpu_freq_gov: u32::UNSET,
        priority: u32::UNSET,
        nice: u32::UNSET,
        overcommit: u8::UNSET,
        num_tasks: u32::UNSET,
        reboot: u16::UNSET,
        requeue: u16::UNSET,
        shared: u16::UNSET,
        cpus_per_task: u16::UNSET,
        ntasks_per_node: u16::UNSET,
        ntasks_per_board: 0,
        ntasks_per_socket: u16::UNSET,
        ntasks_per_core: u16::UNSET,
        ntasks_per_tres: u16::UNSET,
        plane_size: u16::UNSET,
        cpu_bind_type: u16::UNSET,
        mem_bind_type: u16::UNSET,
        time_limit: u32::UNSET,
        time_min: u32::UNSET,
        min_cpus: u32::UNSET,
        max_cpus: u32::UNSET,
        min_nodes: u32::UNSET,
        max_nodes: u32::UNSET,
        sockets_per_node: u16::UNSET,
        cores_per_socket: u16::UNSET,
        threads_per_core: u16::UNSET,
        user_id: u32::UNSET,
        group_id: u32::UNSET,
        mail_type: u16::UNSET,
        req_switch: u32::UNSET,
        wait4switch: u32::UNSET,
        wait_all_nodes: u16::UNSET,
        delay_boot: u32::UNSET,
        ..JobDesc::default()
    }
}

/// Marks what was not asked for, as every request of Slurm's clients about a job does, also one
/// that changes it: account, partition, quality of service, key of work are the default ones.
pub fn mark_defaults(desc: &mut JobDesc) {
    let asked = [&desc.account, &desc.partition, &desc.qos, &desc.wckey];
    let absent = asked.into_iter().zip(25..).filter(|(text, _)| text.is_none());
    desc.bitflags |= absent.map(|(_, bit)| 1_u64 << bit).sum::<u64>();
}
