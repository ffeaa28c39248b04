//! `completion` and `man`: made from the command line itself, so that they are never behind.

use crate::ctl::args;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use clap::Args;
use clap_complete::Shell;

/// Prints a shell's completions: `source <(statectl completion bash)`.
#[derive(Debug, Args)]
pub struct Completion {
    /// The shell.
    shell: Shell,
}

/// Prints the manual page, or that of one command: `statectl man | man -l -`.
#[derive(Debug, Args)]
pub struct Man {
    /// The command.
    command: Option<String>,
}

impl Completion {
    /// Runs the command.
    pub fn run(&self, output: &mut Output) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut args::command(), "statectl", &mut script);
        output.raw(&script)?;
        Ok(Exit::Ok)
    }
}

impl Man {
    /// Runs the command.
    pub fn run(&self, output: &mut Output) -> Result<Exit, Failure> {
        let mut whole = args::command();
        whole.build();
        let page = match &self.command {
            None => whole,
            Some(name) => {
                let found = whole.find_subcommand(name).cloned().ok_or_else(|| {
                    Failure::new(Exit::NotFound, format!("no command {name}"), "statectl --help")
                })?;
                let name = format!("statectl-{name}");
                found.display_name(name)
            }
        };
        let mut text = Vec::new();
        clap_mangen::Man::new(page).render(&mut text)?;
        output.raw(&text)?;
        Ok(Exit::Ok)
    }
}
