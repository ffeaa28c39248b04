//! The controller's side of its agents: what was decided is carried out, and the nodes are asked,
//! round after round, how they are.
//!
//! - `carry` carries effects out: launches, ends, signals.
//! - `rounds` pings, asks for registrations, for health checks; sends again what was not answered.
//! - [`ask`] is one question to one node.
//! - `permission`, `prolog`, `launch` and `ending` build what is sent.
//! - [`launching`] is which launches have not come to anything yet.
//! - [`pulse`] is what was last heard.
//!
//! Invariants:
//! - Nothing is sent before the change that it follows from is durable.
//! - What is about one job is sent in the order in which it was decided (`lines`).
//! - A job is launched at most once for each of its starts. When nobody knows whether a launch
//!   arrived, nothing is sent again: the node's registration shows whether it has the job.
//! - A job is never ended on a node where, as far as is durable, it runs.
//! - What the network answers comes back as a command, and counts as any other.

use crate::controller::core::{Command, Effect};
use crate::controller::sched::run::Bell;
use crate::controller::service::{Service, now};
use crate::controller::vital;
use crate::slurm::wire::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

pub mod ask;
mod carry;
mod ending;
mod launch;
pub mod launching;
mod lines;
mod permission;
mod prolog;
pub mod pulse;
mod rounds;

/// How long what is under way may take when the controller ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// The controller's side of its agents.
pub struct Agents {
    service: Arc<Service>,
    places: Semaphore,
    lines: lines::Lines<Effect>,
    bell: Bell,
    /// When this controller began.
    began: i64,
}

/// Tasks that end with the controller.
pub struct Running {
    agents: Arc<Agents>,
    /// Takes effects, until it is told to take those that are there and no more.
    carries: (JoinHandle<()>, oneshot::Sender<()>),
    tasks: Vec<JoinHandle<()>>,
}

/// Starts. The bell rings when the scheduler may find something.
pub fn start(
    service: &Arc<Service>,
    effects: mpsc::UnboundedReceiver<Effect>,
    bell: Bell,
) -> Running {
    let agents = Arc::new(Agents {
        service: Arc::clone(service),
        places: Semaphore::new(ask::QUESTIONS_MAX),
        lines: lines::Lines::default(),
        bell,
        began: now(),
    });
    let (end, ends) = oneshot::channel();
    let carries = (vital::task("carry", carry::all(Arc::clone(&agents), effects, ends)), end);
    let tasks = vec![
        vital::task("pings", rounds::pings(Arc::clone(&agents))),
        vital::task("clock", rounds::clock(Arc::clone(&agents))),
    ];
    Running { agents, carries, tasks }
}

impl Running {
    /// Ends: what is under way is finished, if that does not take long. What is not is known after
    /// the next start.
    pub async fn finish(self) {
        self.finish_within(FAREWELL).await;
    }

    /// As [`Running::finish`], with another idea of what is long: not for what is passed on to all
    /// agents, which nobody does later.
    pub async fn finish_within(self, limit: Duration) {
        let began = tokio::time::Instant::now();
        let (carries, end) = self.carries;
        // What was decided, and is in nobody's line yet, is not forgotten.
        let _ = end.send(());
        let _ = carries.await;
        let lines = &self.agents.lines;
        let waits = |limit: Duration| began.elapsed() < limit;
        while !lines.is_empty() && waits(limit) || lines.has(carry::ALL) && waits(FAREWELL) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Agents {
    async fn command(self: &Arc<Self>, command: Command) -> Message {
        self.service.command(command).await
    }
}
