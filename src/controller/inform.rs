//! What is told about nodes and partitions, and in `jobs` and `steps` about what runs there. Field
//! by field what Slurm's own controller says; tests compare the two as its clients print them.

use crate::controller::agents::pulse::Pulse;
use crate::controller::core::{current, known, members, node_features, node_weight, size};
use crate::controller::memory;
use crate::controller::node::NodeRecord;
use crate::controller::state::State;
use crate::slurm::conf::{self, Conf, Node, Partition, PartitionState, preempt_mode};
use crate::slurm::hostlist::{by_prefix, compress};
use crate::slurm::wire::constants::{node, partition, select};
use crate::slurm::wire::tables::{
    Energy, Listing, Node as NodeInfo, NodeSelect, Partition as PartitionInfo, Power, Sensors,
};
use crate::slurm::wire::{Bits, Scaled, SelectJob, Time, Unset};
use std::fmt::Write;

pub mod jobs;
mod resources;
pub mod steps;

/// In a request: hidden ones too.
const SHOW_ALL: u16 = 0x1;
/// In a request: what is in use, too.
const SHOW_DETAIL: u16 = 0x2;
/// In a request: nodes that are not there yet, too.
const SHOW_FUTURE: u16 = 0x80;

const HIDDEN: u16 = 0x2;
const NO_ROOT: u16 = 0x4;
const ROOT_ONLY: u16 = 0x8;
const NEEDS_RESERVATION: u16 = 0x10;
const LEAST_LOADED: u16 = 0x20;
const EXCLUSIVE_USER: u16 = 0x40;

/// The select plugin that the clients have loaded, as slurm.conf says.
#[must_use]
pub fn select_plugin(conf: &Conf) -> u32 {
    match conf.text("SelectType") {
        Some("select/cons_tres") => select::CONS_TRES,
        Some("select/cons_res") => select::CONS_RES,
        _ => select::LINEAR,
    }
}

/// What is consumed of nodes, as slurm.conf says and Slurm packs it.
fn select_parameters(conf: &Conf) -> u16 {
    let text = conf.text("SelectTypeParameters");
    text.and_then(|text| conf::select_parameters(text).ok()).unwrap_or(0)
}

/// All nodes, those that are not shown without a name: bitmaps count by place.
#[must_use]
pub fn nodes(
    conf: &Conf,
    state: &State,
    pulse: &Pulse,
    changed: i64,
    show: u16,
) -> Listing<Time, NodeInfo> {
    let hidden = hidden_nodes(conf, state, show);
    let records = conf.nodes.iter().zip(hidden).map(|(of, hidden)| {
        let record = known(state, of);
        let future = record.state & node::BASE == node::FUTURE && show & SHOW_FUTURE == 0;
        if hidden || future {
            return NodeInfo::default();
        }
        let info = node_info(conf, of, &record, show);
        lively(info, of, &record, state, pulse)
    });
    Listing { head: Time(changed), records: records.collect() }
}

/// One node; `None` where there is none of that name.
#[must_use]
pub fn one_node(
    conf: &Conf,
    state: &State,
    pulse: &Pulse,
    changed: i64,
    name: &str,
    show: u16,
) -> Option<Listing<Time, NodeInfo>> {
    let of = conf.nodes.iter().find(|node| node.name == name)?;
    let record = known(state, of);
    let info = lively(node_info(conf, of, &record, show), of, &record, state, pulse);
    let records = vec![info];
    Some(Listing { head: Time(changed), records })
}

/// Nodes whose partitions are all hidden.
fn hidden_nodes(conf: &Conf, state: &State, show: u16) -> Vec<bool> {
    let mut hidden = vec![show & SHOW_ALL == 0; conf.nodes.len()];
    let mut in_any = vec![false; conf.nodes.len()];
    for partition in current(conf, state) {
        for member in members(conf, &partition) {
            in_any[member] = true;
            hidden[member] &= partition.hidden;
        }
    }
    hidden.into_iter().zip(in_any).map(|(hidden, in_any)| hidden && in_any).collect()
}

