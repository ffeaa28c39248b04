//! What agents report comes to, rule by rule; and what holds whatever they report, in whatever
//! order.

use crate::base::Local;
use crate::controller::core::{
    Command, Effect, Ending, INVALID_NODE_STATE, Outcome, Start, Who, World, apply, known, size,
};
use crate::controller::job::{Course, Job, Share, unbegun};
use crate::controller::node::NodeRecord;
use crate::controller::state::{Change, State, batch};
use crate::disk::fake::FakeDisk;
use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::{job as state, node, rc, reason, step};
use crate::slurm::wire::tables::{
    BatchDone, EpilogDone, JobDesc, Registration, Requeue, StepId, UpdateNode, UpdatePartition,
};
use crate::slurm::wire::{Bits, Field, Message, Text, Time, Unset};
use crate::store::{Options, Store};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

const CORES: u32 = 4;

struct Lab {
    conf: Conf,
    state: State,
    now: i64,
}

fn admin() -> Who {
    Who { admin: true, ..Who::default() }
}

impl Lab {
    fn new(more: &str) -> Lab {
        let text = format!(
            "ClusterName=c\nSlurmctldHost=localhost\n{more}\nSelectType=select/cons_tres\n\
             NodeName=n[1-3] CPUs={CORES} RealMemory=100\nPartitionName=p Nodes=ALL Default=YES\n"
        );
        let conf = Conf::read(Path::new("/x"), &mut |_| Ok(text.clone())).unwrap();
        Lab { conf, state: State { next_id: 100, ..State::default() }, now: 10_000 }
    }

    fn pending(mut self, id: u32, requeue: u16) -> Lab {
        let spec = JobDesc {
            user_id: 7,
            group_id: 7,
            requeue,
            partition: "p".into(),
            begin_time: Time(0),
            ..JobDesc::unset()
        };
        let course = Course { priority: 5, time_limit: 10, ..unbegun() };
        let job = Job { id, spec: Arc::new(spec), course };
        self.state.take(Change::Job(Arc::new(job)));
        self
    }

    fn asks(&self, command: &Command) -> Outcome {
        let world = World { conf: &self.conf, state: &self.state, now: self.now };
        apply(world, command)
    }

    fn does(&mut self, command: &Command) -> Outcome {
        let mut outcome = self.asks(command);
        outcome.changes.iter().for_each(|change| self.state.take(change.clone()));
        outcome.effects.retain(|effect| !matches!(effect, Effect::Note(_) | Effect::Schedule));
        outcome
    }

    fn job(&self, id: u32) -> &Job {
        self.state.job(id).unwrap()
    }

    fn node(&self, name: &str) -> NodeRecord {
        known(&self.state, self.conf.nodes.iter().find(|node| node.name == name).unwrap())
    }

    /// Puts a node into a state.
    fn is(&mut self, name: &str, state: u32, why: &str) {
        let record = NodeRecord { state, reason: why.into(), ..self.node(name) };
        self.state.take(Change::Node(name.to_owned(), record));
    }

    /// A job that runs on the first core of a node, in service.
    fn running(mut self, id: u32, requeue: u16, name: &str) -> Lab {
        self.is(name, node::IDLE, "");
        let mut lab = self.pending(id, requeue);
        assert_eq!(lab.does(&start(id, name, 0)).reply, Message::code(rc::OK));
        lab
    }
}

fn start(id: u32, name: &str, core: u32) -> Command {
    let cores = Bits::from_set(CORES, [core]);
    let share = Share { node: name.into(), cpus: 1, memory: 10, cores };
    let start = Start { job: id, task: None, partition: "p".into(), shares: vec![share] };
    Command::Start { start: Box::new(start) }
}

