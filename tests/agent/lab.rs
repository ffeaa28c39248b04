//! One munged, one slurmctld, Slurm's own or ours, agents of ours or real ones, in a temporary
//! directory.

use crate::cluster::{Munged, Process, limited, ports, until};
use crate::programs;
use leftovers::Marks;
use statedir::slurm::auth::Auth;
use statedir::slurm::auth::munge::{Info, Munge};
use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

#[path = "../controller/leftovers.rs"]
mod leftovers;

pub const OURS: &str = env!("CARGO_BIN_EXE_slurmd");

/// Whose controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Slurm's own.
    Real,
    /// Ours.
    Own,
}

/// Whose clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hands {
    /// Slurm's own.
    Real,
    /// Ours.
    Own,
}

/// A cluster.
pub struct Lab {
    dir: tempfile::TempDir,
    munged: Munged,
    pub head: Head,
    slurmctld: PathBuf,
    controller: Option<Process>,
    pub port: u16,
    pub agent_ports: [u16; 2],
}

/// Whether this is root, who may run jobs of others.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn own_name() -> String {
    let output = limited::output(Command::new("id").arg("-un"));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Lab {
    /// A cluster of two nodes, n1 and n2, without agents, under Slurm's own controller; `None`: a
    /// program is missing.
    pub fn new(test: &str, more: &str) -> Option<Lab> {
        Lab::under(Head::Real, test, more)
    }

    /// The same under Slurm's own controller, and then under ours.
    pub fn both(test: &str, more: &str) -> impl Iterator<Item = Lab> {
        [Head::Real, Head::Own].into_iter().filter_map(move |head| Lab::under(head, test, more))
    }

    /// The same under this one.
    pub fn under(head: Head, test: &str, more: &str) -> Option<Lab> {
        let munged = programs::find("munged", test)?;
        let slurmctld = match head {
            Head::Real => programs::find("slurmctld", test)?,
            Head::Own => PathBuf::from(env!("CARGO_BIN_EXE_slurmctld")),
        };
        programs::find("sbatch", test)?;
        let dir = tempfile::Builder::new().prefix("agent").tempdir().unwrap();
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        open(dir.path(), 0o755);
        for name in ["out", "state", "spool"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        open(&dir.path().join("out"), 0o777);
        if head == Head::Own {
            let state = dir.path().join("state");
            open(&state, 0o700);
            statedir::Store::create(&state, &statedir::Options::default()).unwrap();
        }
        let munged = Munged::start(&munged, dir.path());
        let first = ports::in_a_row(3);
        let (port, agent_ports) = (first, [first + 1, first + 2]);
        let mut lab = Lab { dir, munged, head, slurmctld, controller: None, port, agent_ports };
        lab.write_conf(more);
        lab.start_controller();
        Some(lab)
    }

    pub fn write_conf(&self, more: &str) {
        let (dir, user) = (self.dir.path().display(), own_name());
        let ([one, two], port) = (self.agent_ports, self.port);
        let text = format!(
            "ClusterName=lab\nSlurmctldHost=localhost(127.0.0.1)\nSlurmctldPort={port}\n\
             SlurmUser={user}\nSlurmdUser={user}\nAuthType=auth/munge\n\
             AuthInfo=socket={dir}/munge.sock\nCredType=cred/munge\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\n\
             StateSaveLocation={dir}/state\nSlurmdSpoolDir={dir}/spool/%n\n\
             SlurmctldPidFile={dir}/ctld.pid\nSlurmdPidFile={dir}/slurmd-%n.pid\n\
             SlurmctldLogFile={dir}/ctld.log\nSlurmctldDebug=debug\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nReturnToService=2\n\
             MailProg=/bin/true\nSlurmdParameters=config_overrides\nKillWait=5\n\
             MessageTimeout=20\nFirstJobId=710001\n\
             SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=1\n\
             NodeName=DEFAULT CPUs=16 RealMemory=4000\n\
             NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={one}\n\
             NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={two}\n\
             PartitionName=main Nodes=n[1-2] Default=YES State=UP\n{more}"
        );
        fs::write(self.path("slurm.conf"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn auth(&self) -> Auth {
        let info = Info { socket: Some(self.munged.socket.clone()), ttl_s: None };
        Auth::Munge(Munge::load(info).unwrap())
    }

    /// Starts slurmctld, and waits until it answers. It writes ctld.log, with `-D` too.
    pub fn start_controller(&mut self) {
        let child = Command::new(&self.slurmctld)
            .args(["-D", "-f"])
            .arg(self.path("slurm.conf"))
            .env("SLURM_CONF", self.path("slurm.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.controller = Some(Process(child));
        until("slurmctld answers", || self.run("scontrol ping").contains("is UP"));
    }

    /// SIGKILL. Slurm's own would lose what it acknowledged.
    pub fn kill_controller(&mut self) {
        drop(self.controller.take());
    }

    /// SIGTERM: it saves its state. (Killed, Slurm's own would lose what it acknowledged.)
    pub fn stop_controller(&mut self) {
        self.controller.take().unwrap().stop();
    }

    /// Starts an agent, and waits until its node is in service.
    pub fn agent(&self, program: &Path, node: &str) -> Process {
        let process = self.agent_alone(program, node);
        let port = self.agent_ports[usize::from(node == "n2")];
        until("the agent listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        until("the node is in service", || {
            let state = self.run(&format!("sinfo -h -n {node} -o %T"));
            ["idle", "mixed", "allocated", "completing", "draining", "drained"]
                .contains(&state.trim())
        });
        process
    }

    /// Starts an agent.
    pub fn agent_alone(&self, program: &Path, node: &str) -> Process {
        fs::create_dir_all(self.path("spool").join(node)).unwrap();
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.path(&format!("{node}.log")))
            .unwrap();
        let child = Command::new(program)
            .args(["-D", "-N", node, "-f"])
            .arg(self.path("slurm.conf"))
            .env("SLURM_CONF", self.path("slurm.conf"))
            .current_dir(self.path("spool").join(node))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Process(child)
    }

    /// Both nodes' agents are ours.
    pub fn ours(&self) -> [Process; 2] {
        ["n1", "n2"].map(|node| self.agent(Path::new(OURS), node))
    }

    pub fn log(&self, node: &str) -> String {
        fs::read_to_string(self.path(&format!("{node}.log"))).unwrap_or_default()
    }

    fn command(&self, line: &str) -> Command {
        self.command_of(Hands::Real, line)
    }

    fn command_of(&self, hands: Hands, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let program = Path::new(words.next().unwrap());
        let mut command = match hands {
            Hands::Real => Command::new(program),
            Hands::Own => Command::new(Path::new(OURS).with_file_name(program)),
        };
        command.args(words.map(|word| word.replace('~', " ")));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/bin");
        command.env("SLURM_CONF", self.path("slurm.conf")).env("TZ", "UTC");
        command.current_dir(self.path("out")).stdin(Stdio::null());
        command
    }

    /// Runs a real client; `~` stands for a blank within a word. What it printed.
    pub fn run(&self, line: &str) -> String {
        text(&limited::output(&mut self.command(line)))
    }

    /// The same with these clients.
    pub fn run_by(&self, hands: Hands, line: &str) -> String {
        text(&limited::output(&mut self.command_of(hands, line)))
    }

    /// Submits a script by these clients; its job.
    pub fn submit_by(&self, hands: Hands, options: &str, script: &str) -> u32 {
        self.submitted(self.command_of(hands, &format!("sbatch --parsable {options}")), script)
    }

    /// Submits a script; its job.
    pub fn submit(&self, options: &str, script: &str) -> u32 {
        self.submitted(self.command(&format!("sbatch --parsable {options}")), script)
    }

    /// As [`Lab::submit`], as another user; only root can.
    pub fn submit_as(&self, uid: u32, gid: u32, options: &str, script: &str) -> u32 {
        let mut command = self.command(&format!("sbatch --parsable {options}"));
        command.uid(uid).gid(gid);
        self.submitted(command, script)
    }

    fn submitted(&self, mut command: Command, script: &str) -> u32 {
        let text_of = format!("#!/bin/bash\n{script}\n");
        let said = text(&limited::output_of(&mut command, text_of.as_bytes()));
        said.trim().parse().unwrap_or_else(|_| panic!("sbatch says {said}"))
    }

    /// A field of `scontrol show job`.
    pub fn field(&self, job: &str, name: &str) -> String {
        let said = self.run(&format!("scontrol -o show job {job}"));
        let word =
            said.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        word.unwrap_or_else(|| panic!("{name} is not in {said}")).to_owned()
    }

    /// State and exit code, when it has ended and nothing of it is left.
    pub fn ended(&self, job: impl std::fmt::Display) -> (String, String) {
        let job = job.to_string();
        self.wait_state(&job, &["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"]);
        (self.field(&job, "JobState"), self.field(&job, "ExitCode"))
    }

    /// Waits until a job is in one of these states.
    pub fn wait_state(&self, job: &str, states: &[&str]) {
        let mut last = String::new();
        for _ in 0..4500 {
            last = self.field(job, "JobState");
            if states.contains(&last.as_str()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(40));
        }
        let ctld = fs::read_to_string(self.path("ctld.log")).unwrap_or_default();
        panic!("job {job} stays {last}: {ctld}{}{}", self.log("n1"), self.log("n2"));
    }

    /// What a job wrote, or anything else in `out`.
    pub fn out(&self, name: impl std::fmt::Display) -> String {
        let path = self.path("out").join(name.to_string());
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Waits until a job has made a file, and returns its first line.
    pub fn wait_file(&self, name: &str) -> String {
        let path = self.path("out").join(name);
        until(name, || fs::read_to_string(&path).is_ok_and(|text| text.contains('\n')));
        self.out(name).lines().next().unwrap().to_owned()
    }

    /// Waits until an agent of ours has answered a job's launch: whoever kills it before makes
    /// Slurm's controller queue the job again.
    pub fn wait_launched(&self, node: &str, job: u32) {
        let line = format!("job {job} is started for uid");
        until(&line, || self.log(node).contains(&line));
    }

    /// Waits until a spool holds no job.
    pub fn wait_empty(&self, node: &str) {
        let spool = self.path("spool").join(node);
        until("the spool is empty", || jobs_in(&spool).is_empty());
    }
}

impl Drop for Lab {
    /// A test that failed shows what was logged; its jobs do not outlive it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["ctld.log", "n1.log", "n2.log"] {
                let text = fs::read_to_string(self.path(name)).unwrap_or_default();
                let idle = |line: &&str| !line.contains("Running job scheduler");
                let lines: Vec<&str> = text.lines().filter(idle).collect();
                let last = &lines[lines.len().saturating_sub(100)..];
                eprintln!("--- the last of {name}:\n{}", last.join("\n"));
            }
        }
        for node in ["n1", "n2"] {
            for job in jobs_in(&self.path("spool").join(node)) {
                if let Ok(pid) = fs::read_to_string(job.join("lock")) {
                    signal(pid.trim().parse().unwrap_or(0), libc::SIGKILL);
                }
            }
            let (dir, conf) = (self.path("spool").join(node), self.path("slurm.conf"));
            Marks { dir: &dir, conf: &conf, node }.end();
        }
    }
}

/// The folders of jobs.
pub fn jobs_in(spool: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(spool).into_iter().flatten().flatten();
    let jobs = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("job"));
    jobs.map(|entry| entry.path()).collect()
}

pub fn signal(pid: i32, number: i32) {
    assert!(pid >= 0);
    if pid > 1 {
        // SAFETY: a number and a signal.
        unsafe { libc::kill(pid, number) };
    }
}

/// Whether a process is there, and no zombie.
pub fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|text| !text.rsplit(") ").next().unwrap_or("Z").starts_with('Z'))
}

/// Processes whose command line holds a word.
pub fn processes_with(word: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|part| part == word.as_bytes())
    };
    pids.filter(has).filter(|pid| lives(*pid)).collect()
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}
