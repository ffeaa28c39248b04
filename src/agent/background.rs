//! Whoever waits for the agent that went to the background (`slurm::background`).
//!
//! Invariants: the one that was started ends with 0 when the agent's port is open and its jobs are
//! found, and only then; where the agent ends before, with 1, and what it said was on stderr.

use crate::slurm::background;
use rustix::fs::Mode;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

/// The way to whoever waits, if anybody does. It goes after what went wrong was said.
#[derive(Debug)]
pub struct Waiting(Option<Starter>);

#[derive(Debug)]
struct Starter {
    waits: background::Starter,
    /// Where the log goes nowhere near.
    stderr: File,
}

impl Waiting {
    /// Nobody waits.
    pub fn nobody() -> Waiting {
        Waiting(None)
    }

    /// What went wrong, where the agent was started; the log has it already.
    pub fn complain(&mut self, why: &str) {
        if let Some(starter) = &mut self.0 {
            let _ = starter.stderr.write_all(format!("slurmd: {why}\n").as_bytes());
        }
    }

    /// The agent serves: whoever waits goes, and so do the standard streams; stderr, unless the log
    /// is there.
    ///
    /// # Errors
    /// Those of the system.
    pub fn release(&mut self, keep_stderr: bool) -> io::Result<()> {
        let Some(starter) = self.0.take() else { return Ok(()) };
        background::let_go(keep_stderr)?;
        starter.waits.go()
    }
}

/// Goes on in the background; only the program there returns.
///
/// # Errors
/// Those of the system.
pub fn begin() -> io::Result<Waiting> {
    let waits = background::leave()?;
    rustix::process::umask(Mode::from_bits_truncate(0o022));
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    Ok(Waiting(Some(Starter { waits, stderr })))
}
