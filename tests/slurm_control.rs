//! What users and operators do with jobs, partitions and nodes, by Slurm's real clients: the same
//! commands to our controller and to Slurm's own, which must say the same and show the same.
#![cfg(feature = "controller")]

#[path = "controller/agents.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod agents;
#[allow(dead_code, reason = "each test uses its part of the cluster")]
#[path = "controller/cluster.rs"]
mod cluster;
#[path = "programs/mod.rs"]
mod programs;

use agents::{Slurmd, node_lines, node_state, ports_in_a_row, until_node};
use cluster::{Controller, Munged, Said, until};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const OURS: &str = env!("CARGO_BIN_EXE_slurmctld");

/// Nobody listens where the agents should be: jobs wait, nodes are what operators say.
const CLUSTER: &str = "\
    SelectType=select/cons_tres\nSlurmdPort=1\nSlurmdTimeout=0\n\
    NodeName=n[1-2] CPUs=2 RealMemory=1000 NodeAddr=127.0.0.1\n\
    PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP\n\
    PartitionName=hold Nodes=n[1-2] State=DOWN MaxTime=60\n";

/// A munged, and a place for controllers.
struct Lab {
    _munged: Munged,
    auth_info: String,
    dir: tempfile::TempDir,
}

impl Lab {
    fn new(test: &str) -> Option<Lab> {
        let munged = programs::find("munged", test)?;
        programs::find("scontrol", test)?;
        let dir = tempfile::Builder::new().prefix("control").tempdir().unwrap();
        // Others ask, too.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let munged = Munged::start(&munged, dir.path());
        let auth_info = format!("AuthInfo=socket={}", munged.socket.display());
        Some(Lab { _munged: munged, auth_info, dir })
    }

    fn ours(&self, more: &str) -> Controller {
        let mut ours = Controller::configure(self.dir.path().join("ours"), &self.auth_info, more);
        ours.init();
        ours.start(Path::new(OURS));
        ours
    }

    fn theirs(&self, program: &Path, more: &str) -> Controller {
        let mut theirs = Controller::configure(self.dir.path().join("real"), &self.auth_info, more);
        theirs.start(program);
        until("the real controller answers", || ask(&theirs, "sinfo").code == 0);
        theirs
    }
}

fn command(controller: &Controller, line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words.map(|word| word.replace('~', " ")));
    command.env("SLURM_CONF", controller.conf()).env("TZ", "UTC").current_dir("/");
    command.stdin(Stdio::null());
    command
}

fn said(mut command: Command) -> Said {
    let output = cluster::limited::output(&mut command);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap_or(-1);
    Said { stdout: text(output.stdout), stderr: text(output.stderr), code }
}

/// Runs a real client; `~` stands for a blank within a word.
fn ask(controller: &Controller, line: &str) -> Said {
    said(command(controller, line))
}

/// The same, for a user who is nobody.
fn ask_as_nobody(controller: &Controller, line: &str) -> Said {
    let mut command = command(controller, line);
    command.uid(65_534).gid(65_534);
    said(command)
}

fn done() -> Said {
    Said { stdout: String::new(), stderr: String::new(), code: 0 }
}

/// Our controller and Slurm's own, and where they were not the same.
struct Both {
    ours: Controller,
    theirs: Controller,
    differ: Vec<String>,
}

impl Both {
    fn differ(&mut self, what: &str, own: &impl std::fmt::Debug, real: &impl std::fmt::Debug) {
        let (own, real) = (format!("{own:?}"), format!("{real:?}"));
        if own != real {
            self.differ.push(format!("{what}\n  ours   {own}\n  Slurm's {real}"));
        }
    }

    /// Both are asked, and say the same.
    fn ask(&mut self, line: &str) -> Said {
        let (own, real) = (ask(&self.ours, line), ask(&self.theirs, line));
        self.differ(line, &own, &real);
        own
    }

    /// Both show the same rows.
    fn show(&mut self, after: &str, shown: impl Fn(&Controller) -> Vec<String>) {
        let (own, real) = (shown(&self.ours), shown(&self.theirs));
        let only = |of: &[String], other: &[String]| -> Vec<String> {
            of.iter().filter(|row| !other.contains(row)).cloned().collect()
        };
        self.differ(&format!("after {after}"), &only(&own, &real), &only(&real, &own));
    }

