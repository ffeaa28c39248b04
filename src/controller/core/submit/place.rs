//! The partitions that a job may run in, and what they allow.
//!
//! Without `EnforcePartLimits` a job that is too large for its partition is accepted all the same
//! and waits: the partition may change. Who may not use a partition is refused in any case.

use crate::controller::core::submit::refusal::{Refusal, code};
use crate::controller::core::{Who, World, deadline};
use crate::controller::core::{current, members};
use crate::slurm::conf::{Conf, Node, Partition, PartitionState};
use crate::slurm::hostlist;
use crate::slurm::wire::Unset;
use crate::slurm::wire::constants::reason;
use crate::slurm::wire::tables::JobDesc;

/// In `bitflags`: the user named no partition.
const PARTITION_ASSIGNED: u64 = 1 << 31;

/// How strictly a partition's limits are kept to at submission (`EnforcePartLimits`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforce {
    /// Jobs wait for the limits to change.
    No,
    /// One of the partitions must allow the job.
    Any,
    /// All of them must.
    All,
}

impl Enforce {
    /// What slurm.conf says.
    #[must_use]
    pub fn of(conf: &Conf) -> Enforce {
        match conf.text("EnforcePartLimits").map(str::to_ascii_uppercase).as_deref() {
            Some("ALL" | "YES") => Enforce::All,
            Some("ANY") => Enforce::Any,
            _ => Enforce::No,
        }
    }
}

/// A partition with its nodes.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The partition, as it is now.
    pub partition: Partition,
    /// Its nodes.
    pub nodes: Vec<&'a Node>,
    /// Whether root's jobs are refused.
    no_root: bool,
}

impl Place<'_> {
    /// CPUs of all its nodes.
    #[must_use]
    pub fn cpus(&self) -> u64 {
        self.nodes.iter().map(|node| u64::from(node.cpus)).sum()
    }

    fn starts_jobs(&self) -> bool {
        matches!(self.partition.state, PartitionState::Up | PartitionState::Drain)
    }

    fn takes_jobs(&self) -> bool {
        matches!(self.partition.state, PartitionState::Up | PartitionState::Down)
    }
}

fn place<'a>(conf: &'a Conf, partition: &Partition) -> Place<'a> {
    let nodes = members(conf, partition).into_iter().map(|at| &conf.nodes[at]).collect();
    let no_root = partition.no_root || conf.flag("DisableRootJobs");
    Place { partition: partition.clone(), nodes, no_root }
}

/// The partitions that are asked for, or the default one. Those that take no jobs now are replaced
/// by their alternates, or left out.
pub fn places<'a>(world: World<'a>, spec: &mut JobDesc) -> Result<Vec<Place<'a>>, Refusal> {
    let all = current(world.conf, world.state);
    let find = |name: &str| all.iter().find(|partition| partition.name == name);
    let mut found: Vec<&Partition> = Vec::new();
    if spec.partition.is_empty() {
        let default = all.iter().rev().find(|partition| partition.is_default);
        found.push(default.ok_or(code::NO_DEFAULT_PARTITION)?);
        spec.bitflags |= PARTITION_ASSIGNED;
    } else {
        let text = spec.partition.lossy();
        for name in text.split(',').filter(|name| !name.is_empty()) {
            let Some(partition) = find(name) else {
                let line = format!("invalid partition specified: {name}");
                return Err(Refusal::because(code::PARTITION, line));
            };
            if !found.iter().any(|other| other.name == partition.name) {
                found.push(partition);
            }
        }
        if found.is_empty() {
            let line = format!("invalid partition specified: {text}");
            return Err(Refusal::because(code::PARTITION, line));
        }
    }
    let (mut usable, mut replaced) = (Vec::new(), false);
    let mut why = Refusal::from(code::PARTITION_NOT_AVAILABLE);
    for partition in found {
        match taking(partition, &all) {
            Ok(taking) => {
                replaced |= taking.name != partition.name;
                usable.push(place(world.conf, taking));
            }
            Err(code) => (why, replaced) = (code.into(), true),
        }
    }
    if usable.is_empty() {
        return Err(why);
    }
    // What was asked for is shown as it was written, unless it is not what is had.
    if spec.partition.is_empty() || replaced {
        let names: Vec<&str> = usable.iter().map(|place| place.partition.name.as_str()).collect();
        spec.partition = names.join(",").into();
    }
    Ok(usable)
}

