//! Two or three controllers on this machine, at 127.0.0.1 to 127.0.0.3, each with a munged of its
//! own, over one shared directory; a real slurmd; real clients.

use crate::agents::{Slurmd, node_lines, ports_in_a_row};
use crate::cluster::{Controller, Munged, Process, Said, limited, until};
use crate::programs;
use rustix::process::{Pid, Signal, kill_process};
use statedir::slurm::auth::munge::{Info, Munge};
use statedir::slurm::auth::{Auth, To};
use statedir::slurm::link::{Times, call};
use statedir::slurm::wire::tables::JobDesc;
use statedir::slurm::wire::{Field, Message, Time};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use wire::{Link, Wire};

#[allow(dead_code, reason = "each test uses its part")]
#[path = "wire.rs"]
pub mod wire;

/// How long a controller may take to answer on a machine that has other things to do: one that is
/// dead refuses, and one that is frozen is not asked. Nothing is measured by it.
const ANSWERS: Times = Times { connect: Duration::from_secs(10), answer: Duration::from_secs(60) };

/// Ours; `STATEDIR_SLURMCTLD` names another build of it, to measure with.
pub fn ours() -> PathBuf {
    let named = std::env::var_os("STATEDIR_SLURMCTLD").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_slurmctld")))
}

/// The same command line, with our client.
pub fn ours_of(line: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_scontrol"));
    program.with_file_name(line).display().to_string()
}

/// What the controllers are called.
pub const NAMES: [&str; 3] = ["mgmt01", "mgmt02", "mgmt03"];

const ADDRESSES: [&str; 3] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];

/// Where the way from one controller to another begins.
fn way(from: usize, to: usize) -> String {
    format!("127.0.1.{}", 10 * (from + 1) + to)
}

/// What kind of lab.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub hosts: usize,
    /// Whether the ways between the controllers can be cut.
    pub wired: bool,
    /// Whether the way to the agent can be cut.
    pub agent_wired: bool,
    /// An agent of ours, in the place of Slurm's.
    pub ours: bool,
}

pub const PAIR: Shape = Shape { hosts: 2, wired: false, agent_wired: false, ours: false };

/// A pair, its agent and its clients.
pub struct Lab {
    pub dir: PathBuf,
    pub clients: Controller,
    running: Vec<Option<Process>>,
    marks: Vec<usize>,
    before: Vec<String>,
    wires: Vec<Wire>,
    pub agent_wire: Option<Wire>,
    pub slurmd: Option<Slurmd>,
    auth: Auth,
    _munged: Vec<Munged>,
    _dir: tempfile::TempDir,
}

/// The pair, not started; `None`: something is missing, which has been reported.
pub fn lab(test: &str, more: &str) -> Option<Lab> {
    lab_of(test, more, PAIR, |_| Vec::new())
}

