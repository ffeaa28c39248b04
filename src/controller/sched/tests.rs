//! What passes come to, on clusters and jobs of all kinds.

use super::*;
use crate::controller::core::{Command, World, apply, known};
use crate::controller::job::{Course, Job, Share, unbegun};
use crate::controller::node::NodeRecord;
use crate::controller::sched::grid::{Grid, busy};
use crate::controller::state::{Change, State};
use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::{node, rc, reason};
use crate::slurm::wire::tables::JobDesc;
use crate::slurm::wire::{Field, Message, Text, Time, Unset};
use std::path::Path;
use std::sync::Arc;

const NOW: i64 = 1_000_000;

fn conf(more: &str) -> Conf {
    let text = format!("ClusterName=c\nSlurmctldHost=localhost\n{more}");
    Conf::read(Path::new("/x"), &mut |_| Ok(text.clone())).unwrap()
}

/// All nodes in service, no jobs.
fn idle(conf: &Conf) -> State {
    let mut state = State { next_id: 1, ..State::default() };
    for of in &conf.nodes {
        let record = NodeRecord { state: node::IDLE, ..NodeRecord::default() };
        state.take(Change::Node(of.name.clone(), record));
    }
    state
}

/// What sbatch fills in for a job of one task.
fn spec(with: impl FnOnce(&mut JobDesc)) -> JobDesc {
    let mut spec = JobDesc { partition: "p".into(), nice: 0x8000_0000, ..JobDesc::unset() };
    (spec.bitflags, spec.begin_time) = (0, Time(0));
    with(&mut spec);
    spec
}

fn submit(state: &mut State, spec: JobDesc) -> u32 {
    submit_with(state, spec, |_| ())
}

fn submit_with(state: &mut State, spec: JobDesc, with: impl FnOnce(&mut Course)) -> u32 {
    let id = state.next_id;
    let mut course = Course {
        priority: 4_000_000_000 - id,
        submit_time: Time(NOW),
        eligible_time: Time(NOW),
        accrue_time: Time(NOW),
        partition: spec.partition.clone(),
        ..unbegun()
    };
    with(&mut course);
    state.take(Change::NextId(id + 1));
    state.take(Change::Job(Arc::new(Job { id, spec: Arc::new(spec), course })));
    id
}

fn look(conf: &Conf, state: &State) -> Found {
    pass(conf, state, &Layout::of(conf, state), NOW)
}

/// Starts all that a pass proposes; each proposal is accepted.
fn start_all(conf: &Conf, state: &mut State) -> Found {
    let found = look(conf, state);
    for start in &found.starts {
        let command = Command::Start { start: Box::new(start.clone()) };
        let outcome = apply(World { conf, state, now: NOW }, &command);
        assert_eq!(outcome.reply, Message::code(rc::OK), "{start:?}");
        outcome.changes.into_iter().for_each(|change| state.take(change));
    }
    found
}

fn shares(state: &State, id: u32) -> Vec<(String, u16, Vec<u32>)> {
    let course = &state.job(id).unwrap().course;
    let share =
        |share: &Share| (share.node.lossy().into_owned(), share.cpus, share.cores.iter().collect());
    course.shares.iter().map(share).collect()
}

mod random;
mod real;

const CORES: &str = "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core_Memory\n";

/// ReturnToService=2: two cores of each socket, of four, and half of the memory.
#[test]
fn a_node_with_less_than_slurm_conf_says_is_scheduled_by_the_lesser_of_both() {
    let conf = conf(&format!(
        "{CORES}ReturnToService=2\nNodeName=n1 Sockets=2 CoresPerSocket=4 CPUs=8 RealMemory=100\n\
         PartitionName=p Nodes=ALL\n"
    ));
    let mut state = idle(&conf);
    let mut record = known(&state, &conf.nodes[0]);
    record.registered = Time(NOW);
    (record.cpus, record.boards, record.sockets, record.cores, record.threads) = (4, 1, 2, 2, 1);
    (record.real_memory, record.tmp_disk) = (50, 0);
    state.take(Change::Node("n1".to_owned(), record.clone()));
    let ids: Vec<u32> =
        (0..5).map(|_| submit(&mut state, spec(|spec| spec.pn_min_memory = 10))).collect();
    start_all(&conf, &mut state);
    let mut cores: Vec<u32> =
        ids.iter().flat_map(|id| shares(&state, *id)).flat_map(|share| share.2).collect();
    cores.sort_unstable();
    assert_eq!(cores, [0, 1, 4, 5], "as they are numbered in slurm.conf");
    assert!(state.job(ids[4]).unwrap().is_pending());
    (record.cpus, record.cores, record.real_memory) = (8, 4, 100);
    state.take(Change::Node("n1".to_owned(), record));
    start_all(&conf, &mut state);
    assert!(state.job(ids[4]).unwrap().is_active(), "all of it is back");
}