fn registration(name: &str, jobs: &[u32]) -> Registration {
    let step = |id: &u32| StepId { job_id: *id, step_id: step::BATCH, step_het_comp: u32::UNSET };
    Registration {
        node_name: name.into(),
        cpus: 4,
        boards: 1,
        sockets: 4,
        cores: 1,
        threads: 1,
        real_memory: 100,
        up_time: 5_000,
        steps: jobs.iter().map(step).collect(),
        ..Registration::default()
    }
}

fn registers(registration: Registration, heard: i64) -> Command {
    Command::Register { registration: Box::new(registration), heard }
}

fn ended(id: u32, name: &str, job_rc: u32, slurm_rc: u32) -> Command {
    let node_name = name.into();
    let done = BatchDone { job_id: id, job_rc, slurm_rc, node_name, ..BatchDone::default() };
    Command::BatchDone { done: Box::new(done) }
}

fn clean(id: u32, name: &str, return_code: u32) -> Command {
    let done = EpilogDone { job_id: id, return_code, node_name: name.into() };
    Command::EpilogDone { done: Box::new(done) }
}

fn launched(id: u32, launch: u32, name: &str, code: Option<u32>) -> Command {
    Command::Launched { job: id, launch, node: name.into(), code }
}

fn ends(outcome: &Outcome) -> Vec<(u32, Ending)> {
    let end = |effect: &Effect| match effect {
        Effect::End { job, how, .. } => Some((*job, *how)),
        _ => None,
    };
    outcome.effects.iter().filter_map(end).collect()
}

#[test]
fn a_node_that_has_less_than_it_should_is_invalid_and_drained_in_slurms_words() {
    let mut lab = Lab::new("");
    let poor =
        Registration { cpus: 2, sockets: 2, real_memory: 50, flags: 2, ..registration("n1", &[]) };
    let reply = lab.does(&registers(poor, 0)).reply;
    assert!(matches!(reply, Message::Registered(_)), "launches wait for the list: {reply:?}");
    let record = lab.node("n1");
    assert_eq!(record.state, node::UNKNOWN | node::INVALID_REGISTRATION | node::DRAIN);
    assert_eq!(
        record.reason.lossy(),
        "Low socket*core*thread count, Low CPUs, \
         Low RealMemory (reported:50 < 100.00% of configured:100)"
    );
    lab.does(&registers(registration("n1", &[]), 0));
    assert_eq!(lab.node("n1").state, node::IDLE | node::DRAIN, "valid, and still drained");
    let overrides = Lab::new("SlurmdParameters=config_overrides");
    let poor = Registration { cpus: 1, ..registration("n1", &[]) };
    let outcome = overrides.asks(&registers(poor, 0));
    let in_service =
        |change: &Change| matches!(change, Change::Node(_, record) if record.state == node::IDLE);
    assert!(outcome.changes.iter().any(in_service), "{outcome:?}");
}

#[test]
fn a_failed_prolog_drains_the_node_and_an_unknown_node_changes_nothing() {
    let mut lab = Lab::new("");
    let failed = Registration { status: 4022, ..registration("n1", &[]) };
    lab.does(&registers(failed, 0));
    let record = lab.node("n1");
    assert_eq!(
        (record.state & node::DRAIN, &*record.reason.lossy()),
        (node::DRAIN, "Prolog error")
    );
    let outcome = lab.does(&registers(registration("n9", &[]), 0));
    assert_eq!((outcome.changes.len(), outcome.reply), (0, Message::code(rc::OK)));
}

