//! What a slurmd has started outlives it: the supervisors of its jobs, which would look for a
//! controller for an hour, and what they run. A test ends them, each by its number.
//!
//! They are known by what is this test's alone, never by a program's name: they work in a folder of
//! the slurmd's own, or were told its configuration and its node, or descend from such a process.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What tells that a process is of a slurmd.
pub struct Marks<'a> {
    /// Its working directory, which nobody else is in.
    pub dir: &'a Path,
    /// Its slurm.conf.
    pub conf: &'a Path,
    /// Its node.
    pub node: &'a str,
}

impl Marks<'_> {
    fn fit(&self, pid: u32) -> bool {
        let place = format!("/proc/{pid}");
        if fs::read_link(format!("{place}/cwd")).is_ok_and(|cwd| cwd.starts_with(self.dir)) {
            return true;
        }
        let environment = fs::read(format!("{place}/environ")).unwrap_or_default();
        let has = |wanted: String| {
            environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
        };
        has(format!("SLURM_CONF={}", self.conf.display()))
            && has(format!("SLURMD_NODENAME={}", self.node))
    }

    /// Processes that live and fit, and what descends from them.
    pub fn processes(&self) -> BTreeSet<u32> {
        let all: Vec<(u32, u32)> = living().collect();
        let mut found: BTreeSet<u32> =
            all.iter().map(|(pid, _)| *pid).filter(|pid| self.fit(*pid)).collect();
        loop {
            let children = all.iter().filter(|(_, parent)| found.contains(parent));
            let grown: BTreeSet<u32> =
                found.iter().copied().chain(children.map(|(pid, _)| *pid)).collect();
            if grown.len() == found.len() {
                return found;
            }
            found = grown;
        }
    }

    /// Ends them, and whatever they start meanwhile: none is left afterwards.
    pub fn end(&self) {
        for _ in 0..1_000 {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            for pid in left {
                let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
                // It may have ended by itself.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let left = self.processes();
        // A test that has failed already says why.
        assert!(std::thread::panicking() || left.is_empty(), "they do not end: {left:?}");
    }
}

/// Processes and their parents; those that wait to be buried are not among them.
fn living() -> impl Iterator<Item = (u32, u32)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut words = stat.rsplit_once(") ")?.1.split(' ');
        (words.next()? != "Z").then_some((pid, words.next()?.parse().ok()?))
    })
}
