//! `PartitionName` lines.

use crate::slurm::conf::fields::Fields;
use crate::slurm::conf::include::Statement;
use crate::slurm::conf::mistake::{ConfError, Place};
use crate::slurm::conf::parameters::{Kind, PARTITION_KEYS};
use crate::slurm::conf::values::{self, Wanted};
use std::path::Path;
use std::sync::Arc;

/// What a partition lets happen. Two independent answers, as Slurm packs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionState {
    /// Jobs are taken and started.
    Up,
    /// Jobs are taken, none is started.
    Down,
    /// No jobs are taken, those in the queue start.
    Drain,
    /// Neither.
    Inactive,
}

/// Memory for a node, or for each of its CPUs, in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// As much as there is.
    Unlimited,
    /// For a node.
    PerNode(u64),
    /// For a CPU.
    PerCpu(u64),
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// Its nodes, as written; [`crate::slurm::conf::Conf::members`] names them.
    pub nodes: Option<String>,
    /// Jobs go here that name none.
    pub is_default: bool,
    /// Not shown to everybody.
    pub hidden: bool,
    /// Root's jobs are refused.
    pub no_root: bool,
    /// Only root may submit.
    pub root_only: bool,
    /// Only with a reservation.
    pub needs_reservation: bool,
    /// The least loaded nodes first.
    pub least_loaded: bool,
    /// Nodes are one user's at a time.
    pub exclusive_user: bool,
    /// What it lets happen.
    pub state: PartitionState,
    /// Minutes; `u32::MAX` for no limit.
    pub max_time: u32,
    /// Minutes, for jobs that ask for none.
    pub default_time: Option<u32>,
    /// Most nodes of a job; `u32::MAX` for no limit.
    pub max_nodes: u32,
    /// Fewest nodes of a job.
    pub min_nodes: u32,
    /// Most CPUs of a job on one node; `u32::MAX` for no limit.
    pub max_cpus_per_node: u32,
    /// Memory of jobs that ask for none.
    pub def_mem: Memory,
    /// Most memory of a job.
    pub max_mem: Memory,
    /// How many jobs may share a resource, as Slurm packs it: 0 for none but one a node, 0x8000 for
    /// all that come.
    pub max_share: u16,
    /// Minutes that jobs may run over their limit.
    pub over_time_limit: Option<u16>,
    /// As Slurm packs it; none for the cluster's.
    pub preempt_mode: Option<u16>,
    /// Seconds that a job has when it is preempted.
    pub grace_time: u32,
    /// Weighs in the priority of jobs.
    pub priority_job_factor: u16,
    /// Higher ones are served first.
    pub priority_tier: u16,
    /// Consumable resources, as Slurm packs them; 0 for the cluster's.
    pub select_parameters: u16,
    /// Lists of who may, as written; none for everybody.
    pub allow_accounts: Option<String>,
    /// The same of groups.
    pub allow_groups: Option<String>,
    /// The same of qualities of service.
    pub allow_qos: Option<String>,
    /// Hosts that may submit.
    pub alloc_nodes: Option<String>,
    /// Accounts that may not.
    pub deny_accounts: Option<String>,
    /// Qualities of service that may not.
    pub deny_qos: Option<String>,
    /// Its own quality of service.
    pub qos: Option<String>,
    /// Where jobs go when it is down.
    pub alternate: Option<String>,
    /// Weights for accounting, as written.
    pub billing_weights: Option<String>,
    /// Where it is defined.
    pub place: Place,
}

impl Partition {
    /// A partition of that name about which nothing is said, as `scontrol create` makes it: with a
    /// MinNodes of 1, where slurm.conf has 0.
    ///
    /// # Panics
    /// Never: nothing can be wrong with nothing.
    #[must_use]
    pub fn named(name: &str) -> Partition {
        let place = Place { file: Arc::from(Path::new("scontrol")), line: 0 };
        let line = Statement { place, pairs: Vec::new() };
        let of = partition(name, &Fields::default(), &line).expect("nothing is said");
        Partition { min_nodes: 1, ..of }
    }
}

/// The partitions of one line: names may be separated by commas.
///
/// # Errors
/// [`ConfError`], with the line.
pub fn partitions(line: &Statement, defaults: &Fields) -> Result<Vec<Partition>, ConfError> {
    let fields = defaults.with(line, PARTITION_KEYS)?;
    let names = line.pairs[0].value.split(',').filter(|name| !name.is_empty());
    names.map(|name| partition(name, &fields, line)).collect()
}

