//! Around the core: waits, names what happened, does what the core says, in order.

use crate::base::Epoch;
use crate::controller::metrics;
use crate::controller::pair::reign::{self, Opened, Reign};
use crate::controller::pair::{Pair, Stance, door, link, lock, look, program, reach, warm};
use crate::controller::service::Service;
use crate::controller::vital;
use crate::role::Register;
use crate::role::takeover::{Conf as Facts, Core, Effect, Event, Why};
use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::peer;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

/// How long whoever waits at the port may take at the end: he gets his answer from the next one.
const LINGER: Duration = Duration::from_secs(2);

/// How a controller of a pair ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In order.
    Done,
    /// It is to begin anew.
    Again(String),
}

/// What the shell holds.
pub struct Shell {
    pair: Arc<Pair>,
    register: Register,
    conf: Conf,
    core: Core,
    began: Instant,
    opened: Arc<Mutex<Option<Opened>>>,
    reign: Option<Reign>,
    heir: Option<String>,
    claimed_at: Instant,
}

impl Shell {
    /// A controller that stands by.
    ///
    /// # Errors
    /// The state directory cannot be used.
    pub fn new(pair: Arc<Pair>, conf: Conf) -> Result<Shell, String> {
        let register = pair.register()?;
        let hosts = pair.hosts.iter().map(|host| host.name.clone()).collect();
        let facts = Facts { host: pair.host.name.clone(), hosts, timeout: pair.timeout };
        let core = Core::new(facts, Duration::ZERO);
        let began = Instant::now();
        let opened = Arc::default();
        Ok(Shell {
            pair,
            register,
            conf,
            core,
            began,
            opened,
            reign: None,
            heir: None,
            claimed_at: began,
        })
    }

    /// Stands by, reigns, and stands by, until the end.
    ///
    /// # Errors
    /// What keeps it from going on.
    pub async fn run(
        mut self,
        mut events: mpsc::UnboundedReceiver<Event>,
        listeners: Vec<TcpListener>,
        mut status: impl FnMut(&str),
    ) -> Result<Outcome, String> {
        let off = self.conf.text("SlurmctldPrimaryOffProg").map(str::to_owned);
        // What a reign of this host that was cut short has left behind.
        let run = move || program::run("SlurmctldPrimaryOffProg", off.as_deref());
        spawn_blocking(run).await.map_err(|error| error.to_string())?;
        self.threads()?;
        // Before anybody is answered: one that is killed then is started again.
        status("standby");
        for listener in listeners {
            vital::task("accept", door::accept(Arc::clone(&self.pair), listener));
        }
        vital::task("link", link::run(Arc::clone(&self.pair)));
        let pair = Arc::clone(&self.pair);
        let tell =
            move || Some(metrics::text_of(Shell::service(&pair).as_deref(), pair.place_now()));
        vital::task("metrics", metrics::run_of(self.pair.own.metrics, Arc::new(tell)));
        let mut ticks = tokio::time::interval((self.pair.timeout / 20).min(Duration::from_secs(1)));
        loop {
            let event = tokio::select! {
                Some(event) = events.recv() => event,
                _ = ticks.tick() => Event::Tick,
            };
            let effects = self.core.step(self.began.elapsed(), event);
            lock(&self.pair.known).learn(&self.core, self.began);
            let ends = effects.contains(&Effect::Exit);
            for effect in effects {
                match effect {
                    Effect::Say(text) => tracing::info!("{text}"),
                    Effect::Claim { after, reason } => self.claim(after, reason),
                    Effect::Serve => {
                        self.serve().await?;
                        status(&format!("in charge, epoch {}", self.core.own_epoch()));
                    }
                    Effect::Close => self.close(),
                    Effect::Offer { to, epoch } => self.offer(to, epoch),
                    Effect::AskFor { host } => self.ask_for(&host),
                    Effect::Drop => {
                        let epoch = self.core.own_epoch();
                        return Ok(Outcome::Again(format!("deposed in epoch {epoch}")));
                    }
                    Effect::StandBy => {
                        if let Some(outcome) = self.stand_by(ends).await {
                            return Ok(outcome);
                        }
                    }
                    Effect::Exit => {
                        self.linger().await;
                        return Ok(Outcome::Done);
                    }
                }
            }
        }
    }

    /// The threads that look at the directory, and ask agents.
    fn threads(&self) -> Result<(), String> {
        let (pair, conf) = (Arc::clone(&self.pair), self.conf.clone());
        vital::thread("reach", move || reach::run(&pair, &conf))?;
        let (pair, register) = (Arc::clone(&self.pair), self.register.clone());
        vital::thread("look", move || {
            let follows = Arc::clone(&pair);
            let shared = look::share(&pair, &register);
            // A standby that follows nothing takes over slowly, and does not say so.
            match shared.and_then(|()| vital::thread("warm", move || warm::run(&follows))) {
                Ok(()) => look::run(&pair, &register),
                Err(why) => crate::controller::daemon::fail(&why),
            }
        })
    }

    /// The service, while this controller reigns.
    #[must_use]
    pub fn service(pair: &Pair) -> Option<Arc<Service>> {
        match &*pair.stance.borrow() {
            Stance::Serves(service) => Some(Arc::clone(service)),
            _ => None,
        }
    }

