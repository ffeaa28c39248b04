//! What jobs get, beside Slurm's own controller, and what becomes of dependencies and arrays: real
//! clients, real slurmds.
#![cfg(feature = "controller")]

#[path = "controller/agents.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod agents;
#[allow(dead_code, reason = "each test uses its part of the cluster")]
#[path = "controller/cluster.rs"]
mod cluster;
#[path = "programs/mod.rs"]
mod programs;

use agents::{Slurmd, node_lines, ports_in_a_row, until_node, until_said};
use cluster::{Controller, Munged};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const OURS: &str = env!("CARGO_BIN_EXE_slurmctld");

/// Cores with two threads, whatever this host has.
const NODE: &str = "Sockets=2 CoresPerSocket=2 ThreadsPerCore=2 RealMemory=1000";
const MORE: &str = "SelectTypeParameters=CR_Core_Memory\nDefMemPerCPU=10\nKillWait=1\n\
                    SchedulerParameters=batch_sched_delay=0\n";

/// A controller with three slurmds.
struct Lab {
    slurmds: Vec<Slurmd>,
    controller: Controller,
}

fn lab(dir: &Path, program: &Path, slurmd: &Path, munged: &Munged, ours: bool) -> Lab {
    let nodes = node_lines(dir, 3, ports_in_a_row(3), NODE);
    let auth_info = format!("AuthInfo=socket={}", munged.socket.display());
    let mut controller = Controller::configure(dir.into(), &auth_info, &format!("{MORE}{nodes}"));
    if ours {
        controller.init();
    }
    controller.start(program);
    let start = |at| Slurmd::start(slurmd, &controller, &format!("n{at}"));
    let slurmds: Vec<Slurmd> = (1..=3).map(start).collect();
    slurmds.iter().for_each(|slurmd| until_node(&controller, &slurmd.name, "idle"));
    Lab { slurmds, controller }
}

/// What `scontrol show job` says in a field; empty: the job is not there, or has none.
fn field(controller: &Controller, id: &str, name: &str) -> String {
    let shown = controller.run(&format!("scontrol -o show job {id}")).stdout;
    let begin = format!("{name}=");
    let word = shown.split_whitespace().find_map(|word| word.strip_prefix(&begin));
    word.unwrap_or("").to_owned()
}

fn until_field(controller: &Controller, id: &str, name: &str, value: &str) {
    let what = format!("{name}={value} of job {id}");
    until_said(controller, &what, || field(controller, id, name) == value);
}

fn submit(controller: &Controller, options: &str, script: &str) -> String {
    let line = format!("sbatch --parsable -D / -o /dev/null {options} --wrap {script}");
    let said = controller.run(&line);
    let id = said.stdout.trim().to_owned();
    assert!(said.code == 0 && !id.is_empty(), "{said:?}\n{}", controller.log());
    id
}

impl Lab {
    /// What a job gets, alone.
    fn gets(&self, options: &str) -> String {
        let id = submit(&self.controller, options, "sleep_600");
        until_field(&self.controller, &id, "JobState", "RUNNING");
        let parts = ["NodeList", "NumNodes", "NumCPUs", "TRES"];
        let said = parts.map(|name| format!("{name}={}", field(&self.controller, &id, name)));
        self.controller.run(&format!("scancel {id}"));
        for slurmd in &self.slurmds {
            until_node(&self.controller, &slurmd.name, "idle");
        }
        said.join(" ")
    }
}

fn programs(test: &str) -> Option<(PathBuf, PathBuf, tempfile::TempDir, Munged)> {
    let munged = programs::find("munged", test)?;
    let slurmd = programs::find("slurmd", test)?;
    let real = programs::find("slurmctld", test)?;
    programs::find("sbatch", test)?;
    let dir = tempfile::Builder::new().prefix("sched").tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let munged = Munged::start(&munged, dir.path());
    Some((real, slurmd, dir, munged))
}

#[test]
fn jobs_get_what_the_real_controller_gives_them() {
    let test = "jobs_get_what_the_real_controller_gives_them";
    let Some((real, slurmd, dir, munged)) = programs(test) else { return };
    let ours = lab(&dir.path().join("ours"), Path::new(OURS), &slurmd, &munged, true);
    let theirs = lab(&dir.path().join("theirs"), &real, &slurmd, &munged, false);
    for options in [
        "-n 1",
        "-n 3 -c 2",
        "-N 2",
        "-N 2-3",
        "-n 9",
        "--exclusive",
        "--mem=0",
        "--mem-per-cpu=100 -n 3",
        "--ntasks-per-node=3 -N 2",
        "-N 3 -n 10",
        "-w n3 -n 5",
        "-x n1 -n 2 --threads-per-core=1",
    ] {
        let (is, wanted) = (ours.gets(options), theirs.gets(options));
        assert_eq!(is, wanted, "{options}: ours, and theirs");
    }
}

#[test]
fn jobs_wait_for_others_and_arrays_run_task_by_task() {
    let test = "jobs_wait_for_others_and_arrays_run_task_by_task";
    let Some((_, slurmd, dir, munged)) = programs(test) else { return };
    let lab = lab(&dir.path().join("ours"), Path::new(OURS), &slurmd, &munged, true);
    let ours = &lab.controller;
    let fails = submit(ours, "--hold", "exit_3");
    let never = submit(ours, &format!("--dependency=afterok:{fails}"), "true");
    let then = submit(ours, &format!("--dependency=afternotok:{fails}"), "true");
    let last = submit(ours, &format!("--dependency=afterany:{fails}:{then}"), "true");
    until_field(ours, &never, "Reason", "Dependency");
    assert_eq!(field(ours, &last, "EligibleTime"), "Unknown");
    assert_eq!(ours.run(&format!("scontrol release {fails}")).code, 0);
    until_field(ours, &last, "JobState", "COMPLETED");
    until_field(ours, &never, "Reason", "DependencyNeverSatisfied");
    assert_eq!(field(ours, &fails, "JobState"), "FAILED");
    assert_eq!(field(ours, &then, "JobState"), "COMPLETED");

    let array = submit(ours, "--array=1-5%2", "sleep_1");
    until_said(ours, "no more than two tasks run, until all are over", || {
        let said = ours.run(&format!("squeue -h -r -j {array} -o %T")).stdout;
        let running = said.lines().filter(|line| *line == "RUNNING").count();
        assert!(running <= 2, "{said}");
        let tasks = ours.run(&format!("scontrol -o show job {array}")).stdout;
        tasks.lines().filter(|line| line.contains("JobState=COMPLETED")).count() == 5
    });
}
