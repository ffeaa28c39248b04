//! `compact`: a snapshot, and what it supersedes is deleted as far as retention allows.

use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::store::{Options, Usage, usage};
use clap::Args;
use serde_json::json;

/// Makes a snapshot, and deletes what it supersedes as far as retention allows.
#[derive(Debug, Args)]
pub struct Compact {
    /// Give up the history, too: keep nothing but the newest state. Copies in progress may fail.
    #[arg(long)]
    drop_history: bool,
    /// Only say what is no longer needed for the newest state.
    #[arg(long)]
    dry_run: bool,
}

impl Compact {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        if self.dry_run {
            session.read()?;
            let bytes = measure(session)?.reclaimable_bytes;
            if session.json() {
                output.object(&json!({"reclaimable_bytes": bytes}))?;
            } else {
                let bytes = text::bytes(bytes);
                output.line(format_args!("{bytes} only serve the history before the snapshot"))?;
            }
            return Ok(Exit::Ok);
        }
        let mut options = Options::default();
        if self.drop_history {
            if !session.agreed("Delete every older state?") {
                let next = session.next("compact --dry-run");
                return Err(Failure::new(Exit::Failed, "nothing was done", next));
            }
            options = options.without_history();
        }
        self.compact(session, output, &options)
    }

    fn compact(
        &self,
        session: &Session,
        output: &mut Output,
        options: &Options,
    ) -> Result<Exit, Failure> {
        let store = session.write(options)?;
        // A snapshot deletes what it supersedes by itself: only the difference tells all of it.
        let before = measure(session)?;
        let made = store.checkpoint().map_err(|error| session.checkpointing(&error))?;
        store.prune().map_err(|error| {
            let (exit, next) = session.refused(&error);
            Failure::new(exit, format!("superseded files: {error}"), next)
        })?;
        let lsn = store.view().lsn();
        session.close(store)?;
        let after = measure(session)?;
        let deleted: Vec<&str> = gone(&before, &after);
        let freed: i128 = i128::from(before.total_allocated) - i128::from(after.total_allocated);
        if session.json() {
            output.object(&json!({
                "lsn": lsn.0,
                "snapshot_made": made.is_some(),
                "deleted": deleted,
                "freed_bytes": i64::try_from(freed).unwrap_or(i64::MAX),
                "reclaimable_bytes": after.reclaimable_bytes,
            }))?;
        } else {
            output.line(format_args!(
                "snapshot at lsn:{lsn}; {} deleted; {} kept as history",
                text::count(deleted.len() as u64, "file"),
                text::bytes(after.reclaimable_bytes)
            ))?;
        }
        Ok(Exit::Ok)
    }
}

fn measure(session: &Session) -> Result<Usage, Failure> {
    usage(session.dir()?).map_err(|error| session.reading(&error))
}

fn gone<'a>(before: &'a Usage, after: &Usage) -> Vec<&'a str> {
    let there = |name: &str| after.files.iter().any(|file| file.name == name);
    before.files.iter().map(|file| file.name.as_str()).filter(|name| !there(name)).collect()
}
