//! The processes: a controller, two agents, and whatever those start.
//!
//! Invariant: the drill is the subreaper of all of them. Whoever loses his parent becomes a child
//! of the drill, so that killing children and waiting for them until there is none ends everybody,
//! and no number is ever signalled that may be a stranger's by now.

use crate::drill::place::{NODES, Place};
use crate::drill::progress::Progress;
use crate::drill::scenario::{Act, Part};
use crate::drill::{End, stop};
use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What is run.
pub const PROGRAMS: [&str; 6] = ["slurmctld", "slurmd", "sbatch", "scontrol", "sinfo", "squeue"];

/// How long a part may take to come up. Nothing is measured by it.
const COME_UP: Duration = Duration::from_secs(60);
/// How many lines of a log are shown.
const LINES: usize = 8;

/// The cluster.
pub struct Cluster<'a> {
    /// Where it lives.
    pub place: &'a Place,
    /// Who tells what happens.
    pub progress: &'a Progress,
    controller: Option<Child>,
    agents: Vec<Child>,
}

impl<'a> Cluster<'a> {
    /// Starts all of it.
    ///
    /// # Errors
    /// What cannot be started.
    pub fn begin(place: &'a Place, progress: &'a Progress) -> Result<Cluster<'a>, End> {
        become_subreaper()?;
        let mut cluster = Cluster { place, progress, controller: None, agents: Vec::new() };
        cluster.act(Act::Start(Part::Controller))?;
        cluster.act(Act::Start(Part::Agents))?;
        Ok(cluster)
    }

    /// Does one thing of a scenario.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn act(&mut self, act: Act) -> Result<(), End> {
        match act {
            Act::Kill(Part::Controller) => self.controller.take().into_iter().for_each(kill_all),
            Act::Kill(Part::Agents) => self.agents.drain(..).for_each(kill),
            Act::Start(Part::Controller) => {
                self.controller = Some(self.daemon("slurmctld", "slurmctld", &[])?);
            }
            Act::Start(Part::Agents) => {
                for name in NODES {
                    let agent = self.daemon("slurmd", name, &["-N", name])?;
                    self.agents.push(agent);
                }
            }
        }
        Ok(())
    }

    fn daemon(&self, program: &str, name: &str, more: &[&str]) -> Result<Child, End> {
        let path = self.place.program(program);
        let no = |error| End::unable(format!("{}: {error}", path.display()), "tools/drill --help");
        let log = File::options().append(true).create(true).open(self.log(name)).map_err(no)?;
        let mut command = Command::new(&path);
        command.args(["-D", "-f"]).arg(self.place.conf()).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.current_dir(&self.place.dir).env_remove("NOTIFY_SOCKET");
        // A terminal's ^C is the drill's alone.
        command.process_group(0).spawn().map_err(no)
    }

    fn log(&self, name: &str) -> std::path::PathBuf {
        self.place.dir.join(format!("{name}.log"))
    }

    /// Whether the controller takes connections.
    ///
    /// # Errors
    /// It has ended by itself: what it said.
    pub fn answers(&mut self) -> Result<bool, End> {
        if let Some(child) = &mut self.controller
            && let Ok(Some(status)) = child.try_wait()
        {
            let said = tail(&self.log("slurmctld"));
            let what = format!("slurmctld ended by itself ({status}); its log ends with\n{said}");
            return Err(End::unable(what, "run it again with --keep, and read the log"));
        }
        Ok(TcpStream::connect(("127.0.0.1", self.place.port)).is_ok())
    }

    /// Waits until the controller answers and every node can take jobs.
    ///
    /// # Errors
    /// It does not come up.
    pub fn until_ready(&mut self) -> Result<(), End> {
        let mut last = String::from("nothing");
        let up = stop::until(COME_UP, || {
            self.progress.show("waiting for the controller and both agents");
            if !self.answers()? {
                return Ok(None);
            }
            let ran = self.client("sinfo").arg("-h").output();
            let ran = ran.map_err(|error| End::unable(format!("sinfo: {error}"), "try again"))?;
            let said = [ran.stdout, ran.stderr].concat();
            last = String::from_utf8_lossy(&said).trim().to_owned();
            Ok(last.lines().any(all_idle).then_some(()))
        })?;
        up.ok_or_else(|| {
            let logs = ["slurmctld"].iter().chain(&NODES);
            let logs = logs.map(|name| format!("{name}:\n{}", tail(&self.log(name))));
            let logs: String = logs.collect();
            let what = format!("the cluster does not come up; sinfo says: {last}\n{logs}");
            End::unable(what, "run it again with --keep, and read the logs")
        })
    }

    /// A client, ready to be run.
    pub fn client(&self, name: &str) -> Command {
        client(self.place, name)
    }

    /// How the controller's log ends.
    pub fn controller_said(&self) -> String {
        tail(&self.log("slurmctld"))
    }

    /// Ends everybody, and waits until nobody is left.
    fn end(&mut self) {
        self.controller.take().into_iter().for_each(kill_all);
        self.agents.drain(..).for_each(kill);
        end_children();
        remove_groups(&self.place.dir);
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether a line of `sinfo -h` says that every node is idle.
fn all_idle(line: &str) -> bool {
    let mut words = line.split_whitespace().skip(3);
    words.next() == Some(NODES.len().to_string().as_str()) && words.next() == Some("idle")
}

/// A client, ready to be run: whoever runs the drill may have options in his environment.
pub fn client(place: &Place, name: &str) -> Command {
    let mut command = Command::new(place.program(name));
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if ["SLURM_", "SBATCH_", "SINFO_", "SQUEUE_"].iter().any(|start| text.starts_with(start)) {
            command.env_remove(variable);
        }
    }
    command.env("SLURM_CONF", place.conf()).current_dir(&place.dir).stdin(Stdio::null());
    command.process_group(0);
    command
}

/// With whom it has started: the controller is a guard and a serving process, and the second one
/// must be gone, too, before anybody is asked whether one answers.
fn kill_all(child: Child) {
    let below = children_of(child.id());
    kill(child);
    for pid in below {
        // SAFETY: numbers alone, and no status is asked for; it has become a child of ours, which
        // keeps its number until it is waited for.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
    }
}

fn kill(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| format!("    {line}\n")).collect()
}

fn become_subreaper() -> Result<(), End> {
    // SAFETY: it takes numbers alone.
    match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(End::unable(std::io::Error::last_os_error(), "run it on Linux 3.4 or newer")),
    }
}

/// Kills children and waits for them until there is none: children of the dead have become ours.
fn end_children() {
    loop {
        for pid in children_of(std::process::id()) {
            // SAFETY: numbers alone; a child that was not waited for keeps its number.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        // SAFETY: no status is asked for.
        let waited = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
        match waited {
            -1 => return,
            0 => std::thread::sleep(Duration::from_millis(2)),
            _ => {}
        }
    }
}

fn children_of(own: u32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| parent(*pid) == Some(own)).collect()
}

fn parent(pid: i32) -> Option<u32> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = text.iter().rposition(|byte| *byte == b')')?;
    std::str::from_utf8(text.get(end + 2..)?).ok()?.split(' ').nth(1)?.parse().ok()
}

/// Agents of root give each job a cgroup, named after its folder; killed, they leave it behind.
fn remove_groups(dir: &Path) {
    let Some(groups) = crate::agent::groups() else { return };
    let Some(mark) = dir.file_name().and_then(|name| name.to_str()) else { return };
    for entry in fs::read_dir(groups).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().contains(mark) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}
