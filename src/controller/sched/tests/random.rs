//! Clusters, jobs and ends at random, step by step, against what must always hold.

use super::*;
use crate::controller::core::Who;
use crate::controller::core::ending::{end, left};
use crate::controller::job::{TaskRun, task_ids};
use crate::controller::sched::manner::Manner;
use crate::slurm::wire::constants::job;
use crate::slurm::wire::tables::Suspend;
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};

const SELECTS: [&str; 6] = [
    "select/linear",
    "select/cons_tres\nSelectTypeParameters=CR_CPU",
    "select/cons_tres\nSelectTypeParameters=CR_Core_Memory",
    "select/cons_res\nSelectTypeParameters=CR_CPU_Memory",
    "select/cons_tres\nSelectTypeParameters=CR_Socket_Memory",
    "select/cons_tres\nSelectTypeParameters=CR_Core_Memory,CR_LLN",
];

#[derive(Clone, Debug)]
struct Cluster {
    select: usize,
    builtin: bool,
    kinds: Vec<(u8, u8, u8, u8, u16, u8)>,
    two: bool,
    max_nodes: u8,
    share: usize,
}

/// OverSubscribe of the second partition, and how many jobs of it may have a core.
const SHARES: [(&str, usize); 5] = [
    ("", 1),
    ("OverSubscribe=FORCE:2", 2),
    ("OverSubscribe=YES:3", 3),
    ("OverSubscribe=FORCE:1", 1),
    ("OverSubscribe=EXCLUSIVE", 1),
];

#[derive(Clone, Debug)]
struct Ask {
    nodes: (u8, u8),
    tasks: u8,
    cpus: u8,
    memory: (u8, u16),
    limit: u8,
    kind: u8,
    place: u8,
    tasks_of_array: u8,
}

#[derive(Clone, Debug)]
enum Step {
    Submit(Ask),
    End(u8),
    Leave(u8),
    Drain(u8),
    Time(u16),
    Suspend(u8),
    Resume(u8),
}

