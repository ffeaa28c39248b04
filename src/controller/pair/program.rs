//! SlurmctldPrimaryOnProg and SlurmctldPrimaryOffProg.
//!
//! Invariants: nothing is served before OnProg has ended, or its time has; what came of it is in
//! the log; one that hangs is killed with all that it has started.

use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs the program of that parameter. Waits for it.
pub fn run(parameter: &str, program: Option<&str>) {
    let Some(program) = program.filter(|program| !program.is_empty()) else { return };
    let began = Instant::now();
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return tracing::error!("{parameter}={program}: {error}"),
    };
    let ended = loop {
        match child.try_wait() {
            Ok(None) if began.elapsed() < LIMIT => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Ok(ended) => break ended,
            Err(error) => return tracing::error!("{parameter}={program}: {error}"),
        }
    };
    match ended {
        Some(status) if status.success() => {
            tracing::info!("{parameter}={program}: {status}");
        }
        Some(status) => tracing::error!("{parameter}={program}: {status}"),
        None => {
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
            let limit = LIMIT.as_secs();
            tracing::error!("{parameter}={program}: killed, for it took more than {limit} s");
        }
    }
}
