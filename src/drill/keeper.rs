//! Two processes: the keeper, whose number the caller knows, and the drill itself.
//!
//! Invariants:
//! - Whichever of the two is killed, SIGKILL included, the other ends everything that was started:
//!   the keeper's end is a signal to the drill, and the drill's orphans become the keeper's.
//! - The drill is in a process group of its own, so that one SIGKILL of a shell to its whole job
//!   does not end both at once; what is asked of the keeper is passed on.

use crate::drill::cluster::{end_children, remove_groups};
use crate::drill::{End, UNABLE};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};

/// The drill's number, in the keeper.
static DRILL: AtomicI32 = AtomicI32::new(0);

extern "C" fn pass_on(signal: libc::c_int) {
    // SAFETY: numbers alone, and kill(2) may be called in a handler; it was not waited for yet.
    unsafe { libc::kill(DRILL.load(Ordering::Acquire), signal) };
}

/// Splits in two, before there is any thread: `None` in the drill; in the keeper, when the drill
/// has ended, its exit code. `root` is what the drill will make, and what a killed one leaves.
///
/// # Errors
/// No second process.
pub fn split(root: &Path) -> Result<Option<u8>, End> {
    become_subreaper()?;
    let keeper = std::process::id();
    // SAFETY: numbers alone. Whoever was started to ignore it is told of no child's end.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    // SAFETY: there is one thread, and so nothing that the child could find locked.
    match unsafe { libc::fork() } {
        -1 => Err(End::unable(io::Error::last_os_error(), "ulimit -u, and free memory")),
        0 => become_drill(keeper).map(|()| None),
        drill => Ok(Some(keep(drill, root))),
    }
}

fn become_drill(keeper: u32) -> Result<(), End> {
    become_subreaper()?;
    // SAFETY: numbers alone; terminals may be written to from behind.
    let parent = unsafe {
        libc::setpgid(0, 0);
        libc::signal(libc::SIGTTOU, libc::SIG_IGN);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
        libc::getppid()
    };
    // It may have ended before that was said.
    if u32::try_from(parent) == Ok(keeper) { Ok(()) } else { Err(End::Interrupted(libc::SIGTERM)) }
}

fn keep(drill: i32, root: &Path) -> u8 {
    DRILL.store(drill, Ordering::Release);
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        crate::drill::stop::handle(signal, pass_on);
    }
    let mut status = 0;
    loop {
        // SAFETY: the pointer outlives the call.
        let waited = unsafe { libc::waitpid(drill, &raw mut status, 0) };
        if waited == drill {
            break;
        }
    }
    if libc::WIFEXITED(status) {
        return u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(UNABLE);
    }
    end_children();
    remove_groups(root);
    let _ = std::fs::remove_dir_all(root);
    let signal = libc::WTERMSIG(status);
    println!("drill: killed by signal {signal}; everything it had started is gone");
    UNABLE
}

/// Whoever below loses his parent becomes a child of this process.
fn become_subreaper() -> Result<(), End> {
    // SAFETY: it takes numbers alone.
    match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(End::unable(io::Error::last_os_error(), "run it on Linux 3.4 or newer")),
    }
}
