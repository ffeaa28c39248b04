//! The operator's tool. Wiring only: everything is in `statedir::ctl`.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    statedir::ctl::run(&args).into()
}
