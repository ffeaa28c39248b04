//! Signals that end the drill: they are noted, and whoever waits looks.

use crate::drill::End;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

static CAUGHT: AtomicI32 = AtomicI32::new(0);

const OFTEN: Duration = Duration::from_millis(1);
/// How often is looked for it.
const LOOK: Duration = Duration::from_millis(20);

extern "C" fn note(signal: libc::c_int) {
    CAUGHT.store(signal, Ordering::Relaxed);
}

/// From now on SIGINT, SIGTERM and SIGHUP only set what [`asked`] reads; ignored ones stay ignored.
pub fn catch() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        handle(signal, note);
    }
}

/// Handles a signal, unless it is ignored.
pub fn handle(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: an all-zero sigaction is a valid value, the pointers outlive the calls, and the
    // handlers do what handlers may.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(signal, std::ptr::null(), &raw mut old) != 0
            || old.sa_sigaction == libc::SIG_IGN
        {
            return;
        }
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = handler as libc::sighandler_t;
        new.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal, &raw const new, std::ptr::null_mut());
    }
}

/// # Errors
/// A signal has come.
pub fn asked() -> Result<(), End> {
    match CAUGHT.load(Ordering::Relaxed) {
        0 => Ok(()),
        signal => Err(End::Interrupted(signal)),
    }
}

/// Waits until `ready` says what was waited for; `None`: it did not in that time.
///
/// # Errors
/// A signal has come, or what `ready` says.
pub fn until<T>(
    limit: Duration,
    ready: impl FnMut() -> Result<Option<T>, End>,
) -> Result<Option<T>, End> {
    look(limit, LOOK, ready)
}

/// The same, looking often: where it is measured.
///
/// # Errors
/// The same.
pub fn until_often<T>(
    limit: Duration,
    ready: impl FnMut() -> Result<Option<T>, End>,
) -> Result<Option<T>, End> {
    look(limit, OFTEN, ready)
}

fn look<T>(
    limit: Duration,
    pause: Duration,
    mut ready: impl FnMut() -> Result<Option<T>, End>,
) -> Result<Option<T>, End> {
    let begun = Instant::now();
    loop {
        asked()?;
        if let Some(found) = ready()? {
            return Ok(Some(found));
        }
        if begun.elapsed() >= limit {
            return Ok(None);
        }
        std::thread::sleep(pause);
    }
}
