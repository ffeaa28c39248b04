//! A munged, a controller and real clients, all in one temporary directory.

use std::net::TcpStream;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[path = "../common/limited.rs"]
pub mod limited;
#[path = "ports.rs"]
pub mod ports;

pub use limited::until;
pub use ports::free_port;

/// A process that ends with the test.
pub struct Process(pub Child);

impl Process {
    /// Waits until it has ended by itself: its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        limited::ended(&mut self.0, &"a process of the test").code()
    }

    /// SIGTERM; its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.ended()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until nothing is left: as long as it gets less, the rest is waited for. `None`: nobody
/// could say.
pub fn until_none(what: &str, mut left: impl FnMut() -> Option<usize>) {
    let mut least = usize::MAX;
    while least > 0 {
        until(&format!("{what}, of {least}"), || {
            let now = left().unwrap_or(usize::MAX);
            let fewer = now < least;
            least = least.min(now);
            fewer
        });
    }
}

/// A munged with a key of its own.
pub struct Munged {
    _process: Process,
    pub socket: PathBuf,
}

impl Munged {
    pub fn start(program: &Path, dir: &Path) -> Munged {
        let key = dir.join("munge.key");
        let mut file = std::fs::File::options();
        let mut file = file.write(true).create_new(true).mode(0o600).open(&key).unwrap();
        std::io::Write::write_all(&mut file, &[7; 64]).unwrap();
        let socket = dir.join("munge.sock");
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let child = Command::new(program)
            .args(["--foreground", "--force"])
            .arg(option("key-file", &key))
            .arg(option("socket", &socket))
            .arg(option("pid-file", &dir.join("munged.pid")))
            .arg(option("log-file", &dir.join("munged.log")))
            .arg(option("seed-file", &dir.join("munged.seed")))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("munged has a socket", || socket.exists());
        Munged { _process: Process(child), socket }
    }
}

/// What somebody printed, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub stdout: String,
    pub stderr: String,
    pub code: i32,
}

/// One controller and its slurm.conf.
pub struct Controller {
    pub dir: PathBuf,
    pub port: u16,
    process: Option<Process>,
}

impl Controller {
    /// A directory with a slurm.conf: common lines, and `more`.
    pub fn configure(dir: PathBuf, auth_info: &str, more: &str) -> Controller {
        std::fs::create_dir(&dir).unwrap();
        let controller = Controller { dir, port: free_port(), process: None };
        controller.write_conf(auth_info, more);
        let state = controller.state();
        std::fs::create_dir(&state).unwrap();
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
        controller
    }

    pub fn write_conf(&self, auth_info: &str, more: &str) {
        let user = limited::output(Command::new("id").arg("-un")).stdout;
        let user = String::from_utf8(user).unwrap();
        let (dir, port, user) = (self.dir.display(), self.port, user.trim());
        let text = format!(
            "ClusterName=lab\nSlurmctldHost=localhost(127.0.0.1)\nSlurmctldPort={port}\n\
             SlurmUser={user}\nSlurmdUser={user}\nStateSaveLocation={dir}/state\n\
             SlurmctldPidFile={dir}/slurmctld.pid\n{auth_info}\n\
             ProctrackType=proctrack/linuxproc\n{more}"
        );
        std::fs::write(self.conf(), text).unwrap();
    }

    pub fn conf(&self) -> PathBuf {
        self.dir.join("slurm.conf")
    }

    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// The same, for somebody who only asks it.
    #[allow(dead_code, reason = "every test binary uses a part of it")]
    pub fn beside(&self) -> Controller {
        Controller { dir: self.dir.clone(), port: self.port, process: None }
    }

    /// Makes the store.
    pub fn init(&self) {
        let made = statedir::Store::create(&self.state(), &statedir::Options::default());
        made.unwrap();
    }

    /// Starts a controller and waits until it listens.
    pub fn start(&mut self, program: &Path) {
        let log = std::fs::File::create(self.dir.join("log")).unwrap();
        let child = Command::new(program)
            .args(["-D", "-f"])
            .arg(self.conf())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(Process(child));
        until("the controller listens", || {
            let process = self.process.as_mut().unwrap();
            assert!(process.0.try_wait().unwrap().is_none(), "{}", self.log());
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap()
    }

    /// The process that serves: the one child of its guard.
    pub fn pid(&self) -> u32 {
        let guard = self.guard();
        let children = std::fs::read_to_string(format!("/proc/{guard}/task/{guard}/children"));
        children.unwrap().trim().parse().expect("a guard has one child")
    }

    /// The process that was started.
    pub fn guard(&self) -> u32 {
        self.process.as_ref().unwrap().0.id()
    }

    /// SIGKILL, to the guard: the serving process dies with it.
    pub fn kill(&mut self) {
        let guard = self.guard();
        let children = format!("/proc/{guard}/task/{guard}/children");
        let serving = std::fs::read_to_string(children).unwrap_or_default();
        drop(self.process.take());
        // Until the system has taken it apart somebody else may still be connected to its port.
        if let Ok(serving) = serving.trim().parse::<u32>() {
            until("the serving process is gone", || is_gone(serving));
        }
    }

    /// SIGTERM; its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.process.take().unwrap().stop()
    }

    fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        command.args(words.map(|word| word.replace('_', " ")));
        command.env("SLURM_CONF", self.conf()).stdin(Stdio::null());
        command
    }

    /// Runs a real client; `_` stands for a blank within a word.
    pub fn run(&self, line: &str) -> Said {
        said(self.command(line))
    }

    /// The same, for a user who is nobody.
    pub fn run_as_nobody(&self, line: &str) -> Said {
        let mut command = self.command(line);
        command.uid(65_534).gid(65_534);
        said(command)
    }
}

/// Whether a process has ended with all its threads, or only waits for somebody to ask how.
pub fn is_gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    stat.map_or(true, |stat| stat.contains(") Z ") && threads <= 1)
}

fn said(mut command: Command) -> Said {
    let output = limited::output(&mut command);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap_or(-1);
    Said { stdout: text(output.stdout), stderr: text(output.stderr), code }
}
