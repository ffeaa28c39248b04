//! `diff`: what differs between two states, wherever they are kept.

use crate::ctl::entry::Key;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::progress::Progress;
use crate::ctl::repositories::{is_repository, point};
use crate::ctl::session::Session;
use crate::ctl::text::word;
use crate::ctl::time::When;
use crate::export::aside::Beside;
use crate::export::diff::{Difference, Side, diff};
use crate::export::tree::{Tree, TreeError};
use crate::export::{ExportError, Hold, Opened, choose};
use crate::format::names;
use crate::store::View;
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Says what differs between two states.
///
/// A line for each entry that was added (+), removed (-) or modified (M) on the way from A to B.
///
/// A and B are points in the history of the state directory (a time, now-2h, @lsn:N, tag:NAME, a
/// snapshot's id), other state directories, also copies, exported trees, or backups: REPOSITORY is
/// its newest one, REPOSITORY:ID one by its id, its tag or a point that it holds. What has a slash
/// in it, or is a folder, is taken for a directory.
#[derive(Debug, Args)]
pub struct Diff {
    /// The first state.
    a: String,
    /// The second one.
    #[arg(default_value = "latest")]
    b: String,
    /// Only this table.
    #[arg(long)]
    table: Option<String>,
    /// Exit with 1 if anything differs, as git does.
    #[arg(short, long)]
    exit_code: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    change: char,
    #[serde(flatten)]
    key: Key<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_bytes: Option<u64>,
}

/// A state that was read.
enum State {
    View(View),
    Tree(Tree),
}

impl State {
    fn side(&self) -> Side<'_> {
        match self {
            State::View(view) => Side::View(view),
            State::Tree(tree) => Side::Tree(tree),
        }
    }
}

/// Either what a state says, or nobody reads what differs.
enum Trouble {
    Tree(TreeError),
    Told(Failure),
}

impl From<TreeError> for Trouble {
    fn from(error: TreeError) -> Trouble {
        Trouble::Tree(error)
    }
}

impl Diff {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let (a, b) = (read(session, &self.a)?, read(session, &self.b)?);
        let mut differences = 0_u64;
        let outcome = diff(a.side(), b.side(), &mut |table, key, difference| {
            if self.table.as_ref().is_some_and(|wanted| wanted != table) {
                return Ok(());
            }
            differences += 1;
            print(session, output, table, key, difference).map_err(Trouble::Told)
        });
        match outcome {
            Ok(()) => {}
            Err(Trouble::Tree(error)) => return Err(session.tree(&error)),
            Err(Trouble::Told(failure)) => return Err(failure),
        }
        Ok(if self.exit_code && differences > 0 { Exit::Failed } else { Exit::Ok })
    }
}

fn print(
    session: &Session,
    output: &mut Output,
    table: &str,
    key: &[u8],
    difference: Difference,
) -> Result<(), Failure> {
    let (change, old, new) = match difference {
        Difference::Added(new) => ('+', None, Some(new)),
        Difference::Removed(old) => ('-', Some(old), None),
        Difference::Changed(old, new) => ('M', Some(old), Some(new)),
    };
    if session.json() {
        let key = Key::new(table, key);
        return output.object(&Line { change, key, old_bytes: old, new_bytes: new });
    }
    let bytes = match (old, new) {
        (Some(old), Some(new)) if old != new => format!("{old}>{new}"),
        (old, new) => old.or(new).unwrap_or(0).to_string(),
    };
    output.line(format_args!("{change} {table} {} {bytes}", word(key)))
}

/// The state that an operand names.
fn read(session: &Session, operand: &str) -> Result<State, Failure> {
    let path = Path::new(operand);
    if let Some((repository, which)) = backup(operand) {
        return restored(session, repository, which);
    }
    if operand.contains('/') || path.is_dir() {
        return directory(session, path);
    }
    let when: When = operand.parse().map_err(|error| {
        let message = format!("{operand}: {error}, and no directory");
        Failure::new(Exit::Usage, message, "statectl diff --help")
    })?;
    let reader = session.read()?;
    session.view(&reader, Some(&when)).map(State::View)
}

/// A repository, and which of its backups.
fn backup(operand: &str) -> Option<(&Path, Option<&str>)> {
    if is_repository(Path::new(operand)) {
        return Some((Path::new(operand), None));
    }
    let colons = operand.match_indices(':').map(|(at, _)| at);
    let mut split = colons.map(|at| (Path::new(&operand[..at]), &operand[at + 1..]));
    split.find(|(path, _)| is_repository(path)).map(|(path, which)| (path, Some(which)))
}

/// The state in a backup; every byte of it is compared with its digest.
fn restored(session: &Session, path: &Path, which: Option<&str>) -> Result<State, Failure> {
    let failed = |error: ExportError| session.exporting(&error, path);
    let repository = session.repository(path, Hold::Read, false)?;
    let backups = session.backups(&repository, path)?;
    let names = |which: &str| {
        let called = |listed: &crate::export::Listed| {
            let tag = listed.manifest.as_ref().ok().and_then(|m| m.tag.as_deref());
            listed.id.as_str() == which || tag == Some(which)
        };
        backups.iter().any(called)
    };
    // What is neither an id nor a tag may be a point in time.
    let when: Option<When> = which.filter(|w| !names(w)).and_then(|which| which.parse().ok());
    let at = when.as_ref().and_then(point);
    let which = which.filter(|_| when.is_none());
    let manifest = choose(backups, which, at).map_err(failed)?;
    let shown = Progress::bytes(session, "reading", manifest.bytes());
    let opened = Opened::open(repository.disk().as_ref(), manifest, &mut |bytes| shown.add(bytes));
    // What does not fit into memory is put down there.
    let place = std::env::temp_dir();
    let mut beside = Beside::new(&place);
    let view = opened.and_then(|opened| opened.state(at, &mut || beside.disk()));
    let view = view.map_err(failed)?.into_view();
    Ok(State::View(view))
}

/// A state directory, or an exported tree.
fn directory(session: &Session, path: &Path) -> Result<State, Failure> {
    if path.join(names::CONTROL).exists() {
        let other = session.on(PathBuf::from(path));
        let reader = other.read()?;
        return Ok(State::View(reader.view().clone()));
    }
    let tree = Tree::open(path).map_err(|error| session.tree(&error))?;
    tree.check().map_err(|error| session.tree(&error))?;
    Ok(State::Tree(tree))
}
