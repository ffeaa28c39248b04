//! Where state, store and configuration meet: one request in, one answer out.
//!
//! Invariants: information shows what is durable, and nothing else; what changes something goes
//! through the pipeline, whose reply comes once the change is durable; no thread of the runtime
//! waits here.

use crate::controller::agents::launching::Launching;
use crate::controller::agents::pulse::Pulse;
use crate::controller::config::{Facts, config};
use crate::controller::core::{Command, Effect, Order, Who};
use crate::controller::inform::jobs::{self, Scene, Viewer};
use crate::controller::inform::{self, steps};
use crate::controller::job::Payload;
use crate::controller::known_users::KnownUsers;
use crate::controller::log;
use crate::controller::metrics::Numbers;
use crate::controller::own_thread::aside;
use crate::controller::pipeline::{AGAIN, Live, Pipeline, WRITING};
use crate::controller::sched::{Board, Forecasts};
use crate::controller::state::{self, State, StateError};
use crate::role::Reigning;
use crate::slurm::auth::{Auth, Identity};
use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::{job, rc};
use crate::slurm::wire::tables::{ControlStatus, Registration, Script};
use crate::slurm::wire::{Message, Time, Unset};
use crate::store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

pub use crate::controller::pipeline::{End, now};

/// In a request to shut down: the agents as well.
const EVERYBODY: u16 = 0;

/// Slurm's code for an error that has no other.
const UNSPECIFIED: u32 = u32::MAX;

/// A controller in charge of its state.
pub struct Service {
    auth: Arc<Auth>,
    pipeline: Pipeline,
    users: Arc<KnownUsers>,
    host: Host,
    board: Board,
    pulse: Pulse,
    launching: Launching,
    reigning: Option<Arc<Reigning>>,
    begun: AtomicBool,
}

/// What does not change while the controller runs.
#[derive(Clone, Debug)]
pub struct Host {
    /// What this host is called.
    pub name: String,
    /// Its place among the controllers of slurm.conf.
    pub index: u16,
    /// When the controller began.
    pub started: i64,
    /// The uid of SlurmUser.
    pub slurm_user: u32,
    /// The uid of SlurmdUser.
    pub slurmd_user: u32,
}

/// Who asks, and what makes this request unlike every other.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// Who the credential says it is.
    pub identity: Identity,
    /// A digest of the credential.
    pub request: [u8; 16],
}

/// What is sent back.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// This.
    Reply(Message),
    /// Nothing: nobody waits, or nobody knows.
    Nothing,
}

fn code(code: u32) -> Answer {
    Answer::Reply(Message::code(code))
}

impl Service {
    /// A controller with that store, and the state in it. What is to be done once changes are
    /// durable comes out of the receiver, in the order of the changes.
    ///
    /// # Errors
    /// No threads can be started.
    pub fn new(
        conf: Conf,
        auth: Arc<Auth>,
        store: Store,
        state: State,
        host: Host,
    ) -> std::io::Result<(Service, mpsc::UnboundedReceiver<Effect>)> {
        let (users, board) = (Arc::default(), Board::default());
        let (conf, bell) = (Arc::new(conf), board.bell().clone());
        let (pipeline, wanted) = Pipeline::start(conf, store, state, host.started, bell)?;
        let (pulse, launching) = (Pulse::default(), Launching::default());
        let reigning = None;
        let begun = AtomicBool::new(false);
        let service =
            Service { auth, pipeline, users, host, board, pulse, launching, reigning, begun };
        Ok((service, wanted))
    }

    /// The same controller, by leave of a register that several hosts share.
    #[must_use]
    pub fn reigning(self, reigning: Arc<Reigning>) -> Service {
        Service { reigning: Some(reigning), ..self }
    }

    /// Whether this controller still reigns, looked at now: to be asked before anything is done
    /// that others see. If it does not, it ends.
    #[must_use]
    pub fn still_reigns(&self) -> bool {
        let Some(Err(fenced)) = self.reigning.as_ref().map(|reigning| reigning.still()) else {
            return true;
        };
        self.stop(End::Deposed(fenced.to_string()));
        false
    }

    /// How credentials are made and checked.
    #[must_use]
    pub fn auth(&self) -> &Arc<Auth> {
        &self.auth
    }

