//! Goes to the background: the program that was started waits, and ends with what became of it.
//!
//! Invariants: it forks before any thread is there, twice, so that no terminal can come back; the
//! one that was started ends with 0 when the controller answers, and only then; where the
//! controller ends before, with 1, and what it said was on stderr.

use rustix::fs::{Mode, OFlags, open};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::process::exit;

/// Whoever waits until the controller answers.
#[derive(Debug)]
pub enum Waiting {
    /// Nobody.
    Nobody,
    /// The process that was started, at the other end of this.
    Starter(io::PipeWriter),
    /// The guard, which tells the others; the standard streams are somebody else's.
    Guard,
}

impl Waiting {
    /// Who waits for a process that has a guard; `stays`: it was started in the foreground.
    #[must_use]
    pub fn of_guard(stays: bool) -> Waiting {
        if stays { Waiting::Nobody } else { Waiting::Guard }
    }

    /// The controller answers: whoever waits goes, and so do the standard streams, stderr only if
    /// it is not needed any more.
    ///
    /// # Errors
    /// Those of the system.
    pub fn release(self, keep_stderr: bool) -> io::Result<()> {
        match self {
            Waiting::Nobody => Ok(()),
            Waiting::Guard => let_go(keep_stderr),
            Waiting::Starter(mut waiting) => {
                let_go(keep_stderr)?;
                waiting.write_all(&[1])
            }
        }
    }
}

/// Lets go of the standard streams of whoever started it.
fn let_go(keep_stderr: bool) -> io::Result<()> {
    let null: OwnedFd = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    if !keep_stderr {
        rustix::stdio::dup2_stderr(&null)?;
    }
    Ok(())
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
        // The end of the pipe without a word: the controller is gone.
        let _ = reader.read_to_end(&mut said);
        exit(i32::from(said != [1]));
    }
    drop(reader);
    rustix::process::setsid()?;
    if fork()? {
        exit(0);
    }
    Ok(Waiting::Starter(writer))
}

/// Whether this is the one that was there before.
fn fork() -> io::Result<bool> {
    // SAFETY: no other thread is there yet (the runtime and the store start theirs later), so the
    // child has everything in a state that it may use.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { .. } => Ok(true),
        nix::unistd::ForkResult::Child => Ok(false),
    }
}
