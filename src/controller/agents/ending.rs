//! What agents are told to end a job (6011), to end it at its limit (6009), to abort it (6013).

use crate::controller::agents::Agents;
use crate::controller::agents::permission::{hosts, select, sign};
use crate::controller::core::Ending;
use crate::controller::job::Job;
use crate::controller::service::now;
use crate::controller::state::State;
use crate::slurm::conf::Conf;
use crate::slurm::hostlist::compress;
use crate::slurm::reign;
use crate::slurm::wire::constants::step;
use crate::slurm::wire::tables::{KillJob, StepId};
use crate::slurm::wire::{Maybe, Message, Text, Time, Unset};
use std::sync::Arc;
use tokio::task::spawn_blocking;

impl Agents {
    /// The message; `None` where it cannot be made, which is asked for again.
    pub(super) async fn ending(
        self: &Arc<Self>,
        conf: &Arc<Conf>,
        state: &State,
        id: u32,
        nodes: &[Text],
        how: Ending,
    ) -> Option<Message> {
        let body = match state.job(id).filter(|job| !job.course.shares.is_empty()) {
            Some(job) => self.known(conf, job).await?,
            None => unknown(self.service.epoch(), id, nodes),
        };
        let body = Box::new(body);
        Some(match how {
            Ending::Terminate => Message::TerminateJob(body),
            Ending::TimeLimit => Message::KillTimeLimit(body),
            Ending::Abort => Message::AbortJob(body),
        })
    }

    async fn known(self: &Arc<Self>, conf: &Arc<Conf>, job: &Arc<Job>) -> Option<KillJob> {
        let (agents, conf, job) = (Arc::clone(self), Arc::clone(conf), Arc::clone(job));
        let built = spawn_blocking(move || {
            let now = now();
            let cred = sign(agents.service.auth(), &conf, &job, step::NONE, now);
            let cred = cred.map_err(|error| {
                tracing::error!("job {}: no permission can be made: {error}", job.id);
            });
            // An epilog may want what the submission brought for it.
            let epilog = conf.text("Epilog").is_some();
            let payload = epilog.then(|| agents.service.payload(job.script_id()).ok()).flatten();
            let brought = payload.map(|payload| payload.spank_job_env).unwrap_or_default();
            let epoch = agents.service.epoch();
            Some(KillJob {
                cred: Maybe(Some(Box::new(cred.ok()?))),
                details: job.course.state_desc.clone(),
                derived_ec: job.course.derived_ec,
                exit_code: job.course.exit_code,
                job_state: job.course.state,
                job_uid: job.spec.user_id,
                job_gid: job.spec.group_id,
                nodes: hosts(&job.course.shares),
                select_jobinfo: select(&conf),
                spank_job_env: reign::with(epoch, brought),
                start_time: job.course.start_time,
                work_dir: job.spec.work_dir.clone(),
                ..bare(epoch, job.id, now)
            })
        });
        built.await.expect("building a message does not panic")
    }
}

fn bare(epoch: u64, id: u32, now: i64) -> KillJob {
    let step_id = StepId { job_id: id, step_id: step::NONE, step_het_comp: u32::UNSET };
    let spank_job_env = reign::with(epoch, Vec::new());
    KillJob { step_id, spank_job_env, time: Time(now), ..KillJob::default() }
}

fn unknown(epoch: u64, id: u32, nodes: &[Text]) -> KillJob {
    let names: Vec<_> = nodes.iter().map(Text::lossy).collect();
    let nodes = compress(names.iter().map(AsRef::as_ref)).into();
    KillJob { nodes, ..bare(epoch, id, now()) }
}
