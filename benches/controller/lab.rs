//! A controller with a key file, or a null server in its place, and who asks them.

use crate::cluster::{Controller, Process, free_port, until};
use crate::flags::Flags;
use crate::keyed;
use statedir::slurm::auth::Auth;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// The program under test.
pub const OURS: &str = env!("CARGO_BIN_EXE_slurmctld");

/// Nodes that nobody is: jobs wait.
pub const CLUSTER: &str = "SlurmdPort=1\nMaxJobCount=4000000\n\
    NodeName=n[1-4] CPUs=2 RealMemory=1000 NodeAddr=127.0.0.1 State=DOWN\n\
    PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n";

/// A directory of this run.
pub fn scratch(flags: &Flags) -> tempfile::TempDir {
    std::fs::create_dir_all(&flags.dir).unwrap();
    let dir = std::fs::canonicalize(&flags.dir).unwrap();
    let dir = tempfile::tempdir_in(dir).unwrap();
    // munged's users come by.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    dir
}

/// Our controller under `auth/key`, not started.
pub fn ours_with_key(dir: &Path) -> (Controller, Arc<Auth>, PathBuf) {
    let (ours, auth, key_file) = keyed::configure(dir, CLUSTER);
    (ours, Arc::new(auth), key_file)
}

/// The null server, as a process of its own.
pub fn null(args: &[&str]) -> (Process, u16) {
    let port = free_port();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--null", &port.to_string()])
        .args(args)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process(child);
    until("the null server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    (process, port)
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Says whether a goal is met.
pub fn judge(what: &str, found: f64, goal: f64, above: bool) {
    let met = if above { found >= goal } else { found <= goal };
    let (sign, word) = (if above { "≥" } else { "≤" }, if met { "met" } else { "NOT MET" });
    println!("  {what}: {found:.3} (goal {sign} {goal}: {word})");
}
