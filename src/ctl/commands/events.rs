//! `events`: a line for each change of role, epoch or peer, for scripts, in the manner of
//! `drbdsetup events2`.
//!
//! Invariants: no reign is left out, however short it was, for the register keeps every one; each
//! line is on its way to the reader before the next look.

use crate::base::Epoch;
use crate::ctl::controllers::{Controllers, Told};
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::pair::{is_ready_for, reigns_after, role_of};
use crate::ctl::session::Session;
use crate::ctl::time::{duration, rfc3339};
use crate::format::Reign;
use crate::slurm::wire::constants::standing;
use clap::Args;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// Prints a line for each change of role, epoch or peer, until interrupted.
///
/// First what is (exists …, ended by `exists -`), then each change (change …, create …). Kinds:
/// controller (name, role, epoch, connection, ready), reign (epoch, primary, reason, claimed).
/// Controllers are asked time and again; reigns are read from the register, which keeps them all.
#[derive(Debug, Args)]
pub struct Events {
    /// Print what is, and exit.
    #[arg(long)]
    now: bool,
    /// Also the reigns after this epoch that are over; 0: all.
    #[arg(long, value_name = "EPOCH")]
    from: Option<u64>,
    /// Look this often.
    #[arg(short = 'i', long, value_name = "SPAN", value_parser = duration, default_value = "0.5s")]
    interval: Duration,
}

/// What a line says, in order.
type Facts = Vec<(&'static str, String)>;

impl Events {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let controllers = Controllers::load()?;
        let home = controllers.home();
        let mut known: BTreeMap<String, Facts> = BTreeMap::new();
        let mut newest = Epoch(self.from.unwrap_or(0));
        let mut verb = "exists";
        loop {
            let told = controllers.all();
            // One that cannot be read: controllers say what they know of it.
            if let Some(Ok(reigns)) = reigns_after(&home, newest) {
                let skipped = match (verb, self.from) {
                    ("exists", None) => reigns.len().saturating_sub(1),
                    _ => 0,
                };
                let word = if verb == "exists" { verb } else { "create" };
                for reign in reigns.iter().skip(skipped) {
                    line(session, output, word, "reign", &facts_of(reign))?;
                }
                newest = reigns.last().map_or(newest, |reign| reign.epoch);
            }
            for of in &told {
                let facts = facts(of, &told);
                if known.get(&of.host) != Some(&facts) {
                    line(session, output, verb, "controller", &facts)?;
                    known.insert(of.host.clone(), facts);
                }
            }
            if verb == "exists" {
                match session.json() {
                    true => output.object(&serde_json::json!({"event": "exists"}))?,
                    false => output.line("exists -")?,
                }
                verb = "change";
            }
            output.flush()?;
            if self.now {
                return Ok(Exit::Ok);
            }
            thread::sleep(self.interval);
        }
    }
}

fn line(
    session: &Session,
    output: &mut Output,
    verb: &str,
    kind: &str,
    facts: &Facts,
) -> Result<(), Failure> {
    if session.json() {
        let mut object = Map::new();
        object.insert("event".to_owned(), Value::from(verb));
        object.insert("kind".to_owned(), Value::from(kind));
        for (name, value) in facts {
            let number = value.parse::<u64>().map(Value::from);
            let value = number.unwrap_or_else(|_| Value::from(value.as_str()));
            object.insert((*name).to_owned(), value);
        }
        return output.object(&object);
    }
    let facts: Vec<String> = facts.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    output.line(format_args!("{verb} {kind} {}", facts.join(" ")))
}

fn facts_of(reign: &Reign) -> Facts {
    vec![
        ("epoch", reign.epoch.to_string()),
        ("primary", reign.primary.clone().unwrap_or_else(|| "-".to_owned())),
        ("reason", reign.reason.word().to_owned()),
        ("claimed", rfc3339(reign.claimed)),
    ]
}

fn facts(of: &Told, all: &[Told]) -> Facts {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let name = ("name", of.host.clone());
    match &of.standing {
        Err(_) => {
            vec![name, ("role", "Unknown".to_owned()), ("connection", "Connecting".to_owned())]
        }
        Ok(standing) => {
            let mut facts = vec![
                name,
                ("role", role_of(standing).to_owned()),
                ("connection", "Connected".to_owned()),
                ("epoch", standing.epoch.to_string()),
            ];
            if standing.role != standing::PRIMARY {
                facts.push(("ready", yes(is_ready_for(all, &of.host))));
            }
            facts
        }
    }
}
