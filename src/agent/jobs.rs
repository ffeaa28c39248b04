//! The jobs that are here. What is known of them is in their folders; this table is only an index,
//! made again at every start.
//!
//! What a folder means, for whoever gets its lock (so that no supervisor lives):
//!
//! | `end` | `started` | `orders` | what happened | what is done |
//! |---|---|---|---|---|
//! | yes | any | no | it ended, nothing is left | report it |
//! | yes | any | yes | it ended, its supervisor was killed | kill what is left, report it |
//! | no | yes | any | its supervisor was killed while it ran | kill it; it ended by signal 9 |
//! | no | no | any | its supervisor was killed before it ran | it could not be started |
//!
//! Invariants: a job is settled only under its folder's lock, which is kept until the folder is
//! gone, so that nobody can become its supervisor any more; a report that was taken removes the
//! folder that it was about, never that of a later run of the same job.

use crate::agent::controllers::Patience;
use crate::agent::log::{error, info};
use crate::agent::report;
use crate::agent::setup::{Setup, now};
use crate::agent::spool::{self, Ended, Folder, LAUNCH, Lock, SCRIPT};
use crate::agent::supervisor::SPAWN_FAILED;
use crate::agent::tree::{self, Tree};
use crate::agent::{log, orders};
use crate::slurm::wire::Time;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::FlockOperation;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Threads that report.
const REPORTERS: usize = 4;
/// Between two reports of an end that nobody takes.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a lock is waited for whose holder is seen to have ended.
const LOCK_LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);
/// Slurm's wait status of a job whose supervisor was killed.
const KILLED: u32 = 9;

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has a supervisor.
    Runs,
    /// It has ended, nothing of it is left but the report.
    Over,
}

/// Which run of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// When it was permitted.
    pub permitted_at: i64,
    /// How often it was restarted before.
    pub restarts: u16,
}

#[derive(Debug)]
struct Entry {
    state: State,
    run: Run,
    uid: u32,
    serial: u64,
    supervisor: Option<Arc<OwnedFd>>,
    child: Option<Child>,
    _lock: Option<Lock>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<u32, Entry>,
    serial: u64,
    reports: VecDeque<(u32, u64)>,
    ending: HashSet<u32>,
}

/// The index.
#[derive(Debug)]
pub struct Jobs {
    spool: PathBuf,
    node: String,
    table: Mutex<Table>,
    changed: Condvar,
    wake: PipeWriter,
    woken: Mutex<PipeReader>,
}

/// The sign that an agent lives, as long as it is held.
#[derive(Debug)]
pub struct Alive(#[expect(dead_code, reason = "held")] File);

/// Becomes the agent of a spool; `None`: somebody else is.
///
/// # Errors
/// Those of the file system.
pub fn become_agent(spool: &Path) -> io::Result<Option<Alive>> {
    let path = spool.join("agent.lock");
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    // Supervisors look by sharing it for an instant.
    let until = Instant::now() + Duration::from_secs(2);
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0)?;
                writeln!(&file, "{}", std::process::id())?;
                return Ok(Some(Alive(file)));
            }
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => {
                std::thread::sleep(LOOK);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether an agent lives that serves this spool. The lock alone does not say so: an agent that was
/// killed while it started a process leaves it to that process, for an instant.
pub fn agent_lives(spool: &Path) -> bool {
    let path = spool.join("agent.lock");
    let Ok(mut file) = File::open(path) else { return false };
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return false;
    }
    let mut pid = String::new();
    // Empty: it has got the lock this instant.
    let read = file.read_to_string(&mut pid).is_ok();
    read && pid.trim().parse().map_or(true, tree::lives)
}

/// The jobs of a spool that a controller is to know of.
pub fn here(spool: &Path) -> Vec<u32> {
    let known = |id: &u32| match Folder::of(spool, *id).ended() {
        Ok(Some(ended)) => ended.kind == SCRIPT,
        _ => true,
    };
    let mut found: Vec<u32> =
        spool::jobs(spool).unwrap_or_default().into_iter().filter(known).collect();
    found.sort_unstable();
    found
}

