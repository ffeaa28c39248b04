//! SIGINT ends the process with the code that scripts expect.
//!
//! Nothing is lost by ending at once: what was acknowledged is durable, and everything else is as
//! after a crash, which the engine recovers from.

use crate::ctl::exit::Exit;

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
