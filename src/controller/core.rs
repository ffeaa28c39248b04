//! Decides what a command does: `apply` takes configuration, state and command, and gives changes,
//! a reply and what is to be done once the changes are durable. It changes nothing itself.
//!
//! Invariants: a command is done whole or not at all; a refused one changes nothing; the changes,
//! and they alone, lead from one state to the next ([`State::take`]); time comes in as an argument.

use crate::controller::job::Share;
use crate::controller::state::{Change, State};
use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::tables::{
    BatchDone, DeletePartition, EpilogDone, JobDesc, KillRequest, Registration, Requeue, Suspend,
    TopJob, UpdateNode, UpdatePartition,
};
use crate::slurm::wire::{Message, Text};

pub mod agents;
pub mod array;
pub mod array_list;
mod control;
mod cycle;
pub mod deadline;
pub mod dependency;
mod draft;
pub mod ending;
pub mod features;
pub mod ids;
mod nodes;
mod partitions;
mod purge;
mod reread;
pub mod restored;
pub mod review;
pub mod signals;
pub mod size;
mod start;
mod submit;

pub use nodes::{INVALID_NODE_STATE, known, node_features, node_weight, wished};
pub use partitions::{current, members};

/// What a command is decided by.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// The configuration.
    pub conf: &'a Conf,
    /// The state.
    pub state: &'a State,
    /// Seconds since 1970.
    pub now: i64,
}

/// Who asks, as the credential says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// The user's name; empty: nobody knows.
    pub name: String,
    /// Whether this is root or SlurmUser.
    pub admin: bool,
    /// Names of the user's groups.
    pub groups: Vec<String>,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Command {
    /// A batch job. `owner` is whose it is to be, where an administrator submits for another;
    /// `request` is a digest of the request's credential, which is never the same twice: what was
    /// executed is not executed again.
    Submit { desc: Box<JobDesc>, who: Who, owner: Option<Who>, request: Vec<u8> },
    /// Jobs are to be signalled or cancelled.
    Kill { request: Box<KillRequest>, who: Who },
    /// Jobs are to be changed.
    UpdateJob { desc: Box<JobDesc>, who: Who },
    /// Jobs are to be queued again.
    Requeue { request: Box<Requeue>, who: Who },
    /// Jobs are to be stopped for a while, or to go on.
    Suspend { request: Box<Suspend>, who: Who },
    /// Jobs are to be the first of their user.
    Top { request: Box<TopJob>, who: Who },
    /// Nodes are to be changed.
    UpdateNodes { update: Box<UpdateNode>, who: Who },
    /// A partition is to be changed.
    UpdatePartition { update: Box<UpdatePartition>, who: Who },
    /// A partition is to be made.
    CreatePartition { update: Box<UpdatePartition>, who: Who },
    /// A partition is to go.
    DeletePartition { request: Box<DeletePartition>, who: Who },
    /// A controller begins.
    Begin,
    /// slurm.conf was read: at the start, or `again`.
    Read { again: bool },
    /// An agent registers. `heard`: when its node was heard of before; 0: never.
    Register { registration: Box<Registration>, heard: i64 },
    /// Nodes that were silent have answered.
    Answered { nodes: Vec<String> },
    /// Nodes have not answered. `down`: for so long that they count as lost.
    Silent { nodes: Vec<String>, down: bool },
    /// An agent has answered a launch, with Slurm's code; `None`: it could not be reached.
    Launched { job: u32, launch: u32, node: Text, code: Option<u32> },
    /// Agents have answered a signal that stops a job or lets it go on; `taken`: one has passed it
    /// on.
    Signalled { job: u32, signal: u16, taken: bool },
    /// A batch script has ended.
    BatchDone { done: Box<BatchDone> },
    /// A node has nothing left of a job.
    EpilogDone { done: Box<EpilogDone> },
    /// A job is to be started there, if it still waits and the room is still free.
    Start { start: Box<Start> },
    /// Agents are to do as the controller does.
    PassOn { order: Order },
    /// What these jobs wait for of others is to be looked at again.
    Review { jobs: Vec<u32> },
    /// Time has passed.
    Tick,
}

/// What the scheduler has decided about one job. An array gives one task.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The job.
    pub job: u32,
    /// The task of an array.
    pub task: Option<u32>,
    /// The partition, of those that it may run in.
    pub partition: Text,
    /// What it gets, by node, in the order of slurm.conf; the first is the batch host.
    pub shares: Vec<Share>,
}

