//! What requests make of partitions.

use super::*;
use crate::controller::core::Command;
use crate::controller::core::apply;
use crate::controller::job::{Course, Job, unbegun};
use crate::slurm::conf::PartitionState;
use crate::slurm::wire::constants::job;
use crate::slurm::wire::tables::JobDesc;
use crate::slurm::wire::{Field, Message, Text};
use std::path::Path;
use std::sync::Arc;

struct Lab {
    conf: Conf,
    state: State,
}

const NODES: &str = "ClusterName=c\nSlurmctldHost=localhost\nNodeName=n[1-4]\n\
                     NodeName=g Feature=gpu\n\
                     NodeSet=gs Feature=gpu\n";
const FILE: &str =
    "PartitionName=p Nodes=n[1-2] Default=YES\nPartitionName=q Nodes=gs State=DOWN\n";

impl Lab {
    fn new() -> Lab {
        Lab { conf: conf(FILE), state: State::default() }
    }

    fn does(&mut self, command: &Command) -> u32 {
        let outcome = apply(World { conf: &self.conf, state: &self.state, now: 9 }, command);
        outcome.changes.into_iter().for_each(|change| self.state.take(change));
        match outcome.reply {
            Message::ReturnCode(code) => code.return_code,
            other => panic!("{other:?}"),
        }
    }

    fn now(&self, name: &str) -> Option<Partition> {
        find(&self.conf, &self.state, name)
    }

    fn reads(&mut self, more: &str) {
        self.conf = conf(more);
        let changes = reread(World { conf: &self.conf, state: &self.state, now: 9 });
        changes.into_iter().for_each(|change| self.state.take(change));
    }

    fn job(&mut self, partition: &str) {
        let mut spec = JobDesc::unset();
        spec.partition = partition.into();
        let course = Course { state: job::PENDING, ..unbegun() };
        let job = Job { id: 7, spec: Arc::new(spec), course };
        self.state.take(Change::Job(Arc::new(job)));
    }
}

fn conf(more: &str) -> Conf {
    Conf::read(Path::new("/x"), &mut |_| Ok(format!("{NODES}{more}"))).unwrap()
}

fn admin() -> Who {
    Who { admin: true, ..Who::default() }
}

fn fields(name: &str, fields: impl FnOnce(&mut UpdatePartition)) -> Box<UpdatePartition> {
    let mut update = UpdatePartition { name: name.into(), ..lines::nothing() };
    fields(&mut update);
    Box::new(update)
}

fn change(name: &str, set: impl FnOnce(&mut UpdatePartition)) -> Command {
    Command::UpdatePartition { update: fields(name, set), who: admin() }
}

fn make(name: &str, set: impl FnOnce(&mut UpdatePartition)) -> Command {
    Command::CreatePartition { update: fields(name, set), who: admin() }
}

fn remove(name: &str) -> Command {
    Command::DeletePartition {
        request: Box::new(DeletePartition { name: name.into() }),
        who: admin(),
    }
}

#[test]
fn what_was_changed_lies_over_slurm_conf() {
    let mut lab = Lab::new();
    assert_eq!(lab.does(&change("q", |update| update.state_up = partition::UP)), rc::OK);
    assert_eq!(lab.now("q").unwrap().state, PartitionState::Up);
    assert_eq!(lab.does(&change("q", |update| update.max_time = 30)), rc::OK);
    let now = lab.now("q").unwrap();
    assert_eq!((now.state, now.max_time), (PartitionState::Up, 30));
    assert_eq!(lab.does(&change("q", |update| update.default_time = 31)), rc::OK);
    assert_eq!(lab.now("q").unwrap().default_time, None, "it is longer than the longest");
    let groups = |groups: &'static str| {
        move |update: &mut UpdatePartition| {
            update.allow_groups = groups.into();
        }
    };
    assert_eq!(lab.does(&change("q", groups("staff"))), rc::OK);
    assert_eq!(lab.now("q").unwrap().allow_groups.as_deref(), Some("staff"));
    assert_eq!(lab.does(&change("q", groups("all"))), rc::OK);
    assert_eq!(lab.now("q").unwrap().allow_groups, None);
}

#[test]
fn there_is_one_default() {
    let mut lab = Lab::new();
    let default = |update: &mut UpdatePartition| update.flags = partition::DEFAULT;
    assert_eq!(lab.does(&change("q", default)), rc::OK);
    assert_eq!(lab.does(&make("r", default)), rc::OK);
    let all = current(&lab.conf, &lab.state);
    let defaults: Vec<&str> =
        all.iter().filter(|of| of.is_default).map(|of| of.name.as_str()).collect();
    assert_eq!(defaults, ["r"]);
    assert_eq!(lab.does(&change("r", |update| update.flags = lines::NOT_DEFAULT)), rc::OK);
    assert!(current(&lab.conf, &lab.state).iter().all(|of| !of.is_default));
}

