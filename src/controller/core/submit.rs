//! What a submitted job comes to: an id, or Slurm's number for what is wrong with it.
//!
//! The order of the checks is Slurm's, so that a request with several mistakes gets the same
//! answer. Invariants: an accepted job has its defaults filled in and is within the limits that are
//! enforced; its script is saved with it; a request that was executed is not executed again.

use crate::controller::core::array_list::{self, ArrayList};
use crate::controller::core::dependency::{Dependencies, Kind, Met, Task};
use crate::controller::core::features::Constraint;
use crate::controller::core::ids::Ids;
use crate::controller::core::{Effect, Outcome, Who, World, deadline};
use crate::controller::job::{Course, Job, Payload, unbegun};
use crate::controller::state::{Change, State};
use crate::slurm::conf::Node;
use crate::slurm::hostlist;
use crate::slurm::wire::constants::job::NICE_OFFSET;
use crate::slurm::wire::constants::{reason, step};
use crate::slurm::wire::tables::{JobDesc, Submitted};
use crate::slurm::wire::{Message, Text, Time, Unset};
use place::{Enforce, Place};
use refusal::{Refusal, code};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

mod fits;
mod memory;
mod place;
mod refusal;
mod request;

/// In `bitflags`: what clients may say; the rest is the controller's own.
const CLIENTS_FLAGS: u64 =
    !(1 << 3 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 16 | 1 << 18 | 1 << 20 | 1 << 22);
/// In `bitflags`: over as many nodes as there are tasks.
const SPREAD: u64 = 1 << 8;
/// Seconds that a job waits at most for nodes at few switches.
const SWITCH_WAIT: u32 = 300;
/// In `bitflags`: it may have to wait for others.
const DEPENDENT: u64 = 1 << 29;

/// Accepts a batch job, or says why not.
pub fn submit(
    world: World<'_>,
    desc: &JobDesc,
    who: &Who,
    owner: Option<&Who>,
    request: &[u8],
) -> Outcome {
    if let Some(id) = world.state.requested(request) {
        return Outcome { changes: Vec::new(), reply: submitted(id), effects: Vec::new() };
    }
    let owner = owner.unwrap_or(who);
    accept(world, desc, (who, owner), request).unwrap_or_else(|refusal| {
        let reply = refusal.reply();
        Outcome { changes: Vec::new(), reply, effects: Vec::new() }
    })
}

fn submitted(job_id: u32) -> Message {
    let step_id = step::BATCH;
    Message::Submitted(Box::new(Submitted { job_id, step_id, ..Submitted::default() }))
}

/// What the checks have found out.
struct Found {
    array: Option<ArrayList>,
    dependencies: Dependencies,
    /// Why it cannot start now, as far as that is known.
    waits_for: Option<u16>,
}

fn accept(
    world: World<'_>,
    desc: &JobDesc,
    (who, owner): (&Who, &Who),
    request: &[u8],
) -> Result<Outcome, Refusal> {
    let mut spec = without_payload(desc);
    request::owner(&mut spec, who)?;
    request::from_where(&mut spec, &desc.environment);
    let found = checked(world, &mut spec, &desc.script, (who, owner))?;
    let mut ids = Ids::of(world);
    let id = match spec.job_id.get() {
        None => ids.give().ok_or(code::AGAIN)?,
        Some(id) => wanted_id(world.state, id, who)?,
    };
    let payload = payload(desc, found.array.as_ref());
    let user_name = if owner.name.is_empty() { Text::NONE } else { owner.name.as_str().into() };
    let course = course(world, &spec, found, id, user_name, request);
    let user = spec.user_id;
    // One that is held starts no sooner for being looked at.
    let may_start = course.priority != 0 || !course.dependency.is_empty();
    let job = Arc::new(Job { id, spec: Arc::new(spec), course });
    let mut changes = vec![Change::Script(id, Arc::new(payload)), Change::Job(job)];
    changes.extend(ids.change());
    let mut effects = vec![Effect::Note(format!("job {id} submitted by uid {user}"))];
    effects.extend(may_start.then_some(Effect::Schedule));
    Ok(Outcome { changes, reply: submitted(id), effects })
}

/// The request without what is kept elsewhere. Of the arguments the command line stays, as one
/// text, to be shown.
fn without_payload(desc: &JobDesc) -> JobDesc {
    let argv = match desc.argv.as_slice() {
        [] => Vec::new(),
        words => {
            vec![Text::from_bytes(&words.iter().map(Text::bytes).collect::<Vec<_>>().join(&b' '))]
        }
    };
    JobDesc {
        argv,
        script: Text::NONE,
        environment: Vec::new(),
        spank_job_env: Vec::new(),
        ..desc.clone()
    }
}

