//! The command line: what holds for every command, and the list of commands.
//!
//! `-h` is Slurm's: no header lines. Help is `--help` only.

use crate::ctl::commands::apply::Apply;
use crate::ctl::commands::backup::Backup;
use crate::ctl::commands::backups::Backups;
use crate::ctl::commands::compact::Compact;
use crate::ctl::commands::delta::Delta;
use crate::ctl::commands::diff::Diff;
use crate::ctl::commands::du::Du;
use crate::ctl::commands::dump::Dump;
use crate::ctl::commands::export::Export;
use crate::ctl::commands::get::{Cat, Get};
use crate::ctl::commands::import::Import;
use crate::ctl::commands::init::Init;
use crate::ctl::commands::log::Log;
use crate::ctl::commands::ls::Ls;
use crate::ctl::commands::pages::{Completion, Man};
use crate::ctl::commands::prune::Prune;
use crate::ctl::commands::put::{Delete, Put};
use crate::ctl::commands::repair::Repair;
use crate::ctl::commands::restore::Restore;
use crate::ctl::commands::rsync::Rsync;
use crate::ctl::commands::snapshot::{Snapshot, Snapshots};
use crate::ctl::commands::status::Status;
use crate::ctl::commands::verify::Verify;
use crate::ctl::exit;
use crate::ctl::time::duration;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The operator's tool for a state directory.
///
/// stdout is data, stderr is progress and log. Points in the history are written as RFC 3339
/// (2026-01-31T12:00:00Z), now-2h, @lsn:N, a snapshot's id, tag:NAME, or latest.
#[derive(Debug, Parser)]
#[command(name = "statectl", version, disable_help_flag = true, disable_version_flag = true)]
#[command(subcommand_required = true)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Everywhere")]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Common {
    /// The state directory.
    #[arg(short = 'C', long = "state-dir", value_name = "DIR", env = "STATECTL_DIR")]
    #[arg(global = true, hide_env_values = true)]
    pub dir: Option<PathBuf>,
    /// Print one JSON object, or one per line for streams; errors too.
    #[arg(long, global = true)]
    pub json: bool,
    /// No header lines.
    #[arg(short = 'h', long, global = true)]
    pub noheader: bool,
    /// No warnings and no progress on stderr.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more on stderr; twice for more still.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// No progress on stderr (it is off where stderr is no terminal).
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Answer every question with yes.
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Wait this long for a busy lock, or for the next save (10s, 5m).
    #[arg(long, global = true, value_name = "SPAN", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Print help.
    #[arg(long, global = true, action = ArgAction::Help)]
    help: Option<bool>,
    /// Print the version.
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an empty store.
    Init(Init),
    /// Three lines on how the store stands.
    Status(Status),
    /// Set a key's value.
    Put(Put),
    /// Print a key's value.
    Get(Get),
    /// Remove a key.
    Delete(Delete),
    /// Save what stdin says, one save a line.
    Apply(Apply),
    /// List tables, or the keys of one.
    Ls(Ls),
    /// Print a key's value, byte for byte.
    Cat(Cat),
    /// Print the saves that are retained, oldest first.
    Log(Log),
    /// Print every entry.
    Dump(Dump),
    /// Say what differs between two states.
    Diff(Diff),
    /// Write the state as a plain tree of files.
    Export(Export),
    /// Make the state that of a tree of files.
    Import(Import),
    /// Serve an rsync on another host with the state of one moment.
    Rsync(Rsync),
    /// Say what takes the room.
    Du(Du),
    /// Check what is on disk.
    Verify(Verify),
    /// List snapshots.
    Snapshots(Snapshots),
    /// Make, name and remove snapshots.
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// Delete retained snapshots that no rule keeps.
    Prune(Prune),
    /// Make a snapshot, and delete what it supersedes.
    Compact(Compact),
    /// Make a backup in a repository.
    Backup(Backup),
    /// List the backups in a repository.
    Backups(Backups),
    /// Make a backup a store again.
    Restore(Restore),
    /// Signatures and deltas of archives.
    #[command(subcommand)]
    Delta(Delta),
    /// Say what would make a damaged store open again; with --apply, do it.
    Repair(Repair),
    /// Print a shell's completions.
    Completion(Completion),
    /// Print the manual page.
    Man(Man),
}

/// The command line as clap knows it, with the exit codes on every page.
#[must_use]
pub fn command() -> clap::Command {
    with_codes(Cli::command())
}

fn with_codes(command: clap::Command) -> clap::Command {
    command.after_help(exit::help()).mut_subcommands(with_codes)
}

/// Whether `args` ask for JSON, for errors that come before they are understood.
#[must_use]
pub fn wants_json(args: &[OsString]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json")
}

/// What is wrong with the command line, in one line.
#[must_use]
pub fn complaint(error: &clap::Error) -> String {
    let text = error.to_string();
    let body = text.split("\n\nUsage:").next().unwrap_or_default();
    let body = body.split("\n\nFor more information").next().unwrap_or_default();
    let lines: Vec<&str> = body.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let line = lines.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

/// The command whose help explains `args`.
#[must_use]
pub fn help_for(args: &[OsString]) -> String {
    let command = command();
    let named = args.iter().skip(1).find_map(|arg| command.find_subcommand(arg));
    match named {
        Some(named) => format!("statectl {} --help", named.get_name()),
        None => "statectl --help".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_has_no_contradictions() {
        command().debug_assert();
    }

    #[test]
    fn h_is_no_help() {
        let matches = command().try_get_matches_from(["statectl", "-h", "ls"]).unwrap();
        assert!(matches.get_flag("noheader"));
    }

    #[test]
    fn complaints_are_one_line() {
        for args in [vec!["statectl"], vec!["statectl", "put"], vec!["statectl", "lss"]] {
            let error = command().try_get_matches_from(&args).unwrap_err();
            let line = complaint(&error);
            assert!(
                !line.contains('\n') && !line.starts_with("error") && !line.is_empty(),
                "{line}"
            );
        }
    }
}
