//! Two controllers, ours or Slurm's own, at 127.0.0.1 and 127.0.0.2 over one directory, and a real
//! slurmd. Slurm's own look for their host's name: each has a UTS namespace where it is called so,
//! and /etc/hosts.

use crate::agents::{Slurmd, node_lines, ports_in_a_row};
use crate::cluster::{Controller, Munged, Process, until};
use crate::{Flags, Kind};
use rustix::process::{Pid, Signal, kill_process};
use statedir::client::desc;
use statedir::slurm::auth::munge::{Info, Munge};
use statedir::slurm::auth::{Auth, To};
use statedir::slurm::conf::Conf;
use statedir::slurm::link::{Times, call};
use statedir::slurm::wire::tables::JobDesc;
use statedir::slurm::wire::{Message, Time};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Whose controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Ours.
    Ours,
    /// Slurm's own.
    Slurm,
}

/// What the controllers are called.
pub const NAMES: [&str; 2] = ["mgmt01", "mgmt02"];

const ADDRESSES: [&str; 2] = ["127.0.0.1", "127.0.0.2"];

/// How long both may take to be there again. Nothing is measured by it.
const SETTLES: usize = 3_000;

/// How long whoever was told to end may take.
const OBEYS: Duration = Duration::from_secs(60);

/// A pair, its agent and its clients.
pub struct Lab {
    pub side: Side,
    pub dir: PathBuf,
    site: Controller,
    running: [Option<Process>; 2],
    marks: [usize; 2],
    auth: Auth,
    _slurmd: Slurmd,
    _munged: [Munged; 2],
    _dir: Option<tempfile::TempDir>,
}

fn program(name: &str) -> PathBuf {
    let places = ["/usr/sbin", "/usr/bin"].map(|dir| PathBuf::from(dir).join(name));
    places.into_iter().find(|path| path.is_file()).unwrap_or_else(|| panic!("{name} is missing"))
}

