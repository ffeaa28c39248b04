//! How Slurm's daemons go to the background: the program that was started waits, and ends with what
//! became of the one that goes on.
//!
//! Invariants: it forks before any thread is there, twice, so that no terminal can come back; the
//! one that was started ends with 0 when the daemon says that it serves, and only then; where the
//! daemon ends before, with 1.

use rustix::fs::{Mode, OFlags, open};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::process::exit;

/// The process that was started, which waits at the other end.
#[derive(Debug)]
pub struct Starter(io::PipeWriter);

impl Starter {
    /// The daemon serves: the starter ends with 0.
    ///
    /// # Errors
    /// Those of the system.
    pub fn go(mut self) -> io::Result<()> {
        self.0.write_all(&[1])
    }
}

/// Goes on in the background; only the program there returns.
///
/// # Errors
/// Those of the system.
pub fn leave() -> io::Result<Starter> {
    let (mut reader, writer) = io::pipe()?;
    if fork()? {
        drop(writer);
        let mut said = Vec::new();
        // The end of the pipe without a word: the daemon is gone.
        let _ = reader.read_to_end(&mut said);
        exit(i32::from(said != [1]));
    }
    drop(reader);
    rustix::process::setsid()?;
    if fork()? {
        exit(0);
    }
    Ok(Starter(writer))
}

/// Lets go of the standard streams of whoever started it; of stderr only if it is not needed.
///
/// # Errors
/// Those of the system.
pub fn let_go(keep_stderr: bool) -> io::Result<()> {
    let null: OwnedFd = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    if !keep_stderr {
        rustix::stdio::dup2_stderr(&null)?;
    }
    Ok(())
}

/// Whether this is the one that was there before.
fn fork() -> io::Result<bool> {
    // SAFETY: no other thread is there yet (runtime and store start theirs later), so the child has
    // everything in a state that it may use.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { .. } => Ok(true),
        nix::unistd::ForkResult::Child => Ok(false),
    }
}
