//! A reign of this controller: claimed, served, closed.
//!
//! Invariants: nothing is served before the store is open in the reign's epoch and OnProg has run;
//! when a reign is closed, everything that was acknowledged is durable and nothing more will be.

use crate::base::{Authority, Epoch};
use crate::controller::agents;
use crate::controller::home::{self, HomeError, Recover};
use crate::controller::metrics;
use crate::controller::pair::{Pair, Stance, lock, program, warm};
use crate::controller::sched;
use crate::controller::service::{End, Host, Service, now};
use crate::controller::state::State;
use crate::controller::vital;
use crate::format::Reason;
use crate::role::takeover::{Event, Why};
use crate::role::{ClaimError, Heart, Register, Reigning};
use crate::slurm::conf::Conf;
use crate::store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, spawn_blocking};

/// How long requests that are under way may take when a reign is closed.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long messages to agents may. Short: an agent that asks something before it answers waits for
/// the next reign itself. What it has done is known by what it reports there.
const AGENTS_FAREWELL: Duration = Duration::from_millis(50);

/// How long those may that the last requests led to.
const AGENTS_LEAST: Duration = Duration::from_millis(10);

/// A claim that won, and the store.
pub struct Opened {
    reigning: Arc<Reigning>,
    store: Store,
    state: State,
    conf: Conf,
}

impl Opened {
    /// The reign.
    pub fn epoch(&self) -> Epoch {
        self.reigning.reign().epoch
    }
}

/// Claims the epoch after `after` and opens the store in it. Waits for the disk.
///
/// # Errors
/// Why not, for the core and in words.
pub fn claim(
    pair: &Pair,
    register: &Register,
    old: &Conf,
    (after, reason): (Epoch, Reason),
) -> Result<Opened, (Why, String)> {
    let began = Instant::now();
    let sight = register.look().map_err(|error| (Why::Failed, error.to_string()))?;
    let newest = sight.reign.epoch;
    if newest != after {
        // Whoever has claimed since it was decided to is left in peace.
        return Err((
            Why::Lost,
            format!("epoch {newest} has begun since epoch {after} was judged"),
        ));
    }
    let reigning = register.claim_after(&sight, reason).map_err(|error| {
        let why = match &error {
            ClaimError::Lost { .. } => Why::Lost,
            ClaimError::Denied(_) => Why::Denied,
            ClaimError::Register(_) => Why::Failed,
        };
        (why, error.to_string())
    })?;
    let failed = |error: &dyn std::fmt::Display| (Why::Failed, error.to_string());
    let reigning = Arc::new(reigning);
    let claimed = began.elapsed();
    let leave_out = std::mem::take(&mut *lock(&pair.leave_out));
    let authority: Arc<dyn Authority> = reigning.clone();
    let followed = promoted(pair, leave_out, Arc::clone(&authority)).map_err(|e| failed(&e))?;
    let warm = followed.is_some();
    let (store, state) = match followed {
        Some(both) => both,
        None => cold(pair, leave_out, authority).map_err(|error| failed(&error))?,
    };
    let all = began.elapsed();
    let ms = |time: Duration| time.as_millis();
    tracing::info!(
        "epoch {} is claimed ({} ms), store and state of {} jobs were {} ({} ms)",
        reigning.reign().epoch,
        ms(claimed),
        state.jobs.len(),
        if warm { "followed" } else { "loaded" },
        ms(all - claimed)
    );
    Ok(Opened { reigning, store, state, conf: pair.conf(old) })
}

/// The store and the state that were followed, if they can go on.
fn promoted(
    pair: &Pair,
    leave_out: Recover,
    authority: Arc<dyn Authority>,
) -> Result<Option<(Store, State)>, HomeError> {
    let asks_nothing = leave_out == Recover::default();
    let Some(following) = warm::hand_out(pair).filter(|_| asks_nothing) else { return Ok(None) };
    match home::promote(&pair.dir, &pair.cluster, &pair.own, |of| following.promote(of, authority))
    {
        Ok(both) => both.map(Some),
        Err(why) => {
            tracing::info!("store and state are loaded, for they cannot be followed on: {why}");
            Ok(None)
        }
    }
}

/// The store opened, and the state loaded.
fn cold(
    pair: &Pair,
    leave_out: Recover,
    authority: Arc<dyn Authority>,
) -> Result<(Store, State), HomeError> {
    let store = home::open_store(&pair.dir, &pair.cluster, &pair.own, leave_out, authority)?;
    let state = home::state_in(&pair.dir, &store)?;
    Ok((store, state))
}

