//! Real slurmds, unmodified, under our controller: they register, run jobs to their end and report
//! them; the controller, or they, die meanwhile, and nothing is lost.
#![cfg(feature = "controller")]

#[path = "controller/agents.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod agents;
#[allow(dead_code, reason = "each test uses its part of the cluster")]
#[path = "controller/cluster.rs"]
mod cluster;
#[path = "controller/lab.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod lab;
#[path = "programs/mod.rs"]
mod programs;

use agents::{node_state, until_node, until_said};
use cluster::until_none;
use lab::{OURS, field, lab, until_job};
use std::path::Path;

#[test]
fn real_slurmds_register_and_are_idle_and_what_they_said_is_shown() {
    let test = "real_slurmds_register_and_are_idle_and_what_they_said_is_shown";
    let Some(lab) = lab(test, 2, "CPUs=2 RealMemory=100", "") else { return };
    for slurmd in &lab.slurmds {
        until_node(&lab.ours, &slurmd.name, "idle");
        let shown = lab.ours.run(&format!("scontrol show node {}", slurmd.name)).stdout;
        assert!(shown.contains("Version=22.05.8") && shown.contains("OS=Linux"), "{shown}");
        assert!(!shown.contains("BootTime=None"), "{shown}");
    }
    let drained = lab.ours.run("scontrol update nodename=n1 state=drain reason=fan");
    assert_eq!(drained.code, 0, "{drained:?}");
    assert_eq!(node_state(&lab.ours, "n1"), "drained");
    assert_eq!(lab.ours.run("scontrol update nodename=n1 state=resume").code, 0);
    until_node(&lab.ours, "n1", "idle");
}

const BIG: &str = "CPUs=8 RealMemory=1000";

#[test]
fn jobs_of_root_and_of_an_ordinary_user_run_to_their_end_and_their_exit_codes_are_kept() {
    let test = "jobs_of_root_and_of_an_ordinary_user_run_to_their_end";
    let Some(lab) = lab(test, 2, BIG, "") else { return };
    lab.idle();
    let good = lab.submit("echo $(id -un) $SLURM_JOB_ID $SLURM_JOB_NODELIST", "", false);
    let user = lab.submit("id -u; id -g; exit 3", "", true);
    let signal = lab.submit("kill -9 $$", "", false);
    until_job(&lab.ours, good, "COMPLETED");
    let said = lab.written(&format!("{good}.out"));
    assert!(said.starts_with("root ") && said.contains(&format!(" {good} n")), "{said}");
    assert_eq!(field(&lab.ours, good, "ExitCode"), "0:0");
    until_job(&lab.ours, user, "FAILED");
    assert_eq!(lab.written(&format!("{user}.out")), "65534\n65534\n");
    assert_eq!(field(&lab.ours, user, "ExitCode"), "3:0");
    assert_eq!(field(&lab.ours, user, "Reason"), "NonZeroExitCode");
    until_job(&lab.ours, signal, "FAILED");
    assert_eq!(field(&lab.ours, signal, "ExitCode"), "0:9");
    lab.idle();
}

#[test]
fn a_running_job_outlives_the_controller_however_young_it_is() {
    let test = "a_running_job_outlives_the_controller_however_young_it_is";
    let Some(mut lab) = lab(test, 1, BIG, "") else { return };
    lab.idle();
    let script = "echo $$; while [ ! -e go$SLURM_JOB_ID ]; do sleep 0.1; done; exit 5";
    let old = lab.submit(script, "", false);
    let pid = lab.written(&format!("{old}.out"));
    // Killed as soon as it runs, and while another one is on its way.
    let young = lab.submit(script, "", false);
    lab.ours.kill();
    lab.ours.start(Path::new(OURS));
    let young_pid = lab.written(&format!("{young}.out"));
    assert_eq!(field(&lab.ours, old, "JobState"), "RUNNING");
    lab.ours.kill();
    lab.ours.start(Path::new(OURS));
    for id in [old, young] {
        std::fs::write(lab.out().join(format!("go{id}")), "").unwrap();
    }
    for (id, pid) in [(old, pid), (young, young_pid)] {
        until_job(&lab.ours, id, "FAILED");
        assert_eq!(field(&lab.ours, id, "ExitCode"), "5:0");
        assert_eq!(field(&lab.ours, id, "Restarts"), "0", "{}", lab.ours.log());
        assert_eq!(lab.written(&format!("{id}.out")), pid, "it was started once");
    }
    lab.idle();
}

