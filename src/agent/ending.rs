//! Ending and signalling jobs.
//!
//! | request | what is done | answer |
//! |---|---|---|
//! | 6011 terminate | SIGCONT, SIGTERM, after KillWait (5 s at least) SIGKILL; when its end is reported the epilog; then 6012 | 0, or 4002: nothing of it is left, and there is no epilog |
//! | 6009 time limit | the user is told, then as 6011 | 0 |
//! | 6013 abort | SIGKILL, the epilog; nobody is told how it ended | 0 |
//! | 6004 signal | the signal: to all; with flag 1 to the script, with 8 to its process group | 0, or 2017 |
//! | 6006 kill | SIGKILL to all | 0, or 2017 |
//! | 5014, 5031 suspend, resume | SIGSTOP, SIGCONT to all | 0 |
//!
//! Invariants: an epilog runs once for each start of a job; 6012 comes after the report of the
//! job's end, as long as that is taken within a minute, so that no exit code is lost to it.

use crate::agent::controllers;
use crate::agent::jobs::{self, State};
use crate::agent::log::{error, info};
use crate::agent::orders::{self, Order, Whom};
use crate::agent::scripts::{self, About};
use crate::agent::serve::Agent;
use crate::agent::setup::Setup;
use crate::slurm::wire::Message;
use crate::slurm::wire::constants::{job, rc, step};
use crate::slurm::wire::tables::{EpilogDone, KillJob, SignalTasks};
use nix::unistd::User;
use std::sync::Arc;
use std::time::Duration;

/// How long an order may take: a supervisor that runs a prolog takes none.
const ORDER: Duration = Duration::from_secs(30);
/// How long the end of a job that is over may take to be reported before 4002 is not an answer.
const SOON: Duration = Duration::from_millis(100);
/// How long 6012 waits for the report.
const REPORT: Duration = Duration::from_secs(60);
/// Between two SIGKILLs.
const AGAIN: Duration = Duration::from_secs(10);
/// Shortest time between SIGTERM and SIGKILL, as in Slurm.
const GRACE_MIN_S: u64 = 5;
/// Slurm's number: an epilog failed.
const EPILOG_FAILED: u32 = 4023;

const TIME_LIMIT: u16 = 996;
const TERM_KILL: u16 = 991;
const TO_SCRIPT: u16 = 1;
const NOT_SCRIPT: u16 = 4;
const TO_GROUP: u16 = 8;

/// Which request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 6011.
    Terminate,
    /// 6009.
    TimeLimit,
    /// 6013.
    Abort,
}

/// Ends a job. `answer` is called once, before anything that takes long.
pub fn end(agent: &Arc<Agent>, kill: KillJob, kind: Kind, answer: impl FnOnce(u32)) {
    let id = kill.step_id.job_id;
    if !agent.past.obeys(&kill.spank_job_env) {
        error!("job {id}: a terminate by a controller that another one has replaced");
        return answer(rc::STANDBY);
    }
    agent.past.terminate(id, kill.time.0);
    // A launch that is under way is there after this, or will find that it is void.
    drop(agent.launching.lock().expect("nobody panics with it"));
    if !agent.jobs.begin_ending(id) {
        // Somebody is at it, and will say when it is done.
        return answer(rc::OK);
    }
    let setup = agent.setup();
    let epilog =
        setup.conf.text("Epilog").is_some() && !agent.past.has_epilog_run(id, kill.start_time.0);
    let nothing = match agent.jobs.state(id) {
        None => true,
        Some((State::Over, ..)) => agent.jobs.wait_gone(id, SOON),
        Some((State::Runs, ..)) => false,
    };
    if kind == Kind::Terminate && nothing && !epilog {
        agent.jobs.ended(id);
        return answer(rc::AGENT_JOB_COMPLETE);
    }
    answer(rc::OK);
    let agent = Arc::clone(agent);
    jobs::spawn("end", move || {
        match kind {
            Kind::Abort => forget(&agent, id),
            _ => terminate(&agent, &setup, &kill, kind),
        }
        let code = if epilog { run_epilog(&agent, &setup, &kill) } else { 0 };
        agent.jobs.ended(id);
        if kind != Kind::Abort {
            tell(&setup, id, code);
        }
    });
}

fn tell(setup: &Setup, job_id: u32, return_code: u32) {
    let node_name = setup.node.name.as_str().into();
    let done = EpilogDone { job_id, return_code, node_name };
    if let Err(why) = controllers::tell(setup, &Message::EpilogDone(Box::new(done))) {
        info!("job {job_id}: no controller is told that nothing is left, until one asks: {why}");
    }
}

fn terminate(agent: &Agent, setup: &Setup, kill: &KillJob, kind: Kind) {
    let id = kill.step_id.job_id;
    let folder = agent.jobs.folder(id);
    if matches!(agent.jobs.state(id), Some((State::Runs, ..))) {
        if let Some(why) = why(kill, kind) {
            orders::give(&folder, Order::Tell(why), Some(ORDER));
        }
        for number in [libc::SIGCONT, libc::SIGTERM] {
            orders::give(&folder, Order::Signal(number, Whom::All), Some(ORDER));
        }
        let grace = setup.conf.number("KillWait").max(GRACE_MIN_S);
        let mut over = agent.jobs.wait_over(id, Duration::from_secs(grace));
        while !over {
            orders::give(&folder, Order::Signal(libc::SIGKILL, Whom::All), Some(ORDER));
            over = agent.jobs.wait_over(id, AGAIN);
        }
    }
    agent.jobs.wait_gone(id, REPORT);
}

