//! What a restored store does of jobs that nodes still run, and of those they do not.

use super::*;
use crate::controller::core::{Command, Effect, Start, Who, apply_in};
use crate::controller::job::{Share, TaskRun, unbegun};
use crate::slurm::wire::constants::step;
use crate::slurm::wire::tables::{JobDesc, Registration, StepId};
use crate::slurm::wire::{Bits, Field};
use std::path::Path;

const ONE: [u8; 16] = [1; 16];
const TWO: [u8; 16] = [2; 16];

struct Lab {
    conf: Conf,
    state: State,
    incarnation: [u8; 16],
    now: i64,
}

impl Lab {
    fn new() -> Lab {
        let text = "ClusterName=c\nSlurmctldHost=localhost\nMaxJobCount=1000\n\
                    SelectType=select/cons_tres\nNodeName=n[1-2] CPUs=4 RealMemory=100\n\
                    PartitionName=p Nodes=ALL Default=YES\n";
        let conf = Conf::read(Path::new("/x"), &mut |_| Ok(text.to_owned())).unwrap();
        let state = State { next_id: 100, ..State::default() };
        let mut lab = Lab { conf, state, incarnation: ONE, now: 1000 };
        lab.does(&Command::Begin);
        lab
    }

    /// Job 7; both nodes have registered.
    fn with_a_job_that_waits() -> Lab {
        let mut lab = Lab::new();
        lab.registers("n1", &[]);
        lab.registers("n2", &[]);
        lab.job(7, unbegun());
        lab
    }

    /// A controller begins with the store restored.
    fn is_restored(&mut self) {
        self.incarnation = TWO;
        self.does(&Command::Begin);
    }

    fn does(&mut self, command: &Command) -> Vec<Effect> {
        let world = World { conf: &self.conf, state: &self.state, now: self.now };
        let outcome = apply_in(&self.incarnation, world, command);
        outcome.changes.into_iter().for_each(|change| self.state.take(change));
        outcome.effects
    }

    /// A job that was submitted now.
    fn job(&mut self, id: u32, course: Course) {
        let spec = JobDesc {
            user_id: 7,
            time_limit: 10,
            partition: "p".into(),
            begin_time: Time(0),
            ..JobDesc::unset()
        };
        let course = Course { priority: 5, submit_time: Time(self.now), ..course };
        self.state.take(Change::Job(Arc::new(Job { id, spec: Arc::new(spec), course })));
    }

    fn registers(&mut self, name: &str, jobs: &[u32]) -> Vec<Effect> {
        let steps = jobs.iter().map(|id| StepId {
            job_id: *id,
            step_id: step::BATCH,
            step_het_comp: u32::UNSET,
        });
        let registration = Registration {
            node_name: name.into(),
            cpus: 4,
            sockets: 4,
            cores: 1,
            threads: 1,
            real_memory: 100,
            up_time: 1_000_000,
            steps: steps.collect(),
            ..Registration::default()
        };
        self.does(&Command::Register { registration: Box::new(registration), heard: 0 })
    }

    fn ends(effects: &[Effect]) -> bool {
        effects.iter().any(|effect| matches!(effect, Effect::End { .. }))
    }

    fn of(&self, id: u32) -> &Course {
        &self.state.job(id).unwrap().course
    }
}

fn running(node: &str, launched: i64) -> Course {
    let share = Share { node: node.into(), cpus: 1, memory: 1, cores: Bits::from_set(4, [0]) };
    let (state, launches) = (state::RUNNING, 1);
    let (batch_host, launched) = (node.into(), Time(launched));
    Course { state, shares: vec![share], batch_host, launched, launches, ..unbegun() }
}

/// On one core of n1.
fn starts(job: u32) -> Command {
    let share = Share { node: "n1".into(), cpus: 1, memory: 0, cores: Bits::from_set(4, [0]) };
    let start = Start { job, task: None, partition: "p".into(), shares: vec![share] };
    Command::Start { start: Box::new(start) }
}

#[test]
fn a_job_that_waits_in_a_restored_state_and_runs_on_its_node_goes_on_and_is_listed() {
    let mut lab = Lab::new();
    lab.job(7, unbegun());
    lab.now = 2000;
    lab.is_restored();
    assert_eq!((lab.state.next_id, lab.state.unseen), (1100, Some((100, 1100))));
    let effects = lab.registers("n1", &[7, 150]);
    assert!(!Lab::ends(&effects), "{effects:?}");
    let course = lab.of(7);
    assert_eq!((course.state, course.batch_host.lossy().as_ref()), (state::RUNNING, "n1"));
    assert_eq!((course.start_time, course.end_time), (Time(2000), Time(2600)));
    assert_eq!(course.confirmed, course.launches);
    assert_eq!(lab.of(150).state, state::RUNNING, "an id that the state never gave out");
    assert_eq!(lab.state.load_of("n1").cpus, 4, "nothing else is put there");
    // From here on it is a job as any other: what another node has of it is a stray.
    assert!(Lab::ends(&lab.registers("n2", &[7])));
}

