//! `init`: makes an empty store.

use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::owner;
use crate::ctl::session::Session;
use crate::store::{OpenError, Options, Store};
use clap::Args;
use serde_json::json;
use std::path::Path;

/// Makes an empty store. Refuses a directory that is not empty.
#[derive(Debug, Args)]
pub struct Init {
    /// Only say whether it would be made.
    #[arg(long)]
    dry_run: bool,
}

impl Init {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let dir = session.dir()?;
        if self.dry_run {
            if let Some(name) = first_name(dir) {
                return Err(session.opening(&OpenError::NotEmpty(name)));
            }
        } else {
            create(dir).map_err(|error| session.opening(&error))?;
        }
        if session.json() {
            let path = dir.to_string_lossy();
            output.object(&json!({"created": !self.dry_run, "path": path}))?;
        } else {
            let done = if self.dry_run { "would make" } else { "made" };
            output.line(format_args!("{done} an empty store in {}", session.quoted_dir()))?;
        }
        Ok(Exit::Ok)
    }
}

fn create(dir: &Path) -> Result<(), OpenError> {
    owner::make(dir).map_err(OpenError::io("directory"))?;
    Store::create(dir, &Options::default()).map_err(|error| match error {
        // The engine says that something is there; an operator wants to know what.
        OpenError::NotEmpty(name) => OpenError::NotEmpty(first_name(dir).unwrap_or(name)),
        error => error,
    })
}

/// The first name in `dir`, if it can be listed and holds any.
fn first_name(dir: &Path) -> Option<String> {
    let entries = std::fs::read_dir(dir).ok()?;
    entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).min()
}
