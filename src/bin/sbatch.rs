//! `sbatch`. Wiring only: everything is in `statedir::client`.

use std::process::ExitCode;

fn main() -> ExitCode {
    statedir::client::run(statedir::client::sbatch::main)
}
