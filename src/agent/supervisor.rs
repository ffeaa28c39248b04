//! A job's own process: runs its prolog, becomes the parent of its script, takes orders, notes how
//! it ended. It outlives the agent, and needs neither it nor any controller.
//!
//! | state | becomes | when |
//! |---|---|---|
//! | preparing (lock held) | running | the prolog went well: `started` is written, the script runs |
//! | preparing | ended | the prolog failed, or the script cannot be run: `end` says so |
//! | running | ended | the script has ended: `end` is flushed before its process is reaped |
//! | ended | clean | no process is left: the socket goes |
//! | clean | gone | the agent lives: it reports. Else a controller has taken the report |
//!
//! If it is killed, what is in the folder says how far it came; see [`crate::agent::jobs`].
//!
//! Invariants: one thread, and small (every job has one); it never waits for anybody while the
//! script runs, so that orders are taken at any time.

use crate::agent::controllers::Patience;
use crate::agent::log::{debug, error, info};
use crate::agent::orders::{self, Order, Whom};
use crate::agent::report;
use crate::agent::scripts::{self, About};
use crate::agent::setup::{Setup, now};
use crate::agent::signals::{self, Signals};
use crate::agent::spool::{Brief, Ended, Folder, LAUNCH, Lock, SCRIPT, Started};
use crate::agent::task::{self, Failure, Task};
use crate::agent::tree::{self, Tree};
use crate::agent::{environment, jobs, log, login, trim};
use crate::slurm::wire::Time;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Slurm's number for "the prolog failed".
pub const PROLOG_FAILED: u32 = 4022;
/// Slurm's number for "no process could be made".
pub const SPAWN_FAILED: u32 = 4000;
/// Slurm's number for "processes that cannot be killed".
const KILL_FAILED: u32 = 4001;
/// Longest pause between two reports.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Between two looks at processes that were killed.
const LOOK: Duration = Duration::from_millis(10);

/// What users are told, by Slurm's numbers.
fn text(why: u16) -> Option<&'static str> {
    match why {
        994 => Some("CANCELLED AT @ DUE TO PREEMPTION"),
        996 => Some("CANCELLED AT @ DUE TO TIME LIMIT"),
        998 => Some("CANCELLED AT @ DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS"),
        993 => Some("CANCELLED AT @ DUE TO JOB REQUEUE"),
        999 => Some("FAILED (non-zero exit code or other failure mode)"),
        9 | 15 => Some("CANCELLED AT @"),
        _ => None,
    }
}

/// Supervises the job of a folder until it is gone. The exit code.
pub fn run(path: PathBuf) -> u8 {
    match Supervisor::begin(Folder::at(path.clone())) {
        Ok(Some(mut supervisor)) => supervisor.live(),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    }
    .map_or_else(
        |error| {
            error!("{}: {error}", path.display());
            1
        },
        |()| 0,
    )
}

struct Supervisor {
    folder: Folder,
    _lock: Lock,
    brief: Brief,
    listener: UnixListener,
    signals: Signals,
    task: Option<Task>,
    tree: Tree,
    group: Option<PathBuf>,
    stopped: bool,
    told: bool,
    forgotten: bool,
    ended: Option<Ended>,
}