/// As [`lab`], of another shape; `prepare` sees the directory while it is empty, and returns what
/// is to be put before a program so that it sees it, too.
pub fn lab_of(
    test: &str,
    more: &str,
    shape: Shape,
    prepare: impl FnOnce(&Path) -> Vec<String>,
) -> Option<Lab> {
    let munged = programs::find("munged", test)?;
    let slurmd = match shape.ours {
        true => PathBuf::from(env!("CARGO_BIN_EXE_slurmd")),
        false => programs::find("slurmd", test)?,
    };
    programs::find("sbatch", test)?;
    if !programs::root(test) {
        return None;
    }
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().to_owned();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mungeds = (0..shape.hosts).map(|at| {
        let dir = dir.join(format!("munge{at}"));
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        Munged::start(&munged, &dir)
    });
    let mungeds = mungeds.collect::<Vec<_>>();
    let socket = |at: usize| mungeds[at].socket.display().to_string();
    let clients = Controller::configure(dir.join("lab"), "", "");
    let first = ports_in_a_row(2);
    let nodes = |port| node_lines(&clients.dir, 1, port, "CPUs=16 RealMemory=10000");
    // As the agent and clients see it, and as the controllers do.
    let nodes = [nodes(first), nodes(first + u16::from(shape.agent_wired))];
    let text = |at: usize, pid: &str, first: usize, wired: bool| {
        let (lab, port) = (clients.dir.display(), clients.port);
        let nodes = &nodes[usize::from(pid != "clients")];
        let mut order = (0..shape.hosts).collect::<Vec<_>>();
        order.rotate_left(first);
        let host = |to: &usize| {
            let straight = !wired || *to == at;
            let address = if straight { ADDRESSES[*to].to_owned() } else { way(at, *to) };
            format!("SlurmctldHost={}({address})\n", NAMES[*to])
        };
        let hosts = order.iter().map(host).collect::<String>();
        format!(
            "ClusterName=lab\n{hosts}SlurmctldPort={port}\n\
             SlurmUser=root\nSlurmdUser=root\nStateSaveLocation={lab}/state\n\
             SlurmctldPidFile={lab}/{pid}.pid\nAuthInfo=socket={}\n\
             CommunicationParameters=NoCtldInAddrAny\nProctrackType=proctrack/linuxproc\n\
             ReturnToService=2\n{more}\n{nodes}",
            socket(at)
        )
    };
    for (at, name) in NAMES.iter().enumerate().take(shape.hosts) {
        let folder = clients.dir.join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("slurm.conf"), text(at, name, 0, shape.wired)).unwrap();
        std::fs::write(folder.join("clients.conf"), text(0, "clients", at, false)).unwrap();
    }
    std::fs::write(clients.conf(), text(0, "clients", 0, false)).unwrap();
    // As in the handbook: the state of a single controller moves along.
    clients.init();
    let (state, single) = (clients.state(), clients.dir.join("single"));
    std::fs::rename(&state, &single).unwrap();
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
    let before = prepare(&state);
    let mut copy = Command::new("sh");
    copy.args(["-c", "cp -a \"$1\"/. \"$2\"", "sh"]).args([&single, &state]);
    let copied = limited::output(&mut behind(&before, copy));
    assert!(copied.status.success(), "{copied:?}");
    let socket_of =
        |address: &str| -> SocketAddr { SocketAddr::new(address.parse().unwrap(), clients.port) };
    let agent = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let pairs = (0..shape.hosts).flat_map(|one| (0..shape.hosts).map(move |to| (one, to)));
    let ways = pairs.filter(|(one, to)| shape.wired && one != to);
    let wires = ways.map(|(one, to)| Wire::lay(socket_of(&way(one, to)), socket_of(ADDRESSES[to])));
    let wires = wires.collect();
    let info = Info { socket: Some(mungeds[0].socket.clone()), ttl_s: None };
    let auth = Auth::Munge(Munge::load(info).unwrap());
    std::fs::create_dir(clients.dir.join("out")).unwrap();
    let mut lab = Lab {
        dir: clients.dir.clone(),
        clients: clients.beside(),
        running: (0..shape.hosts).map(|_| None).collect(),
        marks: vec![0; shape.hosts],
        before,
        wires,
        agent_wire: shape.agent_wired.then(|| Wire::lay(agent(first + 1), agent(first))),
        slurmd: None,
        auth,
        _munged: mungeds,
        _dir: temporary,
    };
    lab.start(0);
    until("the first one reigns", || lab.reigns(0));
    for at in 1..shape.hosts {
        lab.start(at);
        lab.until_ready(at);
    }
    lab.slurmd = Some(Slurmd::start(&slurmd, &lab.clients, "n1"));
    crate::agents::until_node(&lab.clients, "n1", "idle");
    Some(lab)
}

/// The command behind others that it is an argument of.
fn behind(before: &[String], command: Command) -> Command {
    let Some((first, more)) = before.split_first() else { return command };
    let mut outer = Command::new(first);
    outer.args(more).arg(command.get_program()).args(command.get_args());
    outer
}

impl Lab {
    /// Starts a controller, with what it says behind what it said before.
    pub fn start(&mut self, at: usize) {
        self.start_with(at, &[]);
    }

