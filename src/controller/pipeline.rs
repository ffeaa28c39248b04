//! Commands, done one after the other and saved many at a time.
//!
//! ```text
//! command --> apply to the working state, submit --tickets, in order--> conclude: take into the
//!             (runs ahead of the store)                                 durable state, reply, act
//! ```
//!
//! One thread applies, one concludes. Invariants:
//! - Whatever is told or begun rests on what is durable: a reply, also a refusal, leaves after all
//!   changes that its command was decided by; effects come out in the order of the changes.
//! - No save is durable if one before it was refused ([`Store::submit_after`]). After a refusal
//!   everything under way is concluded (with [`AGAIN`]: it was not done), the working state is the
//!   durable one again, and the next command is tried.
//! - A save whose fate is unknown ends the controller: nobody in flight is told anything.

use crate::controller::busy::Busy;
use crate::controller::core::{self, Command, Effect, Outcome, World};
use crate::controller::flow::{Flow, IN_FLIGHT_MAX};
use crate::controller::metrics::Numbers;
use crate::controller::sched::bell::Bell;
use crate::controller::state::{self, Change, State, StateError};
use crate::slurm::conf::Conf;
use crate::slurm::wire::Message;
use crate::store::{Refusal, SaveError, Store, Ticket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};

/// The code of what was not done, and may be asked for again: EAGAIN. sbatch does so by itself.
pub const AGAIN: u32 = 11;
/// Slurm's code for what could not be written: here, what is larger than the store takes.
pub const WRITING: u32 = 2019;

/// Why the controller ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Somebody asked for it.
    Asked,
    /// It cannot go on.
    Failed(String),
    /// Another controller reigns: nothing of what is queued here may be done any more.
    Deposed(String),
}

/// Where everybody learns that the controller is to end.
#[derive(Clone, Debug)]
pub struct Ending(watch::Sender<Option<End>>);

impl Ending {
    fn new() -> Ending {
        Ending(watch::channel(None).0)
    }

    /// Tells when the controller is to end.
    pub fn watch(&self) -> watch::Receiver<Option<End>> {
        self.0.subscribe()
    }

    /// Ends the controller. The first reason counts.
    pub fn stop(&self, why: End) {
        self.0.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(why);
            first
        });
    }
}

/// Configuration and state, and when they last changed.
#[derive(Clone, Debug)]
pub struct Live {
    /// The configuration.
    pub conf: Arc<Conf>,
    /// The state.
    pub state: State,
    /// When something of nodes changed.
    pub nodes_changed: i64,
    /// When something of jobs changed.
    pub jobs_changed: i64,
    /// When something of partitions or of the configuration changed.
    pub conf_changed: i64,
}

/// The state in memory, and the one that the store holds.
type Both = Result<(State, State), StateError>;

enum Work {
    Command(Command, oneshot::Sender<Message>),
    Conf(Arc<Conf>, oneshot::Sender<()>),
    Compare(oneshot::Sender<Both>),
}

/// A command that was applied.
struct Applied {
    /// `None`: it changes nothing.
    save: Option<Result<Ticket, SaveError>>,
    changes: Vec<Change>,
    reply: Message,
    effects: Vec<Effect>,
    to: oneshot::Sender<Message>,
    began: Instant,
}

enum Stage {
    Applied(Box<Applied>),
    Conf(Arc<Conf>, oneshot::Sender<()>),
    /// Everything before this is concluded.
    Settled(SyncSender<Live>),
}

struct Shared {
    store: Store,
    working: RwLock<(Arc<Conf>, State)>,
    durable: RwLock<Live>,
    flow: Flow,
    applying: Busy,
    concluding: Busy,
    /// A save was refused, and the working state is not the durable one again yet.
    refused: AtomicBool,
    ending: Ending,
    effects: mpsc::UnboundedSender<Effect>,
    bell: Bell,
    numbers: Arc<Numbers>,
}

/// The two threads, and what they work on.
pub struct Pipeline {
    work: RwLock<Option<mpsc::Sender<Work>>>,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

// A panic of somebody else ends the controller; until then its state is as it was.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Pipeline {
    /// Starts the threads. What is to be done comes out of the receiver; the bell rings when the
    /// scheduler may find something.
    pub fn start(
        conf: Arc<Conf>,
        store: Store,
        state: State,
        began: i64,
        bell: Bell,
    ) -> std::io::Result<(Pipeline, mpsc::UnboundedReceiver<Effect>)> {
        let (effects, wanted) = mpsc::unbounded_channel();
        let durable = Live {
            conf: Arc::clone(&conf),
            state: state.clone(),
            nodes_changed: began,
            jobs_changed: began,
            conf_changed: began,
        };
        let shared = Arc::new(Shared {
            store,
            working: RwLock::new((conf, state)),
            durable: RwLock::new(durable),
            flow: Flow::new(),
            applying: Busy::default(),
            concluding: Busy::default(),
            refused: AtomicBool::new(false),
            ending: Ending::new(),
            effects,
            bell,
            numbers: Arc::default(),
        });
        let (work, commands) = mpsc::channel(IN_FLIGHT_MAX);
        let (applied, stages) = sync_channel(IN_FLIGHT_MAX);
        let (first, second) = (Arc::clone(&shared), Arc::clone(&shared));
        let seen = shared.store.refusals();
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let threads = vec![
            thread("apply")
                .spawn(move || Applier { shared: first, applied, seen }.run(commands))?,
            thread("conclude").spawn(move || Concluder { shared: second }.run(&stages))?,
        ];
        let (work, threads) = (RwLock::new(Some(work)), Mutex::new(threads));
        Ok((Pipeline { work, shared, threads }, wanted))
    }

