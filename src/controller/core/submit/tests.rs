//! What submissions come to, where no real controller is at hand to compare with: users who are no
//! administrators, limits of the cluster, requests that no client sends.

use super::*;
use crate::controller::core::{Command, apply};
use crate::controller::job::task_ids;
use crate::slurm::conf::Conf;
use crate::slurm::wire::Field;
use crate::slurm::wire::constants::job as states;
use proptest::prelude::*;
use std::path::Path;

const CLUSTER: &str = "ClusterName=c\nSlurmctldHost=localhost\nMaxJobCount=20\nMaxArraySize=50\n\
    NodeName=n[1-4] CPUs=2 RealMemory=1000 Feature=a\nPartitionName=p Nodes=ALL Default=YES\n\
    PartitionName=short Nodes=n[1-2] MaxTime=10 MaxNodes=1 MaxMemPerNode=500\n\
    PartitionName=group Nodes=ALL AllowGroups=staff\nPartitionName=root Nodes=ALL RootOnly=YES\n\
    PartitionName=acct Nodes=ALL AllowAccounts=good\n";

fn conf(more: &str) -> Conf {
    let text = format!("{more}{CLUSTER}");
    Conf::read(Path::new("/x"), &mut |_| Ok(text.clone())).unwrap()
}

fn user() -> Who {
    Who { uid: 7, gid: 8, name: "u".into(), admin: false, groups: vec!["users".into()] }
}

fn plain() -> JobDesc {
    JobDesc {
        script: "#!/bin/sh\n".into(),
        name: "job".into(),
        min_cpus: 1,
        environment: vec!["A=b".into(), "SLURM_SUBMIT_HOST=there".into()],
        argv: vec!["/x/job.sh".into(), "one".into()],
        deadline: Time(0),
        immediate: 0,
        x11: 0,
        bitflags: 0,
        ..JobDesc::unset()
    }
}

fn try_it(conf: &Conf, state: &mut State, desc: JobDesc, who: &Who) -> Result<Arc<Job>, u32> {
    let number = u64::from(state.next_id) << 32 | state.tasks;
    let request = [number.to_be_bytes(), [0; 8]].concat();
    let command = Command::Submit { desc: Box::new(desc), who: who.clone(), owner: None, request };
    let outcome = apply(World { conf, state, now: 100 }, &command);
    let id = match &outcome.reply {
        Message::Submitted(found) => found.job_id,
        Message::ReturnCode(code) => return Err(code.return_code),
        Message::ReturnMessage(why) => return Err(why.return_code),
        other => panic!("{other:?}"),
    };
    outcome.changes.into_iter().for_each(|change| state.take(change));
    Ok(Arc::clone(state.job(id).expect("it was accepted")))
}

#[test]
fn the_scheduler_looks_for_jobs_that_may_start_and_not_for_one_that_is_held() {
    let conf = conf("");
    for (priority, dependency, wanted) in
        [(u32::UNSET, "", true), (5, "", true), (0, "", false), (0, "singleton", true)]
    {
        let desc = Box::new(JobDesc { priority, dependency: dependency.into(), ..plain() });
        let who = Who { admin: true, ..user() };
        let command = Command::Submit { desc, who, owner: None, request: vec![7; 16] };
        let world = World { conf: &conf, state: &State::default(), now: 100 };
        let Outcome { effects, changes, .. } = apply(world, &command);
        assert!(!changes.is_empty(), "{priority} {dependency}");
        assert_eq!(effects.contains(&Effect::Schedule), wanted, "{priority} {dependency}");
    }
}

fn one(conf: &Conf, desc: JobDesc, who: &Who) -> Result<Arc<Job>, u32> {
    try_it(conf, &mut State::default(), desc, who)
}

#[test]
fn the_record_has_no_script_and_the_payload_has_all_of_it() {
    let (conf, state) = (conf(""), State::default());
    let outcome =
        submit(World { conf: &conf, state: &state, now: 100 }, &plain(), &user(), None, &[1; 16]);
    let Change::Script(1, payload) = &outcome.changes[0] else { panic!("{outcome:?}") };
    assert_eq!((payload.environment.len(), payload.argv.len()), (2, 2));
    assert_eq!(payload.script, plain().script);
    let Change::Job(job) = &outcome.changes[1] else { panic!("{outcome:?}") };
    assert!(job.spec.script.is_none() && job.spec.environment.is_empty());
    assert_eq!(job.spec.argv, ["/x/job.sh one".into()], "shown as the command");
    assert_eq!((job.spec.user_id, job.spec.group_id), (7, 8), "who asks");
    assert_eq!(job.spec.alloc_node, "there".into());
}

