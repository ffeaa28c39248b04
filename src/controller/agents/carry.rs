//! Effects, in the order of the changes that they follow from.

use crate::controller::agents::Agents;
use crate::controller::agents::ask::Said;
use crate::controller::core::{Command, Effect, Ending, Order, agents, known, signals};
use crate::controller::state::State;
use crate::controller::vital;
use crate::slurm::conf::{Conf, Initial};
use crate::slurm::wire::constants::{node, rc, step};
use crate::slurm::wire::tables::{EpilogDone, SignalTasks, StepId, SuspendTasks};
use crate::slurm::wire::{Message, Text, Unset};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// In a request to signal: batch script, steps, or all of the job.
const WHOM: u16 = 0x1 | 0x4 | 0x8;
/// How long a node is waited for that has not registered yet.
const SAYS_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(10);
/// The line of what all agents are told: no job has this id.
pub const ALL: u32 = 0;
/// The steps, not the batch script.
const STEPS_ONLY: u16 = 0x4;

/// Carries out effects until there are no more, or until somebody says that it ends: then those
/// that there are.
pub async fn all(
    agents: Arc<Agents>,
    mut effects: mpsc::UnboundedReceiver<Effect>,
    mut ends: oneshot::Receiver<()>,
) {
    loop {
        tokio::select! {
            effect = effects.recv() => match effect {
                Some(effect) => agents.take(effect),
                None => return,
            },
            _ = &mut ends => break,
        }
    }
    while let Ok(effect) = effects.try_recv() {
        agents.take(effect);
    }
}

fn job_of(effect: &Effect) -> Option<u32> {
    match effect {
        Effect::Launch { job }
        | Effect::End { job, .. }
        | Effect::Signal { job, .. }
        | Effect::Suspend { job, .. } => Some(*job),
        // Nobody's job: what all are told stands in a line of its own.
        Effect::PassOn { .. } => Some(ALL),
        Effect::Note(_) | Effect::Register { .. } | Effect::Schedule => None,
    }
}

impl Agents {
    pub(super) fn take(self: &Arc<Self>, effect: Effect) {
        match job_of(&effect) {
            Some(job) => self.stand(job, effect),
            None => match effect {
                Effect::Note(note) => tracing::info!("{note}"),
                Effect::Schedule => self.bell.ring(),
                Effect::Register { nodes } => self.register(nodes),
                _ => unreachable!("it is about a job"),
            },
        }
    }

    /// Stands in the job's line, and works it off if nobody does.
    pub(super) fn stand(self: &Arc<Self>, job: u32, effect: Effect) {
        let Some(first) = self.lines.stand(job, effect) else { return };
        let agents = Arc::clone(self);
        vital::request(async move {
            let mut next = Some(first);
            while let Some(effect) = next {
                agents.carry_out(effect).await;
                next = agents.lines.next(job);
            }
        });
    }

    fn register(self: &Arc<Self>, nodes: Vec<String>) {
        let (conf, _) = self.service.durable();
        for name in nodes {
            let (agents, conf) = (Arc::clone(self), Arc::clone(&conf));
            vital::request(async move {
                if let Some(of) = agents::node_of(&conf, &name) {
                    agents.ask(&conf, of, Message::Register).await;
                }
            });
        }
    }

