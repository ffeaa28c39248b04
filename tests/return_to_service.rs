//! The handbook's table of `ReturnToService`, with agents that go and come back.
//!
//! The node has 4 CPUs and 500 MiB in slurm.conf. What its agent registers is what the agent's own
//! slurm.conf says; its memory is the machine's.
#![cfg(all(feature = "controller", feature = "agent", feature = "client"))]

#[path = "controller/agents.rs"]
#[allow(dead_code, reason = "every test binary uses a part of it")]
mod agents;
#[path = "controller/cluster.rs"]
#[allow(dead_code, reason = "every test binary uses a part of it")]
mod cluster;

use agents::ports_in_a_row;
use cluster::{Controller, Process, limited, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

const SLURMCTLD: &str = env!("CARGO_BIN_EXE_slurmctld");
const SLURMD: &str = env!("CARGO_BIN_EXE_slurmd");
const ALL: &str = "CPUs=4 RealMemory=500";
const LESS: &str = "CPUs=2 RealMemory=500";

struct Lab {
    controller: Controller,
    agent: Option<Process>,
    more: String,
    _dir: tempfile::TempDir,
}

impl Lab {
    fn start(value: u8) -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("lab");
        let more = format!(
            "SelectType=select/cons_tres\nSlurmdSpoolDir={0}/%n/spool\nSlurmdPidFile={0}/%n/pid\n\
             SlurmdTimeout=2\nReturnToService={value}\n\
             PartitionName=main Nodes=ALL Default=YES State=UP\n\
             NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={1}",
            place.display(),
            ports_in_a_row(1)
        );
        let mut controller = Controller::configure(place.clone(), "", &format!("{more} {ALL}\n"));
        let key = place.join("key");
        fs::write(&key, [9; 64]).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let own = format!("AuthKeyFile={}\n", key.display());
        fs::write(place.join("statedir.conf"), &own).unwrap();
        fs::create_dir_all(place.join("agent")).unwrap();
        fs::write(place.join("agent/statedir.conf"), own).unwrap();
        fs::create_dir_all(place.join("n1")).unwrap();
        controller.init();
        controller.start(Path::new(SLURMCTLD));
        Lab { controller, agent: None, more, _dir: dir }
    }

    /// An agent that registers that much, in place of the one before; it has registered.
    fn registers(&mut self, size: &str) {
        let before = self.node("SlurmdStartTime");
        drop(self.agent.take());
        let place = &self.controller.dir;
        let conf = place.join("agent/slurm.conf");
        let common = fs::read_to_string(self.controller.conf()).unwrap();
        let own = common.replace(ALL, size) + "SlurmdParameters=config_overrides\n";
        assert!(own.contains(&format!("{} {size}", self.more)));
        fs::write(&conf, own).unwrap();
        // Starts are told apart by the second.
        until("the next second", || self.stamp() != before);
        let child = Command::new(SLURMD)
            .args(["-D", "-N", "n1", "-f"])
            .arg(&conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(place.join("n1.log")).unwrap())
            .spawn()
            .unwrap();
        self.agent = Some(Process(child));
        until("it has registered", || self.node("SlurmdStartTime") != before);
    }

    /// Now, as scontrol writes it.
    fn stamp(&self) -> String {
        let said = limited::output(Command::new("date").arg("+%Y-%m-%dT%H:%M:%S"));
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }

    /// The agent dies, and is missed.
    fn is_silent(&mut self) {
        drop(self.agent.take());
        until("it is missed", || self.node("State").starts_with("DOWN"));
        assert!(self.run("scontrol", "show node n1").contains("Reason=Not responding"));
    }

    fn run(&self, program: &str, args: &str) -> String {
        let mut command = Command::new(Path::new(SLURMCTLD).with_file_name(program));
        command.args(args.split(' ')).stdin(Stdio::null());
        let ran = limited::output(command.env("SLURM_CONF", self.controller.conf()));
        String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap()
    }

    fn node(&self, field: &str) -> String {
        self.field("show node n1", field)
    }

    /// Its state, and what it waits for.
    fn job(&self, id: &str) -> (String, String) {
        let of = format!("show job {id}");
        (self.field(&of, "JobState"), self.field(&of, "Reason"))
    }

    fn field(&self, of: &str, field: &str) -> String {
        let said = self.run("scontrol", of);
        let mut words = said.split_whitespace();
        let found = words.find_map(|word| word.strip_prefix(&format!("{field}=")));
        found.unwrap_or_else(|| panic!("{field} in {said}")).to_owned()
    }

    fn is(&self) -> (String, String, String) {
        (self.node("State"), self.node("CPUTot"), self.node("RealMemory"))
    }

    fn admin_says_down(&self) {
        assert_eq!(self.run("scontrol", "update nodename=n1 state=down reason=fan"), "");
    }
}

fn all(state: &str) -> (String, String, String) {
    (state.into(), "4".into(), "500".into())
}

#[test]
fn value_0_node_stays_down_until_admin_intervention() {
    let mut lab = Lab::start(0);
    lab.registers(ALL);
    assert_eq!(lab.is(), all("IDLE"));
    lab.is_silent();
    lab.registers(ALL);
    assert_eq!(lab.is(), all("DOWN"));
    assert_eq!(lab.run("scontrol", "update nodename=n1 state=resume"), "");
    until("the admin has intervened", || lab.is() == all("IDLE"));
    lab.registers(LESS);
    assert_eq!(lab.is(), all("IDLE+DRAIN+INVALID_REG"));
}

#[test]
fn value_1_node_returns_if_it_re_registers_with_same_or_more_resources() {
    let mut lab = Lab::start(1);
    lab.registers(ALL);
    lab.is_silent();
    lab.registers(LESS);
    assert_eq!(lab.is(), all("DOWN+INVALID_REG"));
    lab.registers("CPUs=8 RealMemory=500");
    assert_eq!(lab.is(), all("IDLE"));
    lab.admin_says_down();
    lab.registers(ALL);
    assert_eq!(lab.is(), all("DOWN"), "an operator's DOWN stays");
}

#[test]
fn value_2_node_returns_if_it_re_registers_with_any_resources() {
    let mut lab = Lab::start(2);
    lab.registers(LESS);
    let less = ("IDLE".to_owned(), "2".to_owned(), "500".to_owned());
    assert_eq!(lab.is(), less, "the lesser of configured and registered");
    let wide = lab.run("sbatch", "-n 4 -o /dev/null --wrap true");
    let id = wide.trim().strip_prefix("Submitted batch job ").unwrap_or_else(|| panic!("{wide}"));
    until("it is looked at", || !lab.job(id).1.starts_with("None"));
    assert_eq!(
        lab.job(id),
        ("PENDING".to_owned(), "ReqNodeNotAvail,_UnavailableNodes:n1".to_owned())
    );
    lab.is_silent();
    lab.registers(LESS);
    assert_eq!(lab.is(), less);
    lab.admin_says_down();
    lab.registers(ALL);
    until("all of it is back, and used", || lab.job(id).0 == "COMPLETED");
    until("nothing runs any more", || lab.is() == all("IDLE"));
}