    /// The same, with more on its command line.
    pub fn start_with(&mut self, at: usize, more: &[&str]) {
        self.mark(at);
        let folder = self.dir.join(NAMES[at]);
        let mut log = std::fs::File::options();
        let log = log.append(true).create(true).open(folder.join("log")).unwrap();
        let mut command = Command::new(ours());
        command.args(["-D", "--host", NAMES[at], "-f"]).arg(folder.join("slurm.conf"));
        command.args(more);
        let child = behind(&self.before, command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.running[at] = Some(Process(child));
    }

    pub fn log(&self, at: usize) -> String {
        std::fs::read_to_string(self.dir.join(NAMES[at]).join("log")).unwrap_or_default()
    }

    /// All logs, for whoever reads why a test failed.
    pub fn logs(&self) -> String {
        let hosts = 0..self.running.len();
        hosts.map(|at| format!("---- {}\n{}", NAMES[at], self.log(at))).collect()
    }

    pub fn wait(&self, what: &str, ready: impl FnMut() -> bool) {
        self.showing(|| until(what, ready));
    }

    /// Shows the controllers' logs where this panics.
    pub fn showing(&self, waits: impl FnOnce()) {
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(waits));
        assert!(waited.is_ok(), "what did not come is said above\n{}", self.logs());
    }

    fn ask(&self, at: usize, message: &Message) -> Option<Message> {
        call(&self.auth, (ADDRESSES[at], self.clients.port), message, To::Anybody, ANSWERS).ok()
    }

    /// Whether this controller says that it is in charge.
    pub fn reigns(&self, at: usize) -> bool {
        matches!(
            self.ask(at, &Message::ControlStatusRequest),
            Some(Message::ControlStatus(status)) if status.in_charge_since != Time(0)
        )
    }

    /// From here on counts what a controller says of being ready.
    pub fn mark(&mut self, at: usize) {
        self.marks[at] = self.log(at).len();
    }

    /// Waits until a controller is a standby that could take over.
    pub fn until_ready(&self, at: usize) {
        self.wait(&format!("{} is ready", NAMES[at]), || {
            let log = &self.log(at)[self.marks[at]..];
            let last = log.lines().rev().find(|line| line.contains("ready to take over"));
            last.is_some_and(|line| !line.contains("not ready"))
        });
    }

    pub fn guard(&self, at: usize) -> Pid {
        Pid::from_child(&self.running[at].as_ref().unwrap().0)
    }

