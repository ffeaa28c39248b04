//! The command line.

use crate::drill::scenario::{self, Scenario};
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

/// Rehearses the worst moment of a cluster: a controller and two agents on loopback, jobs in a
/// stream, kill -9 in the middle, start again; then everything that was told is counted.
///
/// Exit code 0: nothing was lost and nothing ran twice. 1: something was. 2: usage. 3: it could not
/// be carried out, and the last line says why. 128 + N: signal N; what was started is gone.
#[derive(Debug, Parser)]
#[command(name = "tools/drill", disable_version_flag = true)]
pub struct Args {
    /// How often the worst happens
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Jobs in each round
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=20_000))]
    pub jobs: u32,
    /// Who submits at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub submitters: u32,
    /// What happens, in each round [default: every kind in turn]
    #[arg(long, value_name = "NAME", value_parser = scenario::by_name)]
    pub scenario: Option<&'static Scenario>,
    /// Where slurmctld, slurmd and the clients are [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub programs: Option<PathBuf>,
    /// Leave the directory (in $TMPDIR, else /tmp) behind
    #[arg(long)]
    pub keep: bool,
}

/// Reads it.
///
/// # Errors
/// The exit code, where everything is said.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, u8> {
    Args::try_parse_from(args).map_err(|error| {
        let _ = error.print();
        u8::try_from(error.exit_code()).unwrap_or(2)
    })
}
