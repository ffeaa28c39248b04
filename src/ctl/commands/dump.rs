//! `dump`: every entry, tables and keys in bytewise order.

use crate::ctl::entry::Entry;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use crate::ctl::text::word;
use crate::ctl::time::When;
use clap::Args;

/// Prints every entry, sorted bytewise by table and key.
#[derive(Debug, Args)]
pub struct Dump {
    /// The state at a time, LSN or snapshot.
    #[arg(long, value_name = "T")]
    at: Option<When>,
}

impl Dump {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let reader = session.read()?;
        let view = session.view(&reader, self.at.as_ref())?;
        for table in view.tables().map_err(|error| session.snapshot(&error))? {
            for entry in view.scan(table, b"") {
                let (key, value) = entry.map_err(|error| session.snapshot(&error))?;
                if session.json() {
                    output.object(&Entry::new(table, key, value))?;
                } else {
                    output.line(format_args!("{table} {} {}", word(key), word(value)))?;
                }
            }
        }
        Ok(Exit::Ok)
    }
}
