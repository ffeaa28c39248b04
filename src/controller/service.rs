//! Where state, store and configuration meet: one request in, one answer out.
//!
//! Invariants: commands are done one after the other, each against the state that the one before
//! made durable; memory takes a change only after the store has it, so a refused save needs nothing
//! undone; nothing waits for a command but another command.

use crate::controller::agents::pulse::Pulse;
use crate::controller::config::{Facts, config};
use crate::controller::core::{self, Command, Effect, Outcome, Who, World};
use crate::controller::inform;
use crate::controller::job::Payload;
use crate::controller::state::{self, State, StateError};
use crate::controller::users;
use crate::slurm::auth::{Auth, Identity};
use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::tables::{ControlStatus, JobTimes, Listing, Registration};
use crate::slurm::wire::{Message, Time};
use crate::store::{SaveError, Store};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};

/// Slurm's code for what could not be written.
const WRITING: u32 = 2019;
/// Slurm's code for an error that has no other.
const UNSPECIFIED: u32 = u32::MAX;

/// What is shown: all of it durable.
#[derive(Debug)]
struct Live {
    conf: Arc<Conf>,
    state: State,
    nodes_changed: i64,
    conf_changed: i64,
}

/// Why the controller ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Somebody asked for it.
    Asked,
    /// It cannot go on.
    Failed(String),
}

/// A controller in charge of its state.
pub struct Service {
    auth: Auth,
    store: Store,
    live: RwLock<Live>,
    commands: Mutex<()>,
    host: Host,
    end: watch::Sender<Option<End>>,
    effects: mpsc::UnboundedSender<Effect>,
    pulse: Pulse,
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

/// What is sent back.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// This.
    Reply(Message),
    /// Nothing: nobody waits.
    Nothing,
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn code(code: u32) -> Answer {
    Answer::Reply(Message::code(code))
}

impl Service {
    /// A controller with that store, and the state in it. What is to be done once changes are
    /// durable comes out of the receiver, in the order of the changes.
    #[must_use]
    pub fn new(
        conf: Conf,
        auth: Auth,
        store: Store,
        state: State,
        host: Host,
    ) -> (Service, mpsc::UnboundedReceiver<Effect>) {
        let changed = host.started;
        let conf = Arc::new(conf);
        let live = Live { conf, state, nodes_changed: changed, conf_changed: changed };
        let (end, _) = watch::channel(None);
        let (effects, wanted) = mpsc::unbounded_channel();
        let (live, commands) = (RwLock::new(live), Mutex::new(()));
        let pulse = Pulse::default();
        (Service { auth, store, live, commands, host, end, effects, pulse }, wanted)
    }

    /// How credentials are made and checked.
    #[must_use]
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// What was last heard of nodes.
    #[must_use]
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// What a batch job brought along.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn payload(&self, script: u32) -> Result<Payload, StateError> {
        state::payload(&self.store.view(), script)
    }

    /// Tells when the controller is to end.
    #[must_use]
    pub fn ending(&self) -> watch::Receiver<Option<End>> {
        self.end.subscribe()
    }

