//! `takeover`: the controller of this host is to reign.
//!
//! Invariant: what is printed of the old reign and the new one is read after the fact, from the
//! log and from who reigns.

use crate::base::{Epoch, Lsn};
use crate::ctl::controllers::{Controllers, HUNG, within};
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::pair::{Pair, is_ready_for, reigns};
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::disk::Real;
use crate::slurm::wire::Message;
use crate::slurm::wire::constants::{rc, standing};
use crate::slurm::wire::tables::Standing;
use crate::store::sealed_on;
use clap::Args;
use serde_json::json;
use std::time::{Duration, Instant};

/// How long who has ceded may take to stand by.
const STANDS_BY: Duration = Duration::from_secs(5);

/// Makes the controller of this host the primary.
///
/// It asks the primary, which finishes what is under way and hands over; one that does not answer
/// within SlurmctldTimeout is deposed. Prints the epochs, where the old one ended, and how many
/// saves that the old primary had acknowledged are missing, which is 0. Ends when that one stands
/// by, or 5 s later. Exit code 6 if it is refused, 8 if the controller of this host cannot be
/// reached.
#[derive(Debug, Args)]
pub struct Takeover {
    /// Only say whether it could.
    #[arg(long)]
    dry_run: bool,
    /// The controller that is to reign, if it is not the one that is called as this machine.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
}

impl Takeover {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let controllers = Controllers::load()?;
        let at = controllers.must_be_here(self.host.as_deref())?;
        let home = session.on(controllers.home());
        let before = Pair::look(&home, &controllers, Some(controllers.name(at)));
        let host = controllers.name(at);
        let own = match &before.told[at].standing {
            Ok(own) => own,
            Err(why) => return Err(controllers.silent(at, why)),
        };
        let epoch = before.epoch();
        if reigns(&before.told[at]) {
            match session.json() {
                true => output.object(&json!({"host": host, "epoch": epoch.0, "done": false}))?,
                false => output.line(format_args!("{host} reigns already, in epoch {epoch}"))?,
            }
            return Ok(Exit::Ok);
        }
        if let Some(why) = unfit(own) {
            let message = format!("{host} cannot take over: {why}");
            return Err(Failure::new(Exit::Role, message, "statectl status"));
        }
        if self.dry_run {
            let lsn = own.applied_lsn;
            match session.json() {
                true => output.object(&json!({
                    "host": host, "epoch": epoch.0, "lsn": lsn, "done": false,
                }))?,
                false => output.line(format_args!(
                    "{host} could take over from epoch {epoch}, at lsn {lsn} now"
                ))?,
            }
            return Ok(Exit::Ok);
        }
        let promised = before.primary().map(|primary| Lsn(primary.applied_lsn));
        let began = Instant::now();
        self.ask(&controllers, at)?;
        let took = began.elapsed();
        let now = controllers.told(at).standing.map_err(|why| controllers.silent(at, &why))?;
        let sealed = sealed(&controllers, epoch);
        let outcome = Outcome { host, from: epoch, now, promised, sealed, took };
        let exit = print(session, output, &outcome)?;
        output.flush()?;
        // Who gives the reign away begins anew, and is back at once: a look behind this command
        // should not find it half way.
        if let Some(host) = before.told.iter().find(|of| reigns(of)).map(|of| of.host.as_str()) {
            stands_by(session, &controllers, host);
        }
        Ok(exit)
    }

    /// Asks, and waits until it reigns.
    fn ask(&self, controllers: &Controllers, at: usize) -> Result<(), Failure> {
        let host = controllers.name(at);
        let patience = Duration::from_secs(controllers.conf.number("MessageTimeout").max(5));
        let refused = |why: String| {
            let message = format!("{host} has not taken over: {why}");
            Failure::new(Exit::Role, message, "statectl status; journalctl -u slurmctld -n 20")
        };
        match controllers.ask(at, &Message::Takeover, patience) {
            Ok(Message::ReturnCode(code)) if code.return_code == rc::OK => Ok(()),
            Ok(Message::ReturnCode(code)) if code.return_code == rc::USER => {
                let message = format!("{host}: only root and SlurmUser may say so");
                Err(Failure::new(Exit::Role, message, "sudo statectl takeover"))
            }
            Ok(Message::ReturnCode(code)) if code.return_code == rc::STANDBY => {
                Err(refused("the primary did not hand over in time".to_owned()))
            }
            Ok(Message::ReturnCode(code)) => Err(refused(format!("code {}", code.return_code))),
            Ok(_) => Err(refused("its answer makes no sense".to_owned())),
            Err(error) => Err(controllers.silent(at, &error.to_string())),
        }
    }
}

/// Waits until who has ceded is ready to reign again, and says so if it is not.
fn stands_by(session: &Session, controllers: &Controllers, host: &str) {
    let began = Instant::now();
    while began.elapsed() < STANDS_BY {
        if is_ready_for(&controllers.all(), host) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    session.warn(&format!("{host} does not stand by yet; next: statectl status"));
}

/// Why it could not reign, as far as it knows itself.
fn unfit(own: &Standing) -> Option<String> {
    if own.flags & standing::ADMITTED == 0 {
        return Some("no primary has seen that it sees the directory".to_owned());
    }
    let trouble = own.trouble.lossy();
    (!trouble.is_empty()).then(|| trouble.into_owned())
}

/// Where an epoch ended, if the directory tells in time.
fn sealed(controllers: &Controllers, epoch: Epoch) -> Option<Lsn> {
    let home = controllers.home();
    within(HUNG, move || {
        let disk = Real::open(&home).ok()?;
        sealed_on(&disk, epoch).ok()?
    })?
}

/// What came of it.
struct Outcome<'a> {
    host: &'a str,
    from: Epoch,
    now: Standing,
    /// The last save that the old primary said it had acknowledged.
    promised: Option<Lsn>,
    sealed: Option<Lsn>,
    took: Duration,
}

fn print(session: &Session, output: &mut Output, outcome: &Outcome<'_>) -> Result<Exit, Failure> {
    let Outcome { host, from, now, promised, sealed, took } = outcome;
    // An epoch that never began leaves no seal: the log is where it was.
    let at = sealed.unwrap_or(Lsn(now.applied_lsn));
    let lost = promised.map_or(0, |promised| promised.0.saturating_sub(at.0));
    let to = now.epoch;
    if session.json() {
        output.object(&json!({
            "host": host,
            "from": from.0,
            "epoch": to,
            "lsn": at.0,
            "lost": lost,
            "seconds": took.as_secs_f64(),
            "done": true,
        }))?;
    } else {
        let lost = text::count(lost, "save");
        output.line(format_args!("epoch {from}→{to} at lsn {at}, {lost} lost"))?;
    }
    Ok(if lost == 0 { Exit::Ok } else { Exit::Corruption })
}