#[test]
fn a_job_that_went_on_to_another_node_is_followed_there() {
    let mut lab = Lab::new();
    lab.job(7, running("n1", 1000));
    lab.now = 2000;
    lab.is_restored();
    assert!(!Lab::ends(&lab.registers("n2", &[7])));
    assert_eq!(lab.of(7).batch_host.lossy(), "n2");
    assert_eq!((lab.state.load_of("n1").cpus, lab.state.load_of("n2").cpus), (0, 4));
    assert!(!Lab::ends(&lab.registers("n1", &[])));
    assert_eq!(lab.of(7).state, state::RUNNING);
}

#[test]
fn what_was_started_since_the_restore_is_judged_as_always() {
    let mut lab = Lab::new();
    lab.job(8, unbegun());
    lab.now = 2000;
    lab.is_restored();
    lab.job(8, Course { launched: Time(2000), launches: 1, ..unbegun() });
    assert!(Lab::ends(&lab.registers("n1", &[8])));
    let mut lab = Lab::new();
    lab.job(7, Course { launches: 1, ..unbegun() });
    lab.does(&Command::Begin);
    assert_eq!(lab.state.next_id, 100, "a start is no restore");
    assert!(Lab::ends(&lab.registers("n1", &[7])));
}

/// A volume was taken back to an older snapshot: nothing in the store tells.
#[test]
fn what_was_never_started_and_runs_goes_on_without_a_restore_too() {
    let mut lab = Lab::new();
    lab.job(7, unbegun());
    lab.does(&Command::Begin);
    assert!(!Lab::ends(&lab.registers("n1", &[7])));
    assert_eq!(lab.of(7).state, state::RUNNING);
}

#[test]
fn an_array_of_which_a_task_runs_is_held() {
    let mut lab = Lab::new();
    let tasks = vec![TaskRun { first: 1, last: 3, step: 1 }];
    lab.job(7, Course { array_job_id: 7, tasks, ..unbegun() });
    lab.now = 2000;
    lab.is_restored();
    assert!(!Lab::ends(&lab.registers("n1", &[7])));
    assert_eq!((lab.of(7).state, lab.of(7).priority), (state::PENDING, 0));
}

#[test]
fn nothing_starts_until_every_node_has_registered_or_is_out() {
    let mut lab = Lab::new();
    assert!(awaited(&lab.conf, &lab.state).is_empty());
    lab.registers("n1", &[]);
    lab.registers("n2", &[]);
    lab.now = 2000;
    lab.is_restored();
    assert_eq!(awaited(&lab.conf, &lab.state), ["n1", "n2"]);
    lab.registers("n1", &[]);
    assert_eq!(awaited(&lab.conf, &lab.state), ["n2"]);
    let nodes = vec!["n2".to_owned()];
    lab.does(&Command::Silent { nodes: nodes.clone(), down: false });
    assert_eq!(awaited(&lab.conf, &lab.state), ["n2"], "it may come back");
    lab.does(&Command::Silent { nodes, down: true });
    assert!(awaited(&lab.conf, &lab.state).is_empty());
}

/// The disk was full when the controller began, so that its beginning was not saved.
#[test]
fn the_first_change_after_a_restore_holds_what_follows_from_it_whatever_it_is() {
    let mut lab = Lab::with_a_job_that_waits();
    (lab.now, lab.incarnation) = (2000, TWO);
    let start = starts(7);
    lab.does(&start);
    assert_eq!(lab.of(7).state, state::PENDING, "it may run on a node that has not registered");
    assert_eq!((lab.state.next_id, lab.state.unseen), (1100, Some((100, 1100))));
    let mut lab = Lab::new();
    (lab.now, lab.incarnation) = (2000, TWO);
    let desc = JobDesc {
        script: "#!/bin/sh\n".into(),
        environment: vec!["A=b".into()],
        deadline: Time(0),
        immediate: 0,
        x11: 0,
        bitflags: 0,
        ..JobDesc::unset()
    };
    let who = Who { uid: 7, gid: 7, name: "u".into(), ..Who::default() };
    let (desc, request) = (Box::new(desc), vec![7; 16]);
    lab.does(&Command::Submit { desc, who, owner: None, request });
    assert!(lab.state.job(1100).is_some() && lab.state.job(100).is_none());
    lab.does(&Command::Begin);
    assert_eq!(lab.state.next_id, 1101, "once");
}

#[test]
fn a_job_that_may_run_elsewhere_is_started_when_every_node_has_registered() {
    let mut lab = Lab::with_a_job_that_waits();
    lab.now = 2000;
    lab.is_restored();
    let start = starts(7);
    lab.registers("n1", &[]);
    lab.does(&start);
    assert_eq!(lab.of(7).state, state::PENDING);
    lab.registers("n2", &[]);
    lab.does(&start);
    assert_eq!(lab.of(7).state, state::RUNNING);
}
