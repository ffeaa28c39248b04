//! A whole cluster of our own: controller, agents and clients, with a key file for credentials. No
//! Slurm package and no root is needed.
#![cfg(all(feature = "controller", feature = "agent", feature = "client"))]

#[path = "controller/agents.rs"]
#[allow(dead_code, reason = "every test binary uses a part of it")]
mod agents;
#[path = "controller/cluster.rs"]
#[allow(dead_code, reason = "every test binary uses a part of it")]
mod cluster;

use agents::leftovers::Marks;
use agents::{node_lines, ports_in_a_row};
use cluster::{Controller, Process, limited, until};
use statedir::base::Local;
use statedir::{Options, Store};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

const SLURMCTLD: &str = env!("CARGO_BIN_EXE_slurmctld");
const SLURMD: &str = env!("CARGO_BIN_EXE_slurmd");

struct Lab {
    controller: Controller,
    agents: Vec<Process>,
    dir: tempfile::TempDir,
}

impl Lab {
    /// Two agents of two CPUs.
    fn start() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("lab");
        let first = ports_in_a_row(2);
        let nodes = node_lines(&place, 2, first, "CPUs=2 RealMemory=500");
        let mut controller = Controller::configure(place.clone(), "", &nodes);
        let key = place.join("key");
        fs::write(&key, [9; 64]).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let own = format!("AuthKeyFile={}\n", key.display());
        fs::write(place.join("statedir.conf"), own).unwrap();
        controller.init();
        controller.start(Path::new(SLURMCTLD));
        let agents = ["n1", "n2"].map(|name| agent(&place, name)).into();
        let lab = Lab { controller, agents, dir };
        until("both nodes are idle", || lab.run("sinfo", &["-h"]).contains(" 2   idle "));
        lab
    }

    /// What a client of ours prints.
    fn run(&self, program: &str, args: &[&str]) -> String {
        let path = Path::new(SLURMCTLD).with_file_name(program);
        let mut command = Command::new(path);
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        let ran = limited::output(command.env("SLURM_CONF", self.controller.conf()));
        String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap()
    }

    fn submit(&self, script: &str) -> String {
        let said = self.run("sbatch", &["--wrap", script]);
        let id = said.trim().strip_prefix("Submitted batch job ");
        id.unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    fn until_over(&self, id: &str, state: &str) {
        let wanted = format!("JobState={state} ");
        until("the job ends as it should", || {
            self.run("scontrol", &["show", "job", id]).contains(&wanted)
        });
    }
}

impl Drop for Lab {
    /// What the agents started goes with them.
    fn drop(&mut self) {
        self.agents.clear();
        for node in ["n1", "n2"] {
            let (dir, conf) = (self.controller.dir.join(node), self.controller.conf());
            Marks { dir: &dir, conf: &conf, node }.end();
        }
    }
}

fn agent(place: &Path, name: &str) -> Process {
    fs::create_dir_all(place.join(name)).unwrap();
    let child = Command::new(SLURMD)
        .args(["-D", "-N", name, "-f"])
        .arg(place.join("slurm.conf"))
        .current_dir(place.join(name))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(place.join(format!("{name}.log"))).unwrap())
        .spawn()
        .unwrap();
    Process(child)
}

#[test]
fn jobs_run_to_their_end_and_their_exit_codes_are_recorded() {
    let lab = Lab::start();
    let (good, bad) = (lab.submit("echo one; exit 0"), lab.submit("echo two; exit 3"));
    lab.until_over(&good, "COMPLETED");
    lab.until_over(&bad, "FAILED");
    assert!(lab.run("scontrol", &["show", "job", &bad]).contains("ExitCode=3:0"));
    let output = |id: &str| fs::read_to_string(lab.dir.path().join(format!("slurm-{id}.out")));
    assert_eq!((output(&good).unwrap(), output(&bad).unwrap()), ("one\n".into(), "two\n".into()));
    let long = lab.submit("sleep 600");
    until("it runs", || lab.run("squeue", &["-h"]).contains(" R "));
    assert_eq!(lab.run("scancel", &[&long]), "");
    lab.until_over(&long, "CANCELLED");
}

