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

use agents::{Slurmd, node_lines, node_state, ports_in_a_row, until_node, until_said};
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
    lab_with(dir, program, slurmd, munged, ours, "")
}

fn lab_with(
    dir: &Path,
    program: &Path,
    slurmd: &Path,
    munged: &Munged,
    ours: bool,
    last: &str,
) -> Lab {
    let mut lab = without_agents(dir, program, munged, ours, last);
    let controller = &lab.controller;
    let start = |at| Slurmd::start(slurmd, controller, &format!("n{at}"));
    lab.slurmds = (1..=3).map(start).collect();
    lab.slurmds.iter().for_each(|slurmd| until_node(controller, &slurmd.name, "idle"));
    lab
}

/// A controller for three nodes that nobody has heard of.
fn without_agents(dir: &Path, program: &Path, munged: &Munged, ours: bool, last: &str) -> Lab {
    let nodes = node_lines(dir, 3, ports_in_a_row(3), NODE);
    let auth_info = format!("AuthInfo=socket={}", munged.socket.display());
    let more = format!("{MORE}{nodes}{last}");
    let mut controller = Controller::configure(dir.into(), &auth_info, &more);
    if ours {
        controller.init();
    }
    controller.start(program);
    Lab { slurmds: Vec::new(), controller }
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

/// Partitions of all kinds of OverSubscribe, on the same three nodes.
const KINDS: &str = "SchedulerParameters=batch_sched_delay=0,bf_interval=1\n\
                     PartitionName=yes Nodes=ALL OverSubscribe=YES:2\n\
                     PartitionName=force Nodes=ALL OverSubscribe=FORCE:2\n\
                     PartitionName=one Nodes=ALL OverSubscribe=FORCE:1\n\
                     PartitionName=three Nodes=ALL OverSubscribe=FORCE:3\n\
                     PartitionName=high Nodes=ALL OverSubscribe=FORCE:2 PriorityTier=5\n\
                     PartitionName=alone Nodes=ALL OverSubscribe=EXCLUSIVE\n\
                     PartitionName=users Nodes=ALL ExclusiveUser=YES\n";

/// A controller with jobs that a scenario has submitted.
struct Stage<'a> {
    lab: &'a Lab,
    jobs: Vec<String>,
    /// Where a job sees that it is to end: a file for each.
    ends: PathBuf,
}

