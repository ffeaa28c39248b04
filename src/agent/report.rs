//! Telling a controller how a job ended.
//!
//! | kind | message | taken if the answer is |
//! |---|---|---|
//! | the script ended | 5018 | 0, 2017 (no such job), 2021 (over already) |
//! | it could not be started | 5023 (requeue, held; with `nohold_on_prolog_fail` in SchedulerParameters not held), and where that is disabled 5032 (kill); then a registration that says why | the same |
//!
//! Invariant: `Ok` only if a controller has answered that it knows. What may have been lost on the
//! way is sent again: controllers answer a second report with 2021.

use crate::agent::controllers::{self, Patience};
use crate::agent::log::info;
use crate::agent::register;
use crate::agent::setup::Setup;
use crate::agent::spool::{Ended, SCRIPT};
use crate::agent::supervisor::PROLOG_FAILED;
use crate::slurm::wire::constants::{job, rc, step};
use crate::slurm::wire::tables::{BatchDone, KillRequest, Requeue, StepId};
use crate::slurm::wire::{Message, Text, Unset};

/// In a requeue: the launch failed.
const LAUNCH_FAILED: u32 = 0x100;
/// The job is none that can be requeued.
const BATCH_ONLY: u32 = 2039;

/// Reports an end.
///
/// # Errors
/// No controller has taken it: why.
pub fn send(setup: &Setup, ended: &Ended, patience: Patience) -> Result<(), String> {
    if ended.kind == SCRIPT {
        let done = BatchDone {
            job_id: ended.job_id,
            job_rc: ended.job_rc,
            slurm_rc: ended.slurm_rc,
            user_id: ended.user_id,
            node_name: setup.node.name.as_str().into(),
            ..BatchDone::default()
        };
        return taken(setup, &Message::BatchDone(Box::new(done)), patience).map(drop);
    }
    let held = !setup
        .conf
        .text("SchedulerParameters")
        .is_some_and(|text| text.to_ascii_lowercase().contains("nohold_on_prolog_fail"));
    let flags = if held { job::REQUEUE_HOLD | LAUNCH_FAILED } else { job::PENDING };
    let requeue = Requeue { job_id: ended.job_id, job_id_str: Text::NONE, flags };
    let answer = taken(setup, &Message::Requeue(Box::new(requeue)), patience)?;
    if matches!(answer, rc::DISABLED | BATCH_ONLY) {
        info!("job {} cannot be requeued: it is cancelled", ended.job_id);
        let signal = libc::SIGKILL as u16;
        let step_id = StepId { step_id: step::NONE, step_het_comp: u32::UNSET, job_id: 0 };
        let sjob_id = ended.job_id.to_string().into();
        let kill = KillRequest { step_id, sjob_id, signal, ..KillRequest::default() };
        taken(setup, &Message::Kill(Box::new(kill)), patience)?;
    }
    if ended.slurm_rc == PROLOG_FAILED {
        register::send(setup, register::Why::Failed(PROLOG_FAILED), patience)?;
    }
    Ok(())
}

fn taken(setup: &Setup, message: &Message, patience: Patience) -> Result<u32, String> {
    let answer = controllers::ask(setup, message, patience)?;
    match controllers::code(&answer) {
        Some(code @ (rc::OK | rc::JOB | rc::ALREADY_DONE | rc::DISABLED | BATCH_ONLY)) => Ok(code),
        Some(code) => Err(format!("{} is answered with {code}", message.row().name)),
        None => Err(format!("{} is answered with message {}", message.row().name, answer.kind())),
    }
}
