//! What a batch script finds in its environment: what the user had, and what Slurm's own agent adds
//! to it, by the same names. A test compares the two.

use crate::agent::spool::Brief;
use crate::slurm::wire::Unset;
use crate::slurm::wire::tables::{CpuGroup, Launch};

/// In `pn_min_memory`: the amount is for each CPU.
const PER_CPU: u64 = 1 << 63;

/// An environment in the making.
#[derive(Debug, Default)]
pub struct Environment(pub Vec<Vec<u8>>);

impl Environment {
    fn place(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|entry| {
            entry.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
        })
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.place(name).map(|at| &self.0[at][name.len() + 1..])
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let entry = [name.as_bytes(), b"=", value.as_ref()].concat();
        match self.place(name) {
            Some(at) => self.0[at] = entry,
            None => self.0.push(entry),
        }
    }

    /// Removes a variable; its value.
    pub fn remove(&mut self, name: &str) -> Option<Vec<u8>> {
        let at = self.place(name)?;
        Some(self.0.remove(at)[name.len() + 1..].to_vec())
    }

    fn number(&mut self, name: &str, value: u32) {
        self.set(name, value.to_string());
    }
}

/// Everything but SLURM_TASK_PID, which only the process itself knows.
pub fn of_batch(brief: &Brief, user: &str) -> Environment {
    let launch = &brief.launch;
    let mut all = Environment::default();
    for entry in &launch.environment {
        let bytes = entry.bytes();
        if let Some(at) = bytes.iter().position(|byte| *byte == b'=')
            && let Ok(name) = std::str::from_utf8(&bytes[..at])
        {
            all.set(name, &bytes[at + 1..]);
        }
    }
    job(&mut all, brief);
    tasks(&mut all, launch);
    here(&mut all, brief, user);
    all
}

fn job(all: &mut Environment, brief: &Brief) {
    let launch = &brief.launch;
    let nodes: u32 = launch.cpu_groups.0.iter().map(|group| group.nodes).sum();
    all.set("SLURM_CLUSTER_NAME", brief.cluster.bytes());
    for name in ["SLURM_JOB_ID", "SLURM_JOBID"] {
        all.number(name, launch.job_id);
    }
    for name in ["SLURM_JOB_NUM_NODES", "SLURM_NNODES"] {
        all.number(name, nodes);
    }
    for name in ["SLURM_JOB_NODELIST", "SLURM_NODELIST"] {
        all.set(name, launch.nodes.bytes());
    }
    if !launch.array_task_id.is_unset() {
        all.number("SLURM_ARRAY_JOB_ID", launch.array_job_id);
        all.number("SLURM_ARRAY_TASK_ID", launch.array_task_id);
    }
    all.set("SLURM_JOB_PARTITION", launch.partition.bytes());
    let aliases = launch.alias_list.bytes();
    let none = launch.alias_list.is_none();
    all.set("SLURM_NODE_ALIASES", if none { b"(null)" } else { aliases });
    all.set("SLURM_JOB_CPUS_PER_NODE", cpus(launch));
    match launch.pn_min_memory {
        0 => {}
        memory if memory & PER_CPU != 0 => {
            all.set("SLURM_MEM_PER_CPU", (memory & !PER_CPU).to_string());
        }
        memory => all.set("SLURM_MEM_PER_NODE", memory.to_string()),
    }
    for (name, value) in [
        ("SLURM_JOB_ACCOUNT", &launch.account),
        ("SLURM_JOB_QOS", &launch.qos),
        ("SLURM_JOB_RESERVATION", &launch.resv_name),
    ] {
        if !value.is_none() {
            all.set(name, value.bytes());
        }
    }
    if launch.restart_cnt > 0 {
        all.number("SLURM_RESTART_COUNT", launch.restart_cnt.into());
    }
    if launch.overcommit != 0 {
        all.set("SLURM_OVERCOMMIT", "1");
    }
}

/// CPUs of each node of a job, as `2(x3),1`.
pub fn cpus(launch: &Launch) -> String {
    let groups = launch.cpu_groups.0.iter();
    runs(groups.map(|group| (u32::from(group.cpus), group.nodes)))
}

