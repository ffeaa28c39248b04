//! Exit codes: what a script may rely on.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, and all is well.
    Ok = 0,
    /// Failed.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Done in part, or something is damaged though nothing is lost.
    Degraded = 3,
    /// Something durable is damaged.
    Corruption = 4,
    /// What was asked for is not there, or outside the retained history.
    NotFound = 5,
    /// Wrong role, fenced, or no quorum.
    Role = 6,
    /// Another process holds the lock.
    Busy = 7,
    /// A peer or daemon cannot be reached.
    Unreachable = 8,
    /// Refused because it would be unsafe.
    Unsafe = 9,
    /// Interrupted by SIGINT.
    Interrupted = 130,
}

/// Every code with its meaning, for help and man page.
pub const MEANINGS: [(Exit, &str); 11] = [
    (Exit::Ok, "ok"),
    (Exit::Failed, "failed"),
    (Exit::Usage, "usage"),
    (Exit::Degraded, "partial or degraded"),
    (Exit::Corruption, "corruption found"),
    (Exit::NotFound, "not found or out of range"),
    (Exit::Role, "wrong role, fenced, no quorum"),
    (Exit::Busy, "lock busy"),
    (Exit::Unreachable, "peer or daemon unreachable"),
    (Exit::Unsafe, "unsafe, needs --force"),
    (Exit::Interrupted, "interrupted"),
];

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// The table of codes as one paragraph.
#[must_use]
pub fn help() -> String {
    let codes: Vec<String> =
        MEANINGS.iter().map(|(exit, meaning)| format!("{} {meaning}", exit.code())).collect();
    format!("Exit codes: {}", codes.join(" · "))
}
