//! HealthCheckProgram: exit 0 says that the node is healthy, anything else drains it. Run before
//! the node registers, and whenever a controller asks (1011).
//!
//! | the program | the reason |
//! |---|---|
//! | writes something | its first line |
//! | exits with N | `HealthCheck: exit N` |
//! | is ended by signal N | `HealthCheck: signal N` |
//! | runs for 60 s, and is killed | `HealthCheck: timed out` |
//! | cannot be run | `HealthCheck: ` and why |
//!
//! Invariants: a node that is drained stays as it is; a reason that is there is never replaced; a
//! later success changes nothing: who drained the node, or repaired it, resumes it.

use crate::agent::controllers::{self, Patience};
use crate::agent::log::{error, info};
use crate::agent::program::{self, Done};
use crate::agent::setup::Setup;
use crate::slurm::wire::constants::{node, rc};
use crate::slurm::wire::tables::{NodeRequest, UpdateNode};
use crate::slurm::wire::{Field, Message, Text};
use std::sync::Mutex;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// Most bytes of a reason.
const REASON_MAX: usize = 256;

/// One check at a time.
static RUNNING: Mutex<()> = Mutex::new(());

/// Checks the node; why it is to be drained. With `HealthDrain=no` it is logged, as Slurm does.
pub fn check(setup: &Setup) -> Option<String> {
    let program = setup.conf.text("HealthCheckProgram")?;
    if setup.conf.number("HealthCheckInterval") == 0 {
        return None;
    }
    let environment = [
        ("SLURMD_NODENAME".to_owned(), setup.node.name.clone().into_bytes()),
        ("SLURM_CONF".to_owned(), setup.conf.path.display().to_string().into_bytes()),
        (
            "PATH".to_owned(),
            b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_vec(),
        ),
    ];
    let reason = match program::run(program, &environment, Some(LIMIT)) {
        Ok(done) => reason(&done),
        Err(why) => Some(format!("HealthCheck: {program}: {why}")),
    };
    if let Some(reason) = &reason {
        error!("{program} says that this node is not healthy: {reason}");
    }
    reason.filter(|_| setup.health_drain)
}

fn reason(done: &Done) -> Option<String> {
    if done.well() {
        return None;
    }
    let first = done.output.lines().map(str::trim).next().unwrap_or("");
    if !first.is_empty() {
        let end = first.floor_char_boundary(REASON_MAX);
        return Some(first[..end].to_owned());
    }
    Some(match done.status {
        None => "HealthCheck: timed out".to_owned(),
        Some(status) if status & 0x7f != 0 => format!("HealthCheck: signal {}", status & 0x7f),
        Some(status) => format!("HealthCheck: exit {}", status >> 8 & 0xff),
    })
}

/// A controller has asked: checks, and drains the node if need be. Nothing, if a check is running.
pub fn asked(setup: &Setup) {
    let Ok(_running) = RUNNING.try_lock() else { return };
    if let Some(reason) = check(setup)
        && let Err(why) = drain(setup, &reason, Patience::Usual)
    {
        error!("this node is not healthy, and cannot be drained: {why}");
    }
}

/// Drains this node, unless it is.
///
/// # Errors
/// No controller has done it: why.
pub fn drain(setup: &Setup, reason: &str, patience: Patience) -> Result<(), String> {
    let name = Text::from(setup.node.name.as_str());
    let request = NodeRequest { name: name.clone(), flags: 0 };
    let answer = controllers::ask(setup, &Message::NodeRequest(Box::new(request)), patience)?;
    let mut keeps = false;
    if let Message::Nodes(listing) = &answer
        && let Some(known) = listing.records.iter().find(|known| known.name == name)
    {
        keeps = !known.reason.is_empty();
        if known.node_state & node::DRAIN != 0 && keeps {
            return Ok(());
        }
    }
    let update = UpdateNode {
        node_names: name,
        node_state: node::DRAIN,
        reason: if keeps { Text::NONE } else { reason.into() },
        reason_uid: rustix::process::geteuid().as_raw(),
        // As clients send it: 0 leaves it as it is, and "not set" ends Slurm's own controller.
        cpu_bind: 0,
        ..UpdateNode::unset()
    };
    let answer = controllers::ask(setup, &Message::UpdateNode(Box::new(update)), patience)?;
    match controllers::code(&answer) {
        Some(rc::OK) => {
            info!("this node is drained: {reason}");
            Ok(())
        }
        code => Err(format!("the update is answered with {code:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_reason_or_how_it_ended() {
        let said =
            |status: Option<i32>, output: &str| reason(&Done { status, output: output.to_owned() });
        assert_eq!(said(Some(0), "all is well"), None);
        assert_eq!(said(Some(1 << 8), " disk full \nmore\n").unwrap(), "disk full");
        assert_eq!(said(Some(3 << 8), "").unwrap(), "HealthCheck: exit 3");
        assert_eq!(said(Some(3 << 8), "\nx").unwrap(), "HealthCheck: exit 3");
        assert_eq!(said(Some(11), "").unwrap(), "HealthCheck: signal 11");
        assert_eq!(said(None, "").unwrap(), "HealthCheck: timed out");
        assert_eq!(said(Some(256), &"é".repeat(200)).unwrap().len(), 256);
    }
}