#[test]
fn jobs_start_in_order_where_there_is_room_and_the_others_are_told_why_not() {
    let conf = conf(&format!(
        "{CORES}NodeName=n[1-2] CPUs=2 RealMemory=100\nPartitionName=p \
                              Nodes=ALL\n"
    ));
    let mut state = idle(&conf);
    let task = || spec(|spec| spec.pn_min_memory = 10);
    let ids: Vec<u32> = (0..6).map(|_| submit(&mut state, task())).collect();
    let found = start_all(&conf, &mut state);
    let started: Vec<u32> = found.starts.iter().map(|start| start.job).collect();
    assert_eq!(started, ids[..4]);
    assert_eq!(shares(&state, ids[0]), [("n1".to_owned(), 1, vec![0])]);
    assert_eq!(shares(&state, ids[2]), [("n2".to_owned(), 1, vec![0])]);
    let why = |at: usize| found.forecasts[&ids[at]].reason;
    assert_eq!((why(4), why(5)), (reason::RESOURCES, reason::PRIORITY));
    let course = &state.job(ids[0]).unwrap().course;
    assert_eq!((course.start_time, course.end_time), (Time(NOW), Time(0)), "no limit");
    assert_eq!((course.time_limit, course.launches), (u32::INFINITE, 1));
    assert!(look(&conf, &state).starts.is_empty());
    let layout = Layout::of(&conf, &state);
    assert_eq!(Grid::of(&layout, &conf, &state, &busy(&layout, &state)).rooms[0].count, 0);
}

#[test]
fn a_proposal_is_refused_when_the_room_is_gone_or_the_job_does_not_wait() {
    let conf = conf(&format!("{CORES}NodeName=n1 CPUs=1\nPartitionName=p Nodes=ALL\n"));
    let mut state = idle(&conf);
    let (first, second) = (submit(&mut state, spec(|_| ())), submit(&mut state, spec(|_| ())));
    let start = look(&conf, &state).starts.remove(0);
    let code = |state: &State, start: &crate::controller::core::Start| {
        let command = Command::Start { start: Box::new(start.clone()) };
        apply(World { conf: &conf, state, now: NOW }, &command).reply == Message::code(rc::OK)
    };
    let other = crate::controller::core::Start { job: second, ..start.clone() };
    assert!(code(&state, &start) && code(&state, &other));
    start_all(&conf, &mut state);
    assert!(!code(&state, &start), "it runs");
    assert!(!code(&state, &other), "its core is taken by {first}");
    let drained = NodeRecord { state: node::IDLE | node::DRAIN, ..NodeRecord::default() };
    let mut state = idle(&conf);
    let id = submit(&mut state, spec(|_| ()));
    let start = crate::controller::core::Start { job: id, ..start };
    state.take(Change::Node("n1".to_owned(), drained));
    assert!(!code(&state, &start), "its node is drained");
    let mut state = idle(&conf);
    submit_with(&mut state, spec(|_| ()), |course| course.priority = 0);
    assert!(!code(&state, &start), "it is held");
    let strange = crate::controller::core::Start { partition: Text::from("q"), ..start };
    assert!(!code(&state, &strange), "another partition");
}

/// A job that wants nodes that follow each other was promised two that do not; the one in between
/// was given away, and then it had to wait for that.
#[test]
fn a_job_that_wants_nodes_in_a_row_is_not_delayed_by_what_starts_between_them() {
    let conf = conf(
        "SelectType=select/linear\nNodeName=n[1-2] CPUs=1\nNodeName=n3 CPUs=12\n\
         PartitionName=p Nodes=ALL\n",
    );
    let mut state = idle(&conf);
    let first = spec(|spec| (spec.req_nodes, spec.time_limit) = ("n3".into(), 1));
    submit(&mut state, first);
    start_all(&conf, &mut state);
    let row = submit(
        &mut state,
        spec(|spec| {
            (spec.min_nodes, spec.max_nodes, spec.contiguous) = (2, 2, 1);
            (spec.num_tasks, spec.min_cpus) = (3, 3);
        }),
    );
    let small =
        submit(&mut state, spec(|spec| (spec.exc_nodes, spec.time_limit) = ("n1".into(), 2)));
    let found = start_all(&conf, &mut state);
    let forecast = &found.forecasts[&row];
    assert_eq!((forecast.start, forecast.nodes.lossy().as_ref()), (NOW + 60, "n[2-3]"));
    assert!(shares(&state, small).is_empty(), "n2 is held");
}

/// All of a node's threads were counted, and a job was proposed more memory than there is.
#[test]
fn memory_of_whole_nodes_is_for_the_threads_that_are_wanted() {
    let conf = conf(&format!(
        "{CORES}NodeName=n1 Sockets=1 CoresPerSocket=2 ThreadsPerCore=2 RealMemory=661\n\
         PartitionName=p Nodes=ALL OverSubscribe=EXCLUSIVE\n"
    ));
    let mut state = idle(&conf);
    let id = submit(
        &mut state,
        spec(|spec| (spec.threads_per_core, spec.pn_min_memory) = (1, 1 << 63 | 166)),
    );
    start_all(&conf, &mut state);
    let shares = &state.job(id).unwrap().course.shares;
    assert_eq!((shares[0].cpus, shares[0].memory), (4, 332));
}