/// The handbook's table. ReturnToService, state and reason before, whether it booted since it was
/// heard of; back?
#[test]
fn return_to_service_0_stays_down_1_returns_with_all_of_it_2_returns_with_any() {
    const DRAINED: u32 = node::DOWN | node::DRAIN;
    for (value, before, why, rebooted, after) in [
        (0, node::DOWN, "Not responding", false, node::DOWN),
        (1, node::DOWN, "Not responding", false, node::IDLE),
        (1, node::DOWN, "Not responding", true, node::IDLE),
        (1, node::DOWN, "Node unexpectedly rebooted", false, node::IDLE),
        (1, node::DOWN, "fan", false, node::DOWN),
        (1, node::DOWN, "fan", true, node::DOWN),
        (0, node::DOWN, "Not responding", true, node::DOWN),
        (0, node::DOWN, "fan", true, node::DOWN),
        (2, node::DOWN, "fan", false, node::IDLE),
        (2, node::DOWN, "fan", true, node::IDLE),
        (2, DRAINED, "fan", false, node::IDLE | node::DRAIN),
        (1, node::IDLE, "", true, node::IDLE),
        (0, node::IDLE, "", true, node::DOWN),
        (2, node::IDLE, "", true, node::IDLE),
    ] {
        let mut lab = Lab::new(&format!("ReturnToService={value}"));
        lab.is("n1", before, why);
        // It booted at 5,000.
        let heard = if rebooted { 4_000 } else { 6_000 };
        lab.does(&registers(registration("n1", &[]), heard));
        let record = lab.node("n1");
        let row = (value, before, why, rebooted);
        assert_eq!(record.state, after, "{row:?}");
        let now_rebooted = rebooted && value == 0 && why != "fan";
        assert_eq!(record.reason.lossy() == "Node unexpectedly rebooted", now_rebooted, "{row:?}");
        assert_eq!(record.reason.is_empty(), after == node::IDLE, "{row:?}");
    }
}

/// Slurm's own calls it invalid with every value.
#[test]
fn with_return_to_service_2_a_node_with_less_works_with_what_it_has_until_all_is_back() {
    let poor = || Registration { cpus: 2, sockets: 2, real_memory: 50, ..registration("n1", &[]) };
    for value in [0, 1] {
        let mut lab = Lab::new(&format!("ReturnToService={value}"));
        lab.is("n1", node::DOWN, "Not responding");
        lab.does(&registers(poor(), 0));
        assert_eq!(lab.node("n1").state, node::DOWN | node::INVALID_REGISTRATION, "{value}");
    }
    let mut lab = Lab::new("ReturnToService=2").running(1, 0, "n1");
    lab.does(&start(2, "n1", 2));
    let size = |lab: &Lab| {
        let of = &lab.conf.nodes[0];
        let record = lab.node("n1");
        let node = size::now(&lab.conf, of, &record);
        (record.state, node.cpus, node.real_memory)
    };
    assert_eq!(size(&lab), (node::IDLE, 4, 100), "before it ever registered");
    let reports = Registration { steps: registration("n1", &[1]).steps, ..poor() };
    let outcome = lab.asks(&registers(reports.clone(), 0));
    let notes: String = outcome
        .effects
        .iter()
        .filter_map(|e| if let Effect::Note(n) = e { Some(&**n) } else { None })
        .collect();
    assert!(notes.contains("is used so (2 CPUs, 50 MiB)"), "{notes}");
    lab.does(&registers(reports, 0));
    assert_eq!(size(&lab), (node::IDLE, 2, 50), "the lesser of both");
    assert!(lab.job(1).is_active(), "what runs goes on");
    lab.is("n1", node::DOWN, "fan");
    let more = Registration { cpus: 8, sockets: 8, ..registration("n1", &[1]) };
    lab.does(&registers(more, 0));
    assert_eq!(size(&lab), (node::IDLE, 4, 100), "never more than slurm.conf says");
}

/// Boots at 5,000; was heard of before that.
#[test]
fn nodes_that_reboot_rejoin_the_cluster_what_ran_before_is_lost_and_what_began_since_is_not() {
    for (value, back) in [(0, node::DOWN), (1, node::IDLE), (2, node::IDLE)] {
        let mut lab = Lab::new(&format!("ReturnToService={value}")).pending(2, 1).pending(3, 0);
        lab.now = 4_000;
        lab = lab.running(1, 0, "n1");
        lab.does(&start(2, "n1", 1));
        for id in [1, 2] {
            lab.does(&launched(id, lab.job(id).course.launches, "n1", Some(0)));
        }
        lab.now = 10_000;
        lab.does(&start(3, "n1", 2));
        lab.does(&registers(registration("n1", &[]), 4_500));
        assert_eq!(lab.node("n1").state, back, "{value}");
        assert_eq!(lab.job(1).base(), state::NODE_FAIL, "{value}");
        assert!(lab.job(2).is_pending() && lab.job(2).course.restart_cnt == 1, "{value}");
        assert_eq!(lab.job(3).is_active(), value != 0, "{value}: it began after that");
    }
}

