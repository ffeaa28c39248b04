//! The controller's log, as Slurm's: stderr in the foreground, SlurmctldLogFile, the journal; each
//! from a level of its own on.
//!
//! | where | from which level on |
//! |---|---|
//! | stderr, `slurmctld: TEXT` | with -D: SlurmctldDebug, or what -v says |
//! | SlurmctldLogFile or -L, `[TIME] TEXT` | the same |
//! | the journal | SlurmctldSyslogDebug; else, without -D: as the file if there is none, or fatal |
//!
//! Invariants: a log that can be written nowhere else goes to stderr, and says why; levels and file
//! are looked at anew by [`follow`], and a file that cannot be opened leaves the old one in use.

mod line;
mod rarely;
mod sinks;

pub use line::TimeFormat;
pub use rarely::Rarely;

use crate::controller::log::sinks::Sinks;
use crate::slurm::conf::{Conf, level};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Events of this target are why the program ends.
pub const FATAL: &str = "fatal";

/// What the command line says about the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// -D: to stderr.
    pub foreground: bool,
    /// How often -v.
    pub verbose: u8,
    /// -L.
    pub file: Option<PathBuf>,
}

/// From which level on, of Slurm's, is written where; quiet: nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// In stderr.
    pub stderr: u16,
    /// In the file.
    pub file: u16,
    /// In the journal.
    pub journal: u16,
}

impl Wish {
    /// What is written where, with that configuration.
    #[must_use]
    pub fn levels(&self, conf: &Conf) -> Levels {
        let debug = match u16::from(self.verbose) {
            0 => level::of(conf.text("SlurmctldDebug")).unwrap_or(level::INFO),
            more => (level::INFO + more).min(level::MOST),
        };
        let has_file = self.path(conf).is_some();
        let journal = match level::of(conf.text("SlurmctldSyslogDebug")) {
            Some(own) => own,
            None if self.foreground => level::QUIET,
            None if has_file => level::FATAL.min(debug),
            None => debug,
        };
        let stderr = if self.foreground { debug } else { level::QUIET };
        Levels { stderr, file: if has_file { debug } else { level::QUIET }, journal }
    }

    /// The file, if there is one.
    #[must_use]
    pub fn path(&self, conf: &Conf) -> Option<PathBuf> {
        self.file.clone().or_else(|| conf.text("SlurmctldLogFile").map(PathBuf::from))
    }
}

/// The log in use; set once, by [`start`].
static LOG: OnceLock<(Wish, Arc<Sinks>)> = OnceLock::new();

/// Begins to log. The file, made if it is not there, is given to `owner`.
///
/// # Errors
/// The file cannot be opened.
pub fn start(wish: &Wish, conf: &Conf, owner: Option<u32>) -> Result<(), (PathBuf, io::Error)> {
    let sinks = Arc::new(Sinks::new(owner));
    let without_journal = sinks.set(wish, conf)?;
    if LOG.set((wish.clone(), Arc::clone(&sinks))).is_ok() {
        // Fails where a program that embeds this logs in its own way.
        let _ = tracing_subscriber::registry().with(sinks::Writer(sinks)).try_init();
    }
    if let Some(why) = without_journal {
        tracing::warn!("no journal to log to ({why}): stderr it is");
    }
    Ok(())
}

/// Whether the log needs stderr, though it was not asked for.
#[must_use]
pub fn needs_stderr() -> bool {
    LOG.get().is_some_and(|(_, sinks)| sinks.needs_stderr())
}

/// Opens the file that is in use anew.
pub fn reopen() {
    let Some((_, sinks)) = LOG.get() else { return };
    if let Err((path, error)) = sinks.reopen() {
        tracing::error!("log file {}: {error}; the old one stays", path.display());
    }
}

/// Takes levels, format and file from that configuration, and opens the file anew.
pub fn follow(conf: &Conf) {
    let Some((wish, sinks)) = LOG.get() else { return };
    if let Err((path, error)) = sinks.set(wish, conf) {
        tracing::error!("SlurmctldLogFile={}: {error}; the old one stays", path.display());
    }
    tracing::debug!("log file re-opened");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn conf(more: &str) -> Conf {
        let text =
            format!("ClusterName=c\nSlurmctldHost=h\nNodeName=n\nPartitionName=p Nodes=n\n{more}");
        Conf::read(Path::new("/slurm.conf"), &mut |_| Ok(text.clone())).unwrap()
    }

    #[test]
    fn what_is_written_where_is_as_in_slurm() {
        let levels = |foreground: bool, verbose: u8, file: Option<&str>, more: &str| {
            let wish = Wish { foreground, verbose, file: file.map(PathBuf::from) };
            let Levels { stderr, file, journal } = wish.levels(&conf(more));
            (stderr, file, journal)
        };
        assert_eq!(levels(true, 0, None, ""), (3, 0, 0));
        assert_eq!(levels(false, 0, None, ""), (0, 0, 3));
        assert_eq!(levels(false, 0, None, "SlurmctldLogFile=/l\n"), (0, 3, 1));
        assert_eq!(levels(true, 0, Some("/l"), ""), (3, 3, 0));
        assert_eq!(levels(true, 2, Some("/l"), "SlurmctldDebug=quiet\n"), (5, 5, 0));
        assert_eq!(levels(false, 0, None, "SlurmctldDebug=quiet\n"), (0, 0, 0));
        assert_eq!(levels(true, 0, None, "SlurmctldSyslogDebug=error\n"), (3, 0, 2));
        assert_eq!(levels(false, 99, None, "SlurmctldSyslogDebug=quiet\n"), (0, 0, 0));
    }
}