/// How a job ends on its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Whatever is left is to end, and the epilog to run (6011).
    Terminate,
    /// Nobody knows the job: at once (6013).
    Abort,
    /// Its time is up (6009).
    TimeLimit,
}

/// What agents do with the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Read slurm.conf again.
    Reconfigure,
    /// End.
    Shutdown,
}

/// What is to be done once the changes are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A line in the log.
    Note(String),
    /// A job's script is to be started.
    Launch { job: u32 },
    /// A job is to end on nodes.
    End { job: u32, uid: u32, nodes: Vec<Text>, how: Ending },
    /// A signal for a job's tasks on its nodes. `step`: the batch script alone, or all.
    Signal { job: u32, nodes: Vec<Text>, step: u32, signal: u16, flags: u16 },
    /// A job's tasks are to stop, or to go on.
    Suspend { job: u32, nodes: Vec<Text>, op: u16 },
    /// A node is to register.
    Register { nodes: Vec<String> },
    /// All agents are to do something.
    PassOn { order: Order },
    /// Jobs or nodes have changed: the scheduler may find something.
    Schedule,
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What changes; empty for a refusal.
    pub changes: Vec<Change>,
    /// What who asked is told.
    pub reply: Message,
    /// What is to be done afterwards.
    pub effects: Vec<Effect>,
}

impl Outcome {
    /// Nothing changes.
    #[must_use]
    pub fn refused(code: u32) -> Outcome {
        Outcome { changes: Vec::new(), reply: Message::code(code), effects: Vec::new() }
    }

    /// Done, with code 0.
    #[must_use]
    pub fn done(changes: Vec<Change>, effects: Vec<Effect>) -> Outcome {
        Outcome { changes, reply: Message::code(rc::OK), effects }
    }
}

/// What `command` comes to in a store of that incarnation. What follows from a restore is decided
/// first, and is one with the first change that is made after it: there is no way around it, also
/// where the controller's beginning could not be saved.
#[must_use]
pub fn apply_in(incarnation: &[u8; 16], world: World<'_>, command: &Command) -> Outcome {
    let Some(begun) = restored::begin(world, incarnation) else { return apply(world, command) };
    let mut state = world.state.clone();
    begun.changes.iter().for_each(|change| state.take(change.clone()));
    let outcome = apply(World { state: &state, ..world }, command);
    Outcome {
        changes: [begun.changes, outcome.changes].concat(),
        effects: [begun.effects, outcome.effects].concat(),
        ..outcome
    }
}

/// What `command` comes to.
#[must_use]
pub fn apply(world: World<'_>, command: &Command) -> Outcome {
    match command {
        Command::Submit { desc, who, owner, request } => {
            submit::submit(world, desc, who, owner.as_ref(), request)
        }
        Command::Kill { request, who } => control::kill(world, request, who),
        Command::UpdateJob { desc, who } => control::update(world, desc, who),
        Command::Requeue { request, who } => agents::not_launched(world, request, who)
            .unwrap_or_else(|| control::requeue(world, request, who)),
        Command::Suspend { request, who } => control::suspend(world, request, who),
        Command::Top { request, who } => control::top(world, request, who),
        Command::UpdateNodes { update, who } => nodes::update(world, update, who),
        Command::UpdatePartition { update, who } => partitions::update(world, update, who),
        Command::CreatePartition { update, who } => partitions::create(world, update, who),
        Command::DeletePartition { request, who } => partitions::delete(world, request, who),
        Command::Begin => Outcome::done(Vec::new(), Vec::new()),
        Command::Read { again } => reread::read(world, *again),
        Command::Register { registration, heard } => agents::register(world, registration, *heard),
        Command::Answered { nodes } => agents::answered(world, nodes),
        Command::Silent { nodes, down } => agents::silent(world, nodes, *down),
        Command::Launched { job, launch, node, code } => {
            agents::launched(world, *job, *launch, node, *code)
        }
        Command::Signalled { job, signal, taken } => {
            signals::answered(world, *job, *signal, *taken)
        }
        Command::BatchDone { done } => agents::batch_done(world, done),
        Command::EpilogDone { done } => agents::epilog_done(world, done),
        Command::Start { start } => start::start(world, start),
        Command::PassOn { order } => {
            Outcome::done(Vec::new(), vec![Effect::PassOn { order: *order }])
        }
        Command::Review { jobs } => review::review(world, jobs),
        Command::Tick => cycle::tick(world),
    }
}

#[cfg(test)]
mod tests;