#[test]
fn nodes_are_given_by_name_by_set_or_all() {
    let mut lab = Lab::new();
    for (list, at) in
        [("n[2,4]", vec![2, 4]), ("n1 gs", vec![0, 1]), ("ALL", vec![0, 1, 2, 3, 4]), ("", vec![])]
    {
        let nodes = |update: &mut UpdatePartition| update.nodes = list.into();
        assert_eq!(lab.does(&change("p", nodes)), rc::OK);
        assert_eq!(members(&lab.conf, &lab.now("p").unwrap()), at, "{list}");
    }
    let before = lab.state.clone();
    for list in ["n9", "n[1", "n1,gx"] {
        let nodes = |update: &mut UpdatePartition| update.nodes = list.into();
        assert_eq!(lab.does(&change("p", nodes)), rc::NODE);
        assert_eq!(lab.state, before);
    }
    assert_eq!(members(&lab.conf, &lab.now("q").unwrap()), [0], "slurm.conf's");
}

#[test]
fn partitions_are_made_and_deleted_but_not_under_a_job() {
    let mut lab = Lab::new();
    assert_eq!(lab.does(&make("p", |_| {})), rc::PARTITION, "it is there");
    for name in ["", "default", "a,b"] {
        assert_eq!(lab.does(&make(name, |_| {})), rc::PARTITION);
    }
    assert_eq!(lab.does(&make("r", |update| update.nodes = "n3".into())), rc::OK);
    assert_eq!(members(&lab.conf, &lab.now("r").unwrap()), [3]);
    lab.job("p,r");
    for name in ["p", "r"] {
        assert_eq!(lab.does(&remove(name)), rc::PARTITION_IN_USE);
    }
    lab.state.take(Change::ForgetJob(7));
    for name in ["p", "r"] {
        assert_eq!(lab.does(&remove(name)), rc::OK);
        assert_eq!(lab.now(name), None);
        assert_eq!(lab.does(&remove(name)), rc::PARTITION);
        assert_eq!(lab.does(&change(name, |_| {})), rc::PARTITION);
    }
    assert_eq!(lab.does(&make("p", |update| update.max_nodes = 1)), rc::OK);
    let made = lab.now("p").unwrap();
    assert_eq!((made.max_nodes, made.nodes, made.is_default), (1, None, false), "nothing is left");
}

#[test]
fn only_administrators_change_partitions() {
    let mut lab = Lab::new();
    let who = Who { uid: 100, ..Who::default() };
    let update = fields("p", |update| update.state_up = 0);
    let request = Box::new(DeletePartition { name: "p".into() });
    for command in [
        Command::UpdatePartition { update: update.clone(), who: who.clone() },
        Command::CreatePartition { update, who: who.clone() },
        Command::DeletePartition { request, who },
    ] {
        assert_eq!(lab.does(&command), rc::USER);
        assert_eq!(lab.state, State::default());
    }
}

/// Row by row the table of [`reread`].
#[test]
fn reading_slurm_conf_again_keeps_what_reconfig_flags_say() {
    let lab = || {
        let mut lab = Lab::new();
        let set = |update: &mut UpdatePartition| (update.state_up, update.max_nodes) = (0, 2);
        assert_eq!(lab.does(&change("p", set)), rc::OK);
        assert_eq!(lab.does(&make("r", set)), rc::OK);
        assert_eq!(lab.does(&remove("q")), rc::OK);
        lab
    };
    for (flags, changed, created) in [
        ("", Some((PartitionState::Up, u32::MAX)), None),
        ("ReconfigFlags=KeepPartState\n", Some((PartitionState::Inactive, u32::MAX)), None),
        (
            "ReconfigFlags=KeepPartInfo\n",
            Some((PartitionState::Inactive, 2)),
            Some((PartitionState::Inactive, 2)),
        ),
    ] {
        let mut lab = lab();
        lab.reads(&format!("{flags}{FILE}"));
        let now = |name| lab.now(name).map(|of| (of.state, of.max_nodes));
        assert_eq!((now("p"), now("r")), (changed, created), "{flags}");
        assert_eq!(now("q").unwrap().0, PartitionState::Down, "deleted, and there again");
    }
    let mut lab = lab();
    lab.job("r");
    lab.reads(FILE);
    assert_eq!(lab.now("r").unwrap().max_nodes, 2, "a job needs it");
    assert_eq!(lab.state.partitions.len(), 1);
    lab.reads(&format!("{FILE}PartitionName=r Nodes=n1\n"));
    assert_eq!(lab.now("r").unwrap().max_nodes, u32::MAX, "slurm.conf has it now");
}

#[test]
fn what_is_not_there_is_refused_cleanly() {
    let mut lab = Lab::new();
    for (command, code) in [
        (change("p", |update| update.billing_weights_str = "cpu".into()), BILLING_WEIGHTS),
        (change("p", |update| update.job_defaults_str = "DefCpuPerGPU=2".into()), JOB_DEFAULTS),
        (change("p", |update| update.cpu_bind = 4), rc::UNSUPPORTED),
        (change("p", |update| update.name = Text::NONE), rc::PARTITION),
    ] {
        assert_eq!(lab.does(&command), code);
        assert_eq!(lab.state, State::default());
    }
}