/// The partition, or the first of its alternates that takes jobs.
fn taking<'a>(partition: &'a Partition, all: &'a [Partition]) -> Result<&'a Partition, u32> {
    let takes = |of: &Partition| matches!(of.state, PartitionState::Up | PartitionState::Down);
    let mut at = partition;
    // A circle of alternates ends after as many steps as there are partitions.
    for _ in 0..=all.len() {
        if takes(at) {
            return Ok(at);
        }
        let Some(next) = &at.alternate else { return Err(code::PARTITION_NOT_AVAILABLE) };
        at = all.iter().find(|other| other.name == *next).ok_or(code::PARTITION)?;
    }
    Err(code::PARTITION_NOT_AVAILABLE)
}

/// Whether the job may go there, and its limits are kept.
pub fn access(
    place: &Place<'_>,
    spec: &JobDesc,
    who: &Who,
    owner: &Who,
    enforce: Enforce,
) -> Result<(), u32> {
    let partition = &place.partition;
    if partition.needs_reservation || (partition.root_only && !who.admin) {
        return Err(code::ACCESS);
    }
    if place.no_root && spec.user_id == 0 {
        return Err(code::USER);
    }
    if !in_groups(partition, owner) {
        return Err(code::GROUP);
    }
    if !from_there(partition, &spec.alloc_node.lossy()) {
        return Err(code::ACCESS);
    }
    if place.starts_jobs() {
        limits(place, spec)?;
    }
    required_are_there(place, spec)?;
    if enforce != Enforce::No && !for_account(partition, spec) {
        return Err(code::ACCOUNT);
    }
    Ok(())
}

fn in_groups(partition: &Partition, owner: &Who) -> bool {
    let Some(allowed) = &partition.allow_groups else { return true };
    owner.admin || allowed.split(',').any(|group| owner.groups.iter().any(|of| of == group))
}

fn from_there(partition: &Partition, host: &str) -> bool {
    let Some(allowed) = &partition.alloc_nodes else { return true };
    hostlist::expand(allowed).is_ok_and(|hosts| hosts.iter().any(|other| other == host))
}

fn for_account(partition: &Partition, spec: &JobDesc) -> bool {
    let account = spec.account.lossy();
    let has = |list: &str| list.split(',').any(|name| name.eq_ignore_ascii_case(&account));
    match (&partition.allow_accounts, &partition.deny_accounts) {
        (Some(allowed), _) => !account.is_empty() && has(allowed),
        (None, Some(denied)) => account.is_empty() || !has(denied),
        (None, None) => true,
    }
}

fn limits(place: &Place<'_>, spec: &JobDesc) -> Result<(), u32> {
    let partition = &place.partition;
    if let Some(cpus) = spec.min_cpus.get() {
        let each = u64::from(partition.max_cpus_per_node);
        let most = place.cpus().min(each.saturating_mul(place.nodes.len() as u64));
        if u64::from(cpus) > most {
            return Err(code::TOO_MANY_CPUS);
        }
    }
    if let Some(nodes) = spec.min_nodes.get()
        && (nodes as usize > place.nodes.len() || nodes < partition.min_nodes)
    {
        return Err(code::NODE_COUNT);
    }
    if spec.max_nodes.get().is_some_and(|nodes| nodes > partition.max_nodes) {
        return Err(code::NODE_COUNT);
    }
    if spec.time_limit.get().is_some_and(|minutes| minutes > partition.max_time) {
        return Err(code::TIME_LIMIT);
    }
    Ok(())
}

fn required_are_there(place: &Place<'_>, spec: &JobDesc) -> Result<(), u32> {
    if spec.req_nodes.is_none() {
        return Ok(());
    }
    let wanted = hostlist::expand(&spec.req_nodes.lossy()).map_err(|_| code::NODE)?;
    let has = |name: &String| place.nodes.iter().any(|node| node.name == *name);
    if wanted.iter().all(has) { Ok(()) } else { Err(code::NODES_NOT_IN_PARTITION) }
}

