//! `get` and `cat`: one key's value, at any point of the history.

use crate::ctl::commands::put::Place;
use crate::ctl::entry::Entry;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use crate::ctl::time::When;
use clap::Args;
use std::io::IsTerminal;

/// Prints a key's value.
///
/// On a terminal a newline follows it; with --json it is one object.
#[derive(Debug, Args)]
pub struct Get {
    #[command(flatten)]
    place: Place,
    /// The state at a time, LSN or snapshot.
    #[arg(long, value_name = "T")]
    at: Option<When>,
}

/// Prints a key's value, byte for byte.
#[derive(Debug, Args)]
pub struct Cat {
    #[command(flatten)]
    get: Get,
}

impl Get {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let newline = std::io::stdout().is_terminal() && !session.json();
        self.print(session, output)?;
        if newline {
            output.raw(b"\n")?;
        }
        Ok(Exit::Ok)
    }

    fn print(&self, session: &Session, output: &mut Output) -> Result<(), Failure> {
        let table = &self.place.table;
        let key = self.place.key()?;
        let reader = session.read()?;
        let view = session.view(&reader, self.at.as_ref())?;
        let value = view.get(table, &key).map_err(|error| session.snapshot(&error))?;
        let value = value.ok_or_else(|| session.missing(table, Some(&key)))?;
        if session.json() {
            output.object(&Entry::new(table, &key, value))
        } else {
            output.raw(value)
        }
    }
}

impl Cat {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        self.get.print(session, output).map(|()| Exit::Ok)
    }
}