#[test]
fn a_request_that_was_executed_is_answered_with_the_same_id() {
    let (conf, mut state) = (conf(""), State::default());
    let send = |state: &mut State, request: &[u8]| {
        let outcome =
            submit(World { conf: &conf, state, now: 100 }, &plain(), &user(), None, request);
        let Message::Submitted(found) = &outcome.reply else { panic!("{outcome:?}") };
        let id = found.job_id;
        outcome.changes.into_iter().for_each(|change| state.take(change));
        id
    };
    assert_eq!((send(&mut state, &[1; 16]), send(&mut state, &[2; 16])), (1, 2));
    assert_eq!((send(&mut state, &[1; 16]), send(&mut state, &[2; 16])), (1, 2));
    assert_eq!(state.jobs.len(), 2);
    state.take(Change::ForgetJob(1));
    assert_eq!(send(&mut state, &[1; 16]), 3, "it is not known any more");
    assert_eq!(send(&mut State::default(), &[]), 1, "nothing to know it by");
}

#[test]
fn nobody_submits_for_another_but_administrators_do() {
    let conf = conf("");
    let other = JobDesc { user_id: 9, group_id: 8, ..plain() };
    assert_eq!(one(&conf, other.clone(), &user()), Err(code::USER));
    let group = JobDesc { user_id: 7, group_id: 0, ..plain() };
    assert_eq!(one(&conf, group, &user()), Err(code::GROUP_ID));
    let root = Who { uid: 0, gid: 0, admin: true, ..user() };
    assert_eq!(one(&conf, other.clone(), &root).unwrap().spec.user_id, 9);
    // What the other may counts, not what the administrator may.
    let state = State::default();
    let to = JobDesc { partition: "group".into(), ..other };
    let for_one = |groups: &[&str]| {
        let groups = groups.iter().map(|name| (*name).to_owned()).collect();
        let owner = Who { uid: 9, gid: 8, name: "nine".into(), admin: false, groups };
        submit(World { conf: &conf, state: &state, now: 100 }, &to, &root, Some(&owner), &[])
    };
    assert_eq!(for_one(&["users"]).reply, Message::code(code::GROUP));
    let Change::Job(job) = &for_one(&["staff"]).changes[1] else { panic!("accepted") };
    assert_eq!(job.course.user_name, "nine".into());
}

#[test]
fn only_administrators_lift_jobs_over_others() {
    let (conf, root) = (conf(""), Who { uid: 0, gid: 0, admin: true, ..user() });
    let with = |change: fn(&mut JobDesc)| {
        let mut desc = plain();
        change(&mut desc);
        desc
    };
    let lifted = with(|desc| desc.priority = 99);
    assert_eq!(one(&conf, lifted.clone(), &user()).unwrap().course.priority, u32::UNSET);
    assert_eq!(one(&conf, lifted, &root).unwrap().course.priority, 99);
    let nicer = with(|desc| desc.nice = NICE_OFFSET - 1);
    assert_eq!(one(&conf, nicer.clone(), &user()), Err(code::NICE));
    assert!(one(&conf, nicer, &root).is_ok());
    let held = one(&conf, with(|desc| desc.priority = 0), &user()).unwrap();
    assert_eq!((held.course.priority, held.course.reason), (0, reason::HELD_USER));
    assert_eq!(held.course.eligible_time, Time(0));
    let noted = with(|desc| desc.admin_comment = "x".into());
    assert_eq!(one(&conf, noted, &user()), Err(code::ACCESS));
    assert_eq!(one(&conf, with(|desc| desc.reboot = 1), &user()), Err(code::ACCESS));
    let alone = one(&conf, with(|desc| desc.reboot = 1), &root).unwrap();
    assert_eq!((alone.spec.reboot, alone.spec.shared), (1, 0), "there is nothing to reboot with");
    let conf = self::conf("RebootProgram=/sbin/reboot\n");
    assert_eq!(one(&conf, with(|desc| desc.reboot = 1), &root), Err(code::UNSUPPORTED));
    let fixed = with(|desc| desc.job_id = 5);
    assert_eq!(one(&conf, fixed.clone(), &user()), Err(code::JOB_ID));
    assert_eq!(one(&conf, fixed, &root).unwrap().id, 5);
}

