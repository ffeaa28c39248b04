//! One question to the agent of one node, and what its answer, or its silence, says of the node.
//!
//! Invariants: at most [`QUESTIONS_MAX`] are under way; each ends within TCPTimeout and
//! MessageTimeout; whatever a node answers, it lives.

use crate::controller::agents::Agents;
use crate::controller::core::{Command, agents, known};
use crate::controller::service::now;
use crate::slurm::auth::To;
use crate::slurm::conf::{Conf, Node};
use crate::slurm::link::{self, LinkError, Times, tell};
use crate::slurm::wire::Message;
use crate::slurm::wire::constants::node;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// Questions at a time: each has a thread that waits.
pub const QUESTIONS_MAX: usize = 64;

/// What came of a question.
#[derive(Debug)]
pub enum Said {
    /// This.
    Answer(Message),
    /// Nobody was reached: nobody knows of the question.
    Unreached,
    /// Nobody knows whether it arrived.
    Silence,
}

impl Said {
    /// The code that was answered.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        match self {
            Said::Answer(Message::ReturnCode(code)) => Some(code.return_code),
            _ => None,
        }
    }
}

fn times(conf: &Conf) -> Times {
    let seconds = |name| Duration::from_secs(conf.number(name).clamp(1, 65_535));
    Times { connect: seconds("TCPTimeout"), answer: seconds("MessageTimeout") }
}

impl Agents {
    /// Asks the agent of a node.
    pub async fn ask(self: &Arc<Self>, conf: &Conf, of: &Node, message: Message) -> Said {
        let place = self.places.acquire().await.expect("it is never closed");
        let (service, times) = (Arc::clone(&self.service), times(conf));
        let (address, port) = (of.address.clone(), of.port);
        let kind = message.kind();
        let asked = now();
        let answered = spawn_blocking(move || {
            // Right before it leaves: what was queued by a controller that was deposed is dropped.
            if !service.still_reigns() {
                return None;
            }
            let may = |uid| service.is_agents(uid);
            Some(link::ask(service.auth(), (&address, port), &message, To::Anybody, times, may))
        });
        let answered = answered.await.expect("a question does not panic");
        drop(place);
        let Some(answered) = answered else { return Said::Silence };
        match answered {
            Ok(answer) => {
                self.lives(of, &answer).await;
                Said::Answer(answer)
            }
            Err(error) => {
                tracing::debug!("node {}, message {kind}: {error}", of.name);
                if let LinkError::Stranger(_) = error {
                    tracing::error!("node {} is not heard: {error}", of.name);
                }
                if matches!(error, LinkError::Auth(_) | LinkError::Wire(_)) {
                    tracing::error!("node {} answers message {kind}: {error}", of.name);
                    self.service.pulse().heard(&of.name, asked - 1);
                }
                self.is_silent(of, asked).await;
                let unreached = matches!(error, LinkError::Connect(..));
                if unreached { Said::Unreached } else { Said::Silence }
            }
        }
    }

    /// Tells the agent of a node something that it does not answer.
    pub async fn tell(self: &Arc<Self>, conf: &Conf, of: &Node, message: Message) {
        let _place = self.places.acquire().await.expect("it is never closed");
        let (service, times) = (Arc::clone(&self.service), times(conf));
        let (address, port, name) = (of.address.clone(), of.port, of.name.clone());
        let told = spawn_blocking(move || {
            if !service.still_reigns() {
                return Ok(());
            }
            tell(service.auth(), (&address, port), &message, To::Anybody, times)
                .map_err(|error| tracing::debug!("node {name}: {error}"))
        });
        let _ = told.await;
    }

    async fn lives(self: &Arc<Self>, of: &Node, answer: &Message) {
        let pulse = self.service.pulse();
        pulse.heard(&of.name, now());
        if let Message::AgentLoad(load) = answer {
            pulse.is_loaded(&of.name, load.cpu_load, load.free_mem);
        }
        let (conf, state) = self.service.durable();
        if agents::may_return(&conf, &known(&state, of)) {
            self.command(Command::Answered { nodes: vec![of.name.clone()] }).await;
        }
    }

    async fn is_silent(self: &Arc<Self>, of: &Node, asked: i64) {
        let (_, state) = self.service.durable();
        let known_silent = known(&state, of).state & node::NO_RESPOND != 0;
        if !known_silent && self.service.pulse().of(&of.name).heard < asked {
            self.command(Command::Silent { nodes: vec![of.name.clone()], down: false }).await;
        }
    }
}