#[test]
fn a_job_ends_at_its_time_limit() {
    let test = "a_job_ends_at_its_time_limit";
    let Some(lab) = lab(test, 1, BIG, "KillWait=2") else { return };
    lab.idle();
    let job =
        lab.submit("trap 'echo caught' TERM; echo up; sleep 600 & wait; exit 0", "-t 1", false);
    until_job(&lab.ours, job, "TIMEOUT");
    assert_eq!(field(&lab.ours, job, "Reason"), "TimeLimit");
    lab.idle();
    let said = lab.written(&format!("{job}.out"));
    assert!(said.starts_with("up\n"), "{said}");
}

#[test]
fn a_job_whose_node_dies_waits_again_and_the_node_is_down_until_it_is_back() {
    let test = "a_job_whose_node_dies_waits_again";
    let more = "SlurmdTimeout=6\nTCPTimeout=1\nMessageTimeout=5\nReturnToService=1";
    let Some(mut lab) = lab(test, 2, BIG, more) else { return };
    lab.idle();
    let job = lab.submit("echo on $SLURMD_NODENAME; sleep 600", "-w n1", false);
    let stays = lab.submit("echo on $SLURMD_NODENAME; sleep 600", "-w n1 --no-requeue", false);
    assert_eq!(lab.written(&format!("{job}.out")), "on n1\n");
    assert_eq!(lab.written(&format!("{stays}.out")), "on n1\n");
    lab.slurmds[0].kill();
    until_node(&lab.ours, "n1", "down*");
    let reason = lab.ours.run("sinfo -h -R -o %E").stdout;
    assert_eq!(reason, "Not responding\n");
    until_job(&lab.ours, stays, "NODE_FAIL");
    assert_eq!(field(&lab.ours, stays, "Reason"), "NodeDown");
    assert_eq!(field(&lab.ours, job, "JobState"), "PENDING");
    assert_eq!(field(&lab.ours, job, "Restarts"), "1");
    lab.slurmds[0].again();
    // What still runs there of the first time is ended before it runs there again.
    until_job(&lab.ours, job, "RUNNING");
    assert_eq!(field(&lab.ours, job, "NodeList"), "n1");
    assert_eq!(lab.ours.run(&format!("scancel {job}")).code, 0);
    until_job(&lab.ours, job, "CANCELLED");
    until_node(&lab.ours, "n1", "idle");
}

#[test]
fn a_thousand_jobs_through_two_slurmds_all_leave_their_output() {
    let test = "a_thousand_jobs_through_two_slurmds_all_leave_their_output";
    let Some(lab) = lab(test, 2, "CPUs=32 RealMemory=10000", "") else { return };
    lab.idle();
    let count: u32 =
        std::env::var("STATEDIR_JOBS").ok().map_or(1_000, |count| count.parse().unwrap());
    let out = lab.out();
    let jobs: Vec<u32> =
        (0..count).map(|_| lab.submit("echo done $SLURM_JOB_ID", "", false)).collect();
    until_none("all are over", || {
        let said = lab.ours.run("squeue -h");
        (said.code == 0).then(|| said.stdout.lines().count())
    });
    for id in jobs {
        let said = std::fs::read_to_string(out.join(format!("{id}.out"))).unwrap();
        assert_eq!(said, format!("done {id}\n"));
    }
    lab.idle();
}

#[test]
fn agents_read_slurm_conf_again_with_the_controller() {
    let test = "agents_read_slurm_conf_again_with_the_controller";
    let Some(lab) = lab(test, 2, BIG, "") else { return };
    lab.idle();
    assert_eq!(lab.ours.run("scontrol reconfigure").code, 0);
    for slurmd in &lab.slurmds {
        until_said(&lab.ours, "slurmd reads again", || {
            slurmd.log().contains("got reconfigure request")
        });
    }
}

#[test]
fn agents_end_with_the_controller() {
    let test = "agents_end_with_the_controller";
    let Some(lab) = lab(test, 2, BIG, "") else { return };
    lab.idle();
    assert_eq!(lab.ours.run("scontrol shutdown").code, 0);
    // It takes its time to end: it looks for the controller meanwhile.
    for slurmd in &lab.slurmds {
        until_said(&lab.ours, "slurmd ends", || slurmd.log().contains("got shutdown request"));
    }
}
