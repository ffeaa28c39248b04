//! `snapshots` and `snapshot create`.

use crate::base::Nanos;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::ctl::time::rfc3339;
use crate::format::{FileName, FormatError};
use crate::store::directory::SnapshotFacts;
use crate::store::{Options, Report};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

/// Lists snapshots, oldest first.
#[derive(Debug, Args)]
pub struct Snapshots {}

/// Makes snapshots.
#[derive(Debug, Subcommand)]
pub enum Snapshot {
    /// Make a snapshot of the state as it is now.
    Create(Create),
}

/// Makes a snapshot of the state as it is now.
#[derive(Debug, Args)]
pub struct Create {
    /// Only say whether anything has changed since the last one.
    #[arg(long)]
    dry_run: bool,
}

/// A line of the list.
#[derive(Debug, Serialize)]
struct Line {
    id: String,
    lsn: u64,
    epoch: u64,
    time: String,
    bytes: u64,
    state: &'static str,
}

impl Snapshots {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let reader = session.read()?;
        if session.header() && !session.json() {
            output.line(format_args!(
                "{:36} {:>12} {:30} {:>12} STATE",
                "ID", "LSN", "TIME", "BYTES"
            ))?;
        }
        for facts in &reader.directory().snapshots {
            let line = line(facts, reader.report());
            if session.json() {
                output.object(&line)?;
            } else {
                let Line { id, lsn, time, bytes, state, .. } = line;
                output.line(format_args!("{id:36} {lsn:>12} {time:30} {bytes:>12} {state}"))?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn line(facts: &SnapshotFacts, report: &Report) -> Line {
    let id = facts.name();
    let damaged = report.damaged_snapshots.iter().any(|(name, _)| *name == id);
    let state = match &facts.header {
        Err(FormatError::Blank) => "unfinished",
        Err(_) => "damaged",
        Ok(_) if damaged => "damaged",
        Ok(_) if report.snapshot.as_ref() == Some(&id) => "newest",
        Ok(_) => "kept",
    };
    let time = facts.header.as_ref().map_or(Nanos::default(), |header| header.time);
    Line {
        id,
        lsn: facts.lsn.0,
        epoch: facts.epoch.0,
        time: rfc3339(time),
        bytes: facts.len,
        state,
    }
}

impl Snapshot {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Snapshot::Create(create) => create.run(session, output),
        }
    }
}

impl Create {
    fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        if self.dry_run {
            return dry_run(session, output);
        }
        let store = session.write(&Options::default())?;
        let made = store.checkpoint().map_err(|error| session.checkpointing(&error))?;
        let epoch = store.epoch();
        let before = store.report().snapshot.clone();
        session.close(store)?;
        let made = made.map(|lsn| FileName::Snapshot { epoch, lsn }.to_string());
        let id = made.as_ref().or(before.as_ref());
        if session.json() {
            output.object(&json!({"id": id, "made": made.is_some()}))?;
        } else {
            let name = id.map_or("no snapshot", String::as_str);
            let note = if made.is_some() { "" } else { " (nothing has changed since)" };
            output.line(format_args!("{name}{note}"))?;
        }
        Ok(Exit::Ok)
    }
}

fn dry_run(session: &Session, output: &mut Output) -> Result<Exit, Failure> {
    let reader = session.read()?;
    let held = reader.directory().snapshots.iter();
    let held = held.filter(|facts| facts.header.is_ok()).map(|facts| facts.lsn).max();
    let saves = reader.view().lsn().0.saturating_sub(held.unwrap_or_default().0);
    if session.json() {
        output.object(&json!({"saves_since": saves}))?;
    } else {
        output.line(format_args!("{} since the last snapshot", text::count(saves, "save")))?;
    }
    Ok(Exit::Ok)
}