#[test]
fn a_script_that_ended_decides_the_state_once() {
    for (code, slurm_rc, base, why) in [
        (0, 0, state::COMPLETE, reason::NONE),
        (3 << 8, 0, state::FAILED, reason::EXIT_CODE),
        (9, 0, state::FAILED, reason::LAUNCH),
        (253, 0, state::OUT_OF_MEMORY, reason::OUT_OF_MEMORY),
        (0, rc::AGENT_REVOKED, state::COMPLETE, reason::NONE),
    ] {
        let mut lab = Lab::new("").running(1, 0, "n1");
        assert_eq!(lab.does(&ended(1, "n2", 1, 0)).changes.len(), 0, "of another node");
        let outcome = lab.does(&ended(1, "n1", code, slurm_rc));
        assert_eq!(ends(&outcome), [(1, Ending::Terminate)]);
        let course = &lab.job(1).course;
        assert_eq!((course.state, course.reason), (base | state::COMPLETING, why), "{code}");
        assert_eq!(course.exit_code, code);
        let again = lab.does(&ended(1, "n1", 77 << 8, 0)).reply;
        assert_eq!(again, Message::code(rc::ALREADY_DONE));
        let kept = if code == 0 { 77 << 8 } else { code };
        assert_eq!(lab.job(1).course.exit_code, kept, "recorded once");
        assert_eq!(lab.job(1).base(), base);
        lab.does(&clean(1, "n1", 0));
        assert!(lab.job(1).is_over() && lab.state.loads.is_empty());
    }
    let mut lab = Lab::new("").running(1, 0, "n1");
    lab.now += 10 * 60 + 5;
    lab.does(&ended(1, "n1", 0, 0));
    assert_eq!(lab.job(1).base(), state::TIMEOUT, "beyond its limit");
}

#[test]
fn what_the_node_did_wrong_drains_it_and_the_job_waits_again() {
    let mut lab = Lab::new("RequeueExit=5\nRequeueExitHold=6-7").running(1, 1, "n1");
    lab.does(&ended(1, "n1", 1 << 8, 4010));
    assert_eq!(lab.node("n1").reason.lossy(), "batch job complete failure");
    assert!(lab.job(1).is_pending() && lab.job(1).is_completing());
    lab.does(&clean(1, "n1", 4023));
    assert_eq!(lab.node("n1").reason.lossy(), "batch job complete failure", "the first counts");
    let course = &lab.job(1).course;
    assert_eq!((course.state, course.restart_cnt, course.shares.len()), (state::PENDING, 1, 0));
    assert!(lab.job(1).spec.begin_time.0 > lab.now, "not before its node would believe it");
    for (id, code, priority) in [(2, 5, 5), (3, 7, 0)] {
        lab = lab.running(id, 0, "n2");
        lab.does(&ended(id, "n2", code << 8, 0));
        assert!(lab.job(id).is_pending(), "{code}");
        assert_eq!(lab.job(id).course.priority, priority);
        assert_eq!(lab.job(id).course.state & state::SPECIAL_EXIT != 0, code == 7);
        lab.does(&clean(id, "n2", 0));
    }
}

