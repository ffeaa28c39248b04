//! What is seen while it runs: on a terminal one line that changes; else a line now and then. What
//! nobody reads any more is no failure.

use std::cell::Cell;
use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(5);
/// Between two changes where there is one.
const CHANGE: Duration = Duration::from_millis(80);

/// Who prints.
pub struct Progress {
    terminal: bool,
    last: Cell<Instant>,
    open: Cell<bool>,
}

impl Progress {
    /// For standard output.
    pub fn new() -> Progress {
        let terminal = stdout().is_terminal();
        Progress { terminal, last: Cell::new(Instant::now()), open: Cell::new(false) }
    }

    /// How far it is; may be left out.
    pub fn show(&self, what: &str) {
        if self.last.get().elapsed() < if self.terminal { CHANGE } else { PAUSE } {
            return;
        }
        self.last.set(Instant::now());
        if self.terminal {
            self.open.set(true);
            let _ = write!(stdout(), "\r\x1b[K{what}");
            let _ = stdout().flush();
        } else {
            let _ = writeln!(stdout(), "  … {what}");
        }
    }

    /// Something that stays.
    pub fn say(&self, what: &str) {
        let clear = if self.open.take() { "\r\x1b[K" } else { "" };
        let _ = writeln!(stdout(), "{clear}{what}");
        let _ = stdout().flush();
        self.last.set(Instant::now());
    }
}
