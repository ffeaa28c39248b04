//! Programs that an unmodified slurmd runs for the administrator, under our controller: what they
//! find wrong reaches the state of nodes and jobs.
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
use lab::{Lab, field, lab, until_job};

const NODE: &str = "CPUs=8 RealMemory=1000";

/// How often a program has noted that it ran.
fn runs(lab: &Lab, name: &str) -> usize {
    std::fs::read_to_string(lab.ours.dir.join(name)).unwrap_or_default().lines().count()
}

/// Waits until a program that begins from now on has ended twice.
fn until_run_again(lab: &Lab, name: &str) {
    let before = runs(lab, name);
    until_said(&lab.ours, &format!("{name} has grown"), || runs(lab, name) >= before + 2);
}

#[test]
fn a_health_check_that_fails_drains_the_node_and_one_that_does_not_leaves_it_alone() {
    let test = "a_health_check_that_fails_drains_the_node";
    let more = "HealthCheckProgram={dir}/check\nHealthCheckInterval=1";
    let Some(lab) = lab(test, 1, NODE, more) else { return };
    let wrapper = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/healthcheck-drain");
    let dir = lab.ours.dir.display();
    let check =
        format!("export SLURM_CONF={dir}/slurm.conf\n{wrapper} {dir}/health\necho >>{dir}/ran");
    lab.program("health", "exit 0");
    lab.program("check", &check);
    lab.idle();
    until_run_again(&lab, "ran");
    assert_eq!((node_state(&lab.ours, "n1"), lab.reason("n1")), ("idle".into(), String::new()));
    let job = lab.submit("sleep 600", "", false);
    until_job(&lab.ours, job, "RUNNING");
    lab.program("health", "echo disk full on $SLURMD_NODENAME; exit 3");
    until_node(&lab.ours, "n1", "draining");
    assert_eq!(lab.reason("n1"), "disk full on n1");
    assert_eq!(field(&lab.ours, job, "JobState"), "RUNNING", "what runs there goes on");
    lab.program("health", "exit 0");
    until_run_again(&lab, "ran");
    assert_eq!(node_state(&lab.ours, "n1"), "draining", "a later success changes nothing");
    assert_eq!(lab.ours.run(&format!("scancel {job}")).code, 0);
    until_node(&lab.ours, "n1", "drained");
    assert_eq!(lab.ours.run("scontrol update nodename=n1 state=resume").code, 0);
    until_run_again(&lab, "ran");
    assert_eq!((node_state(&lab.ours, "n1"), lab.reason("n1")), ("idle".into(), String::new()));
}

/// The job waits until somebody releases it, its node gets no others, and then all is well.
fn a_prolog_fails(test: &str, flags: &str) {
    let more = format!("Prolog={{dir}}/prolog\n{flags}");
    let Some(lab) = lab(test, 2, NODE, &more) else { return };
    let dir = lab.ours.dir.display();
    let note = format!("echo $SLURM_JOB_ID $SLURMD_NODENAME >>{dir}/prologs");
    lab.program("prolog", &note);
    lab.idle();
    let good = lab.submit("echo it ran", "-w n1", false);
    until_job(&lab.ours, good, "COMPLETED");
    assert_eq!(lab.written(&format!("{good}.out")), "it ran\n");
    lab.program("prolog", &format!("{note}; [ $SLURMD_NODENAME = n2 ] || exit 4"));
    let job = lab.submit("echo it ran", "-w n1", false);
    until_node(&lab.ours, "n1", "drained");
    assert_eq!(lab.reason("n1"), "Prolog error");
    until_said(&lab.ours, "the job is held", || {
        field(&lab.ours, job, "JobState") == "PENDING" && field(&lab.ours, job, "Priority") == "0"
    });
    let reason = field(&lab.ours, job, "Reason");
    assert_eq!(reason, "launch_failed_requeued_held", "{}", lab.ours.log());
    let other = lab.submit("echo it ran", "", false);
    until_job(&lab.ours, other, "COMPLETED");
    assert_eq!(field(&lab.ours, other, "NodeList"), "n2");
    lab.program("prolog", &note);
    assert_eq!(lab.ours.run("scontrol update nodename=n1 state=resume").code, 0);
    assert_eq!(lab.ours.run(&format!("scontrol release {job}")).code, 0);
    until_job(&lab.ours, job, "COMPLETED");
    assert_eq!(field(&lab.ours, job, "Restarts"), "1");
    let said = lab.written(&format!("{job}.out"));
    assert_eq!(said.matches("it ran").count(), 1, "{said}");
    let ran = std::fs::read_to_string(lab.ours.dir.join("prologs")).unwrap();
    assert_eq!(ran, format!("{good} n1\n{job} n1\n{other} n2\n{job} n1\n"));
    lab.idle();
}

