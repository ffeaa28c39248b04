//! `role`: what the controller of this host is, for scripts.

use crate::ctl::controllers::Controllers;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::pair::{reigns, role_of};
use crate::ctl::session::Session;
use crate::slurm::wire::constants::standing;
use crate::slurm::wire::{Message, Time};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::time::Duration;

/// How long the controller may take to answer.
const ANSWER: Duration = Duration::from_secs(3);

/// Prints what the controller of this host is: primary, standby, claiming, ceding, stopped.
///
/// It is asked itself. With --is the exit code is 0 if it is that, else 6: a guard for cron jobs
/// that are to run where the primary is. 8: it does not answer.
#[derive(Debug, Args)]
pub struct Role {
    /// Exit with 6 if it is another.
    #[arg(long, value_name = "ROLE")]
    is: Option<Wanted>,
    /// This host's SlurmctldHost, if the machine is called otherwise.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wanted {
    Primary,
    Standby,
}

impl Role {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let controllers = Controllers::load()?;
        let at = controllers.must_be_here(self.host.as_deref())?;
        let told = controllers.told(at);
        let (role, epoch) = match &told.standing {
            Ok(standing) => (role_of(standing), standing.epoch),
            // A single controller knows no other.
            Err(why) => match controllers.ask(at, &Message::ControlStatusRequest, ANSWER) {
                Ok(Message::ControlStatus(status)) if status.in_charge_since != Time(0) => {
                    ("Primary", 0)
                }
                Ok(Message::ControlStatus(_)) => ("Standby", 0),
                _ => return Err(controllers.silent(at, why)),
            },
        };
        let role = role.to_lowercase();
        match session.json() {
            true => output.object(&json!({"host": told.host, "role": role, "epoch": epoch}))?,
            false => output.line(&role)?,
        }
        let is_it = match self.is {
            None => true,
            Some(Wanted::Primary) => role == "primary",
            Some(Wanted::Standby) => {
                told.standing.as_ref().is_ok_and(|of| of.role == standing::STANDBY)
                    && !reigns(&told)
            }
        };
        Ok(if is_it { Exit::Ok } else { Exit::Role })
    }
}
