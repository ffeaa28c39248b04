//! Why a command ended early: one line for a person, one object for a script.
//!
//! Invariant: every line ends with the next command to run, and is one line whatever it quotes.

use crate::ctl::exit::Exit;
use crate::ctl::text::one_line;
use serde_json::json;
use std::fmt;
use std::io;

/// Why a command ended early.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// Worth a line.
    Told {
        /// The exit code.
        exit: Exit,
        /// What failed.
        message: String,
        /// The command to run next.
        next: String,
    },
    /// Whoever read our output has gone, and wants no more.
    OutputGone,
}

impl Failure {
    /// A failure, and the command to run next.
    pub fn new(exit: Exit, message: impl fmt::Display, next: impl Into<String>) -> Failure {
        Failure::Told { exit, message: message.to_string(), next: next.into() }
    }

    /// The exit code. Output that nobody reads is no failure: `dump | head` is a habit.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Told { exit, .. } => *exit,
            Failure::OutputGone => Exit::Ok,
        }
    }

    /// The line for stderr, or `None` where there is nothing to say.
    #[must_use]
    pub fn line(&self, json: bool) -> Option<String> {
        let Failure::Told { exit, message, next } = self else { return None };
        let (message, next) = (one_line(message), one_line(next));
        Some(if json {
            json!({"error": message, "exit": exit.code(), "next": next}).to_string()
        } else {
            format!("statectl: {message}; next: {next}")
        })
    }
}

/// Only writing to stdout is passed on this way: other failures name their file.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::OutputGone;
        }
        Failure::new(Exit::Failed, format!("writing to stdout: {error}"), "df -h")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_that_ends_with_the_next_command() {
        let failure = Failure::new(Exit::Busy, "a\nb\x1b[31m", "ls -l");
        assert_eq!(failure.line(false).unwrap(), r"statectl: a\nb\x1b[31m; next: ls -l");
        let object: serde_json::Value = serde_json::from_str(&failure.line(true).unwrap()).unwrap();
        assert_eq!(object, json!({"error": r"a\nb\x1b[31m", "exit": 7, "next": "ls -l"}));
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let gone = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((gone.exit(), gone.line(false)), (Exit::Ok, None));
    }
}
