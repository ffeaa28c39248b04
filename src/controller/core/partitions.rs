//! What an operator changes of partitions, and what a partition is.
//!
//! What was changed is kept beside slurm.conf, one entry a partition, and lies over the line of
//! slurm.conf: [`current`] is the two together. An entry holds all changes of its partition as one
//! request; that of one that was created holds all of it; one that was deleted is an entry, too,
//! where slurm.conf has it still.
//!
//! Invariants: a request is done whole or refused; at most one partition is made the default by
//! requests; a partition that a job needs, waiting or running, is not deleted.

mod lines;

use crate::controller::core::{Effect, Outcome, Who, World};
use crate::controller::state::{Change, PartitionRecord, State};
use crate::slurm::conf::{Conf, Partition};
use crate::slurm::wire::Unset;
use crate::slurm::wire::constants::{partition, rc};
use crate::slurm::wire::tables::{DeletePartition, UpdatePartition};

/// Slurm's code for weights of accounting that are none.
const BILLING_WEIGHTS: u32 = 2116;
/// Slurm's code for defaults of jobs that are none.
const JOB_DEFAULTS: u32 = 2117;

/// All partitions, as they are now: slurm.conf's in its order, and those that were created.
#[must_use]
pub fn current(conf: &Conf, state: &State) -> Vec<Partition> {
    let mut found = Vec::with_capacity(conf.partitions.len());
    for partition in &conf.partitions {
        match state.partitions.get(&partition.name) {
            None => found.push(partition.clone()),
            Some(record) if record.deleted != 0 => {}
            Some(record) => found.push(lines::over(partition.clone(), &record.update)),
        }
    }
    for (name, record) in &state.partitions {
        let is_new = conf.partitions.iter().all(|partition| partition.name != *name);
        if is_new && record.created != 0 {
            found.push(lines::over(Partition::named(name), &record.update));
        }
    }
    found
}

/// The nodes of a partition, as places in the configuration's nodes, ascending. Nodes that
/// slurm.conf does not have any more are not among them.
#[must_use]
pub fn members(conf: &Conf, partition: &Partition) -> Vec<usize> {
    let same = |of: &Partition| of.name == partition.name && of.nodes == partition.nodes;
    match conf.partitions.iter().position(same) {
        Some(at) => conf.members(at).to_vec(),
        None => conf.listed(partition.nodes.as_deref().unwrap_or("")).map_or(vec![], |(at, _)| at),
    }
}

fn find(conf: &Conf, state: &State, name: &str) -> Option<Partition> {
    current(conf, state).into_iter().find(|partition| partition.name == name)
}

/// Changes a partition.
pub fn update(world: World<'_>, update: &UpdatePartition, who: &Who) -> Outcome {
    let name = update.name.lossy().into_owned();
    if !who.admin {
        return Outcome::refused(rc::USER);
    }
    if find(world.conf, world.state, &name).is_none() {
        return Outcome::refused(rc::PARTITION);
    }
    let record = world.state.partitions.get(&name).cloned().unwrap_or_else(untouched);
    change(world, name, record, update, who)
}

/// Makes a partition.
pub fn create(world: World<'_>, update: &UpdatePartition, who: &Who) -> Outcome {
    let name = update.name.lossy().into_owned();
    if !who.admin {
        return Outcome::refused(rc::USER);
    }
    let fine = !name.is_empty() && !name.eq_ignore_ascii_case("DEFAULT") && !name.contains(',');
    if !fine || find(world.conf, world.state, &name).is_some() {
        return Outcome::refused(rc::PARTITION);
    }
    let in_file = world.conf.partitions.iter().find(|partition| partition.name == name);
    // Of one that was deleted nothing is left, whatever slurm.conf says.
    let start = match in_file {
        Some(_) => lines::all_of(&Partition::named(&name)),
        None => lines::nothing(),
    };
    let record = PartitionRecord { created: 1, deleted: 0, update: start };
    change(world, name, record, update, who)
}

fn untouched() -> PartitionRecord {
    PartitionRecord { created: 0, deleted: 0, update: lines::nothing() }
}

fn change(
    world: World<'_>,
    name: String,
    mut record: PartitionRecord,
    update: &UpdatePartition,
    who: &Who,
) -> Outcome {
    if let Err(code) = check(world, update) {
        return Outcome::refused(code);
    }
    let before = find(world.conf, world.state, &name).unwrap_or_else(|| Partition::named(&name));
    let most = update.max_time.get().unwrap_or(before.max_time);
    let mut wish = update.clone();
    // As in Slurm a default that is longer than the longest is no error, but is left out.
    wish.default_time =
        wish.default_time.get().filter(|asked| *asked <= most).unwrap_or(u32::UNSET);
    record.update = lines::merged(&record.update, &wish);
    let mut changes = Vec::new();
    if update.flags & partition::DEFAULT != 0 {
        changes.extend(no_default_but(world, &name));
    }
    let note = Effect::Note(format!("uid {} changed partition {name}", who.uid));
    changes.push(Change::Partition(name, record));
    Outcome::done(changes, vec![note, Effect::Schedule])
}

