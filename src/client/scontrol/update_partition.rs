//! `scontrol update PartitionName=…`, `create`, `delete`.

use super::Desk;
use crate::client::partition::{FORCE, PER_CPU, flag};
use crate::client::{sbatch, text, when};
use crate::slurm::conf::preempt_mode;
use crate::slurm::wire::tables::{DeletePartition, UpdatePartition};
use crate::slurm::wire::{Message, Unset};

fn unset() -> UpdatePartition {
    UpdatePartition {
        default_time: u32::UNSET,
        def_mem_per_cpu: u64::UNSET,
        grace_time: u32::UNSET,
        max_cpus_per_node: u32::UNSET,
        max_mem_per_cpu: u64::UNSET,
        max_nodes: u32::UNSET,
        max_share: u16::UNSET,
        min_nodes: u32::UNSET,
        max_time: u32::UNSET,
        over_time_limit: u16::UNSET,
        preempt_mode: u16::UNSET,
        priority_job_factor: u16::UNSET,
        priority_tier: u16::UNSET,
        state_up: u16::UNSET,
        ..UpdatePartition::default()
    }
}

fn read(desk: &Desk<'_>, words: &[String]) -> Result<UpdatePartition, u8> {
    let mut change = unset();
    for word in words {
        set(desk, &mut change, word).inspect_err(|_| {
            text::complain("slurm_update error: No error\n");
        })?;
    }
    if change.name.is_none() {
        return Err(desk.error("PartitionName must be given."));
    }
    Ok(change)
}

/// Changes a partition.
pub fn update(desk: &Desk<'_>, words: &[String]) -> u8 {
    let change = match read(desk, words) {
        Ok(change) => change,
        Err(code) => return code,
    };
    if words.len() < 2 {
        return desk.error("No changes specified");
    }
    match desk.cluster.order(&Message::UpdatePartition(Box::new(change))) {
        Ok(()) => 0,
        Err(failure) => desk.failed("slurm_update error", &failure),
    }
}

/// Makes a partition.
pub fn create(desk: &Desk<'_>, words: &[String]) -> u8 {
    let tag = |word: &str| word.split('=').next().unwrap_or_default().to_owned();
    let is = |name: &str| words.iter().any(|word| text::abbreviates(&tag(word), name, 3));
    if is("NodeName") || is("ReservationName") {
        desk.call.left_to_slurm("create of nodes and reservations");
        return 1;
    }
    if !is("PartitionName") {
        return desk.error(&format!("Invalid creation entity: {}", words[0]));
    }
    let change = match read(desk, words) {
        Ok(change) => change,
        Err(code) => return code,
    };
    if text::of(&change.name).eq_ignore_ascii_case("default") {
        return desk.error("PartitionName cannot be \"DEFAULT\".");
    }
    match desk.cluster.order(&Message::CreatePartition(Box::new(change))) {
        Ok(()) => 0,
        Err(failure) => desk.failed("Error creating the partition", &failure),
    }
}

/// Removes a partition.
pub fn delete(desk: &Desk<'_>, words: &[String]) -> u8 {
    let (what, name) = match words {
        [word] if word.contains('=') => word.split_once('=').expect("it has one"),
        [what, name] => (what.as_str(), name.as_str()),
        _ => {
            let form = "'delete <ENTITY>=<ID>' or 'delete <ENTITY> <ID>'";
            return desk.error(&format!("Proper format is {form}"));
        }
    };
    if text::abbreviates(what, "NodeName", 3) || text::abbreviates(what, "ReservationName", 3) {
        desk.call.left_to_slurm("delete of nodes and reservations");
        return 1;
    }
    if !text::abbreviates(what, "PartitionName", 3) {
        text::complain(&format!("Invalid deletion entity: {}\n", words[0]));
        return 1;
    }
    let message = Message::DeletePartition(Box::new(DeletePartition { name: text::wire(name) }));
    match desk.cluster.order(&message) {
        Ok(()) => 0,
        Err(failure) => desk.failed(&format!("delete_partition {}", words[0]), &failure),
    }
}

