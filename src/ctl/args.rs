//! The command line: what holds for every command, and the list of commands.
//!
//! `-h` is Slurm's: no header lines. Help is `--help` only.

use crate::ctl::commands::apply::Apply;
use crate::ctl::commands::backup::Backup;
use crate::ctl::commands::backups::Backups;
use crate::ctl::commands::compact::Compact;
use crate::ctl::commands::delta::Delta;
use crate::ctl::commands::diff::Diff;
use crate::ctl::commands::doctor::Doctor;
use crate::ctl::commands::du::Du;
use crate::ctl::commands::dump::Dump;
use crate::ctl::commands::events::Events;
use crate::ctl::commands::export::Export;
use crate::ctl::commands::fence::Fence;
use crate::ctl::commands::fs_probe::FsProbe;
use crate::ctl::commands::get::{Cat, Get};
use crate::ctl::commands::health::Health;
use crate::ctl::commands::import::Import;
use crate::ctl::commands::init::Init;
use crate::ctl::commands::log::Log;
use crate::ctl::commands::ls::Ls;
use crate::ctl::commands::orphans::Orphans;
use crate::ctl::commands::pages::{Completion, Man};
use crate::ctl::commands::prune::Prune;
use crate::ctl::commands::put::{Delete, Put};
use crate::ctl::commands::repair::Repair;
use crate::ctl::commands::restore::Restore;
use crate::ctl::commands::role::Role;
use crate::ctl::commands::rsync::Rsync;
use crate::ctl::commands::snapshot::{Snapshot, Snapshots};
use crate::ctl::commands::status::Status;
use crate::ctl::commands::takeover::Takeover;
use crate::ctl::commands::top::Top;
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
    /// The state directory; else StateSaveLocation of the file that $SLURM_CONF names, else of
    /// /etc/slurm/slurm.conf.
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
    Init(Init),
    Status(Status),
    Put(Put),
    Get(Get),
    Delete(Delete),
    Apply(Apply),
    Ls(Ls),
    Cat(Cat),
    Log(Log),
    Dump(Dump),
    Diff(Diff),
    Export(Export),
    Import(Import),
    Rsync(Rsync),
    Top(Top),
    Health(Health),
    Doctor(Doctor),
    Du(Du),
    Verify(Verify),
    Snapshots(Snapshots),
    #[command(subcommand)]
    Snapshot(Snapshot),
    Prune(Prune),
    Compact(Compact),
    Backup(Backup),
    Backups(Backups),
    Restore(Restore),
    #[command(subcommand)]
    Delta(Delta),
    Repair(Repair),
    Role(Role),
    Events(Events),
    Takeover(Takeover),
    #[command(subcommand)]
    Fence(Fence),
    #[command(subcommand)]
    Orphans(Orphans),
    FsProbe(FsProbe),
    Completion(Completion),
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

    const PAGE: &str = include_str!("../../docs/statectl.md");

    /// What the page says of a command, by its heading.
    fn section(heading: &str) -> &'static str {
        let start = PAGE.find(&format!("\n{heading}\n")).map(|at| at + heading.len() + 2);
        let rest = &PAGE[start.unwrap_or_else(|| panic!("no {heading} in docs/statectl.md"))..];
        rest.find("\n#").map_or(rest, |end| &rest[..end])
    }

    fn options_are_there(command: &clap::Command, text: &str, name: &str) {
        let own = command.get_arguments().filter(|arg| !arg.is_global_set() && !arg.is_hide_set());
        for arg in own.filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")) {
            let long = arg.get_long().map(|long| format!("--{long}"));
            let short = arg.get_short().map(|short| format!("-{short}"));
            for option in long.into_iter().chain(short) {
                let there = text.contains(&format!("`{option}`"));
                assert!(there, "{name}: {option} is not in docs/statectl.md");
            }
        }
    }

    fn commands_are_there(command: &clap::Command, path: &str) -> usize {
        let mut found = 0;
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let name = format!("{path}{}", sub.get_name());
            if sub.has_subcommands() {
                found += commands_are_there(sub, &format!("{name} "));
            } else {
                options_are_there(sub, section(&format!("### `{name}`")), &name);
                found += 1;
            }
        }
        found
    }

    #[test]
    fn every_command_and_option_stands_in_the_document_and_no_other() {
        let command = command();
        let found = commands_are_there(&command, "");
        assert_eq!(PAGE.matches("\n### `").count(), found, "a command that does not exist");
        let everywhere = section("## Everywhere");
        for arg in command.get_arguments() {
            let long = arg.get_long().map(|long| format!("--{long}"));
            let short = arg.get_short().map(|short| format!("-{short}"));
            for option in long.into_iter().chain(short) {
                assert!(everywhere.contains(&format!("`{option}`")), "{option}");
            }
        }
        let words = PAGE.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(&exit::help()), "the exit codes");
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
