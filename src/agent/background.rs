//! Goes to the background: the program that was started waits, and ends with what became of it.
//!
//! Invariants: it forks before any thread is there, twice, so that no terminal can come back; the
//! one that was started ends with 0 when the agent's port is open and its jobs are found, and only
//! then; where the agent ends before, with 1, and what it said was on stderr.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::exit;

/// The way to whoever waits, if anybody does. It goes after what went wrong was said.
#[derive(Debug)]
pub struct Waiting(Option<Starter>);

#[derive(Debug)]
struct Starter {
    waits: io::PipeWriter,
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
        let Some(mut starter) = self.0.take() else { return Ok(()) };
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let null = rustix::fs::open("/dev/null", flags, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        if !keep_stderr {
            rustix::stdio::dup2_stderr(&null)?;
        }
        starter.waits.write_all(&[1])
    }
}

/// Goes on in the background; only the program there returns.
///
/// # Errors
/// Those of the system.
pub fn begin() -> io::Result<Waiting> {
    let (mut reader, writer) = io::pipe()?;
    if fork()? {
        drop(writer);
        let mut said = Vec::new();
        // The end of the pipe without a word: the agent is gone.
        let _ = reader.read_to_end(&mut said);
        exit(i32::from(said != [1]));
    }
    drop(reader);
    rustix::process::setsid()?;
    if fork()? {
        exit(0);
    }
    rustix::process::umask(Mode::from_bits_truncate(0o022));
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    Ok(Waiting(Some(Starter { waits: writer, stderr })))
}

/// Whether this is the one that was there before.
fn fork() -> io::Result<bool> {
    // SAFETY: no other thread is there yet, so the child has everything in a state that it may use.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { .. } => Ok(true),
        nix::unistd::ForkResult::Child => Ok(false),
    }
}