    async fn send(&self, work: Work) -> Option<()> {
        let to = read(&self.work).clone()?;
        to.send(work).await.ok()
    }

    /// Does a command: what it changed is durable when this returns. [`AGAIN`]: nothing was done.
    /// `None`: the controller ends, and what became of the command is not known.
    pub async fn command(&self, command: Command) -> Option<Message> {
        let Some(_under_way) = self.shared.flow.enter() else {
            return Some(Message::code(AGAIN));
        };
        let (to, reply) = oneshot::channel();
        self.send(Work::Command(command, to)).await?;
        reply.await.ok()
    }

    /// Commands that come after this are decided by that configuration. `None`: as above.
    pub async fn configure(&self, conf: Arc<Conf>) -> Option<()> {
        let (to, done) = oneshot::channel();
        self.send(Work::Conf(conf, to)).await?;
        done.await.ok()
    }

    /// The state in memory and the one in the store, while nothing is under way.
    pub async fn compare(&self) -> Option<Both> {
        let (to, both) = oneshot::channel();
        self.send(Work::Compare(to)).await?;
        both.await.ok()
    }

    /// What is durable.
    pub fn durable(&self) -> Live {
        read(&self.shared.durable).clone()
    }

    /// Configuration and state as the next command finds them: ahead of what is durable.
    pub fn working(&self) -> (Arc<Conf>, State) {
        read(&self.shared.working).clone()
    }

    /// Where the controller's end is told.
    pub fn ending(&self) -> &Ending {
        &self.shared.ending
    }

    /// How long one command has been worked at: a hang, if it is long. Saves that do not get
    /// through are none.
    pub fn busy(&self) -> Duration {
        self.shared.applying.how_long().max(self.shared.concluding.how_long())
    }

    /// What is counted.
    pub fn numbers(&self) -> &Arc<Numbers> {
        &self.shared.numbers
    }

    /// Whether changes are put off, because saves do not get through.
    pub fn is_stuck(&self) -> bool {
        self.shared.flow.is_stuck()
    }

    /// The store, for reading.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Finishes what is under way, and closes the store.
    pub fn close(self) -> Result<(), crate::store::CloseError> {
        self.finish();
        let shared = Arc::clone(&self.shared);
        drop(self);
        let shared = Arc::into_inner(shared).expect("the threads have ended");
        shared.store.close()
    }

    /// Finishes what is under way; nothing is taken any more. What was acknowledged is durable, and
    /// nothing else will be saved.
    pub fn finish(&self) {
        *write(&self.work) = None;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the controller has panicked");
            }
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Ends the controller if a thread panics: nothing would be done any more.
struct Panics<'a>(&'a Shared);

impl Drop for Panics<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.ending.stop(End::Failed("a command could not be worked out: a panic".into()));
        }
    }
}

struct Applier {
    shared: Arc<Shared>,
    applied: SyncSender<Stage>,
    /// Refusals of the store that the working state is later than.
    seen: u64,
}

impl Applier {
    fn run(mut self, mut work: mpsc::Receiver<Work>) {
        let shared = Arc::clone(&self.shared);
        let _panics = Panics(&shared);
        while let Some(work) = work.blocking_recv() {
            if shared.refused.load(Ordering::Acquire) && self.settle().is_none() {
                return;
            }
            let stage = match work {
                Work::Command(command, to) => Stage::Applied(Box::new(self.apply(&command, to))),
                Work::Conf(conf, to) => {
                    write(&shared.working).0 = Arc::clone(&conf);
                    Stage::Conf(conf, to)
                }
                Work::Compare(to) => {
                    let Some(live) = self.settle() else { return };
                    let loaded = State::load(&shared.store.view());
                    let _ = to.send(loaded.map(|loaded| (live.state, loaded)));
                    continue;
                }
            };
            if self.applied.send(stage).is_err() {
                return;
            }
        }
    }

    /// Waits until everything under way is concluded; the working state is the durable one then.
    fn settle(&mut self) -> Option<Live> {
        let (to, settled) = sync_channel(1);
        self.applied.send(Stage::Settled(to)).ok()?;
        let live = settled.recv().ok()?;
        self.seen = self.shared.store.refusals();
        self.shared.refused.store(false, Ordering::Release);
        write(&self.shared.working).1 = live.state.clone();
        Some(live)
    }

