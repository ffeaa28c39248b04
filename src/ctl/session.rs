//! One run of the tool on one directory: opens it for reading or for writing, and says on stderr
//! what it found on the way.
//!
//! Invariant: what only reads never takes the lock and never changes a file.

use crate::base::Local;
use crate::ctl::args::Common;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::notes;
use crate::ctl::output::say;
use crate::ctl::slurm_conf::{self, state_save_location};
use crate::ctl::text;
use crate::ctl::time::When;
use crate::disk::Real;
use crate::store::tags::{self, TagError};
use crate::store::{At, OpenError, Options, Reader, Store, View};
use serde_json::json;
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How often a busy lock is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// One run of the tool.
#[derive(Debug)]
pub struct Session {
    common: Common,
    /// Why slurm.conf does not name the directory.
    slurm: Option<String>,
}

impl Session {
    /// A run with these options.
    #[must_use]
    pub fn new(mut common: Common) -> Session {
        let named = common.dir.as_ref().is_some_and(|dir| !dir.as_os_str().is_empty());
        let conf = if named { None } else { slurm_conf::found() };
        let mut slurm = None;
        match conf.map(|conf| state_save_location(&conf)) {
            Some(Ok(location)) => common.dir = Some(location),
            Some(Err(why)) => slurm = Some(why),
            None => {}
        }
        Session { common, slurm }
    }

    /// The state directory.
    ///
    /// # Errors
    /// [`Exit::Usage`] where none is named.
    pub fn dir(&self) -> Result<&Path, Failure> {
        let named = self.common.dir.as_deref().filter(|dir| !dir.as_os_str().is_empty());
        named.ok_or_else(|| {
            let message = match &self.slurm {
                Some(why) => format!("no state directory: slurm.conf: {why}"),
                None => {
                    "no state directory: none of -C DIR, $STATECTL_DIR and $SLURM_CONF is given, \
                         and there is no /etc/slurm/slurm.conf"
                        .to_owned()
                }
            };
            Failure::new(Exit::Usage, message, "export STATECTL_DIR=DIR")
        })
    }

    /// The same run on another directory.
    #[must_use]
    pub fn on(&self, dir: PathBuf) -> Session {
        let mut common = self.common.clone();
        common.dir = Some(dir);
        Session { common, slurm: None }
    }

    /// Whether JSON is wanted.
    #[must_use]
    pub fn json(&self) -> bool {
        self.common.json
    }

    /// Whether tables have a header line.
    #[must_use]
    pub fn header(&self) -> bool {
        !self.common.noheader
    }

    /// Whether progress may be shown.
    #[must_use]
    pub fn progress(&self) -> bool {
        !self.common.quiet && !self.common.no_progress && io::stderr().is_terminal()
    }

