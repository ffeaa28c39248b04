//! What a test waits for, and not for ever.
//!
//! What programs say goes to files: a pipe that a child of theirs keeps open is waited for, too.

use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a program, or whatever must come, may take. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(180);

/// The longest time between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Does something when it goes, also where a test fails: threads that wait for it would keep the
/// test from ever ending.
pub struct AtEnd<F: Fn()>(pub F);

impl<F: Fn()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Sets a flag when it goes.
pub fn sets(flag: &AtomicBool) -> AtEnd<impl Fn()> {
    AtEnd(|| flag.store(true, Ordering::Release))
}

/// Waits until `ready` says so.
pub fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !ready() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a program to talk with. The kernel ends it when it takes too long: whoever reads what it
/// says, writes to it or waits for it goes on then.
pub fn spawn(command: &mut Command) -> Child {
    let seconds = u32::try_from(PATIENCE.as_secs()).unwrap();
    let alarm = move || {
        // SAFETY: a system call alone, of those that may be between fork and exec.
        unsafe { libc::alarm(seconds) };
        Ok(())
    };
    // SAFETY: see there. What it has set outlives exec.
    let command = unsafe { command.pre_exec(alarm) };
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Waits until a program has ended; one that does not is killed, and the test fails.
pub fn ended(child: &mut Child, what: &dyn std::fmt::Debug) -> ExitStatus {
    status(child).unwrap_or_else(|| panic!("it did not end within {PATIENCE:?}: {what:?}"))
}

/// Without a word where it does not; `None`: it had to be killed.
pub fn status(child: &mut Child) -> Option<ExitStatus> {
    let (end, mut look) = (Instant::now() + PATIENCE, Duration::from_millis(1));
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() >= end {
            let _ = child.kill();
            return None;
        }
        std::thread::sleep(look);
        look = (look * 2).min(LOOK);
    }
}

fn text_of(mut file: std::fs::File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Runs a program to its end, with nothing to read: how it ended, and what it said.
pub fn output(command: &mut Command) -> Output {
    run(command.stdin(Stdio::null()))
}

fn run(command: &mut Command) -> Output {
    let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let status = status(&mut child);
    let (stdout, stderr) = (text_of(stdout), text_of(stderr));
    let Some(status) = status else {
        let [out, err] = [&stdout, &stderr].map(|of| String::from_utf8_lossy(of));
        panic!("it did not end within {PATIENCE:?}: {command:?}\n{out}\n{err}");
    };
    Output { status, stdout, stderr }
}

/// The same, with something to read.
pub fn output_of(command: &mut Command, stdin: &[u8]) -> Output {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(stdin).unwrap();
    file.rewind().unwrap();
    run(command.stdin(Stdio::from(file)))
}
