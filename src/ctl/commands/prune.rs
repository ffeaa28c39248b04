//! `prune`: which retained snapshots go, and why the others stay.

use crate::base::Nanos;
use crate::ctl::commands::backups;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::keep_args::KeepArgs;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::ctl::time::{duration, rfc3339};
use crate::export::keep::{Candidate, Reason, decide};
use crate::store::Reader;
use crate::store::thin::{self, Retained};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// Deletes retained snapshots that no rule keeps, or backups.
///
/// With the snapshots goes the log that only they need. A line for each: keep or remove, and why.
/// Runs beside a writer.
///
/// The newest always stays. A tagged snapshot stays under its tag (`statectl snapshot rm tag:NAME`
/// takes it away) unless --keep-tag is given: then only the tags named there stay.
///
/// With a repository, the same for the backups in it, by the time when they were made.
#[derive(Debug, Args)]
pub struct Prune {
    /// A repository of backups, instead of the state directory.
    #[arg(value_name = "REPOSITORY")]
    repository: Option<PathBuf>,
    #[command(flatten)]
    keep: KeepArgs,
    /// What was superseded more recently stays: a copier that has listed it may still want it.
    #[arg(long, value_name = "SPAN", value_parser = duration, default_value = "15m")]
    min_age: Duration,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// A snapshot, and what becomes of it.
struct Verdict {
    snapshot: Retained,
    tags: Vec<String>,
    why: Vec<String>,
}

impl Prune {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let rule = self.keep.rule();
        if rule.is_empty() {
            let message = "no rule says what to keep";
            return Err(Failure::new(Exit::Usage, message, "statectl prune --help"));
        }
        if let Some(repository) = &self.repository {
            return backups::prune(repository, &rule, self.dry_run, session, output);
        }
        let reader = session.read()?;
        let verdicts = self.verdicts(&reader);
        for verdict in &verdicts {
            print(session, output, verdict)?;
        }
        let tags = self.tags_that_go(&reader);
        for name in &tags {
            print_tag(session, output, name)?;
        }
        let gone: Vec<_> = verdicts.iter().filter(|v| v.why.is_empty()).collect();
        let ids: Vec<_> = gone.iter().map(|v| (v.snapshot.epoch, v.snapshot.lsn)).collect();
        let files = thin::files(reader.directory(), &ids, Nanos::now(), self.min_age);
        let planned = files.len() + tags.len();
        if planned == 0 || self.dry_run {
            return self.sum(session, output, planned, files.iter().map(|f| f.bytes).sum());
        }
        output.flush()?;
        let question = format!("Delete {}?", text::count(planned as u64, "file"));
        if !session.agreed(&question) {
            let next = session.next("prune --dry-run --keep-last 1");
            return Err(Failure::new(Exit::Failed, "nothing was done", next));
        }
        let disk = session.disk()?;
        let done = thin::remove(&disk, files).map_err(|error| session.reading(&error))?;
        for name in &tags {
            crate::store::tags::untag(&disk, name).map_err(|error| session.tagging(&error))?;
        }
        let bytes = done.iter().map(|file| file.bytes).sum();
        self.sum(session, output, done.len() + tags.len(), bytes)?;
        if done.len() + tags.len() < planned {
            let message = format!("{} still read by others", planned - done.len() - tags.len());
            return Err(Failure::new(Exit::Degraded, message, session.next("snapshots")));
        }
        Ok(Exit::Ok)
    }

    fn verdicts(&self, reader: &Reader) -> Vec<Verdict> {
        let directory = reader.directory();
        let all = thin::retained(directory);
        // Tags stay by themselves: what they hold needs no other file.
        let candidate = |s: &Retained| Candidate { time: s.header.time, tags: Vec::new() };
        let candidates: Vec<Candidate> = all.iter().map(candidate).collect();
        let reasons = decide(&self.keep.rule(), &candidates);
        let now = Nanos::now();
        all.into_iter()
            .zip(reasons)
            .map(|(snapshot, reasons)| {
                let tagged = directory.tags.iter().filter(|facts| {
                    (facts.tag.epoch, facts.tag.lsn) == (snapshot.epoch, snapshot.lsn)
                });
                let tags = tagged.map(|facts| facts.tag.name.clone()).collect();
                let mut why: Vec<String> = reasons.iter().map(Reason::to_string).collect();
                if why.is_empty() && self.young(&snapshot, now) {
                    let age = text::span(self.min_age);
                    why.push(format!("superseded less than {age} ago"));
                }
                Verdict { snapshot, tags, why }
            })
            .collect()
    }

    fn young(&self, snapshot: &Retained, now: Nanos) -> bool {
        snapshot
            .superseded
            .is_some_and(|since| Duration::from_nanos(now.0.saturating_sub(since.0)) < self.min_age)
    }

    /// Tags that no --keep-tag names, where one is given.
    fn tags_that_go(&self, reader: &Reader) -> Vec<String> {
        let kept = self.keep.rule().tags;
        if kept.is_empty() || kept.iter().any(|tag| tag == crate::export::keep::ANY_TAG) {
            return Vec::new();
        }
        let names = reader.directory().tags.iter().map(|facts| facts.tag.name.clone());
        names.filter(|name| !kept.contains(name)).collect()
    }

    fn sum(
        &self,
        session: &Session,
        output: &mut Output,
        files: usize,
        bytes: u64,
    ) -> Result<Exit, Failure> {
        if session.json() {
            let done = !self.dry_run;
            output.object(&json!({"files": files, "bytes": bytes, "done": done}))?;
        } else {
            let done = if self.dry_run { "would delete" } else { "deleted" };
            let (files, bytes) = (text::count(files as u64, "file"), text::bytes(bytes));
            output.line(format_args!("{done} {files}, {bytes}"))?;
        }
        Ok(Exit::Ok)
    }
}

fn print(session: &Session, output: &mut Output, verdict: &Verdict) -> Result<(), Failure> {
    let Verdict { snapshot, tags, why } = verdict;
    let action = if why.is_empty() { "remove" } else { "keep" };
    let time = rfc3339(snapshot.header.time);
    if session.json() {
        return output.object(&json!({
            "action": action,
            "id": snapshot.name,
            "lsn": snapshot.lsn.0,
            "time": time,
            "bytes": snapshot.allocated,
            "reasons": why,
            "tags": tags,
        }));
    }
    let why = if why.is_empty() { "no rule keeps it".to_owned() } else { why.join(", ") };
    let stays = match tags.join(" tag:") {
        names if names.is_empty() => String::new(),
        names => format!("; its state stays as tag:{names}"),
    };
    let stays = if action == "remove" { stays } else { String::new() };
    output.line(format_args!("{action:6} {} {time} ({why}{stays})", snapshot.name))
}

fn print_tag(session: &Session, output: &mut Output, name: &str) -> Result<(), Failure> {
    if session.json() {
        let id = format!("tag:{name}");
        return output.object(&json!({"action": "remove", "id": id, "reasons": []}));
    }
    output.line(format_args!("remove tag:{name} (no --keep-tag names it)"))
}
