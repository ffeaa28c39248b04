//! `put` and `delete`: one key, one save.

use crate::base::Lsn;
use crate::base::limits::VALUE_MAX;
use crate::ctl::entry::from_base64;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use crate::format::{Batch, BatchError};
use crate::store::{Options, Refusal, SaveError, Store};
use clap::Args;
use serde_json::json;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Which entry.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// The table.
    pub table: String,
    /// The key.
    #[arg(allow_negative_numbers = true)]
    key: OsString,
    /// KEY is in base64.
    #[arg(long)]
    key_b64: bool,
}

impl Place {
    /// The key's bytes.
    pub fn key(&self) -> Result<Vec<u8>, Failure> {
        if !self.key_b64 {
            return Ok(self.key.clone().into_vec());
        }
        from_base64(&self.key.to_string_lossy()).map_err(|error| usage(format!("KEY: {error}")))
    }
}

/// Sets a key's value.
#[derive(Debug, Args)]
pub struct Put {
    #[command(flatten)]
    place: Place,
    /// The value; without it, all of stdin.
    #[arg(allow_negative_numbers = true)]
    value: Option<OsString>,
    /// Take the value from a file (- is stdin).
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    file: Option<PathBuf>,
    /// VALUE is in base64.
    #[arg(long, requires = "value")]
    value_b64: bool,
    /// Only say whether it could be saved.
    #[arg(long)]
    dry_run: bool,
}

/// Removes a key.
#[derive(Debug, Args)]
pub struct Delete {
    #[command(flatten)]
    place: Place,
    /// Only say whether it is there.
    #[arg(long)]
    dry_run: bool,
}

impl Put {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        session.dir()?;
        let key = self.place.key()?;
        let value = self.value()?;
        let mut batch = Batch::new();
        batch.put(&self.place.table, &key, &value).map_err(|e| limit(session, e))?;
        if self.dry_run {
            session.read()?;
            return say_dry_run(session, output, "put");
        }
        let store = session.write(&Options::default())?;
        save(session, output, store, batch)
    }

    fn value(&self) -> Result<Vec<u8>, Failure> {
        match (&self.value, &self.file) {
            (Some(value), _) if self.value_b64 => from_base64(&value.to_string_lossy())
                .map_err(|error| usage(format!("VALUE: {error}"))),
            (Some(value), _) => Ok(value.clone().into_vec()),
            (None, Some(path)) if path.as_os_str() != "-" => {
                File::open(path).and_then(read_value).map_err(|error| {
                    let next = format!("ls -l {}", crate::ctl::text::shell(path.as_os_str()));
                    Failure::new(Exit::Failed, format!("{}: {error}", path.display()), next)
                })
            }
            (None, _) => read_value(io::stdin().lock()).map_err(|error| {
                Failure::new(Exit::Failed, format!("stdin: {error}"), "statectl put --help")
            }),
        }
    }
}

impl Delete {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        session.dir()?;
        let key = self.place.key()?;
        let table = &self.place.table;
        let mut batch = Batch::new();
        batch.delete(table, &key).map_err(|e| limit(session, e))?;
        if self.dry_run {
            let reader = session.read()?;
            let found = reader.view().get(table, &key).map_err(|e| session.snapshot(&e))?;
            found.ok_or_else(|| session.missing(table, Some(&key)))?;
            return say_dry_run(session, output, "delete");
        }
        let store = session.write(&Options::default())?;
        if store.get(table, &key).map_err(|error| session.snapshot(&error))?.is_none() {
            session.close(store)?;
            return Err(session.missing(table, Some(&key)));
        }
        save(session, output, store, batch)
    }
}

/// Saves, tells, closes: the save counts whatever closing brings.
fn save(
    session: &Session,
    output: &mut Output,
    store: Store,
    batch: Batch,
) -> Result<Exit, Failure> {
    let lsn: Lsn = store.save(batch).map_err(|error| session.saving(&error))?;
    if session.json() {
        output.object(&json!({"lsn": lsn.0}))?;
    } else {
        output.line(format_args!("lsn:{lsn}"))?;
    }
    output.flush()?;
    session.close(store)?;
    Ok(Exit::Ok)
}

fn say_dry_run(session: &Session, output: &mut Output, what: &str) -> Result<Exit, Failure> {
    if session.json() {
        output.object(&json!({"dry_run": what}))?;
    } else {
        output.line(format_args!("would {what} one key"))?;
    }
    Ok(Exit::Ok)
}

fn limit(session: &Session, error: BatchError) -> Failure {
    session.saving(&SaveError::Refused(Refusal::Limit(error)))
}

fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message, "statectl put --help")
}

/// Reads a value, and one byte more than any value may have, so that the limit is what speaks.
fn read_value(source: impl Read) -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    source.take(VALUE_MAX as u64 + 1).read_to_end(&mut value)?;
    Ok(value)
}