#[test]
fn jobs_of_a_lost_node_wait_again_if_they_may() {
    let mut lab = Lab::new("").running(1, 1, "n1").pending(2, 0);
    lab.does(&start(2, "n1", 1));
    let down = Command::Silent { nodes: vec!["n1".to_owned()], down: true };
    lab.does(&Command::Silent { nodes: vec!["n1".to_owned()], down: false });
    assert_eq!(lab.node("n1").state, node::IDLE | node::NO_RESPOND);
    assert!(lab.job(1).is_active(), "silence alone ends nothing");
    lab.does(&down);
    assert_eq!(lab.node("n1").state, node::DOWN | node::NO_RESPOND);
    assert_eq!(lab.node("n1").reason.lossy(), "Not responding");
    assert_eq!(lab.job(1).course.state, state::PENDING);
    let lost = &lab.job(2).course;
    assert_eq!((lost.state, lost.reason), (state::NODE_FAIL, reason::DOWN_NODE));
    assert!(lab.state.loads.is_empty());
    let before = lab.state.clone();
    lab.does(&down);
    assert_eq!(lab.state, before, "it is known");
    // It comes back, and still has both.
    let outcome = lab.does(&registers(registration("n1", &[1, 2]), 0));
    assert_eq!(ends(&outcome), [(1, Ending::Abort)], "the other one may just have ended");
    lab.now += 100;
    let outcome = lab.does(&registers(registration("n1", &[1, 2]), 0));
    assert_eq!(ends(&outcome), [(1, Ending::Abort), (2, Ending::Terminate)]);
    let update = UpdateNode {
        node_names: "n1".into(),
        node_state: node::RESUME,
        weight: u32::UNSET,
        ..UpdateNode::default()
    };
    let resume = Command::UpdateNodes { update: Box::new(update), who: admin() };
    assert_ne!(lab.does(&resume).reply, Message::code(INVALID_NODE_STATE));
}

#[test]
fn a_launch_that_nobody_confirmed_is_made_up_for_only_when_the_node_has_shown_that_it_lacks_it() {
    // Not reached: nobody knows of it.
    let mut lab = Lab::new("").running(1, 0, "n1");
    lab.does(&launched(1, 1, "n1", None));
    assert_eq!(lab.job(1).course.state, state::PENDING);
    assert_eq!(lab.job(1).course.restart_cnt, 0);
    // Refused by an agent that obeys another controller: it takes no job of this one.
    let mut lab = Lab::new("").running(1, 0, "n1");
    lab.does(&launched(1, 1, "n1", Some(rc::STANDBY)));
    let course = &lab.job(1).course;
    assert_eq!((course.state, course.restart_cnt), (state::PENDING, 0));
    assert_eq!(lab.node("n1").state & node::DRAIN, node::DRAIN);
    assert!(lab.node("n1").reason.lossy().contains("a later controller"));
    // Confirmed by its answer, by a registration.
    for by_answer in [true, false] {
        let mut lab = Lab::new("").running(1, 0, "n1");
        let confirms = if by_answer {
            launched(1, 1, "n1", Some(rc::OK))
        } else {
            registers(registration("n1", &[1]), 0)
        };
        lab.does(&confirms);
        assert_eq!(lab.job(1).course.confirmed, 1);
        lab.does(&launched(1, 1, "n1", Some(rc::OK)));
        lab.now += 1_000;
        lab.does(&registers(registration("n1", &[]), lab.now - 1));
        let course = &lab.job(1).course;
        assert_eq!(course.state, state::NODE_FAIL | state::COMPLETING, "it began, and is gone");
        assert_eq!(course.exit_code, 1);
    }
    // Missing, and nobody confirmed it: it never began, whatever it may.
    let mut lab = Lab::new("").running(1, 0, "n1");
    lab.now += 5;
    lab.does(&registers(registration("n1", &[]), lab.now - 1));
    assert!(lab.job(1).is_active(), "it may still be on its way");
    lab.now += 100;
    let outcome = lab.does(&registers(registration("n1", &[]), lab.now - 1));
    assert_eq!(ends(&outcome), [(1, Ending::Terminate)], "the node is asked all the same");
    assert_eq!(lab.job(1).course.state, state::PENDING | state::COMPLETING);
    // What slurmd asks for when nobody read its answer.
    let mut lab = Lab::new("").running(1, 0, "n1");
    let flags = state::REQUEUE_HOLD | state::LAUNCH_FAILED;
    let request = Requeue { job_id: 1, job_id_str: Text::NONE, flags };
    let command = Command::Requeue { request: Box::new(request), who: admin() };
    lab.does(&command);
    let course = &lab.job(1).course;
    assert_eq!((course.state, course.priority), (state::PENDING | state::COMPLETING, 5));
}