    fn check(&self) {
        assert!(self.differ.is_empty(), "{}", self.differ.join("\n"));
    }
}

/// What is shown of jobs, task by task: without -r the client joins those that wait. Ids of single
/// tasks, times and reasons that the scheduler gives are left out.
const JOBS: &str = "squeue -h -a -r -t all -o %F_%K|%j|%P|%T|%l|%k|%D|%C|%p|%f|%n|%x|%B|%Y|%N";

/// The rows of [`JOBS`], one for each task, with a priority that is 0 or not. Slurm's own splits
/// tasks off for requests that it refuses, and keeps an empty record of an array.
fn jobs(controller: &Controller, without: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for row in ask(controller, JOBS).stdout.lines() {
        let mut fields: Vec<&str> = row.split('|').collect();
        fields[8] = if fields[8].trim_matches(['0', '.']).is_empty() { "held" } else { "counts" };
        let (id, tasks) = fields[0].split_once('_').unwrap();
        let rest = fields[1..].join("|");
        let tasks = tasks.split('%').next().unwrap();
        if (id, tasks) == ("3", "N/A") {
            continue;
        }
        for task in tasks.split(',') {
            let (first, last) = task.split_once('-').unwrap_or((task, task));
            match (first.parse::<u32>(), last.parse::<u32>()) {
                (Ok(first), Ok(last)) => {
                    found.extend((first..=last).map(|task| format!("{id}_{task}|{rest}")));
                }
                _ => found.push(format!("{id}|{rest}")),
            }
        }
    }
    found.retain(|row| !without.iter().any(|id| row.starts_with(id)));
    found.sort_unstable();
    found
}

#[test]
fn jobs_are_controlled_as_under_slurms_own_controller() {
    let test = "jobs_are_controlled_as_under_slurms_own_controller";
    let Some(lab) = Lab::new(test) else { return };
    let Some(real) = programs::find("slurmctld", test) else { return };
    let (ours, theirs) = (lab.ours(CLUSTER), lab.theirs(&real, CLUSTER));
    let mut both = Both { ours, theirs, differ: Vec::new() };
    for line in [
        "sbatch -H -J a --wrap hostname",
        "sbatch -J b -p hold --wrap hostname",
        "sbatch -J arr --array=1-6%2 --wrap hostname",
        "sbatch -J late --begin=now+1hour --wrap hostname",
        "sbatch -J dep -d afterok:1 --no-requeue --wrap hostname",
    ] {
        assert_eq!(both.ask(line).code, 0, "{line}");
    }
    both.show("sbatch", |of| jobs(of, &[]));
    for line in [
        "scontrol hold 2",
        "scontrol release 2",
        "scontrol uhold 2",
        "scontrol update jobid=1 priority=100",
        "scontrol release 1",
        "scontrol update jobid=1 priority=100",
        "scontrol update jobid=4 timelimit=10",
        "scontrol update jobid=4 nosuch=1",
        "scontrol update jobid=99999 priority=1",
        "scontrol requeue 1",
        "scontrol requeue 99999",
        "scontrol suspend 1",
        "scontrol resume 1",
        "scontrol hold 99999",
        "scontrol hold jobname=late",
        "scontrol release 4",
        "scontrol update jobid=4 jobname=x comment=y nice=10 requeue=0",
        "scontrol update jobid=4 partition=hold numnodes=2 numcpus=4",
        "scontrol update jobid=4 minmemorynode=100 numtasks=2",
        "scontrol update jobid=4 partition=nope",
        "scontrol update jobid=4 reqnodelist=n9",
        "scontrol update jobid=4 reqnodelist=n1 excnodelist=n2",
        "scontrol update jobid=4 excnodelist=",
        "scontrol update jobid=4 starttime=now+2hours",
        "scontrol update jobid=4 oversubscribe=yes",
        "scontrol update jobid=4 numnodes=0",
        "scontrol update jobid=4 endtime=now+1hour",
        "scontrol update jobid=4 dependency=afterok:x",
        "scontrol update jobid=5 dependency=",
        "scontrol update jobid=3 arraytaskthrottle=1",
        "scontrol update jobid=3 comment=all",
        "scontrol hold 3_2",
        "scontrol update jobid=3_[1-2,9] comment=some",
        "scontrol update jobid=3_7 comment=none",
        "scontrol requeue 3",
        "scontrol requeue 3_1",
        "scontrol suspend 3",
        "scontrol top 5",
    ] {
        both.ask(line);
        both.show(line, |of| jobs(of, &[]));
    }
    // Nobody may.
    for line in [
        "scancel 1",
        "scancel 3_1",
        "scontrol hold 1",
        "scontrol release 2",
        "scontrol requeue 1",
        "scontrol suspend 1",
        "scontrol update jobid=1 comment=mine",
        "scontrol update jobid=3_3 comment=mine",
        "scontrol update partitionname=main state=down",
        "scontrol delete partitionname=hold",
        "scontrol update nodename=n1 state=resume",
        "scontrol top 1",
    ] {
        let (own, real) = (ask_as_nobody(&both.ours, line), ask_as_nobody(&both.theirs, line));
        both.differ(&format!("as nobody: {line}"), &own, &real);
        assert_ne!(own, done(), "{line}");
        both.show(line, |of| jobs(of, &[]));
    }
    for line in [
        "scancel 3_6",
        "scancel 3_[4-5]",
        "scancel 3_9",
        "scancel 3_2",
        "scancel 4",
        "scancel 4",
        "scancel 99999",
        "scancel abc",
        "scancel",
        "scancel -v 5",
        "scancel -p hold",
        "scancel -n a",
        "scancel 3",
        "scontrol update jobid=4 comment=late",
        "scontrol hold 4",
        "scontrol requeue 5",
        "scontrol requeuehold 1",
    ] {
        both.ask(line);
        // Slurm's own forgets tasks that are cancelled alone; here they are shown as cancelled.
        let alone = ["3_4", "3_5", "3_6"];
        both.show(line, |of| jobs(of, &alone));
    }
    both.check();
    assert!(ask(&both.ours, JOBS).stdout.contains("3_4|arr|main|CANCELLED"));
}

