//! When a controller claims, cedes and stands by: a core without I/O. The shell around it waits,
//! names what happened, calls [`Core::step`] and carries the effects out, in order.
//!
//! ```text
//!              +--------- lost, failed, refused ----------+
//!              v                                          |
//! Standby ----------------- claim ----------------> Claiming -- opened --> Primary
//!    ^                                                                       |  |
//!    +------------------------ fenced, ceded --------------------------------+  |
//!    |                                                                          v
//!    +------------------- back to standby ------------- Ceding <--- stop, asked to cede
//!    |                                                     |
//!    +---- stop, shutdown ---> Stopped <-------------------+
//! ```
//!
//! The rules (each has a test of its name):
//! - A primary's death is acted on at once only where this standby saw that very reign alive on its
//!   standing connection, and then an end of it: EOF, reset, refusal.
//! - Silence is acted on after the timeout. Where the primary's heartbeat in the directory goes on
//!   meanwhile, only if this standby reaches more agents than that heartbeat says.
//! - Who was deposed does not claim back for max(30 s, 4 × timeout), and twice as long each further
//!   time, unless the new primary's heartbeat has stopped, too; nor does a process of it that was
//!   started since: the register remembers.
//! - Stopping is a switchover: the reign is handed to a standby that is connected and not stopping,
//!   before the process ends. A shutdown hands to nobody.
//! - A claim is for the epoch after the one that was judged: who claimed since is left in peace.
//! - Nobody reigns at first: the host that is listed first claims at once, others after the
//!   timeout. Who was the primary and comes back before anybody has claimed goes on at once.
//!
//! Invariants: nothing here is needed for safety. Whatever is claimed when, the register lets one
//! win, and whoever is fenced is told by its own authority. Times are of a clock that never goes
//! back; a core that was frozen sees time jump, and treats what it has not heard as silence only
//! after it has looked again.

use crate::base::Epoch;
use crate::format::Reason;
use crate::role::quarantine;
use std::collections::BTreeMap;
use std::time::Duration;

/// A deposed controller waits at least so long before it claims back.
pub const QUARANTINE_MIN: Duration = Duration::from_secs(30);

/// And at least so many timeouts.
pub const QUARANTINE_TIMEOUTS: u32 = 4;

/// It doubles so many times at most.
pub const DOUBLINGS_MAX: u32 = 6;

/// A reign of so many of the shortest quarantines is no flapping: the next one is short again.
pub const CALM_QUARANTINES: u32 = 10;

/// What the core is told once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conf {
    /// This host, as SlurmctldHost names it.
    pub host: String,
    /// All controllers, in the order of slurm.conf; this host is one of them.
    pub hosts: Vec<String>,
    /// SlurmctldTimeout.
    pub timeout: Duration,
}

impl Conf {
    /// The place of this host in the list.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.hosts.iter().position(|host| *host == self.host).unwrap_or(self.hosts.len())
    }
}

/// What a controller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Follows, relays, watches.
    Standby,
    /// Claims, and opens the store.
    Claiming,
    /// Serves.
    Primary,
    /// Has stopped saving, closes the store and hands over.
    Ceding,
    /// Is about to exit.
    Stopped,
}

