//! A start that is durable, and a launch that nobody knows the fate of, because the primary is
//! killed between the two: the next one never launches twice, and loses no job. With Slurm's own
//! slurmd, and with ours.
//!
//! - The launch has arrived, and its answer has not: the next primary finds the job on its node.
//! - It has not arrived: the job is started again, after its node has answered a request to end
//!   it; and when the first launch arrives at last, that one is void.
#![cfg(all(feature = "controller", feature = "agent"))]

#[path = "controller/agents.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod agents;
#[allow(dead_code, reason = "each test uses its part of the cluster")]
#[path = "controller/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "failover/lab.rs"]
mod lab;
#[path = "programs/mod.rs"]
mod programs;

use lab::wire::Link;
use lab::{Lab, PAIR, Shape, lab_of};

/// A launch is asked about after 6 s.
const FAST: &str = "SlurmctldTimeout=1\nMinJobAge=100000\nBatchStartTimeout=1\nMessageTimeout=5\n";

fn lines(lab: &Lab, id: u32) -> usize {
    let text = std::fs::read_to_string(lab.out().join(format!("ran.{id}"))).unwrap_or_default();
    text.lines().count()
}

fn submit(lab: &Lab, waits: bool) -> u32 {
    let path = lab.dir.join("job.sh");
    let wait = if waits { "while [ ! -e go ]; do sleep 0.1; done\n" } else { "" };
    std::fs::write(&path, format!("#!/bin/sh\necho $$ >> ran.$SLURM_JOB_ID\n{wait}exit 3\n"))
        .unwrap();
    lab.sbatch(&path).unwrap_or_else(|said| panic!("{said}\n{}", lab.logs()))
}

fn shown(lab: &Lab, id: u32) -> String {
    lab.run(&format!("scontrol show job {id}")).stdout
}

fn until_over(lab: &Lab, id: u32) {
    lab.wait(&format!("job {id} is over"), || {
        assert!(lines(lab, id) <= 1, "job {id} ran twice\n{}", lab.logs());
        shown(lab, id).contains("JobState=FAILED")
    });
    assert!(shown(lab, id).contains("ExitCode=3:0"), "{}\n{}", shown(lab, id), lab.logs());
    assert_eq!(lines(lab, id), 1, "{}", lab.logs());
}

fn link(lab: &Lab, link: Link) {
    lab.agent_wire.as_ref().unwrap().set(link);
}

/// What is on its way to the agent.
fn held(lab: &Lab) -> usize {
    lab.agent_wire.as_ref().unwrap().held()
}

/// The launch has arrived, and the primary dies without an answer.
fn answer_is_lost(lab: &mut Lab) {
    link(lab, Link::Deaf);
    let id = submit(lab, true);
    lab.wait("it runs", || lines(lab, id) == 1);
    lab.kill(0);
    link(lab, Link::Up);
    lab.wait("the other one reigns", || lab.reigns(1));
    // It asks the node, and from what that says it knows.
    let late = submit(lab, false);
    until_over(lab, late);
    assert!(shown(lab, id).contains("JobState=RUNNING"), "{}\n{}", shown(lab, id), lab.logs());
    std::fs::write(lab.out().join("go"), "").unwrap();
    until_over(lab, id);
    lab.start(0);
    lab.until_ready(0);
}

/// The launch is on its way, and the primary dies.
fn launch_is_late(lab: &mut Lab) {
    link(lab, Link::Cut);
    let id = submit(lab, false);
    lab.wait("it is durable that it runs", || shown(lab, id).contains("JobState=RUNNING"));
    lab.wait("its launch is on its way", || held(lab) > 0);
    lab.kill(1);
    link(lab, Link::Late);
    lab.wait("the first one reigns", || lab.reigns(0));
    until_over(lab, id);
    assert!(lab.log(0).contains(&format!("job {id} never began on node n1")), "{}", lab.logs());
    assert!(held(lab) > 0, "it is on its way still");
    link(lab, Link::Up);
    lab.wait("it has arrived, and was answered", || held(lab) == 0);
    let later = submit(lab, false);
    until_over(lab, later);
    assert_eq!(lines(lab, id), 1, "job {id} ran twice\n{}", lab.logs());
    assert!(shown(lab, id).contains("ExitCode=3:0"), "{}", shown(lab, id));
}

fn launches_across_reigns(test: &str, ours: bool) {
    let shape = Shape { agent_wired: true, ours, ..PAIR };
    let Some(mut lab) = lab_of(test, FAST, shape, |_| Vec::new()) else { return };
    answer_is_lost(&mut lab);
    launch_is_late(&mut lab);
}

#[test]
fn a_launch_is_neither_lost_nor_repeated_by_the_next_primary_under_slurms_slurmd() {
    let test = "a_launch_is_neither_lost_nor_repeated_by_the_next_primary_under_slurms_slurmd";
    launches_across_reigns(test, false);
}

#[test]
fn a_launch_is_neither_lost_nor_repeated_by_the_next_primary_under_our_slurmd() {
    let test = "a_launch_is_neither_lost_nor_repeated_by_the_next_primary_under_our_slurmd";
    launches_across_reigns(test, true);
}
