//! What this machine has, from /proc and /sys. What cannot be read counts as one, or as nothing:
//! the controller compares it with slurm.conf.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Processors, memory, room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Threads of all cores.
    pub cpus: u16,
    /// Sockets.
    pub sockets: u16,
    /// Cores of a socket.
    pub cores: u16,
    /// Threads of a core.
    pub threads: u16,
    /// MiB.
    pub memory_mb: u64,
}

fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What the machine has.
pub fn look() -> Machine {
    let (mut cpus, mut cores, mut sockets) = (0_u16, BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let of_cpu = name.strip_prefix("cpu").is_some_and(|rest| rest.parse::<u16>().is_ok());
        let topology = entry.path().join("topology");
        let core: Option<i64> = number(&topology.join("core_id"));
        let (true, Some(core)) = (of_cpu, core) else { continue };
        let socket: i64 = number(&topology.join("physical_package_id")).unwrap_or(0);
        cpus += 1;
        sockets.insert(socket);
        cores.insert((socket, core));
    }
    if cpus == 0 {
        let known = std::thread::available_parallelism().map_or(1, usize::from);
        let cpus = u16::try_from(known).unwrap_or(u16::MAX);
        return Machine { cpus, sockets: 1, cores: cpus, threads: 1, memory_mb: memory_mb() };
    }
    let count = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).max(1);
    let (sockets, all) = (count(sockets.len()), count(cores.len()));
    let cores = (all / sockets).max(1);
    Machine { cpus, sockets, cores, threads: (cpus / all).max(1), memory_mb: memory_mb() }
}

fn meminfo(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.trim_matches([':', ' ']).split(' ').next()?.parse().ok()).unwrap_or(0)
        / 1024
}

fn memory_mb() -> u64 {
    meminfo("MemTotal")
}

/// Memory that nobody uses, in MiB.
pub fn free_mb() -> u64 {
    meminfo("MemFree")
}

/// Room in all of the file system of `path`, in MiB.
pub fn room_mb(path: &str) -> u32 {
    let facts = rustix::fs::statvfs(path);
    facts.map_or(0, |facts| {
        u32::try_from(facts.f_blocks.saturating_mul(facts.f_frsize) >> 20).unwrap_or(u32::MAX)
    })
}

/// Seconds since the machine started.
pub fn uptime_s() -> u32 {
    u32::try_from(rustix::system::sysinfo().uptime).unwrap_or(0)
}

/// The load of the last five minutes, times 100, as Slurm's agent tells it.
pub fn load() -> u32 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0.0);
    (load * 100.0) as u32
}

/// The lines that `slurmd -C` prints.
pub fn describe(host: &str) -> String {
    let Machine { cpus, sockets, cores, threads, memory_mb } = look();
    let up = uptime_s();
    let (days, hours, minutes, seconds) = (up / 86_400, up / 3_600 % 24, up / 60 % 60, up % 60);
    format!(
        "NodeName={host} CPUs={cpus} Boards=1 SocketsPerBoard={sockets} CoresPerSocket={cores} \
         ThreadsPerCore={threads} RealMemory={memory_mb}\n\
         UpTime={days}-{hours:02}:{minutes:02}:{seconds:02}\n"
    )
}