    fn apply(&self, command: &Command, to: oneshot::Sender<Message>) -> Applied {
        let incarnation = self.shared.store.incarnation().0;
        let Outcome { changes, reply, effects } = {
            let working = read(&self.shared.working);
            let world = World { conf: &working.0, state: &working.1, now: now() };
            self.shared.applying.during(|| core::apply_in(&incarnation, world, command))
        };
        let began = Instant::now();
        if changes.is_empty() {
            return Applied { save: None, changes, reply, effects, to, began };
        }
        let save = match state::batch(&changes) {
            Ok(batch) => self.shared.store.submit_after(batch, self.seen),
            Err(error) => Err(SaveError::Refused(Refusal::Limit(error))),
        };
        match &save {
            Ok(_) => {
                let mut working = write(&self.shared.working);
                changes.iter().for_each(|change| working.1.take(change.clone()));
            }
            Err(SaveError::Refused(why @ (Refusal::Limit(_) | Refusal::Tables(_)))) => {
                tracing::error!("a request is larger than the store takes: {why}");
                let (reply, changes) = (Message::code(WRITING), Vec::new());
                return Applied { save: None, changes, reply, effects: Vec::new(), to, began };
            }
            // Told to the others in its turn.
            Err(_) => {}
        }
        Applied { save: Some(save), changes, reply, effects, to, began }
    }
}

struct Concluder {
    shared: Arc<Shared>,
}

impl Concluder {
    fn run(&self, stages: &Receiver<Stage>) {
        let _panics = Panics(&self.shared);
        // A save was refused: what was decided after it rests on what never was.
        let mut refused = false;
        for stage in stages {
            match stage {
                Stage::Applied(applied) => match self.conclude(*applied, refused) {
                    Some(is_refused) => refused = is_refused,
                    // Nobody in flight is told anything: the next start decides.
                    None => return,
                },
                Stage::Conf(conf, to) => {
                    let mut live = write(&self.shared.durable);
                    live.conf = conf;
                    (live.conf_changed, live.nodes_changed) = (now(), now());
                    drop(live);
                    let _ = to.send(());
                }
                Stage::Settled(to) => {
                    refused = false;
                    let _ = to.send(read(&self.shared.durable).clone());
                }
            }
        }
    }

    /// Waits for a command's save; whether one is refused. `None`: its fate is unknown.
    fn conclude(&self, applied: Applied, refused: bool) -> Option<bool> {
        let Applied { save, changes, reply, effects, to, began } = applied;
        let flow = &self.shared.flow;
        let saved = match save {
            None if refused => Err(SaveError::Refused(Refusal::Behind)),
            None => Ok(()),
            Some(Err(error)) => Err(error),
            Some(Ok(ticket)) => {
                flow.waits();
                // The save is what the reply rests on: the group's flush.
                let saved = ticket.wait();
                flow.waited();
                saved.map(|_| {
                    self.shared.numbers.saves.note(began.elapsed());
                    flow.got_through();
                })
            }
        };
        match saved {
            Ok(()) => {
                let is_change = !changes.is_empty();
                assert!(!(refused && is_change), "a save behind a refused one is durable");
                if is_change {
                    self.shared.concluding.during(|| self.take(changes));
                }
                effects.into_iter().for_each(|effect| self.begin(effect));
                let _ = to.send(reply);
                Some(refused)
            }
            Err(SaveError::Unknown(poison) | SaveError::Refused(Refusal::Stopped(poison))) => {
                tracing::error!("{poison}");
                self.shared.ending.stop(End::Failed(poison.to_string()));
                None
            }
            Err(SaveError::Refused(refusal)) => {
                if !matches!(refusal, Refusal::Behind) {
                    flow.refused(&refusal);
                }
                self.shared.refused.store(true, Ordering::Release);
                let _ = to.send(Message::code(AGAIN));
                Some(true)
            }
        }
    }

    fn take(&self, changes: Vec<Change>) {
        let mut live = write(&self.shared.durable);
        let now = now();
        for change in changes {
            match change {
                Change::Node(..) => live.nodes_changed = now,
                // Jobs make nodes allocated.
                Change::Job(_) | Change::ForgetJob(_) => {
                    (live.jobs_changed, live.nodes_changed) = (now, now);
                }
                Change::Partition(..) | Change::ForgetPartition(_) => live.conf_changed = now,
                Change::Script(..)
                | Change::ForgetScript(_)
                | Change::NextId(_)
                | Change::Unseen(..)
                | Change::Origin(_) => {}
            }
            live.state.take(change);
        }
    }

    fn begin(&self, effect: Effect) {
        match effect {
            Effect::Note(note) => tracing::info!("{note}"),
            Effect::Schedule => self.shared.bell.ring(),
            // Nobody listens any more when the controller ends.
            other => drop(self.shared.effects.send(other)),
        }
    }
}

#[cfg(test)]
mod tests;
