//! `backups`: what is in a repository; and what `verify` and `prune` do with one.

use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::progress::Progress;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::ctl::time::rfc3339;
use crate::export::keep::Keep;
use crate::export::{BackupId, Hold, Trouble, judge, verify_repository};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Lists the backups in a repository, oldest first: what each can be restored to.
#[derive(Debug, Args)]
pub struct Backups {
    /// The repository.
    #[arg(value_name = "DEST")]
    dest: PathBuf,
}

impl Backups {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let repository = session.repository(&self.dest, Hold::Read, false)?;
        let backups = session.backups(&repository, &self.dest)?;
        if session.header() && !session.json() {
            output.line(format_args!(
                "{:25} {:16} {:>10} {:>10} {:30} {:30} {:>10}",
                "ID", "TAG", "FROM-LSN", "TO-LSN", "FROM", "TO", "SIZE"
            ))?;
        }
        for listed in &backups {
            let Ok(manifest) = &listed.manifest else {
                let id = listed.id.as_str();
                match session.json() {
                    true => output.object(&json!({"id": id, "state": "damaged"}))?,
                    false => output.line(format_args!("{id:25} damaged"))?,
                }
                continue;
            };
            let (from, to) = (manifest.from, (manifest.end.lsn, manifest.end.time));
            if session.json() {
                output.object(&json!({
                    "id": manifest.id.as_str(),
                    "state": "whole",
                    "tag": manifest.tag,
                    "parent": manifest.parent.as_ref().map(BackupId::as_str),
                    "made": rfc3339(manifest.made),
                    "from_lsn": from.0.0,
                    "from_time": rfc3339(from.1),
                    "lsn": to.0.0,
                    "time": rfc3339(to.1),
                    "bytes": manifest.bytes(),
                    "cluster": manifest.cluster.to_string(),
                    "incarnation": manifest.incarnation.to_string(),
                    "epoch": manifest.epoch.0,
                }))?;
            } else {
                output.line(format_args!(
                    "{:25} {:16} {:>10} {:>10} {:30} {:30} {:>10}",
                    manifest.id,
                    manifest.tag.as_deref().unwrap_or("-"),
                    from.0.0,
                    to.0.0,
                    rfc3339(from.1),
                    rfc3339(to.1),
                    text::bytes(manifest.bytes()),
                ))?;
            }
        }
        Ok(Exit::Ok)
    }
}

/// Checks an archive.
fn verify_archive(dest: &Path, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
    let manifest = session.check_archive(dest)?;
    let (id, bytes) = (manifest.id.as_str(), manifest.bytes());
    if session.json() {
        output.object(&json!({"ok": true, "id": id, "bytes": bytes, "backups": 1, "sound": 1}))?;
    } else {
        output.line(format_args!("archive ok; backup {id}, {}", text::bytes(bytes)))?;
    }
    Ok(Exit::Ok)
}

/// Checks every backup in a repository, or an archive.
pub fn verify(dest: &Path, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
    if dest.is_file() {
        return verify_archive(dest, session, output);
    }
    let repository = session.repository(dest, Hold::Read, false)?;
    let progress = Progress::bytes(session, "verifying", 0);
    let checked = verify_repository(&repository, &mut |bytes| progress.add(bytes))
        .map_err(|error| session.exporting(&error, dest))?;
    drop(progress);
    for Trouble { backup, error, survives } in &checked.troubles {
        let left = match survives {
            Some(lsn) => format!("it can be restored up to lsn {lsn}"),
            None => "nothing of it can be restored".to_owned(),
        };
        session.warn(&format!("{error}; backup {backup}: {left}"));
    }
    if session.json() {
        let troubles = checked.troubles.iter().map(|trouble| {
            json!({
                "backup": trouble.backup.as_str(),
                "what": trouble.error.to_string(),
                "survives": trouble.survives.map(|lsn| lsn.0),
            })
        });
        output.object(&json!({
            "ok": checked.troubles.is_empty(),
            "backups": checked.backups,
            "sound": checked.sound,
            "files": checked.files,
            "bytes": checked.bytes,
            "leftovers": checked.leftovers,
            "troubles": troubles.collect::<Vec<_>>(),
        }))?;
    } else {
        let mut line = format!(
            "backups {}/{} ok; {}, {}",
            checked.sound,
            checked.backups,
            text::count(checked.files, "file"),
            text::bytes(checked.bytes)
        );
        if !checked.leftovers.is_empty() {
            line += &format!(
                "; {} of an unfinished backup (harmless)",
                text::count(checked.leftovers.len() as u64, "file")
            );
        }
        output.line(line)?;
    }
    match checked.troubles.first() {
        None => Ok(Exit::Ok),
        Some(_) => {
            let bad = text::count(checked.backups - checked.sound, "backup");
            let dest = text::shell(dest.as_os_str());
            Err(Failure::new(
                Exit::Corruption,
                format!("{bad} damaged"),
                format!("statectl backups {dest}"),
            ))
        }
    }
}

/// Removes the backups that no rule keeps.
pub fn prune(
    dest: &Path,
    keep: &Keep,
    dry_run: bool,
    session: &Session,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let repository = session.repository(dest, Hold::Change, false)?;
    let failed = |error| session.exporting(&error, dest);
    let verdicts = judge(&session.backups(&repository, dest)?, keep);
    let mut gone = Vec::new();
    for verdict in verdicts {
        let action = if verdict.stays() { "keep" } else { "remove" };
        let time = rfc3339(verdict.made);
        if session.json() {
            output.object(&json!({
                "action": action,
                "id": verdict.id.as_str(),
                "tag": verdict.tag,
                "time": time,
                "reasons": verdict.reasons,
            }))?;
        } else {
            let why = match verdict.stays() {
                true => verdict.reasons.join(", "),
                false => "no rule keeps it".to_owned(),
            };
            output.line(format_args!("{action:6} {} {time} ({why})", verdict.id))?;
        }
        if !verdict.stays() {
            gone.push(verdict.id);
        }
    }
    output.flush()?;
    let what = text::count(gone.len() as u64, "backup");
    if !dry_run {
        if !gone.is_empty() && !session.agreed(&format!("Remove {what}?")) {
            let next = format!("statectl backups {}", text::shell(dest.as_os_str()));
            return Err(Failure::new(Exit::Failed, "nothing was done", next));
        }
        repository.remove(&gone).map_err(failed)?;
    }
    if session.json() {
        output.object(&json!({"removed": gone.len(), "done": !dry_run}))?;
    } else {
        let done = if dry_run { "would remove" } else { "removed" };
        output.line(format_args!("{done} {what}"))?;
    }
    Ok(Exit::Ok)
}