fn partition_fields(controller: &Controller) -> Vec<String> {
    let shown = ask(controller, "scontrol -o -a show partition").stdout;
    let mut rows: Vec<String> = shown.lines().map(str::to_owned).collect();
    rows.sort_unstable();
    rows
}

#[test]
fn partitions_and_nodes_change_as_under_slurms_own_controller_and_stay_so() {
    let test = "partitions_and_nodes_change_as_under_slurms_own_controller_and_stay_so";
    let Some(lab) = Lab::new(test) else { return };
    let Some(real) = programs::find("slurmctld", test) else { return };
    let (ours, theirs) = (lab.ours(CLUSTER), lab.theirs(&real, CLUSTER));
    let mut both = Both { ours, theirs, differ: Vec::new() };
    // Of a list with a node that is not there Slurm's own makes a partition without nodes.
    assert_ne!(ask(&both.ours, "scontrol update partitionname=main nodes=n9"), done());
    // Slurm's own pings, and nobody answers: its asterisks are not compared.
    let nodes = |controller: &Controller| {
        let line = "sinfo -h -a -N -o %N|%P|%T|%w|%f|%b|%E";
        let shown = ask(controller, line).stdout.replace('*', "");
        // sinfo looks at partitions in parallel: equals come in any order.
        let mut rows: Vec<String> = shown.lines().map(str::to_owned).collect();
        rows.sort_unstable();
        rows
    };
    for line in [
        "sbatch -H -p hold --wrap hostname",
        "scontrol update partitionname=hold state=up",
        "scontrol update partitionname=hold state=inactive maxtime=30 defaulttime=20",
        "scontrol update partitionname=hold defaulttime=40",
        "scontrol create partitionname=new nodes=n1 maxtime=10 prioritytier=5",
        "scontrol create partitionname=new nodes=n1",
        "scontrol update partitionname=main maxnodes=1 allowgroups=root hidden=yes",
        "scontrol update partitionname=main nodes=n2 rootonly=yes oversubscribe=force:3",
        "scontrol update partitionname=new default=yes defmempernode=100 denyaccounts=x",
        "scontrol update partitionname=new allowgroups=ALL alternate=main",
        "scontrol update partitionname=nope state=up",
        "scontrol delete partitionname=hold",
        "scontrol delete partitionname=nope",
        "scontrol create partitionname=gone nodes=ALL",
        "scontrol delete partitionname=gone",
    ] {
        both.ask(line);
        both.show(line, partition_fields);
    }
    for line in [
        "scontrol update nodename=n1 state=drain",
        "scontrol update nodename=n1 state=drain reason=disk~bad",
        "scontrol update nodename=n1 weight=5",
        "scontrol update nodename=n1 features=x,y",
        "scontrol update nodename=n1 activefeatures=y",
        "scontrol update nodename=n1 activefeatures=z",
        "scontrol update nodename=n1 comment=c",
        "scontrol update nodename=n1 state=power_down",
        "scontrol update nodename=n9 state=idle",
        "scontrol update nodename=n2 state=down reason=test",
        "scontrol update nodename=n2 state=idle",
    ] {
        both.ask(line);
        both.show(line, nodes);
    }
    both.check();
    let all = |ours: &Controller| (partition_fields(ours), nodes(ours), jobs(ours, &[]));
    let before = all(&both.ours);
    both.ours.kill();
    both.ours.start(Path::new(OURS));
    assert_eq!(all(&both.ours), before);
    // Slurm's own forgets at a reconfigure what slurm.conf says otherwise; so do we.
    both.ask("scontrol reconfigure");
    both.show("scontrol reconfigure", partition_fields);
    both.show("scontrol reconfigure", nodes);
    both.check();
}