fn clusters() -> impl Strategy<Value = Cluster> {
    let kind = (1..4_u8, 1..3_u8, 1..5_u8, 1..3_u8, 1..900_u16, 0..3_u8);
    let kinds = prop::collection::vec(kind, 1..4);
    (0..SELECTS.len(), any::<bool>(), kinds, any::<bool>(), 1..6_u8, 0..SHARES.len()).prop_map(
        |(select, builtin, kinds, two, max_nodes, share)| Cluster {
            select,
            builtin,
            kinds,
            two,
            max_nodes,
            share,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ask = (
        (0..4_u8, 0..3_u8),
        0..9_u8,
        1..4_u8,
        (0..4_u8, 0..400_u16),
        0..20_u8,
        0..13_u8,
        0..12_u8,
        0..6_u8,
    );
    let ask = ask.prop_map(|(nodes, tasks, cpus, memory, limit, kind, place, tasks_of_array)| {
        Ask { nodes, tasks, cpus, memory, limit, kind, place, tasks_of_array }
    });
    let step = prop_oneof![
        6 => ask.prop_map(Step::Submit),
        2 => any::<u8>().prop_map(Step::End),
        2 => any::<u8>().prop_map(Step::Leave),
        1 => any::<u8>().prop_map(Step::Drain),
        1 => (0..600_u16).prop_map(Step::Time),
        1 => any::<u8>().prop_map(Step::Suspend),
        1 => any::<u8>().prop_map(Step::Resume),
    ];
    prop::collection::vec(step, 1..40)
}

fn conf_of(of: &Cluster) -> Conf {
    let mut text = format!("SelectType={}\n", SELECTS[of.select]);
    if of.builtin {
        text.push_str("SchedulerType=sched/builtin\n");
    }
    let mut first = 1;
    for (count, sockets, cores, threads, memory, weight) in &of.kinds {
        let last = first + u32::from(*count) - 1;
        text.push_str(&format!(
            "NodeName=n[{first}-{last}] Sockets={sockets} CoresPerSocket={cores} \
             ThreadsPerCore={threads} RealMemory={memory} Weight={weight} Feature=f{weight}\n"
        ));
        first = last + 1;
    }
    text.push_str("PartitionName=p Nodes=ALL DefMemPerCPU=3 MaxTime=15\n");
    let (nodes, most) = (if of.two { "ALL" } else { "n1" }, of.max_nodes);
    text.push_str(&format!(
        "PartitionName=q Nodes={nodes} MaxNodes={most} DefMemPerNode=7 PriorityTier=2 \
         MaxCPUsPerNode=6 {}\n",
        SHARES[of.share].0
    ));
    conf(&text)
}

fn asked(ask: &Ask) -> JobDesc {
    spec(|spec| {
        spec.user_id = u32::from(ask.place) / 4;
        spec.partition = ["p", "p", "q", "p,q"][usize::from(ask.place % 4)].into();
        let (min, more) = ask.nodes;
        if min > 0 {
            (spec.min_nodes, spec.max_nodes) = (min.into(), u32::from(min + more));
        }
        if ask.tasks > 0 {
            spec.num_tasks = ask.tasks.into();
            spec.min_cpus = u32::from(ask.tasks) * u32::from(ask.cpus);
        }
        spec.cpus_per_task = ask.cpus.into();
        spec.pn_min_memory = match ask.memory {
            (0, _) => u64::UNSET,
            (1, mebibytes) => mebibytes.into(),
            (2, mebibytes) => u64::from(mebibytes) | 1 << 63,
            _ => 5,
        };
        spec.time_limit = match ask.limit {
            0 => u32::UNSET,
            minutes => minutes.into(),
        };
        match ask.kind {
            0 => spec.shared = 0,
            1 => spec.ntasks_per_node = 2,
            2 => spec.threads_per_core = 1,
            3 => spec.features = "f0|f1".into(),
            4 => spec.req_nodes = "n1".into(),
            5 => spec.exc_nodes = "n1".into(),
            6 => spec.overcommit = 1,
            7 => spec.pn_min_cpus = 2,
            8 => spec.contiguous = 1,
            9 => spec.begin_time = Time(NOW + 300),
            10 | 11 => spec.shared = (ask.kind - 9).into(),
            12 => spec.deadline = Time(NOW + 200),
            _ => {}
        }
    })
}

/// Adds up what jobs have, from the jobs alone: independent of the grid. `most`: jobs of the second
/// partition that may have a core; `resumed`: jobs went on, or ended, whoever had their cores.
fn audit(conf: &Conf, state: &State, most: usize, resumed: bool) -> Result<(), TestCaseError> {
    let memory_counts = conf.text("SelectTypeParameters").is_some_and(|t| t.contains("Memory"));
    let linear = conf.text("SelectType") == Some("select/linear");
    let mut cores: HashMap<(Text, u32), Vec<&Job>> = HashMap::new();
    let mut memory: HashMap<Text, u64> = HashMap::new();
    let mut jobs: HashMap<Text, u32> = HashMap::new();
    let mut alone: Vec<Text> = Vec::new();
    for job in state.jobs.values().filter(|job| job.is_active() || job.is_completing()) {
        for share in &job.course.shares {
            let holds = job.is_active() || job.course.completing.contains(&share.node);
            if !holds {
                continue;
            }
            let node = conf.nodes.iter().find(|node| share.node.as_str() == Some(&node.name));
            let node = node.expect("a node of slurm.conf");
            let all = u32::from(node.sockets) * u32::from(node.cores);
            prop_assert!(share.cores.iter().next().is_some() && share.cpus <= node.cpus);
            for core in share.cores.iter() {
                prop_assert!(core < all);
                if !job.is_stopped() {
                    cores.entry((share.node.clone(), core)).or_default().push(job);
                }
            }
            *memory.entry(share.node.clone()).or_default() += share.memory;
            *jobs.entry(share.node.clone()).or_default() += 1;
            if job.spec.shared == 0 {
                alone.push(share.node.clone());
            }
            prop_assert!(*memory.get(&share.node).unwrap() <= node.real_memory);
            prop_assert!(memory_counts || share.memory == 0);
        }
    }
    let quiet = !resumed && most == 1 && state.jobs.values().all(|job| !job.is_stopped());
    prop_assert!(!quiet || alone.iter().all(|node| jobs[node] == 1), "exclusive means alone");
    for ((node, core), jobs) in cores.iter().filter(|(_, jobs)| jobs.len() > 1 && !resumed) {
        let shares = |job: &&Job| {
            let of =
                conf.partitions.iter().find(|of| job.course.partition.as_str() == Some(&of.name));
            Manner::of(linear, of.unwrap().max_share, job.spec.shared) == Manner::Shared
        };
        let told = || format!("core {core} of {node:?} has {} jobs", jobs.len());
        prop_assert!(jobs.iter().all(|job| shares(job)) && jobs.len() <= most, "{}", told());
    }
    for job in state.jobs.values().filter(|job| job.is_active() && job.spec.shared == 2) {
        for share in &job.course.shares {
            let others = state.load_of(share.node.as_str().unwrap());
            let mut others = others.active().filter_map(|id| state.job(id));
            prop_assert!(others.all(|other| other.spec.user_id == job.spec.user_id));
        }
    }
    Ok(())
}

/// What a job asked for, it got.
fn check_start(conf: &Conf, job: &Job) -> Result<(), TestCaseError> {
    let (spec, course) = (&job.spec, &job.course);
    let count = u32::try_from(course.shares.len()).unwrap();
    let min = spec.min_nodes.get().unwrap_or(1);
    prop_assert!(count >= min);
    prop_assert!(spec.max_nodes.get().is_none_or(|most| count <= most));
    let partition = course.partition.as_str().unwrap();
    let of = conf.partitions.iter().find(|of| of.name == partition).unwrap();
    prop_assert!(count <= of.max_nodes && course.time_limit <= of.max_time);
    let cpus: u32 = course.shares.iter().map(|share| u32::from(share.cpus)).sum();
    if spec.overcommit != 1 {
        prop_assert!(cpus >= spec.min_cpus.get().unwrap_or(1), "{cpus} CPUs");
    }
    let names: BTreeSet<&str> = course.shares.iter().filter_map(|s| s.node.as_str()).collect();
    prop_assert_eq!(names.len(), course.shares.len());
    prop_assert!(spec.req_nodes.is_empty() || names.contains("n1"));
    prop_assert!(spec.exc_nodes.is_empty() || !names.contains("n1"));
    for name in names {
        let node = conf.nodes.iter().find(|node| node.name == name).unwrap();
        let feature = node.features.as_deref().unwrap_or("");
        prop_assert!(spec.features.is_empty() || ["f0", "f1"].contains(&feature));
        // A socket is given whole, whatever the limit.
        let sockets = conf.text("SelectTypeParameters").is_some_and(|t| t.contains("Socket"));
        if partition == "q" && !sockets {
            let used = course.shares.iter().find(|s| s.node.as_str() == Some(name)).unwrap().cpus;
            prop_assert!(used <= 7, "MaxCPUsPerNode=6, a core of two threads at most more");
        }
    }
    prop_assert_eq!(course.batch_host.clone(), course.shares[0].node.clone());
    Ok(())
}

fn nth(ids: &[u32], at: u8) -> Option<u32> {
    (!ids.is_empty()).then(|| ids[usize::from(at) % ids.len()])
}

/// The job that a start has made run.
fn started(state: &State, start: &crate::controller::core::Start) -> Arc<Job> {
    let of_task = |job: &&Arc<Job>| {
        start.task.is_none_or(|task| job.course.array_task_id == task && !job.is_array())
    };
    let found = state.array(start.job).find(of_task);
    Arc::clone(found.or_else(|| state.job(start.job)).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_given_twice_and_everybody_gets_what_he_asked_for_or_a_reason(
        cluster in clusters(),
        steps in steps(),
    ) {
        let conf = conf_of(&cluster);
        let mut state = idle(&conf);
        let (mut now, mut resumed) = (NOW, false);
        for step in steps {
            let of = |wanted: fn(&Job) -> bool| -> Vec<u32> {
                state.jobs.values().filter(|job| wanted(job)).map(|job| job.id).collect()
            };
            match step {
                Step::Submit(ask) => {
                    let (id, tasks) = (state.next_id, u32::from(ask.tasks_of_array));
                    submit_with(&mut state, asked(&ask), |course| {
                        if tasks > 1 {
                            course.array_job_id = id;
                            course.array_max_tasks = tasks / 2;
                            course.tasks = vec![TaskRun { first: 0, last: tasks - 1, step: 1 }];
                        }
                    });
                }
                Step::End(at) => {
                    if let Some(id) = nth(&of(Job::is_active), at) {
                        // Until its nodes are clean it has its cores again.
                        resumed |= state.job(id).unwrap().is_stopped();
                        let world = World { conf: &conf, state: &state, now };
                        let (over, _) = end(world, state.job(id).unwrap(), job::COMPLETE, 0);
                        state.take(Change::Job(over));
                    }
                }
                Step::Leave(at) => {
                    if let Some(id) = nth(&of(Job::is_completing), at) {
                        let job = Arc::clone(state.job(id).unwrap());
                        let world = World { conf: &conf, state: &state, now };
                        let (clean, _) = left(world, &job, &job.course.completing[0]).unwrap();
                        state.take(Change::Job(clean));
                    }
                }
                Step::Drain(at) => {
                    let name = conf.nodes[usize::from(at) % conf.nodes.len()].name.clone();
                    let flag = if at % 2 == 0 { node::DRAIN } else { 0 };
                    let record =
                        NodeRecord { state: node::IDLE | flag, ..NodeRecord::default() };
                    state.take(Change::Node(name, record));
                }
                Step::Time(seconds) => now += i64::from(seconds),
                Step::Suspend(at) | Step::Resume(at) => {
                    let op = u16::from(matches!(step, Step::Resume(_)));
                    if let Some(job_id) = nth(&of(Job::is_active), at) {
                        let went_on = op == 1 && state.job(job_id).unwrap().is_stopped();
                        resumed |= went_on;
                        let request = Box::new(Suspend { op, job_id, ..Suspend::default() });
                        let who = Who { admin: true, ..Who::default() };
                        let world = World { conf: &conf, state: &state, now };
                        let outcome = apply(world, &Command::Suspend { request, who });
                        outcome.changes.into_iter().for_each(|change| state.take(change));
                    }
                }
            }
            let due = crate::controller::core::review::due(&state, now).jobs;
            let world = World { conf: &conf, state: &state, now };
            let outcome = apply(world, &Command::Review { jobs: due });
            outcome.changes.into_iter().for_each(|change| state.take(change));
            let layout = Layout::of(&conf, &state);
            let found = pass(&conf, &state, &layout, now);
            prop_assert_eq!(&found, &pass(&conf, &state, &layout, now), "it is deterministic");
            for start in &found.starts {
                let command = Command::Start { start: Box::new(start.clone()) };
                let outcome = apply(World { conf: &conf, state: &state, now }, &command);
                prop_assert_eq!(outcome.reply, Message::code(rc::OK), "{:?}", start);
                outcome.changes.into_iter().for_each(|change| state.take(change));
                let job = started(&state, start);
                prop_assert!(job.is_active());
                check_start(&conf, &job)?;
            }
            audit(&conf, &state, SHARES[cluster.share].1, resumed)?;
            for id in &state.pending {
                let reason = found.forecasts.get(id).map(|found| found.reason);
                prop_assert!(reason.is_some_and(|reason| reason != 0), "job {id}: {reason:?}");
            }
            for array in state.jobs.values().filter(|job| job.is_array()) {
                let most = array.course.array_max_tasks;
                let running = state.array(array.id).filter(|job| job.is_active()).count();
                prop_assert!(most == 0 || running <= most as usize);
                prop_assert!(task_ids(&array.course.tasks).next().is_some());
            }
        }
    }

    /// The first job without room starts no later for what others were allowed meanwhile.
    #[test]
    fn backfill_does_not_delay_the_first_job_that_waits(
        mut cluster in clusters(),
        asks in prop::collection::vec(steps(), 1..3),
    ) {
        cluster.builtin = false;
        let conf = conf_of(&cluster);
        let mut state = idle(&conf);
        for step in asks.into_iter().flatten() {
            let Step::Submit(mut ask) = step else { continue };
            (ask.tasks_of_array, ask.place) = (0, 0);
            if ask.kind == 12 {
                continue;
            }
            submit(&mut state, asked(&ask));
            let before = look(&conf, &state);
            let holds = before.forecasts.iter().filter(|(_, found)| {
                found.reason == reason::RESOURCES && found.start > NOW
            });
            let Some((first, hold)) = holds.min_by_key(|(id, _)| **id) else {
                start_all(&conf, &mut state);
                continue;
            };
            let (first, hold) = (*first, hold.clone());
            start_all(&conf, &mut state);
            let mut alone = state.clone();
            let others = state.pending.iter().copied().filter(|id| *id != first);
            let others: Vec<u32> = others.collect();
            others.into_iter().for_each(|id| alone.take(Change::ForgetJob(id)));
            let after = look(&conf, &alone);
            let start = after.forecasts.get(&first).map(|found| found.start);
            prop_assert!(
                start.is_none_or(|start| start > 0 && start <= hold.start),
                "job {first} was to start at {}, and now {start:?}",
                hold.start
            );
        }
    }
}
