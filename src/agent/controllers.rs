//! Asking whichever controller is in charge, as Slurm's own agents do: in the order of slurm.conf,
//! the next one where a connection fails, again each second as long as MessageTimeout. Whoever says
//! that it is in standby (2027) is asked again after half of SlurmctldTimeout, from the first one
//! on; whoever says "use the backup" (2131) sends us to the others at once. Both for one and a half
//! SlurmctldTimeout. Who answered once from behind the first place is asked first until he fails.
//!
//! Invariant: a request that may have been executed is not sent again here; that is for the caller.

use crate::agent::setup::Setup;
use crate::slurm::auth::To;
use crate::slurm::link::{self, LinkError};
use crate::slurm::wire::Message;
use crate::slurm::wire::constants::rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to wait for somebody in charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Each controller is tried once.
    Once,
    /// As Slurm's agents.
    Usual,
}

static PAST_FIRST: AtomicBool = AtomicBool::new(false);

/// Asks, and returns the answer.
///
/// # Errors
/// Why there is none, in words.
pub fn ask(setup: &Setup, message: &Message, patience: Patience) -> Result<Message, String> {
    let begun = Instant::now();
    let standby = Duration::from_secs(setup.conf.number("SlurmctldTimeout"));
    let alone = setup.conf.controllers.len() < 2;
    loop {
        let answer = reach(setup, message, patience)?;
        let code = code(&answer);
        let waits = matches!(code, Some(rc::STANDBY | rc::STANDBY_USE_BACKUP)) && !alone;
        if !waits || begun.elapsed() >= standby * 3 / 2 {
            return Ok(answer);
        }
        if patience == Patience::Once {
            return Err("no controller is in charge".to_owned());
        }
        let backup = code == Some(rc::STANDBY_USE_BACKUP);
        PAST_FIRST.store(backup, Ordering::Relaxed);
        // A pause also where there is none in Slurm: two that send us to each other are no load.
        sleep(if backup { Duration::from_millis(100) } else { standby / 2 });
    }
}

/// The return code of an answer that is nothing else.
pub fn code(answer: &Message) -> Option<u32> {
    match answer {
        Message::ReturnCode(body) => Some(body.return_code),
        Message::ReturnMessage(body) => Some(body.return_code),
        _ => None,
    }
}

/// Says something that nobody answers: to the first controller that takes a connection.
///
/// # Errors
/// Nobody does.
pub fn tell(setup: &Setup, message: &Message) -> Result<(), String> {
    let mut last = "there is no controller".to_owned();
    let port = setup.conf.ports().0;
    for place in order(setup) {
        let host = setup.conf.controllers[place].address.as_str();
        match link::tell(&setup.auth, (host, port), message, To::Anybody, setup.times()) {
            Ok(()) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// Places of the controllers, in the order in which they are asked.
fn order(setup: &Setup) -> Vec<usize> {
    let count = setup.conf.controllers.len();
    let skip = usize::from(PAST_FIRST.load(Ordering::Relaxed) && count > 1);
    (skip..count).chain(0..skip).collect()
}

fn reach(setup: &Setup, message: &Message, patience: Patience) -> Result<Message, String> {
    let (begun, times) = (Instant::now(), setup.times());
    loop {
        let mut last = "there is no controller".to_owned();
        let port = setup.conf.ports().0;
        for place in order(setup) {
            let host = setup.conf.controllers[place].address.as_str();
            let may = |uid| setup.commands(uid);
            match link::ask(&setup.auth, (host, port), message, To::Anybody, times, may) {
                Ok(answer) => {
                    PAST_FIRST.store(place > 0, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error @ LinkError::Connect(..)) => last = error.to_string(),
                Err(error) => return Err(format!("{host}:{port}: {error}")),
            }
        }
        if patience == Patience::Once || begun.elapsed() >= times.answer {
            return Err(last);
        }
        sleep(Duration::from_secs(1));
    }
}
