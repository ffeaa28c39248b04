//! Whoever waits for the controller that went to the background (`slurm::background`).
//!
//! Invariants: the one that was started ends with 0 when the controller answers,
//! and only then; where the controller ends before, with 1, and what it said was on stderr.

use crate::slurm::background::{self, Starter, let_go};
use std::io;

/// Whoever waits until the controller answers.
#[derive(Debug)]
pub enum Waiting {
    /// Nobody.
    Nobody,
    /// The process that was started, at the other end of this.
    Starter(Starter),
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
            Waiting::Starter(starter) => {
                let_go(keep_stderr)?;
                starter.go()
            }
        }
    }
}

/// Goes on in the background; only the program there returns.
///
/// # Errors
/// Those of the system.
pub fn begin() -> io::Result<Waiting> {
    background::leave().map(Waiting::Starter)
}
