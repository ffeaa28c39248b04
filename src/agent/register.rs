//! The node's registration: what the machine has, and which jobs are here. What slurm.conf says of
//! processors is repeated if the machine has at least as many, as Slurm's own agent does; memory is
//! what there is.

use crate::agent::controllers::{self, Patience};
use crate::agent::jobs;
use crate::agent::machine;
use crate::agent::setup::{Setup, now};
use crate::slurm::wire::constants::{REGISTRATION_WANTS_TRES, rc, step};
use crate::slurm::wire::tables::{Registration, StepId};
use crate::slurm::wire::{Message, SizedBlob, Time, Unset, Version};
use std::sync::OnceLock;

/// Why the node registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has started, or was asked to.
    Asked,
    /// Something failed, which Slurm has a number for: the node is drained.
    Failed(u32),
}

static STARTED: OnceLock<i64> = OnceLock::new();

/// Registers.
///
/// # Errors
/// No controller has taken it: why.
pub fn send(setup: &Setup, why: Why, patience: Patience) -> Result<(), String> {
    let message = Message::Registration(Box::new(registration(setup, why)));
    let answer = controllers::ask(setup, &message, patience)?;
    match (&answer, controllers::code(&answer)) {
        (Message::Registered(_), _) | (_, Some(rc::OK)) => Ok(()),
        (_, Some(code)) => Err(format!("the registration is answered with {code}")),
        (other, None) => Err(format!("the registration is answered with {}", other.kind())),
    }
}

fn registration(setup: &Setup, why: Why) -> Registration {
    let (machine, line) = (machine::look(), &setup.node);
    let overrides = setup
        .conf
        .text("SlurmdParameters")
        .is_some_and(|text| text.to_ascii_lowercase().contains("config_overrides"));
    let as_said = overrides || machine.cpus >= line.cpus;
    let (cpus, boards, sockets, cores, threads) = if as_said {
        (line.cpus, line.boards, line.sockets, line.cores, line.threads)
    } else {
        (machine.cpus, 1, machine.sockets, machine.cores, machine.threads)
    };
    let system = rustix::system::uname();
    let word = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let os = [system.sysname(), system.release(), system.version()].map(word).join(" ");
    let step_id = |job_id| StepId { job_id, step_id: step::BATCH, step_het_comp: u32::UNSET };
    Registration {
        timestamp: Time(now()),
        slurmd_start_time: Time(*STARTED.get_or_init(now)),
        status: if let Why::Failed(code) = why { code } else { 0 },
        hostname: setup.host.as_str().into(),
        node_name: line.name.as_str().into(),
        arch: word(system.machine()).into(),
        os: os.into(),
        cpus,
        boards,
        sockets,
        cores,
        threads,
        real_memory: machine.memory_mb,
        tmp_disk: machine::room_mb(setup.conf.text("TmpFS").unwrap_or("/tmp")),
        up_time: machine::uptime_s(),
        hash_val: u32::UNSET,
        cpu_load: machine::load(),
        free_mem: machine::free_mb(),
        steps: jobs::here(&setup.spool).into_iter().map(step_id).collect(),
        gres_info: SizedBlob(no_gres()),
        flags: if why == Why::Asked { REGISTRATION_WANTS_TRES } else { 0 },
        version: VERSION.into(),
        ..Registration::default()
    }
}

/// No generic resources: u16 version, u16 how many. Slurm's own controller ends by a null pointer
/// where even this is left out.
fn no_gres() -> Vec<u8> {
    let version = Version::NEWEST.0.to_be_bytes();
    [version, [0, 0]].concat()
}

/// The version whose protocol is spoken: controllers show it.
pub const VERSION: &str = "22.05.8";
