//! `du`: what takes the room.

use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::store::{Usage, usage};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::time::Duration;

/// Says what takes the room. `total` counts the directory itself, as du does.
#[derive(Debug, Args)]
pub struct Du {
    /// Only the total and the directory, as du -s.
    #[arg(short)]
    sum: bool,
    /// In bytes; the total is then that of all lengths, as with du -b.
    #[arg(short)]
    bytes: bool,
    /// A line for each table or file.
    #[arg(long, value_name = "WHAT", conflicts_with = "sum")]
    by: Option<By>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Table,
    File,
}

impl Du {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        // For what it says on stderr.
        session.read()?;
        let usage = usage(session.dir()?).map_err(|error| session.reading(&error))?;
        match self.by {
            Some(By::Table) => self.tables(session, output, &usage)?,
            Some(By::File) => self.files(session, output, &usage)?,
            None if session.json() => output.object(&object(&usage))?,
            None if self.sum => {
                let (size, dir) = (self.size(self.total(&usage)), session.quoted_dir());
                output.line(format_args!("{size}\t{dir}"))?;
            }
            None => self.parts(output, &usage)?,
        }
        Ok(Exit::Ok)
    }

    fn size(&self, bytes: u64) -> String {
        if self.bytes { bytes.to_string() } else { text::bytes(bytes) }
    }

    fn total(&self, usage: &Usage) -> u64 {
        if self.bytes { usage.total_apparent } else { usage.total_allocated }
    }

    fn parts(&self, output: &mut Output, usage: &Usage) -> Result<(), Failure> {
        for (name, bytes) in [
            ("logical", logical(usage)),
            ("log", usage.log_bytes),
            ("snapshots", usage.snapshot_bytes),
            ("reserve", usage.reserve_bytes),
            ("other", usage.other_bytes),
            ("reclaimable", usage.reclaimable_bytes),
            ("total", self.total(usage)),
        ] {
            output.line(format_args!("{name:11} {:>14}", self.size(bytes)))?;
        }
        let Some(growth) = &usage.growth else {
            return output.line(format_args!("{:11} {:>14}", "growth/h", "-"));
        };
        let over = text::span(Duration::from_secs(growth.over.as_secs()));
        let logged = i64::try_from(growth.log_bytes).unwrap_or(i64::MAX);
        for (name, bytes) in [("growth/h", growth.logical_bytes), ("logged/h", logged)] {
            let hourly = growth.per_hour(bytes);
            let sign = if hourly < 0 { "-" } else { "" };
            let size = format!("{sign}{}", self.size(hourly.unsigned_abs()));
            output.line(format_args!("{name:11} {size:>14} over {over}"))?;
        }
        Ok(())
    }

    fn tables(&self, session: &Session, output: &mut Output, usage: &Usage) -> Result<(), Failure> {
        if session.header() && !session.json() {
            output.line(format_args!("{:>12} {:>14} {:>14} TABLE", "ENTRIES", "KEYS", "VALUES"))?;
        }
        for table in &usage.tables {
            let name = &table.name;
            if session.json() {
                output.object(&json!({
                    "table": name,
                    "entries": table.entries,
                    "key_bytes": table.key_bytes,
                    "value_bytes": table.value_bytes,
                }))?;
            } else {
                let (keys, values) = (self.size(table.key_bytes), self.size(table.value_bytes));
                output
                    .line(format_args!("{:>12} {keys:>14} {values:>14} {name}", table.entries))?;
            }
        }
        Ok(())
    }

    fn files(&self, session: &Session, output: &mut Output, usage: &Usage) -> Result<(), Failure> {
        if session.header() && !session.json() {
            output.line(format_args!("{:>14} {:>14} FILE", "LENGTH", "ON DISK"))?;
        }
        for file in &usage.files {
            let name = text::word(file.name.as_bytes());
            if session.json() {
                let (bytes, allocated) = (file.len, file.allocated);
                output.object(&json!({"file": name, "bytes": bytes, "allocated": allocated}))?;
            } else {
                let (len, allocated) = (self.size(file.len), self.size(file.allocated));
                output.line(format_args!("{len:>14} {allocated:>14} {name}"))?;
            }
        }
        Ok(())
    }
}

fn logical(usage: &Usage) -> u64 {
    usage.tables.iter().map(|table| table.key_bytes + table.value_bytes).sum()
}

fn object(usage: &Usage) -> serde_json::Value {
    json!({
        "lsn": usage.lsn.0,
        "logical_bytes": logical(usage),
        "log_bytes": usage.log_bytes,
        "snapshot_bytes": usage.snapshot_bytes,
        "reserve_bytes": usage.reserve_bytes,
        "other_bytes": usage.other_bytes,
        "reclaimable_bytes": usage.reclaimable_bytes,
        "growth": usage.growth.map(|growth| json!({
            "seconds": growth.over.as_secs_f64(),
            "logical_bytes_per_hour": growth.per_hour(growth.logical_bytes),
            "log_bytes_per_hour":
                growth.per_hour(i64::try_from(growth.log_bytes).unwrap_or(i64::MAX)),
        })),
        "total_apparent": usage.total_apparent,
        "total_allocated": usage.total_allocated,
    })
}
