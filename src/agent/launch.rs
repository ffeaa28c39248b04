//! Starting a batch job (4005).
//!
//! | what is here | answer |
//! |---|---|
//! | nothing | a folder and a supervisor are made, then 0 |
//! | this very run, in any state | 0: the controller asks again because an answer was lost |
//! | an earlier run that still runs | 2011: it is not started twice |
//! | an earlier run's end that nobody has taken | it is forgotten (the controller has moved on), and 0 |
//! | a terminate with a later time | 4008 |
//!
//! Invariant: 0 is answered only when a supervisor has locked the folder.

use crate::agent::jobs::{Run, State};
use crate::agent::log::{self, error, info};
use crate::agent::permission;
use crate::agent::serve::Agent;
use crate::agent::setup::Setup;
use crate::agent::spool::Brief;
use crate::agent::tree;
use crate::slurm::wire::constants::{rc, select};
use crate::slurm::wire::tables::{Cred, Launch};
use crate::slurm::wire::{Text, Time, Version};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::{self, Read};
use std::process::{Command, Stdio};

/// Slurm's number: a job of that id is here.
const DUPLICATE: u32 = 2011;
/// Slurm's number: its folder could not be made.
const FOLDER: u32 = 4010;
/// Slurm's number: it cannot be that user.
const USER: u32 = 4016;
/// How long a login may take, if GetEnvTimeout does not say: as Slurm's own agent has it.
const LOGIN_S: u32 = 120;
/// In amounts of memory: for each CPU.
const PER_CPU: u64 = 1 << 63;

/// Starts a job, and answers. That it is started is logged once the answer is on its way: whoever
/// ends the agent after that line leaves no launch that a controller thinks has failed.
pub fn launch(agent: &Agent, launch: Launch, answer: impl FnOnce(u32)) {
    let (id, uid) = (launch.job_id, launch.uid);
    let code = begin(agent, launch);
    answer(code);
    if code == rc::OK {
        info!("job {id} is started for uid {uid}");
    }
}

fn begin(agent: &Agent, mut launch: Launch) -> u32 {
    let (id, setup) = (launch.job_id, agent.setup());
    if !agent.past.obeys(&launch.spank_job_env) {
        error!("job {id}: a launch by a controller that another one has replaced");
        return rc::STANDBY;
    }
    let cred = match permission::check(&setup, &launch) {
        Ok(cred) => cred,
        Err((code, why)) => {
            error!("job {id}: its permission is refused: {why}");
            return code;
        }
    };
    let own = rustix::process::geteuid().as_raw();
    if own != 0 && own != launch.uid {
        error!("job {id} is of uid {}: only root runs jobs of others", launch.uid);
        return USER;
    }
    let run = Run { permitted_at: cred.ctime.0, restarts: launch.restart_cnt };
    let _one = agent.launching.lock().expect("nobody panics with it");
    if let Some((state, known, _)) = agent.jobs.state(id) {
        if known == run {
            return rc::OK;
        }
        if state == State::Runs || !agent.jobs.supersede(id) {
            error!("job {id} runs: it is not started twice");
            return DUPLICATE;
        }
    }
    if agent.past.is_void(id, cred.ctime.0) {
        info!("job {id}: its launch was taken back before it came");
        return rc::AGENT_REVOKED;
    }
    let script = std::mem::take(&mut launch.script);
    let brief = brief(&setup, launch, &cred);
    match supervise(agent, id, run, &brief, script.bytes()) {
        Ok(()) => rc::OK,
        Err(why) => {
            error!("job {id} cannot be started: {why}");
            FOLDER
        }
    }
}

fn supervise(agent: &Agent, id: u32, run: Run, brief: &Brief, script: &[u8]) -> io::Result<()> {
    let folder = agent.jobs.folder(id);
    folder.make(brief, script)?;
    let supervised = || {
        let mut command = Command::new("/proc/self/exe");
        if log::is_syslog() {
            command.env(log::SYSLOG_MARK, "1");
        }
        let mut child = command
            .arg("--supervise")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ready = child.stdout.take().expect("it is piped");
        let descriptor = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
        match (ready.read_exact(&mut [0]), descriptor) {
            (Ok(()), Ok(descriptor)) => Ok((child, descriptor)),
            (_, descriptor) => {
                let _ = child.kill();
                let ended = child.wait()?;
                Err(io::Error::other(format!("its supervisor: {ended}, {descriptor:?}")))
            }
        }
    };
    match supervised() {
        Ok((child, descriptor)) => {
            agent.jobs.begin(id, run, brief.launch.uid, child, descriptor);
            Ok(())
        }
        Err(why) => {
            folder.remove()?;
            Err(why)
        }
    }
}

fn brief(setup: &Setup, mut launch: Launch, cred: &Cred) -> Brief {
    let conf = &setup.conf;
    let text = |name: &str| Text::from(conf.text(name).unwrap_or(""));
    let seconds = |name: &str| u32::try_from(conf.number(name)).unwrap_or(u32::MAX);
    let limit = seconds("PrologEpilogTimeout");
    if !cred.gids.is_empty() {
        launch.gids = cred.gids.clone();
    }
    if !cred.pw_name.is_none() {
        launch.user_name = cred.pw_name.clone();
    }
    Brief {
        conf: absolute(setup).into(),
        node: setup.node.name.as_str().into(),
        host: setup.host.as_str().into(),
        cluster: text("ClusterName"),
        working_cluster: working_cluster(setup).into(),
        prolog: text("Prolog"),
        script_timeout_s: if limit >= 65_534 { u32::MAX } else { limit },
        unkillable_s: seconds("UnkillableStepTimeout"),
        kill_wait_s: seconds("KillWait"),
        append: u8::from(conf.number("JobFileAppend") != 0),
        memory_mb: memory_mb(&launch, cred),
        propagate: text("PropagateResourceLimits"),
        propagate_except: text("PropagateResourceLimitsExcept"),
        cgroup: tree::groups().and_then(|path| Some(path.to_str()?.into())).unwrap_or_default(),
        permitted_at: Time(cred.ctime.0),
        login_s: if conf.says("GetEnvTimeout") { seconds("GetEnvTimeout") } else { LOGIN_S },
        launch,
    }
}

/// Jobs find slurm.conf from wherever they are.
fn absolute(setup: &Setup) -> String {
    let path = &setup.conf.path;
    std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
}

/// `cluster:address:port:protocol:select plugin`, for clients in the job.
fn working_cluster(setup: &Setup) -> String {
    let conf = &setup.conf;
    let plugin = match conf.text("SelectType").unwrap_or("") {
        "select/cons_res" => select::CONS_RES,
        "select/cons_tres" => select::CONS_TRES,
        _ => select::LINEAR,
    };
    let cluster = conf.text("ClusterName").unwrap_or("");
    let address = conf.controllers.first().map_or("", |host| host.address.as_str());
    format!("{cluster}:{address}:{}:{}:{plugin}", conf.ports().0, Version::NEWEST.0)
}

fn memory_mb(launch: &Launch, cred: &Cred) -> u64 {
    let group = cred.step_memory.0.first().or(cred.job_memory.0.first());
    let amount = group.map_or(0, |group| group.memory_mb);
    if amount & PER_CPU == 0 {
        return amount;
    }
    let cpus = launch.cpu_groups.0.first().map_or(1, |group| group.cpus);
    (amount & !PER_CPU).saturating_mul(cpus.into())
}
