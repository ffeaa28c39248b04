//! Real slurmds under our controller, each with its own spool, log and port.

use crate::cluster::{Controller, Process, until};

pub use crate::cluster::ports::in_a_row as ports_in_a_row;
use leftovers::Marks;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[path = "leftovers.rs"]
pub mod leftovers;

/// One slurmd. When it goes, so does all that it started.
pub struct Slurmd {
    pub name: String,
    dir: PathBuf,
    conf: PathBuf,
    program: PathBuf,
    process: Option<Process>,
}

/// Lines of slurm.conf for slurmds on this host.
pub fn node_lines(dir: &Path, count: u16, first: u16, more: &str) -> String {
    let last = first + count - 1;
    let dir = dir.display();
    format!(
        "CredType=cred/munge\nSelectType=select/cons_tres\n\
         SlurmdParameters=config_overrides\nTaskPlugin=task/none\n\
         SlurmdSpoolDir={dir}/%n/spool\nSlurmdPidFile={dir}/%n/pid\n\
         NodeName=n[1-{count}] NodeHostname=localhost NodeAddr=127.0.0.1 \
         Port=[{first}-{last}] {more}\n\
         PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
    )
}

impl Slurmd {
    /// Starts a slurmd.
    pub fn start(program: &Path, controller: &Controller, name: &str) -> Slurmd {
        let dir = controller.dir.join(name);
        std::fs::create_dir(&dir).unwrap();
        let (program, conf) = (program.to_owned(), controller.conf());
        let mut slurmd = Slurmd { name: name.to_owned(), dir, conf, program, process: None };
        slurmd.again();
        slurmd
    }

    /// Starts it again.
    pub fn again(&mut self) {
        let mut log = std::fs::File::options();
        let log = log.append(true).create(true).open(self.dir.join("log")).unwrap();
        let child = Command::new(&self.program)
            .args(["-D", "-vv", "-N", &self.name])
            .env("SLURM_CONF", &self.conf)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(Process(child));
    }

    /// SIGKILL. What it started goes on.
    pub fn kill(&mut self) {
        drop(self.process.take());
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").0.id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// What tells its processes.
    pub fn marks(&self) -> Marks<'_> {
        Marks { dir: &self.dir, conf: &self.conf, node: &self.name }
    }
}

impl Drop for Slurmd {
    fn drop(&mut self) {
        self.kill();
        self.marks().end();
    }
}

/// What `sinfo` says of the nodes: their state, in the long form.
pub fn node_state(controller: &Controller, node: &str) -> String {
    let said = controller.run(&format!("sinfo -h -n {node} -N -o %T"));
    said.stdout.lines().next().unwrap_or("").to_owned()
}

/// Waits until a node is in a state.
pub fn until_node(controller: &Controller, node: &str, state: &str) {
    let mut last = String::new();
    until_said(controller, &format!("{node} is {state}"), || {
        last = node_state(controller, node);
        last == state
    });
}

/// Waits, and shows the controller's log when it does not come.
pub fn until_said(controller: &Controller, what: &str, ready: impl FnMut() -> bool) {
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| until(what, ready)));
    assert!(waited.is_ok(), "never: {what}\n{}", controller.log());
}
