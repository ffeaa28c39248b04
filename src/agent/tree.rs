//! Every process of a job, however it forked and detached.
//!
//! | net | catches | where |
//! |---|---|---|
//! | a cgroup (version 2) of the job's own | whatever descends from the script | where the agent may make one: as root, or in a folder delegated to it |
//! | the supervisor, as subreaper | whatever descends from the script, as long as the supervisor lives | everywhere |
//! | SLURM_JOB_ID, SLURMD_NODENAME and SLURM_CONF in the environment | what did not change its own | if the supervisor was killed and there is no cgroup |
//!
//! Invariant: a process is signalled through a descriptor that was checked to be the process that
//! was seen: never by a number that may be another's by now.

use crate::agent::spool::Folder;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Folder of our cgroups, in the agent's own.
const GROUPS: &str = "statedir";

/// A process as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub pid: i32,
    parent: i32,
    state: u8,
    began: u64,
}

/// Reads /proc/PID/stat.
fn stat(pid: i32) -> Option<Seen> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 2..)?).ok()?;
    let mut words = rest.split(' ');
    let state = *words.next()?.as_bytes().first()?;
    let parent = words.next()?.parse().ok()?;
    let began = words.nth(17)?.parse().ok()?;
    Some(Seen { pid, parent, state, began })
}

/// Whether a process is there that has not ended.
pub fn lives(pid: i32) -> bool {
    stat(pid).is_some_and(|seen| !matches!(seen.state, b'Z' | b'X'))
}

fn everybody() -> Vec<Seen> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(stat).collect()
}

/// Whatever descends from `root`, zombies left out.
fn descendants(root: i32) -> Vec<Seen> {
    let mut children: HashMap<i32, Vec<Seen>> = HashMap::new();
    for seen in everybody() {
        children.entry(seen.parent).or_default().push(seen);
    }
    let (mut found, mut next) = (Vec::new(), vec![root]);
    while let Some(pid) = next.pop() {
        for seen in children.remove(&pid).into_iter().flatten() {
            next.push(seen.pid);
            if !matches!(seen.state, b'Z' | b'X') {
                found.push(seen);
            }
        }
    }
    found
}

/// The processes of a job.
#[derive(Debug)]
pub struct Tree {
    group: Option<PathBuf>,
    own: Option<i32>,
    words: Option<[Vec<u8>; 3]>,
}

impl Tree {
    /// For a supervisor: its descendants, and its job's cgroup if there is one.
    pub fn of_supervisor(group: Option<PathBuf>) -> Tree {
        let own = i32::try_from(std::process::id()).expect("ids are positive");
        Tree { group, own: Some(own), words: None }
    }

    /// For the agent, after a supervisor was killed. The configuration is a part of it: another
    /// cluster's agent on this host may have a node and a job of the same names.
    pub fn orphaned(group: Option<PathBuf>, job_id: u32, node: &str, conf: &str) -> Tree {
        let words = [
            format!("SLURM_JOB_ID={job_id}"),
            format!("SLURMD_NODENAME={node}"),
            format!("SLURM_CONF={conf}"),
        ];
        Tree { group, own: None, words: Some(words.map(String::into_bytes)) }
    }

    /// Everybody in it who lives.
    pub fn members(&self) -> Vec<Seen> {
        let mut found = self.own.map_or_else(Vec::new, descendants);
        let known: HashSet<i32> = found.iter().map(|seen| seen.pid).collect();
        if let Some(group) = &self.group {
            let pids = group_members(group).into_iter().filter(|pid| !known.contains(pid));
            let alive = |seen: &Seen| !matches!(seen.state, b'Z' | b'X');
            found.extend(pids.filter_map(stat).filter(alive));
        } else if let Some(words) = &self.words {
            let marked = |seen: &Seen| {
                let bytes = fs::read(format!("/proc/{}/environ", seen.pid)).unwrap_or_default();
                words.iter().all(|word| bytes.split(|byte| *byte == 0).any(|entry| entry == word))
            };
            found.extend(everybody().into_iter().filter(marked));
        }
        found
    }

    /// Signals everybody in it; how many there were.
    pub fn signal(&self, number: i32) -> usize {
        if number == libc::SIGKILL
            && let Some(group) = &self.group
        {
            // One write, which forks cannot outrun.
            let _ = fs::write(group.join("cgroup.kill"), "1");
        }
        let members = self.members();
        members.iter().for_each(|seen| signal(*seen, number));
        members.len()
    }
}

fn group_members(group: &Path) -> Vec<i32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(group_members(&entry.path()));
        }
    }
    found
}

/// Signals a process that was seen, if it is still that one.
fn signal(seen: Seen, number: i32) {
    let Some(pid) = Pid::from_raw(seen.pid) else { return };
    let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if stat(seen.pid).is_some_and(|now| now.began == seen.began) {
        send(&descriptor, number);
    }
}

/// Signals the process of a descriptor.
pub fn send(descriptor: &OwnedFd, number: i32) {
    let nothing: *const libc::c_void = std::ptr::null();
    // SAFETY: a descriptor that is open, no siginfo, no flags.
    unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, descriptor.as_raw_fd(), number, nothing, 0_u32);
    }
}

/// The folder in which cgroups of jobs are made, if they can be made at all.
pub fn groups() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let place = left.split(' ').nth(4)?;
        right.starts_with("cgroup2 ").then(|| PathBuf::from(place))
    })?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
    let groups = mount.join(own).join(GROUPS);
    match fs::create_dir(&groups) {
        Ok(()) => Some(groups),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Some(groups),
        Err(_) => None,
    }
}

/// Makes the cgroup of a job, empty; `None` where it cannot be.
pub fn make_group(groups: &str, folder: &Folder) -> Option<PathBuf> {
    if groups.is_empty() {
        return None;
    }
    // Several agents share a host in tests: the place of the spool tells their jobs apart.
    let name = folder.path().to_string_lossy().replace('/', "-");
    let group = Path::new(groups).join(name.trim_start_matches('-'));
    match fs::create_dir(&group) {
        Ok(()) => Some(group),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            group_members(&group).is_empty().then_some(group)
        }
        Err(_) => None,
    }
}

/// Removes a cgroup that is empty.
pub fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
