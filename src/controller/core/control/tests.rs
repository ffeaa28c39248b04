//! What commands about jobs come to, and what holds whatever is commanded.

use crate::controller::core::{Command, Effect, Outcome, Who, World, apply, ending};
use crate::controller::job::{Course, Job, Share, TaskRun, task_ids, unbegun};
use crate::controller::state::{Change, State};
use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::job::NICE_OFFSET;
use crate::slurm::wire::constants::{job, rc, reason, step};
use crate::slurm::wire::tables::{JobDesc, KillRequest, Requeue, StepId, Suspend, TopJob};
use crate::slurm::wire::{Bits, Field, Message, Text, Time, Unset};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

const OWNER: u32 = 100;
const OTHER: u32 = 101;

fn user(uid: u32) -> Who {
    Who { uid, ..Who::default() }
}

fn admin() -> Who {
    Who { admin: true, ..user(0) }
}

/// A cluster with some jobs of [`OWNER`], at a time.
struct Lab {
    conf: Conf,
    state: State,
    now: i64,
}

impl Lab {
    fn new() -> Lab {
        let text = "ClusterName=c\nSlurmctldHost=localhost\nFirstJobId=10\nNodeName=n[1-4]\n\
                    PartitionName=p Nodes=ALL Default=YES MaxTime=60\n\
                    PartitionName=q Nodes=n1 State=DRAIN\nPartitionName=r Nodes=n2\n";
        let conf = Conf::read(Path::new("/x"), &mut |_| Ok(text.to_owned())).unwrap();
        Lab { conf, state: State { next_id: 20, ..State::default() }, now: 1_000 }
    }

    fn with(mut self, id: u32, course: Course) -> Lab {
        let mut spec = JobDesc::unset();
        (spec.user_id, spec.requeue, spec.partition) = (OWNER, 1, "p".into());
        (spec.time_limit, spec.nice, spec.contiguous) = (course.time_limit, NICE_OFFSET, 0);
        spec.begin_time = Time(0);
        let job = Job { id, spec: Arc::new(spec), course };
        self.state.take(Change::Job(Arc::new(job)));
        self
    }

    fn asks(&self, command: &Command) -> Outcome {
        let world = World { conf: &self.conf, state: &self.state, now: self.now };
        let outcome = apply(world, command);
        assert_eq!(outcome, apply(world, command), "it is pure");
        outcome
    }

    /// Takes what a command comes to; the effects besides notes.
    fn does(&mut self, command: &Command) -> (Message, Vec<Effect>) {
        let mut outcome = self.asks(command);
        outcome.changes.drain(..).for_each(|change| self.state.take(change));
        assert_eq!(self.rebuilt(), self.state);
        outcome.effects.retain(|effect| !matches!(effect, Effect::Note(_)));
        (outcome.reply, outcome.effects)
    }

    fn code(&mut self, command: &Command) -> u32 {
        match self.does(command).0 {
            Message::ReturnCode(code) => code.return_code,
            other => panic!("{other:?}"),
        }
    }