fn payload(desc: &JobDesc, array: Option<&ArrayList>) -> Payload {
    let mut environment = desc.environment.clone();
    if let Some(ArrayList { tasks, step, .. }) = array {
        let ids = || crate::controller::job::task_ids(tasks);
        let (first, last) = (ids().min().unwrap_or(0), ids().max().unwrap_or(0));
        let facts = [("COUNT", count(array)), ("MIN", first), ("MAX", last), ("STEP", *step)];
        let lines = facts.map(|(name, value)| format!("SLURM_ARRAY_TASK_{name}={value}").into());
        environment.extend(lines);
    }
    Payload {
        script: desc.script.clone(),
        argv: desc.argv.clone(),
        environment,
        spank_job_env: desc.spank_job_env.clone(),
    }
}

/// Tasks of an array, 1 for a job that is none.
fn count(array: Option<&ArrayList>) -> u32 {
    array.map_or(1, |array| array.tasks.iter().map(|run| run.count()).sum())
}

/// An id that is asked for: administrators may.
fn wanted_id(state: &State, id: u32, who: &Who) -> Result<u32, Refusal> {
    if !who.admin || id == 0 || id > 0x03ff_ffff {
        return Err(code::JOB_ID.into());
    }
    let taken = state.job(id).is_some() || state.arrays.contains_key(&id);
    if taken { Err(code::DUPLICATE_ID.into()) } else { Ok(id) }
}

/// All checks, in Slurm's order; defaults are filled in on the way.
fn checked(
    world: World<'_>,
    spec: &mut JobDesc,
    script: &Text,
    (who, owner): (&Who, &Who),
) -> Result<Found, Refusal> {
    let World { conf, state, .. } = world;
    let number = |name| u32::try_from(conf.number(name)).unwrap_or(u32::MAX);
    request::rights(spec, who, conf)?;
    request::lengths(spec, script, conf)?;
    let array = match spec.array_inx.is_empty() {
        true => None,
        false => {
            let list = array_list::parse(&spec.array_inx.lossy(), number("MaxArraySize"));
            spec.immediate = 0;
            Some(list.ok_or(code::ARRAY)?)
        }
    };
    for text in [&mut spec.account, &mut spec.wckey] {
        if !text.is_empty() {
            *text = text.lossy().to_lowercase().into();
        }
    }
    request::sizes(spec)?;
    if state.tasks + u64::from(count(array.as_ref())) >= u64::from(number("MaxJobCount")) {
        return Err(code::AGAIN.into());
    }
    let nodes = required(world, spec)?;
    let places = place::places(world, spec)?;
    let enforce = Enforce::of(conf);
    place::check(&places, spec, (who, owner), enforce, world.now)?;
    if script.is_empty() {
        return Err(code::NO_SCRIPT.into());
    }
    memory::check(conf, &places, spec, enforce)?;
    defaults(world, spec);
    request::unsupported(spec, conf)?;
    without(world, spec, &nodes)?;
    if spec.max_nodes != 0 && spec.max_nodes < spec.min_nodes {
        return Err(code::NODE_COUNT.into());
    }
    let dependencies = dependencies(world, spec)?;
    let wanted = constraint(world, spec)?;
    let waits_for = runnable(world, &places, spec, wanted.as_ref(), enforce)?;
    if spec.priority == 0 || array.is_some() || dependencies.met() != Met::Is {
        spec.bitflags |= DEPENDENT;
    }
    Ok(Found { array, dependencies, waits_for })
}

/// The nodes that are asked for by name: they are there, and counted.
fn required(world: World<'_>, spec: &mut JobDesc) -> Result<BTreeSet<String>, Refusal> {
    let names = known_nodes(world, &spec.req_nodes)?;
    let mut count = names.len();
    if !matches!(spec.contiguous, 0 | u16::UNSET) {
        // Nodes that are to follow each other include what is between these.
        let is = |node: &Node| names.contains(&node.name);
        let nodes = &world.conf.nodes;
        let ends = nodes.iter().position(is).zip(nodes.iter().rposition(is));
        count = ends.map_or(0, |(first, last)| last + 1 - first);
    }
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    if count > 0 {
        spec.req_nodes = hostlist::compress(names.iter().map(String::as_str)).into();
        // Not set is more than any number.
        spec.min_nodes = spec.min_nodes.max(count);
        spec.min_cpus = spec.min_cpus.max(count);
        if spec.max_nodes != 0 && spec.min_nodes > spec.max_nodes {
            return Err(code::NODE_COUNT.into());
        }
    }
    if spec.max_nodes == 0 { Err(code::NODE_COUNT.into()) } else { Ok(names) }
}

