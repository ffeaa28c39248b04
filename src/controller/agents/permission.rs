//! The permission to run a job, or to end it: who, where, with what.

use crate::controller::inform::select_plugin;
use crate::controller::job::{Job, Share};
use crate::controller::users;
use crate::slurm::auth::{Auth, AuthError};
use crate::slurm::conf::{Conf, Node};
use crate::slurm::hostlist::compress;
use crate::slurm::wire::tables::{
    CoreGroup, CoreGroups, CpuGroup, CpuGroups, Cred, MemGroup, MemGroups, SignedCred, StepId,
};
use crate::slurm::wire::{Bits, SelectJob, Text, Time, Unset, Version};

/// A job's nodes, as they are listed.
pub fn hosts(shares: &[Share]) -> Text {
    let names: Vec<_> = shares.iter().map(|share| share.node.lossy()).collect();
    compress(names.iter().map(AsRef::as_ref)).into()
}

/// Runs of equal nodes.
fn runs<T: PartialEq + Copy>(values: impl Iterator<Item = T>) -> Vec<(T, u32)> {
    let mut runs: Vec<(T, u32)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((last, count)) if *last == value => *count += 1,
            _ => runs.push((value, 1)),
        }
    }
    runs
}

/// CPUs by node.
pub fn cpus(shares: &[Share]) -> CpuGroups {
    let runs = runs(shares.iter().map(|share| share.cpus));
    CpuGroups(runs.into_iter().map(|(cpus, nodes)| CpuGroup { cpus, nodes }).collect())
}

/// The select plugin that agents have loaded; of another one they drop the message.
pub fn select(conf: &Conf) -> SelectJob {
    SelectJob(select_plugin(conf))
}

/// The cores of a job, counted over its nodes one behind the other.
fn cores(nodes: &[(&Share, Option<&Node>)]) -> (Bits, CoreGroups) {
    let mut before = 0;
    let mut taken = Vec::new();
    for (share, node) in nodes {
        let all = node.map_or(1, |node| u32::from(node.sockets) * u32::from(node.cores)).max(1);
        let known = share.cores.iter().any(|core| core < all);
        let unknown = 0..u32::from(share.cpus).clamp(1, all);
        if known {
            taken.extend(share.cores.iter().filter(|core| *core < all).map(|core| before + core));
        } else {
            taken.extend(unknown.map(|core| before + core));
        }
        before += all;
    }
    let shape =
        nodes.iter().map(|(_, node)| node.map_or((1, 1), |node| (node.cores, node.sockets)));
    let groups = runs(shape).into_iter().map(|((cores_per_socket, sockets_per_node), nodes)| {
        CoreGroup { cores_per_socket, sockets_per_node, nodes }
    });
    (Bits::from_set(before, taken), CoreGroups(groups.collect()))
}

fn set(number: u32) -> u32 {
    number.get().unwrap_or(0)
}

/// Signs the permission for one step of a job. Asks the system who the user is, and waits for
/// munged.
///
/// # Errors
/// The credential cannot be made.
pub fn sign(
    auth: &Auth,
    conf: &Conf,
    job: &Job,
    step: u32,
    now: i64,
) -> Result<SignedCred, AuthError> {
    let (spec, course) = (&job.spec, &job.course);
    let find = |share: &Share| {
        let name = share.node.lossy();
        conf.nodes.iter().find(|node| node.name == name)
    };
    let nodes: Vec<_> = course.shares.iter().map(|share| (share, find(share))).collect();
    let (job_cores, groups) = cores(&nodes);
    let account = users::account(spec.user_id).ok().flatten();
    let account = account.unwrap_or_default();
    let groups_of = users::groups(&account.name, spec.group_id).unwrap_or_default();
    let named = if groups_of.is_empty() { vec![(spec.group_id, String::new())] } else { groups_of };
    let batch = course.shares.iter().find(|share| share.node == course.batch_host);
    let memory_mb = batch.map_or(0, |share| share.memory);
    let memory = MemGroups(vec![MemGroup { memory_mb, nodes: 1 }]);
    let cred = Cred {
        step_id: StepId { job_id: job.id, step_id: step, step_het_comp: u32::UNSET },
        uid: spec.user_id,
        gid: spec.group_id,
        pw_name: account.name.into(),
        pw_gecos: account.gecos.into(),
        pw_dir: account.home.into(),
        pw_shell: account.shell.into(),
        gids: named.iter().map(|(gid, _)| *gid).collect(),
        gr_names: named.into_iter().map(|(_, name)| name.into()).collect(),
        job_core_spec: spec.core_spec,
        job_account: spec.account.clone(),
        job_comment: spec.comment.clone(),
        job_constraints: spec.features.clone(),
        job_partition: course.partition.clone(),
        job_reservation: spec.reservation.clone(),
        job_restart_cnt: course.restart_cnt,
        job_std_err: spec.std_err.clone(),
        job_std_in: spec.std_in.clone(),
        job_std_out: spec.std_out.clone(),
        step_hostlist: course.batch_host.clone(),
        x11: spec.x11.get().unwrap_or(0),
        ctime: Time(now),
        tot_core_cnt: job_cores.len(),
        step_core_bitmap: job_cores.clone(),
        job_core_bitmap: job_cores,
        core_groups: groups,
        cpu_groups: cpus(&course.shares),
        job_nhosts: u32::try_from(course.shares.len()).expect("fewer than the hosts"),
        job_ntasks: set(spec.num_tasks).max(1),
        job_hostlist: hosts(&course.shares),
        job_memory: memory.clone(),
        step_memory: memory,
        ..Cred::default()
    };
    SignedCred::new(&cred, Version::NEWEST, |packed| auth.sign_permission(packed))
}