fn node_info(conf: &Conf, of: &Node, record: &NodeRecord, show: u16) -> NodeInfo {
    let (features, features_act) = node_features(of, record);
    let of = size::now(conf, of, record);
    NodeInfo {
        name: of.name.as_str().into(),
        node_hostname: of.hostname.as_str().into(),
        node_addr: of.address.as_str().into(),
        bcast_address: of.bcast_address.clone().into(),
        port: of.port,
        next_state: u32::UNSET,
        node_state: record.state,
        cpus: of.cpus,
        boards: of.boards,
        sockets: of.sockets,
        cores: of.cores,
        threads: of.threads,
        real_memory: of.real_memory,
        tmp_disk: of.tmp_disk,
        owner: u32::UNSET,
        core_spec_cnt: of.core_spec_count,
        mem_spec_limit: of.mem_spec_limit,
        cpu_spec_list: of.cpu_spec_list.clone().into(),
        cpus_efctv: of.cpus,
        cpu_load: u32::UNSET,
        free_mem: u64::UNSET,
        weight: node_weight(&of, record),
        reason_uid: record.reason_uid,
        reason_time: record.reason_time,
        select_nodeinfo: NodeSelect {
            plugin: SelectJob(select_plugin(conf)),
            alloc_tres_weighted: Scaled::new(0.0),
            ..NodeSelect::default()
        },
        features,
        features_act,
        gres: of.gres.clone().into(),
        gres_drain: (show & SHOW_DETAIL != 0).then_some("N/A").into(),
        comment: record.comment.clone(),
        extra: record.extra.clone(),
        reason: record.reason.clone(),
        energy: Energy::default(),
        ext_sensors: Sensors {
            consumed_energy: u64::UNSET,
            temperature: u32::UNSET,
            energy_update_time: Time(0),
            current_watts: 0,
        },
        power: Power { cap_watts: u32::UNSET },
        tres_fmt_str: amounts(u64::from(of.cpus), of.real_memory, None).into(),
        ..NodeInfo::default()
    }
}