/// The nodes that are to be left out: they are there, and none of them is asked for.
fn without(
    world: World<'_>,
    spec: &mut JobDesc,
    required: &BTreeSet<String>,
) -> Result<(), Refusal> {
    let names = known_nodes(world, &spec.exc_nodes)?;
    if !names.is_disjoint(required) {
        return Err(code::NODE.into());
    }
    if !names.is_empty() {
        spec.exc_nodes = hostlist::compress(names.iter().map(String::as_str)).into();
    }
    Ok(())
}

fn known_nodes(world: World<'_>, list: &Text) -> Result<BTreeSet<String>, Refusal> {
    if list.is_empty() {
        return Ok(BTreeSet::new());
    }
    let names = hostlist::expand(&list.lossy()).map_err(|_| code::NODE)?;
    let names: BTreeSet<String> = names.into_iter().collect();
    let known = world.conf.nodes.iter().filter(|node| names.contains(&node.name)).count();
    if known == names.len() { Ok(names) } else { Err(code::NODE.into()) }
}

/// What Slurm's controller puts where the client says nothing.
fn defaults(world: World<'_>, spec: &mut JobDesc) {
    let or = |value: u16, default: u16| value.get().unwrap_or(default);
    spec.contiguous = or(spec.contiguous, 0);
    spec.kill_on_node_fail = or(spec.kill_on_node_fail, 1);
    spec.nice = spec.nice.get().unwrap_or(NICE_OFFSET);
    spec.min_nodes = spec.min_nodes.get().unwrap_or(1);
    spec.max_nodes = spec.max_nodes.get().unwrap_or(0);
    spec.min_cpus = spec.min_cpus.get().unwrap_or(spec.min_nodes);
    spec.cpus_per_task = spec.cpus_per_task.get().map_or(u16::UNSET, |each| each.max(1));
    let each = or(spec.cpus_per_task, 1);
    spec.pn_min_cpus = or(spec.pn_min_cpus, 1).max(1);
    let per_node = or(spec.ntasks_per_node, 0);
    let overcommit = spec.overcommit.get().unwrap_or(0);
    if overcommit == 0 && spec.num_tasks.get().unwrap_or(0) > 1 {
        spec.pn_min_cpus = spec.pn_min_cpus.max(each.saturating_mul(per_node));
    }
    spec.pn_min_cpus = spec.pn_min_cpus.max(each);
    spec.pn_min_tmp_disk = spec.pn_min_tmp_disk.get().unwrap_or(0);
    let least = u32::from(deadline::of(spec).is_some() && spec.time_limit.is_unset());
    spec.time_min = spec.time_min.get().unwrap_or(least);
    let requeue = u16::try_from(world.conf.number("JobRequeue")).unwrap_or(1);
    spec.requeue = or(spec.requeue, requeue).min(1);
    spec.reboot = or(spec.reboot, 0).min(1);
    if spec.req_switch.get().is_some() {
        let most = request::parameter(world.conf, "max_switch_wait=").unwrap_or(SWITCH_WAIT);
        spec.wait4switch = spec.wait4switch.get().unwrap_or(u32::INFINITE).min(most);
    }
    let tasks = spec.num_tasks.get().unwrap_or(0);
    if spec.bitflags & SPREAD != 0 && spec.max_nodes == 0 && tasks != 0 {
        spec.max_nodes = tasks.min(u32::try_from(world.conf.nodes.len()).unwrap_or(u32::MAX));
    }
    spec.mail_type = or(spec.mail_type, 0);
    spec.bitflags &= CLIENTS_FLAGS;
    if spec.begin_time.0 <= world.now {
        spec.begin_time = Time(0);
    }
}

/// What the job waits for; jobs that are arrays are waited for as a whole.
fn dependencies(world: World<'_>, spec: &JobDesc) -> Result<Dependencies, Refusal> {
    let text = spec.dependency.lossy();
    if text.to_ascii_lowercase().starts_with("expand:") {
        return Err(code::UNSUPPORTED.into());
    }
    let mut found = Dependencies::parse(&text).map_err(|_| code::DEPENDENCY)?;
    for one in &mut found.list {
        if one.kind == Kind::Singleton {
            continue;
        }
        let array = world.state.arrays.contains_key(&one.job);
        if array && one.task == Task::Alone {
            one.task = Task::All;
        }
        // Nobody waits for a job that is not known any more.
        if !array && world.state.job(one.job).is_none() {
            one.met = Met::Is;
        }
    }
    Ok(found)
}

