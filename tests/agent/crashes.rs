//! The agent, a supervisor, the controller: each is killed while jobs run. No job runs twice unless
//! it was requeued, no exit code is lost, no process is left.

use crate::cluster::{Process, until};
use crate::lab::{Lab, OURS, jobs_in, lives, processes_with, signal};
use std::fs;
use std::path::Path;

fn pair(state: &str, code: &str) -> (String, String) {
    (state.to_owned(), code.to_owned())
}

/// The process that holds the lock of the only job in a spool.
fn supervisor(lab: &Lab, node: &str) -> i32 {
    let jobs = jobs_in(&lab.path("spool").join(node));
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    fs::read_to_string(jobs[0].join("lock")).unwrap().trim().parse().unwrap()
}

fn kill(process: Process) {
    signal(i32::try_from(process.0.id()).unwrap(), libc::SIGKILL);
}

#[test]
fn an_agent_that_is_killed_finds_its_jobs_again_and_their_ends() {
    let test = "an_agent_that_is_killed_finds_its_jobs_again_and_their_ends";
    let Some(lab) = Lab::new(test, "") else { return };
    let agent = lab.agent(Path::new(OURS), "n1");
    let waits = "echo $$ >pid-$SLURM_JOB_ID; while [ ! -e go-$SLURM_JOB_ID ]; do sleep 0.05; done\n\
                 exit 5";
    let (first, second) = (lab.submit("-w n1", waits), lab.submit("-w n1", waits));
    let pids = [first, second].map(|job| lab.wait_file(&format!("pid-{job}")));
    [first, second].iter().for_each(|job| lab.wait_launched("n1", *job));
    kill(agent);
    // This one ends while there is no agent: its supervisor reports it by itself.
    fs::write(lab.path("out").join(format!("go-{first}")), "").unwrap();
    until("its end is told", || lab.field(&first.to_string(), "ExitCode") == "5:0");
    let agent = lab.agent(Path::new(OURS), "n1");
    assert!(lives(pids[1].parse().unwrap()), "{}", lab.log("n1"));
    assert_eq!(lab.ended(first), pair("FAILED", "5:0"));
    assert_eq!(lab.field(&second.to_string(), "JobState"), "RUNNING");
    fs::write(lab.path("out").join(format!("go-{second}")), "").unwrap();
    assert_eq!(lab.ended(second), pair("FAILED", "5:0"));
    assert_eq!(lab.field(&second.to_string(), "Restarts"), "0");
    lab.wait_empty("n1");
    // And one that is cancelled by the agent that found it.
    let third = lab.submit("-w n1", waits);
    lab.wait_file(&format!("pid-{third}"));
    lab.wait_launched("n1", third);
    kill(agent);
    let _agent = lab.agent(Path::new(OURS), "n1");
    assert_eq!(lab.run(&format!("scancel {third}")), "");
    assert_eq!(lab.ended(third), pair("CANCELLED", "0:15"));
    lab.wait_empty("n1");
}

#[test]
fn a_supervisor_that_is_killed_takes_its_job_with_it_and_the_end_is_told() {
    let test = "a_supervisor_that_is_killed_takes_its_job_with_it_and_the_end_is_told";
    let Some(lab) = Lab::new(test, "") else { return };
    let agent = lab.agent(Path::new(OURS), "n1");
    let mark = |name: u32| format!("{}", 800_000_000 + u64::from(lab.port) * 10 + u64::from(name));
    let script = |name: u32| {
        let mark = mark(name);
        format!(
            "setsid sleep {mark} & (setsid sleep {mark} &)\n\
             sleep 0.3; echo >up-{name}; wait; exit 2"
        )
    };
    let job = lab.submit("-w n1", &script(1));
    lab.wait_file("up-1");
    until("both are what they will be", || processes_with(&mark(1)).len() == 2);
    signal(supervisor(&lab, "n1"), libc::SIGKILL);
    assert_eq!(lab.ended(job), pair("FAILED", "0:9"));
    until("nothing is left", || processes_with(&mark(1)).is_empty());
    lab.wait_empty("n1");
    // The same while there is no agent: the next one does it.
    let job = lab.submit("-w n1", &script(2));
    lab.wait_file("up-2");
    lab.wait_launched("n1", job);
    kill(agent);
    signal(supervisor(&lab, "n1"), libc::SIGKILL);
    let _agent = lab.agent_alone(Path::new(OURS), "n1");
    assert_eq!(lab.ended(job), pair("FAILED", "0:9"));
    until("nothing is left", || processes_with(&mark(2)).is_empty());
    lab.wait_empty("n1");
    assert!(!lab.run("scontrol show node n1").contains("DRAIN"));
}

#[test]
fn an_end_waits_for_a_controller_and_is_told_once() {
    let test = "an_end_waits_for_a_controller_and_is_told_once";
    let Some(mut lab) = Lab::new(test, "") else { return };
    let agent = lab.agent(Path::new(OURS), "n1");
    let script = "echo >up; while [ ! -e go ]; do sleep 0.05; done; exit 6";
    let job = lab.submit("-w n1", script);
    lab.wait_file("up");
    lab.wait_launched("n1", job);
    lab.stop_controller();
    fs::write(lab.path("out").join("go"), "").unwrap();
    let end = || jobs_in(&lab.path("spool").join("n1")).iter().any(|job| job.join("end").exists());
    until("the end is kept", end);
    kill(agent);
    let _agent = lab.agent_alone(Path::new(OURS), "n1");
    lab.start_controller();
    assert_eq!(lab.ended(job), pair("FAILED", "6:0"));
    lab.wait_empty("n1");
    let told = fs::read_to_string(lab.path("ctld.log")).unwrap();
    let wanted = format!("_job_complete: JobId={job} WEXITSTATUS 6");
    assert_eq!(told.matches(&wanted).count(), 1, "{told}");
}
