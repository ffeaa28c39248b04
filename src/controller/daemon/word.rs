//! What the serving process says to its guard, a line each.
//!
//! | line | |
//! |---|---|
//! | `alive` | it works |
//! | `ready MS TEXT` | it answers; from now on it is silent for less than so many milliseconds |
//! | `status TEXT` | how it is |
//! | `stopping TEXT` | it is about to end |
//! | `again TEXT` | it is about to end, and to be started again |
//!
//! Invariant: a line fits into one write that no other interrupts (PIPE_BUF).

use std::time::Duration;

/// Bytes of text in a line.
const TEXT_MAX: usize = 2048;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It works.
    Alive,
    /// It answers, and will not be silent for so long.
    Ready(Duration, String),
    /// How it is.
    Status(String),
    /// It is about to end.
    Stopping(String),
    /// It is about to end, and wants to begin anew.
    Again(String),
}

impl Word {
    /// The line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = match self {
            Word::Alive => "alive".to_owned(),
            Word::Ready(limit, text) => format!("ready {} {text}", limit.as_millis()),
            Word::Status(text) => format!("status {text}"),
            Word::Stopping(text) => format!("stopping {text}"),
            Word::Again(text) => format!("again {text}"),
        };
        line.truncate(line.floor_char_boundary(TEXT_MAX));
        line.replace('\n', " ") + "\n"
    }

    /// What a line says; `None`: nothing that is known here.
    #[must_use]
    pub fn read(line: &str) -> Option<Word> {
        let (name, text) = line.split_once(' ').unwrap_or((line, ""));
        let text = text.to_owned();
        Some(match name {
            "alive" => Word::Alive,
            "ready" => {
                let (limit, text) = text.split_once(' ')?;
                Word::Ready(Duration::from_millis(limit.parse().ok()?), text.to_owned())
            }
            "status" => Word::Status(text),
            "stopping" => Word::Stopping(text),
            "again" => Word::Again(text),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood_and_fits_into_one_write() {
        let words = [
            Word::Alive,
            Word::Ready(Duration::from_millis(1500), "in charge, port 1".to_owned()),
            Word::Status(String::new()),
            Word::Stopping("a signal".to_owned()),
            Word::Again("deposed".to_owned()),
        ];
        for word in words {
            assert_eq!(Word::read(word.line().trim_end_matches('\n')), Some(word));
        }
        let long = Word::Status("é\n".repeat(4000)).line();
        assert!(long.len() <= 4096 && long.matches('\n').count() == 1);
        for garbage in ["", "ready", "ready x y", "nonsense"] {
            assert_eq!(Word::read(garbage), None, "{garbage}");
        }
    }
}