/// Whether the job may go to those partitions at all; limits and defaults that they set.
pub fn check(
    places: &[Place<'_>],
    spec: &mut JobDesc,
    (who, owner): (&Who, &Who),
    enforce: Enforce,
    now: i64,
) -> Result<(), Refusal> {
    let (mut any, mut last) = (false, None);
    for place in places {
        match access(place, spec, who, owner, enforce) {
            Ok(()) => any = true,
            Err(code @ (code::ACCESS | code::USER | code::GROUP)) => return Err(code.into()),
            Err(code) if enforce == Enforce::All => return Err(code.into()),
            Err(code) => last = Some(code),
        }
    }
    match last {
        Some(code) if enforce == Enforce::Any && !any => return Err(code.into()),
        _ => {}
    }
    counts(places, spec, enforce)?;
    times(places, spec, enforce)?;
    in_time(spec, now)
}

/// Whether the job can be over by its deadline.
fn in_time(spec: &JobDesc, now: i64) -> Result<(), Refusal> {
    let Some(time) = deadline::of(spec) else { return Ok(()) };
    let after = |minutes: u32| now + i64::from(minutes) * 60;
    let limit = spec.time_limit.get().filter(|limit| *limit > 0 && spec.time_min == 0);
    match spec.time_min.get().filter(|least| *least > 0) {
        _ if time < now => Err(code::TIME_LIMIT.into()),
        Some(least) if time < after(least) => Err(code::TIME_MIN.into()),
        _ if limit.is_some_and(|limit| time < after(limit)) => Err(code::TIME_LIMIT.into()),
        _ => Ok(()),
    }
}

fn counts(places: &[Place<'_>], spec: &mut JobDesc, enforce: Enforce) -> Result<(), Refusal> {
    let enforced = enforce != Enforce::No;
    let least = places.iter().map(|place| place.partition.min_nodes).min().unwrap_or(0);
    let most = places.iter().map(|place| place.partition.max_nodes).max().unwrap_or(u32::MAX);
    let wanted_most = spec.max_nodes.get();
    match spec.min_nodes.get() {
        None => spec.min_nodes = least.max(1),
        Some(nodes) if nodes > most && enforced => return Err(code::NODE_COUNT.into()),
        Some(nodes) if nodes < least && wanted_most.is_none_or(|most| most >= least) => {
            spec.min_nodes = least;
        }
        Some(_) => {}
    }
    if enforced && wanted_most.is_some_and(|most| most < least) {
        return Err(code::NODE_COUNT.into());
    }
    // A job without nodes makes sense for burst buffers only.
    if spec.min_nodes == 0 { Err(code::NODE_COUNT.into()) } else { Ok(()) }
}

fn times(places: &[Place<'_>], spec: &mut JobDesc, enforce: Enforce) -> Result<(), Refusal> {
    let most = places.iter().map(|place| place.partition.max_time).max().unwrap_or(u32::MAX);
    if spec.time_limit.is_unset() {
        match places[0].partition.default_time {
            Some(0) => return Err(code::TIME_LIMIT.into()),
            Some(minutes) => spec.time_limit = minutes,
            None => {}
        }
    }
    // A client that sets no least time sends NO_VAL or 0.
    let least = spec.time_min.get().filter(|least| *least > 0);
    if least.is_some_and(|least| least > most) {
        return Err(code::TIME_MIN.into());
    }
    let limit = spec.time_limit.get();
    if least.is_none() && enforce != Enforce::No && limit.is_some_and(|limit| limit > most) {
        return Err(code::TIME_LIMIT.into());
    }
    match (least, limit) {
        (Some(least), Some(limit)) if least > limit => Err(code::TIME_MIN.into()),
        _ => Ok(()),
    }
}

/// Whether the partition takes and starts jobs, and the job is within its limits: what
/// [`access`] says, once more for jobs that were accepted without `EnforcePartLimits`.
#[must_use]
pub fn waits_for(place: &Place<'_>, spec: &JobDesc) -> Option<u16> {
    if !for_account(&place.partition, spec) {
        return Some(reason::ACCOUNT);
    }
    if place.starts_jobs() {
        match limits(place, spec) {
            Ok(()) => {}
            Err(code::NODE_COUNT) => return Some(reason::PARTITION_NODE_LIMIT),
            Err(code::TIME_LIMIT) => return Some(reason::PARTITION_TIME_LIMIT),
            Err(_) => return Some(reason::PARTITION_CONFIG),
        }
    }
    match (place.starts_jobs(), place.takes_jobs()) {
        (true, _) => None,
        (false, true) => Some(reason::PARTITION_DOWN),
        (false, false) => Some(reason::PARTITION_INACTIVE),
    }
}