/// Whether a controller may become `to`.
#[must_use]
pub fn may_become(from: Role, to: Role) -> bool {
    use Role::{Ceding, Claiming, Primary, Standby, Stopped};
    matches!(
        (from, to),
        (Standby, Claiming | Stopped)
            | (Claiming, Standby | Primary | Stopped)
            | (Primary, Standby | Ceding | Stopped)
            | (Ceding, Standby | Stopped)
    )
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Time has passed. To be given often: at least ten times in a timeout.
    Tick,
    /// The register was looked at: the newest reign, and its primary, if anybody reigns.
    Register {
        /// Its epoch.
        epoch: Epoch,
        /// Its primary; `None`: nobody has reigned yet.
        primary: Option<String>,
    },
    /// The heartbeat of a reign was read.
    Beat {
        /// The reign.
        epoch: Epoch,
        /// Its ordinal: that it has grown since the last time says that the primary lives.
        ordinal: u64,
        /// How many agents the primary reaches.
        agents: u32,
        /// The primary is stopping.
        stopping: bool,
    },
    /// Something of the primary of this reign came on the standing connection to it.
    Heard {
        /// The reign, as the primary itself says.
        epoch: Epoch,
    },
    /// The standing connection to the primary ended: EOF, reset, or refused.
    Ended {
        /// The host that it led to.
        host: String,
    },
    /// How many agents this controller reaches.
    Agents(u32),
    /// Another controller is connected as a standby that could take over, or is not any more.
    Standby {
        /// Who.
        host: String,
        /// Whether it could: connected, caught up, not stopping.
        ready: bool,
    },
    /// The primary has closed the store of this reign and hands it over to this controller.
    Offered {
        /// The reign that ends.
        epoch: Epoch,
    },
    /// The claim that was asked for won, and the store is open: this controller may serve.
    Opened {
        /// The reign.
        epoch: Epoch,
    },
    /// The claim was lost, denied or failed, or the store could not be opened.
    NotOpened {
        /// Why.
        why: Why,
    },
    /// The authority of this controller's reign said no.
    Fenced,
    /// The store is closed, as [`Effect::Close`] asked: everything acknowledged is flushed.
    Closed,
    /// The standby that the reign was offered to serves, or has refused or vanished (`false`).
    Taken(bool),
    /// What the register remembers: a process of this controller before this one was deposed.
    Deposed {
        /// For so long it does not claim.
        left: Duration,
        /// How often the next quarantine is doubled.
        doublings: u32,
    },
    /// An operator wants this controller to be the primary.
    TakeOver,
    /// The standby `to` asks for the reign, because an operator wants so.
    Cede {
        /// Who.
        to: String,
    },
    /// An operator says that this controller, which was deposed, may claim again.
    Pardoned,
    /// This process is to end: SIGTERM, `systemctl stop`.
    Stop,
    /// All controllers are to end: `scontrol shutdown`.
    Shutdown,
}

/// Why a controller that claimed does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Another one was quicker.
    Lost,
    /// This host may not claim: no primary has admitted it.
    Denied,
    /// The directory cannot be read or written, or the store is damaged.
    Failed,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Claim the epoch after this one, open the store and say [`Event::Opened`] or
    /// [`Event::NotOpened`]. Where the register knows a later one, the claim is lost already: what
    /// was held against the primary was held against another.
    Claim {
        /// The reign that was found wanting.
        after: Epoch,
        /// Why.
        reason: Reason,
    },
    /// Serve: run SlurmctldPrimaryOnProg, take commands, beat.
    Serve,
    /// Take no more commands, finish what is under way, close the store; then [`Event::Closed`].
    Close,
    /// The reign is over without a close: drop what is queued, answer nobody, let go of the store.
    Drop,
    /// Say on the connection to this standby that it may claim; then [`Event::Taken`].
    Offer {
        /// Who.
        to: String,
        /// The reign that has ended.
        epoch: Epoch,
    },
    /// Ask the primary on the standing connection for the reign.
    AskFor {
        /// The primary.
        host: String,
    },
    /// Run SlurmctldPrimaryOffProg; follow the log and relay again.
    StandBy,
    /// End the process.
    Exit,
    /// A line for the log, and for `statectl events`.
    Say(String),
}

/// What is known of the reign of another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
struct Other {
    epoch: Epoch,
    primary: Option<String>,
    /// The register was looked at, and tells of this reign or of none later.
    seen: bool,
    /// When this reign was first heard of, here.
    since: Duration,
    /// When something last came on the standing connection, of this very reign.
    heard: Option<Duration>,
    /// The connection has ended since.
    ended: bool,
    beat: Option<u64>,
    /// When the heartbeat was last seen to grow.
    beat_at: Option<Duration>,
    agents: u32,
    stopping: bool,
}

/// The core.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Core {
    conf: Conf,
    role: Role,
    own: Epoch,
    other: Other,
    agents: u32,
    standbys: BTreeMap<String, bool>,
    /// Whom the reign is being handed to.
    heir: Option<String>,
    stopping: bool,
    wanted: bool,
    asked_at: Option<Duration>,
    deposed_until: Option<Duration>,
    doublings: u32,
    reigns_since: Duration,
    /// No claim before this: one has just failed.
    retry_at: Duration,
    denied_told: bool,
    last: Duration,
}

