//! `repair`: says what would make a damaged store open again, and with --apply does it.
//!
//! Invariant: the originals are kept; without --apply nothing is changed.

use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use crate::store::repair::{self, Plan};
use clap::Args;
use serde_json::json;

/// Says what would make a damaged store open again; with --apply, does it.
///
/// What is damaged is kept: set aside under another name, or left where it is behind a new epoch.
#[derive(Debug, Args)]
pub struct Repair {
    /// Do it. Saves may be lost: those that the dry run names.
    #[arg(long)]
    apply: bool,
    /// Only say what would be done (the default).
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
}

impl Repair {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let dir = session.dir()?;
        let plan = repair::plan(dir).map_err(|error| session.opening(&error))?;
        if plan.is_empty() {
            tell(session, output, &plan, false)?;
            return Ok(Exit::Ok);
        }
        if !self.apply {
            tell(session, output, &plan, false)?;
            let message = "nothing was changed: this is what a repair would do";
            return Err(Failure::new(Exit::Degraded, message, session.next("repair --apply")));
        }
        for step in plan.describe() {
            session.warn(&step);
        }
        if !session.agreed("Do this?") {
            let message = "nothing was changed";
            return Err(Failure::new(Exit::Failed, message, session.next("repair")));
        }
        let survives = repair::apply(dir, &plan).map_err(|error| session.opening(&error))?;
        tell(session, output, &Plan { survives: Some(survives), ..plan }, true)?;
        Ok(Exit::Ok)
    }
}

fn tell(session: &Session, output: &mut Output, plan: &Plan, applied: bool) -> Result<(), Failure> {
    let steps = plan.describe();
    let survives = plan.survives.map(|lsn| lsn.0);
    if session.json() {
        return output.object(&json!({"applied": applied, "steps": steps, "survives": survives}));
    }
    if steps.is_empty() {
        return output.line("nothing to repair");
    }
    let prefix = if applied { "done" } else { "would" };
    for step in steps {
        output.line(format_args!("{prefix}: {step}"))?;
    }
    match survives {
        Some(lsn) => output.line(format_args!("saves up to lsn {lsn} survive")),
        None => output.line("which saves survive shows once the control file is mended"),
    }
}