fn partition(name: &str, fields: &Fields, line: &Statement) -> Result<Partition, ConfError> {
    let text = |key: &str| fields.text(key).map(str::to_owned);
    let share = if fields.has("OverSubscribe") { "OverSubscribe" } else { "Shared" };
    let priority = fields.u16("Priority", 1)?;
    Ok(Partition {
        name: name.to_owned(),
        nodes: text("Nodes"),
        is_default: fields.flag("Default", false)?,
        hidden: fields.flag("Hidden", false)?,
        no_root: fields.flag("DisableRootJobs", false)?,
        root_only: fields.flag("RootOnly", false)?,
        needs_reservation: fields.flag("ReqResv", false)?,
        least_loaded: fields.flag("LLN", false)?,
        exclusive_user: fields.flag("ExclusiveUser", false)?,
        state: fields.read("State", PartitionState::Up, state)?,
        max_time: fields.read("MaxTime", u32::MAX, values::minutes)?,
        default_time: fields.read("DefaultTime", None, default_time)?,
        max_nodes: fields.u32("MaxNodes", u32::MAX)?,
        min_nodes: fields.u32("MinNodes", 0)?,
        max_cpus_per_node: fields.u32("MaxCPUsPerNode", u32::MAX)?,
        def_mem: memory(fields, "DefMemPerCPU", "DefMemPerNode")?,
        max_mem: memory(fields, "MaxMemPerCPU", "MaxMemPerNode")?,
        max_share: fields.read(share, 1, max_share)?,
        over_time_limit: fields.read("OverTimeLimit", None, |text| {
            let number = values::number(Kind::U16, text)?;
            Ok(Some(u16::try_from(number).expect("a U16 has 16 bits")))
        })?,
        preempt_mode: fields.read("PreemptMode", None, |text| preempt_mode(text).map(Some))?,
        grace_time: fields.u32("GraceTime", 0)?,
        priority_job_factor: fields.u16("PriorityJobFactor", priority)?,
        priority_tier: fields.u16("PriorityTier", priority)?,
        select_parameters: fields.read("SelectTypeParameters", 0, select_parameters)?,
        allow_accounts: fields.unless_all("AllowAccounts"),
        allow_groups: fields.unless_all("AllowGroups"),
        allow_qos: fields.unless_all("AllowQos"),
        alloc_nodes: fields.unless_all("AllocNodes"),
        deny_accounts: text("DenyAccounts"),
        deny_qos: text("DenyQos"),
        qos: text("QOS"),
        alternate: text("Alternate"),
        billing_weights: text("TRESBillingWeights"),
        place: line.place.clone(),
    })
}

/// A partition's state by its name.
pub fn state(text: &str) -> Result<PartitionState, Wanted> {
    match text.to_ascii_uppercase().as_str() {
        "UP" => Ok(PartitionState::Up),
        "DOWN" => Ok(PartitionState::Down),
        "DRAIN" => Ok(PartitionState::Drain),
        "INACTIVE" => Ok(PartitionState::Inactive),
        _ => Err("UP, DOWN, DRAIN or INACTIVE"),
    }
}

fn default_time(text: &str) -> Result<Option<u32>, Wanted> {
    if text.eq_ignore_ascii_case("NONE") {
        return Ok(None);
    }
    values::minutes(text).map(Some)
}

fn memory(fields: &Fields, per_cpu: &str, per_node: &str) -> Result<Memory, ConfError> {
    let kind = |number, of: fn(u64) -> Memory| match number {
        0 | u64::MAX => Memory::Unlimited,
        number => of(number),
    };
    if fields.has(per_cpu) {
        return Ok(kind(fields.u64(per_cpu, 0)?, Memory::PerCpu));
    }
    Ok(kind(fields.u64(per_node, 0)?, Memory::PerNode))
}

fn max_share(text: &str) -> Result<u16, Wanted> {
    const WANTED: Wanted = "NO, EXCLUSIVE, YES, YES:jobs, FORCE or FORCE:jobs";
    let upper = text.to_ascii_uppercase();
    let (word, count) = match upper.split_once(':') {
        Some((word, count)) => {
            let count = values::number(Kind::U16, count).map_err(|_| WANTED)?;
            (word, Some(u16::try_from(count).ok().filter(|n| *n > 0 && *n < 0x7fff).ok_or(WANTED)?))
        }
        None => (upper.as_str(), None),
    };
    match (word, count) {
        ("NO", None) => Ok(1),
        ("EXCLUSIVE", None) => Ok(0),
        ("YES", count) => Ok(count.unwrap_or(4)),
        ("FORCE", count) => Ok(0x8000 | count.unwrap_or(4)),
        _ => Err(WANTED),
    }
}

/// How jobs are preempted, as Slurm packs it.
pub fn preempt_mode(text: &str) -> Result<u16, Wanted> {
    text.split(',').try_fold(0, |mode, word| match word.to_ascii_uppercase().as_str() {
        "OFF" => Ok(mode),
        "SUSPEND" => Ok(mode | 0x1),
        "REQUEUE" => Ok(mode | 0x2),
        "CANCEL" => Ok(mode | 0x8),
        "WITHIN" => Ok(mode | 0x4000),
        "GANG" => Ok(mode | 0x8000),
        _ => Err("OFF, CANCEL, GANG, REQUEUE, SUSPEND or WITHIN"),
    })
}

/// Consumable resources, as Slurm packs them.
pub fn select_parameters(text: &str) -> Result<u16, Wanted> {
    text.split(',').try_fold(0, |sum, word| match word.to_ascii_uppercase().as_str() {
        "CR_CPU" => Ok(sum | 0x1),
        "CR_CPU_MEMORY" => Ok(sum | 0x11),
        "CR_SOCKET" => Ok(sum | 0x2),
        "CR_SOCKET_MEMORY" => Ok(sum | 0x12),
        "CR_CORE" => Ok(sum | 0x4),
        "CR_CORE_MEMORY" => Ok(sum | 0x14),
        "CR_MEMORY" => Ok(sum | 0x10),
        "OTHER_CONS_RES" => Ok(sum | 0x20),
        "CR_ONE_TASK_PER_CORE" => Ok(sum | 0x100),
        "CR_PACK_NODES" => Ok(sum | 0x200),
        "OTHER_CONS_TRES" => Ok(sum | 0x800),
        "CR_CORE_DEFAULT_DIST_BLOCK" => Ok(sum | 0x1000),
        "CR_LLN" => Ok(sum | 0x4000),
        _ => Err("one of the CR_ words of slurm.conf(5)"),
    })
}
