//! SlurmctldPrimaryOnProg and SlurmctldPrimaryOffProg.
//!
//! Invariants: nothing is served before OnProg has ended, or its time has; what came of it is in
//! the log; one that hangs is killed with all that it has started.

use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs the program of that parameter. Waits for it.
pub fn run(parameter: &str, program: Option<&str>) {
    let Some(program) = program.filter(|program| !program.is_empty()) else { return };
    match run_within(program, LIMIT) {
        Ok(status) => tracing::info!("{parameter}={program}: {status}"),
        Err(why) => tracing::error!("{parameter}={program}: {why}"),
    }
}

/// How it ended, if it ended well; else why not.
fn run_within(program: &str, limit: Duration) -> Result<ExitStatus, String> {
    let began = Instant::now();
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    loop {
        match child.try_wait() {
            Ok(None) if began.elapsed() < limit => std::thread::sleep(Duration::from_millis(2)),
            Ok(Some(status)) if status.success() => return Ok(status),
            Ok(Some(status)) => return Err(status.to_string()),
            Ok(None) => {
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                let _ = child.wait();
                return Err(format!("killed, for it took more than {} s", limit.as_secs_f32()));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn script(dir: &Path, text: &str) -> String {
        let path = dir.join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    #[test]
    fn what_a_program_has_come_to_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let said = |text: &str| run_within(&script(dir.path(), text), Duration::from_secs(60));
        assert_eq!(said("exit 0").unwrap().to_string(), "exit status: 0");
        assert_eq!(said("exit 3"), Err("exit status: 3".to_owned()));
        assert_eq!(said("kill -9 $$"), Err("signal: 9 (SIGKILL)".to_owned()));
        let missing = run_within("/nonexistent/program", LIMIT);
        assert!(missing.unwrap_err().contains("No such file"));
    }

    #[test]
    fn one_that_hangs_is_killed_with_all_that_it_has_started() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let hangs = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display());
        let program = script(dir.path(), &hangs);
        let said = run_within(&program, Duration::from_secs(1)).unwrap_err();
        assert_eq!(said, "killed, for it took more than 1 s");
        // A machine so busy that it had not begun has nothing to kill.
        let Ok(pid) = std::fs::read_to_string(pid) else { return };
        let state = format!("/proc/{}/stat", pid.trim());
        while std::fs::read_to_string(&state).is_ok_and(|stat| !stat.contains(") Z ")) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
