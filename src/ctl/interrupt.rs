//! SIGINT ends the process with the code that scripts expect; work that goes on until it is told to
//! stop catches it, and SIGTERM.
//!
//! Nothing is lost by ending at once: what was acknowledged is durable, and everything else is as
//! after a crash, which the engine recovers from.

use crate::ctl::exit::Exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Whether a signal that was to be caught has come.
static CAUGHT: AtomicBool = AtomicBool::new(false);

/// How often is looked for it.
const LOOK: Duration = Duration::from_millis(50);

extern "C" fn interrupted(_signal: libc::c_int) {
    // SAFETY: `_exit` may be called from a signal handler, and does not return.
    unsafe { libc::_exit(i32::from(Exit::Interrupted.code())) }
}

/// Makes SIGINT exit with 130, unless whoever started us has it ignored.
pub fn install() {
    // SAFETY: an all-zero sigaction is a valid value; both calls get valid pointers that outlive
    // them, and the handler only calls what is safe in one.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGINT, std::ptr::null(), &raw mut old) != 0
            || old.sa_sigaction == libc::SIG_IGN
        {
            return;
        }
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = interrupted as extern "C" fn(libc::c_int) as libc::sighandler_t;
        libc::sigaction(libc::SIGINT, &raw const new, std::ptr::null_mut());
    }
}

extern "C" fn caught(_signal: libc::c_int) {
    CAUGHT.store(true, Ordering::Relaxed);
}

/// From now on SIGINT and SIGTERM only set what is returned.
pub fn catch() -> &'static AtomicBool {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: an all-zero sigaction is a valid value, the pointer outlives the call, and the
        // handler only stores a word.
        unsafe {
            let mut new: libc::sigaction = std::mem::zeroed();
            new.sa_sigaction = caught as extern "C" fn(libc::c_int) as libc::sighandler_t;
            new.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &raw const new, std::ptr::null_mut());
        }
    }
    &CAUGHT
}

/// Waits, unless the signal comes or has come; says whether it has.
pub fn wait(caught: &AtomicBool, span: Duration) -> bool {
    let until = Instant::now() + span;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if caught.load(Ordering::Relaxed) || left.is_zero() {
            return caught.load(Ordering::Relaxed);
        }
        thread::sleep(LOOK.min(left));
    }
}