    /// What is counted while it runs.
    #[must_use]
    pub fn numbers(&self) -> &Numbers {
        self.pipeline.numbers()
    }

    /// What does not change while it runs.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The store, and whether changes are put off.
    #[must_use]
    pub fn health(&self) -> (&Store, bool) {
        (self.pipeline.store(), self.pipeline.is_stuck())
    }

    /// What was last heard of nodes.
    #[must_use]
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Launches whose answers are not known yet.
    #[must_use]
    pub fn launching(&self) -> &Launching {
        &self.launching
    }

    /// What the scheduler has found about jobs that wait.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// What a batch job brought along.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn payload(&self, script: u32) -> Result<Payload, StateError> {
        state::payload(&self.pipeline.store().view(), script)
    }

    /// The epoch in which this controller reigns: that of the store, which no other has.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.pipeline.store().epoch().0
    }

    /// How long one command has been worked at.
    #[must_use]
    pub fn busy(&self) -> Duration {
        self.pipeline.busy()
    }

    /// When it began to be in charge.
    #[must_use]
    pub fn started(&self) -> i64 {
        self.host.started
    }

    /// Tells when the controller is to end.
    #[must_use]
    pub fn ending(&self) -> watch::Receiver<Option<End>> {
        self.pipeline.ending().watch()
    }

    /// Ends the controller. The first reason counts.
    pub fn stop(&self, why: End) {
        self.pipeline.ending().stop(why);
    }

    /// Finishes what is under way, and takes nothing more. Waits for the disk.
    pub fn finish(&self) {
        self.pipeline.finish();
    }

    /// Finishes what is under way, and closes the store.
    ///
    /// # Errors
    /// Those of the store; what was acknowledged is safe all the same.
    pub fn close(self) -> Result<(), crate::store::CloseError> {
        self.pipeline.close()
    }

    /// The configuration and the state that is durable: what may be told. It costs nothing, and
    /// never changes.
    #[must_use]
    pub fn durable(&self) -> (Arc<Conf>, State) {
        let live = self.pipeline.durable();
        (live.conf, live.state)
    }

    /// The configuration and the state that the next command finds: what may be decided by. It may
    /// be ahead of what is durable, so nothing of it may be told.
    #[must_use]
    pub fn working(&self) -> (Arc<Conf>, State) {
        self.pipeline.working()
    }

    /// Does a command: what it changed is durable when this returns. Code 11: nothing was done, for
    /// saves do not get through; ask again later. Code 2019 is also the answer when the controller
    /// is ending, and nobody knows what became of the command.
    pub async fn command(&self, command: Command) -> Message {
        self.pipeline.command(command).await.unwrap_or_else(|| Message::code(WRITING))
    }

    /// The state in memory, and the one that the store holds: they are equal. `None`: the
    /// controller is ending.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn both_states(&self) -> Option<Result<(State, State), StateError>> {
        self.pipeline.compare().await
    }
}

/// Who may do what.
impl Service {
    fn is_admin(&self, who: Identity) -> bool {
        who.uid == 0 || who.uid == self.host.slurm_user
    }

    /// Whether a message that only agents send may come from there.
    fn is_agent(&self, who: Identity) -> bool {
        self.is_agents(who.uid)
    }

    /// Whether an agent may be run by that user.
    #[must_use]
    pub fn is_agents(&self, uid: u32) -> bool {
        uid == 0 || uid == self.host.slurm_user || uid == self.host.slurmd_user
    }

    /// Who asks, with what the system knows of him.
    async fn who(&self, identity: Identity) -> Who {
        let Identity { uid, gid } = identity;
        let known = match self.users.remembered(uid, gid) {
            Some(known) => known,
            None => {
                let users = Arc::clone(&self.users);
                aside(move || users.ask(uid, gid)).await.unwrap_or_default()
            }
        };
        let (name, groups) = (known.name.clone(), known.groups.clone());
        Who { uid, gid, name, admin: self.is_admin(identity), groups }
    }
}

/// Answers.
impl Service {
    /// Answers one request.
    pub async fn answer(self: &Arc<Self>, message: Message, asker: Asker) -> Answer {
        let answer = self.answer_to(message, asker).await;
        self.numbers().note(&answer);
        answer
    }

