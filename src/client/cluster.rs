//! The cluster that is asked: its configuration, its credentials, its controllers.
//!
//! Controllers are tried in the order of slurm.conf. One that is not reached, or is in standby,
//! lets the next be tried: it certainly did nothing. One that was reached and does not answer ends
//! it: the request may have been executed.

use crate::client::errors::{self, local};
use crate::client::{Call, env, text, users};
use crate::slurm::auth::key::{Key, system_clock};
use crate::slurm::auth::munge::{Info, Munge};
use crate::slurm::auth::{Auth, To};
use crate::slurm::conf::Conf;
use crate::slurm::conf::own::Own;
use crate::slurm::link::{self, LinkError, Times};
use crate::slurm::wire::Message;
use crate::slurm::wire::constants::rc;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where slurm.conf is, if the environment names none.
pub const CONF: &str = "/etc/slurm/slurm.conf";

/// How long it may take to find out that nobody can be reached: a person waits.
pub const CONNECT_MAX: Duration = Duration::from_secs(2);

/// Whom a client asks.
pub struct Cluster {
    /// slurm.conf.
    pub conf: Conf,
    auth: Auth,
    times: Times,
    slurm_user: u32,
}

/// Why a request has no answer.
#[derive(Debug)]
pub struct Failure {
    /// The code in place of one: the protocol's, or one of `local`.
    pub code: u32,
    /// What the controller added.
    pub said: Option<String>,
    /// What became of each controller that was tried.
    pub tried: Vec<String>,
    /// What to do.
    pub next: Option<&'static str>,
}

impl Failure {
    /// A mere code.
    pub fn code(code: u32) -> Failure {
        Failure { code, said: None, tried: Vec::new(), next: None }
    }

    /// In Slurm's words.
    pub fn text(&self) -> String {
        errors::text(self.code)
    }

    /// What the controller added, who was tried, and what to do: one line each.
    pub fn more(&self) -> String {
        let said = self.said.iter().map(|said| format!("{said}\n"));
        let tried = self.tried.iter().map(|tried| format!("tried {tried}\n"));
        let next = self.next.iter().map(|next| format!("next: {next}\n"));
        said.chain(tried).chain(next).collect()
    }

    /// As perror(3): what was done, and what became of it.
    pub fn tell(&self, what: &str) {
        text::complain(&format!("{what}: {}\n{}", self.text(), self.more()));
    }
}

const START_ONE: &str = "start slurmctld on one of these hosts, or correct SlurmctldHost in \
                         slurm.conf; `scontrol ping` looks again";
const TAKE_OVER: &str = "if the controller in charge is gone for good, run `scontrol takeover`; \
                         `scontrol ping` says who is in charge";
const LOOK: &str = "look whether it was executed (squeue, scontrol show) before trying again";

