//! Prologs that agents run before anything of a job is launched (6017), where PrologFlags has Alloc
//! or a flag that implies it.
//!
//! A slurmd with that flag runs no prolog by itself: it keeps a launch waiting until this message
//! has come, and refuses it after twice MessageTimeout. How a prolog ended is told apart (6018),
//! and where it failed as after any other launch: 5023, and a registration with status 4022.
//!
//! Invariant: the batch host is asked first, and where nobody is reached there, nobody knows of it.

use crate::controller::agents::Agents;
use crate::controller::agents::ask::Said;
use crate::controller::agents::permission::{hosts, sign};
use crate::controller::core::agents;
use crate::controller::job::Job;
use crate::controller::service::now;
use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::step;
use crate::slurm::wire::tables::Prolog;
use crate::slurm::wire::{Message, Text};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// In PrologFlags: agents are told when a prolog is to run.
const ALLOC: u64 = 1;

impl Agents {
    /// Has the prologs of a job begun, if agents want to be told; what the batch host said. `None`:
    /// nothing is to be told.
    pub(super) async fn prologs(
        self: &Arc<Self>,
        conf: &Arc<Conf>,
        job: &Arc<Job>,
    ) -> Option<Said> {
        if conf.bits("PrologFlags") & ALLOC == 0 {
            return None;
        }
        let message = self.prolog(conf, job).await?;
        let host = agents::node_of(conf, &job.course.batch_host.lossy())?;
        let said = self.ask(conf, host, message.clone()).await;
        if matches!(said, Said::Answer(_)) {
            let shares = job.course.shares.iter().map(|share| share.node.clone());
            let others: Vec<Text> = shares.filter(|node| *node != job.course.batch_host).collect();
            self.tell_all(&others, message).await;
        }
        Some(said)
    }

    /// The message. `None`: no permission can be made, which the launch finds out, too.
    async fn prolog(self: &Arc<Self>, conf: &Arc<Conf>, job: &Arc<Job>) -> Option<Message> {
        let (agents, conf, job) = (Arc::clone(self), Arc::clone(conf), Arc::clone(job));
        let built = spawn_blocking(move || {
            let cred = sign(agents.service.auth(), &conf, &job, step::EXTERN, now()).ok()?;
            let payload = agents.service.payload(job.script_id()).ok()?;
            Some(Message::Prolog(Box::new(Prolog {
                job_id: job.id,
                uid: job.spec.user_id,
                gid: job.spec.group_id,
                nodes: hosts(&job.course.shares),
                std_err: job.spec.std_err.clone(),
                std_out: job.spec.std_out.clone(),
                work_dir: job.spec.work_dir.clone(),
                spank_job_env: payload.spank_job_env,
                cred,
                user_name: job.course.user_name.clone(),
                ..Prolog::default()
            })))
        });
        built.await.expect("building a message does not panic")
    }
}