    async fn answer_to(self: &Arc<Self>, message: Message, asker: Asker) -> Answer {
        let who = asker.identity;
        match message {
            Message::Ping => code(rc::OK),
            Message::ControlStatusRequest => {
                let in_charge_since = Time(self.host.started);
                let status = ControlStatus { index: self.host.index, in_charge_since };
                Answer::Reply(Message::ControlStatus(Box::new(status)))
            }
            // It is in charge already.
            Message::Takeover if self.is_admin(who) => code(rc::OK),
            Message::Shutdown(asked) if self.is_admin(who) => {
                if asked.option == EVERYBODY {
                    self.command(Command::PassOn { order: Order::Shutdown }).await;
                }
                self.stop(End::Asked);
                code(rc::OK)
            }
            Message::Reconfigure if self.is_admin(who) => {
                let read = self.reconfigure().await;
                if read == rc::OK {
                    self.command(Command::PassOn { order: Order::Reconfigure }).await;
                }
                code(read)
            }
            Message::Takeover | Message::Shutdown(_) | Message::Reconfigure => code(rc::USER),
            message if asks_only(&message) => {
                let service = Arc::clone(self);
                // A listing may be long, and a script has to be read.
                let told = aside(move || service.inform(message, who)).await;
                told.unwrap_or(Answer::Nothing)
            }
            other => self.change(other, asker).await,
        }
    }

    /// Tells what is durable.
    fn inform(&self, message: Message, who: Identity) -> Answer {
        let (live, found) = (self.pipeline.durable(), self.board.read());
        let jobs_changed = live.jobs_changed.max(self.board.changed());
        match message {
            Message::ConfigRequest(asked) if not_newer(live.conf_changed, asked.last_update) => {
                code(rc::NO_CHANGE)
            }
            Message::ConfigRequest(_) => {
                let found = config(&live.conf, &self.facts(&live));
                Answer::Reply(Message::Config(Box::new(found)))
            }
            Message::NodesRequest(asked) if not_newer(live.nodes_changed, asked.last_update) => {
                code(rc::NO_CHANGE)
            }
            Message::NodesRequest(asked) => {
                let (conf, changed) = (&live.conf, live.nodes_changed);
                let found =
                    inform::nodes(conf, &live.state, &self.pulse, changed, asked.show_flags);
                Answer::Reply(Message::Nodes(Box::new(found)))
            }
            Message::NodeRequest(asked) => {
                let (conf, changed) = (&live.conf, live.nodes_changed);
                let name = asked.name.lossy();
                match inform::one_node(conf, &live.state, &self.pulse, changed, &name, asked.flags)
                {
                    Some(found) => Answer::Reply(Message::Nodes(Box::new(found))),
                    None => code(rc::NODE),
                }
            }
            Message::PartitionsRequest(asked)
                if not_newer(live.conf_changed, asked.last_update) =>
            {
                code(rc::NO_CHANGE)
            }
            Message::PartitionsRequest(asked) => {
                let found = inform::partitions(
                    &live.conf,
                    &live.state,
                    live.conf_changed,
                    asked.show_flags,
                );
                Answer::Reply(Message::Partitions(Box::new(found)))
            }
            Message::JobsRequest(asked) if not_newer(jobs_changed, asked.last_update) => {
                code(rc::NO_CHANGE)
            }
            Message::JobsRequest(asked) => {
                let (scene, viewer) = self.scene(&live, &found, who, asked.show_flags);
                let found = jobs::jobs(scene, viewer, asked.job_ids.as_deref(), None);
                Answer::Reply(Message::Jobs(Box::new(found)))
            }
            Message::UserJobsRequest(asked) => {
                let (scene, viewer) = self.scene(&live, &found, who, asked.show_flags);
                let found = jobs::jobs(scene, viewer, None, Some(asked.user_id));
                Answer::Reply(Message::Jobs(Box::new(found)))
            }
            Message::JobRequest(asked) => {
                let (scene, viewer) = self.scene(&live, &found, who, asked.show_flags);
                match jobs::one_job(scene, viewer, asked.job_id) {
                    Some(found) => Answer::Reply(Message::Jobs(Box::new(found))),
                    None => code(rc::JOB),
                }
            }
            Message::ScriptRequest(asked) => self.script(&live, asked.job_id, who),
            Message::StepsRequest(asked) if not_newer(live.jobs_changed, asked.last_update) => {
                code(rc::NO_CHANGE)
            }
            Message::StepsRequest(asked) => {
                let (scene, viewer) = self.scene(&live, &found, who, asked.show_flags);
                Answer::Reply(Message::Steps(Box::new(steps::steps(scene, viewer, &asked))))
            }
            _ => code(rc::UNSUPPORTED),
        }
    }