fn tasks(all: &mut Environment, launch: &Launch) {
    let per_task = match launch.cpus_per_task {
        0 | u16::UNSET => 1,
        cpus => cpus,
    };
    if all.get("SLURM_CPUS_PER_TASK").is_some() {
        all.number("SLURM_CPUS_PER_TASK", per_task.into());
    }
    let mut count = launch.ntasks;
    if count > 0 {
        for name in ["SLURM_NTASKS", "SLURM_NPROCS"] {
            if all.get(name).is_none() {
                all.number(name, count);
            }
        }
    } else {
        let fit = |group: &CpuGroup| u32::from(group.cpus / per_task) * group.nodes;
        count = launch.cpu_groups.0.iter().map(fit).sum();
    }
    let room = launch.cpu_groups.0.iter().flat_map(|group| {
        let cpus = u32::from(group.cpus / per_task);
        std::iter::repeat_n(cpus, usize::try_from(group.nodes).unwrap_or(0).min(NODES_MAX))
    });
    let spread = spread(&room.collect::<Vec<_>>(), count);
    all.set("SLURM_TASKS_PER_NODE", runs(spread.into_iter().map(|tasks| (tasks, 1))));
}

/// Slurm's node table.
const NODES_MAX: usize = 65_536;

/// Tasks on each node: one after the other as long as there are CPUs, then regardless of them.
fn spread(room: &[u32], count: u32) -> Vec<u32> {
    let fits: u32 = room.iter().sum();
    let Ok(nodes) = u32::try_from(room.len()) else { return Vec::new() };
    if nodes == 0 {
        return Vec::new();
    }
    let (mut tasks, mut left) = (vec![0_u32; room.len()], count.min(fits));
    while left > 0 {
        for (tasks, room) in tasks.iter_mut().zip(room) {
            if left > 0 && *tasks < *room {
                *tasks += 1;
                left -= 1;
            }
        }
    }
    let more = count.saturating_sub(fits);
    for (at, tasks) in tasks.iter_mut().enumerate() {
        *tasks += more / nodes + u32::from((at as u32) < more % nodes);
    }
    tasks
}

/// `2(x3),1`: equal neighbours are counted.
fn runs(values: impl Iterator<Item = (u32, u32)>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for (value, count) in values {
        match runs.last_mut() {
            Some(last) if last.0 == value => last.1 += count,
            _ => runs.push((value, count)),
        }
    }
    let one = |(value, count): &(u32, u32)| match count {
        1 => value.to_string(),
        count => format!("{value}(x{count})"),
    };
    runs.iter().map(one).collect::<Vec<_>>().join(",")
}

fn here(all: &mut Environment, brief: &Brief, user: &str) {
    let launch = &brief.launch;
    all.set("ENVIRONMENT", "BATCH");
    let node = brief.node.bytes();
    for name in ["HOSTNAME", "SLURMD_NODENAME", "SLURM_TOPOLOGY_ADDR"] {
        all.set(name, node);
    }
    all.set("SLURM_TOPOLOGY_ADDR_PATTERN", "node");
    all.set("SLURM_CONF", brief.conf.bytes());
    let cpus = launch.cpu_groups.0.first().map_or(1, |group| group.cpus);
    all.number("SLURM_CPUS_ON_NODE", cpus.into());
    for name in ["SLURM_PROCID", "SLURM_NODEID", "SLURM_LOCALID", "SLURM_GTIDS"] {
        all.set(name, "0");
    }
    all.number("SLURM_JOB_UID", launch.uid);
    all.number("SLURM_JOB_GID", launch.gid);
    all.set("SLURM_JOB_USER", user);
    all.set("SLURM_WORKING_CLUSTER", brief.working_cluster.bytes());
    all.remove("SLURM_CONF_SERVER");
    if all.get("TMPDIR").is_none() {
        all.set("TMPDIR", "/tmp");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_fill_cpus_turn_by_turn_and_go_on_when_there_are_none_left() {
        assert_eq!(spread(&[4, 2], 5), [3, 2]);
        assert_eq!(spread(&[4, 2], 3), [2, 1]);
        assert_eq!(spread(&[1, 1], 5), [3, 2]);
        assert_eq!(spread(&[0, 0], 1), [1, 0]);
        assert_eq!(spread(&[], 1), Vec::<u32>::new());
        assert_eq!(runs([(2, 3), (1, 1), (1, 1), (5, 1)].into_iter()), "2(x3),1(x2),5");
    }

    #[test]
    fn a_variable_is_set_once() {
        let mut all = Environment::default();
        all.set("A", "1");
        all.set("AB", "2");
        all.set("A", "3");
        assert_eq!(all.0, [b"A=3".to_vec(), b"AB=2".to_vec()]);
        assert_eq!(all.remove("A"), Some(b"3".to_vec()));
        assert_eq!(all.get("A"), None);
    }
}