/// What the user is told, as Slurm numbers it.
fn why(kill: &KillJob, kind: Kind) -> Option<u16> {
    match kill.job_state & job::BASE {
        _ if kind == Kind::TimeLimit => Some(TIME_LIMIT),
        job::PENDING => Some(993),
        job::NODE_FAIL => Some(998),
        job::FAILED => Some(999),
        _ => None,
    }
}

fn forget(agent: &Agent, id: u32) {
    let folder = agent.jobs.folder(id);
    while !agent.jobs.supersede(id) {
        orders::give(&folder, Order::Forget, Some(ORDER));
        agent.jobs.wait_over(id, AGAIN);
    }
}

fn run_epilog(agent: &Agent, setup: &Setup, kill: &KillJob) -> u32 {
    let (id, mut about) = (kill.step_id.job_id, About::default());
    let user = User::from_uid(kill.job_uid.into()).ok().flatten();
    let user = user.map_or_else(|| kill.job_uid.to_string(), |user| user.name);
    for entry in &kill.spank_job_env {
        if let Some((name, value)) = entry.lossy().split_once('=')
            && name.starts_with("SPANK_")
        {
            about.set(name, value);
        }
    }
    let (status, signal) = (kill.exit_code >> 8 & 0xff, kill.exit_code & 0x7f);
    for (name, value) in [
        ("SLURMD_NODENAME", setup.node.name.clone()),
        ("SLURM_CONF", setup.conf.path.display().to_string()),
        ("SLURM_CLUSTER_NAME", setup.conf.text("ClusterName").unwrap_or("").to_owned()),
        ("SLURM_JOB_ID", id.to_string()),
        ("SLURM_JOBID", id.to_string()),
        ("SLURM_JOB_UID", kill.job_uid.to_string()),
        ("SLURM_UID", kill.job_uid.to_string()),
        ("SLURM_JOB_GID", kill.job_gid.to_string()),
        ("SLURM_JOB_USER", user),
        ("SLURM_JOB_WORK_DIR", kill.work_dir.lossy().into_owned()),
        ("SLURM_NODELIST", kill.nodes.lossy().into_owned()),
        ("SLURM_SCRIPT_CONTEXT", "epilog_slurmd".to_owned()),
        ("SLURM_JOB_DERIVED_EC", kill.derived_ec.to_string()),
        ("SLURM_JOB_EXIT_CODE", kill.exit_code.to_string()),
        ("SLURM_JOB_EXIT_CODE2", format!("{status}:{signal}")),
    ] {
        about.set(name, value);
    }
    if let Some(Ok(cred)) = kill.cred.0.as_ref().map(|signed| signed.cred()) {
        about.permitted(&cred);
    }
    let pattern = setup.conf.text("Epilog").unwrap_or("");
    let limit = Some(setup.conf.number("PrologEpilogTimeout")).filter(|s| *s < 65_534);
    let outcome = scripts::run("epilog", pattern, &about, limit);
    agent.past.epilog_ran(id, kill.start_time.0);
    if outcome.is_err() { EPILOG_FAILED } else { 0 }
}

/// Signals a job; the return code.
pub fn signal(agent: &Arc<Agent>, from: u32, tasks: &SignalTasks, kill: bool) -> u32 {
    let id = tasks.step_id.job_id;
    let setup = agent.setup();
    let Some((State::Runs, _, uid)) = agent.jobs.state(id) else { return rc::JOB };
    if from != uid && !setup.commands(from) {
        return rc::USER;
    }
    let whom = match tasks.flags {
        flags if flags & TO_GROUP != 0 => Whom::Group,
        flags if flags & TO_SCRIPT != 0 => Whom::Script,
        flags if flags & NOT_SCRIPT != 0 => return rc::OK,
        _ if !matches!(tasks.step_id.step_id, step::BATCH | step::NONE) => return rc::JOB,
        _ => Whom::All,
    };
    let folder = agent.jobs.folder(id);
    let give = |number: i32| orders::give(&folder, Order::Signal(number, whom), Some(ORDER));
    let given = match tasks.signal {
        _ if kill => give(libc::SIGKILL),
        TERM_KILL => {
            let (agent, wait) = (Arc::clone(agent), setup.conf.number("KillWait"));
            give(libc::SIGCONT);
            let given = give(libc::SIGTERM);
            jobs::spawn("kill", move || {
                if !agent.jobs.wait_over(id, Duration::from_secs(wait)) {
                    let order = Order::Signal(libc::SIGKILL, Whom::All);
                    orders::give(&agent.jobs.folder(id), order, Some(ORDER));
                }
            });
            given
        }
        number @ 1..=64 => give(number.into()),
        why => orders::give(&folder, Order::Tell(why), Some(ORDER)),
    };
    if given { rc::OK } else { rc::AGENT_NOT_RUNNING }
}

/// Suspends (0) or resumes (1) a job, in the background; the return code.
pub fn suspend(agent: &Arc<Agent>, id: u32, operation: u16) -> u32 {
    let order = match operation {
        0 => Order::Stop,
        1 => Order::GoOn,
        _ => return rc::UNSUPPORTED,
    };
    let agent = Arc::clone(agent);
    jobs::spawn("suspend", move || {
        if !orders::give(&agent.jobs.folder(id), order, Some(ORDER)) {
            info!("job {id} does not run: {order:?} is not for it");
        }
    });
    rc::OK
}
