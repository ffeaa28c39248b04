//! Several controllers over one shared state directory: one reigns, the others stand by.
//!
//! ```text
//!            connections --> door --+--> local: ping, status, takeover, shutdown
//!                                   +--> the service, where this controller reigns
//!                                   +--> relay to whoever does, undecoded
//!  look (register, heartbeat) --\
//!  link (to the primary) --------> shell: role::takeover::Core --> reign: claim, serve, close
//!  session (of each standby) ---/
//!  reach: asks agents, while the other one is silent
//!  warm: follows the log, store and state in memory
//! ```
//!
//! Invariants:
//! - Who reigns is decided by the register, in `role`; everything here only says what happened, and
//!   does what the core says. A mistake here costs time, not jobs.
//! - A frame is decoded once, by whoever serves it.
//! - A controller that was deposed ends at once, with all that is queued in it; its guard starts it
//!   anew, as a standby.

use crate::controller::home::Recover;
use crate::controller::metrics::place::Place;
use crate::controller::service::{Host, Service};
use crate::role::takeover::Event;
use crate::role::{Check, Register, Sight};
use crate::slurm::auth::{Auth, Identity};
use crate::slurm::conf::own::{AuthorityCheck, Own};
use crate::slurm::conf::{Conf, ControllerHost};
use crate::slurm::wire::tables::Peer;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

pub mod alike;
mod closing;
mod door;
mod link;
mod local;
mod look;
pub mod names;
mod post;
mod program;
pub mod reach;
mod reign;
mod relay;
mod session;
pub mod shell;
pub mod standing;
pub mod warm;

/// What becomes of requests now.
#[derive(Clone)]
pub enum Stance {
    /// They are served here.
    Serves(Arc<Service>),
    /// They go to the controller of that place in slurm.conf, which reigns in that epoch.
    Relays {
        /// Its place.
        at: usize,
        /// Its epoch.
        epoch: u64,
    },
    /// They wait.
    Waits,
}

/// A way to another controller.
type Way = mpsc::UnboundedSender<Peer>;

/// What all parts of this controller share.
pub struct Pair {
    /// slurm.conf.
    pub path: PathBuf,
    /// statedir.conf.
    pub own: Own,
    /// This controller; its name is the one in slurm.conf.
    pub host: Host,
    /// All of them.
    pub hosts: Vec<ControllerHost>,
    /// SlurmctldPort.
    pub port: u16,
    /// How credentials are made and checked.
    pub auth: Arc<Auth>,
    /// StateSaveLocation.
    pub dir: PathBuf,
    /// ClusterName.
    pub cluster: String,
    /// SlurmctldTimeout.
    pub timeout: Duration,
    /// How long a request is held while nobody reigns.
    pub hold: Duration,
    /// What the first reign of this process leaves out, unless somebody else reigns before it.
    pub leave_out: Mutex<Recover>,
    /// What becomes of requests.
    pub stance: watch::Sender<Stance>,
    /// What the register says.
    pub sight: watch::Sender<Option<Sight>>,
    /// Where the core learns what happened.
    pub events: mpsc::UnboundedSender<Event>,
    /// Standbys that are connected here.
    pub standbys: Mutex<HashMap<String, Way>>,
    /// The way to the primary.
    pub upstream: Mutex<Option<Way>>,
    /// The last answer to an offer: its epoch, and whether it was taken.
    pub taken: watch::Sender<(u64, bool)>,
    /// Store and state, followed.
    pub warm: Mutex<Option<warm::Following>>,
    /// How far.
    pub progress: warm::Progress,
    /// What is told of this controller to who asks how it stands.
    pub known: Mutex<standing::Known>,
    /// All controllers are to end: nobody takes over.
    pub resigned: AtomicBool,
    /// What this controller has of configuration.
    pub digests: Mutex<alike::Digests>,
    /// Controllers that have something else, and what.
    pub differ: Mutex<BTreeMap<String, Vec<&'static str>>>,
    /// Reigns that were begun here.
    pub takeovers: AtomicU64,
    /// How long the last one took to begin.
    pub takeover_ms: AtomicU64,
    /// A claim is under way, or has won: the log is followed no more.
    pub claiming: AtomicBool,
    /// The epoch that the primary has offered last.
    pub offered: AtomicU64,
    /// The heartbeat in the directory grows.
    pub beats: AtomicBool,
    /// Where hosts are that are known by name.
    pub names: Arc<names::Names>,
    /// How many agents are reached.
    pub reach: reach::Reach,
    /// Requests that are being served here.
    pub served: AtomicUsize,
    /// Connections.
    pub held: AtomicUsize,
    /// Ports that are open.
    pub doors: AtomicUsize,
    /// All ports are to be closed.
    pub closing: watch::Sender<bool>,
}