    /// Ends the controller. The first reason counts.
    pub fn stop(&self, why: End) {
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(why);
            first
        });
    }

    /// Closes the store.
    ///
    /// # Errors
    /// Those of the store; what was acknowledged is safe all the same.
    pub fn close(self) -> Result<(), crate::store::CloseError> {
        self.store.close()
    }

    // A panic while the lock was held left what the lock protects as it was: it is replaced whole.
    fn live(&self) -> RwLockReadGuard<'_, Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_admin(&self, who: Identity) -> bool {
        who.uid == 0 || who.uid == self.host.slurm_user
    }

    /// Whether answering may wait for the disk.
    #[must_use]
    pub fn may_wait(message: &Message) -> bool {
        matches!(
            message,
            Message::Submit(_)
                | Message::Kill(_)
                | Message::UpdateJob(_)
                | Message::Requeue(_)
                | Message::Suspend(_)
                | Message::TopJob(_)
                | Message::UpdateNode(_)
                | Message::UpdatePartition(_)
                | Message::CreatePartition(_)
                | Message::DeletePartition(_)
                | Message::Registration(_)
                | Message::BatchDone(_)
                | Message::EpilogDone(_)
                | Message::Reconfigure
        )
    }

    /// Who asks, with what the system knows of him.
    fn who(&self, identity: Identity) -> Who {
        let account = users::account(identity.uid).ok().flatten().unwrap_or_default();
        let groups = users::groups(&account.name, identity.gid).unwrap_or_default();
        let groups = groups.into_iter().map(|(_, name)| name).collect();
        let admin = self.is_admin(identity);
        Who { uid: identity.uid, gid: identity.gid, name: account.name, admin, groups }
    }

    /// Whether a message that only agents send may come from there.
    fn is_agent(&self, who: Identity) -> bool {
        self.is_admin(who) || who.uid == self.host.slurmd_user
    }

    /// The configuration and the state that is durable. It costs nothing, and never changes.
    #[must_use]
    pub fn durable(&self) -> (Arc<Conf>, State) {
        let live = self.live();
        (Arc::clone(&live.conf), live.state.clone())
    }

    /// Answers one request.
    pub fn answer(&self, message: Message, who: Identity) -> Answer {
        let live = self.live();
        match message {
            Message::Ping => code(rc::OK),
            Message::ControlStatusRequest => {
                let in_charge_since = Time(self.host.started);
                let status = ControlStatus { index: self.host.index, in_charge_since };
                Answer::Reply(Message::ControlStatus(Box::new(status)))
            }
            Message::ConfigRequest(asked) if not_newer(live.conf_changed, asked.last_update) => {
                code(rc::NO_CHANGE)
            }
            Message::ConfigRequest(_) => {
                let found = config(&live.conf, &self.facts());
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
                let found = inform::partitions(&live.conf, live.conf_changed, asked.show_flags);
                Answer::Reply(Message::Partitions(Box::new(found)))
            }
            Message::JobsRequest(_) => {
                let head = JobTimes { last_update: Time(self.host.started), ..JobTimes::default() };
                let found = Listing { head, records: Vec::new() };
                Answer::Reply(Message::Jobs(Box::new(found)))
            }
            Message::JobRequest(_) => code(rc::JOB),
            Message::StepsRequest(_) => {
                let found = Listing { head: Time(self.host.started), records: Vec::new() };
                Answer::Reply(Message::Steps(Box::new(found)))
            }
            // It is in charge already.
            Message::Takeover if self.is_admin(who) => code(rc::OK),
            Message::Shutdown(_) if self.is_admin(who) => {
                self.stop(End::Asked);
                code(rc::OK)
            }
            Message::Reconfigure if self.is_admin(who) => {
                drop(live);
                code(self.reconfigure())
            }
            Message::Takeover | Message::Shutdown(_) | Message::Reconfigure => code(rc::USER),
            other => {
                drop(live);
                self.change(other, who)
            }
        }
    }

    /// Does what a message asks for, if it asks for a change.
    fn change(&self, message: Message, identity: Identity) -> Answer {
        let who = || self.who(identity);
        let command = match message {
            Message::Submit(desc) => Command::Submit { desc, who: who(), request: Vec::new() },
            Message::Kill(request) => Command::Kill { request, who: who() },
            Message::UpdateJob(desc) => Command::UpdateJob { desc, who: who() },
            Message::Requeue(request) => Command::Requeue { request, who: who() },
            Message::Suspend(request) => Command::Suspend { request, who: who() },
            Message::TopJob(request) => Command::Top { request, who: who() },
            Message::UpdateNode(update) => Command::UpdateNodes { update, who: who() },
            Message::UpdatePartition(update) => Command::UpdatePartition { update, who: who() },
            Message::CreatePartition(update) => Command::CreatePartition { update, who: who() },
            Message::DeletePartition(request) => Command::DeletePartition { request, who: who() },
            Message::Registration(registration) if self.is_agent(identity) => {
                self.registers(registration)
            }
            Message::BatchDone(done) if self.is_agent(identity) => Command::BatchDone { done },
            Message::EpilogDone(done) => {
                if self.is_agent(identity) {
                    self.execute(&Command::EpilogDone { done });
                }
                // Nobody waits for an answer to this one.
                return Answer::Nothing;
            }
            Message::Registration(_) | Message::BatchDone(_) => return code(rc::USER),
            _ => return code(rc::UNSUPPORTED),
        };
        Answer::Reply(self.execute(&command))
    }

    fn registers(&self, registration: Box<Registration>) -> Command {
        let name = registration.node_name.lossy().into_owned();
        let heard = self.pulse.of(&name).heard;
        self.pulse.heard(&name, now());
        self.pulse.is_loaded(&name, registration.cpu_load, registration.free_mem);
        Command::Register { registration, heard }
    }

    fn facts(&self) -> Facts {
        Facts {
            now: now(),
            started: self.host.started,
            own_name: self.host.name.clone(),
            slurm_user: self.host.slurm_user,
            slurmd_user: self.host.slurmd_user,
        }
    }

    /// Does a command: what it changed is durable when this returns.
    pub fn execute(&self, command: &Command) -> Message {
        let _turn = self.one_at_a_time();
        let Outcome { changes, reply, effects } = {
            let live = self.live();
            core::apply(World { conf: &live.conf, state: &live.state, now: now() }, command)
        };
        if !changes.is_empty() {
            if let Err(code) = self.save(changes) {
                return Message::code(code);
            }
        }
        for effect in effects {
            match effect {
                Effect::Note(note) => tracing::info!("{note}"),
                // Nobody listens any more when the controller ends.
                other => drop(self.effects.send(other)),
            }
        }
        reply
    }

    fn save(&self, changes: Vec<state::Change>) -> Result<(), u32> {
        let batch = state::batch(&changes).map_err(|error| {
            tracing::error!("a request is larger than the store takes: {error}");
            WRITING
        })?;
        // The save is what the reply rests on: the group's flush.
        match self.store.save(batch) {
            Ok(_) => {}
            Err(SaveError::Refused(refusal)) => {
                tracing::error!("a change was refused, and nothing changed: {refusal}");
                return Err(WRITING);
            }
            Err(SaveError::Unknown(poison)) => {
                tracing::error!("{poison}");
                self.stop(End::Failed(poison.to_string()));
                return Err(WRITING);
            }
        }
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        changes.into_iter().for_each(|change| live.state.take(change));
        live.nodes_changed = now();
        Ok(())
    }

    /// Reads slurm.conf again. With a mistake in it, everything stays as it was.
    pub fn reconfigure(&self) -> u32 {
        let _turn = self.one_at_a_time();
        let old = Arc::clone(&self.live().conf);
        let conf = match Conf::load(&old.path) {
            Ok(conf) => conf,
            Err(error) => {
                tracing::error!("the old configuration stays: {error}");
                return UNSPECIFIED;
            }
        };
        for name in NEED_RESTART {
            if conf.text(name) != old.text(name) {
                tracing::warn!("{name} has changed; it counts from the next start on");
            }
        }
        note_ignored(&conf);
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.conf = Arc::new(conf);
        (live.conf_changed, live.nodes_changed) = (now(), now());
        tracing::info!("slurm.conf was read again");
        rc::OK
    }

    /// The state in memory, and the one that the store holds: they are equal.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn both_states(&self) -> Result<(State, State), StateError> {
        let _turn = self.one_at_a_time();
        let memory = self.live().state.clone();
        Ok((memory, State::load(&self.store.view())?))
    }
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