#[test]
fn nodes_and_partitions_come_and_go_with_slurm_conf() {
    let test = "nodes_and_partitions_come_and_go_with_slurm_conf";
    let Some(lab) = Lab::new(test) else { return };
    let ours = lab.ours(CLUSTER);
    assert_eq!(ask(&ours, "scontrol update nodename=n2 state=drain reason=fan"), done());
    assert_eq!(ask(&ours, "scontrol create partitionname=made nodes=n1"), done());
    assert_eq!(ask(&ours, "sbatch -H -p made --wrap hostname").code, 0);
    let nodes = || ask(&ours, "sinfo -h -a -o %P|%N").stdout.replace('*', "");
    let more = "NodeName=n3 CPUs=2 NodeAddr=127.0.0.1\nPartitionName=third Nodes=n3\n";
    ours.write_conf(&lab.auth_info, &format!("{CLUSTER}{more}"));
    assert_eq!(ask(&ours, "scontrol reconfigure"), done());
    assert!(nodes().contains("third|n3"), "{}", nodes());
    assert!(nodes().contains("made|n1"), "a job needs it: {}", nodes());
    let fewer = CLUSTER.replace("n[1-2]", "n1").replace("SlurmdPort=1", "SlurmctldTimeout=60");
    ours.write_conf(&lab.auth_info, &fewer);
    assert_eq!(ask(&ours, "scontrol reconfigure"), done());
    assert!(!nodes().contains("n2") && !nodes().contains("third"), "{}", nodes());
    ours.write_conf(&lab.auth_info, CLUSTER);
    assert_eq!(ask(&ours, "scontrol reconfigure"), done());
    assert!(ask(&ours, "sinfo -h -R -o %E|%N").stdout.contains("fan|n2"), "it is known still");
    // A mistake: everything stays.
    ours.write_conf(&lab.auth_info, &format!("{CLUSTER}PartitionName=x Nodes=n9\n"));
    assert_ne!(ask(&ours, "scontrol reconfigure").code, 0);
    assert!(ours.log().contains("the old configuration stays"));
    ours.write_conf(&lab.auth_info, CLUSTER);
    assert!(nodes().contains("main|n[1-2]"), "{}", nodes());
}

#[test]
fn old_jobs_are_forgotten_and_what_others_wait_for_is_not() {
    let test = "old_jobs_are_forgotten_and_what_others_wait_for_is_not";
    let Some(lab) = Lab::new(test) else { return };
    let ours = lab.ours(&format!("MinJobAge=1\n{CLUSTER}"));
    for line in ["sbatch -H --wrap hostname", "sbatch -H --wrap hostname"] {
        assert_eq!(ask(&ours, line).code, 0);
    }
    assert_eq!(ask(&ours, "sbatch -H -d afterany:2 --wrap hostname").code, 0);
    assert_eq!(ask(&ours, "scancel 1 2"), done());
    until("job 1 is forgotten", || ask(&ours, "scontrol show job 1").code != 0);
    let script = ask(&ours, "scontrol write batch_script 1 -");
    assert!(!script.stdout.contains("hostname"), "and its script: {script:?}");
    assert!(ask(&ours, "scontrol write batch_script 2 -").stdout.contains("hostname"));
    assert_eq!(state(&ours, "2"), "CANCELLED", "a job waits for it");
    assert_eq!(ask(&ours, "scancel 3"), done());
    until("job 2 is forgotten", || ask(&ours, "scontrol show job 2").code != 0);
    assert_eq!(ask(&ours, "sbatch -H --wrap hostname").stdout, "Submitted batch job 4\n");
}