#[test]
fn a_refused_launch_that_comes_late_changes_nothing_of_a_job_that_is_over_or_runs_again() {
    let flags = state::REQUEUE_HOLD | state::LAUNCH_FAILED;
    let request = Requeue { job_id: 1, job_id_str: Text::NONE, flags };
    let command = Command::Requeue { request: Box::new(request), who: admin() };
    let confirms =
        |launch| Command::Launched { job: 1, launch, node: "n1".into(), code: Some(rc::OK) };
    // Launched again, and over by now.
    let mut lab = Lab::new("").running(1, 0, "n1");
    lab.does(&confirms(1));
    lab.does(&ended(1, "n1", 3 << 8, 0));
    lab.does(&clean(1, "n1", 0));
    let before = lab.job(1).clone();
    assert!(before.is_over());
    lab.does(&command);
    assert_eq!(*lab.job(1), before);
    // Launched again, and running: its node says whether it is there.
    let mut lab = Lab::new("").running(1, 0, "n1");
    lab.does(&command);
    lab.does(&clean(1, "n1", 0));
    lab.now += 10;
    assert_eq!(lab.does(&start(1, "n1", 0)).reply, Message::code(rc::OK));
    lab.does(&confirms(2));
    lab.does(&command);
    assert_eq!((lab.job(1).course.state, lab.job(1).course.confirmed), (state::RUNNING, 0));
    lab.does(&registers(registration("n1", &[1]), 0));
    assert_eq!((lab.job(1).course.state, lab.job(1).course.confirmed), (state::RUNNING, 2));
    // The first launch of all, answered before: as under Slurm's own controller.
    let mut lab = Lab::new("").running(1, 1, "n1");
    lab.does(&confirms(1));
    lab.does(&command);
    assert_ne!(lab.job(1).course.state, state::RUNNING);
}

#[test]
fn a_job_that_was_never_started_and_runs_on_its_node_goes_on() {
    let mut lab = Lab::new("").pending(1, 0);
    lab.is("n1", node::IDLE, "");
    let outcome = lab.does(&registers(registration("n1", &[1]), 0));
    assert_eq!(ends(&outcome), [], "an old disk's state is behind it");
    let course = &lab.job(1).course;
    assert_eq!((course.state, course.launches), (state::RUNNING, course.confirmed));
    assert_eq!(course.batch_host, Text::from("n1"));
    // One that has run before may be a run that was to end.
    let mut lab = Lab::new("").running(1, 0, "n1");
    let flags = state::REQUEUE_HOLD | state::LAUNCH_FAILED;
    let request = Requeue { job_id: 1, job_id_str: Text::NONE, flags };
    lab.does(&Command::Requeue { request: Box::new(request), who: admin() });
    lab.does(&clean(1, "n1", 0));
    let outcome = lab.does(&registers(registration("n1", &[1]), 0));
    assert_eq!(ends(&outcome), [(1, Ending::Abort)]);
}

