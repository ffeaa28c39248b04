//! Where lines go: stderr, a file, the journal, each if the level is right.

use crate::controller::log::line::{TimeFormat, text};
use crate::controller::log::{FATAL, Levels, Wish};
use crate::slurm::conf::{Conf, level};
use jiff::Zoned;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::fchown;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// What is open.
struct Open {
    levels: Levels,
    format: TimeFormat,
    file: Option<(PathBuf, File)>,
}

/// All places that are written to.
pub struct Sinks {
    owner: Option<u32>,
    journal: io::Result<tracing_journald::Layer>,
    open: Mutex<Open>,
}

impl Sinks {
    /// Nothing is written yet. New files are given to `owner`.
    pub fn new(owner: Option<u32>) -> Sinks {
        let journal = tracing_journald::layer()
            .map(|layer| layer.with_syslog_identifier("slurmctld".to_owned()));
        let open = Open { levels: Levels::default(), format: TimeFormat::default(), file: None };
        Sinks { owner, journal, open: Mutex::new(open) }
    }

    // A panic while a line was written leaves a line cut.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens what is asked for; why there is no journal, if one is wanted.
    pub fn set(&self, wish: &Wish, conf: &Conf) -> Result<Option<String>, (PathBuf, io::Error)> {
        let mut levels = wish.levels(conf);
        let file = wish.path(conf).map(|path| self.file(path)).transpose()?;
        let mut without_journal = None;
        if let (Err(why), true) = (&self.journal, levels.journal > level::FATAL) {
            without_journal = Some(why.to_string());
            if file.is_none() {
                levels.stderr = levels.stderr.max(levels.journal);
            }
        }
        let format = TimeFormat::of(conf.text("LogTimeFormat").unwrap_or_default());
        *self.open() = Open { levels, format, file };
        Ok(without_journal.filter(|_| !wish.foreground))
    }

    /// Opens the file that is in use anew.
    pub fn reopen(&self) -> Result<(), (PathBuf, io::Error)> {
        let path = self.open().file.as_ref().map(|(path, _)| path.clone());
        let file = path.map(|path| self.file(path)).transpose()?;
        self.open().file = file;
        Ok(())
    }

    fn file(&self, path: PathBuf) -> Result<(PathBuf, File), (PathBuf, io::Error)> {
        let opened = File::options().append(true).create(true).open(&path).and_then(|file| {
            let owner = self.owner.filter(|_| rustix::process::geteuid().is_root());
            if owner.is_some() {
                fchown(&file, owner, None)?;
            }
            Ok(file)
        });
        match opened {
            Ok(file) => Ok((path, file)),
            Err(error) => Err((path, error)),
        }
    }

    /// Whether lines go to stderr.
    pub fn needs_stderr(&self) -> bool {
        self.open().levels.stderr > level::QUIET
    }
}

/// Slurm's level of an event.
fn level_of(metadata: &Metadata<'_>) -> u16 {
    match *metadata.level() {
        Level::ERROR if metadata.target() == FATAL => level::FATAL,
        Level::ERROR | Level::WARN => level::ERROR,
        Level::INFO => level::INFO,
        Level::DEBUG => level::VERBOSE,
        Level::TRACE => level::DEBUG + 1,
    }
}

/// The end of `tracing` that writes.
pub struct Writer(pub Arc<Sinks>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Writer {
    // Levels change while the program runs.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let Levels { stderr, file, journal } = self.0.open().levels;
        level_of(metadata) <= stderr.max(file).max(journal)
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let level = level_of(event.metadata());
        let line = text(event);
        let mut open = self.0.open();
        let time = (level <= open.levels.file).then(|| open.format.write(&Zoned::now()));
        // A log that cannot be written is no reason to end.
        if let (Some((_, file)), Some(time)) = (&mut open.file, time) {
            let _ = file.write_all(format!("[{time}] {line}\n").as_bytes());
        }
        if level <= open.levels.stderr {
            let _ = io::stderr().write_all(format!("slurmctld: {line}\n").as_bytes());
        }
        let to_journal = level <= open.levels.journal;
        drop(open);
        if let (Ok(journal), true) = (&self.0.journal, to_journal) {
            journal.on_event(event, context);
        }
    }
}
