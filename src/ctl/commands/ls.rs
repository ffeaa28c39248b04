//! `ls`: the tables, or the keys of one.

use crate::ctl::entry::Key;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use crate::ctl::text::word;
use crate::ctl::time::When;
use crate::store::View;
use clap::Args;
use serde::Serialize;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Lists tables, or the keys of one.
#[derive(Debug, Args)]
pub struct Ls {
    /// List the keys of this table.
    table: Option<String>,
    /// With sizes.
    #[arg(short)]
    long: bool,
    /// Only keys that begin with this.
    #[arg(long, requires = "table", default_value = "", hide_default_value = true)]
    prefix: OsString,
    /// The state at a time, LSN or snapshot.
    #[arg(long, value_name = "T")]
    at: Option<When>,
}

#[derive(Serialize)]
struct Table<'a> {
    table: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    sizes: Option<Sizes>,
}

#[derive(Serialize)]
struct Sizes {
    entries: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    key: Key<'a>,
    bytes: usize,
}

impl Ls {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let reader = session.read()?;
        let view = session.view(&reader, self.at.as_ref())?;
        match &self.table {
            None => self.tables(session, output, &view)?,
            Some(table) => self.keys(session, output, &view, table)?,
        }
        Ok(Exit::Ok)
    }

    fn tables(&self, session: &Session, output: &mut Output, view: &View) -> Result<(), Failure> {
        if self.long && session.header() && !session.json() {
            output.line(format_args!("{:>12} {:>15} TABLE", "ENTRIES", "BYTES"))?;
        }
        for table in view.tables().map_err(|error| session.snapshot(&error))? {
            let sizes = if self.long { Some(sizes(session, view, table)?) } else { None };
            match &sizes {
                _ if session.json() => output.object(&Table { table, sizes })?,
                Some(Sizes { entries, bytes }) => {
                    output.line(format_args!("{entries:>12} {bytes:>15} {table}"))?;
                }
                None => output.line(table)?,
            }
        }
        Ok(())
    }

    fn keys(
        &self,
        session: &Session,
        output: &mut Output,
        view: &View,
        table: &str,
    ) -> Result<(), Failure> {
        if view.scan(table, b"").next().is_none() {
            return Err(session.missing(table, None));
        }
        if self.long && session.header() && !session.json() {
            output.line(format_args!("{:>15} KEY", "BYTES"))?;
        }
        let prefix = self.prefix.clone().into_vec();
        for entry in view.scan(table, &prefix) {
            let (key, value) = entry.map_err(|error| session.snapshot(&error))?;
            let bytes = value.len();
            if session.json() {
                output.object(&Row { key: Key::new(table, key), bytes })?;
            } else if self.long {
                output.line(format_args!("{bytes:>15} {}", word(key)))?;
            } else {
                output.line(word(key))?;
            }
        }
        Ok(())
    }
}

fn sizes(session: &Session, view: &View, table: &str) -> Result<Sizes, Failure> {
    let mut sizes = Sizes { entries: 0, bytes: 0 };
    for entry in view.scan(table, b"") {
        let (key, value) = entry.map_err(|error| session.snapshot(&error))?;
        sizes.entries += 1;
        sizes.bytes += (key.len() + value.len()) as u64;
    }
    Ok(sizes)
}