    /// The process that serves; `None` between two of them.
    pub fn serving(&self, at: usize) -> Option<Pid> {
        let guard = self.guard(at).as_raw_nonzero();
        let children =
            std::fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).ok()?;
        Pid::from_raw(children.trim().parse().ok()?)
    }

    /// Sends a signal to the process that serves.
    pub fn signal(&self, at: usize, signal: Signal) {
        kill_process(self.serving(at).expect("it serves"), signal).unwrap();
    }

    /// `systemctl stop slurmctld`; the exit code.
    pub fn stop(&mut self, at: usize) -> Option<i32> {
        self.running[at].take().unwrap().stop()
    }

    /// `kill -9` of everything that is the controller.
    pub fn kill(&mut self, at: usize) {
        drop(self.running[at].take());
    }

    pub fn run(&self, line: &str) -> Said {
        self.clients.run(line)
    }

    /// `scontrol write batch_script`.
    pub fn write_script(&self, id: u32, path: &Path) {
        let mut command = Command::new("scontrol");
        command.args(["write", "batch_script", &id.to_string()]).arg(path);
        let output = limited::output(command.env("SLURM_CONF", self.clients.conf()));
        assert!(output.status.success(), "{output:?}\n{}", self.logs());
    }

    /// Submits so many jobs that wait, as sbatch --hold would.
    pub fn fill(&self, count: usize) {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let desc = JobDesc {
            name: "waits".into(),
            script: "#!/bin/sh\nexit 0\n".into(),
            environment: vec!["PATH=/usr/bin:/bin".into()],
            argv: vec!["/tmp/script".into()],
            work_dir: "/tmp".into(),
            std_out: "/dev/null".into(),
            user_id: uid.as_raw(),
            group_id: gid.as_raw(),
            priority: 0,
            min_nodes: 1,
            min_cpus: 1,
            num_tasks: 1,
            ..JobDesc::unset()
        };
        let message = Message::Submit(Box::new(desc));
        std::thread::scope(|scope| {
            for client in 0..16 {
                let message = &message;
                scope.spawn(move || {
                    for _ in (client..count).step_by(16) {
                        let answer = self.ask(0, message);
                        assert!(matches!(answer, Some(Message::Submitted(_))), "{answer:?}");
                    }
                });
            }
        });
    }

    /// As `scontrol takeover`, to any of them.
    pub fn ask_to_take_over(&self, at: usize) {
        assert_eq!(self.ask(at, &Message::Takeover), Some(Message::code(0)), "{}", self.logs());
    }

    /// The same, whatever comes of it.
    pub fn asks_to_take_over(&self, at: usize) {
        let _ = self.ask(at, &Message::Takeover);
    }

    /// Whether it says no to what a real slurmctld asks of others.
    pub fn relinquish_is_refused(&self, at: usize) -> bool {
        self.ask(at, &Message::Relinquish).is_some_and(|said| said != Message::code(0))
    }

    /// From now on, all ways between the controllers are so.
    pub fn link(&self, link: Link) {
        self.wires.iter().for_each(|wire| wire.set(link));
    }

    /// The newest reign that the register knows.
    pub fn epoch(&self) -> u64 {
        let disk = statedir::disk::Real::open(self.clients.state()).unwrap();
        let register = statedir::role::Register::new(std::sync::Arc::new(disk), "test", "");
        register.unwrap().look().unwrap().reign.epoch.0
    }

    /// Whoever says that it is in charge.
    pub fn reigning(&self) -> Vec<usize> {
        (0..self.running.len()).filter(|at| self.reigns(*at)).collect()
    }

    /// What it said last of whether it could take over.
    pub fn said_of_being_ready(&self, at: usize) -> String {
        let log = self.log(at);
        let last = log.lines().rev().find(|line| line.contains("ready to take over"));
        last.unwrap_or_default().to_owned()
    }

    /// Waits until both controllers have ended, each with exit code 0.
    pub fn until_both_end(&mut self) {
        let mut running = self.running.iter_mut().map(|of| of.take().unwrap()).collect::<Vec<_>>();
        let mut codes = Vec::new();
        self.wait("both end", || {
            running.retain_mut(|of| match of.0.try_wait().unwrap() {
                Some(status) => {
                    codes.push(status.code());
                    false
                }
                None => true,
            });
            running.is_empty()
        });
        assert_eq!(codes, [Some(0), Some(0)], "{}", self.logs());
    }

    /// The same clients, for another thread.
    pub fn beside(&self) -> Clients {
        Clients { dir: self.dir.clone(), conf: self.clients.conf() }
    }

    /// Clients that try this controller first.
    pub fn straight_to(&self, at: usize) -> Clients {
        Clients { dir: self.dir.clone(), conf: self.dir.join(NAMES[at]).join("clients.conf") }
    }

    pub fn out(&self) -> PathBuf {
        self.dir.join("out")
    }

    /// One real sbatch: its id, or what it said.
    pub fn sbatch(&self, script: &Path) -> Result<u32, String> {
        self.beside().sbatch(script)
    }
}

/// Who submits.
pub struct Clients {
    pub dir: PathBuf,
    conf: PathBuf,
}

impl Clients {
    /// One real sbatch: its id, or what it said.
    pub fn sbatch(&self, script: &Path) -> Result<u32, String> {
        self.sbatch_with(script, &[])
    }

    /// The same, with options.
    pub fn sbatch_with(&self, script: &Path, more: &[&str]) -> Result<u32, String> {
        let mut command = Command::new("sbatch");
        command
            .args(["--parsable", "-o", "/dev/null", "-D"])
            .arg(self.dir.join("out"))
            .args(more)
            .arg(script)
            .env("SLURM_CONF", &self.conf)
            .stdin(Stdio::null());
        let output = limited::output(&mut command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let id = String::from_utf8_lossy(&output.stdout).trim().parse();
        if output.status.success() { Ok(id.expect("an id")) } else { Err(said) }
    }
}
