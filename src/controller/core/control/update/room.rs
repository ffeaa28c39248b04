//! Where a job may run: partition, nodes that it needs or avoids, features; and what it waits for.

use super::{Draft, Refused};
use crate::controller::core::current;
use crate::controller::core::dependency::{Dependencies, Kind, Task};
use crate::controller::core::features::Constraint;
use crate::slurm::conf::PartitionState;
use crate::slurm::hostlist::expand;
use crate::slurm::wire::constants::{rc, reason};
use crate::slurm::wire::{Text, Unset};

/// Slurm's code for a dependency that cannot be.
const BAD_DEPENDENCY: u32 = 2038;
/// Slurm's code for preferred features that are none.
const PREFER: u32 = 2133;

pub fn change(draft: &mut Draft<'_>) -> Refused {
    partition(draft)?;
    nodes(draft)?;
    features(draft)?;
    dependency(draft)?;
    let desc = draft.desc;
    if let Some(switches) = desc.req_switch.get() {
        draft.spec.req_switch = switches;
    }
    if let Some(seconds) = desc.wait4switch.get() {
        draft.spec.wait4switch = seconds;
    }
    Ok(())
}

/// Several may be named; the first one must take jobs.
fn partition(draft: &mut Draft<'_>) -> Refused {
    let asked = &draft.desc.partition;
    if asked.is_none() || *asked == draft.spec.partition {
        return Ok(());
    }
    draft.waits()?;
    let current = current(draft.world.conf, draft.world.state);
    let text = asked.lossy();
    let find = |name: &str| current.iter().find(|partition| partition.name == name);
    let found: Option<Vec<_>> = text.split(',').map(find).collect();
    let first = *found.ok_or(rc::PARTITION)?.first().ok_or(rc::PARTITION)?;
    if matches!(first.state, PartitionState::Drain | PartitionState::Inactive) {
        return Err(rc::PARTITION_NOT_AVAILABLE);
    }
    draft.spec.partition = asked.clone();
    Ok(())
}

fn nodes(draft: &mut Draft<'_>) -> Refused {
    let (required, excluded) = (&draft.desc.req_nodes, &draft.desc.exc_nodes);
    if !required.is_none() {
        // Of a job that runs it would mean to take nodes away from it.
        if draft.job.is_active() {
            return Err(rc::UNSUPPORTED);
        }
        draft.spec.req_nodes = named(draft, required)?;
    }
    if !excluded.is_none() && *excluded != draft.spec.exc_nodes {
        draft.waits()?;
        draft.spec.exc_nodes = named(draft, excluded)?;
    }
    Ok(())
}

/// The same list, if all of these nodes are there; an empty one is none.
fn named(draft: &Draft<'_>, list: &Text) -> Result<Text, u32> {
    if list.is_empty() {
        return Ok(Text::NONE);
    }
    let names = expand(&list.lossy()).map_err(|_| rc::NODE)?;
    let is = |name: &String| draft.world.conf.nodes.iter().any(|node| node.name == *name);
    if names.iter().all(is) { Ok(list.clone()) } else { Err(rc::NODE) }
}

fn features(draft: &mut Draft<'_>) -> Refused {
    let desc = draft.desc;
    let waits = draft.waits();
    for (wish, field, code) in [
        (&desc.features, &mut draft.spec.features, rc::FEATURE),
        (&desc.prefer, &mut draft.spec.prefer, PREFER),
    ] {
        if wish.is_none() || wish == field {
            continue;
        }
        waits?;
        if wish.is_empty() {
            *field = Text::NONE;
            continue;
        }
        Constraint::parse(&wish.lossy()).map_err(|_| code)?;
        *field = wish.clone();
    }
    Ok(())
}

fn dependency(draft: &mut Draft<'_>) -> Refused {
    let asked = &draft.desc.dependency;
    if asked.is_none() || *asked == draft.spec.dependency {
        return Ok(());
    }
    draft.waits()?;
    let none = asked.is_empty() || asked.lossy() == "0";
    let mut wanted = Dependencies::parse(&asked.lossy()).map_err(|_| BAD_DEPENDENCY)?;
    for one in wanted.list.iter_mut().filter(|one| one.kind != Kind::Singleton) {
        if one.job == draft.job.id {
            return Err(BAD_DEPENDENCY);
        }
        if one.task == Task::Alone && draft.world.state.arrays.contains_key(&one.job) {
            one.task = Task::All;
        }
    }
    draft.spec.dependency = if none { Text::NONE } else { asked.clone() };
    draft.course.dependency = if none { Text::NONE } else { wanted.to_string().into() };
    let dependent = [reason::DEPENDENCY, reason::DEPENDENCY_NEVER];
    if dependent.contains(&draft.course.reason) {
        draft.course.reason = if none { reason::NONE } else { reason::DEPENDENCY };
    }
    Ok(())
}