    fn codes(&mut self, command: &Command) -> Vec<(String, u32)> {
        match self.does(command).0 {
            Message::ArrayErrors(found) => {
                let errors = found.errors.iter();
                let pair = |error: &crate::slurm::wire::tables::ArrayError| {
                    (error.job_array_id.lossy().into_owned(), error.error_code)
                };
                errors.map(pair).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// The state, from the bytes of its jobs.
    fn rebuilt(&self) -> State {
        let mut state = State { next_id: self.state.next_id, ..State::default() };
        for job in self.state.jobs.values() {
            state.take(Change::Job(Arc::new(Job::decode(job.id, &job.encode()).unwrap())));
        }
        state
    }

    fn job(&self, id: u32) -> &Job {
        self.state.job(id).unwrap()
    }

    fn base(&self, id: u32) -> u32 {
        self.job(id).base()
    }
}

fn waits() -> Course {
    Course { state: job::PENDING, time_limit: 10, priority: 50, ..unbegun() }
}

fn runs() -> Course {
    let share =
        |node: &str| Share { node: node.into(), cpus: 1, memory: 0, cores: Bits::from_set(1, [0]) };
    Course {
        state: job::RUNNING,
        start_time: Time(900),
        batch_host: "n1".into(),
        shares: vec![share("n1"), share("n2")],
        ..waits()
    }
}

fn over() -> Course {
    Course { state: job::COMPLETE, start_time: Time(900), end_time: Time(950), ..waits() }
}

fn array(first: u32, last: u32) -> Course {
    let tasks = vec![TaskRun { first, last, step: 1 }];
    Course { array_job_id: 12, array_max_tasks: 2, tasks, ..waits() }
}

fn cancel(text: &str, signal: u16, flags: u16, who: Who) -> Command {
    let step_id = StepId { job_id: u32::UNSET, step_id: step::NONE, step_het_comp: u32::UNSET };
    let (sjob_id, sibling) = (text.into(), Text::NONE);
    let request = Box::new(KillRequest { step_id, sjob_id, sibling, signal, flags });
    Command::Kill { request, who }
}

fn cancel_step(id: u32, step_id: u32, who: Who) -> Command {
    let step_id = StepId { job_id: id, step_id, step_het_comp: u32::UNSET };
    let request = KillRequest { step_id, signal: 9, ..KillRequest::default() };
    Command::Kill { request: Box::new(request), who }
}

fn change(text: &str, who: Who, fields: impl FnOnce(&mut JobDesc)) -> Command {
    let mut desc = JobDesc::unset();
    desc.job_id_str = text.into();
    (desc.begin_time, desc.end_time, desc.deadline) = (Time(0), Time(0), Time(0));
    fields(&mut desc);
    Command::UpdateJob { desc: Box::new(desc), who }
}

fn requeue(text: &str, flags: u32, who: Who) -> Command {
    let request = Requeue { job_id: u32::UNSET, job_id_str: text.into(), flags };
    Command::Requeue { request: Box::new(request), who }
}

fn suspend(text: &str, op: u16, who: Who) -> Command {
    let request = Suspend { op, job_id: u32::UNSET, job_id_str: text.into() };
    Command::Suspend { request: Box::new(request), who }
}

fn top(text: &str, who: Who) -> Command {
    let request = TopJob { op: 0, job_id: u32::UNSET, job_id_str: text.into() };
    Command::Top { request: Box::new(request), who }
}

#[test]
fn a_job_that_waits_is_cancelled_at_once_and_one_that_runs_when_its_nodes_are_clean() {
    let mut lab = Lab::new().with(1, waits()).with(2, runs());
    assert_eq!(lab.code(&cancel("1", 9, 0, user(OWNER))), rc::OK);
    let course = &lab.job(1).course;
    assert!(lab.job(1).is_over() && course.state == job::CANCELLED);
    assert_eq!((course.start_time, course.end_time), (Time(1_000), Time(1_000)));
    let (_, effects) = lab.does(&cancel("2", 9, 0, admin()));
    assert!(matches!(&effects[0], Effect::End { job: 2, nodes, .. } if nodes.len() == 2));
    assert_eq!(lab.job(2).course.state, job::CANCELLED | job::COMPLETING);
    for id in ["1", "2"] {
        assert_eq!(lab.code(&cancel(id, 9, 0, user(OWNER))), rc::ALREADY_DONE);
    }
    assert_eq!(lab.code(&cancel("3", 9, 0, admin())), rc::JOB);
}

#[test]
fn signals_go_to_the_script_to_all_or_to_the_steps() {
    let mut lab = Lab::new().with(1, waits()).with(2, runs());
    assert_eq!(lab.code(&cancel("1", 10, 0, user(OWNER))), rc::TRANSITION);
    let all: Vec<Text> = vec!["n1".into(), "n2".into()];
    for (flags, nodes, step, sent) in [
        (0, &all, step::NONE, 4),
        (8, &all, step::NONE, 8),
        (1, &vec!["n1".into()], step::BATCH, 1),
    ] {
        let signal = 10;
        let effects = lab.does(&cancel("2", signal, flags, user(OWNER))).1;
        let nodes = nodes.clone();
        assert_eq!(effects, [Effect::Signal { job: 2, nodes, step, signal, flags: sent }]);
    }
    let effects = lab.does(&cancel("2", 9, 1, user(OWNER))).1;
    assert!(matches!(effects[..], [Effect::Signal { signal: 9, .. }]));
    assert_eq!(lab.base(2), job::RUNNING);
    let effects = lab.does(&cancel_step(2, step::BATCH, user(OWNER))).1;
    assert!(matches!(effects[..], [Effect::Signal { signal: 9, step: step::BATCH, .. }]));
    assert_eq!(lab.code(&cancel_step(2, 0, user(OWNER))), rc::JOB);
    assert_eq!(lab.code(&cancel_step(2, 0, user(OTHER))), rc::USER);
    assert_eq!(lab.code(&cancel_step(1, step::NONE, user(OTHER))), rc::ACCESS);
    assert_eq!(lab.code(&cancel_step(1, step::NONE, user(OWNER))), rc::OK);
}

#[test]
fn tasks_of_an_array_are_cancelled_alone_together_and_all() {
    let mut lab = Lab::new().with(12, array(1, 6));
    assert_eq!(lab.code(&cancel("12_[2,4]", 9, 0, user(OWNER))), rc::OK);
    assert_eq!(lab.job(20).course.array_task_id, 2);
    assert_eq!((lab.base(20), lab.base(21)), (job::CANCELLED, job::CANCELLED));
    assert_eq!(task_ids(&lab.job(12).course.tasks).collect::<Vec<_>>(), [1, 3, 5, 6]);
    assert_eq!((lab.state.next_id, lab.base(12)), (22, job::PENDING));
    assert_eq!(lab.code(&cancel("12_2", 9, 0, user(OWNER))), rc::ALREADY_DONE);
    assert_eq!(lab.code(&cancel("12_9", 9, 0, user(OWNER))), rc::JOB);
    assert_eq!(lab.code(&cancel("12_3", 15, 0, user(OWNER))), rc::TRANSITION);
    assert_eq!(lab.code(&cancel("12", 9, 0, user(OTHER))), rc::ACCESS);
    assert_eq!(lab.code(&cancel("12_3", 9, 0, user(OTHER))), rc::ACCESS);
    assert_eq!(lab.code(&cancel("12", 9, 0, user(OWNER))), rc::OK);
    assert_eq!((lab.base(12), lab.state.next_id), (job::CANCELLED, 22), "as one record");
    assert_eq!(lab.code(&cancel("12", 9, 0, user(OWNER))), rc::ALREADY_DONE);
}

#[test]
fn who_holds_a_job_decides_who_may_release_it() {
    let hold = |sid| move |desc: &mut JobDesc| (desc.priority, desc.alloc_sid) = (0, sid);
    let release = |desc: &mut JobDesc| desc.priority = u32::INFINITE;
    let mut lab = Lab::new().with(1, waits());
    for (who, sid, held, others) in [
        (user(OWNER), 0, reason::HELD_USER, rc::OK),
        (admin(), 2, reason::HELD_USER, rc::OK),
        (admin(), 0, reason::HELD, rc::ACCESS),
    ] {
        assert_eq!(lab.code(&change("1", who, hold(sid))), rc::OK);
        assert_eq!((lab.job(1).course.priority, lab.job(1).course.reason), (0, held));
        assert_eq!(lab.code(&change("1", user(OTHER), release)), rc::USER);
        let number = |desc: &mut JobDesc| desc.priority = 7;
        assert_eq!(lab.code(&change("1", admin(), number)), rc::HELD);
        assert_eq!(lab.code(&change("1", user(OWNER), release)), others);
        assert_eq!(lab.code(&change("1", admin(), release)), rc::OK);
        assert_eq!((lab.job(1).course.priority, lab.job(1).course.reason), (u32::UNSET, 0));
    }
    // One kind of hold becomes the other, for administrators.
    assert_eq!(lab.code(&change("1", user(OWNER), hold(0))), rc::OK);
    assert_eq!(lab.code(&change("1", admin(), hold(0))), rc::OK);
    assert_eq!(lab.job(1).course.reason, reason::HELD);
    assert_eq!(lab.code(&change("1", user(OWNER), hold(0))), rc::OK);
    assert_eq!(lab.job(1).course.reason, reason::HELD);
}

#[test]
fn priorities_are_set_by_administrators_and_lowered_by_users() {
    let set = |priority| move |desc: &mut JobDesc| desc.priority = priority;
    let mut lab = Lab::new().with(1, waits());
    assert_eq!(lab.code(&change("1", user(OWNER), set(51))), rc::ACCESS);
    assert_eq!(lab.code(&change("1", user(OWNER), set(49))), rc::PRIORITY_RESET);
    assert_eq!((lab.job(1).course.priority, lab.job(1).spec.priority), (49, u32::UNSET));
    assert_eq!(lab.code(&change("1", admin(), set(90))), rc::OK);
    assert_eq!((lab.job(1).course.priority, lab.job(1).spec.priority), (90, 90));
    let nice = |by: u32| move |desc: &mut JobDesc| desc.nice = NICE_OFFSET.wrapping_add(by);
    assert_eq!(lab.code(&change("1", user(OWNER), nice(5))), rc::OK);
    assert_eq!(lab.job(1).spec.nice, NICE_OFFSET, "a priority that was set does not heed it");
    assert_eq!(lab.code(&change("1", admin(), set(u32::INFINITE))), rc::OK);
    assert_eq!(lab.code(&change("1", user(OWNER), nice(5))), rc::OK);
    assert_eq!(lab.job(1).spec.nice, NICE_OFFSET + 5);
    assert_eq!(lab.code(&change("1", user(OWNER), nice(u32::MAX))), rc::ACCESS);
    assert_eq!(lab.code(&change("1", admin(), nice(u32::MAX))), rc::OK);
}

#[test]
fn time_limits_are_shortened_by_users_and_lengthened_by_administrators() {
    let limit = |minutes| move |desc: &mut JobDesc| desc.time_limit = minutes;
    let mut lab = Lab::new().with(1, waits()).with(2, runs()).with(3, over());
    for (id, who, minutes, code) in [
        ("1", user(OWNER), 60, rc::OK),
        ("1", user(OWNER), 61, rc::ACCESS),
        ("1", admin(), u32::INFINITE, rc::OK),
        ("2", user(OWNER), 9, rc::OK),
        ("2", user(OWNER), 10, rc::ACCESS),
        ("2", admin(), 100, rc::OK),
        ("3", admin(), 1, rc::FINISHED),
        ("2", user(OTHER), 1, rc::USER),
    ] {
        assert_eq!(lab.code(&change(id, who, limit(minutes))), code, "{id} {minutes}");
    }
    assert_eq!((lab.job(2).course.time_limit, lab.job(2).spec.time_limit), (100, 100));
    let end = |at| move |desc: &mut JobDesc| desc.end_time = Time(at);
    assert_eq!(lab.code(&change("1", admin(), end(2_000))), rc::NOT_RUNNING);
    assert_eq!(lab.code(&change("2", admin(), end(999))), rc::TIME_VALUE);
    assert_eq!(lab.code(&change("2", user(OWNER), end(1_500))), rc::OK);
    assert_eq!(lab.job(2).course.time_limit, 10);
    assert_eq!(lab.code(&change("2", user(OWNER), end(9_000))), rc::ACCESS);
}

#[test]
fn what_only_a_waiting_job_can_take_is_refused_of_others() {
    type Field = fn(&mut JobDesc);
    let fields: [(Field, u32); 13] = [
        (|desc| desc.partition = "r".into(), rc::NOT_PENDING),
        (|desc| desc.req_nodes = "n1".into(), rc::UNSUPPORTED),
        (|desc| desc.exc_nodes = "n[1-2]".into(), rc::NOT_PENDING),
        (|desc| desc.min_nodes = 3, rc::UNSUPPORTED),
        (|desc| desc.min_cpus = 3, rc::NOT_PENDING),
        (|desc| desc.num_tasks = 3, rc::NOT_PENDING),
        (|desc| desc.pn_min_memory = 3, rc::NOT_PENDING),
        (|desc| desc.features = "a".into(), rc::NOT_PENDING),
        (|desc| desc.dependency = "afterok:9".into(), rc::NOT_PENDING),
        (|desc| desc.begin_time = Time(5_000), rc::NOT_PENDING),
        (|desc| desc.std_out = "/x".into(), rc::NOT_PENDING),
        (|desc| desc.comment = "c".into(), rc::OK),
        (|desc| desc.name = "new".into(), rc::OK),
    ];
    for (field, code) in fields {
        let mut lab = Lab::new().with(1, waits()).with(2, runs());
        let before = lab.job(1).clone();
        assert_eq!(lab.code(&change("1", user(OWNER), field)), rc::OK);
        assert_ne!(*lab.job(1), before);
        assert_eq!(lab.code(&change("2", user(OWNER), field)), code);
        assert_eq!(lab.base(2), job::RUNNING);
    }
}

#[test]
fn what_cannot_be_is_refused_with_slurms_code() {
    type Field = fn(&mut JobDesc);
    let fields: [(Field, u32); 12] = [
        (|desc| desc.partition = "nope".into(), rc::PARTITION),
        (|desc| desc.partition = "q".into(), rc::PARTITION_NOT_AVAILABLE),
        (|desc| desc.req_nodes = "n9".into(), rc::NODE),
        (|desc| desc.exc_nodes = "n[1".into(), rc::NODE),
        (|desc| desc.min_nodes = 0, rc::NODE_COUNT),
        (|desc| (desc.min_nodes, desc.max_nodes) = (3, 2), rc::NODE_COUNT),
        (|desc| desc.min_cpus = 0, rc::CPU_COUNT),
        (|desc| desc.num_tasks = 0, rc::TASK_COUNT),
        (|desc| desc.admin_comment = "x".into(), rc::ACCESS),
        (|desc| desc.shared = 1, rc::ACCESS),
        (|desc| desc.licenses = "x:1".into(), 2048),
        (|desc| desc.tres_per_node = "gres:gpu:1".into(), 2072),
    ];
    for (field, code) in fields {
        let mut lab = Lab::new().with(1, waits());
        let before = lab.state.clone();
        assert_eq!(lab.code(&change("1", user(OWNER), field)), code);
        assert_eq!(lab.state, before);
    }
}

#[test]
fn tasks_are_split_off_when_they_are_changed_alone_and_only_if_they_change() {
    let comment = |text: &'static str| move |desc: &mut JobDesc| desc.comment = text.into();
    let mut lab = Lab::new().with(12, array(1, 4));
    let told = lab.codes(&change("12_[2-3,9]", user(OWNER), comment("a")));
    assert_eq!(told, [("12_2-3".to_owned(), rc::OK), ("12_9".to_owned(), rc::JOB)]);
    assert_eq!((lab.job(20).course.array_task_id, lab.job(21).course.array_task_id), (2, 3));
    let refused = |desc: &mut JobDesc| desc.min_nodes = 0;
    let told = lab.codes(&change("12_1", user(OWNER), refused));
    assert_eq!((told, lab.state.next_id), (vec![("12_1".to_owned(), rc::NODE_COUNT)], 22));
    let told = lab.codes(&change("12", user(OWNER), comment("b")));
    assert_eq!((told, lab.state.jobs.len()), (vec![("12_1-4".to_owned(), rc::OK)], 3));
    assert!(lab.state.jobs.values().all(|job| job.spec.comment == "b".into()));
    let most = |desc: &mut JobDesc| desc.array_inx = "7".into();
    lab.codes(&change("12", user(OWNER), most));
    let most: Vec<u32> = lab.state.jobs.values().map(|job| job.course.array_max_tasks).collect();
    assert_eq!(most, [7, 0, 0], "the array has it");
    let told = lab.codes(&change("12", user(OTHER), |desc| desc.array_inx = "0".into()));
    assert_eq!(told, [("12_1-4".to_owned(), rc::USER)]);
}

#[test]
fn jobs_that_run_and_jobs_that_are_over_wait_again() {
    let mut lab = Lab::new().with(1, waits()).with(2, runs()).with(3, over()).with(4, over());
    assert_eq!(lab.code(&requeue("1", 0, user(OWNER))), rc::PENDING);
    assert_eq!(lab.code(&requeue("2", 0, user(OTHER))), rc::ACCESS);
    assert_eq!(lab.code(&requeue("2", 0, user(OWNER))), rc::OK);
    assert_eq!(lab.job(2).course.state, job::PENDING | job::COMPLETING);
    assert_eq!(lab.code(&requeue("3", job::REQUEUE_HOLD, user(OWNER))), rc::OK);
    let course = &lab.job(3).course;
    assert_eq!((course.state, course.priority), (job::PENDING, 0));
    assert_eq!((course.reason, course.restart_cnt), (reason::HELD_USER, 1));
    assert_eq!(lab.code(&change("4", admin(), |desc| desc.requeue = 0)), rc::FINISHED);
    let no = |desc: &mut JobDesc| desc.requeue = 0;
    assert_eq!(lab.code(&change("1", user(OWNER), no)), rc::OK);
    assert_eq!(lab.code(&requeue("1", 0, user(OWNER))), rc::DISABLED);
    assert_eq!(lab.code(&requeue("9", 0, user(OWNER))), rc::JOB);
    assert_eq!(lab.code(&requeue("4", job::RUNNING, user(OWNER))), rc::OK);
    assert_eq!(lab.base(4), job::COMPLETE, "only those that run");
}

#[test]
fn a_stopped_job_does_not_use_up_its_time() {
    let mut lab = Lab::new().with(1, waits()).with(2, runs()).with(3, over());
    assert_eq!(lab.code(&suspend("2", 0, user(OWNER))), rc::ACCESS);
    assert_eq!(lab.code(&suspend("1", 0, admin())), rc::PENDING);
    assert_eq!(lab.code(&suspend("3", 0, admin())), rc::ALREADY_DONE);
    assert_eq!(lab.code(&suspend("2", 1, admin())), rc::NOT_SUSPENDED);
    let effects = lab.does(&suspend("2", 0, admin())).1;
    let [Effect::Schedule, Effect::Suspend { job: 2, op: 0, nodes }] = &effects[..] else {
        panic!("its CPUs are free for others: {effects:?}");
    };
    assert_eq!(nodes.len(), 2);
    let course = &lab.job(2).course;
    assert_eq!((course.pre_sus_time, course.suspend_time), (Time(100), Time(1_000)));
    lab.now = 1_500;
    assert_eq!(lab.code(&suspend("2", 1, admin())), rc::OK);
    lab.now = 1_600;
    assert_eq!(lab.code(&suspend("2", 0, admin())), rc::OK);
    let course = &lab.job(2).course;
    assert_eq!((course.pre_sus_time, course.suspend_time), (Time(200), Time(1_600)));
    assert_eq!(lab.base(2), job::SUSPENDED);
    assert_eq!(lab.code(&cancel("2", 10, 0, admin())), rc::TRANSITION);
    assert_eq!(lab.code(&cancel("2", 9, 0, admin())), rc::OK);
    assert_eq!(lab.job(2).course.end_time, Time(1_600));
}

#[test]
fn the_top_is_won_from_ones_own_jobs() {
    let at = |priority| Course { priority, ..waits() };
    let mut lab = Lab::new().with(1, at(50)).with(2, at(40)).with(3, at(30)).with(4, at(0));
    assert_eq!(lab.code(&top("3", user(OWNER))), rc::ACCESS, "enable_user_top is not set");
    assert_eq!(lab.code(&top("4", admin())), rc::HELD);
    assert_eq!(lab.code(&top("9", admin())), rc::JOB);
    assert_eq!(lab.code(&top("3,2", admin())), rc::OK);
    let priority = |lab: &Lab, id| lab.job(id).course.priority;
    assert_eq!((priority(&lab, 3), priority(&lab, 2)), (50, 40));
    assert_eq!((priority(&lab, 1), priority(&lab, 4)), (30, 0));
    let nice: i64 = lab.state.jobs.values().map(|job| i64::from(job.spec.nice)).sum();
    assert_eq!(nice, 4 * i64::from(NICE_OFFSET), "nobody else comes later for it");
}

/// A command about one of the jobs, by somebody.
fn command() -> impl Strategy<Value = Command> {
    const TARGETS: [&str; 12] =
        ["1", "2", "3", "12", "12_*", "12_3", "12_[1-4]", "12_[2,5-9]", "20", "21", "99", "x"];
    let who = (0..4_u8).prop_map(|at| match at {
        0 => admin(),
        1 => user(OTHER),
        _ => user(OWNER),
    });
    (0..TARGETS.len(), who, 0..9_u8, 0..6_u32).prop_map(|(target, who, kind, what)| {
        let text = TARGETS[target];
        match kind {
            0 | 1 => cancel(text, [9, 9, 9, 10, 18, 9][what as usize], what as u16 & 9, who),
            2 => requeue(
                text,
                [0, 0, job::REQUEUE_HOLD, 1, 0, job::SPECIAL_EXIT][what as usize],
                who,
            ),
            3 => suspend(text, what as u16 % 3, who),
            4 => top(text, who),
            _ => change(text, who, move |desc| match what {
                0 => desc.priority = [0, u32::INFINITE, 5, 60][kind as usize % 4],
                1 => desc.time_limit = u32::from(kind) * 3,
                2 => desc.min_nodes = u32::from(kind) % 4,
                3 => desc.comment = format!("{kind}").into(),
                4 => desc.partition = ["p", "q", "r", "p,r"][kind as usize % 4].into(),
                _ => desc.array_inx = format!("{kind}").into(),
            }),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_commanded_no_rule_is_broken(
        steps in prop::collection::vec((command(), 0..4_u8, 0..4_u8), 1..30),
    ) {
        let mut lab = Lab::new();
        for (id, course) in [(1, waits()), (2, runs()), (3, over()), (12, array(1, 6))] {
            lab = lab.with(id, course);
        }
        let mut tasks_of: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
        for (command, wait, clean) in steps {
            lab.now += i64::from(wait);
            let before = lab.state.clone();
            let outcome = lab.asks(&command);
            let fine = [rc::OK, rc::PRIORITY_RESET];
            let refused = match &outcome.reply {
                Message::ReturnCode(code) => !fine.contains(&code.return_code),
                _ => false,
            };
            // Of an array a part may be done, and the code be that of another.
            if refused && !outcome.changes.is_empty() {
                let kills = matches!(&command, Command::Kill { .. });
                prop_assert!(kills);
            }
            let who = match &command {
                Command::Kill { who, .. } | Command::UpdateJob { who, .. }
                | Command::Requeue { who, .. } | Command::Suspend { who, .. }
                | Command::Top { who, .. } => who.uid,
                _ => unreachable!(),
            };
            if who == OTHER {
                prop_assert!(outcome.changes.is_empty(), "{:?}", outcome);
            }
            outcome.changes.into_iter().for_each(|change| lab.state.take(change));
            prop_assert_eq!(&lab.rebuilt(), &lab.state);
            prop_assert!(lab.state.next_id >= before.next_id);
            let mut tasks = BTreeSet::new();
            for job in lab.state.jobs.values() {
                prop_assert!(job.id < lab.state.next_id, "ids are above all that there were");
                prop_assert!(before.jobs.contains_key(&job.id) || job.id >= before.next_id);
                prop_assert!(!(job.is_pending() && job.is_active()), "in two states");
                let lists = [&lab.state.pending, &lab.state.busy];
                let is_over = lab.state.over.iter().any(|(_, id)| *id == job.id);
                let listed = lists.iter().any(|list| list.contains(&job.id)) || is_over;
                prop_assert!(listed && is_over == job.is_over());
                prop_assert!(!job.is_completing() || !job.course.completing.is_empty());
                if job.course.array_job_id == 12 {
                    for task in task_ids(&job.course.tasks).chain(job.course.array_task_id.get()) {
                        prop_assert!(tasks.insert(task), "task {} twice", task);
                    }
                    // A record that became a task's stays that task's.
                    if let Some(task) = job.course.array_task_id.get() {
                        let known = *tasks_of.entry(job.id).or_insert((12, task));
                        prop_assert_eq!(known, (12, task));
                    }
                }
            }
            prop_assert_eq!(tasks.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
            // At times a node says that it is clean.
            if clean == 0 {
                let busy: Vec<u32> = lab.state.busy.iter().copied().collect();
                for id in busy {
                    let node = lab.job(id).course.completing.first().cloned();
                    let world = World { conf: &lab.conf, state: &lab.state, now: lab.now };
                    let left = node.and_then(|node| ending::left(world, lab.job(id), &node));
                    left.into_iter().for_each(|(job, _)| lab.state.take(Change::Job(job)));
                }
            }
        }
    }
}
