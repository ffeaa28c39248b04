//! Clients for batch work: `scontrol`, `sinfo`, `squeue`, `sbatch`, `scancel`. Blocking, small, and
//! started in milliseconds.
//!
//! Invariants:
//! - They ask and print what Slurm's own do, byte for byte, in their default and long forms, and
//!   also of Slurm's own controller. Formats and JSON are left to those, and refused.
//! - A failure is told within [two seconds](cluster::CONNECT_MAX) where nobody is reached: the
//!   first line is Slurm's, then who was tried and what became of that, then what to do.
//! - A request that may have been executed is never sent a second time.
//! - Inside, a string has one character for each byte (`text`), so that widths are C's.

pub mod cluster;
mod columns;
pub mod desc;
mod errors;
mod getopt;
mod job;
mod job_state;
mod node_state;
mod partition;
mod ranges;
mod reasons;
pub mod sbatch;
pub mod scancel;
pub mod scontrol;
mod signals;
pub mod sinfo;
pub mod squeue;
mod text;
mod time;
mod units;
mod users;
mod when;

use std::process::ExitCode;

/// The version whose output and protocol these clients have.
const VERSION: &str = "slurm-wlm 22.05.8";

/// How a program was called.
#[derive(Clone, Debug)]
pub struct Call {
    /// As it was called.
    pub zero: String,
    /// The last part of that.
    pub name: String,
    /// What follows.
    pub args: Vec<String>,
}

impl Call {
    fn of_process() -> Call {
        let mut args = std::env::args_os().map(|arg| text::from_os(&arg));
        let zero = args.next().unwrap_or_default();
        let name = zero.rsplit('/').next().unwrap_or_default().to_owned();
        Call { zero, name, args: args.collect() }
    }

    /// Says that something is wrong.
    fn error(&self, what: &str) {
        text::complain(&format!("{}: error: {what}\n", self.name));
    }

    /// Says something that is no answer.
    fn info(&self, what: &str) {
        text::complain(&format!("{}: {what}\n", self.name));
    }

    /// Says where to look for what may be asked.
    fn hint(&self) {
        text::complain(&format!("Try \"{} --help\" for more information\n", self.name));
    }

    /// Refuses what is left to Slurm's own tools.
    fn left_to_slurm(&self, option: &str) {
        let name = &self.name;
        self.error(&format!("{option} is left to Slurm's own {name}"));
        text::complain(&format!(
            "next: install slurm-client, and use its {name}, which works here\n"
        ));
    }
}

/// Prints what `once` finds; again each so many seconds, if there are any. `dated`: below the time.
/// The exit code.
fn again(each_s: u64, dated: bool, once: impl Fn() -> Result<String, u8>) -> u8 {
    loop {
        if dated {
            text::print(&time::date());
        }
        let code = once().map_or_else(
            |code| code,
            |out| {
                text::print(&out);
                0
            },
        );
        if each_s == 0 {
            return code;
        }
        text::print("\n");
        std::thread::sleep(std::time::Duration::from_secs(each_s));
    }
}

/// The value of an environment variable.
fn env(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| text::from_os(&value))
}

/// Runs a program to its end.
#[must_use]
pub fn run(program: fn(&Call) -> u8) -> ExitCode {
    program(&Call::of_process()).into()
}