impl Stage<'_> {
    /// One step: `STOP N`, `-bCONT N` (the script), `OPTIONS` of sbatch (one node, where nodes are
    /// named and their number is not), `suspend N`, `resume N`, `ends N`, `starts N`, where N
    /// counts the scenario's jobs from 1.
    fn step(&mut self, step: &str) {
        let controller = &self.lab.controller;
        let (verb, at) = step.split_once(' ').unwrap_or((step, ""));
        let job = || self.jobs[at.parse::<usize>().unwrap() - 1].clone();
        match verb {
            "suspend" | "resume" => {
                let said = controller.run(&format!("scontrol {verb} {}", job()));
                assert_eq!(said.code, 0, "{step}: {said:?}");
            }
            "STOP" | "CONT" | "-bSTOP" | "-bCONT" => {
                let batch = if verb.starts_with('-') { "-b" } else { "-Q" };
                let signal = verb.trim_start_matches("-b");
                let said = controller.run(&format!("scancel {batch} -s {signal} {}", job()));
                assert_eq!(said.code, 0, "{step}: {said:?}");
            }
            "late" => {
                until_field(controller, &job(), "JobState", "DEADLINE");
                assert_eq!(field(controller, &job(), "ExitCode"), "0:1");
                assert_eq!(field(controller, &job(), "Reason"), "DeadLine");
            }
            "ends" => {
                self.over(at.parse::<usize>().unwrap() - 1);
                until_field(controller, &job(), "JobState", "COMPLETED");
            }
            "starts" => {
                let id = job();
                until_said(controller, &format!("job {id} runs"), || self.begun(&id));
            }
            _ => {
                let out = self.ends.join("begun-%j");
                let end = self.ends.join(self.jobs.len().to_string());
                let alone = if step.contains("-w") && !step.contains("-N") { " -N 1" } else { "" };
                let line = format!(
                    "sbatch --parsable -D / -o {} {step}{alone} --wrap \
                     echo_begun;until_[_-e_{}_];do_sleep_0.1;done",
                    out.display(),
                    end.display()
                );
                let said = controller.run(&line);
                assert!(said.code == 0, "{said:?}\n{}", controller.log());
                let id = said.stdout.trim().to_owned();
                until_said(controller, &format!("job {id} runs, or why not"), || {
                    self.begun(&id) || field(controller, &id, "Reason") != "None"
                });
                self.jobs.push(id);
            }
        }
    }

    /// Whether a job's script runs.
    fn begun(&self, id: &str) -> bool {
        let out = self.ends.join(format!("begun-{id}"));
        std::fs::metadata(out).is_ok_and(|out| out.len() > 0)
    }

    /// What each job has, and what each node shows.
    fn shown(&self) -> Vec<String> {
        let controller = &self.lab.controller;
        let mut found = Vec::new();
        for (at, id) in self.jobs.iter().enumerate() {
            let said = controller.run(&format!("scontrol -d -o show job {id}")).stdout;
            let mut words: Vec<&str> = Vec::new();
            for word in said.split_whitespace() {
                let kept = ["JobState=", "NodeList=", "NumCPUs=", "CPU_IDs=", "OverSubscribe="];
                let nodes = word.starts_with("Nodes=") && said.contains("CPU_IDs");
                if nodes || kept.iter().any(|name| word.starts_with(name)) {
                    words.push(word);
                }
            }
            let waits = said.contains("JobState=PENDING");
            let words = if waits { vec!["JobState=PENDING"] } else { words };
            found.push(format!("job {}: {}", at + 1, words.join(" ")));
        }
        let nodes = controller.run("sinfo -h -N -p main -o %N_%T_%C").stdout;
        found.extend(nodes.lines().map(str::to_owned));
        found
    }

    /// The job sees that it is to end.
    fn over(&self, at: usize) {
        std::fs::write(self.ends.join(at.to_string()), "").unwrap();
    }

    /// All jobs end by themselves, which is faster than to kill them. Those that wait are cancelled
    /// first.
    fn end(self) {
        let controller = &self.lab.controller;
        let state = |id: &String| field(controller, id, "JobState");
        for id in self.jobs.iter().filter(|id| state(id) == "PENDING") {
            assert_eq!(controller.run(&format!("scancel {id}")).code, 0);
        }
        // One that goes on where others have its cores is none that Slurm's own keeps account of.
        let (stopped, others): (Vec<_>, Vec<_>) =
            self.jobs.iter().enumerate().partition(|(_, id)| state(id) == "SUSPENDED");
        for (at, id) in others.into_iter().chain(stopped) {
            if state(id) == "SUSPENDED" {
                assert_eq!(controller.run(&format!("scontrol resume {id}")).code, 0);
            }
            self.over(at);
            until_said(controller, &format!("job {id} is over"), || {
                controller.run(&format!("squeue -h -j {id}")).stdout.is_empty()
            });
        }
        for slurmd in &self.lab.slurmds {
            until_said(controller, &format!("{} is idle", slurmd.name), || {
                self.touch();
                node_state(controller, &slurmd.name) == "idle"
            });
        }
    }

    /// Slurm's own controller works out what is in use of nodes when a node has changed, by whole
    /// seconds: what changes in the same second is not shown by `sinfo` until another change, or
    /// until somebody asks for that one node, which a new comment of a node is not enough for.
    fn touch(&self) {
        let controller = &self.lab.controller;
        let said = controller.run("scontrol update nodename=n[1-3] comment=x");
        assert_eq!(said.code, 0, "{said:?}");
        for slurmd in &self.lab.slurmds {
            let said = controller.run(&format!("scontrol -o show node {}", slurmd.name));
            assert_eq!(said.code, 0, "{said:?}");
        }
    }
}