#[test]
fn partitions_are_for_whom_they_are_for() {
    let (conf, root) = (conf(""), Who { uid: 0, gid: 0, admin: true, ..user() });
    let to = |partition: &str| JobDesc { partition: partition.into(), ..plain() };
    assert_eq!(one(&conf, to("root"), &user()), Err(code::ACCESS));
    assert!(one(&conf, to("root"), &root).is_ok());
    assert_eq!(one(&conf, to("group"), &user()), Err(code::GROUP));
    assert_eq!(one(&conf, to("p,group"), &user()), Err(code::GROUP), "all of them count");
    let staff = Who { groups: vec!["users".into(), "staff".into()], ..user() };
    assert!(one(&conf, to("group"), &staff).is_ok());
    assert!(one(&conf, to("group"), &root).is_ok());
    let job = one(&conf, to("acct"), &user()).unwrap();
    assert_eq!(job.course.reason, reason::ACCOUNT);
    let good = JobDesc { account: "GOOD".into(), ..to("acct") };
    assert_eq!(one(&conf, good, &user()).unwrap().course.reason, reason::NONE);
}

#[test]
fn limits_of_partitions_are_enforced_where_slurm_conf_says_so() {
    let to = |change: fn(&mut JobDesc)| {
        let mut desc = JobDesc { partition: "short".into(), pn_min_memory: 100, ..plain() };
        change(&mut desc);
        desc
    };
    let rows: [(JobDesc, u32, u16); 4] = [
        (to(|desc| desc.time_limit = 11), code::TIME_LIMIT, reason::PARTITION_TIME_LIMIT),
        (
            to(|desc| (desc.min_nodes, desc.max_nodes) = (2, 2)),
            code::NODE_COUNT,
            reason::PARTITION_NODE_LIMIT,
        ),
        (to(|desc| desc.min_cpus = 5), code::TOO_MANY_CPUS, reason::PARTITION_CONFIG),
        (to(|desc| desc.pn_min_memory = 600), code::MEMORY, reason::NODE_MEMORY_LIMIT),
    ];
    for (desc, code, waits) in rows {
        let free = one(&conf(""), desc.clone(), &user()).unwrap();
        assert_eq!(free.course.reason, waits, "{code}");
        for word in ["ALL", "ANY", "YES"] {
            let conf = conf(&format!("EnforcePartLimits={word}\n"));
            assert_eq!(one(&conf, desc.clone(), &user()), Err(code), "{word}");
        }
        let either = JobDesc { partition: "short,p".into(), ..desc };
        assert!(one(&conf("EnforcePartLimits=ANY\n"), either.clone(), &user()).is_ok(), "{code}");
        assert_eq!(one(&conf("EnforcePartLimits=ALL\n"), either, &user()), Err(code));
    }
}

#[test]
fn arrays_take_one_id_and_count_as_many_jobs_as_they_have_tasks() {
    let (conf, mut state) = (conf(""), State::default());
    let array = |list: &str| JobDesc { array_inx: list.into(), ..plain() };
    let job = try_it(&conf, &mut state, array("0-9:3,7%2"), &user()).unwrap();
    assert_eq!((job.id, job.course.array_job_id, job.course.array_max_tasks), (1, 1, 2));
    assert_eq!(task_ids(&job.course.tasks).collect::<Vec<_>>(), [0, 3, 6, 7, 9]);
    assert_eq!((state.tasks, state.next_id), (5, 2));
    assert_eq!(try_it(&conf, &mut state, array("50"), &user()), Err(code::ARRAY));
    assert_eq!(try_it(&conf, &mut state, array("1-15"), &user()), Err(code::AGAIN), "MaxJobCount");
    assert!(try_it(&conf, &mut state, array("1-14"), &user()).is_ok());
    assert_eq!(try_it(&conf, &mut state, plain(), &user()), Err(code::AGAIN));
}

#[test]
fn texts_longer_than_anybody_needs_are_refused() {
    let conf = conf("SchedulerParameters=max_script_size=100\n");
    let long = |len: usize| Text::from("x".repeat(len));
    let comment = JobDesc { comment: long(1025), ..plain() };
    assert_eq!(one(&conf, comment, &user()), Err(code::TOO_LONG));
    let path = JobDesc { std_out: long(4097), ..plain() };
    assert_eq!(one(&conf, path, &user()), Err(code::TOO_LONG));
    assert_eq!(one(&conf, JobDesc { script: long(101), ..plain() }, &user()), Err(code::TOO_LONG));
    assert!(one(&conf, JobDesc { script: long(100), ..plain() }, &user()).is_ok());
    assert_eq!(
        one(&conf, JobDesc { script: Text::NONE, ..plain() }, &user()),
        Err(code::NO_SCRIPT)
    );
}

