//! The processes: two controllers, two agents, and whatever those start.
//!
//! Invariant: the drill is the subreaper of all of them. Whoever loses his parent becomes a child
//! of the drill, so that killing children and waiting for them until there is none ends everybody,
//! and no number is ever signalled that may be a stranger's by now.

use crate::drill::place::{HOSTS, NODES, Place};
use crate::drill::progress::Progress;
use crate::drill::scenario::{Act, Part};
use crate::drill::{End, stop};
use crate::slurm::auth::key::{Key, system_clock};
use crate::slurm::auth::{Auth, To};
use crate::slurm::link::{Times, call};
use crate::slurm::wire::{Message, Time};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What is run.
pub const PROGRAMS: [&str; 6] = ["slurmctld", "slurmd", "sbatch", "scontrol", "sinfo", "squeue"];

/// How long a part may take to come up, or to end. Nothing is measured by it.
const COME_UP: Duration = Duration::from_secs(60);
/// How long a controller may take to say what it is: one that does not is asked again.
const WORD: Duration = Duration::from_millis(50);
/// How many lines of a log are shown.
const LINES: usize = 8;

/// The cluster.
pub struct Cluster<'a> {
    /// Where it lives.
    pub place: &'a Place,
    /// Who tells what happens.
    pub progress: &'a Progress,
    /// Who asks controllers.
    auth: Auth,
    controllers: [Option<Child>; 2],
    /// Told to end.
    ending: Option<Child>,
    /// What counts of the controllers' logs begins there.
    marks: [usize; 2],
    agents: Vec<Child>,
}

