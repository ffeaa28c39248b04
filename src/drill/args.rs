//! The command line.

use crate::drill::scenario::{self, SCENARIOS, Scenario};
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

/// Rehearses the worst moments of a cluster: two controllers on one state directory and two agents,
/// jobs in a stream, and in the middle of it one controller is killed, stopped, frozen, cut off;
/// then everything that was told is counted.
///
/// Exit code 0: nothing was lost and nothing ran twice. 1: something was. 2: usage. 3: it could not
/// be carried out, and the last line says why. 128 + N: signal N; what was started is gone.
#[derive(Debug, Parser)]
#[command(name = "tools/drill", disable_version_flag = true)]
pub struct Args {
    /// How often each happens
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Jobs in each round
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(20..=20_000))]
    pub jobs: u32,
    /// Who submits at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub submitters: u32,
    /// What happens, with commas between them [default: everything that this user may]
    #[arg(long, value_name = "NAMES")]
    pub scenario: Option<String>,
    /// Where slurmctld, slurmd and the clients are [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub programs: Option<PathBuf>,
    /// Leave the directory (in $TMPDIR, else /tmp) behind
    #[arg(long)]
    pub keep: bool,
}

impl Args {
    /// What happens, in each round of all.
    pub fn scenarios(&self) -> Vec<&'static Scenario> {
        match &self.scenario {
            Some(names) => scenario::by_names(names).expect("it was read"),
            None => SCENARIOS.iter().collect(),
        }
    }
}

/// Reads it.
///
/// # Errors
/// The exit code, where everything is said.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, u8> {
    let said = |error: clap::Error| {
        let _ = error.print();
        u8::try_from(error.exit_code()).unwrap_or(2)
    };
    let args = Args::try_parse_from(args).map_err(said)?;
    match args.scenario.as_deref().map(scenario::by_names) {
        Some(Err(why)) => {
            Err(said(clap::Error::raw(clap::error::ErrorKind::InvalidValue, why + "\n")))
        }
        _ => Ok(args),
    }
}
