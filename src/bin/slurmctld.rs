//! The controller. Wiring only: everything is in `statedir::controller`.

use std::process::ExitCode;

fn main() -> ExitCode {
    statedir::controller::daemon::run(std::env::args_os()).into()
}