impl Supervisor {
    /// `None`: somebody else is the job's supervisor.
    fn begin(folder: Folder) -> io::Result<Option<Supervisor>> {
        // What the agent had open at that moment, such as libmunge's socket, is not the job's.
        // SAFETY: three numbers; this process has opened nothing yet.
        unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
        signals::ignore(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE])?;
        let signals = signals::watch(&[libc::SIGCHLD])?;
        let Some(lock) = folder.lock()? else { return Ok(None) };
        folder.sign()?;
        let _ = rustix::process::setsid();
        let _ = rustix::thread::set_name(c"slurmd-job");
        let listener = orders::listen(&folder)?;
        // The agent waits for this byte: from here on the job has a supervisor.
        let _ = io::stdout().write_all(b"r").and_then(|()| io::stdout().flush());
        let nothing = std::fs::File::options().read(true).write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&nothing)?;
        rustix::stdio::dup2_stdin(&nothing)?;
        let brief = folder.brief()?;
        log::begin(log::Level::Info, &format!("job {}", brief.launch.job_id));
        let tree = Tree::of_supervisor(None);
        Ok(Some(Supervisor {
            folder,
            _lock: lock,
            brief,
            listener,
            signals,
            task: None,
            tree,
            group: None,
            stopped: false,
            told: false,
            forgotten: false,
            ended: None,
        }))
    }

    fn live(&mut self) -> io::Result<()> {
        if self.prepare()? {
            self.orders();
            if !self.forgotten {
                let user = task::user(&self.brief);
                login::provide(&mut self.brief.launch, &user, self.brief.login_s);
                self.start()?;
            }
        }
        // What was needed to start it is not needed any more: scripts and environments are large.
        self.brief.launch.environment = Vec::new();
        trim::trim();
        while self.task.is_some() {
            self.wait(None)?;
        }
        self.clean()?;
        if self.forgotten {
            info!("forgotten: nobody is told how it ended");
            return self.folder.remove();
        }
        self.hand_over()
    }

    /// Runs the prolog; whether the script may run.
    fn prepare(&mut self) -> io::Result<bool> {
        let prolog = self.brief.prolog.lossy().into_owned();
        if prolog.is_empty() {
            return Ok(true);
        }
        let about = about(&self.brief);
        let limit = Some(self.brief.script_timeout_s).filter(|s| *s != u32::MAX);
        match scripts::run("prolog", &prolog, &about, limit.map(u64::from)) {
            Ok(()) => Ok(true),
            Err(status) => {
                self.end(LAUNCH, 0, PROLOG_FAILED)?;
                let text = format!("Error running slurm prolog: {}\n", status >> 8);
                task::note(&self.folder, &self.brief, &text);
                Ok(false)
            }
        }
    }

    fn start(&mut self) -> io::Result<()> {
        // Only from here on: what a prolog leaves behind is not the job's.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        self.group = tree::make_group(&self.brief.cgroup.lossy(), &self.folder);
        loop {
            let group = self.group.as_deref();
            let cgroup = group.and_then(Path::to_str).map(crate::slurm::wire::Text::from);
            let supervisor = std::process::id();
            let cgroup = cgroup.unwrap_or_default();
            self.folder.start(&Started { at: Time(now()), supervisor, cgroup })?;
            match task::start(&self.folder, &self.brief, group) {
                Ok(task) => {
                    debug!("runs as process {}", task.pid.as_raw_nonzero());
                    self.task = Some(task);
                    self.tree = Tree::of_supervisor(self.group.clone());
                    return Ok(());
                }
                Err(Failure::Group) => {
                    // Then there is the other net.
                    let group = self.group.take().expect("it was to be entered");
                    tree::remove_group(&group);
                }
                Err(Failure::Files) => return self.end(SCRIPT, task::FILES, 0),
                Err(Failure::Other(why)) => {
                    error!("cannot be started: {why}");
                    return self.end(LAUNCH, 0, SPAWN_FAILED);
                }
            }
        }
    }

    fn end(&mut self, kind: u32, job_rc: u32, slurm_rc: u32) -> io::Result<()> {
        let (job_id, user_id) = (self.brief.launch.job_id, self.brief.launch.uid);
        let ended = Ended { kind, job_id, job_rc, slurm_rc, user_id, at: Time(now()) };
        info!("ended, status {job_rc:#x}, slurm_rc {slurm_rc}");
        self.folder.end(&ended)?;
        self.ended = Some(ended);
        Ok(())
    }

    /// Waits for a signal or an order, and does what it says.
    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let fds = [self.signals.as_fd(), self.listener.as_fd()];
        let [signalled, ordered] = ready(fds, limit)?;
        if ordered {
            self.orders();
        }
        if signalled {
            self.signals.take();
            self.reap()?;
        }
        Ok(())
    }

    /// Children that have ended. How the script ended is on disk before its process is reaped.
    fn reap(&mut self) -> io::Result<()> {
        while let Some((pid, status)) = over() {
            if self.task.as_ref().is_some_and(|task| task.pid == pid) {
                self.end(SCRIPT, status, 0)?;
                self.task = None;
            }
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        Ok(())
    }

    /// Kills what is left, until nothing is.
    fn clean(&mut self) -> io::Result<()> {
        let limit = Duration::from_secs(self.brief.unkillable_s.into());
        let until = Instant::now() + limit;
        while self.tree.signal(libc::SIGKILL) > 0 {
            if Instant::now() > until {
                error!("processes cannot be killed: {:?}", self.tree.members());
                let job_rc = self.ended.as_ref().map_or(0, |ended| ended.job_rc);
                self.end(SCRIPT, job_rc, KILL_FAILED)?;
                break;
            }
            self.wait(Some(LOOK))?;
        }
        if let Some(group) = &self.group {
            tree::remove_group(group);
        }
        // Its absence says that no process is left.
        std::fs::remove_file(self.folder.file(orders::NAME))
    }

    /// The agent reports, if it lives; else we do, until it does or somebody has taken it.
    fn hand_over(&mut self) -> io::Result<()> {
        let spool = self.folder.path().parent().expect("it is in the spool").to_owned();
        let Some(ended) = self.ended.clone() else { return self.folder.remove() };
        let mut pause = Duration::from_secs(1);
        while !jobs::agent_lives(&spool) {
            let conf = PathBuf::from(self.brief.conf.lossy().into_owned());
            let said = Setup::load(&conf, self.brief.node.as_str())
                .and_then(|setup| report::send(&setup, &ended, Patience::Once));
            match said {
                Ok(()) => return self.folder.remove(),
                Err(why) => info!("its end is not taken yet: {why}"),
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    /// Takes every order that is there.
    fn orders(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let own = rustix::process::geteuid();
            let peer = rustix::net::sockopt::socket_peercred(&stream).map(|peer| peer.uid);
            if !peer.is_ok_and(|uid| uid == own || uid.is_root()) {
                continue;
            }
            let mut bytes = [0; orders::LEN];
            let limited = stream.set_nonblocking(false);
            let limited = limited.and_then(|()| stream.set_read_timeout(Some(PAUSE_MAX)));
            if limited.and_then(|()| stream.read_exact(&mut bytes)).is_err() {
                continue;
            }
            if let Some(order) = Order::unpack(bytes) {
                self.order(order);
                let _ = stream.write_all(&[0]);
            }
        }
    }

    fn order(&mut self, order: Order) {
        debug!("{order:?}");
        match order {
            Order::Signal(number, whom) => self.signal(number, whom),
            Order::Tell(why) => self.tell(why),
            Order::Stop => {
                self.stopped = true;
                self.tree.signal(libc::SIGSTOP);
            }
            Order::GoOn => {
                self.stopped = false;
                self.tree.signal(libc::SIGCONT);
            }
            Order::Forget => {
                self.forgotten = true;
                self.tree.signal(libc::SIGKILL);
            }
        }
    }

    fn signal(&mut self, number: i32, whom: Whom) {
        if self.task.is_none() {
            // Before it has begun: it will not.
            self.forgotten |=
                self.ended.is_none() && matches!(number, libc::SIGTERM | libc::SIGKILL);
            return;
        }
        if let (Ok(why), true) =
            (u16::try_from(number), matches!(number, libc::SIGTERM | libc::SIGKILL))
        {
            self.tell(why);
        }
        let Some(task) = &self.task else { return };
        match whom {
            Whom::Script => tree::send(&task.descriptor, number),
            Whom::Group => {
                // SAFETY: a group whose leader is a child that was not reaped.
                unsafe { libc::kill(-task.pid.as_raw_nonzero().get(), number) };
            }
            Whom::All => {
                if self.stopped && number == libc::SIGTERM {
                    // A stopped process would not see it: it ends at once, as in Slurm.
                    self.tree.signal(libc::SIGKILL);
                }
                self.tree.signal(number);
            }
        }
    }

    /// One line in the job's stderr, the first time.
    fn tell(&mut self, why: u16) {
        let (Some(task), Some(text)) = (&self.task, text(why)) else { return };
        let (Some(stderr), false) = (&task.stderr, self.told) else { return };
        let (job, node) = (self.brief.launch.job_id, self.brief.node.lossy());
        let text = text.replace('@', &log::now());
        let line = task::line(&node, &format!("*** JOB {job} ON {node} {text} ***"));
        let writable = PollFd::new(stderr, PollFlags::OUT);
        // A pipe that nobody reads must not hold us up.
        if poll(&mut [writable], Some(&Timespec::default())).is_ok_and(|ready| ready > 0) {
            let _ = rustix::io::write(stderr, line.as_bytes());
            self.told = true;
        }
    }
}

fn about(brief: &Brief) -> About {
    let (launch, mut about) = (&brief.launch, About::default());
    for entry in &launch.spank_job_env {
        // Users have a say in these: nothing else must come to a program that runs as root.
        if let Some((name, value)) = entry.lossy().split_once('=')
            && name.starts_with("SPANK_")
        {
            about.set(name, value);
        }
    }
    let user = task::user(brief);
    for (name, value) in [
        ("SLURMD_NODENAME", brief.node.bytes()),
        ("SLURM_CONF", brief.conf.bytes()),
        ("SLURM_CLUSTER_NAME", brief.cluster.bytes()),
        ("SLURM_JOB_WORK_DIR", launch.work_dir.bytes()),
        ("SLURM_JOB_USER", user.as_bytes()),
        ("SLURM_NODELIST", launch.nodes.bytes()),
        ("SLURM_JOB_PARTITION", launch.partition.bytes()),
        ("SLURM_SCRIPT_CONTEXT", b"prolog_slurmd"),
        ("SLURM_JOB_CPUS_PER_NODE", environment::cpus(launch).as_bytes()),
    ] {
        about.set(name, value);
    }
    for (name, value) in [
        ("SLURM_JOB_ID", launch.job_id),
        ("SLURM_JOBID", launch.job_id),
        ("SLURM_JOB_UID", launch.uid),
        ("SLURM_UID", launch.uid),
        ("SLURM_JOB_GID", launch.gid),
    ] {
        about.set(name, value.to_string());
    }
    if let Ok(cred) = launch.cred.0.cred() {
        about.permitted(&cred);
    }
    about
}

/// A child that has ended and was not reaped, and what wait(2) would say of it.
fn over() -> Option<(Pid, u32)> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the pointer is to a local; its fields are read only if a child was found.
    let (pid, status, code) = unsafe {
        if libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), look) != 0 {
            return None;
        }
        let info = info.assume_init();
        (info.si_pid(), info.si_status() as u32, info.si_code)
    };
    let raw = match code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status & 0x7f | 0x80,
        _ => status & 0x7f,
    };
    Some((Pid::from_raw(pid)?, raw))
}

fn ready<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    limit: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    let limit = limit.map(|limit| Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    match poll(&mut fds, limit.as_ref()) {
        Err(rustix::io::Errno::INTR) => Ok([false; N]),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(fds.map(|fd| !fd.revents().is_empty())),
    }
}