fn set(desk: &Desk<'_>, to: &mut UpdatePartition, word: &str) -> Result<(), u8> {
    let Some((tag, value)) = word.split_once('=') else {
        return Err(desk.error(&format!("Invalid input: {word}  Request aborted")));
    };
    let is = |name: &str, least: usize| text::abbreviates(tag, name, least);
    let wrong = || desk.error(&format!("Invalid input {word}"));
    let endless = ["UNLIMITED", "INFINITE"].iter().any(|name| value.eq_ignore_ascii_case(name));
    let bad = |name: &str| desk.error(&format!("Invalid {name} value: {value}"));
    let minutes = || when::minutes(value).ok_or_else(wrong);
    let mut flags = |name: &str, flag: u16| -> Result<(), u8> {
        if text::abbreviates(value, "NO", 1) {
            to.flags |= flag << flag::CLEAR_SHIFT;
        } else if text::abbreviates(value, "YES", 1) {
            to.flags |= flag;
        } else {
            desk.error(&format!("Invalid input: {word}"));
            return Err(desk.error(&format!("Acceptable {name} values are YES and NO")));
        }
        Ok(())
    };
    let number = |name: &str, max: u64| {
        value.parse::<u64>().ok().filter(|number| *number < max).ok_or_else(|| bad(name))
    };
    let small = |name: &str| number(name, u16::UNSET.into()).map(|number| number as u16);
    let medium = |name: &str| number(name, u32::UNSET.into()).map(|number| number as u32);
    // The order decides what an abbreviation stands for.
    match tag {
        _ if is("PartitionName", 2) => to.name = text::wire(value),
        _ if is("MaxTime", 4) => to.max_time = minutes()?,
        _ if is("DefaultTime", 8) => to.default_time = minutes()?,
        _ if is("MaxCPUsPerNode", 4) => {
            to.max_cpus_per_node = if endless { u32::INFINITE } else { medium("MaxCPUsPerNode")? };
        }
        _ if is("MaxNodes", 4) && endless => to.max_nodes = u32::INFINITE,
        _ if is("MaxNodes", 4) => {
            to.max_nodes = sbatch::count(value).ok_or_else(|| bad("MaxNodes"))?;
        }
        _ if is("MinNodes", 2) => {
            to.min_nodes = sbatch::count(value).ok_or_else(|| bad("MinNodes"))?;
        }
        _ if is("Default", 7) => flags("Default", flag::DEFAULT)?,
        _ if is("DisableRootJobs", 1) => flags("DisableRootJobs", flag::NO_ROOT)?,
        _ if is("ExclusiveUser", 1) => flags("ExclusiveUser", flag::EXCLUSIVE_USER)?,
        _ if is("Hidden", 1) => flags("Hidden", flag::HIDDEN)?,
        _ if is("LLN", 1) => flags("LLN", flag::LLN)?,
        _ if is("RootOnly", 3) => flags("RootOnly", flag::ROOT_ONLY)?,
        _ if is("ReqResv", 3) => flags("ReqResv", flag::REQ_RESV)?,
        _ if is("OverSubscribe", 5) || is("Shared", 2) => {
            to.max_share = share(value).ok_or_else(|| {
                desk.error(&format!("Invalid input: {word}"));
                let wanted = "NO, EXCLUSIVE, YES:#, and FORCE:#";
                desk.error(&format!("Acceptable OverSubscribe values are {wanted}"))
            })?;
        }
        _ if is("OverTimeLimit", 5) => {
            to.over_time_limit = if endless { u16::INFINITE } else { small("OverTimeLimit")? };
        }
        _ if is("PreemptMode", 3) => to.preempt_mode = preempt_mode(value).map_err(|_| wrong())?,
        _ if is("Priority", 3) => {
            to.priority_tier = small("Priority")?;
            to.priority_job_factor = to.priority_tier;
        }
        _ if is("PriorityJobFactor", 3) => to.priority_job_factor = small("PriorityJobFactor")?,
        _ if is("PriorityTier", 3) => to.priority_tier = small("PriorityTier")?,
        _ if is("State", 2) => {
            let states = [("INACTIVE", 0), ("DOWN", 1), ("UP", 3), ("DRAIN", 2)];
            let found = states.iter().find(|(name, _)| text::abbreviates(value, name, 1));
            to.state_up = found.map(|(_, state)| *state).ok_or_else(|| {
                desk.error(&format!("Invalid input: {word}"));
                desk.error("Acceptable State values are UP, DOWN, DRAIN and INACTIVE")
            })?;
        }
        _ if is("Nodes", 1) => to.nodes = text::wire(value),
        _ if is("AllowGroups", 6) => to.allow_groups = text::wire(value),
        _ if is("AllowAccounts", 6) => to.allow_accounts = text::wire(value),
        _ if is("AllowQos", 6) => to.allow_qos = text::wire(value),
        _ if is("DenyAccounts", 5) => to.deny_accounts = text::wire(value),
        _ if is("DenyQos", 5) => to.deny_qos = text::wire(value),
        _ if is("AllocNodes", 6) => to.allow_alloc_nodes = text::wire(value),
        _ if is("Alternate", 3) => to.alternate = text::wire(value),
        _ if is("GraceTime", 5) => to.grace_time = medium("GraceTime")?,
        _ if is("DefMemPerCPU", 10) => {
            to.def_mem_per_cpu = number("DefMemPerCPU", u64::UNSET)? | PER_CPU;
        }
        _ if is("DefMemPerNode", 10) => {
            to.def_mem_per_cpu = number("DefMemPerNode", u64::UNSET)?;
        }
        _ if is("MaxMemPerCPU", 10) => {
            to.max_mem_per_cpu = number("MaxMemPerCPU", u64::UNSET)? | PER_CPU;
        }
        _ if is("MaxMemPerNode", 10) => {
            to.max_mem_per_cpu = number("MaxMemPerNode", u64::UNSET)?;
        }
        _ if is("QoS", 3) => to.qos_char = text::wire(value),
        _ if is("JobDefaults", 4) => to.job_defaults_str = text::wire(value),
        _ if is("TresBillingWeights", 1) => to.billing_weights_str = text::wire(value),
        _ => {
            desk.error(&format!("Update of this parameter is not supported: {word}\n"));
            return Err(desk.error("Request aborted"));
        }
    }
    Ok(())
}

fn share(value: &str) -> Option<u16> {
    let (word, count) = match value.split_once(':') {
        Some((word, count)) => (word, text::leading_number(count).0 as u16),
        None => (value, 4),
    };
    let is = |name: &str| text::abbreviates(word, name, 1);
    match word {
        _ if is("NO") => Some(1),
        _ if is("EXCLUSIVE") => Some(0),
        _ if is("YES") => Some(count),
        _ if is("FORCE") => Some(count | FORCE),
        _ => None,
    }
}