#[test]
fn a_prolog_that_fails_drains_its_node_and_the_job_is_held() {
    a_prolog_fails("a_prolog_that_fails_drains_its_node_and_the_job_is_held", "");
}

#[test]
fn a_prolog_that_agents_are_told_to_run_fails_likewise() {
    let test = "a_prolog_that_agents_are_told_to_run_fails_likewise";
    a_prolog_fails(test, "PrologFlags=Alloc");
}

#[test]
fn prologs_of_all_nodes_run_where_they_are_told_to() {
    let test = "prologs_of_all_nodes_run_where_they_are_told_to";
    let more = "Prolog={dir}/prolog\nPrologFlags=Contain";
    let Some(lab) = lab(test, 2, NODE, more) else { return };
    let dir = lab.ours.dir.display();
    lab.program("prolog", &format!("echo $SLURM_JOB_ID $SLURMD_NODENAME >>{dir}/prologs"));
    lab.idle();
    let job = lab.submit("echo it ran", "-N 2", true);
    until_job(&lab.ours, job, "COMPLETED");
    let ran = std::fs::read_to_string(lab.ours.dir.join("prologs")).unwrap();
    let mut ran: Vec<&str> = ran.lines().collect();
    ran.sort_unstable();
    assert_eq!(ran, [format!("{job} n1"), format!("{job} n2")]);
    lab.idle();
}

#[test]
fn an_epilog_that_fails_drains_its_node_and_the_job_has_ended_all_the_same() {
    let test = "an_epilog_that_fails_drains_its_node";
    let Some(lab) = lab(test, 2, NODE, "Epilog={dir}/epilog") else { return };
    lab.program("epilog", "[ $SLURMD_NODENAME = n2 ] || exit 7");
    lab.idle();
    let job = lab.submit("exit 3", "-w n1", false);
    until_job(&lab.ours, job, "FAILED");
    assert_eq!(field(&lab.ours, job, "ExitCode"), "3:0");
    until_node(&lab.ours, "n1", "drained");
    assert_eq!(lab.reason("n1"), "Epilog error");
    let other = lab.submit("exit 0", "", false);
    until_job(&lab.ours, other, "COMPLETED");
    assert_eq!(field(&lab.ours, other, "NodeList"), "n2");
    lab.program("epilog", "exit 0");
    assert_eq!(lab.ours.run("scontrol update nodename=n1 state=resume").code, 0);
    let again = lab.submit("exit 0", "-w n1", false);
    until_job(&lab.ours, again, "COMPLETED");
    lab.idle();
}

/// What slurmd starts does not outlive a test: its supervisors would look for a controller for an
/// hour.
#[test]
fn nothing_of_a_slurmd_is_left_when_its_test_ends() {
    let test = "nothing_of_a_slurmd_is_left_when_its_test_ends";
    let Some(mut lab) = lab(test, 1, NODE, "") else { return };
    lab.idle();
    let job = lab.submit("echo $$; setsid sleep 600 & sleep 600", "", false);
    lab.written(&format!("{job}.out"));
    let slurmd = lab.slurmds.pop().unwrap();
    let (dir, conf) = (lab.ours.dir.join("n1"), lab.ours.conf());
    let left = || agents::leftovers::Marks { dir: &dir, conf: &conf, node: "n1" }.processes();
    assert!(left().len() >= 4, "slurmd, a supervisor, the script, what it runs: {:?}", left());
    lab.ours.kill();
    drop(slurmd);
    assert_eq!(left(), [].into());
}