#[test]
fn what_is_not_done_here_is_refused_at_once() {
    let conf = conf("");
    let with = |change: fn(&mut JobDesc)| {
        let mut desc = plain();
        change(&mut desc);
        one(&conf, desc, &user()).map(drop)
    };
    assert_eq!(with(|desc| desc.tres_per_node = "gres:gpu:1".into()), Err(code::GRES));
    assert_eq!(with(|desc| desc.licenses = "matlab".into()), Err(code::LICENSES));
    assert_eq!(with(|desc| desc.reservation = "r".into()), Err(code::RESERVATION));
    assert_eq!(with(|desc| desc.cpus_per_tres = "gres:gpu:2".into()), Err(code::RESOURCES));
    assert_eq!(with(|desc| desc.x11 = 1), Err(code::X11));
    assert_eq!(with(|desc| desc.immediate = 1), Err(code::NOT_IMMEDIATELY));
    assert_eq!(with(|desc| desc.deadline = Time(5)), Err(code::TIME_LIMIT));
    assert_eq!(with(|desc| desc.burst_buffer = "x".into()), Ok(()), "nobody looks at it");
    assert_eq!(with(|desc| desc.dependency = "expand:1".into()), Err(code::UNSUPPORTED));
    assert_eq!(with(|_| {}), Ok(()));
}

/// A request: what clients may send, with some fields that nobody would.
fn request(seed: u64) -> JobDesc {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut choose = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let wild = JobDesc::sample(&mut choose);
    let mut desc = if choose().is_multiple_of(4) { wild.clone() } else { plain() };
    let pick = |choose: &mut dyn FnMut() -> u64| choose().is_multiple_of(6);
    macro_rules! perhaps {
        ($($field:ident)*) => { $( if pick(&mut choose) { desc.$field = wild.$field.clone(); } )* };
    }
    perhaps!(
        contiguous kill_on_node_fail pn_min_cpus pn_min_memory pn_min_tmp_disk priority nice
        num_tasks overcommit requeue shared cpus_per_task ntasks_per_node ntasks_per_core
        time_limit time_min min_cpus max_cpus min_nodes max_nodes sockets_per_node
        cores_per_socket threads_per_core begin_time bitflags req_switch wait4switch mail_type
    );
    let texts = ["p", "short", "p,short", "acct", "n1", "n[1-3]", "0-5%2", "a", "afterok:3", "x"];
    let mut text = |field: &mut Text, all: &[&str]| {
        if choose().is_multiple_of(5) {
            *field = all[choose() as usize % all.len()].into();
        }
    };
    text(&mut desc.partition, &texts[..4]);
    text(&mut desc.req_nodes, &texts);
    text(&mut desc.exc_nodes, &texts);
    text(&mut desc.array_inx, &texts);
    text(&mut desc.features, &texts);
    text(&mut desc.dependency, &texts);
    desc
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_request_is_an_accepted_job_within_the_limits_or_a_refusal(
        seed in any::<u64>(),
        admin in any::<bool>(),
        enforced in any::<bool>(),
    ) {
        let conf = conf(if enforced { "EnforcePartLimits=ALL\n" } else { "" });
        let who = Who { admin, ..user() };
        let mut state = State::default();
        let Ok(job) = try_it(&conf, &mut state, request(seed), &who) else {
            prop_assert_eq!(state, State::default(), "a refusal changes nothing");
            return Ok(());
        };
        let (spec, course) = (&job.spec, &job.course);
        prop_assert_eq!(Job::decode(job.id, &job.encode()).unwrap(), (*job).clone());
        prop_assert!(spec.script.is_none() && spec.environment.is_empty());
        prop_assert!(spec.min_nodes >= 1 && !spec.min_nodes.is_unset());
        prop_assert!(spec.max_nodes == 0 || spec.max_nodes >= spec.min_nodes);
        prop_assert!(!spec.min_cpus.is_unset() && !spec.pn_min_memory.is_unset());
        prop_assert!(spec.pn_min_cpus >= 1 && spec.requeue <= 1);
        prop_assert!(spec.nice >= NICE_OFFSET || admin);
        prop_assert!(admin || spec.user_id == 7);
        prop_assert_eq!(course.state, states::PENDING);
        prop_assert_eq!(course.tasks.is_empty(), course.array_job_id == 0);
        prop_assert!(course.tasks.iter().all(|run| run.last < 50));
        prop_assert!(spec.begin_time.0 == 0 || spec.begin_time.0 > 100);
        if enforced && course.priority != 0 {
            let short = spec.partition.lossy().contains("short");
            prop_assert!(!short || spec.time_limit.get().is_none_or(|limit| limit <= 10));
            // Of several partitions, Slurm holds the least number of nodes against the largest one.
            prop_assert!(spec.partition.bytes() != b"short" || spec.min_nodes <= 1);
        }
    }
}
