//! How much a job needs: nodes, CPUs, tasks, memory, disk.

use super::{Draft, Refused};
use crate::slurm::wire::Unset;
use crate::slurm::wire::constants::rc;

/// Memory of a CPU, not of a node.
const PER_CPU: u64 = 1 << 63;

pub fn change(draft: &mut Draft<'_>) -> Refused {
    nodes(draft)?;
    cpus(draft)?;
    tasks(draft)?;
    memory(draft)?;
    sharing(draft)?;
    at_least(draft);
    Ok(())
}

fn nodes(draft: &mut Draft<'_>) -> Refused {
    // INFINITE: scontrol asks for the job as it is.
    let least = draft.desc.min_nodes.get().filter(|asked| *asked != u32::INFINITE);
    let most = draft.desc.max_nodes.get();
    if draft.job.is_active() {
        let now = u32::try_from(draft.course.shares.len()).unwrap_or(u32::MAX);
        return match least {
            Some(asked) if asked != now => Err(rc::UNSUPPORTED),
            _ if most.is_some() => Err(rc::NOT_PENDING),
            _ => Ok(()),
        };
    }
    if let Some(asked) = least {
        if asked < 1 {
            return Err(rc::NODE_COUNT);
        }
        draft.spec.min_nodes = asked;
    }
    if let Some(asked) = most {
        draft.spec.max_nodes = asked;
    }
    let most = draft.spec.max_nodes;
    if most != 0 && !most.is_unset() && most < draft.spec.min_nodes {
        return Err(rc::NODE_COUNT);
    }
    Ok(())
}

fn cpus(draft: &mut Draft<'_>) -> Refused {
    let desc = draft.desc;
    if let Some(asked) = desc.min_cpus.get() {
        draft.waits()?;
        if asked < 1 {
            return Err(rc::CPU_COUNT);
        }
        draft.spec.min_cpus = asked;
    }
    if let Some(asked) = desc.max_cpus.get() {
        draft.waits()?;
        draft.spec.max_cpus = asked;
    }
    let most = draft.spec.max_cpus;
    if most != 0 && !most.is_unset() && most < draft.spec.min_cpus {
        return Err(rc::CPU_COUNT);
    }
    if let Some(asked) = desc.pn_min_cpus.get().filter(|asked| *asked != 0) {
        draft.waits()?;
        draft.spec.pn_min_cpus = asked;
    }
    if let Some(asked) = desc.cpus_per_task.get() {
        draft.waits()?;
        draft.spec.cpus_per_task = asked;
    }
    Ok(())
}

fn tasks(draft: &mut Draft<'_>) -> Refused {
    let desc = draft.desc;
    if let Some(asked) = desc.num_tasks.get() {
        draft.waits()?;
        if asked < 1 {
            return Err(rc::TASK_COUNT);
        }
        draft.spec.num_tasks = asked;
    }
    for (asked, field) in [
        (desc.ntasks_per_node, &mut draft.spec.ntasks_per_node),
        (desc.ntasks_per_socket, &mut draft.spec.ntasks_per_socket),
    ] {
        let Some(asked) = asked.get() else { continue };
        if !draft.job.is_pending() {
            return Err(rc::NOT_PENDING);
        }
        if !draft.who.admin {
            return Err(rc::ACCESS);
        }
        *field = asked;
    }
    Ok(())
}

fn memory(draft: &mut Draft<'_>) -> Refused {
    let desc = draft.desc;
    if let Some(asked) = desc.pn_min_memory.get() {
        draft.waits()?;
        // None for a CPU is none for a node.
        draft.spec.pn_min_memory = if asked == PER_CPU { 0 } else { asked };
    }
    if let Some(asked) = desc.pn_min_tmp_disk.get() {
        draft.waits()?;
        draft.spec.pn_min_tmp_disk = asked;
    }
    let waits = draft.waits();
    for (asked, field) in [
        (desc.sockets_per_node, &mut draft.spec.sockets_per_node),
        (desc.cores_per_socket, &mut draft.spec.cores_per_socket),
        (desc.threads_per_core, &mut draft.spec.threads_per_core),
    ] {
        if let Some(asked) = asked.get() {
            waits?;
            *field = asked;
        }
    }
    Ok(())
}

fn sharing(draft: &mut Draft<'_>) -> Refused {
    let desc = draft.desc;
    if let Some(asked) = desc.shared.get() {
        draft.waits()?;
        draft.admin_or(rc::ACCESS)?;
        draft.spec.shared = asked;
    }
    if let Some(asked) = desc.contiguous.get() {
        draft.waits()?;
        if asked >= draft.spec.contiguous {
            draft.admin_or(rc::ACCESS)?;
        }
        draft.spec.contiguous = asked;
    }
    if desc.core_spec.get().is_some() {
        draft.waits()?;
        // AllowSpecResourcesUsage has no effect here.
        return Err(rc::ACCESS);
    }
    Ok(())
}

/// A task for each node at least, and CPUs for every task.
fn at_least(draft: &mut Draft<'_>) {
    if draft.desc.min_nodes.get().is_none_or(|asked| asked == u32::INFINITE) {
        return;
    }
    let (spec, nodes) = (&mut draft.spec, draft.desc.min_nodes);
    if let Some(tasks) = spec.num_tasks.get() {
        spec.num_tasks = tasks.max(nodes);
    }
    let tasks = spec.num_tasks.get().unwrap_or(nodes);
    let each = u32::from(spec.cpus_per_task.get().unwrap_or(1).max(1));
    let on_nodes = u32::from(spec.pn_min_cpus.get().unwrap_or(1).max(1)).saturating_mul(nodes);
    let needed = tasks.saturating_mul(each).max(on_nodes);
    spec.min_cpus = spec.min_cpus.get().unwrap_or(0).max(needed);
}