impl<'a> Cluster<'a> {
    /// Starts all of it.
    ///
    /// # Errors
    /// What cannot be started.
    pub fn begin(place: &'a Place, progress: &'a Progress) -> Result<Cluster<'a>, End> {
        let key = Key::load(&place.key(), system_clock());
        let auth = key.map(Auth::Key).map_err(|error| End::unable(error, "set TMPDIR"))?;
        let (controllers, ending, marks) = ([None, None], None, [0, 0]);
        let agents = Vec::new();
        let mut cluster = Cluster { place, progress, auth, controllers, ending, marks, agents };
        for part in [Part::Primary, Part::Standby, Part::Agents] {
            cluster.act(Act::Start(part), 0)?;
        }
        Ok(cluster)
    }

    /// Does one thing of a scenario, where that controller is the primary.
    ///
    /// # Errors
    /// It cannot be done.
    pub fn act(&mut self, act: Act, primary: usize) -> Result<(), End> {
        let of = |part| if part == Part::Standby { 1 - primary } else { primary };
        let ground = |why: &dyn std::fmt::Display| End::unable(why, "leave this --scenario out");
        match act {
            Act::Kill(Part::Agents) => self.agents.drain(..).for_each(kill),
            Act::Kill(part) => self.controllers[of(part)].take().into_iter().for_each(kill_all),
            Act::Start(Part::Agents) => {
                for name in NODES {
                    let agent = self.daemon("slurmd", name, &["-N", name], None)?;
                    self.agents.push(agent);
                }
            }
            Act::Start(part) => return self.start(of(part)),
            Act::Stop => {
                self.ending = self.controllers[primary].take();
                self.ending.iter().for_each(|child| send(&[child.id()], libc::SIGTERM));
            }
            Act::TakeOver => return self.take_over(1 - primary),
            Act::Hang => send(&self.serving(primary), libc::SIGSTOP),
            Act::Freeze => send(&self.all_of(primary), libc::SIGSTOP),
            Act::Thaw => send(&self.all_of(primary), libc::SIGCONT),
            Act::Fill | Act::Empty => {
                let disk = self.place.disk.as_ref().ok_or_else(|| ground(&"no such disk"))?;
                let done = if act == Act::Fill { disk.fill() } else { disk.empty() };
                return done.map_err(|error| ground(&error));
            }
            Act::Cut | Act::Join | Act::Sever | Act::Meet => {
                let net = self.place.net.as_ref().ok_or_else(|| ground(&"no such network"))?;
                let done = match act {
                    Act::Cut => net.cut(primary),
                    Act::Join => net.join(primary),
                    _ => net.apart(act == Act::Sever),
                };
                return done.map_err(|error| ground(&error));
            }
        }
        Ok(())
    }

    /// Starts a controller, when the one that was told to end has.
    fn start(&mut self, at: usize) -> Result<(), End> {
        if let Some(mut child) = self.ending.take() {
            let ended = stop::until(COME_UP, || Ok(child.try_wait().ok().flatten()))?;
            if !ended.is_some_and(|status| status.success()) {
                kill_all(child);
                let what = format!("{} was told to stop: {ended:?}", HOSTS[at]);
                return Err(self.look(&what, at));
            }
        }
        self.mark(at);
        self.controllers[at] =
            Some(self.daemon("slurmctld", HOSTS[at], &["--host", HOSTS[at]], Some(at))?);
        Ok(())
    }

    fn take_over(&self, at: usize) -> Result<(), End> {
        let ran = self.client("scontrol").args(["takeover", &at.to_string()]).output();
        let ran = ran.map_err(|error| End::unable(format!("scontrol: {error}"), "try again"))?;
        if ran.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
        Err(self.look(&format!("scontrol takeover {at}: {said}"), at))
    }

    fn daemon(
        &self,
        program: &str,
        name: &str,
        more: &[&str],
        net: Option<usize>,
    ) -> Result<Child, End> {
        let path = self.place.program(program);
        let no = |error| End::unable(format!("{}: {error}", path.display()), "tools/drill --help");
        let log = File::options().append(true).create(true).open(self.place.log(name));
        let mut command = Command::new(&path);
        command.args(["-D", "-f"]).arg(self.place.conf()).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.map_err(no)?);
        command.current_dir(&self.place.dir).env_remove("NOTIFY_SOCKET");
        if let (Some(at), Some(nets)) = (net, &self.place.net) {
            nets.put(at, &mut command);
        }
        // A terminal's ^C is the drill's alone.
        command.process_group(0).spawn().map_err(no)
    }

    /// A controller's own number.
    fn guard(&self, at: usize) -> Vec<u32> {
        self.controllers[at].iter().map(Child::id).collect()
    }

    /// What serves below it.
    pub fn serving(&self, at: usize) -> Vec<u32> {
        self.guard(at).into_iter().flat_map(children_of).collect()
    }

    fn all_of(&self, at: usize) -> Vec<u32> {
        [self.guard(at), self.serving(at)].concat()
    }

    /// # Errors
    /// A controller has ended by itself: what it said.
    fn alive(&mut self) -> Result<(), End> {
        for (of, child) in self.controllers.iter_mut().enumerate() {
            if let Some(status) = child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                let what = format!("slurmctld at {} ended by itself ({status})", HOSTS[of]);
                return Err(self.look(&what, of));
            }
        }
        Ok(())
    }

    /// Whether a controller says that it is in charge.
    ///
    /// # Errors
    /// One has ended by itself: what it said.
    pub fn reigns(&mut self, at: usize) -> Result<bool, End> {
        self.alive()?;
        let times = Times { connect: WORD, answer: WORD };
        let (address, asks) = (self.place.addresses[at], Message::ControlStatusRequest);
        let said = call(&self.auth, (address, self.place.port), &asks, To::Anybody, times);
        let in_charge =
            |status: &crate::slurm::wire::tables::ControlStatus| status.in_charge_since != Time(0);
        Ok(matches!(said, Ok(Message::ControlStatus(status)) if in_charge(&status)))
    }

    /// Who reigns, once somebody does and the other one could take over.
    ///
    /// # Errors
    /// That does not come.
    pub fn until_settled(&mut self) -> Result<usize, End> {
        let settled = stop::until(COME_UP, || {
            self.progress.show("waiting until one controller reigns and the other is ready");
            self.alive()?;
            for at in [0, 1] {
                if self.is_ready(1 - at) && self.reigns(at)? {
                    return Ok(Some(at));
                }
            }
            Ok(None)
        })?;
        settled.ok_or_else(|| self.look("no pair of a primary and a standby that is ready", 0))
    }

    /// Whether a standby's log says that it could take over.
    fn is_ready(&self, at: usize) -> bool {
        let said = self.said_since(at);
        let last = said.lines().rev().find(|line| line.contains("ready to take over"));
        last.is_some_and(|line| !line.contains("not ready"))
    }

    /// From now on counts what the controller says.
    pub fn mark(&mut self, at: usize) {
        self.marks[at] = read(&self.place.log(HOSTS[at])).len();
    }

    /// What a controller has said since.
    pub fn said_since(&self, at: usize) -> String {
        let all = read(&self.place.log(HOSTS[at]));
        all.get(self.marks[at]..).unwrap_or_default().to_owned()
    }

    /// Waits until a controller answers and every node can take jobs.
    ///
    /// # Errors
    /// It does not come up.
    pub fn until_ready(&mut self) -> Result<(), End> {
        let mut last = String::from("nothing");
        self.until_settled()?;
        let up = stop::until(COME_UP, || {
            self.progress.show("waiting for both agents");
            let ran = self.client("sinfo").arg("-h").output();
            let ran = ran.map_err(|error| End::unable(format!("sinfo: {error}"), "try again"))?;
            let said = [ran.stdout, ran.stderr].concat();
            last = String::from_utf8_lossy(&said).trim().to_owned();
            Ok(last.lines().any(all_idle).then_some(()))
        })?;
        let what = format!("the cluster does not come up; sinfo says: {last}");
        up.ok_or_else(|| self.look(&what, 0))
    }

    /// A client, ready to be run.
    pub fn client(&self, name: &str) -> Command {
        client(self.place, name)
    }

    /// What went wrong, with how the logs end: that controller's first.
    pub fn look(&self, what: &str, at: usize) -> End {
        let names = [HOSTS[at], HOSTS[1 - at]].into_iter().chain(NODES);
        let logs = names.map(|name| format!("{name}:\n{}", tail(&self.place.log(name))));
        let logs: String = logs.collect();
        End::unable(format!("{what}\n{logs}"), "run it again with --keep, and read the logs")
    }

    /// Ends everybody, and waits until nobody is left.
    fn end(&mut self) {
        self.controllers.iter_mut().filter_map(Option::take).for_each(kill_all);
        self.ending.take().into_iter().for_each(kill_all);
        self.agents.drain(..).for_each(kill);
        end_children();
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
    for pid in below.into_iter().filter_map(|pid| i32::try_from(pid).ok()) {
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

/// Sends a signal to children, and to children of theirs.
fn send(to: &[u32], signal: libc::c_int) {
    for pid in to.iter().filter_map(|pid| i32::try_from(*pid).ok()) {
        // SAFETY: numbers alone.
        unsafe { libc::kill(pid, signal) };
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn tail(path: &Path) -> String {
    let text = read(path);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| format!("    {line}\n")).collect()
}

/// Kills children and waits for them until there is none: children of the dead have become ours.
pub fn end_children() {
    loop {
        send(&children_of(std::process::id()), libc::SIGKILL);
        // SAFETY: no status is asked for.
        let waited = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
        match waited {
            -1 => return,
            0 => std::thread::sleep(Duration::from_millis(2)),
            _ => {}
        }
    }
}

fn children_of(own: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| parent(*pid) == Some(own)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = text.iter().rposition(|byte| *byte == b')')?;
    std::str::from_utf8(text.get(end + 2..)?).ok()?.split(' ').nth(1)?.parse().ok()
}

/// Agents of root give each job a cgroup, named after its folder; killed, they leave it behind.
pub fn remove_groups(dir: &Path) {
    let Some(groups) = crate::agent::groups() else { return };
    let mut names = dir.components().filter_map(|part| part.as_os_str().to_str());
    let Some(mark) = names.find(|name| name.starts_with("statedir-drill.")) else { return };
    for entry in fs::read_dir(groups).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().contains(mark) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}
