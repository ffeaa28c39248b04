//! Two controllers over one shared directory, real processes, Slurm's own sbatch and slurmd: one of
//! the two dies, hangs, is stopped or told to hand over in a stream of submissions.
//!
//! *Lost*: an id was told that nobody knows afterwards, or the script under it is another one.
//! *Run twice*: the file that a job itself adds a line to has more than one.
#![cfg(feature = "controller")]

#[path = "controller/agents.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod agents;
#[allow(dead_code, reason = "each test uses its part of the cluster")]
#[path = "controller/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "durable/judge.rs"]
mod judge;
#[path = "failover/lab.rs"]
mod lab;
#[path = "programs/mod.rs"]
mod programs;
#[path = "failover/stream.rs"]
mod stream;

use lab::lab;
use rustix::process::Signal;

const FAST: &str = "SlurmctldTimeout=2\nMinJobAge=100000\n";

#[test]
fn pending_jobs_and_running_ones_live_through_every_way_in_which_a_controller_goes() {
    let test = "pending_jobs_and_running_ones_live_through_every_way_in_which_a_controller_goes";
    let Some(mut lab) = lab(test, FAST) else { return };
    stream::play(&mut lab, &stream::KINDS);
}

#[test]
fn the_handbooks_commands_rehearse_a_failover() {
    let test = "the_handbooks_commands_rehearse_a_failover";
    let Some(mut lab) = lab(test, FAST) else { return };
    let configured = lab.run("scontrol show config").stdout;
    let hosts = configured.lines().filter(|line| line.starts_with("SlurmctldHost["));
    assert_eq!(hosts.count(), 2, "{configured}");
    let up = "Slurmctld(primary) at mgmt01 is UP\nSlurmctld(backup) at mgmt02 is UP\n";
    assert_eq!(lab.run("scontrol ping").stdout, up);
    assert_eq!(lab.stop(0), Some(0), "{}", lab.logs());
    assert!(lab.reigns(1), "handed over before it ended: {}", lab.logs());
    let said = lab.run("scontrol ping").stdout;
    assert!(said.contains("at mgmt01 is DOWN\nSlurmctld(backup) at mgmt02 is UP\n"), "{said}");
    assert!(lab.run("sinfo").stdout.contains("n1"));
    let script = lab.dir.join("test.sh");
    std::fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    let id = lab.sbatch(&script).unwrap();
    lab.start(0);
    lab.until_ready(0);
    assert!(lab.reigns(1) && !lab.reigns(0), "it started as a standby");
    assert_eq!(lab.run("scontrol ping").stdout, up);
    assert!(lab.run(&format!("scontrol show job {id}")).stdout.contains("test.sh"));
    lab.signal(1, Signal::KILL);
    lab.wait("the first one is back", || lab.reigns(0));
}
