//! Signals as bytes in a pipe: a loop waits for them as for everything else.
//!
//! Invariant: the handler does nothing but one write, to a descriptor that is never closed.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, Ordering};

static PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn note(number: libc::c_int) {
    let byte = number as u8;
    // SAFETY: write(2) may be called in a handler; a full pipe loses a signal of which others are
    // there to be read.
    unsafe {
        let before = *libc::__errno_location();
        libc::write(PIPE.load(Ordering::Relaxed), (&raw const byte).cast(), 1);
        *libc::__errno_location() = before;
    }
}

/// The signals that came.
#[derive(Debug)]
pub struct Signals(io::PipeReader);

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Watches these signals from now on. Once in a process.
///
/// # Errors
/// Those of the system.
pub fn watch(numbers: &[i32]) -> io::Result<Signals> {
    let (reader, writer) = io::pipe()?;
    for end in [reader.as_fd(), writer.as_fd()] {
        let flags = rustix::fs::fcntl_getfl(end)?;
        rustix::fs::fcntl_setfl(end, flags | rustix::fs::OFlags::NONBLOCK)?;
    }
    PIPE.store(writer.as_raw_fd(), Ordering::Relaxed);
    std::mem::forget(writer);
    for number in numbers {
        set(*number, note as *const () as libc::sighandler_t)?;
    }
    Ok(Signals(reader))
}

/// Takes no notice of these signals from now on.
///
/// # Errors
/// Those of the system.
pub fn ignore(numbers: &[i32]) -> io::Result<()> {
    numbers.iter().try_for_each(|number| set(*number, libc::SIG_IGN))
}

/// As a program finds them that nobody prepared: for the process that becomes a job.
pub fn reset() {
    for number in 1..=64 {
        let _ = set(number, libc::SIG_DFL);
    }
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the set is initialized by sigemptyset before it is used.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

fn set(number: i32, handler: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: a zeroed sigaction with a handler is valid; the handler is `note` or a constant.
    let outcome = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(number, &action, std::ptr::null_mut())
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Signals {
    /// Those that came since the last call, without waiting.
    pub fn take(&mut self) -> Vec<i32> {
        let mut bytes = [0; 64];
        match self.0.read(&mut bytes) {
            Ok(got) => bytes[..got].iter().map(|byte| i32::from(*byte)).collect(),
            Err(_) => Vec::new(),
        }
    }
}