/// With what the node itself said, and what jobs make of it. Whether it is in use in part (MIXED)
/// clients find out themselves.
fn lively(
    mut info: NodeInfo,
    of: &Node,
    record: &NodeRecord,
    state: &State,
    pulse: &Pulse,
) -> NodeInfo {
    let load = state.load_of(&of.name);
    let base = record.state & node::BASE;
    if !load.running.is_empty() && matches!(base, node::UNKNOWN | node::IDLE) {
        info.node_state = record.state & !node::BASE | node::ALLOCATED;
    }
    if !load.completing.is_empty() {
        info.node_state |= node::COMPLETING;
    }
    let name = of.name.as_bytes();
    let jobs = load.running.iter().filter_map(|id| state.job(*id));
    let shares = jobs.flat_map(|job| &job.course.shares).filter(|share| share.node.bytes() == name);
    let (cpus, memory) = shares.fold((0_u32, 0_u64), |(cpus, memory), share| {
        (cpus + u32::from(share.cpus), memory.saturating_add(share.memory))
    });
    let select = &mut info.select_nodeinfo;
    select.alloc_cpus = u16::try_from(cpus).unwrap_or(u16::MAX).min(info.cpus);
    select.alloc_memory = memory;
    let parts = [
        (cpus > 0).then(|| format!("cpu={cpus}")),
        (memory > 0).then(|| format!("mem={}", in_units(memory))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    select.alloc_tres = (!parts.is_empty()).then(|| parts.join(",")).into();
    let beat = pulse.of(&of.name);
    (info.cpu_load, info.free_mem) = (beat.cpu_load, beat.free_mem);
    (info.boot_time, info.slurmd_start_time) = (record.boot_time, record.slurmd_start_time);
    info.last_busy = record.registered;
    info.version = record.version.clone();
    (info.arch, info.os) = (record.arch.clone(), record.os.clone());
    info
}

/// `cpu=2,mem=1000M,node=1,billing=2`, as Slurm writes it; what there is none of is left out.
fn amounts(cpus: u64, memory: u64, nodes: Option<usize>) -> String {
    let mut list = format!("cpu={cpus}");
    if memory > 0 {
        write!(list, ",mem={}", in_units(memory)).expect("strings take everything");
    }
    if let Some(nodes) = nodes {
        write!(list, ",node={nodes}").expect("strings take everything");
    }
    write!(list, ",billing={cpus}").expect("strings take everything");
    list
}

/// MiB, in the largest unit in which it is a whole number.
fn in_units(mebibytes: u64) -> String {
    let (mut number, mut unit) = (mebibytes, 0);
    while number > 0 && number.is_multiple_of(1024) && unit < 3 {
        number /= 1024;
        unit += 1;
    }
    format!("{number}{}", ["M", "G", "T", "P"][unit])
}

/// All partitions that are shown.
#[must_use]
pub fn partitions(
    conf: &Conf,
    state: &State,
    changed: i64,
    show: u16,
) -> Listing<Time, PartitionInfo> {
    let shown = current(conf, state).into_iter();
    let shown = shown.filter(|partition| show & SHOW_ALL != 0 || !partition.hidden);
    let records = shown.map(|of| partition_info(conf, &of, &members(conf, &of)));
    Listing { head: Time(changed), records: records.collect() }
}

/// The cluster's way to preempt.
#[must_use]
pub fn cluster_preempt_mode(conf: &Conf) -> u16 {
    conf.text("PreemptMode").and_then(|text| preempt_mode(text).ok()).unwrap_or(0)
}

fn flags(conf: &Conf, of: &Partition) -> u16 {
    [
        (of.is_default, partition::DEFAULT),
        (of.hidden, HIDDEN),
        (of.no_root || conf.flag("DisableRootJobs"), NO_ROOT),
        (of.root_only, ROOT_ONLY),
        (of.needs_reservation, NEEDS_RESERVATION),
        (of.least_loaded, LEAST_LOADED),
        (of.exclusive_user, EXCLUSIVE_USER),
    ]
    .into_iter()
    .filter(|(is, _)| *is)
    .fold(0, |sum, (_, flag)| sum | flag)
}

fn state_up(of: PartitionState) -> u16 {
    match of {
        PartitionState::Up => partition::UP,
        PartitionState::Down => partition::SUBMIT,
        PartitionState::Drain => partition::SCHEDULE,
        PartitionState::Inactive => 0,
    }
}

fn partition_info(conf: &Conf, of: &Partition, members: &[usize]) -> PartitionInfo {
    let nodes = || members.iter().map(|at| &conf.nodes[*at]);
    let cpus: u64 = nodes().map(|node| u64::from(node.cpus)).sum();
    let memory: u64 = nodes().map(|node| node.real_memory).sum();
    let places = members.iter().map(|at| u32::try_from(*at).expect("fewer than the hosts"));
    let all = u32::try_from(conf.nodes.len()).expect("a hostlist's limit");
    let mut names: Vec<&str> = nodes().map(|node| node.name.as_str()).collect();
    names.sort_unstable_by(|a, b| by_prefix(a, b));
    let list = compress(names);
    PartitionInfo {
        name: of.name.as_str().into(),
        grace_time: of.grace_time,
        max_time: of.max_time,
        default_time: of.default_time.unwrap_or(u32::UNSET),
        max_nodes: of.max_nodes,
        min_nodes: of.min_nodes,
        total_nodes: u32::try_from(members.len()).expect("fewer than the hosts"),
        total_cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        def_mem_per_cpu: memory::default_of(conf, of),
        max_cpus_per_node: of.max_cpus_per_node,
        max_mem_per_cpu: memory::most_of(conf, of),
        flags: flags(conf, of),
        max_share: of.max_share,
        over_time_limit: of.over_time_limit.unwrap_or(u16::UNSET),
        preempt_mode: of.preempt_mode.unwrap_or_else(|| cluster_preempt_mode(conf)),
        priority_job_factor: of.priority_job_factor,
        priority_tier: of.priority_tier,
        state_up: state_up(of.state),
        cr_type: of.select_parameters,
        resume_timeout: u16::UNSET,
        suspend_timeout: u16::UNSET,
        suspend_time: u32::UNSET,
        allow_accounts: of.allow_accounts.clone().into(),
        allow_groups: of.allow_groups.clone().into(),
        allow_alloc_nodes: of.alloc_nodes.clone().into(),
        allow_qos: of.allow_qos.clone().into(),
        qos_char: of.qos.clone().into(),
        alternate: of.alternate.clone().into(),
        deny_accounts: of.deny_accounts.clone().into(),
        deny_qos: of.deny_qos.clone().into(),
        nodes: list.into(),
        node_inx: Bits::from_set(all, places),
        billing_weights_str: of.billing_weights.clone().into(),
        tres_fmt_str: amounts(cpus, memory, Some(members.len())).into(),
        ..PartitionInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_written_in_the_unit_that_fits() {
        assert_eq!(amounts(2, 1000, None), "cpu=2,mem=1000M,billing=2");
        assert_eq!(amounts(8, 4096, Some(4)), "cpu=8,mem=4G,node=4,billing=8");
        assert_eq!(in_units(1 << 20), "1T");
        assert_eq!(in_units(0), "0M");
        assert_eq!(in_units(u64::MAX), format!("{}M", u64::MAX));
    }
}