/// Whether ours and theirs show the same after each step of each scenario; how many steps there
/// were.
fn scenarios(ours: &Lab, theirs: &Lab, all: &[&str]) -> usize {
    let (mut wrong, mut steps) = (Vec::new(), 0);
    for (at, scenario) in all.iter().enumerate() {
        let mut stages = [ours, theirs].map(|lab| {
            let ends = lab.controller.dir.join(format!("ends{at}"));
            std::fs::create_dir(&ends).unwrap();
            std::fs::set_permissions(&ends, PermissionsExt::from_mode(0o777)).unwrap();
            Stage { lab, jobs: Vec::new(), ends }
        });
        println!("{scenario}");
        for (at, step) in scenario.split("; ").enumerate() {
            std::thread::scope(|scope| {
                stages.iter_mut().for_each(|stage| drop(scope.spawn(|| stage.step(step))));
            });
            // Slurm's backfill comes around every second; ours is part of every pass.
            let [mut is, mut wanted] = [0, 1].map(|at| stages[at].shown());
            for _ in 0..40 {
                let moves = is.iter().chain(&wanted).any(|line| line.contains("SIGNALING"));
                if is == wanted && !moves {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
                stages[1].touch();
                [is, wanted] = [0, 1].map(|at| stages[at].shown());
            }
            steps += 1;
            if is != wanted {
                let said = format!("{scenario}, step {}: {is:#?}, and Slurm: {wanted:#?}", at + 1);
                println!("{said}");
                wrong.push(said);
                break;
            }
        }
        std::thread::scope(|scope| {
            stages.into_iter().for_each(|stage| drop(scope.spawn(|| stage.end())));
        });
    }
    assert!(wrong.is_empty(), "{}\n{} scenarios", wrong.join("\n"), wrong.len());
    steps
}

/// Two controllers with the same partitions of all kinds, for scenarios.
fn both_with_kinds(test: &str, more: &str) -> Option<(Lab, Lab, tempfile::TempDir, Munged)> {
    let (real, slurmd, dir, munged) = programs(test)?;
    let last = format!("{more}{KINDS}");
    let ours = lab_with(&dir.path().join("o"), Path::new(OURS), &slurmd, &munged, true, &last);
    let theirs = lab_with(&dir.path().join("t"), &real, &slurmd, &munged, false, &last);
    Some((ours, theirs, dir, munged))
}

#[test]
fn jobs_share_cores_as_the_real_controller_lets_them() {
    let test = "jobs_share_cores_as_the_real_controller_lets_them";
    let Some((ours, theirs, _dir, _munged)) = both_with_kinds(test, "") else { return };
    let steps = scenarios(
        &ours,
        &theirs,
        &[
            // One node of four cores after the other fills; then each core has a second job.
            "-p force -N 3 -n 24; -p force -n 4; -p force -n 8; -p force -n 8; -p force -n 8",
            "-p force -w n1 -n 3; -p force -w n1 -n 3; -p force -w n1 -n 3; \
             -p force -w n1 -N 1 -n 8; ends 1; starts 4",
            "-p three -w n2 -n 8; -p three -w n2 -n 8; -p three -w n2 -n 8; -p three -w n2 -n 2",
            "-p yes -w n1 -n 8; -p yes -s -w n1 -n 8; -p yes -s -w n2 -n 8; -p yes -s -w n2 -n 6; \
             -p yes -s -w n2 -n 4; -p yes -w n2 -n 2",
            "-p one -w n1 -n 8; -p one -w n1 -n 2; -p force -w n1 -n 2; -p force -w n1 -n 8",
            "-p force -w n1 -n 8; -p three -w n1 -n 8; -p high -w n1 -n 8; -p high -w n1 -n 4",
            "-p high -w n1 -n 4; -p force -w n1 -n 8; -p force -w n1 -n 4",
        ],
    );
    assert!(steps > 25, "{steps} steps");
    println!("{steps} steps of jobs that share cores: the same");
}

/// Stopped jobs keep their memory, not their cores; stopped by signals they keep both. (None of
/// them goes on where another has its cores: docs/scheduling.md says what differs then.)
const STOPPED: [&str; 6] = [
    "-w n1 -n 8; -w n1 -n 4; suspend 1; starts 2",
    "--exclusive -w n1 --mem=600; suspend 1; -w n1 -n 2 --mem=300; -w n1 --mem=200; \
     -w n1 --exclusive --mem=10",
    "-w n1 -n 8; -bSTOP 1; -w n1 -n 2; -bCONT 1; STOP 1; CONT 1; -bSTOP 1; suspend 1; starts 2",
    "-p alone -w n1 --mem=100; suspend 1; -p alone -w n1 --mem=100; -p force -w n1 -n 2",
    "-p force -w n1 -n 8; -p force -w n1 -n 8; suspend 1; -p force -w n1 -n 4",
    // One that would not be over in time.
    "-w n1 -n 8; -t 1 --deadline=now+70seconds -w n1 -n 8; late 2",
];

/// Over nodes and sockets.
const OVER_NODES: [&str; 12] = [
    "-n 2 -w n1; --spread-job -n 3 -c 2; --spread-job -n 5",
    "-m plane=3 -n 7 -N 3",
    "--ntasks-per-socket=1 -n 2",
    "--spread-job -n 3",
    "--spread-job -n 2 -c 2",
    "--use-min-nodes -N 1-3 -n 4",
    "--ntasks-per-socket=1 -n 3 -c 2",
    "--ntasks-per-socket=2 -n 3",
    "--ntasks-per-socket=3 -n 9",
    "--ntasks-per-socket=2 -n 8 -N 2",
    "-m plane=2 -n 5 -N 2",
    "-m plane=2 -n 4 -c 2 -N 2",
];

/// Users who keep others off.
const USERS: [&str; 3] = [
    "--uid=nobody --exclusive=user -n 1; -n 1; --uid=nobody -w n1 -n 1; --exclusive=user; \
     --exclusive=user -w n2 -n 1; --uid=nobody -w n2",
    "-p users -n 1; -p users --uid=nobody -n 1; -w n1 --uid=nobody; -w n1",
    "--exclusive=mcs -n 1; --uid=nobody -n 1; --exclusive=mcs -n 1",
];

#[test]
fn stopped_spread_and_exclusive_jobs_get_what_the_real_controller_gives_them() {
    let test = "stopped_spread_and_exclusive_jobs_get_what_the_real_controller_gives_them";
    let Some((ours, theirs, _dir, _munged)) = both_with_kinds(test, "") else { return };
    let some = [&STOPPED[..2], &OVER_NODES[..3], &USERS[..2]].concat();
    let steps = scenarios(&ours, &theirs, &some);
    assert!(steps > 20, "{steps} steps");
    println!("{steps} steps of jobs that are stopped, spread, or for one user: the same");
}

/// All of them, and more of the same.
#[test]
#[ignore = "two minutes: tools/soak sched, or cargo test --test slurm_sched -- --ignored"]
fn more_jobs_share_cores_as_the_real_controller_lets_them() {
    let test = "more_jobs_share_cores_as_the_real_controller_lets_them";
    let Some((ours, theirs, _dir, _munged)) = both_with_kinds(test, "") else { return };
    let more = [
        "-p force -w n1 -n 2; -n 2; -p yes -n 2; -p yes -s -n 2; -w n1 -n 2",
        "-w n1 -n 2; -p force -w n1 -n 2; -p force -n 2; -p yes -s -w n2 -n 2; -w n2 -n 2",
        "-p alone -n 1; -p alone -n 1; -p alone -n 1; -p alone -n 1; -n 1; -p force -n 1",
        "-n 1; -p alone -w n1 -n 1; --exclusive -n 1; --exclusive -N 2; -n 2",
        "-p force --exclusive -n 1 -w n1; -p force -n 8 -w n1; -p force -n 1 -w n1",
        "-p force -n 2 -w n1; -p force --exclusive -n 1 -w n1; -p force -w n1 -n 6",
        "-p yes --exclusive -n 1 -w n1; -p yes -s -n 1 -w n1; -p yes -s -n 1",
        "-p force --mem=600 -w n1; -p force --mem=600 -w n1; -p force --mem=300 -w n1",
    ];
    let steps = scenarios(&ours, &theirs, &[&more[..], &STOPPED, &OVER_NODES, &USERS].concat());
    assert!(steps > 80, "{steps} steps");
    println!("{steps} steps of jobs that share cores: the same");
}

#[test]
fn jobs_share_nodes_as_the_real_controller_lets_them() {
    let test = "jobs_share_nodes_as_the_real_controller_lets_them";
    let more = "SelectType=select/linear\nSelectTypeParameters=CR_Memory\n";
    let Some((ours, theirs, _dir, _munged)) = both_with_kinds(test, more) else { return };
    let steps = scenarios(
        &ours,
        &theirs,
        &[
            "-p force --mem=10; -p force --mem=10; -p force --mem=10; -p force --mem=10; \
             -p force --mem=10 -N 2; -p force --mem=10",
            "-p three --mem=10 -N 2; -p three --mem=10 -N 2; -p three --mem=10; \
             -p three --mem=10 -N 3; -p three --mem=10 -N 2",
            "-p yes --mem=10 -w n1; -p yes -s --mem=10 -w n1; -p yes -s --mem=10 -w n2; \
             -p yes -s --mem=10 -w n2; -p yes -s --mem=10 -w n2; -p yes --mem=10 -w n2",
            "-p one --mem=10 -w n1; -p one --mem=10 -w n1; -p force --mem=10 -w n1",
            "--mem=10 -w n1; -p force --mem=10 -w n1; -p force --mem=10 -N 3",
            "-p alone --mem=10; -p alone --mem=10 -w n1; -p force --mem=10 -w n1",
            "-p force --mem=10 -w n1; -p three --mem=10 -w n1; -p three --mem=10 -w n1",
            "--mem=600 -w n1; suspend 1; --mem=300 -w n1; --mem=300 -w n1; resume 1; ends 2",
        ],
    );
    assert!(steps > 30, "{steps} steps");
    println!("{steps} steps of jobs that share nodes: the same");
}

#[test]
fn priorities_are_those_of_the_real_controller() {
    let test = "priorities_are_those_of_the_real_controller";
    let Some((real, _, dir, munged)) = programs(test) else { return };
    // Of the age there is next to nothing yet: Slurm looks at it every five minutes.
    let weights = "PriorityType=priority/multifactor\nPriorityWeightAge=10\n\
                   PriorityWeightJobSize=1000\nPriorityWeightPartition=5000\n\
                   PriorityWeightTRES=CPU=2000,Mem=3000,Node=700,Billing=40\n\
                   PartitionName=low Nodes=n[1-2] PriorityJobFactor=3\n\
                   PartitionName=high Nodes=n3 PriorityJobFactor=10 MaxTime=60\n";
    let mut compared = 0;
    for (at, more) in [
        "",
        "PriorityFavorSmall=YES\n",
        "PriorityFlags=SMALL_RELATIVE_TO_TIME\n",
        "PriorityFlags=SMALL_RELATIVE_TO_TIME,NO_NORMAL_PART\nPriorityFavorSmall=YES\n",
        "PriorityFlags=NO_NORMAL_TRES\n",
        "PriorityFlags=NO_NORMAL_ALL\n",
    ]
    .iter()
    .enumerate()
    {
        let last = format!("{weights}{more}");
        let place = |name: &str| dir.path().join(format!("{name}{at}"));
        let ours = without_agents(&place("o"), Path::new(OURS), &munged, true, &last);
        let theirs = without_agents(&place("t"), &real, &munged, false, &last);
        let (mut wrong, mut count) = (Vec::new(), 0);
        for options in [
            "-n 1",
            "-n 5 -N 2",
            "-N 3",
            "--mem=500",
            "--mem-per-cpu=100 -n 3",
            "--mem=0 -N 2",
            "-p low",
            "-p low -n 7 -t 10",
            "-p high -t 30",
            "--nice=100",
            "--nice=-50",
            "--nice=100000",
            "-t 10 -n 4 -c 2",
            "--exclusive",
            "--priority=77",
        ] {
            let shown = [&ours, &theirs].map(|lab| {
                let id = submit(&lab.controller, options, "true");
                until_said(&lab.controller, &format!("why job {id} waits"), || {
                    field(&lab.controller, &id, "Reason") != "None"
                });
                field(&lab.controller, &id, "Priority")
            });
            count += 1;
            if shown[0] != shown[1] {
                wrong.push(format!("{more}{options}: {}, and Slurm: {}", shown[0], shown[1]));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        compared += count;
    }
    println!("{compared} priorities: the same");
}
