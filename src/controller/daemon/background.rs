//! Goes to the background: the program that was started waits, and ends with what became of it.
//!
//! Invariants: it forks before any thread is there, twice, so that no terminal can come back; the
//! one that was started ends with 0 when the controller answers, and only then; where the
//! controller ends before, with 1, and what it said was on stderr.

use rustix::fs::{Mode, OFlags, open};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::process::exit;

/// The way to whoever waits.
#[derive(Debug)]
pub struct Waiting(Option<io::PipeWriter>);

impl Waiting {
    /// Nobody waits.
    #[must_use]
    pub fn nobody() -> Waiting {
        Waiting(None)
    }

    /// The controller answers: whoever waits goes, and so do the standard streams, stderr only if
    /// it is not needed any more.
    ///
    /// # Errors
    /// Those of the system.
    pub fn release(self, keep_stderr: bool) -> io::Result<()> {
        let Some(mut waiting) = self.0 else { return Ok(()) };
        let null: OwnedFd = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        if !keep_stderr {
            rustix::stdio::dup2_stderr(&null)?;
        }
        waiting.write_all(&[1])
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
        // The end of the pipe without a word: the controller is gone.
        let _ = reader.read_to_end(&mut said);
        exit(i32::from(said != [1]));
    }
    drop(reader);
    rustix::process::setsid()?;
    if fork()? {
        exit(0);
    }
    Ok(Waiting(Some(writer)))
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
