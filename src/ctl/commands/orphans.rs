//! `orphans`: what deposed primaries wrote behind their seals, for who wants to know what a client
//! that got no answer had asked for.
//!
//! Invariant: nothing of it is ever applied by itself; it is shown, and written out in the form in
//! which an operator can.

use crate::base::{Epoch, Lsn};
use crate::ctl::commands::log;
use crate::ctl::entry::Change;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::format::Op;
use crate::store::{Orphan, Saved, orphaned_on, orphans_on};
use clap::{Args, Subcommand};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What deposed primaries wrote that nobody acknowledged: no part of the state.
#[derive(Debug, Subcommand)]
pub enum Orphans {
    List(List),
    Show(Show),
    Export(Export),
}

/// Lists the tails of ended epochs that no later one goes on from.
#[derive(Debug, Args)]
pub struct List {}

/// Prints the saves of one orphan, or of all: as `log` does.
#[derive(Debug, Args)]
pub struct Show {
    /// Which, as `list` names it: EPOCH:LSN.
    id: Option<Name>,
}

/// Writes the saves of one orphan, or of all, to a new file, a line each, as `apply` reads them.
///
/// Look at them before you apply any: the clients that had asked for them got no answer, and have
/// perhaps asked again since.
#[derive(Debug, Args)]
pub struct Export {
    /// The file; it must not be there.
    file: PathBuf,
    /// Which, as `list` names it: EPOCH:LSN.
    id: Option<Name>,
}

/// An orphan's name: the epoch that wrote it, and the LSN that its first save would have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name(Epoch, Lsn);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Name, String> {
        let name = text.split_once(':').and_then(|(epoch, lsn)| {
            Some(Name(Epoch(epoch.parse().ok()?), Lsn(lsn.parse().ok()?)))
        });
        name.ok_or_else(|| "EPOCH:LSN, as `orphans list` prints it".to_owned())
    }
}

impl Name {
    fn of(orphan: &Orphan) -> Name {
        Name(orphan.epoch, orphan.first_lsn)
    }

    fn text(self) -> String {
        format!("{}:{}", self.0, self.1)
    }
}

impl Orphans {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Orphans::List(_) => list(session, output),
            Orphans::Show(show) => {
                if session.header() && !session.json() {
                    output.line(log::HEADER)?;
                }
                for saved in saves(session, show.id)? {
                    log::print(session, output, &saved)?;
                }
                Ok(Exit::Ok)
            }
            Orphans::Export(export) => export.run(session, output),
        }
    }
}

fn list(session: &Session, output: &mut Output) -> Result<Exit, Failure> {
    let orphans = found(session, None)?;
    if session.header() && !session.json() {
        output.line(format_args!(
            "{:<16} {:>8} {:>8} {:>12} {:>12} FILE",
            "ID", "GROUPS", "SAVES", "BYTES", "OFFSET"
        ))?;
    }
    for orphan in &orphans {
        let id = Name::of(orphan).text();
        let Orphan { file, groups, saves, bytes, offset, .. } = orphan;
        if session.json() {
            output.object(&json!({
                "id": id,
                "epoch": orphan.epoch.0,
                "first_lsn": orphan.first_lsn.0,
                "groups": groups,
                "saves": saves,
                "bytes": bytes,
                "file": file,
                "offset": offset,
            }))?;
        } else {
            output.line(format_args!(
                "{id:<16} {groups:>8} {saves:>8} {bytes:>12} {offset:>12} {file}"
            ))?;
        }
    }
    Ok(Exit::Ok)
}

/// The orphans, or the one of that name.
fn found(session: &Session, id: Option<Name>) -> Result<Vec<Orphan>, Failure> {
    let disk = session.disk()?;
    let mut orphans = orphans_on(&disk).map_err(|error| failed(session, &error))?;
    if let Some(id) = id {
        orphans.retain(|orphan| Name::of(orphan) == id);
        if orphans.is_empty() {
            let message = format!("there is no orphan {}", id.text());
            return Err(Failure::new(Exit::NotFound, message, session.next("orphans list")));
        }
    }
    Ok(orphans)
}

fn saves(session: &Session, id: Option<Name>) -> Result<Vec<Saved>, Failure> {
    let disk = session.disk()?;
    let mut saves = Vec::new();
    for orphan in found(session, id)? {
        saves.extend(orphaned_on(&disk, &orphan).map_err(|error| failed(session, &error))?);
    }
    Ok(saves)
}

fn failed(session: &Session, error: &io::Error) -> Failure {
    let (exit, next) = session.refused(error);
    Failure::new(exit, format!("{}: {error}", session.quoted_dir()), next)
}

impl Export {
    fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let saves = saves(session, self.id)?;
        let shown = text::shell(self.file.as_os_str()).into_owned();
        write(&self.file, &saves).map_err(|error| {
            let exit = match error.kind() {
                io::ErrorKind::AlreadyExists => Exit::Unsafe,
                _ => Exit::Failed,
            };
            Failure::new(exit, format!("{shown}: {error}"), format!("ls -l {shown}"))
        })?;
        let count = saves.len();
        if session.json() {
            output.object(&json!({"path": self.file.to_string_lossy(), "saves": count}))?;
        } else {
            output.line(format_args!("{shown} {}", text::count(count as u64, "save")))?;
        }
        Ok(Exit::Ok)
    }
}

/// A state holds what not everybody may read.
fn write(path: &Path, saves: &[Saved]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut writer = BufWriter::new(file);
    for saved in saves {
        let ops: Result<Vec<Op<'_>>, _> = saved.ops().collect();
        let ops = ops.map_err(io::Error::other)?;
        let changes: Vec<Change<'_>> = ops.into_iter().map(Change::from).collect();
        serde_json::to_writer(&mut writer, &changes)?;
        writer.write_all(b"\n")?;
    }
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}
