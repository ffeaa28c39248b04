//! Submitting, and waiting for the end.
//!
//! Only what the controller said no to is sent again: with code 11 it has kept nothing.

use super::error_exit;
use super::options::Options;
use crate::client::cluster::Cluster;
use crate::client::job::show;
use crate::client::{Call, job_state, text, time};
use crate::slurm::wire::Message;
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::tables::{JobDesc, JobRequest};
use std::thread::sleep;
use std::time::Duration;

const RETRIES: u64 = 15;
const WAIT_MAX_S: u64 = 32;

/// What is said of a code after which it is tried again, and whether it is an error.
fn again(code: u32) -> Option<(&'static str, bool)> {
    const QUEUE_FULL: u32 = 2007;
    const NODES_BUSY: u32 = 2016;
    const AGAIN: u32 = 11;
    Some(match code {
        QUEUE_FULL => ("Slurm job queue full, sleeping and retrying", true),
        NODES_BUSY => ("Job creation temporarily disabled, retrying", false),
        AGAIN => ("Slurm temporarily unable to accept job, sleeping and retrying", true),
        _ => return None,
    })
}

/// Submits; the exit code.
pub fn submit(call: &Call, cluster: &Cluster, options: &Options, desc: JobDesc) -> u8 {
    if options.test_only {
        return test(call, cluster, desc);
    }
    let message = Message::Submit(Box::new(desc));
    let mut tries = 0;
    let submitted = loop {
        match cluster.ask(&message) {
            Ok(Message::Submitted(submitted)) => break submitted,
            Ok(_) => {
                call.error("Batch job submission failed: Unexpected message received");
                return error_exit();
            }
            Err(failure) => {
                let Some((said, error)) = again(failure.code).filter(|_| tries < RETRIES) else {
                    said_by_controller(call, failure.said.as_deref());
                    call.error(&format!("Batch job submission failed: {}", failure.text()));
                    text::complain(
                        &crate::client::cluster::Failure { said: None, ..failure }.more(),
                    );
                    return error_exit();
                };
                match (tries, error) {
                    (0, true) => call.error(said),
                    (0, false) => call.info(said),
                    _ => {}
                }
                tries += 1;
                sleep(Duration::from_secs(tries));
            }
        }
    };
    for line in text::of(&submitted.user_message).lines() {
        call.info(line);
    }
    if submitted.error_code != rc::OK && submitted.job_id == 0 {
        let why = crate::client::errors::text(submitted.error_code);
        call.error(&format!("Batch job submission failed: {why}"));
        return error_exit();
    }
    if !options.quiet {
        let front = if options.parsable { "" } else { "Submitted batch job " };
        text::print(&format!("{front}{}\n", submitted.job_id));
    }
    if options.wait { wait(call, cluster, submitted.job_id) } else { 0 }
}

fn said_by_controller(call: &Call, said: Option<&str>) {
    for line in said.unwrap_or_default().lines() {
        call.error(line);
    }
}

/// `--test-only`.
fn test(call: &Call, cluster: &Cluster, desc: JobDesc) -> u8 {
    match cluster.ask(&Message::WillRunRequest(Box::new(desc))) {
        Ok(Message::WillRun(found)) => {
            for line in text::of(&found.user_message).lines() {
                call.info(line);
            }
            call.info(&format!(
                "Job {} to start at {} using {} processors on nodes {} in partition {}",
                found.job_id,
                time::stamp(found.start_time),
                found.cpus,
                text::or_null(&found.nodes),
                text::or_null(&found.partition)
            ));
            if let Some(ids) = found.preempted.filter(|ids| !ids.is_empty()) {
                let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
                call.info(&format!("  Preempts: {}", ids.join(",")));
            }
            0
        }
        Ok(_) => 1,
        Err(failure) => {
            failure.tell("allocation failure");
            1
        }
    }
}

/// Waits until a job, and every task of it, is over; the largest exit code.
fn wait(call: &Call, cluster: &Cluster, job_id: u32) -> u8 {
    // It must be seen before it is forgotten.
    let forgotten_s = cluster.conf.number("MinJobAge");
    let mut pause_s = 2;
    loop {
        sleep(Duration::from_secs(pause_s));
        if pause_s < forgotten_s / 2 && pause_s < WAIT_MAX_S {
            pause_s *= 4;
        }
        let question = JobRequest { job_id, show_flags: show::ALL };
        match cluster.ask(&Message::JobRequest(Box::new(question))) {
            Ok(Message::Jobs(found)) => {
                let jobs = &found.records;
                if jobs.iter().all(|job| job_state::finished(job) && job.job_state & 0x8000 == 0) {
                    return jobs.iter().map(|job| exit_code(job.exit_code)).max().unwrap_or(0);
                }
            }
            Ok(_) => {}
            Err(failure) if failure.code == rc::JOB => {
                call.error(&format!("Job {job_id} no longer found and exit code not found"));
                return 0;
            }
            Err(failure) => {
                let why = failure.text();
                call.error(&format!(
                    "Currently unable to load job state information, retrying: {why}"
                ));
            }
        }
    }
}

/// What wait(2) said; 1 for a signal.
fn exit_code(status: u32) -> u8 {
    if status & 0x7f == 0 { (status >> 8) as u8 } else { 1 }
}
