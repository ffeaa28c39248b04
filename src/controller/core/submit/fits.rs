//! Whether the nodes of a partition could ever run a job: all of them free and in service. Whether
//! they can now is the scheduler's question.

use crate::controller::core::features::Constraint;
use crate::controller::core::submit::place::Place;
use crate::controller::core::submit::refusal::{Refusal, code};
use crate::controller::memory::PER_CPU;
use crate::slurm::conf::{Initial, Node};
use crate::slurm::hostlist;
use crate::slurm::wire::Unset;
use crate::slurm::wire::tables::JobDesc;

/// What a node lacks, as Slurm says it; the first that is missing counts.
const LACKS: [&str; 4] = [
    "CPU count per node can not be satisfied",
    "Memory specification can not be satisfied",
    "Temporary disk specification can not be satisfied",
    "Socket, core and/or thread specification can not be satisfied",
];

fn lacks(node: &Node, spec: &JobDesc) -> Option<&'static str> {
    let at_most = |wanted: u16, has: u16| wanted.get().is_none_or(|wanted| wanted <= has);
    let has = [
        at_most(spec.pn_min_cpus, node.cpus),
        spec.pn_min_memory & !PER_CPU <= node.real_memory,
        spec.pn_min_tmp_disk.get().is_none_or(|wanted| wanted <= node.tmp_disk),
        at_most(spec.sockets_per_node, node.sockets)
            && at_most(spec.cores_per_socket, node.cores)
            && at_most(spec.threads_per_core, node.threads),
    ];
    has.iter().position(|has| !has).map(|at| LACKS[at])
}

/// Whether the job could run there.
///
/// # Errors
/// [`code::NODE_CONFIG`] or [`code::PARTITION_CONFIG`], with what is missing.
pub fn check(
    place: &Place<'_>,
    spec: &JobDesc,
    wanted: Option<&Constraint>,
) -> Result<(), Refusal> {
    let excluded = hostlist::expand(&spec.exc_nodes.lossy()).map_err(|_| code::NODE)?;
    let (mut usable, mut why) = (Vec::new(), None);
    for node in &place.nodes {
        let there = node.initial != Initial::Future && !excluded.contains(&node.name);
        if !there || !wanted.is_none_or(|wanted| wanted.may_use(node.features.as_deref())) {
            continue;
        }
        match lacks(node, spec) {
            None => usable.push(*node),
            Some(lack) => why = Some(lack.to_owned()),
        }
    }
    if usable.is_empty() {
        return Err(Refusal { code: code::NODE_CONFIG, line: why });
    }
    let required = hostlist::expand(&spec.req_nodes.lossy()).map_err(|_| code::NODE)?;
    if !required.iter().all(|name| usable.iter().any(|node| node.name == *name)) {
        return Err(code::NODE_CONFIG.into());
    }
    room(place, spec, &usable)
}

/// Whether as many nodes as the job may have are enough for its CPUs.
fn room(place: &Place<'_>, spec: &JobDesc, usable: &[&Node]) -> Result<(), Refusal> {
    let least = spec.min_nodes.max(place.partition.min_nodes);
    let own_most = spec.max_nodes.get().filter(|most| *most > 0).unwrap_or(u32::MAX);
    let most = own_most.min(place.partition.max_nodes);
    if most < least {
        return Err(code::PARTITION_CONFIG.into());
    }
    if usable.len() < least as usize {
        return Err(code::NODE_CONFIG.into());
    }
    if spec.overcommit == 1 {
        return Ok(());
    }
    let mut cpus: Vec<u64> = usable.iter().map(|node| gives(place, spec, node)).collect();
    cpus.sort_unstable_by(|a, b| b.cmp(a));
    let found: u64 = cpus.iter().take(most as usize).sum();
    if found < u64::from(spec.min_cpus.get().unwrap_or(0)) {
        return Err(code::NODE_CONFIG.into());
    }
    Ok(())
}

/// CPUs that a node could give the job: whole tasks, and no more than the partition allows.
fn gives(place: &Place<'_>, spec: &JobDesc, node: &Node) -> u64 {
    let mut cpus = u64::from(node.cpus).min(place.partition.max_cpus_per_node.into());
    let each = u64::from(spec.cpus_per_task.get().unwrap_or(1).max(1));
    if let Some(tasks) = spec.ntasks_per_node.get().filter(|tasks| *tasks > 0) {
        cpus = cpus.min(u64::from(tasks) * each);
    }
    cpus / each * each
}