#[test]
fn jobs_that_only_their_node_knows_are_kept_and_ids_go_on_above_them() {
    let mut lab = Lab::new("MaxJobCount=50");
    let outcome = lab.does(&registers(registration("n1", &[40]), 0));
    assert_eq!(ends(&outcome), [(40, Ending::Abort)], "an id that was given out");
    let outcome = lab.does(&registers(registration("n1", &[200]), 0));
    assert_eq!(ends(&outcome), []);
    let found = lab.job(200);
    assert!(found.is_active() && found.course.batch_host == Text::from("n1"));
    assert_eq!(lab.state.load_of("n1").cpus, CORES, "nothing is put beside it");
    assert_eq!(lab.state.next_id, 251);
    let outcome = lab.does(&registers(registration("n2", &[150, 200]), 0));
    assert_eq!(ends(&outcome), [], "an older one of the same lost state");
    assert!(lab.job(150).is_active());
    assert_eq!(lab.job(200).course.shares.len(), 2, "it has two nodes");
    lab.does(&ended(200, "n1", 2 << 8, 0));
    assert_eq!(lab.job(200).course.exit_code, 2 << 8);
    for name in ["n1", "n2"] {
        lab.does(&clean(200, name, 0));
    }
    assert!(lab.job(200).is_over());
}

#[test]
fn a_job_is_warned_once_and_ended_at_its_limit() {
    let mut lab = Lab::new("OverTimeLimit=1").running(1, 1, "n1");
    let job = lab.job(1);
    let mut spec = JobDesc::clone(&job.spec);
    (spec.warn_signal, spec.warn_time, spec.warn_flags) = (10, 60, 1);
    let job = Job { id: 1, spec: Arc::new(spec), course: job.course.clone() };
    lab.state.take(Change::Job(Arc::new(job)));
    lab.now += 539;
    assert!(lab.does(&Command::Tick).changes.is_empty());
    lab.now += 1;
    let signals: Vec<_> = lab.does(&Command::Tick).effects;
    let signal = |signal| {
        let nodes = vec![Text::from("n1")];
        Effect::Signal { job: 1, nodes, step: step::BATCH, signal, flags: 1 }
    };
    assert_eq!(signals, [signal(18), signal(10)]);
    assert!(lab.does(&Command::Tick).changes.is_empty(), "once");
    lab.now += 119;
    assert!(lab.does(&Command::Tick).changes.is_empty(), "a minute more than its limit");
    lab.now += 1;
    let outcome = lab.does(&Command::Tick);
    assert_eq!(ends(&outcome), [(1, Ending::TimeLimit)]);
    assert_eq!(lab.job(1).course.state, state::TIMEOUT | state::COMPLETING);
    lab.does(&ended(1, "n1", 15, 0));
    assert_eq!((lab.job(1).base(), lab.job(1).course.exit_code), (state::TIMEOUT, 15));
}

#[test]
fn a_partition_that_was_given_more_time_since_lets_its_jobs_go_on() {
    let mut lab = Lab::new("OverTimeLimit=1").running(1, 1, "n1");
    let update =
        UpdatePartition { name: "p".into(), over_time_limit: 3, ..UpdatePartition::unset() };
    let more = Command::UpdatePartition { update: Box::new(update), who: admin() };
    assert_eq!(lab.does(&more).reply, Message::code(rc::OK));
    lab.now += 600 + 179;
    assert!(lab.does(&Command::Tick).changes.is_empty());
    lab.now += 1;
    assert_eq!(ends(&lab.does(&Command::Tick)), [(1, Ending::TimeLimit)]);
}

const NAMES: [&str; 3] = ["n1", "n2", "n3"];

/// One event of nine kinds, about job `id` and node `at`.
fn event(lab: &Lab, (kind, id, at, x): (u8, u32, usize, u32)) -> Command {
    let name = NAMES[at];
    let launch = lab.state.job(id).map_or(0, |job| job.course.launches);
    match kind {
        0 | 1 => start(id, name, x % CORES),
        2 => launched(id, launch, name, [Some(rc::OK), Some(4_000), None][x as usize % 3]),
        3 => ended(id, name, [0, 256, 9, 253][x as usize % 4], [0, 0, 4010][x as usize % 3]),
        4 => clean(id, name, [0, 0, 0, 4023][x as usize % 4]),
        5 => {
            let jobs: Vec<u32> =
                (0..8).filter(|bit| x >> bit & 1 == 1).map(|bit| bit + 1).collect();
            let up_time = if x % 5 == 0 { 0 } else { 5_000 };
            let poor = if x % 7 == 0 { 1 } else { 4 };
            let report = registration(name, &jobs);
            registers(Registration { up_time, cpus: poor, ..report }, i64::from(x))
        }
        6 => Command::Silent { nodes: vec![name.to_owned()], down: x % 3 == 0 },
        7 => Command::Answered { nodes: vec![name.to_owned()] },
        _ => Command::Tick,
    }
}