impl Core {
    /// A controller that has just started: a standby that knows nothing yet.
    #[must_use]
    pub fn new(conf: Conf, now: Duration) -> Core {
        Core {
            conf,
            role: Role::Standby,
            own: Epoch(0),
            other: Other { since: now, ..Other::default() },
            agents: 0,
            standbys: BTreeMap::new(),
            heir: None,
            stopping: false,
            wanted: false,
            asked_at: None,
            deposed_until: None,
            doublings: 0,
            reigns_since: now,
            retry_at: now,
            denied_told: false,
            last: now,
        }
    }

    /// What this controller is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The epoch of this controller's own last reign.
    #[must_use]
    pub fn own_epoch(&self) -> Epoch {
        self.own
    }

    /// Who reigns, as far as is known here.
    #[must_use]
    pub fn primary(&self) -> Option<&str> {
        match self.role {
            Role::Primary | Role::Ceding => Some(&self.conf.host),
            _ => self.other.primary.as_deref(),
        }
    }

    /// Whom the reign is being handed to.
    #[must_use]
    pub fn heir(&self) -> Option<&str> {
        self.heir.as_deref()
    }

    /// Standbys that were connected to this controller while it reigned, and whether each could
    /// take over.
    #[must_use]
    pub fn standbys(&self) -> &BTreeMap<String, bool> {
        &self.standbys
    }

    /// Until when this controller does not claim because it was deposed.
    #[must_use]
    pub fn quarantined_until(&self) -> Option<Duration> {
        self.deposed_until
    }