    /// How long to wait, if that was said.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.common.timeout
    }

    /// A command line for this directory, for people to run next.
    #[must_use]
    pub fn next(&self, rest: &str) -> String {
        format!("statectl -C {} {rest}", self.quoted_dir())
    }

    /// The directory as a shell reads it.
    #[must_use]
    pub fn quoted_dir(&self) -> String {
        let dir = self.common.dir.as_ref();
        dir.map_or_else(|| "DIR".to_owned(), |dir| text::shell(dir.as_os_str()).into_owned())
    }

    /// Says something on stderr that does not end the command.
    pub fn warn(&self, warning: &str) {
        if self.common.quiet {
            return;
        }
        let warning = text::one_line(warning);
        if self.json() {
            say(json!({"warning": warning}));
        } else {
            say(format_args!("statectl: {warning}"));
        }
    }

    /// Opens the directory for reading. A writer may be at work there.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn read(&self) -> Result<Reader, Failure> {
        let reader = Reader::open(self.dir()?).map_err(|error| self.opening(&error))?;
        self.warn_of_others();
        notes::of(reader.report()).iter().for_each(|note| self.warn(note));
        Ok(reader)
    }

    /// Says on stderr that others may enter the directory, if they may.
    pub fn warn_of_others(&self) {
        if let Some(exposed) = self.exposed() {
            self.warn(&format!("warning: {exposed}"));
        }
    }

    /// What is wrong with the directory's permissions, and what mends it.
    #[must_use]
    pub fn exposed(&self) -> Option<String> {
        let mode = self.dir().ok()?.metadata().ok()?.permissions().mode() & 0o777;
        let dir = self.quoted_dir();
        (mode & 0o077 != 0).then(|| {
            format!("the directory is open to others (mode {mode:03o}); next: chmod 700 {dir}")
        })
    }

    /// Opens the directory for writing, waiting for the lock as long as `--timeout` says.
    ///
    /// # Errors
    /// Why it cannot be opened; [`Exit::Busy`] if another process writes it.
    pub fn write(&self, options: &Options) -> Result<Store, Failure> {
        let dir = self.dir()?;
        let started = Instant::now();
        let patience = self.timeout().unwrap_or_default();
        loop {
            match Store::open(dir, options.clone(), Arc::new(Local)) {
                Err(OpenError::Locked) if started.elapsed() < patience => thread::sleep(RETRY),
                Err(error) => return Err(self.opening(&error)),
                Ok(store) => {
                    notes::of(store.report()).iter().for_each(|note| self.warn(note));
                    return Ok(store);
                }
            }
        }
    }

    /// Closes a store.
    ///
    /// # Errors
    /// [`Exit::Degraded`]: what could not be done. Everything acknowledged is safe, so that this is
    /// no reason to save again.
    pub fn close(&self, store: Store) -> Result<(), Failure> {
        store.close().map_err(|error| {
            let message = format!("{error}; what was acknowledged is durable");
            Failure::new(Exit::Degraded, message, self.next("verify"))
        })
    }

    /// The state at a point in the history; without one, the newest.
    ///
    /// # Errors
    /// [`Exit::NotFound`] outside the retained history.
    pub fn view(&self, reader: &Reader, at: Option<&When>) -> Result<View, Failure> {
        let at = match at {
            None | Some(When::Latest) => return Ok(reader.view().clone()),
            Some(When::Lsn(lsn)) => At::Lsn(*lsn),
            Some(When::Time(time)) => At::Time(*time),
            Some(When::Tag(name)) => return self.tagged(reader, name),
            Some(When::Snapshot(epoch, lsn)) => {
                let snapshots = &reader.directory().snapshots;
                if !snapshots.iter().any(|s| (s.epoch, s.lsn) == (*epoch, *lsn)) {
                    let message = "there is no such snapshot";
                    return Err(Failure::new(Exit::NotFound, message, self.next("snapshots")));
                }
                At::Lsn(*lsn)
            }
        };
        reader.at(at).map_err(|error| self.reading(&error))
    }

    fn tagged(&self, reader: &Reader, name: &str) -> Result<View, Failure> {
        let disk = self.disk()?;
        let facts = tags::find(reader.directory(), name)
            .ok_or_else(|| self.tagging(&TagError::NoTag(name.to_owned())))?;
        tags::view(&disk, reader.control().cluster, &facts.tag).map_err(|e| self.reading(&e))
    }

    /// The directory, for what needs no more than its files.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn disk(&self) -> Result<Real, Failure> {
        let dir = self.dir()?;
        Real::open(dir).map_err(|source| {
            let (exit, next) = self.refused(&source);
            Failure::new(exit, format!("{}: {source}", self.quoted_dir()), next)
        })
    }

    /// Whether a person agrees. Where nobody can be asked, the command line is the answer.
    #[must_use]
    pub fn agreed(&self, question: &str) -> bool {
        let asked = !self.common.yes && io::stdin().is_terminal() && io::stderr().is_terminal();
        if !asked {
            return true;
        }
        drop(write!(io::stderr(), "{question} [y/N] "));
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }
}