    /// A script, for its owner and for administrators.
    fn script(&self, live: &Live, id: u32, who: Identity) -> Answer {
        let Some(job) = live.state.job(id).or_else(|| live.state.array(id).next()) else {
            return code(rc::JOB);
        };
        if !self.is_admin(who) && job.spec.user_id != who.uid {
            return code(rc::USER);
        }
        match self.payload(job.script_id()) {
            Ok(payload) => {
                Answer::Reply(Message::Script(Box::new(Script { script: payload.script })))
            }
            Err(error) => {
                tracing::error!("the script of job {id}: {error}");
                code(NO_SCRIPT)
            }
        }
    }

    /// Does what a message asks for, if it asks for a change.
    async fn change(&self, message: Message, asker: Asker) -> Answer {
        let identity = asker.identity;
        let is_agent = self.is_agent(identity);
        let who = self.who(identity).await;
        let command = match message {
            Message::Submit(desc) => {
                let other = desc.user_id.get().filter(|uid| *uid != who.uid && who.admin);
                let owner = match other {
                    Some(uid) => Some(self.who(Identity { uid, gid: desc.group_id }).await),
                    None => None,
                };
                Command::Submit { desc, who, owner, request: asker.request.to_vec() }
            }
            Message::Kill(request) | Message::CancelStep(request) => Command::Kill { request, who },
            Message::UpdateJob(desc) => Command::UpdateJob { desc, who },
            Message::Requeue(request) => {
                if is_agent && request.flags & job::LAUNCH_FAILED != 0 {
                    self.launching.over(request.job_id).await;
                }
                Command::Requeue { request, who }
            }
            Message::Suspend(request) => Command::Suspend { request, who },
            Message::TopJob(request) => Command::Top { request, who },
            Message::UpdateNode(update) => Command::UpdateNodes { update, who },
            Message::UpdatePartition(update) => Command::UpdatePartition { update, who },
            Message::CreatePartition(update) => Command::CreatePartition { update, who },
            Message::DeletePartition(request) => Command::DeletePartition { request, who },
            Message::Registration(registration) if is_agent => self.registers(registration),
            Message::BatchDone(done) if is_agent => {
                // slurmstepd takes every code for the end of its duty. Without an answer it comes
                // again, every 15 seconds for an hour.
                return match self.pipeline.command(Command::BatchDone { done }).await {
                    Some(reply) if !is_put_off(&reply) => Answer::Reply(reply),
                    _ => Answer::Nothing,
                };
            }
            Message::EpilogDone(done) => {
                if is_agent {
                    self.command(Command::EpilogDone { done }).await;
                }
                // Nobody waits for an answer to this one.
                return Answer::Nothing;
            }
            // A prolog that failed is told once more, as a launch that failed.
            Message::PrologDone(done) if is_agent => {
                let (id, node, code_of) = (done.job_id, done.node_name.lossy(), done.prolog_rc);
                tracing::debug!("the prolog of job {id} on node {node} ended: code {code_of}");
                return code(rc::OK);
            }
            Message::Registration(_) | Message::BatchDone(_) | Message::PrologDone(_) => {
                return code(rc::USER);
            }
            _ => return code(rc::UNSUPPORTED),
        };
        self.pipeline.command(command).await.map_or(Answer::Nothing, Answer::Reply)
    }

    fn registers(&self, registration: Box<Registration>) -> Command {
        let name = registration.node_name.lossy().into_owned();
        let heard = self.pulse.of(&name).heard;
        self.pulse.heard(&name, now());
        self.pulse.is_loaded(&name, registration.cpu_load, registration.free_mem);
        Command::Register { registration, heard }
    }

