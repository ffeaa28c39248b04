//! statectl, the operator's tool: its commands, line formats and exit codes.
//!
//! Invariants: stdout is data and stderr everything else; an error is one line that ends with the
//! next command to run; what only reads changes nothing and takes no lock.

mod args;
mod causes;
mod commands;
mod controllers;
mod entry;
pub mod exit;
mod facts;
mod failure;
mod intake;
mod interrupt;
mod keep_args;
mod notes;
mod output;
mod owner;
mod pair;
mod probe;
mod progress;
mod repositories;
mod save_line;
mod session;
mod slurm_conf;
mod text;
mod time;

use crate::ctl::args::{Cli, Common};
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use clap::FromArgMatches;
use clap::error::ErrorKind;
use std::ffi::OsString;
use tracing_subscriber::filter::LevelFilter;

/// Runs the tool with the arguments of this process, its name first.
#[must_use]
pub fn run(args: &[OsString]) -> Exit {
    interrupt::install();
    crate::disk::give_to_owners();
    let matches = args::command().try_get_matches_from(args);
    match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => carry_out(cli),
        Err(error) => explain(&error, args),
    }
}

fn carry_out(cli: Cli) -> Exit {
    log_to_stderr(&cli.common);
    let session = Session::new(cli.common);
    let mut output = Output::new();
    let outcome = commands::run(cli.command, &session, &mut output);
    // What a failed command has printed before it failed is data all the same.
    let flushed = output.flush();
    match (outcome, flushed) {
        (Ok(Exit::Ok), Err(failure)) | (Err(failure), _) => tell(&failure, session.json()),
        (Ok(exit), _) => exit,
    }
}

fn tell(failure: &Failure, json: bool) -> Exit {
    if let Some(line) = failure.line(json) {
        output::say(line);
    }
    failure.exit()
}

/// Help and version are data; anything else that clap returns is a complaint.
fn explain(error: &clap::Error, args: &[OsString]) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Where nobody reads help, nobody misses it.
            drop(error.print());
            Exit::Ok
        }
        _ => {
            let failure = Failure::new(Exit::Usage, args::complaint(error), args::help_for(args));
            tell(&failure, args::wants_json(args))
        }
    }
}

fn log_to_stderr(common: &Common) {
    // What the engine warns of comes back as an error, or as a note, where it matters.
    let level = match (common.quiet, common.verbose) {
        (true, _) => LevelFilter::OFF,
        (false, 0) => LevelFilter::ERROR,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level);
    // Fails only where a log is installed already: in a process that is not ours to decide in.
    drop(log.with_ansi(false).log_internal_errors(false).try_init());
}