/// Waits for the end of a process that was told to; whoever does not obey is killed.
fn buried(mut process: Process) {
    let until = Instant::now() + OBEYS;
    while matches!(process.0.try_wait(), Ok(None)) {
        if Instant::now() > until {
            println!("process {} has not ended by itself", process.0.id());
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Lab {
    /// Starts all of it.
    pub fn start(side: Side, flags: &Flags) -> Lab {
        std::fs::create_dir_all(&flags.dir).unwrap();
        let base = std::fs::canonicalize(&flags.dir).unwrap();
        let temporary = tempfile::tempdir_in(base).unwrap();
        let open = |path: &Path| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        open(temporary.path());
        let mungeds = ["munge0", "munge1"].map(|name| {
            let dir = temporary.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            open(&dir);
            Munged::start(&program("munged"), &dir)
        });
        let site = Controller::configure(temporary.path().join("lab"), "", "");
        let nodes = node_lines(&site.dir, 1, ports_in_a_row(1), "CPUs=64 RealMemory=100000");
        let (dir, port, timeout) = (site.dir.display().to_string(), site.port, flags.timeout_s);
        let text = |at: usize, pid: &str, order: [usize; 2]| {
            let hosts = order.map(|at| format!("SlurmctldHost={}({})\n", NAMES[at], ADDRESSES[at]));
            format!(
                "ClusterName=lab\n{}SlurmctldPort={port}\nSlurmctldTimeout={timeout}\n\
                 SlurmUser=root\nSlurmdUser=root\nStateSaveLocation={dir}/state\n\
                 SlurmctldPidFile={dir}/{pid}.pid\nAuthInfo=socket={}\n\
                 CommunicationParameters=NoCtldInAddrAny\nProctrackType=proctrack/linuxproc\n\
                 ReturnToService=2\nMinJobAge=100000\nMaxJobCount=1000000\n\
                 LogTimeFormat=iso8601_ms\nSlurmctldLogFile={dir}/{pid}.log\n\
                 SlurmdLogFile={dir}/%n.log\n{nodes}",
                hosts.concat(),
                mungeds[at].socket.display()
            )
        };
        for (at, name) in NAMES.iter().enumerate() {
            let folder = site.dir.join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("slurm.conf"), text(at, name, [0, 1])).unwrap();
            std::fs::write(folder.join("clients.conf"), text(0, "clients", [at, 1 - at])).unwrap();
        }
        std::fs::write(site.conf(), text(0, "clients", [0, 1])).unwrap();
        std::fs::create_dir(site.dir.join("out")).unwrap();
        let hosts = format!("{} {}\n{} {}\n", ADDRESSES[0], NAMES[0], ADDRESSES[1], NAMES[1]);
        std::fs::write(site.dir.join("hosts"), hosts + "127.0.0.1 localhost\n").unwrap();
        if side == Side::Ours {
            site.init();
        }
        let info = Info { socket: Some(mungeds[0].socket.clone()), ttl_s: None };
        let auth = Auth::Munge(Munge::load(info).unwrap());
        let slurmd = Slurmd::start(&program("slurmd"), &site, "n1");
        let temporary = match flags.keep {
            true => {
                println!("{side:?}: {}", temporary.keep().display());
                None
            }
            false => Some(temporary),
        };
        let mut lab = Lab {
            side,
            dir: site.dir.clone(),
            site,
            running: [None, None],
            marks: [0, 0],
            auth,
            _slurmd: slurmd,
            _munged: mungeds,
            _dir: temporary,
        };
        lab.run(0);
        until("the first one reigns", || lab.reigns(0));
        lab.settle();
        crate::agents::until_node(&lab.site, "n1", "idle");
        lab
    }

    fn run(&mut self, at: usize) {
        self.marks[at] = self.log(at).len();
        let folder = self.dir.join(NAMES[at]);
        let mut log = std::fs::File::options();
        let log = log.append(true).create(true).open(folder.join("log")).unwrap();
        let mut command = match self.side {
            Side::Ours => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_slurmctld"));
                command.args(["--host", NAMES[at]]);
                command
            }
            Side::Slurm => {
                let hosts = self.dir.join("hosts");
                let script = format!(
                    "mount --bind {} /etc/hosts && hostname $0 && exec \"$@\"",
                    hosts.display()
                );
                let mut command = Command::new("unshare");
                command.args(["-u", "-m", "sh", "-c", &script, NAMES[at]]);
                command.arg(program("slurmctld"));
                command
            }
        };
        command.args(["-D", "-f"]).arg(folder.join("slurm.conf")).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(log);
        self.running[at] = Some(Process(command.spawn().unwrap()));
    }

    fn log(&self, at: usize) -> String {
        let bytes = std::fs::read(self.dir.join(NAMES[at]).join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn ask(&self, at: usize, message: &Message) -> Option<Message> {
        let times = Times { connect: Duration::from_secs(1), answer: Duration::from_secs(30) };
        call(&self.auth, (ADDRESSES[at], self.site.port), message, To::Anybody, times).ok()
    }

    fn status(&self, at: usize) -> Option<bool> {
        match self.ask(at, &Message::ControlStatusRequest) {
            Some(Message::ControlStatus(status)) => Some(status.in_charge_since != Time(0)),
            _ => None,
        }
    }

    fn reigns(&self, at: usize) -> bool {
        self.status(at) == Some(true)
    }

    /// Who reigns.
    pub fn primary(&self) -> usize {
        let found = [0, 1].into_iter().find(|at| self.reigns(*at));
        found.unwrap_or_else(|| panic!("nobody reigns\n{}\n{}", self.log(0), self.log(1)))
    }

    fn guard(&self, at: usize) -> Option<Pid> {
        self.running[at].as_ref().map(|process| Pid::from_child(&process.0))
    }

    fn below(guard: Pid) -> Vec<Pid> {
        let path = format!("/proc/{0}/task/{0}/children", guard.as_raw_nonzero());
        let children = std::fs::read_to_string(path).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    }

    /// To all its processes. One that is killed is waited for.
    pub fn signal_all(&mut self, at: usize, signal: Signal) {
        let guard = self.guard(at).expect("it runs");
        let serving = if self.side == Side::Ours { Lab::below(guard) } else { Vec::new() };
        for pid in [guard].into_iter().chain(serving) {
            let _ = kill_process(pid, signal);
        }
        if signal == Signal::KILL {
            drop(self.running[at].take());
        }
    }

    /// To the process below the guard.
    pub fn signal_serving(&mut self, at: usize, signal: Signal) {
        for pid in Lab::below(self.guard(at).expect("it runs")) {
            kill_process(pid, signal).unwrap();
        }
    }

    /// `systemctl stop`, not waited for.
    pub fn terminate(&mut self, at: usize) {
        kill_process(self.guard(at).expect("it runs"), Signal::TERM).unwrap();
    }

    /// `scontrol takeover`; to the first one, which Slurm's own scontrol refuses, the same message.
    pub fn take_over(&mut self, at: usize) {
        if at == 1 {
            let said = self.site.run("scontrol takeover");
            assert_eq!(said.code, 0, "{said:?}");
        } else {
            assert_eq!(self.ask(at, &Message::Takeover), Some(Message::code(0)));
        }
    }

    /// What was stopped goes on; what ended is started; Slurm's own begin anew, the first one
    /// first, as nothing else brings the reign back.
    pub fn mend(&mut self, kind: Kind, primary: usize) {
        if matches!(kind, Kind::Hang | Kind::Freeze) && self.running[primary].is_some() {
            self.signal_all(primary, Signal::CONT);
            std::thread::sleep(Duration::from_secs(2));
        }
        if self.side == Side::Slurm {
            for at in [0, 1] {
                if let Some(process) = self.running[at].take() {
                    let _ = kill_process(Pid::from_child(&process.0), Signal::TERM);
                    buried(process);
                }
            }
        }
        if kind == Kind::Stop
            && let Some(process) = self.running[primary].take()
        {
            buried(process);
        }
    }

    /// Waits until one reigns and the other one could take over.
    pub fn settle(&mut self) {
        for at in [0, 1] {
            if self.running[at].is_none() {
                self.run(at);
                if at == 0 && self.side == Side::Slurm {
                    until("the first one reigns", || self.reigns(0));
                }
            }
        }
        for _ in 0..SETTLES {
            let ready = match self.side {
                Side::Slurm => self.status(0) == Some(true) && self.status(1) == Some(false),
                Side::Ours => {
                    let primary = [0, 1].into_iter().find(|at| self.reigns(*at));
                    primary.is_some_and(|at| self.is_ready(1 - at))
                }
            };
            if ready {
                return std::thread::sleep(Duration::from_secs(1));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("no pair\n{}\n{}", self.log(0), self.log(1));
    }

    fn is_ready(&self, at: usize) -> bool {
        let log = self.log(at);
        let last = log.lines().rev().find(|line| {
            line.contains("ready to take over") || line.contains("slurmctld (statedir")
        });
        last.is_some_and(|line| line.contains("ready to") && !line.contains("not ready"))
    }

    /// slurm.conf of clients that try this controller first.
    pub fn clients(&self, first: usize) -> PathBuf {
        self.dir.join(NAMES[first]).join("clients.conf")
    }

    /// Submits so many jobs that wait, as sbatch --hold would.
    pub fn fill(&self, count: usize) {
        let message = Message::Submit(Box::new(waits(&self.site.conf())));
        let primary = self.primary();
        std::thread::scope(|scope| {
            for client in 0..16 {
                let message = &message;
                scope.spawn(move || {
                    for _ in (client..count).step_by(16) {
                        let answer = self.ask(primary, message);
                        assert!(matches!(answer, Some(Message::Submitted(_))), "{answer:?}");
                    }
                });
            }
        });
    }

    /// Every id that there is.
    pub fn known(&self) -> BTreeSet<u32> {
        let said = self.site.run("squeue -h -t all -o %A");
        assert_eq!(said.code, 0, "{said:?}");
        said.stdout.lines().filter_map(|line| line.trim().parse().ok()).collect()
    }
}

/// A job that waits, as `sbatch --hold` describes it: root's.
fn waits(conf: &Path) -> JobDesc {
    JobDesc {
        name: "waits".into(),
        script: "#!/bin/sh\nexit 0\n".into(),
        environment: vec!["PATH=/usr/bin:/bin".into()],
        argv: vec!["/tmp/script".into()],
        work_dir: "/tmp".into(),
        std_out: "/dev/null".into(),
        priority: 0,
        user_id: 0,
        group_id: 0,
        min_nodes: 1,
        min_cpus: 1,
        num_tasks: 1,
        ..desc::blank(&Conf::load(conf).unwrap())
    }
}
