//! What whoever watches is told: the guard, through a pipe; without one systemd, where it listens
//! (NOTIFY_SOCKET).
//!
//! Invariants: telling never waits; only the process that systemd knows speaks to it; a process
//! that has a guard dies with it.

use crate::controller::daemon::word::Word;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use sd_notify::NotifyState;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

/// The way to the guard, if there is one.
static GUARD: OnceLock<File> = OnceLock::new();

/// Makes the process `guard`, which has started this one and gave it a pipe for its standard input,
/// the one that is told.
///
/// # Errors
/// It is gone, or gave nothing; others of the system.
pub fn adopt(guard: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != Some(guard) {
        return Err(io::Error::other("the guard is gone"));
    }
    // A process that another program started is not to be called as that one's file is.
    let _ = rustix::thread::set_name(c"slurmctld");
    let pipe = rustix::io::fcntl_dupfd_cloexec(std::io::stdin().as_fd(), 3)?;
    let null = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::fs::fcntl_setfl(&pipe, OFlags::WRONLY | OFlags::NONBLOCK)?;
    GUARD.set(File::from(pipe)).map_err(|_| io::Error::other("it has a guard already"))
}

/// Whether there is a guard.
#[must_use]
pub fn guarded() -> bool {
    GUARD.get().is_some()
}

/// The controller answers, how it is, and how long it is never silent.
pub fn ready(status: &str, limit: Duration) {
    if !said(&Word::Ready(limit, status.to_owned())) {
        begun(status);
    }
}

/// systemd is told that this process is the one to be looked at, and that it answers.
pub fn begun(status: &str) {
    // In the background it is another process than the one that was started.
    tell(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready, state(status)]);
}

/// How it is.
pub fn status(status: &str) {
    if !said(&Word::Status(status.to_owned())) {
        tell(&[state(status)]);
    }
}

/// It is about to end.
pub fn stopping(why: &str) {
    if !said(&Word::Stopping(why.to_owned())) {
        tell(&[NotifyState::Stopping, state(why)]);
    }
}

/// It works.
pub fn alive() {
    said(&Word::Alive);
}

/// It ends in order to begin anew; whether there is a guard, which starts it.
pub fn again(why: &str) -> bool {
    said(&Word::Again(why.to_owned()))
}

/// Whether there is a guard, which was told unless it has not listened for long.
fn said(word: &Word) -> bool {
    let Some(mut pipe) = GUARD.get() else { return false };
    let _ = pipe.write_all(word.line().as_bytes());
    true
}

fn state(text: &str) -> NotifyState<'_> {
    NotifyState::Status(text)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("NOTIFY_SOCKET: {error}");
    }
}