    fn claim(&mut self, after: Epoch, reason: crate::format::Reason) {
        self.claimed_at = Instant::now();
        let (pair, register) = (Arc::clone(&self.pair), self.register.clone());
        let (conf, opened) = (self.conf.clone(), Arc::clone(&self.opened));
        let claims = spawn_blocking(move || {
            pair.claiming.store(true, Ordering::Release);
            let reign = reign::claim(&pair, &register, &conf, (after, reason))?;
            let epoch = reign.epoch();
            *lock(&opened) = Some(reign);
            Ok(epoch)
        });
        let pair = Arc::clone(&self.pair);
        vital::task("claim", async move {
            let event = match come_to(claims).await {
                Ok(epoch) => Event::Opened { epoch },
                Err((why, text)) => {
                    tracing::error!("no reign: {text}");
                    pair.claiming.store(false, Ordering::Release);
                    pair.tell_upstream(false);
                    Event::NotOpened { why }
                }
            };
            pair.happened(event);
        });
    }

    async fn serve(&mut self) -> Result<(), String> {
        let opened = lock(&self.opened).take().expect("it was opened");
        self.reign = Some(Reign::begin(&self.pair, opened).await?);
        let took = self.claimed_at.elapsed().as_millis();
        self.pair.takeover_ms.store(u64::try_from(took).unwrap_or(u64::MAX), Ordering::Release);
        self.pair.takeovers.fetch_add(1, Ordering::AcqRel);
        tracing::info!("requests are served, {took} ms after the reason to claim");
        self.pair.tell_upstream(true);
        Ok(())
    }

    fn close(&mut self) {
        if self.core.heir().is_some() {
            // Whoever comes from now on goes to the heir at once, and waits there.
            self.pair.closing.send_replace(true);
        }
        match self.reign.take() {
            Some(reign) => drop(vital::task("close", reign.close(Arc::clone(&self.pair)))),
            None => self.pair.happened(Event::Closed),
        }
    }

    fn offer(&mut self, to: String, epoch: Epoch) {
        self.heir = Some(to.clone());
        let pair = Arc::clone(&self.pair);
        // Those who wait here wait at the heir from now on.
        self.relay_to(&to, Epoch(epoch.0 + 1));
        let way = lock(&pair.standbys).get(&to).cloned();
        let mut answers = pair.taken.subscribe();
        let offered =
            way.is_some_and(|way| way.send(pair.word(peer::OFFERS, epoch.0, true)).is_ok());
        let patience = pair.timeout.max(Duration::from_secs(5));
        vital::task("offer", async move {
            let answer = answers.wait_for(|(of, _)| *of == epoch.0);
            let taken = offered
                && timeout(patience, answer).await.is_ok_and(|answer| answer.is_ok_and(|a| a.1));
            pair.happened(Event::Taken(taken));
        });
    }

    fn ask_for(&self, host: &str) {
        tracing::info!("asks {host} for the reign");
        if let Some(way) = &*lock(&self.pair.upstream) {
            let _ = way.send(self.pair.word(peer::ASKS, 0, true));
        }
    }

    fn relay_to(&self, host: &str, epoch: Epoch) {
        if let Some(at) = self.pair.place(host) {
            self.pair.stance.send_replace(Stance::Relays { at, epoch: epoch.0 });
        }
    }

    /// The reign was ceded. Whoever waits here is passed on to the next one.
    async fn stand_by(&mut self, ends: bool) -> Option<Outcome> {
        let heir = self.heir.take();
        if let Some(heir) = &heir {
            self.relay_to(heir, Epoch(self.core.own_epoch().0 + 1));
        }
        if ends {
            let off = self.conf.text("SlurmctldPrimaryOffProg").map(str::to_owned);
            let run = move || program::run("SlurmctldPrimaryOffProg", off.as_deref());
            let _ = spawn_blocking(run).await;
            return None;
        }
        self.linger().await;
        let to = heir.unwrap_or_else(|| "nobody".to_owned());
        Some(Outcome::Again(format!("epoch {} was ceded to {to}", self.core.own_epoch())))
    }

    /// Closes the ports, and waits for those who are at them still.
    async fn linger(&self) {
        if self.pair.resigned.load(Ordering::Acquire) {
            // Whoever shuts all of them down tells each, and wants an answer of each.
            tokio::time::sleep(LINGER).await;
        }
        let until = Instant::now() + LINGER;
        self.pair.closing.send_replace(true);
        let open = || self.pair.doors.load(Ordering::Acquire) > 0;
        // Standing connections are among those that are held, and end with the process.
        let standbys = || lock(&self.pair.standbys).len();
        let held = || self.pair.held.load(Ordering::Acquire) > standbys();
        while Instant::now() < until && (open() || held()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// What a claim has come to. One that panicked has failed: the core would wait for its end for
/// ever.
async fn come_to<T>(claims: JoinHandle<Result<T, (Why, String)>>) -> Result<T, (Why, String)> {
    claims.await.unwrap_or_else(|error| Err((Why::Failed, format!("the claim: {error}"))))
}

impl Pair {
    /// Whether what was offered is taken.
    fn tell_upstream(&self, taken: bool) {
        let offered = self.offered.load(Ordering::Acquire);
        if let Some(way) = &*lock(&self.upstream) {
            let _ = way.send(self.word(peer::TAKEN, offered, taken));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_panics_has_failed_and_is_waited_for_no_longer() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let came = |claim: fn() -> Result<u8, (Why, String)>| {
            runtime.block_on(async { come_to(spawn_blocking(claim)).await })
        };
        assert_eq!(came(|| Ok(7)), Ok(7));
        assert_eq!(came(|| Err((Why::Lost, "b".into()))).unwrap_err().0, Why::Lost);
        let (why, text) = came(|| panic!("on purpose")).unwrap_err();
        assert!(why == Why::Failed && text.contains("on purpose"), "{text}");
    }
}
