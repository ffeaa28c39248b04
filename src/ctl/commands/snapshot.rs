//! `snapshots`, and `snapshot create`, `tag` and `rm`.

use crate::base::{Epoch, Lsn, Nanos};
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::ctl::time::{When, rfc3339};
use crate::format::{FileName, FormatError, SnapshotHeader, TagName};
use crate::store::directory::{Directory, SnapshotFacts};
use crate::store::tags::{self, TagError};
use crate::store::{Options, Report, thin, writer_lives};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use std::time::Duration;

/// Lists snapshots, oldest first, and those that only a tag keeps.
#[derive(Debug, Args)]
pub struct Snapshots {}

/// Makes, names and removes snapshots.
#[derive(Debug, Subcommand)]
pub enum Snapshot {
    /// Make a snapshot of the state as it is now.
    Create(Create),
    /// Give a snapshot a name, under which it stays beyond retention.
    Tag(Tag),
    /// Remove a tag, or a retained snapshot.
    Rm(Rm),
}

/// Makes a snapshot of the state as it is now.
///
/// The store must not be open for writing; beside a writer, `statectl snapshot tag latest NAME`
/// names the newest snapshot that there is.
#[derive(Debug, Args)]
pub struct Create {
    /// Give it this name, under which it stays beyond retention.
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    /// Only say whether anything has changed since the last one.
    #[arg(long)]
    dry_run: bool,
}

/// Gives a snapshot a name, under which it stays beyond retention.
///
/// `--at tag:NAME` reads it. Costs no room as long as the snapshot is retained. Runs beside a
/// writer.
#[derive(Debug, Args)]
pub struct Tag {
    /// A snapshot's id, or latest.
    #[arg(value_name = "ID")]
    id: When,
    /// The name: letters, digits and _.-
    name: String,
    /// Only say whether it could be done.
    #[arg(long)]
    dry_run: bool,
}

/// Removes a tag, or a retained snapshot with the log that only it needs.
///
/// The newest snapshot is never removed. Runs beside a writer.
#[derive(Debug, Args)]
pub struct Rm {
    /// tag:NAME, or a snapshot's id.
    #[arg(value_name = "ID")]
    id: When,
    /// Only say what would be removed.
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
    tags: Vec<String>,
}

impl Snapshots {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let reader = session.read()?;
        let directory = reader.directory();
        if session.header() && !session.json() {
            output.line(format_args!(
                "{:36} {:>12} {:30} {:>12} {:10} TAGS",
                "ID", "LSN", "TIME", "BYTES", "STATE"
            ))?;
        }
        let mut lines: Vec<Line> = directory
            .snapshots
            .iter()
            .map(|facts| line(facts, reader.report(), tags_of(directory, facts.epoch, facts.lsn)))
            .collect();
        lines.extend(only_tagged(directory));
        lines.sort_by_key(|line| (line.lsn, line.epoch));
        for line in &lines {
            if session.json() {
                output.object(line)?;
            } else {
                let Line { id, lsn, time, bytes, state, tags, .. } = line;
                let tags = if tags.is_empty() { "-".to_owned() } else { tags.join(" ") };
                output.line(format_args!(
                    "{id:36} {lsn:>12} {time:30} {bytes:>12} {state:10} {tags}"
                ))?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn tags_of(directory: &Directory, epoch: Epoch, lsn: Lsn) -> Vec<String> {
    let tags = directory.tags.iter().map(|facts| &facts.tag);
    let here = tags.filter(|tag| (tag.epoch, tag.lsn) == (epoch, lsn));
    here.map(|tag| tag.name.clone()).collect()
}

/// A line for each snapshot whose first name is gone.
fn only_tagged(directory: &Directory) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for facts in &directory.tags {
        let TagName { epoch, lsn, .. } = facts.tag;
        let retained = directory.snapshots.iter().any(|s| (s.epoch, s.lsn) == (epoch, lsn));
        let tags = tags_of(directory, epoch, lsn);
        // Several tags are one snapshot: its first one has the line.
        if retained || tags.first() != Some(&facts.tag.name) {
            continue;
        }
        lines.push(Line {
            id: format!("tag:{}", facts.tag.name),
            lsn: lsn.0,
            epoch: epoch.0,
            time: rfc3339(time_of(&facts.header)),
            bytes: facts.len,
            state: if facts.header.is_ok() { "tagged" } else { "damaged" },
            tags,
        });
    }
    lines
}

fn time_of(header: &Result<SnapshotHeader, FormatError>) -> Nanos {
    header.as_ref().map_or(Nanos::default(), |header| header.time)
}

fn line(facts: &SnapshotFacts, report: &Report, tags: Vec<String>) -> Line {
    let id = facts.name();
    let damaged = report.damaged_snapshots.iter().any(|(name, _)| *name == id);
    let state = match &facts.header {
        Err(FormatError::Blank) => "unfinished",
        Err(_) => "damaged",
        Ok(_) if damaged => "damaged",
        Ok(_) if report.snapshot.as_ref() == Some(&id) => "newest",
        Ok(_) => "kept",
    };
    Line {
        id,
        lsn: facts.lsn.0,
        epoch: facts.epoch.0,
        time: rfc3339(time_of(&facts.header)),
        bytes: facts.len,
        state,
        tags,
    }
}

impl Snapshot {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Snapshot::Create(create) => create.run(session, output),
            Snapshot::Tag(tag) => tag.run(session, output),
            Snapshot::Rm(rm) => rm.run(session, output),
        }
    }
}

