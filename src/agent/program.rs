//! Programs of the operator: prolog, epilog, health check. Run as the agent's own user, in a
//! process group of their own, which is killed at their limit; what they leave behind on purpose
//! stays.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Most bytes of a program's output that are kept.
const OUTPUT_MAX: usize = 64 << 10;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What wait(2) said; `None`: it was killed at its limit.
    pub status: Option<i32>,
    /// The beginning of what it wrote.
    pub output: String,
}

impl Done {
    /// Whether it ended well.
    pub fn well(&self) -> bool {
        self.status == Some(0)
    }
}

/// Runs a program with nothing but `environment`.
///
/// # Errors
/// It cannot be started.
pub fn run(
    path: &str,
    environment: &[(String, Vec<u8>)],
    limit: Option<Duration>,
) -> std::io::Result<Done> {
    run_command(Command::new(path), environment, limit)
}

/// As [`run`], with arguments.
///
/// # Errors
/// It cannot be started.
pub fn run_command(
    mut command: Command,
    environment: &[(String, Vec<u8>)],
    limit: Option<Duration>,
) -> std::io::Result<Done> {
    use std::os::unix::ffi::OsStrExt;
    let vars = environment.iter().map(|(name, value)| (name, std::ffi::OsStr::from_bytes(value)));
    let (mut ours, theirs) = std::io::pipe()?;
    command.env_clear().envs(vars).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(theirs.try_clone()?).stderr(theirs);
    let mut child = command.spawn()?;
    drop(command);
    let until = limit.map(|limit| Instant::now() + limit);
    let mut output = Vec::new();
    let pid = rustix::process::Pid::from_child(&child);
    let ended = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
    // Who inherits the output may live on, so that its end is not waited for: only the program's.
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let (over, readable) = ready(ended.as_fd(), ours.as_fd(), left)?;
        if readable && take(&mut ours, &mut output)? {
            continue;
        }
        if over {
            break;
        }
        if readable {
            // Its output is closed, and the program goes on.
            let only = ready(ended.as_fd(), ended.as_fd(), left)?;
            if only.0 {
                break;
            }
        }
        if left.is_some_and(|left| left.is_zero()) {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            child.wait()?;
            return Ok(Done { status: None, output: text(output) });
        }
    }
    let status = child.wait()?.into_raw();
    Ok(Done { status: Some(status), output: text(output) })
}

fn text(output: Vec<u8>) -> String {
    String::from_utf8_lossy(&output).into_owned()
}

/// Reads what is there; whether there was any.
fn take(from: &mut std::io::PipeReader, output: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut buffer = [0; 4096];
    let got = from.read(&mut buffer)?;
    let room = OUTPUT_MAX.saturating_sub(output.len());
    output.extend(&buffer[..got.min(room)]);
    Ok(got > 0)
}

fn ready(
    a: std::os::fd::BorrowedFd<'_>,
    b: std::os::fd::BorrowedFd<'_>,
    left: Option<Duration>,
) -> std::io::Result<(bool, bool)> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds =
        [PollFd::from_borrowed_fd(a, PollFlags::IN), PollFd::from_borrowed_fd(b, PollFlags::IN)];
    let left = left.map(|left| Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    match poll(&mut fds, left.as_ref()) {
        Err(rustix::io::Errno::INTR) | Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    Ok((!fds[0].revents().is_empty(), !fds[1].revents().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn script(text: &str) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = path.display().to_string();
        (dir, path)
    }

    #[test]
    fn a_program_has_its_environment_its_output_and_its_status() {
        let (_dir, path) = script("echo $A; echo b >&2; exit 3");
        let done = run(&path, &[("A".into(), b"x y".to_vec())], None).unwrap();
        assert_eq!(done, Done { status: Some(3 << 8), output: "x y\nb\n".into() });
        assert!(run("/no/such/program", &[], None).is_err());
    }

    #[test]
    fn at_its_limit_it_is_killed_and_what_it_leaves_behind_is_not_waited_for() {
        let (_dir, path) = script("echo first; sleep 600");
        let done = run(&path, &[], Some(Duration::from_millis(300))).unwrap();
        assert_eq!(done, Done { status: None, output: "first\n".into() });
        let (_dir, path) = script("sleep 3 & exec >&- 2>&-; exit 0");
        assert!(run(&path, &[], None).unwrap().well());
    }
}
