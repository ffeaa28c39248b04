//! Progress of long work, on the stderr of a terminal.
//!
//! Invariants: nothing is shown where [`Session::progress`] says no; what is shown is gone before
//! anything else is printed on stderr by whoever owns it: it ends with its owner.

use crate::ctl::session::Session;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// How often a line is drawn that nobody moves on.
const TICK: Duration = Duration::from_millis(120);

/// A line that shows how far some work is; nothing where there is no terminal. Dropping it removes
/// the line.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Work that is measured in bytes; a `total` of 0 is not known.
    #[must_use]
    pub fn bytes(session: &Session, what: &'static str, total: u64) -> Progress {
        Progress::new(session, what, total, "{bytes} of {total_bytes}  {bytes_per_sec}  {eta}")
    }

    /// Work that is counted; a `total` of 0 is not known.
    #[must_use]
    pub fn count(session: &Session, what: &'static str, total: u64) -> Progress {
        Progress::new(session, what, total, "{human_pos} of {human_len}  {per_sec}  {eta}")
    }

    fn new(session: &Session, what: &'static str, total: u64, known: &str) -> Progress {
        if !session.progress() {
            return Progress(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_message(what);
        let shape = if total > 0 {
            bar.set_length(total);
            format!("{{msg}}  {{wide_bar}}  {known}")
        } else if known.contains("{bytes}") {
            "{msg}  {bytes}  {bytes_per_sec}".to_owned()
        } else {
            "{msg}  {human_pos}  {per_sec}".to_owned()
        };
        bar.set_style(ProgressStyle::with_template(&shape).expect("a template that was tried"));
        bar.enable_steady_tick(TICK);
        Progress(bar)
    }

    /// This much more is done.
    pub fn add(&self, more: u64) {
        self.0.inc(more);
    }

    /// This much is done in all.
    pub fn set(&self, done: u64) {
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_understood() {
        for known in [
            "{msg}  {wide_bar}  {bytes} of {total_bytes}  {bytes_per_sec}  {eta}",
            "{msg}  {wide_bar}  {human_pos} of {human_len}  {per_sec}  {eta}",
            "{msg}  {bytes}  {bytes_per_sec}",
            "{msg}  {human_pos}  {per_sec}",
        ] {
            ProgressStyle::with_template(known).unwrap();
        }
    }
}