    async fn carry_out(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::Launch { job } => self.launch(job).await,
            Effect::End { job, nodes, how, .. } => self.end(job, nodes, how).await,
            Effect::Signal { job, nodes, step, signal, flags } => {
                let flags = if step == step::NONE && flags & WHOM == 0 {
                    flags | STEPS_ONLY
                } else {
                    flags
                };
                let step_id = StepId { job_id: job, step_id: step, step_het_comp: u32::UNSET };
                let message =
                    Message::SignalTasks(Box::new(SignalTasks { step_id, flags, signal }));
                let said = self.tell_all(&nodes, message).await;
                if signals::matters(signal) {
                    let taken = said.iter().any(|(_, said)| said.code() == Some(rc::OK));
                    self.service.command(Command::Signalled { job, signal, taken }).await;
                }
            }
            Effect::Suspend { job, nodes, op } => {
                let tasks = SuspendTasks {
                    job_core_spec: u16::UNSET,
                    job_id: job,
                    op,
                    ..SuspendTasks::default()
                };
                self.tell_all(&nodes, Message::SuspendTasks(Box::new(tasks))).await;
            }
            Effect::PassOn { order } => self.pass_on(order).await,
            Effect::Note(_) | Effect::Register { .. } | Effect::Schedule => {}
        }
    }

    /// Tells every agent, which does not answer this.
    async fn pass_on(self: &Arc<Self>, order: Order) {
        let (conf, _) = self.service.durable();
        let mut telling = JoinSet::new();
        for of in conf.nodes.iter().filter(|of| of.initial != Initial::Future) {
            let (agents, conf, of) = (Arc::clone(self), Arc::clone(&conf), of.clone());
            let message = match order {
                Order::Reconfigure => Message::Reconfigure,
                Order::Shutdown => Message::Shutdown(Box::default()),
            };
            telling.spawn(async move { agents.tell(&conf, &of, message).await });
        }
        telling.join_all().await;
    }

    /// Says the same to several nodes; their answers, by node.
    pub(super) async fn tell_all(
        self: &Arc<Self>,
        nodes: &[Text],
        message: Message,
    ) -> Vec<(Text, Said)> {
        let (conf, _) = self.service.durable();
        let mut asking = JoinSet::new();
        for node in nodes {
            let (agents, conf) = (Arc::clone(self), Arc::clone(&conf));
            let (node, message) = (node.clone(), message.clone());
            asking.spawn(async move {
                match agents::node_of(&conf, &node.lossy()) {
                    Some(of) => {
                        let said = agents.ask(&conf, of, message).await;
                        (node, said)
                    }
                    None => (node, Said::Unreached),
                }
            });
        }
        asking.join_all().await
    }

    async fn end(self: &Arc<Self>, id: u32, nodes: Vec<Text>, how: Ending) {
        let (conf, state) = self.service.durable();
        let nodes: Vec<Text> =
            nodes.into_iter().filter(|node| !runs_there(&state, id, node)).collect();
        let (nodes, gone): (Vec<Text>, Vec<Text>) =
            nodes.into_iter().partition(|node| agents::node_of(&conf, &node.lossy()).is_some());
        for node in gone {
            // It left slurm.conf: nobody will ever say so.
            self.nothing_left(id, node).await;
        }
        if nodes.is_empty() {
            return;
        }
        let Some(message) = self.ending(&conf, &state, id, &nodes, how).await else { return };
        for (node, said) in self.tell_all(&nodes, message).await {
            match said.code() {
                Some(rc::AGENT_JOB_COMPLETE) if how != Ending::Abort => {
                    self.nothing_left(id, node).await;
                }
                Some(rc::STANDBY) => {
                    let (node, epoch) = (node.lossy(), self.service.epoch());
                    tracing::error!(
                        "node {node} does not end job {id}: its agent has obeyed a later \
                         controller than this one of epoch {epoch}; next: see the agent's log"
                    );
                }
                _ => {}
            }
        }
    }

    async fn nothing_left(self: &Arc<Self>, job_id: u32, node_name: Text) {
        let done = EpilogDone { job_id, return_code: rc::OK, node_name };
        self.command(Command::EpilogDone { done: Box::new(done) }).await;
    }

    /// Waits until a node has said what it has since this controller began: a state that is behind,
    /// as an old disk's is, starts what runs there already, and an unmodified slurmd that is told
    /// so twice asks for an end of it. One that says nothing is not waited for long.
    async fn has_said(self: &Arc<Self>, name: &Text) {
        let until = Instant::now() + SAYS_WITHIN;
        loop {
            let (conf, state) = self.service.durable();
            let Some(of) = agents::node_of(&conf, &name.lossy()) else { return };
            let record = known(&state, of);
            let said = record.registered.0 >= self.service.started();
            if said || record.state & node::NO_RESPOND != 0 || Instant::now() >= until {
                return;
            }
            sleep(LOOK).await;
        }
    }

    async fn launch(self: &Arc<Self>, id: u32) {
        let (_, state) = self.service.durable();
        let Some(job) = state.job(id).filter(|job| job.is_active()) else { return };
        self.has_said(&job.course.batch_host).await;
        let (conf, state) = self.service.durable();
        let Some(job) = state.job(id).filter(|job| job.is_active()).cloned() else { return };
        let (node, launch) = (job.course.batch_host.clone(), job.course.launches);
        if job.course.confirmed == launch {
            return;
        }
        let _under_way = self.service.launching().begin(id);
        match self.prologs(&conf, &job).await {
            None | Some(Said::Answer(_)) => {}
            Some(Said::Silence) => return,
            Some(Said::Unreached) => {
                let launched = Command::Launched { job: id, launch, node, code: None };
                self.command(launched).await;
                return;
            }
        }
        let code = match agents::node_of(&conf, &node.lossy()) {
            Some(of) => match self.launching(&conf, &job).await {
                Ok(message) => match self.ask(&conf, of, message).await {
                    Said::Unreached => None,
                    Said::Silence => return,
                    answer => match answer.code() {
                        Some(code) => Some(code),
                        None => return,
                    },
                },
                Err(code) => Some(code),
            },
            None => None,
        };
        self.command(Command::Launched { job: id, launch, node, code }).await;
    }
}

/// Whether a job runs on a node, as far as is durable.
fn runs_there(state: &State, id: u32, node: &Text) -> bool {
    state.job(id).is_some_and(|job| {
        job.is_active() && job.course.shares.iter().any(|share| share.node == *node)
    })
}

/// How long an end may take before it is asked for again: the time that jobs have to end, and the
/// agents to answer.
pub fn patience(conf: &Conf) -> i64 {
    let seconds = |name| i64::try_from(conf.number(name)).unwrap_or(0);
    seconds("KillWait") + 2 * seconds("MessageTimeout")
}
