//! One pass of the scheduler over a long queue.
//!
//! ```sh
//! cargo bench --bench sched -- [--jobs 20000] [--shapes 1000] [--nodes 1000] [--rounds 9]
//! [--smoke]
//! ```
//!
//! Nodes have 2 × 16 cores of 2 threads; all but a few of them are busy, by jobs that end at
//! different times. No job that waits finds room but the few that fit into what is left, so that
//! every shape is looked at on every node, and a hold is worked out. A second row: all nodes are
//! idle, and jobs start until they are full.

use statedir::controller::job::{Course, Job, Share, unbegun};
use statedir::controller::node::NodeRecord;
use statedir::controller::sched::{Layout, pass};
use statedir::controller::state::{Change, State};
use statedir::slurm::conf::Conf;
use statedir::slurm::wire::constants::{job, node};
use statedir::slurm::wire::tables::JobDesc;
use statedir::slurm::wire::{Bits, Field, Time};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The goal of issue 4: milliseconds of a pass.
const GOAL_MS: f64 = 100.0;
const NOW: i64 = 1_000_000;
const CORES: u32 = 32;

struct Flags {
    jobs: u32,
    shapes: u32,
    nodes: u32,
    rounds: usize,
}

fn flags() -> Flags {
    let mut flags = Flags { jobs: 20_000, shapes: 1_000, nodes: 1_000, rounds: 9 };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut next = || args.next().unwrap_or_else(|| panic!("{arg} wants a value"));
        match arg.as_str() {
            "--smoke" => (flags.jobs, flags.shapes, flags.nodes, flags.rounds) = (200, 20, 20, 1),
            "--jobs" => flags.jobs = next().parse().expect("a number"),
            "--shapes" => flags.shapes = next().parse().expect("a number"),
            "--nodes" => flags.nodes = next().parse().expect("a number"),
            "--rounds" => flags.rounds = next().parse().expect("a number"),
            // What cargo itself passes on.
            "--bench" => {}
            other => panic!("unknown flag {other}"),
        }
    }
    flags
}

fn conf(flags: &Flags) -> Conf {
    let text = format!(
        "ClusterName=c\nSlurmctldHost=localhost\nSelectType=select/cons_tres\n\
         SelectTypeParameters=CR_Core_Memory\nNodeName=n[1-{}] Sockets=2 CoresPerSocket=16 \
         ThreadsPerCore=2 RealMemory=128000\nPartitionName=p Nodes=ALL\n\
         PartitionName=q Nodes=ALL\n",
        flags.nodes
    );
    Conf::read(Path::new("/slurm.conf"), &mut |_| Ok(text.clone())).expect("a configuration")
}

/// Every node in service; with `busy`, a job on each that leaves `free` of its cores.
fn cluster(conf: &Conf, flags: &Flags, busy: bool) -> State {
    let mut state = State { next_id: 1, ..State::default() };
    for (at, of) in (0..).zip(&conf.nodes) {
        let record = NodeRecord { state: node::IDLE, ..NodeRecord::default() };
        state.take(Change::Node(of.name.clone(), record));
        if busy {
            // A quarter of the nodes have some cores left.
            let free = if at % 4 == 0 { at % 7 } else { 0 };
            let cores = Bits::from_set(CORES, free..CORES);
            let cpus = u16::try_from((CORES - free) * 2).expect("few");
            let share = Share { node: of.name.as_str().into(), cpus, memory: 100_000, cores };
            let course = Course {
                state: job::RUNNING,
                start_time: Time(NOW - 100),
                end_time: Time(NOW + 60 + i64::from(at * 37 % (flags.nodes * 10))),
                time_limit: 100,
                partition: "p".into(),
                shares: vec![share],
                ..unbegun()
            };
            let spec = Arc::new(JobDesc { partition: "p".into(), ..JobDesc::unset() });
            state.take(Change::Job(Arc::new(Job { id: 1_000_000 + at, spec, course })));
        }
    }
    state
}

/// Jobs that wait: as many as wanted, in as many shapes.
fn queue(state: &mut State, flags: &Flags) {
    for id in 1..=flags.jobs {
        let shape = id % flags.shapes;
        let tasks = 8 + shape % 40;
        let spec = JobDesc {
            partition: if shape.is_multiple_of(3) { "q" } else { "p" }.into(),
            num_tasks: tasks,
            min_cpus: tasks,
            min_nodes: 1 + shape % 4,
            pn_min_memory: 1_000 + u64::from(shape),
            time_limit: 10 + shape % 50,
            begin_time: Time(0),
            bitflags: 0,
            ..JobDesc::unset()
        };
        let course = Course {
            priority: u32::MAX / 2 - id,
            submit_time: Time(NOW - 1),
            partition: spec.partition.clone(),
            ..unbegun()
        };
        state.take(Change::Job(Arc::new(Job { id, spec: Arc::new(spec), course })));
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1_000.0
}

fn main() {
    let flags = flags();
    let conf = conf(&flags);
    let Flags { jobs, shapes, nodes, rounds } = flags;
    println!("{jobs} jobs that wait in {shapes} shapes, {nodes} nodes, median of {rounds} passes");
    for (name, busy) in [("busy", true), ("idle", false)] {
        let mut state = cluster(&conf, &flags, busy);
        queue(&mut state, &flags);
        let mut times = Vec::new();
        let mut found = None;
        for _ in 0..rounds {
            let begun = Instant::now();
            let layout = Layout::of(&conf, &state);
            let one = pass(&conf, &state, &layout, NOW);
            times.push(begun.elapsed());
            found = Some(one);
        }
        let found = found.expect("at least one round");
        let (starts, waits) = (found.starts.len(), found.forecasts.len());
        assert_eq!(starts + waits, jobs as usize, "every job is started or gets a reason");
        let took = median(times);
        let met = if took <= GOAL_MS { "met" } else { "NOT MET" };
        println!("{name}: {took:.1} ms, {starts} started, {waits} wait; goal {GOAL_MS} ms: {met}");
    }
}