/// Each start of a controller is a new epoch; what an agent has obeyed, no older one commands.
#[test]
fn an_agent_keeps_the_epoch_that_it_obeyed_and_takes_no_job_of_an_older_one() {
    let mut lab = Lab::start();
    let kept = |lab: &Lab, node: &str| {
        let path = lab.controller.dir.join(node).join("spool/epoch");
        fs::read_to_string(path).ok().map(|text| text.trim().parse::<u64>().unwrap())
    };
    let epoch = |lab: &mut Lab| {
        lab.controller.stop();
        let (state, options) = (lab.controller.state(), Options::default());
        let store = Store::open(&state, options, Arc::new(Local)).unwrap();
        store.epoch().0
    };
    let on_first = |lab: &Lab, script: &str| {
        let said = lab.run("sbatch", &["-w", "n1", "--wrap", script]);
        said.trim().rsplit(' ').next().unwrap().to_owned()
    };
    let job = on_first(&lab, "exit 0");
    lab.until_over(&job, "COMPLETED");
    let first = kept(&lab, "n1").expect("a launch names the epoch");
    assert_eq!(kept(&lab, "n2"), None, "nothing was commanded there");
    assert!(epoch(&mut lab) > first, "opening the store began another");
    lab.controller.start(Path::new(SLURMCTLD));
    let long = on_first(&lab, "sleep 600");
    until("it runs", || lab.run("squeue", &["-h"]).contains(" R "));
    until("the epoch is kept", || kept(&lab, "n1") > Some(first + 1));
    // The agent has obeyed a controller that this one knows nothing of.
    lab.agents.remove(0);
    fs::write(lab.controller.dir.join("n1/spool/epoch"), "1000000\n").unwrap();
    let place = lab.controller.dir.clone();
    lab.agents.push(agent(&place, "n1"));
    let refused = on_first(&lab, "exit 0");
    let node = || lab.run("scontrol", &["show", "node", "n1"]);
    until("its node is drained", || node().contains("DRAIN"));
    assert!(node().contains("Reason=Its agent has obeyed a later controller"), "{}", node());
    lab.until_over(&refused, "PENDING");
    assert!(lab.run("scontrol", &["show", "job", &refused]).contains("Restarts=0"));
    assert_eq!(lab.run("scancel", &[&long]), "");
    until("its end is refused, too", || {
        lab.controller.log().contains(&format!("node n1 does not end job {long}"))
    });
    // Once an operator says so, this one is obeyed.
    lab.agents.pop();
    fs::remove_file(lab.controller.dir.join("n1/spool/epoch")).unwrap();
    lab.agents.push(agent(&place, "n1"));
    assert_eq!(lab.run("scontrol", &["update", "nodename=n1", "state=resume"]), "");
    lab.until_over(&long, "CANCELLED");
    lab.until_over(&refused, "COMPLETED");
}

#[test]
fn local_only_a_running_job_survives_kill_9_of_controller_and_agent_and_runs_once() {
    let mut lab = Lab::start();
    let go = lab.dir.path().join("go");
    let script =
        format!("echo begun; while [ ! -e {} ]; do sleep 0.05; done; exit 5", go.display());
    let ids = [lab.submit(&script), lab.submit(&script), lab.submit(&script)];
    let output = |lab: &Lab, id: &str| {
        fs::read_to_string(lab.dir.path().join(format!("slurm-{id}.out"))).unwrap_or_default()
    };
    until("all of them run", || ids.iter().all(|id| output(&lab, id) == "begun\n"));
    lab.controller.kill();
    lab.agents.clear();
    lab.controller.start(Path::new(SLURMCTLD));
    let place = lab.controller.dir.clone();
    lab.agents = ["n1", "n2"].map(|name| agent(&place, name)).into();
    fs::write(&go, "").unwrap();
    for id in &ids {
        lab.until_over(id, "FAILED");
        let shown = lab.run("scontrol", &["show", "job", id]);
        assert!(shown.contains("ExitCode=5:0") && shown.contains("Restarts=0"), "{shown}");
        assert_eq!(output(&lab, id), "begun\n", "it ran once");
    }
}