    /// Takes an event at `now` and returns what is to be done, in order.
    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        // A core that was frozen has not looked for as long: what it missed is not silence yet.
        let gap = now.saturating_sub(self.last);
        if gap > self.conf.timeout / 2 {
            self.forgive(gap);
        }
        self.last = now;
        self.note(now, &event);
        match self.role {
            Role::Standby => self.stand_by(now, event, &mut effects),
            Role::Claiming => self.claiming(now, event, &mut effects),
            Role::Primary => self.reign(now, event, &mut effects),
            Role::Ceding => self.cede(now, event, &mut effects),
            Role::Stopped => {}
        }
        effects
    }

    /// Moves what was last heard on by the time that nobody listened.
    fn forgive(&mut self, gap: Duration) {
        let other = &mut self.other;
        other.since += gap;
        for at in [&mut other.heard, &mut other.beat_at].into_iter().flatten() {
            *at += gap;
        }
    }

    fn become_(&mut self, role: Role) {
        assert!(may_become(self.role, role), "{:?} becomes {role:?}", self.role);
        self.role = role;
    }

    /// What every role takes notice of.
    fn note(&mut self, now: Duration, event: &Event) {
        match event {
            Event::Register { epoch, primary } => {
                self.learn(now, *epoch, primary.clone());
                // One that is heard of, but not looked up yet, has a primary whose name is to come.
                self.other.seen |= *epoch >= self.other.epoch;
            }
            Event::Beat { epoch, ordinal, agents, stopping } if *epoch == self.other.epoch => {
                let other = &mut self.other;
                // The first look proves nothing: a dead one's beat stands there, too.
                if other.beat.is_some_and(|beat| *ordinal > beat) {
                    other.beat_at = Some(now);
                }
                other.beat = other.beat.max(Some(*ordinal));
                (other.agents, other.stopping) = (*agents, *stopping);
            }
            Event::Heard { epoch } => {
                self.learn(now, *epoch, None);
                if *epoch == self.other.epoch {
                    self.other.heard = Some(now);
                    self.other.ended = false;
                }
            }
            Event::Ended { host } if self.other.primary.as_ref() == Some(host) => {
                // To one that was deposed, an end of the link is not an end of the primary.
                self.other.ended = self.deposed_until.is_none_or(|until| now >= until);
            }
            Event::Deposed { left, doublings } => {
                self.deposed_until = (!left.is_zero()).then_some(now + *left);
                self.doublings = *doublings;
            }
            Event::Agents(reached) => self.agents = *reached,
            Event::Standby { host, ready } => {
                self.standbys.insert(host.clone(), *ready);
            }
            Event::Pardoned => (self.deposed_until, self.doublings) = (None, 0),
            Event::Stop | Event::Shutdown => self.stopping = true,
            _ => {}
        }
    }

    /// A reign was seen.
    fn learn(&mut self, now: Duration, epoch: Epoch, primary: Option<String>) {
        if epoch > self.other.epoch {
            self.other = Other { epoch, primary, since: now, ..Other::default() };
        } else if epoch == self.other.epoch && self.other.primary.is_none() {
            self.other.primary = primary;
        }
    }

    fn stand_by(&mut self, now: Duration, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Stop | Event::Shutdown => {
                self.become_(Role::Stopped);
                effects.push(Effect::Exit);
                return;
            }
            Event::TakeOver => {
                self.wanted = true;
                self.asked_at = Some(now);
                if let Some(host) = self.living_other(now) {
                    effects.push(Effect::AskFor { host });
                    return;
                }
            }
            Event::Offered { epoch } if epoch >= self.other.epoch => {
                self.learn(now, epoch, None);
                let reason = if self.wanted { Reason::Asked } else { Reason::Handover };
                self.try_claim(now, reason, "the primary hands over", effects);
                return;
            }
            _ => {}
        }
        if let Some((reason, why)) = self.occasion(now) {
            self.try_claim(now, reason, why, effects);
        }
    }

    /// The primary that is there to be asked.
    fn living_other(&self, now: Duration) -> Option<String> {
        let fresh = |at: &Option<Duration>| at.is_some_and(|at| now - at < self.conf.timeout);
        let lives = fresh(&self.other.heard) && !self.other.ended;
        self.other.primary.clone().filter(|host| lives && *host != self.conf.host)
    }

    /// Whether there is reason to claim now.
    fn occasion(&self, now: Duration) -> Option<(Reason, &'static str)> {
        let timeout = self.conf.timeout;
        let other = &self.other;
        if self.stopping || !other.seen || now < self.retry_at {
            return None;
        }
        let long_ago = |at: Duration| now.saturating_sub(at) >= timeout;
        let beats = other.beat_at.is_some_and(|at| !long_ago(at));
        let silent = long_ago(other.since) && other.heard.is_none_or(long_ago);
        if self.wanted && self.asked_at.is_some_and(long_ago) {
            return Some((Reason::Asked, "asked to take over, and the primary does not answer"));
        }
        match &other.primary {
            None if self.conf.rank() == 0 || silent => Some((Reason::Start, "nobody reigns")),
            None => None,
            Some(host) if *host == self.conf.host && self.own != other.epoch => {
                Some((Reason::Start, "this host reigned last, and nobody has claimed since"))
            }
            Some(host) if *host == self.conf.host => {
                silent.then_some((Reason::Start, "nobody has claimed since this host ceded"))
            }
            Some(_) if self.deposed_until.is_some_and(|until| now < until) => {
                let dead = silent && !beats && other.beat_at.is_none_or(long_ago);
                dead.then_some((Reason::Silent, "the primary that deposed this one is silent"))
            }
            Some(_) if other.heard.is_some() && other.ended => {
                Some((Reason::Dead, "the primary's connection ended"))
            }
            Some(_) if silent && !beats => Some((Reason::Silent, "the primary is silent")),
            Some(_) if silent && self.agents > other.agents => {
                let why = "the primary is silent, and reaches fewer agents than this one";
                Some((Reason::Silent, why))
            }
            Some(_) => None,
        }
    }

    fn try_claim(&mut self, now: Duration, reason: Reason, why: &str, effects: &mut Vec<Effect>) {
        if self.stopping {
            return;
        }
        let after = self.other.epoch;
        self.become_(Role::Claiming);
        self.retry_at = now + self.conf.timeout;
        effects.push(Effect::Say(format!("claims the epoch after {after}: {why}")));
        effects.push(Effect::Claim { after, reason });
    }

    fn claiming(&mut self, now: Duration, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Opened { epoch } => {
                self.own = epoch;
                self.learn(now, epoch, Some(self.conf.host.clone()));
                self.other.seen = true;
                (self.wanted, self.asked_at, self.deposed_until) = (false, None, None);
                self.reigns_since = now;
                self.become_(Role::Primary);
                effects.push(Effect::Say(format!("primary in epoch {epoch}")));
                effects.push(Effect::Serve);
                if self.stopping {
                    self.end_reign(effects);
                }
            }
            Event::NotOpened { why } => {
                (self.wanted, self.asked_at) = (false, None);
                if why == Why::Denied && !self.denied_told {
                    self.denied_told = true;
                    let text =
                        "may not claim: no primary has seen that this host sees the directory";
                    effects.push(Effect::Say(text.to_owned()));
                }
                if self.stopping {
                    self.become_(Role::Stopped);
                    effects.push(Effect::Exit);
                } else {
                    self.become_(Role::Standby);
                    effects.push(Effect::Say(format!("stays a standby: {why:?}")));
                }
            }
            _ => {}
        }
    }

    fn reign(&mut self, now: Duration, event: Event, effects: &mut Vec<Effect>) {
        let deposed = self.other.epoch > self.own;
        match event {
            Event::Fenced => self.depose(now, effects),
            Event::Register { .. } | Event::Heard { .. } if deposed => self.depose(now, effects),
            Event::Stop => self.end_reign(effects),
            Event::Shutdown => {
                self.heir = None;
                self.become_(Role::Ceding);
                effects.push(Effect::Say("shutdown: hands to nobody".to_owned()));
                effects.push(Effect::Close);
            }
            Event::Cede { to } if self.standbys.get(&to) == Some(&true) => {
                self.hand_to(to, effects);
            }
            Event::Cede { to } => {
                effects.push(Effect::Say(format!("{to} asks for the reign, but is not ready")));
            }
            _ => {}
        }
    }

    /// Hands over to the first standby that is ready, or to nobody.
    fn end_reign(&mut self, effects: &mut Vec<Effect>) {
        let ready = |host: &&String| self.standbys.get(*host) == Some(&true);
        match self.conf.hosts.iter().find(ready).cloned() {
            Some(heir) => self.hand_to(heir, effects),
            None => {
                self.heir = None;
                self.become_(Role::Ceding);
                effects.push(Effect::Say("stops: no standby is ready".to_owned()));
                effects.push(Effect::Close);
            }
        }
    }

    fn hand_to(&mut self, heir: String, effects: &mut Vec<Effect>) {
        effects.push(Effect::Say(format!("hands over to {heir}")));
        effects.push(Effect::Close);
        self.heir = Some(heir);
        self.become_(Role::Ceding);
    }

    fn depose(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let timeout = self.conf.timeout;
        if now.saturating_sub(self.reigns_since) >= quarantine::least(timeout) * CALM_QUARANTINES {
            self.doublings = 0;
        }
        self.deposed_until = Some(now + quarantine::length(timeout, self.doublings));
        self.doublings += 1;
        effects.push(Effect::Say(format!("deposed in epoch {}", self.own)));
        effects.push(Effect::Drop);
        self.rest(now, effects);
    }

    fn cede(&mut self, now: Duration, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Fenced => {
                effects.push(Effect::Drop);
                self.rest(now, effects);
            }
            Event::Closed => match self.heir.clone() {
                Some(to) => effects.push(Effect::Offer { to, epoch: self.own }),
                None => self.rest(now, effects),
            },
            Event::Taken(taken) => {
                if !taken {
                    let heir = self.heir.take().unwrap_or_default();
                    self.standbys.insert(heir.clone(), false);
                    effects.push(Effect::Say(format!("{heir} has not taken over")));
                }
                self.rest(now, effects);
            }
            _ => {}
        }
    }

    /// The reign is over: goes, or stands by.
    fn rest(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.heir = None;
        // Whoever is to follow has the whole timeout to do so.
        self.other.since = now;
        if self.stopping {
            self.become_(Role::Stopped);
            effects.push(Effect::StandBy);
            effects.push(Effect::Exit);
        } else {
            self.become_(Role::Standby);
            effects.push(Effect::StandBy);
        }
    }
}

#[cfg(test)]
mod tests;
