//! What an agent is told to start a batch script (4005).

use crate::controller::agents::Agents;
use crate::controller::agents::permission::{cpus, hosts, select, sign};
use crate::controller::job::{Job, Payload};
use crate::controller::service::now;
use crate::slurm::conf::Conf;
use crate::slurm::reign;
use crate::slurm::wire::constants::step;
use crate::slurm::wire::tables::{Launch, SignedCred, Versioned};
use crate::slurm::wire::{Message, Unset};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Slurm's code for a script that cannot be had.
const NO_SCRIPT: u32 = 4012;
/// Slurm's code for a permission that cannot be made.
const NO_PERMISSION: u32 = 4004;

impl Agents {
    /// The message; a code, where it cannot be made.
    pub(super) async fn launching(
        self: &Arc<Self>,
        conf: &Arc<Conf>,
        job: &Arc<Job>,
    ) -> Result<Message, u32> {
        let (agents, conf, job) = (Arc::clone(self), Arc::clone(conf), Arc::clone(job));
        let built = spawn_blocking(move || {
            let mut payload = agents.service.payload(job.script_id()).map_err(|error| {
                tracing::error!("job {}: its script is not there: {error}", job.id);
                NO_SCRIPT
            })?;
            let brought = std::mem::take(&mut payload.spank_job_env);
            payload.spank_job_env = reign::with(agents.service.epoch(), brought);
            let cred = sign(agents.service.auth(), &conf, &job, step::BATCH, now());
            let cred = cred.map_err(|error| {
                tracing::error!("job {}: no permission can be made: {error}", job.id);
                NO_PERMISSION
            })?;
            Ok(launch(&conf, &job, payload, cred))
        });
        built.await.expect("building a message does not panic")
    }
}

fn launch(conf: &Conf, job: &Job, payload: Payload, cred: SignedCred) -> Message {
    let (spec, course) = (&job.spec, &job.course);
    let Payload { script, argv, environment, spank_job_env } = payload;
    let count = |list: usize| u32::try_from(list).expect("bounded by the request's length");
    let memory = spec.pn_min_memory.get().unwrap_or(0);
    Message::Launch(Box::new(Launch {
        job_id: job.id,
        uid: spec.user_id,
        gid: spec.group_id,
        partition: course.partition.clone(),
        ntasks: spec.num_tasks.get().unwrap_or(1),
        pn_min_memory: memory,
        open_mode: spec.open_mode.get().unwrap_or(0),
        overcommit: spec.overcommit.get().unwrap_or(0),
        array_job_id: course.array_job_id,
        array_task_id: course.array_task_id,
        acctg_freq: spec.acctg_freq.clone(),
        container: spec.container.clone(),
        cpus_per_task: spec.cpus_per_task.get().unwrap_or(1),
        restart_cnt: course.restart_cnt,
        job_core_spec: spec.core_spec,
        cpu_groups: cpus(&course.shares),
        nodes: hosts(&course.shares),
        script,
        work_dir: spec.work_dir.clone(),
        std_err: spec.std_err.clone(),
        std_in: spec.std_in.clone(),
        std_out: spec.std_out.clone(),
        argc: count(argv.len()),
        argv,
        spank_job_env,
        envc: count(environment.len()),
        environment,
        job_mem: memory,
        cred: Versioned(cred),
        select_jobinfo: select(conf),
        account: spec.account.clone(),
        qos: spec.qos.clone(),
        resv_name: spec.reservation.clone(),
        profile: spec.profile.get().unwrap_or(0),
        ..Launch::default()
    }))
}
