//! `export`: the state as a plain tree of files.

use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::progress::Progress;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::ctl::time::When;
use crate::export::tree::{Options, write_tree};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Writes the state as a plain tree of files.
///
/// Any tool can read and copy it: a table a folder, an entry a file.
///
/// A byte of a key that is no letter, no digit and none of _ . , + - = @ : ~ is written as % and
/// two hexadecimal digits, a dot in front too; a key too long for a name has two files, %K….key
/// and %K….value. The tree is there whole, or not at all.
#[derive(Debug, Args)]
pub struct Export {
    /// Where: a new folder.
    #[arg(value_name = "DIR")]
    target: PathBuf,
    /// Link files that have not changed to those of this older tree.
    #[arg(long, value_name = "PREV")]
    link_dest: Option<PathBuf>,
    /// Take the place of the tree in DIR in one step, linking what has not changed.
    #[arg(long)]
    replace: bool,
    /// The state at a time, LSN, snapshot or tag.
    #[arg(long, value_name = "T")]
    at: Option<When>,
    /// Only say how much would be written.
    #[arg(long)]
    dry_run: bool,
}

impl Export {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let reader = session.read()?;
        let view = session.view(&reader, self.at.as_ref())?;
        let control = reader.control();
        let target = text::shell(self.target.as_os_str()).into_owned();
        if self.dry_run {
            let (mut entries, mut bytes) = (0_u64, 0_u64);
            view.for_each(|_, key, value| {
                entries += 1;
                bytes += (key.len() + value.len()) as u64;
                Ok::<(), crate::snapshot::SnapshotError>(())
            })
            .map_err(|error| session.snapshot(&error))?;
            let lsn = view.lsn();
            if session.json() {
                output.object(&json!({
                    "done": false,
                    "lsn": lsn.0,
                    "path": target,
                    "entries": entries,
                    "logical_bytes": bytes,
                }))?;
            } else {
                let (count, bytes) = (text::count_of(entries, "entry"), text::bytes(bytes));
                output
                    .line(format_args!("would export lsn {lsn} to {target}: {count}, {bytes}"))?;
            }
            return Ok(Exit::Ok);
        }
        let options = Options { link_dest: self.link_dest, replace: self.replace };
        let shown = Progress::count(session, "exporting", 0);
        let done = write_tree(
            &view,
            (control.cluster, control.incarnation),
            &self.target,
            &options,
            &mut |done| shown.set(done.entries),
        );
        drop(shown);
        let done = done.map_err(|error| session.tree(&error))?;
        if session.json() {
            output.object(&json!({
                "done": true,
                "lsn": view.lsn().0,
                "path": target,
                "tables": done.tables,
                "entries": done.entries,
                "logical_bytes": done.logical_bytes,
                "linked": done.linked,
                "written_bytes": done.written_bytes,
            }))?;
        } else {
            let (tables, entries) =
                (text::count(done.tables, "table"), text::count_of(done.entries, "entry"));
            let (bytes, written) =
                (text::bytes(done.logical_bytes), text::bytes(done.written_bytes));
            output.line(format_args!(
                "exported lsn {} to {target}: {tables}, {entries}, {bytes}; {} linked, {written} \
                 written",
                view.lsn(),
                done.linked
            ))?;
        }
        Ok(Exit::Ok)
    }
}