    /// What is shown of jobs, and to whom.
    fn scene<'a>(
        &self,
        live: &'a Live,
        found: &'a Forecasts,
        who: Identity,
        show: u16,
    ) -> (Scene<'a>, Viewer) {
        let (conf, state) = (&*live.conf, &live.state);
        let scene = Scene { conf, state, forecasts: found, now: now() };
        (scene, Viewer { uid: who.uid, admin: self.is_admin(who), show })
    }

    fn facts(&self, live: &Live) -> Facts {
        let first = u32::try_from(live.conf.number("FirstJobId")).unwrap_or(u32::MAX);
        Facts {
            next_job_id: live.state.next_id.max(first),
            now: now(),
            started: self.host.started,
            own_name: self.host.name.clone(),
            slurm_user: self.host.slurm_user,
            slurmd_user: self.host.slurmd_user,
        }
    }

    /// The store may have been restored, and slurm.conf changed, while nobody was in charge: what
    /// follows from that is saved once. Returns whether it is; where there is no room, it is to be
    /// tried again.
    pub async fn begin(&self) -> bool {
        if self.begun.load(Ordering::Acquire) {
            return true;
        }
        for command in [Command::Begin, Command::Read { again: false }] {
            match self.pipeline.command(command).await {
                Some(reply) if !is_put_off(&reply) => {}
                _ => return false,
            }
        }
        self.begun.store(true, Ordering::Release);
        true
    }

    /// Reads slurm.conf again. With a mistake in it, everything stays as it was.
    pub async fn reconfigure(&self) -> u32 {
        let (old, _) = self.working();
        let path = old.path.clone();
        let mut conf = match spawn_blocking(move || Conf::load(&path)).await {
            Ok(Ok(conf)) => conf,
            Ok(Err(error)) => {
                tracing::error!("the old configuration stays: {error}");
                return UNSPECIFIED;
            }
            Err(_) => return UNSPECIFIED,
        };
        conf.slurm_user = self.host.slurm_user;
        for name in NEED_RESTART {
            if conf.text(name) != old.text(name) {
                tracing::warn!("{name} has changed; it counts from the next start on");
            }
        }
        note_ignored(&conf);
        log::follow(&conf);
        if self.pipeline.configure(Arc::new(conf)).await.is_none() {
            return AGAIN;
        }
        self.board.bell().ring();
        tracing::info!("slurm.conf was read again");
        match self.pipeline.command(Command::Read { again: true }).await {
            Some(Message::ReturnCode(code)) => code.return_code,
            _ => AGAIN,
        }
    }
}

/// Slurm's code for a job that has no script.
const NO_SCRIPT: u32 = 2009;

/// Whether a message asks for nothing but information.
fn asks_only(message: &Message) -> bool {
    matches!(
        message,
        Message::ConfigRequest(_)
            | Message::NodesRequest(_)
            | Message::NodeRequest(_)
            | Message::PartitionsRequest(_)
            | Message::JobsRequest(_)
            | Message::JobRequest(_)
            | Message::UserJobsRequest(_)
            | Message::ScriptRequest(_)
            | Message::StepsRequest(_)
    )
}

/// Whether a command was not done, and may be asked for again.
fn is_put_off(reply: &Message) -> bool {
    let is = |code| *reply == Message::code(code);
    is(AGAIN) || is(WRITING)
}

/// Parameters that are read at the start only.
const NEED_RESTART: [&str; 8] = [
    "AuthInfo",
    "AuthType",
    "ClusterName",
    "SlurmctldLogFile",
    "SlurmctldPidFile",
    "SlurmctldPort",
    "SlurmUser",
    "StateSaveLocation",
];

/// One line about what is in slurm.conf and not acted on here.
pub fn note_ignored(conf: &Conf) {
    let ignored: Vec<&str> = conf.without_effect().collect();
    if !ignored.is_empty() {
        tracing::info!("shown to clients, without effect in the controller: {}", ignored.join(" "));
    }
}

/// As Slurm: what changed within the second that the client names is told again.
fn not_newer(changed: i64, asked: Time) -> bool {
    asked.0.saturating_sub(1) >= changed
}
