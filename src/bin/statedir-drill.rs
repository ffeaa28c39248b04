//! The drill, as `tools/drill` runs it. Wiring only: everything is in `statedir::drill`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(statedir::drill::run(std::env::args_os()))
}