/// What can be wrong with a request.
fn check(world: World<'_>, update: &UpdatePartition) -> Result<(), u32> {
    if let Some(list) = update.nodes.as_str() {
        let (_, missing) = world.conf.listed(&lines::commas(list)).map_err(|_| rc::NODE)?;
        if !missing.is_empty() {
            return Err(rc::NODE);
        }
    }
    let weights = update.billing_weights_str.lossy();
    if !weights.split(',').filter(|part| !part.is_empty()).all(|part| part.contains('=')) {
        return Err(BILLING_WEIGHTS);
    }
    if !update.job_defaults_str.is_empty() {
        return Err(JOB_DEFAULTS);
    }
    let bound = update.cpu_bind != 0 && !update.cpu_bind.is_unset();
    if bound { Err(rc::UNSUPPORTED) } else { Ok(()) }
}

/// The others are the default no more.
fn no_default_but(world: World<'_>, name: &str) -> Vec<Change> {
    let others = current(world.conf, world.state);
    let others = others.into_iter().filter(|other| other.is_default && other.name != name);
    let not_default = UpdatePartition { flags: lines::NOT_DEFAULT, ..lines::nothing() };
    let record = |other: Partition| {
        let known = world.state.partitions.get(&other.name).cloned();
        let mut record = known.unwrap_or_else(untouched);
        record.update = lines::merged(&record.update, &not_default);
        Change::Partition(other.name, record)
    };
    others.map(record).collect()
}

/// Removes a partition.
pub fn delete(world: World<'_>, request: &DeletePartition, who: &Who) -> Outcome {
    let name = request.name.lossy().into_owned();
    if !who.admin {
        return Outcome::refused(rc::USER);
    }
    if find(world.conf, world.state, &name).is_none() {
        return Outcome::refused(rc::PARTITION);
    }
    if in_use(world.state, &name) {
        return Outcome::refused(rc::PARTITION_IN_USE);
    }
    let in_file = world.conf.partitions.iter().any(|partition| partition.name == name);
    let note = Effect::Note(format!("uid {} deleted partition {name}", who.uid));
    let change = if in_file {
        Change::Partition(name, PartitionRecord { created: 0, deleted: 1, ..untouched() })
    } else {
        Change::ForgetPartition(name)
    };
    Outcome::done(vec![change], vec![note, Effect::Schedule])
}

/// Whether a job that is not over is in it, or may be.
#[must_use]
pub fn in_use(state: &State, name: &str) -> bool {
    let named = |id: &u32| {
        let job = state.job(*id).expect("it is derived from the jobs");
        let where_ = if job.is_pending() { &job.spec.partition } else { &job.course.partition };
        let ended = !job.is_pending() && !job.is_active();
        !ended && where_.lossy().split(',').any(|other| other == name)
    };
    state.pending.iter().chain(state.busy.iter()).any(named)
}

/// What reading slurm.conf again does to what was changed by requests.
///
/// | entry | ReconfigFlags | afterwards |
/// |---|---|---|
/// | changed | none | as slurm.conf has it |
/// | changed | KeepPartState | its State, otherwise as slurm.conf has it |
/// | changed | KeepPartInfo | as it was |
/// | created | KeepPartInfo, or a job needs it | as it was |
/// | created | else | gone |
/// | deleted | any | as slurm.conf has it |
#[must_use]
pub fn reread(world: World<'_>) -> Vec<Change> {
    let flags = world.conf.text("ReconfigFlags").unwrap_or("").to_ascii_lowercase();
    let has = |flag: &str| flags.split(',').any(|word| word.trim() == flag);
    let (keep, keep_state) = (has("keeppartinfo"), has("keeppartstate"));
    let mut changes = Vec::new();
    for (name, record) in &world.state.partitions {
        let (created, deleted) = (record.created != 0, record.deleted != 0);
        let in_file = world.conf.partitions.iter().any(|partition| partition.name == *name);
        let needed = created && !in_file && in_use(world.state, name);
        if !deleted && (keep || needed) {
            continue;
        }
        let state_up = if deleted || created { u16::UNSET } else { record.update.state_up };
        if keep_state && !state_up.is_unset() {
            let update = UpdatePartition { state_up, ..lines::nothing() };
            let kept = PartitionRecord { update, ..untouched() };
            if kept != *record {
                changes.push(Change::Partition(name.clone(), kept));
            }
            continue;
        }
        changes.push(Change::ForgetPartition(name.clone()));
    }
    changes
}

#[cfg(test)]
mod tests;