impl Jobs {
    /// Finds the jobs of a spool again.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(spool: &Path, node: &str) -> io::Result<Arc<Jobs>> {
        let (woken, wake) = io::pipe()?;
        for end in [woken.as_fd(), wake.as_fd()] {
            let flags = rustix::fs::fcntl_getfl(end)?;
            rustix::fs::fcntl_setfl(end, flags | rustix::fs::OFlags::NONBLOCK)?;
        }
        let jobs = Arc::new(Jobs {
            spool: spool.to_owned(),
            node: node.to_owned(),
            table: Mutex::default(),
            changed: Condvar::new(),
            wake,
            woken: Mutex::new(woken),
        });
        spool::sweep(spool)?;
        for id in spool::jobs(spool)? {
            if let Err(why) = jobs.find(id) {
                error!("job {id}: {why}");
            }
        }
        Ok(jobs)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nobody panics with it")
    }

    /// The folder of a job.
    pub fn folder(&self, id: u32) -> Folder {
        Folder::of(&self.spool, id)
    }

    /// A job that was here before the agent was.
    fn find(&self, id: u32) -> io::Result<()> {
        let folder = self.folder(id);
        let brief = folder.brief()?;
        let launch = &brief.launch;
        let run = Run { permitted_at: brief.permitted_at.0, restarts: launch.restart_cnt };
        let serial = self.insert(id, run, launch.uid, None);
        match folder.lock()? {
            Some(lock) => {
                info!("job {id} has no supervisor any more");
                self.settle(id, serial, lock);
            }
            None => {
                let descriptor = supervisor(&folder)?;
                info!("job {id} is found again");
                self.supervised(id, serial, descriptor);
            }
        }
        Ok(())
    }

    fn insert(&self, id: u32, run: Run, uid: u32, child: Option<Child>) -> u64 {
        let mut table = self.table();
        table.serial += 1;
        let serial = table.serial;
        let state = State::Runs;
        let entry = Entry { state, run, uid, serial, supervisor: None, child, _lock: None };
        table.entries.insert(id, entry);
        serial
    }

    fn supervised(&self, id: u32, serial: u64, descriptor: OwnedFd) {
        let mut table = self.table();
        if let Some(entry) = table.entries.get_mut(&id).filter(|entry| entry.serial == serial) {
            entry.supervisor = Some(Arc::new(descriptor));
        }
        drop(table);
        let _ = (&self.wake).write(&[0]);
    }

    /// A job has a supervisor from now on: our child, and a descriptor of it.
    pub fn begin(&self, id: u32, run: Run, uid: u32, child: Child, descriptor: OwnedFd) {
        let serial = self.insert(id, run, uid, Some(child));
        self.supervised(id, serial, descriptor);
    }

    /// How far a job is, which run of it, and whose.
    pub fn state(&self, id: u32) -> Option<(State, Run, u32)> {
        self.table().entries.get(&id).map(|entry| (entry.state, entry.run, entry.uid))
    }

    /// Waits until nothing is left of a job but its report; whether that is so.
    pub fn wait_over(&self, id: u32, limit: Duration) -> bool {
        self.wait(limit, |table| {
            table.entries.get(&id).is_none_or(|entry| entry.state == State::Over)
        })
    }

    /// Waits until nothing is left of a job; whether that is so.
    pub fn wait_gone(&self, id: u32, limit: Duration) -> bool {
        self.wait(limit, |table| !table.entries.contains_key(&id))
    }

    fn wait(&self, limit: Duration, done: impl Fn(&Table) -> bool) -> bool {
        let wait = self.changed.wait_timeout_while(self.table(), limit, |table| !done(table));
        !wait.expect("nobody panics with it").1.timed_out()
    }

    /// Forgets a job of which nothing is left but the report. `false`: it still runs.
    pub fn supersede(&self, id: u32) -> bool {
        let mut table = self.table();
        match table.entries.get(&id).map(|entry| entry.state) {
            Some(State::Runs) => false,
            Some(State::Over) => {
                info!("job {id}: the controller has moved on, its end is not reported any more");
                self.drop_entry(&mut table, id);
                true
            }
            None => true,
        }
    }

    fn drop_entry(&self, table: &mut Table, id: u32) {
        if let Err(why) = self.folder(id).remove()
            && why.kind() != io::ErrorKind::NotFound
        {
            error!("job {id}: its folder cannot be removed: {why}");
        }
        table.entries.remove(&id);
        self.changed.notify_all();
    }

    /// Whether nobody else is ending this job; then the caller is, until [`Jobs::ended`].
    pub fn begin_ending(&self, id: u32) -> bool {
        self.table().ending.insert(id)
    }

    /// The caller is not ending it any more.
    pub fn ended(&self, id: u32) {
        self.table().ending.remove(&id);
    }

    /// Waits for supervisors to end, and settles their jobs. For ever.
    pub fn watch(self: Arc<Jobs>) {
        loop {
            let watched: Vec<(u32, u64, Arc<OwnedFd>)> = {
                let table = self.table();
                let entries = table.entries.iter().filter_map(|(id, entry)| {
                    Some((*id, entry.serial, Arc::clone(entry.supervisor.as_ref()?)))
                });
                entries.collect()
            };
            let mut woken = self.woken.lock().expect("only this thread has it");
            let mut fds: Vec<PollFd<'_>> = vec![PollFd::new(&*woken, PollFlags::IN)];
            fds.extend(watched.iter().map(|(_, _, fd)| PollFd::new(fd.as_ref(), PollFlags::IN)));
            if poll(&mut fds, None).is_err() {
                continue;
            }
            let over: Vec<bool> = fds[1..].iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            let _ = woken.read(&mut [0; 64]);
            drop(woken);
            for ((id, serial, _), _) in watched.iter().zip(over).filter(|(_, over)| *over) {
                self.supervisor_ended(*id, *serial);
            }
        }
    }

    fn supervisor_ended(self: &Arc<Jobs>, id: u32, serial: u64) {
        let mut table = self.table();
        let Some(entry) = table.entries.get_mut(&id).filter(|entry| entry.serial == serial) else {
            return;
        };
        entry.supervisor = None;
        if let Some(mut child) = entry.child.take() {
            let _ = child.wait();
        }
        let folder = self.folder(id);
        if !folder.path().exists() {
            table.entries.remove(&id);
            self.changed.notify_all();
            return;
        }
        drop(table);
        let clean = !folder.file(orders::NAME).exists();
        if let (true, Ok(Some(lock))) = (clean, folder.lock()) {
            return self.settle(id, serial, lock);
        }
        // It was killed: what it left may take a while.
        let jobs = Arc::clone(self);
        let settle = move || {
            let until = Instant::now() + LOCK_LIMIT;
            loop {
                match jobs.folder(id).lock() {
                    Ok(Some(lock)) => return jobs.settle(id, serial, lock),
                    Ok(None) if Instant::now() < until => std::thread::sleep(LOOK),
                    other => return error!("job {id}: its folder cannot be locked: {other:?}"),
                }
            }
        };
        spawn("settle", settle);
    }

    /// Finds out how a job ended whose supervisor is gone, and has it reported.
    fn settle(&self, id: u32, serial: u64, lock: Lock) {
        match self.judge(id) {
            Ok(()) => {}
            Err(why) => error!("job {id}: how it ended cannot be kept: {why}"),
        }
        let mut table = self.table();
        if let Some(entry) = table.entries.get_mut(&id).filter(|entry| entry.serial == serial) {
            entry.state = State::Over;
            entry._lock = Some(lock);
            table.reports.push_back((id, serial));
        }
        self.changed.notify_all();
    }

    fn judge(&self, id: u32) -> io::Result<()> {
        let folder = self.folder(id);
        let (ended, started) = (folder.ended()?, folder.started()?);
        if let (Some(started), true) = (&started, folder.file(orders::NAME).exists()) {
            let group = started.cgroup.as_str().filter(|text| !text.is_empty()).map(PathBuf::from);
            let conf = folder.brief()?.conf;
            let tree = Tree::orphaned(group.clone(), id, &self.node, &conf.lossy());
            let found = tree.members().len();
            info!("job {id}: its supervisor was killed, and {found} processes are left to kill");
            while tree.signal(libc::SIGKILL) > 0 {
                std::thread::sleep(LOOK);
            }
            if let Some(group) = group {
                tree::remove_group(&group);
            }
        }
        if ended.is_none() {
            let brief = folder.brief()?;
            let (kind, job_rc, slurm_rc) =
                if started.is_some() { (SCRIPT, KILLED, 0) } else { (LAUNCH, 0, SPAWN_FAILED) };
            let (job_id, user_id, at) = (id, brief.launch.uid, Time(now()));
            folder.end(&Ended { kind, job_id, job_rc, slurm_rc, user_id, at })?;
        }
        match std::fs::remove_file(folder.file(orders::NAME)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
            _ => Ok(()),
        }
    }

    /// Starts the threads that watch and report.
    pub fn start(self: &Arc<Jobs>, setup: impl Fn() -> Arc<Setup> + Clone + Send + 'static) {
        let jobs = Arc::clone(self);
        spawn("watch", move || jobs.watch());
        for _ in 0..REPORTERS {
            let (jobs, setup) = (Arc::clone(self), setup.clone());
            spawn("report", move || jobs.report(&setup));
        }
    }

    fn report(&self, setup: &impl Fn() -> Arc<Setup>) {
        loop {
            let (id, serial) = self.next_report();
            let told = match self.folder(id).ended() {
                Ok(Some(ended)) => report::send(&setup(), &ended, Patience::Usual),
                other => Err(format!("its folder: {other:?}")),
            };
            let mut table = self.table();
            let this = table.entries.get(&id).is_some_and(|entry| entry.serial == serial);
            match told {
                _ if !this => {}
                Ok(()) => {
                    log::debug!("job {id}: its end is reported");
                    self.drop_entry(&mut table, id);
                }
                Err(why) => {
                    drop(table);
                    info!("job {id}: its end is not taken yet: {why}");
                    std::thread::sleep(PAUSE);
                    self.table().reports.push_back((id, serial));
                    self.changed.notify_all();
                }
            }
        }
    }

    fn next_report(&self) -> (u32, u64) {
        let mut table = self.table();
        loop {
            if let Some(next) = table.reports.pop_front() {
                return next;
            }
            table = self.changed.wait(table).expect("nobody panics with it");
        }
    }
}

