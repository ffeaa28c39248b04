//! Programs that a test waits for, and not for ever.
//!
//! What they say goes to files: a pipe that one of their children keeps open is waited for, too.

use std::io::{Read, Seek, Write};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(180);

/// The longest time between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until a program has ended; one that does not is killed, and the test fails.
pub fn ended(child: &mut Child, what: &dyn std::fmt::Debug) -> ExitStatus {
    status(child).unwrap_or_else(|| panic!("it did not end within {PATIENCE:?}: {what:?}"))
}

/// `None`: it had to be killed.
fn status(child: &mut Child) -> Option<ExitStatus> {
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

/// Runs a program to its end: how it ended, and what it said.
pub fn output(command: &mut Command) -> Output {
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
    output(command.stdin(Stdio::from(file)))
}