impl Cluster {
    /// Reads the configuration, and makes ready to prove who asks.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn open() -> Result<Cluster, String> {
        let path =
            std::env::var_os("SLURM_CONF").map_or_else(|| PathBuf::from(CONF), PathBuf::from);
        let conf = Conf::load(&path).map_err(|error| {
            let hint =
                if env("SLURM_CONF").is_none() { "; SLURM_CONF may name another" } else { "" };
            format!("{error}{hint}")
        })?;
        let own = Own::load_beside(&path).map_err(|error| error.to_string())?;
        let auth = match &own.auth_key_file {
            Some(file) => Key::load(file, system_clock()).map(Auth::Key),
            None => {
                let info = Info::parse(conf.text("AuthInfo").unwrap_or(""));
                info.and_then(Munge::attach).map(Auth::Munge)
            }
        }
        .map_err(|error| error.to_string())?;
        let user = conf.text("SlurmUser").unwrap_or("root");
        // A number stands for itself, as for slurmctld: he may have no name here.
        let slurm_user = users::uid(user).or_else(|| user.parse().ok()).ok_or_else(|| {
            format!("SlurmUser={user}: no such user here; add him, or correct it")
        })?;
        let seconds = |name: &str| Duration::from_secs(conf.number(name).clamp(1, 3600));
        let times = Times { connect: seconds("TCPTimeout"), answer: seconds("MessageTimeout") };
        Ok(Cluster { conf, auth, times, slurm_user })
    }

    /// As [`Cluster::open`]; what is wrong is said.
    pub fn of(call: &Call) -> Option<Cluster> {
        Cluster::open().map_err(|why| call.error(&why)).ok()
    }

    /// Asks the controller that is in charge.
    ///
    /// # Errors
    /// [`Failure`]; a return code other than 0 is one.
    pub fn ask(&self, message: &Message) -> Result<Message, Failure> {
        let begun = Instant::now();
        let (mut tried, mut standby) = (Vec::new(), None);
        for at in 0..self.conf.controllers.len() {
            let left = (CONNECT_MAX.saturating_sub(begun.elapsed()))
                / u32::try_from(self.conf.controllers.len() - at).expect("few controllers");
            match self.exchange(at, message, To::Anybody, left) {
                Ok(answer) => match refusal(&answer) {
                    Some((code @ (rc::STANDBY | rc::STANDBY_USE_BACKUP), _)) => {
                        tried.push(format!("{}: in standby", self.place(at)));
                        standby = Some(code);
                    }
                    Some((code, said)) => return Err(Failure { said, ..Failure::code(code) }),
                    None => return Ok(answer),
                },
                Err(failure) if failure.code == local::CONNECT => tried.extend(failure.tried),
                Err(failure) => return Err(failure),
            }
        }
        let next = Some(if standby.is_some() { TAKE_OVER } else { START_ONE });
        Err(Failure { tried, next, ..Failure::code(standby.unwrap_or(local::CONNECT)) })
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn order(&self, message: &Message) -> Result<(), Failure> {
        match self.ask(message)? {
            Message::ReturnCode(_) | Message::ReturnMessage(_) => Ok(()),
            _ => Err(Failure::code(local::UNEXPECTED)),
        }
    }

    /// Asks one controller, by its place in slurm.conf.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn ask_one(&self, at: usize, message: &Message) -> Result<Message, Failure> {
        let count = u32::try_from(self.conf.controllers.len()).expect("few controllers");
        let answer =
            self.exchange(at, message, To::Uid(self.slurm_user), CONNECT_MAX / count.max(1))?;
        match refusal(&answer) {
            Some((code, said)) => Err(Failure { said, ..Failure::code(code) }),
            None => Ok(answer),
        }
    }

    /// A controller's name, and where it is.
    pub fn place(&self, at: usize) -> String {
        let host = &self.conf.controllers[at];
        format!("{} ({}:{})", host.name, host.address, self.conf.ports().0)
    }

    fn exchange(
        &self,
        at: usize,
        message: &Message,
        to: To,
        connect: Duration,
    ) -> Result<Message, Failure> {
        let address = (self.conf.controllers[at].address.as_str(), self.conf.ports().0);
        let connect = connect.min(self.times.connect).max(Duration::from_millis(50));
        let times = Times { connect, ..self.times };
        link::call(&self.auth, address, message, to, times).map_err(|error| self.failed(at, &error))
    }

    fn failed(&self, at: usize, error: &LinkError) -> Failure {
        let place = self.place(at);
        let broken = |code, why: &str| Failure {
            tried: vec![format!("{place}: {why}")],
            next: Some(LOOK),
            ..Failure::code(code)
        };
        match error {
            LinkError::Connect(_, error) => {
                Failure { next: None, ..broken(local::CONNECT, &plain(error)) }
            }
            LinkError::Broken(error) => match error.kind() {
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                    broken(local::TIMEOUT, "no answer in time")
                }
                io::ErrorKind::UnexpectedEof => {
                    broken(local::NOTHING, "closed the connection without an answer")
                }
                _ => broken(local::RECEIVE, &plain(error)),
            },
            LinkError::Auth(error) => {
                Failure { next: None, ..broken(local::AUTH, &error.to_string()) }
            }
            error @ (LinkError::Wire(_) | LinkError::Stranger(_)) => {
                broken(local::RECEIVE, &error.to_string())
            }
        }
    }
}

/// An error of the system in its own words, without its number.
fn plain(error: &io::Error) -> String {
    let said = error.to_string();
    said.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// The code, if an answer is one that says no.
fn refusal(answer: &Message) -> Option<(u32, Option<String>)> {
    match answer {
        Message::ReturnCode(code) if code.return_code != rc::OK => Some((code.return_code, None)),
        Message::ReturnMessage(why) if why.return_code != rc::OK => {
            Some((why.return_code, Some(text::of(&why.message)).filter(|said| !said.is_empty())))
        }
        _ => None,
    }
}
