//! `scontrol ping`, and what daemons are told.

use super::Desk;
use crate::client::cluster::Failure;
use crate::client::errors::local;
use crate::client::{text, time};
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::tables::Shutdown;
use crate::slurm::wire::{Message, Time};

/// The name of a controller's place in slurm.conf.
fn mode(at: usize, count: usize) -> String {
    match at {
        0 => "primary".to_owned(),
        1 if count == 2 => "backup".to_owned(),
        at => format!("backup{at}"),
    }
}

/// The name that is shown: where slurm.conf says localhost, this host's.
fn shown(name: &str) -> String {
    if name.eq_ignore_ascii_case("localhost") {
        let host = text::from_bytes(rustix::system::uname().nodename().to_bytes());
        return host.split('.').next().unwrap_or_default().to_owned();
    }
    name.to_owned()
}

/// Asks every controller, and tells which answer: as Slurm does, but called by what they are, not
/// by their place. Where nobody says that he is in charge, by their place. The exit code is 1 where
/// none answers.
pub fn ping_all(desk: &Desk<'_>) -> (String, u8) {
    let controllers = &desk.cluster.conf.controllers;
    let count = controllers.len();
    let (mut out, mut code, mut down) = (String::new(), 1, false);
    let states: Vec<Standing> = (0..count).map(|at| standing(desk, at)).collect();
    let primary = states.iter().position(|state| *state == Standing::InCharge);
    let mut backups = 0;
    for (at, host) in controllers.iter().enumerate() {
        let up = states[at] != Standing::Down;
        if up {
            code = 0;
        }
        down |= !up;
        let state = if up { "UP" } else { "DOWN" };
        let is_primary = primary.map_or(at == 0, |primary| at == primary);
        backups += usize::from(!is_primary);
        let mode = mode(if is_primary { 0 } else { backups }, count);
        out += &format!("Slurmctld({mode}) at {} is {state}\n", shown(&host.name));
    }
    if down && rustix::process::getuid().is_root() {
        let stars = "*".repeat(41);
        out += &format!("{stars}\n** RESTORE SLURMCTLD DAEMON TO SERVICE **\n{stars}\n");
    }
    (out, code)
}

/// What a controller says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing.
    Down,
    /// It stands by.
    StandsBy,
    /// It is in charge.
    InCharge,
}

fn standing(desk: &Desk<'_>, at: usize) -> Standing {
    match desk.cluster.ask_one(at, &Message::ControlStatusRequest) {
        Ok(Message::ControlStatus(status)) if status.in_charge_since != Time(0) => {
            Standing::InCharge
        }
        Ok(_) => Standing::StandsBy,
        // One that does not say what it is may still say that it is there.
        Err(_) => match desk.cluster.ask_one(at, &Message::Ping) {
            Ok(_) => Standing::StandsBy,
            Err(_) => Standing::Down,
        },
    }
}

/// `ping`: as Slurm's, with the controller that is in charge as the primary; on a line of its own,
/// where there are several, since when.
pub fn ping(desk: &Desk<'_>) -> u8 {
    let (out, code) = ping_all(desk);
    text::print(&out);
    if desk.cluster.conf.controllers.len() > 1 && code == 0 {
        text::print(&in_charge(desk));
    }
    code
}

fn in_charge(desk: &Desk<'_>) -> String {
    for (at, host) in desk.cluster.conf.controllers.iter().enumerate() {
        if let Ok(Message::ControlStatus(status)) =
            desk.cluster.ask_one(at, &Message::ControlStatusRequest)
            && status.in_charge_since != Time(0)
        {
            let since = time::stamp(status.in_charge_since);
            return format!("in charge: {} since {since}\n", shown(&host.name));
        }
    }
    "in charge: nobody says so; next: scontrol takeover, or start slurmctld\n".to_owned()
}

/// `show daemons`: those that slurm.conf wants on this host.
pub fn show(desk: &Desk<'_>) -> u8 {
    let conf = &desk.cluster.conf;
    let host = text::from_bytes(rustix::system::uname().nodename().to_bytes());
    let short = host.split('.').next().unwrap_or_default().to_owned();
    let is_here = |name: &str| [&host, &short].contains(&&name.to_owned());
    let controls = conf.controllers.iter().any(|controller| {
        is_here(&controller.name) || controller.name.eq_ignore_ascii_case("localhost")
    });
    let runs_jobs =
        conf.nodes.iter().any(|node| is_here(&node.hostname) || node.hostname == "localhost");
    let daemons = match (controls, runs_jobs) {
        (false, false) => "(null)",
        (true, false) => "slurmctld ",
        (false, true) => "slurmd",
        (true, true) => "slurmctld slurmd",
    };
    text::print(&format!("{daemons}\n"));
    0
}

/// `reconfigure`.
pub fn reconfigure(desk: &Desk<'_>) -> u8 {
    match desk.cluster.order(&Message::Reconfigure) {
        Ok(()) => 0,
        Err(failure) => desk.failed("slurm_reconfigure error", &failure),
    }
}

/// `takeover [index]`: also of the first one, which Slurm's own refuses.
pub fn takeover(desk: &Desk<'_>, verb: &str, rest: &[String]) -> u8 {
    let count = desk.cluster.conf.controllers.len();
    let at = match rest {
        [] => 1,
        [index] => {
            let (number, _) = text::leading_number(index);
            match usize::try_from(number).ok().filter(|at| (0..count).contains(at)) {
                Some(at) => at,
                None => {
                    let what = format!("{verb}: invalid backup controller index ({number})");
                    text::complain(&format!("{what}\n"));
                    return 1;
                }
            }
        }
        _ => {
            text::complain(&format!("{verb}: too many arguments\n"));
            return 1;
        }
    };
    if at >= count {
        let said = Some("slurm.conf names one controller (SlurmctldHost): nobody can take over");
        return desk.failed(
            "slurm_takeover error",
            &Failure { next: said, ..Failure::code(local::CONNECT) },
        );
    }
    match desk.cluster.ask_one(at, &Message::Takeover) {
        Ok(_) => 0,
        Err(failure) if failure.code == rc::STANDBY => {
            // What of itself says no more than that nothing has changed.
            let next = Some("next: `statectl status` says which controller is ready, and why not");
            desk.failed("slurm_takeover error", &Failure { next, ..failure })
        }
        Err(failure) => desk.failed("slurm_takeover error", &failure),
    }
}

/// `shutdown [slurmctld]`: the backups first, so that none takes over.
pub fn shutdown(desk: &Desk<'_>, verb: &str, rest: &[String]) -> u8 {
    const ALL: u16 = 0;
    const CONTROLLERS: u16 = 2;
    let option = match rest {
        [] => ALL,
        [what] if what == "slurmctld" || what == "controller" => CONTROLLERS,
        [other] => {
            text::complain(&format!("invalid shutdown argument:{other}\n"));
            return 1;
        }
        _ => {
            text::complain(&format!("too many arguments for keyword:{verb}\n"));
            return 1;
        }
    };
    let message = Message::Shutdown(Box::new(Shutdown { option }));
    for at in 1..desk.cluster.conf.controllers.len() {
        // A backup that is not there needs not be told.
        let _ = desk.cluster.ask_one(at, &message);
    }
    match desk.cluster.ask_one(0, &message) {
        Ok(_) => 0,
        Err(failure) => desk.failed("slurm_shutdown error", &failure),
    }
}