/// What belongs to a reign that is being served.
pub struct Reign {
    service: Arc<Service>,
    agents: Option<agents::Running>,
    starts: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Reign {
    /// Begins to serve.
    ///
    /// # Errors
    /// No threads can be started.
    pub async fn begin(pair: &Arc<Pair>, opened: Opened) -> Result<Reign, String> {
        let Opened { reigning, store, state, conf } = opened;
        let on = conf.text("SlurmctldPrimaryOnProg").map(str::to_owned);
        let run = move || program::run("SlurmctldPrimaryOnProg", on.as_deref());
        spawn_blocking(run).await.map_err(|error| error.to_string())?;
        let host = Host { started: now(), ..pair.host.clone() };
        let (service, effects) = Service::new(conf, Arc::clone(&pair.auth), store, state, host)
            .map_err(|error| format!("threads: {error}"))?;
        let service = Arc::new(service.reigning(Arc::clone(&reigning)));
        let stop = Arc::new(AtomicBool::new(false));
        beat(pair, &service, reigning, &stop)?;
        service.begin().await;
        let bell = service.board().bell().clone();
        let agents = Some(agents::start(&service, effects, bell.clone()));
        let starts = vital::task("starts", sched::run::run(Arc::clone(&service), bell));
        let ends = ends(Arc::clone(pair), Arc::clone(&service));
        let mut tasks = vec![vital::task("ends", ends)];
        if pair.own.metrics.is_some() {
            let measures = metrics::measure(Arc::clone(&service), pair.dir.clone());
            tasks.push(vital::task("measure", measures));
        }
        pair.stance.send_replace(Stance::Serves(Arc::clone(&service)));
        Ok(Reign { service, agents, starts, tasks, stop })
    }

    /// Takes no more requests, finishes those that are under way, and says that it has.
    pub async fn close(mut self, pair: Arc<Pair>) {
        pair.stance.send_replace(Stance::Waits);
        let began = Instant::now();
        // The next one starts jobs.
        self.starts.abort();
        while pair.served.load(Ordering::Acquire) > 0 && began.elapsed() < FAREWELL {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let requests = began.elapsed();
        for task in &self.tasks {
            task.abort();
        }
        if let Some(agents) = self.agents.take() {
            // While requests were waited for, messages went on.
            let left = AGENTS_FAREWELL.saturating_sub(requests).max(AGENTS_LEAST);
            agents.finish_within(left).await;
        }
        let messages = began.elapsed();
        let service = Arc::clone(&self.service);
        let _ = spawn_blocking(move || service.finish()).await;
        let ms = |time: Duration| time.as_millis();
        tracing::info!(
            "the reign is closed: requests {} ms, messages to agents {} ms, the store {} ms",
            ms(requests),
            ms(messages - requests),
            ms(began.elapsed() - messages)
        );
        self.stop.store(true, Ordering::Release);
        pair.happened(Event::Closed);
    }
}

/// The heartbeat in the directory, and a look at each beat whether the reign goes on.
fn beat(
    pair: &Arc<Pair>,
    service: &Arc<Service>,
    reigning: Arc<Reigning>,
    stop: &Arc<AtomicBool>,
) -> Result<(), String> {
    let (pair, service, stop) = (Arc::clone(pair), Arc::clone(service), Arc::clone(stop));
    let run = move || {
        let mut heart = None;
        let mut said = false;
        while !stop.load(Ordering::Acquire) && service.still_reigns() {
            let beaten = match &mut heart {
                None => Heart::start(&reigning).map(|started| heart = Some(started)),
                Some(heart) => heart.beat(pair.reach.found(), false).map(|fresh| {
                    let before = &reigning.reign().members;
                    let is_new = |host: &str| before.iter().all(|known| known.host != host);
                    for member in fresh.into_iter().filter(|member| is_new(&member.host)) {
                        tracing::info!(
                            "{} sees this directory, too: it may take over",
                            member.host
                        );
                    }
                }),
            };
            if let Err(error) = beaten
                && !std::mem::replace(&mut said, true)
            {
                tracing::error!("the heartbeat in {}: {error}", pair.dir.display());
            }
            std::thread::sleep(pair.pulse());
        }
    };
    vital::thread("heart", run)
}

/// Says how the service ends, if it ends by itself.
async fn ends(pair: Arc<Pair>, service: Arc<Service>) {
    let mut ending = service.ending();
    let end = ending.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
    match end {
        Some(End::Deposed(_)) => pair.happened(Event::Fenced),
        // A save that was refused for want of authority looks like any other failure.
        Some(End::Failed(_)) if !service.still_reigns() => pair.happened(Event::Fenced),
        Some(End::Failed(why)) => {
            tracing::error!(target: crate::controller::log::FATAL, "{why}");
            crate::controller::daemon::fail(&why);
        }
        Some(End::Asked) | None => {}
    }
}