fn check(lab: &Lab, before: &State) -> Result<(), TestCaseError> {
    let mut held = std::collections::BTreeSet::new();
    for job in lab.state.jobs.values() {
        let over = !job.is_pending() && !job.is_active();
        let states = [job.is_pending(), job.is_active(), over];
        prop_assert_eq!(states.iter().filter(|is| **is).count(), 1);
        prop_assert_eq!(job.is_completing(), !job.course.completing.is_empty());
        prop_assert!(!job.is_pending() || job.is_completing() || job.course.shares.is_empty());
        prop_assert!(job.course.confirmed <= job.course.launches);
        for share in &job.course.shares {
            let has = job.is_active() || job.course.completing.contains(&share.node);
            for core in share.cores.iter().filter(|_| has) {
                prop_assert!(held.insert((share.node.clone(), core)), "{} twice", core);
            }
        }
        let Some(old) = before.job(job.id) else { continue };
        let was_over = !old.is_pending() && !old.is_active();
        prop_assert!(!was_over || old.base() == job.base(), "what is over stays");
        let kept = old.course.exit_code == 0 || old.course.exit_code == job.course.exit_code;
        prop_assert!(!was_over || kept, "an exit code stays");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Through a real store on the fake disk, opened again at times.
    #[test]
    fn whatever_agents_report_nothing_is_held_twice_and_no_exit_code_is_lost(
        service in 0..3_u8,
        steps in prop::collection::vec(
            (0..9_u8, 1..7_u32, 0..3_usize, 0..256_u32, 0..20_u8),
            1..60,
        ),
    ) {
        let mut lab = Lab::new(&format!("ReturnToService={service}"));
        for id in 1..7 {
            lab = lab.pending(id, u16::from(id % 2 == 0));
        }
        for name in NAMES {
            lab.is(name, node::IDLE, "");
        }
        let disk: Arc<dyn crate::disk::Disk> = Arc::new(FakeDisk::new(512));
        Store::create_on(disk.as_ref()).unwrap();
        let open = || {
            let options = Options::default().without_threads();
            Store::open_on(Arc::clone(&disk), options, Arc::new(Local)).unwrap()
        };
        let mut store = open();
        let nodes = lab.state.nodes.iter();
        let nodes = nodes.map(|(name, node)| Change::Node(name.clone(), node.clone()));
        let jobs = lab.state.jobs.values().cloned().map(Change::Job);
        let first: Vec<Change> =
            jobs.chain(nodes).chain([Change::NextId(lab.state.next_id)]).collect();
        store.save(batch(&first).unwrap()).unwrap();
        for (kind, id, at, x, again) in steps {
            lab.now += i64::from(again) * 7;
            let command = event(&lab, (kind, id, at, x));
            let outcome = lab.asks(&command);
            prop_assert_eq!(&outcome, &lab.asks(&command), "it is pure");
            let before = lab.state.clone();
            if !outcome.changes.is_empty() {
                store.save(batch(&outcome.changes).unwrap()).unwrap();
                outcome.changes.into_iter().for_each(|change| lab.state.take(change));
            }
            if again == 0 {
                store.close().unwrap();
                store = open();
            }
            prop_assert_eq!(&State::load(&store.view()).unwrap(), &lab.state);
            check(&lab, &before)?;
        }
    }
}