/// A panic of somebody else ends the controller; until then what he held is as it was.
fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts one more, as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Counted<'a> {
        count.fetch_add(1, Ordering::AcqRel);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Pair {
    /// Says what happened.
    fn happened(&self, event: Event) {
        // Nobody listens any more when the process ends.
        let _ = self.events.send(event);
    }

    fn is_admin(&self, who: Identity) -> bool {
        who.uid == 0 || who.uid == self.host.slurm_user
    }

    /// The place of a controller.
    fn place(&self, host: &str) -> Option<usize> {
        self.hosts.iter().position(|of| of.name == host)
    }

    /// The service, with the promise that it is not closed while the count is held.
    fn enter(&self) -> Option<(Arc<Service>, Counted<'_>)> {
        let counted = Counted::new(&self.served);
        // Looked at after it was counted: whoever closes looks at the count afterwards.
        match &*self.stance.borrow() {
            Stance::Serves(service) => Some((Arc::clone(service), counted)),
            _ => None,
        }
    }

    /// The epoch in which this controller reigns; 0: it does not.
    fn epoch(&self) -> u64 {
        match &*self.stance.borrow() {
            Stance::Serves(service) => service.epoch(),
            _ => 0,
        }
    }

    fn register(&self) -> Result<Register, String> {
        let disk = crate::disk::Real::open(&self.dir).map_err(|error| error.to_string())?;
        let own = &self.hosts[usize::from(self.host.index)];
        let address = format!("{}:{}", own.address, self.port);
        let register = Register::new(Arc::new(disk), &own.name, &address);
        let register = register.map_err(|error| error.to_string())?;
        Ok(match self.own.authority_check {
            None => register,
            Some(AuthorityCheck::Name) => register.checking(Check::Name),
            Some(AuthorityCheck::Mark) => register.checking(Check::Mark),
        })
    }

    /// What is shown in metrics.
    fn place_now(&self) -> Place {
        let reigns = matches!(&*self.stance.borrow(), Stance::Serves(_));
        let role = match self.claiming.load(Ordering::Acquire) {
            _ if reigns => "primary",
            true => "claiming",
            false => "standby",
        };
        let (applied, read) = self.progress.lsns();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Place {
            role,
            epoch: self.sight.borrow().as_ref().map_or(0, |sight| sight.reign.epoch.0),
            applied: applied.0,
            read: read.0,
            standbys: count(lock(&self.standbys).len()),
            takeovers: self.takeovers.load(Ordering::Acquire),
            takeover_ms: self.takeover_ms.load(Ordering::Acquire),
            differ: count(lock(&self.differ).len()),
        }
    }

    /// How often whatever shows life is done.
    fn pulse(&self) -> Duration {
        (self.timeout / 8).min(Duration::from_secs(1))
    }

    /// slurm.conf as it is now; with a mistake in it, as it was.
    fn conf(&self, old: &Conf) -> Conf {
        let loaded = Conf::load(&self.path);
        let mut conf = loaded.unwrap_or_else(|error| {
            tracing::error!("the old configuration stays: {error}");
            old.clone()
        });
        conf.slurm_user = self.host.slurm_user;
        conf
    }
}