impl Create {
    fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        if let Some(name) = &self.tag {
            free(session, session.read()?.directory(), name)?;
        }
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
        if let Some(name) = &self.tag {
            let id = id.and_then(|id| FileName::parse(id));
            let Some(FileName::Snapshot { epoch, lsn }) = id else {
                let message = "an empty store has no snapshot to tag";
                return Err(Failure::new(Exit::NotFound, message, session.next("status")));
            };
            let tagged = tags::tag(&session.disk()?, epoch, lsn, name);
            tagged.map_err(|error| session.tagging(&error))?;
        }
        if session.json() {
            output.object(&json!({"id": id, "made": made.is_some(), "tag": self.tag}))?;
        } else {
            let name = id.map_or("no snapshot", String::as_str);
            let note = if made.is_some() { "" } else { " (nothing has changed since)" };
            let tag = self.tag.as_ref().map_or_else(String::new, |tag| format!(" tag:{tag}"));
            output.line(format_args!("{name}{tag}{note}"))?;
        }
        Ok(Exit::Ok)
    }
}

/// Whether something new can be called `name`.
fn free(session: &Session, directory: &Directory, name: &str) -> Result<(), Failure> {
    if !TagName::is_valid(name) {
        return Err(session.tagging(&TagError::Name(name.to_owned())));
    }
    match tags::find(directory, name) {
        Some(taken) => {
            let taken = TagError::Exists { name: name.to_owned(), lsn: taken.tag.lsn };
            Err(session.tagging(&taken))
        }
        None => Ok(()),
    }
}

impl Tag {
    fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let reader = session.read()?;
        let directory = reader.directory();
        let (epoch, lsn) = match &self.id {
            When::Latest => newest(session, directory)?,
            When::Snapshot(epoch, lsn) => (*epoch, *lsn),
            _ => return Err(not_an_id("snapshot tag")),
        };
        free(session, directory, &self.name)?;
        let id = FileName::Snapshot { epoch, lsn }.to_string();
        if self.dry_run {
            if !directory.snapshots.iter().any(|facts| facts.name() == id) {
                return Err(session.tagging(&TagError::NoSnapshot(id)));
            }
        } else {
            let tagged = tags::tag(&session.disk()?, epoch, lsn, &self.name);
            tagged.map_err(|error| session.tagging(&error))?;
        }
        let name = &self.name;
        if session.json() {
            let done = !self.dry_run;
            output.object(&json!({"id": id, "lsn": lsn.0, "tag": name, "done": done}))?;
        } else {
            let done = if self.dry_run { "would be" } else { "is" };
            output.line(format_args!("{id} {done} tag:{name}, lsn {lsn}"))?;
        }
        Ok(Exit::Ok)
    }
}

fn newest(session: &Session, directory: &Directory) -> Result<(Epoch, Lsn), Failure> {
    let newest = thin::retained(directory).pop().ok_or_else(|| {
        let writes = session.disk().is_ok_and(|disk| writer_lives(&disk));
        let next = match writes {
            // Who writes makes one by itself, when it is due.
            true => session.next("backup REPOSITORY --tag NAME"),
            false => session.next("snapshot create"),
        };
        Failure::new(Exit::NotFound, "there is no snapshot yet", next)
    })?;
    Ok((newest.epoch, newest.lsn))
}

fn not_an_id(command: &str) -> Failure {
    let message = "neither a snapshot's id nor a tag";
    Failure::new(Exit::Usage, message, format!("statectl {command} --help"))
}

impl Rm {
    fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let files = match &self.id {
            When::Tag(name) => self.tag(session, name)?,
            When::Snapshot(epoch, lsn) => self.snapshot(session, *epoch, *lsn)?,
            _ => return Err(not_an_id("snapshot rm")),
        };
        if session.json() {
            output.object(&json!({"files": files, "done": !self.dry_run}))?;
        } else {
            let done = if self.dry_run { "would remove" } else { "removed" };
            for file in files {
                output.line(format_args!("{done} {file}"))?;
            }
        }
        Ok(Exit::Ok)
    }

    fn tag(&self, session: &Session, name: &str) -> Result<Vec<String>, Failure> {
        let disk = session.disk()?;
        let failed = |error: TagError| session.tagging(&error);
        if self.dry_run {
            let reader = session.read()?;
            let facts = tags::find(reader.directory(), name);
            let facts = facts.ok_or_else(|| failed(TagError::NoTag(name.to_owned())))?;
            return Ok(vec![facts.tag.to_string()]);
        }
        Ok(vec![tags::untag(&disk, name).map_err(failed)?.to_string()])
    }

    fn snapshot(&self, session: &Session, epoch: Epoch, lsn: Lsn) -> Result<Vec<String>, Failure> {
        let reader = session.read()?;
        let directory = reader.directory();
        let id = FileName::Snapshot { epoch, lsn }.to_string();
        if newest(session, directory)? == (epoch, lsn) {
            let message = format!("{id} is the newest snapshot: the state rests on it");
            return Err(Failure::new(Exit::Unsafe, message, session.next("snapshot create")));
        }
        // Who names one snapshot means it: age protects the log only, which others may be reading.
        let files = thin::files(directory, &[(epoch, lsn)], Nanos::now(), YOUNG);
        if files.is_empty() {
            return Err(session.tagging(&TagError::NoSnapshot(id)));
        }
        if self.dry_run {
            return Ok(files.into_iter().map(|file| file.name).collect());
        }
        let done = thin::remove(&session.disk()?, files).map_err(|e| session.reading(&e))?;
        if !done.iter().any(|file| file.name == id) {
            return Err(session.tagging(&TagError::Pinned(id)));
        }
        Ok(done.into_iter().map(|file| file.name).collect())
    }
}

/// As long as the engine keeps what is superseded, for copiers.
const YOUNG: Duration = Duration::from_secs(15 * 60);

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