/// The supervisor that holds a folder's lock.
fn supervisor(folder: &Folder) -> io::Result<OwnedFd> {
    let until = Instant::now() + LOCK_LIMIT;
    loop {
        // Empty for an instant after the lock was taken.
        let pid = std::fs::read_to_string(folder.file("lock"))?.trim().parse().ok();
        match pid.and_then(Pid::from_raw).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
            Some(Ok(descriptor)) => return Ok(descriptor),
            _ if Instant::now() > until => {
                return Err(io::Error::other("it is locked, and its supervisor is not found"));
            }
            _ => std::thread::sleep(LOOK),
        }
    }
}

/// A thread with a small stack.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    let builder = std::thread::Builder::new().name(name.to_owned()).stack_size(256 << 10);
    if let Err(why) = builder.spawn(work) {
        error!("a thread to {name}: {why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_lives_as_long_as_its_process_whoever_still_holds_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!agent_lives(dir.path()));
        let alive = become_agent(dir.path()).unwrap().unwrap();
        assert!(agent_lives(dir.path()));
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        std::fs::write(dir.path().join("agent.lock"), format!("{}\n", ended.id())).unwrap();
        assert!(!agent_lives(dir.path()), "the lock is left to a process that it started");
        std::fs::write(dir.path().join("agent.lock"), "").unwrap();
        assert!(agent_lives(dir.path()), "it is about to write who it is");
        drop(alive);
        assert!(!agent_lives(dir.path()));
    }
}
