//! `import`: makes the state that of a tree of files.
//!
//! Invariants: the whole tree is looked at before the first save; a save is a batch of at most
//! [`BATCH`] bytes and a value, so that memory is bounded; running it again after it was cut short
//! ends in the same state.

use crate::base::Lsn;
use crate::base::limits::SAVE_MAX;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::progress::Progress;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::export::tree::{Change, Tree, TreeError, changes};
use crate::format::Batch;
use crate::store::{Options, Store, View};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Bytes after which a save is made; a tree that holds less is taken over in one.
const BATCH: usize = 64 << 20;

const _: () = assert!(BATCH + crate::base::limits::VALUE_MAX + 8192 < SAVE_MAX);

/// Makes the state that of a tree of files.
///
/// The tree is one as `export` writes it: what differs is saved, what it does not hold is deleted.
///
/// Up to 64 MiB of differences are one save, so that nobody ever sees a part of them; more become
/// several, and running it again goes on where it was cut short. Symbolic links, devices, folders
/// within tables and names that no key has are refused before anything is saved.
#[derive(Debug, Args)]
pub struct Import {
    /// The tree.
    #[arg(value_name = "DIR")]
    tree: PathBuf,
    /// Delete what the tree does not hold (the default).
    #[arg(long, overrides_with = "no_delete")]
    delete: bool,
    /// Leave alone what the tree does not hold.
    #[arg(long, overrides_with = "delete")]
    no_delete: bool,
    /// Only say what would be saved.
    #[arg(long)]
    dry_run: bool,
}

/// What was done, or would be.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    put: u64,
    deleted: u64,
    same: u64,
    bytes: u64,
    saves: u64,
    lsn: Lsn,
}

impl Import {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let tree = Tree::open(&self.tree).map_err(|error| session.tree(&error))?;
        // All of it, before the store is even opened.
        let totals = tree.check().map_err(|error| session.tree(&error))?;
        let delete = !self.no_delete;
        let reader = session.read()?;
        let planned = plan(session, &tree, reader.view(), delete, totals.entries)?;
        if self.dry_run || planned.put + planned.deleted == 0 {
            return tell(session, output, &planned, !self.dry_run);
        }
        let question = format!(
            "Save {} and delete {}?",
            text::count_of(planned.put, "entry"),
            text::count_of(planned.deleted, "entry")
        );
        if planned.deleted > 0 && !session.agreed(&question) {
            let next = "statectl import --dry-run";
            return Err(Failure::new(Exit::Failed, "nothing was done", next));
        }
        drop(reader);
        let store = session.write(&Options::default())?;
        let done = save(session, &tree, &store, delete, totals.entries);
        let closed = session.close(store);
        let done = done?;
        closed?;
        tell(session, output, &done, true)
    }
}

/// What would be done.
fn plan(
    session: &Session,
    tree: &Tree,
    view: &View,
    delete: bool,
    entries: u64,
) -> Result<Tally, Failure> {
    let shown = Progress::count(session, "comparing", entries);
    let mut tally = Tally { lsn: view.lsn(), ..Tally::default() };
    let outcome = changes(tree, view, delete, &mut |change| {
        shown.add(1);
        count(&mut tally, &change);
        Ok::<(), TreeError>(())
    });
    outcome.map(|()| tally).map_err(|error| session.tree(&error))
}

fn count(tally: &mut Tally, change: &Change<'_>) {
    match change {
        Change::Put { key, value, .. } => {
            tally.put += 1;
            tally.bytes += (key.len() + value.len()) as u64;
        }
        Change::Delete { .. } => tally.deleted += 1,
        Change::Same => tally.same += 1,
    }
}

/// Either what the tree says, or what the store does.
enum Trouble {
    Tree(TreeError),
    Told(Failure),
}

impl From<TreeError> for Trouble {
    fn from(error: TreeError) -> Trouble {
        Trouble::Tree(error)
    }
}

fn save(
    session: &Session,
    tree: &Tree,
    store: &Store,
    delete: bool,
    entries: u64,
) -> Result<Tally, Failure> {
    let view = store.view();
    let shown = Progress::count(session, "importing", entries);
    let mut tally = Tally { lsn: view.lsn(), ..Tally::default() };
    let mut batch = Batch::new();
    let flush = |batch: &mut Batch, tally: &mut Tally| {
        if batch.is_empty() {
            return Ok(());
        }
        let saved = store.save(std::mem::take(batch)).map_err(|error| session.saving(&error))?;
        tally.lsn = saved;
        tally.saves += 1;
        Ok::<(), Failure>(())
    };
    let outcome = changes(tree, &view, delete, &mut |change| {
        shown.add(1);
        count(&mut tally, &change);
        let limit = |error| {
            let next = session.next("import --help");
            Trouble::Told(Failure::new(Exit::Failed, error, next))
        };
        match change {
            Change::Put { table, key, value } => {
                batch.put(table, key, value).map_err(limit)?;
            }
            Change::Delete { table, key } => {
                batch.delete(table, key).map_err(limit)?;
            }
            Change::Same => {}
        }
        if batch.encoded_len() >= BATCH {
            flush(&mut batch, &mut tally).map_err(Trouble::Told)?;
        }
        Ok(())
    });
    match outcome {
        Ok(()) => flush(&mut batch, &mut tally)?,
        Err(Trouble::Tree(error)) => return Err(session.tree(&error)),
        Err(Trouble::Told(failure)) => return Err(failure),
    }
    Ok(tally)
}

fn tell(
    session: &Session,
    output: &mut Output,
    tally: &Tally,
    done: bool,
) -> Result<Exit, Failure> {
    let Tally { put, deleted, same, bytes, saves, lsn } = *tally;
    if session.json() {
        output.object(&json!({
            "done": done,
            "lsn": lsn.0,
            "put": put,
            "deleted": deleted,
            "same": same,
            "bytes": bytes,
            "saves": saves,
        }))?;
    } else {
        let bytes = text::bytes(bytes);
        let saved = match saves {
            _ if !done => "would save".to_owned(),
            0 => "nothing to save".to_owned(),
            1 => format!("lsn {lsn}"),
            saves => format!("{}, up to lsn {lsn}", text::count(saves, "save")),
        };
        output.line(format_args!(
            "{saved}: {put} put ({bytes}), {deleted} deleted, {same} unchanged"
        ))?;
    }
    Ok(Exit::Ok)
}
