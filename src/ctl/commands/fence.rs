//! `fence`: which controllers were deposed, by whom and why, and which may claim.

use crate::base::Epoch;
use crate::ctl::controllers::{Controllers, HUNG};
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::pair::{Pair, reigns, reigns_after};
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::ctl::time::rfc3339;
use crate::format::{Reason, Reign};
use crate::slurm::wire::Message;
use crate::slurm::wire::constants::{rc, standing};
use clap::{Args, Subcommand};
use serde_json::json;
use std::time::Duration;

/// Which controllers were deposed, and may they claim again?
#[derive(Debug, Subcommand)]
pub enum Fence {
    Status(Status),
    Clear(Clear),
}

/// Says of every controller whether it reigns, may claim, or is kept from it, and how its last
/// reign ended.
///
/// Fencing needs no command: who was deposed can acknowledge nothing and reach no agent, for good.
/// What is shown besides is who may try to reign: a controller that no primary has seen to see the
/// directory may not, and one that was deposed waits before it claims back.
#[derive(Debug, Args)]
pub struct Status {}

/// Lets a controller that was deposed claim again at once.
#[derive(Debug, Args)]
pub struct Clear {
    /// Which; else the one of this host.
    host: Option<String>,
}

impl Fence {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Fence::Status(_) => status(session, output),
            Fence::Clear(clear) => clear.run(session, output),
        }
    }
}

/// How the last reign of a host ended.
struct Fenced<'a> {
    from: Epoch,
    by: &'a Reign,
}

fn last<'a>(reigns: &'a [Reign], host: &str) -> Option<Fenced<'a>> {
    let is_its = |reign: &&Reign| reign.primary.as_deref() == Some(host);
    let own = reigns.iter().rev().find(is_its)?;
    let by = reigns.iter().find(|reign| reign.epoch == own.epoch.next())?;
    Some(Fenced { from: own.epoch, by })
}

fn status(session: &Session, output: &mut Output) -> Result<Exit, Failure> {
    let controllers = Controllers::load()?;
    let home = session.on(controllers.home());
    let pair = Pair::look(&home, &controllers, None);
    let reigns_there = reigns_after(&controllers.home(), Epoch(0)).ok_or_else(|| {
        let span = text::span(HUNG);
        let message = format!("{} has not answered for {span}", home.quoted_dir());
        Failure::new(Exit::Unreachable, message, format!("findmnt -T {}", home.quoted_dir()))
    })?;
    let known = reigns_there.map_err(|why| Failure::new(Exit::Failed, why, home.next("status")))?;
    if session.header() && !session.json() {
        output.line(format_args!(
            "{:<16} {:<12} {:>10} {:>6} {:<16} {:<15} AT",
            "HOST", "STATE", "QUARANTINE", "EPOCH", "DEPOSED-BY", "REASON"
        ))?;
    }
    for told in &pair.told {
        let state = match &told.standing {
            Err(_) => "unknown",
            Ok(_) if reigns(told) => "reigns",
            Ok(of) if of.quarantine_s > 0 => "quarantined",
            Ok(of) if of.flags & standing::ADMITTED == 0 => "not-admitted",
            Ok(_) => "may-claim",
        };
        let left = told.standing.as_ref().map_or(0, |of| of.quarantine_s);
        let fenced = last(&known, &told.host);
        if session.json() {
            output.object(&json!({
                "host": told.host,
                "state": state,
                "quarantine_s": left,
                "epoch": fenced.as_ref().map(|of| of.from.0),
                "by": fenced.as_ref().and_then(|of| of.by.primary.as_deref()),
                "reason": fenced.as_ref().map(|of| of.by.reason.word()),
                "time": fenced.as_ref().map(|of| rfc3339(of.by.claimed)),
                "deposed": fenced.as_ref().map(|of| is_deposed(of.by.reason)),
            }))?;
            continue;
        }
        let left = text::span(Duration::from_secs(left.into()));
        let (epoch, by, reason, at) = match &fenced {
            Some(of) => (
                of.from.to_string(),
                of.by.primary.clone().unwrap_or_default(),
                of.by.reason.word(),
                rfc3339(of.by.claimed),
            ),
            None => ("-".to_owned(), "-".to_owned(), "-", "-".to_owned()),
        };
        output.line(format_args!(
            "{:<16} {state:<12} {left:>10} {epoch:>6} {by:<16} {reason:<15} {at}",
            told.host
        ))?;
    }
    Ok(Exit::Ok)
}

/// Whether who reigned before had not asked for it.
fn is_deposed(reason: Reason) -> bool {
    matches!(reason, Reason::Dead | Reason::Silent)
}

impl Clear {
    fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let controllers = Controllers::load()?;
        let at = controllers.must_be_here(self.host.as_deref())?;
        let host = controllers.name(at);
        match controllers.ask(at, &Message::Pardon, Duration::from_secs(3)) {
            Ok(Message::ReturnCode(code)) if code.return_code == rc::OK => {
                match session.json() {
                    true => output.object(&json!({"host": host, "cleared": true}))?,
                    false => output.line(format_args!("{host} may claim"))?,
                }
                Ok(Exit::Ok)
            }
            Ok(Message::ReturnCode(code)) if code.return_code == rc::USER => {
                let message = format!("{host}: only root and SlurmUser may say so");
                Err(Failure::new(Exit::Role, message, "sudo statectl fence clear"))
            }
            Ok(_) => {
                let message = format!("{host} is no controller of a pair of this make");
                Err(Failure::new(Exit::Role, message, "statectl status"))
            }
            Err(error) => Err(controllers.silent(at, &error.to_string())),
        }
    }
}