fn constraint(world: World<'_>, spec: &JobDesc) -> Result<Option<Constraint>, Refusal> {
    let read = |text: &Text, code: u32| -> Result<Option<Constraint>, Refusal> {
        if text.is_empty() {
            return Ok(None);
        }
        let wanted = Constraint::parse(&text.lossy()).map_err(|_| code)?;
        let known = |name: &str| {
            let has = |all: &str| all.split(',').any(|feature| feature == name);
            world.conf.nodes.iter().any(|node| node.features.as_deref().is_some_and(has))
        };
        let all = wanted.features.iter().all(|feature| known(&feature.name));
        if all { Ok(Some(wanted)) } else { Err(code.into()) }
    };
    if spec.features.is_empty() && spec.prefer.is_empty() && !spec.batch_features.is_empty() {
        return Err(code::BATCH_FEATURES.into());
    }
    let wanted = read(&spec.features, code::FEATURE)?;
    read(&spec.prefer, code::PREFER)?;
    Ok(wanted)
}

/// Whether one of the partitions could run the job some day. Why it has to wait for that, if the
/// partitions' limits are not enforced.
fn runnable(
    world: World<'_>,
    places: &[Place<'_>],
    spec: &mut JobDesc,
    wanted: Option<&Constraint>,
    enforce: Enforce,
) -> Result<Option<u16>, Refusal> {
    if spec.priority == 0 {
        return Ok(None);
    }
    let (mut waits_for, mut why) = (None, None);
    for place in places {
        let limit = place::waits_for(place, spec);
        let adjusted = memory::adjusted(world.conf, place, spec);
        if adjusted.is_none() && matches!(limit, None | Some(reason::PARTITION_DOWN)) {
            waits_for.get_or_insert(reason::NODE_MEMORY_LIMIT);
            continue;
        }
        let tried = match adjusted {
            Some(adjusted) if adjusted.differs(spec) => Cow::Owned(adjusted.of(spec)),
            _ => Cow::Borrowed(&*spec),
        };
        match (limit, fits::check(place, &tried, wanted)) {
            (None, Ok(())) => {
                if let Cow::Owned(tried) = tried {
                    *spec = tried;
                }
                return Ok(None);
            }
            (Some(reason @ reason::PARTITION_DOWN), Ok(())) => {
                waits_for.get_or_insert(reason);
            }
            (None | Some(reason::PARTITION_DOWN), Err(refusal)) => {
                why.get_or_insert(refusal);
            }
            (Some(reason), _) => {
                waits_for.get_or_insert(reason);
                if enforce == Enforce::All {
                    why.get_or_insert(code::PARTITION_CONFIG.into());
                }
            }
        }
    }
    match (waits_for, why) {
        (Some(reason::PARTITION_DOWN), _) => Ok(waits_for),
        (Some(_), Some(refusal)) if enforce == Enforce::All => Err(refusal),
        (Some(_), _) if enforce != Enforce::No => Err(code::PARTITION_CONFIG.into()),
        (Some(_), _) => Ok(waits_for),
        (None, Some(refusal)) if refusal.code == code::PARTITION_CONFIG => match enforce {
            Enforce::No => Ok(Some(reason::PARTITION_NODE_LIMIT)),
            _ => Err(refusal),
        },
        (None, why) => Err(why.unwrap_or_else(|| code::NODE_CONFIG.into())),
    }
}

fn course(
    world: World<'_>,
    spec: &JobDesc,
    found: Found,
    id: u32,
    user_name: Text,
    request: &[u8],
) -> Course {
    let Found { array, dependencies, waits_for } = found;
    let now = Time(world.now);
    let held = spec.priority == 0;
    let waits = dependencies.met() != Met::Is;
    let later = spec.begin_time.0 > world.now;
    let eligible = match (later, held || waits || array.is_some()) {
        (true, _) => spec.begin_time,
        (false, true) => Time(0),
        (false, false) => now,
    };
    let reason = match (held, waits, later) {
        (true, ..) => reason::HELD_USER,
        (_, true, _) => reason::DEPENDENCY,
        (_, _, true) => reason::BEGIN_TIME,
        _ => waits_for.unwrap_or(reason::NONE),
    };
    let dependency = waits.then(|| dependencies.to_string()).into();
    Course {
        array_job_id: if array.is_some() { id } else { 0 },
        array_max_tasks: array.as_ref().map_or(0, |array| array.limit),
        tasks: array.map_or_else(Vec::new, |array| array.tasks),
        reason,
        priority: spec.priority,
        user_name,
        submit_time: now,
        eligible_time: eligible,
        accrue_time: eligible,
        time_limit: spec.time_limit,
        dependency,
        request: request.to_vec(),
        ..unbegun()
    }
}

#[cfg(test)]
mod tests;