/// Our controller and slurmds.
fn agents(lab: &Lab, test: &str, count: u16) -> Option<(Controller, Vec<Slurmd>)> {
    let slurmd: PathBuf = programs::find("slurmd", test)?;
    let place = lab.dir.path().join("ours");
    let lines = node_lines(&place, count, ports_in_a_row(count), "CPUs=4 RealMemory=100");
    let ours = lab.ours(&lines);
    let start = |at| Slurmd::start(&slurmd, &ours, &format!("n{at}"));
    let slurmds: Vec<Slurmd> = (1..=count).map(start).collect();
    slurmds.iter().for_each(|slurmd| until_node(&ours, &slurmd.name, "idle"));
    Some((ours, slurmds))
}

fn state(ours: &Controller, id: &str) -> String {
    ask(ours, &format!("squeue -h -a -t all -j {id} -o %T")).stdout.trim().to_owned()
}

fn until_state(ours: &Controller, id: &str, wanted: &str) {
    until(&format!("job {id} is {wanted}: {}", ours.log()), || state(ours, id) == wanted);
}

#[test]
fn jobs_that_run_are_signalled_stopped_queued_again_and_cancelled() {
    let test = "jobs_that_run_are_signalled_stopped_queued_again_and_cancelled";
    let Some(lab) = Lab::new(test) else { return };
    let Some((ours, _slurmds)) = agents(&lab, test, 1) else { return };
    let out = lab.dir.path().join("out");
    let script = lab.dir.path().join("job.sh");
    let text = format!(
        "#!/bin/sh\ntrap 'echo heard >> {out}' USR1\necho began >> {out}\n\
         while :; do sleep 0.1; done\n",
        out = out.display()
    );
    std::fs::write(&script, text).unwrap();
    let lines = |word: &str| {
        let text = std::fs::read_to_string(&out).unwrap_or_default();
        text.lines().filter(|line| *line == word).count()
    };
    let submit = format!("sbatch -o /dev/null --requeue {}", script.display());
    assert_eq!(ask(&ours, &submit).stdout, "Submitted batch job 1\n");
    until("it began", || lines("began") == 1);
    assert_eq!(ask(&ours, "scancel -b -s USR1 1"), done());
    until("it heard the signal", || lines("heard") == 1);
    assert_eq!(ask(&ours, "scontrol suspend 1"), done());
    assert_eq!(state(&ours, "1"), "SUSPENDED");
    assert_eq!(ask(&ours, "scontrol resume 1"), done());
    assert_eq!(state(&ours, "1"), "RUNNING");
    assert_eq!(ask(&ours, "scontrol update jobid=1 timelimit=30"), done());
    assert_eq!(ask(&ours, "scontrol requeuehold 1"), done());
    until_state(&ours, "1", "PENDING");
    let shown = ask(&ours, "scontrol show job 1").stdout;
    assert!(shown.contains("Restarts=1") && shown.contains("Priority=0"), "{shown}");
    until("its node is clean", || node_state(&ours, "n1") == "idle");
    assert_eq!(ask(&ours, "scontrol release 1"), done());
    until("it began again", || lines("began") == 2);
    assert_eq!(ask(&ours, "scancel 1"), done());
    until_state(&ours, "1", "CANCELLED");
    assert_eq!(ask(&ours, "scancel 1"), done(), "as Slurm says: nothing");
    let shown = ask(&ours, "scontrol show job 1").stdout;
    assert!(shown.contains("JobState=CANCELLED Reason=None"), "{shown}");
    assert!(shown.contains("ExitCode=0:15"), "{shown}");
    until("its node is clean", || node_state(&ours, "n1") == "idle");
}
