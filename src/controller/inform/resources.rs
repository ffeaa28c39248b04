//! What a job has of its nodes, core by core, in the form in which equal nodes stand for each
//! other.

use crate::controller::inform::jobs::Listed;
use crate::controller::job::Job;
use crate::slurm::conf::Node;
use crate::slurm::hostlist::compress;
use crate::slurm::wire::constants::select;
use crate::slurm::wire::tables::JobResources;
use crate::slurm::wire::{Bits, Unset};

/// In `max_share`: jobs share resources whether they want to or not.
const FORCE: u16 = 0x8000;
/// In `node_req`: others may use the same CPUs.
const SHARED: u32 = 0;
/// In `node_req`: nobody else uses the same CPUs.
const ONE_ROW: u32 = 1;
/// In `node_req`: nobody else uses the nodes.
const RESERVED: u32 = 64_000;
/// Most bits of a job's cores that are shown one by one.
const CORES_MAX: u32 = 1 << 20;

/// The resources of a job that has some.
pub(super) fn of(listed: &Listed<'_>, job: &Job) -> JobResources {
    let shares = &job.course.shares;
    let conf = listed.scene.conf;
    let nodes: Vec<Option<&Node>> = shares
        .iter()
        .map(|share| listed.places.get(&*share.node.lossy()).map(|at| &conf.nodes[*at as usize]))
        .collect();
    let cpus: Vec<u16> = shares.iter().map(|share| share.cpus).collect();
    let names: Vec<String> = shares.iter().map(|share| share.node.lossy().into_owned()).collect();
    let (value, reps) = runs(&cpus);
    let shapes: Vec<(u16, u16)> =
        nodes.iter().map(|node| node.map_or((1, 1), |node| (node.sockets, node.cores))).collect();
    let (shape, shape_reps) = runs(&shapes);
    let linear = super::select_plugin(conf) == select::LINEAR;
    let share = listed.max_share(job);
    let whole = job.spec.shared == 0 || share == 0 || linear;
    let all: u32 = cpus.iter().map(|cpus| u32::from(*cpus)).sum();
    JobResources {
        nhosts: u32::try_from(shares.len()).expect("a hostlist's limit"),
        ncpus: if whole { all } else { job.spec.min_cpus.min(all) },
        node_req: match (share, job.spec.shared) {
            (0, _) | (_, 0) => RESERVED,
            (share, _) if share & FORCE != 0 => SHARED,
            (2.., 1) => SHARED,
            _ => ONE_ROW,
        },
        nodes: compress(names.iter().map(String::as_str)).into(),
        whole_node: u8::from(whole),
        threads_per_core: job.spec.threads_per_core.get().unwrap_or(u16::UNSET),
        cr_type: super::select_parameters(conf),
        cpu_array_reps: reps,
        cpu_array_value: value,
        cpus_used: vec![0; cpus.len()],
        cpus,
        memory_allocated: shares.iter().map(|share| share.memory).collect(),
        memory_used: vec![0; shares.len()],
        sockets_per_node: shape.iter().map(|(sockets, _)| *sockets).collect(),
        cores_per_socket: shape.iter().map(|(_, cores)| *cores).collect(),
        sock_core_rep_count: shape_reps,
        core_bitmap: cores(job, &shapes, true),
        core_bitmap_used: cores(job, &shapes, false),
    }
}

/// Values that differ from the one before, and how often each stands there.
fn runs<T: Copy + PartialEq>(all: &[T]) -> (Vec<T>, Vec<u32>) {
    let (mut values, mut counts): (Vec<T>, Vec<u32>) = (Vec::new(), Vec::new());
    for value in all {
        match (values.last(), counts.last_mut()) {
            (Some(last), Some(count)) if last == value => *count += 1,
            _ => {
                values.push(*value);
                counts.push(1);
            }
        }
    }
    (values, counts)
}

/// The cores of all nodes, one node after the other; those that the job has are one.
fn cores(job: &Job, shapes: &[(u16, u16)], own: bool) -> Bits {
    let (mut from, mut set) = (0_u32, Vec::new());
    for (share, (sockets, cores)) in job.course.shares.iter().zip(shapes) {
        let len = u32::from(*sockets) * u32::from(*cores);
        if own && share.cores.is_none() {
            set.extend(from..from + len);
        } else if own {
            set.extend(share.cores.iter().filter(|core| *core < len).map(|core| from + core));
        }
        from = from.saturating_add(len).min(CORES_MAX);
    }
    Bits::from_set(from, set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_stand_for_each_other() {
        assert_eq!(runs(&[2, 2, 1, 2]), (vec![2, 1, 2], vec![2, 1, 1]));
        assert_eq!(runs::<u16>(&[]), (vec![], vec![]));
    }
}
