//! Where state, store and configuration meet: one request in, one answer out.
//!
//! Invariants: commands are done one after the other, each against the state that the one before
//! made durable; memory takes a change only after the store has it, so a refused save needs nothing
//! undone; nothing waits for a command but another command.

use crate::controller::config::{Facts, config};
use crate::controller::core::{self, Command, Effect, Outcome, State};
use crate::controller::inform;
use crate::slurm::auth::{Auth, Identity};
use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::tables::{ControlStatus, JobTimes, Listing};
use crate::slurm::wire::{Message, Time};
use crate::store::{SaveError, Store};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

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
    /// A controller with that store, and the state in it.
    #[must_use]
    pub fn new(conf: Conf, auth: Auth, store: Store, state: State, host: Host) -> Service {
        let changed = host.started;
        let conf = Arc::new(conf);
        let live = Live { conf, state, nodes_changed: changed, conf_changed: changed };
        let (end, _) = watch::channel(None);
        Service { auth, store, live: RwLock::new(live), commands: Mutex::new(()), host, end }
    }

    /// How credentials are made and checked.
    #[must_use]
    pub fn auth(&self) -> &Auth {
        &self.auth
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
        matches!(message, Message::UpdateNode(_) | Message::Reconfigure)
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
                let found = inform::nodes(conf, &live.state, changed, asked.show_flags);
                Answer::Reply(Message::Nodes(Box::new(found)))
            }
            Message::NodeRequest(asked) => {
                let (conf, changed) = (&live.conf, live.nodes_changed);
                let name = asked.name.lossy();
                match inform::one_node(conf, &live.state, changed, &name, asked.flags) {
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
            // Nobody waits for an answer to this one.
            Message::EpilogDone(_) => Answer::Nothing,
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
            Message::UpdateNode(update) if self.is_admin(who) => {
                drop(live);
                code(self.execute(&Command::UpdateNodes { update, uid: who.uid }))
            }
            Message::Takeover
            | Message::Shutdown(_)
            | Message::Reconfigure
            | Message::UpdateNode(_) => code(rc::USER),
            _ => code(rc::UNSUPPORTED),
        }
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

    /// Does a command: its changes are durable when this returns 0.
    fn execute(&self, command: &Command) -> u32 {
        let _turn = self.one_at_a_time();
        let Outcome { changes, code, effects } = {
            let live = self.live();
            core::apply(&live.conf, &live.state, command, now())
        };
        if changes.is_empty() {
            return code;
        }
        let batch = match core::batch(&changes) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!("a request is larger than the store takes: {error}");
                return WRITING;
            }
        };
        // The save is what the reply rests on: the group's flush.
        match self.store.save(batch) {
            Ok(_) => {}
            Err(SaveError::Refused(refusal)) => {
                tracing::error!("a change was refused, and nothing changed: {refusal}");
                return WRITING;
            }
            Err(SaveError::Unknown(poison)) => {
                tracing::error!("{poison}");
                self.stop(End::Failed(poison.to_string()));
                return WRITING;
            }
        }
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        changes.into_iter().for_each(|change| live.state.take(change));
        live.nodes_changed = now();
        drop(live);
        for Effect::Note(note) in effects {
            tracing::info!("{note}");
        }
        code
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
    pub fn both_states(&self) -> Result<(State, State), core::StateError> {
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
