//! `slurmd`: the agent of a node.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(statedir::agent::run(std::env::args_os()))
}
