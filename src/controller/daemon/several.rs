//! The serving process of one of several controllers.

use crate::controller::daemon::args::Args;
use crate::controller::daemon::background::Waiting;
use crate::controller::daemon::notify;
use crate::controller::daemon::pid_file::PidFile;
use crate::controller::daemon::signals::{Asked, Signals, follow};
use crate::controller::daemon::{Site, address_of, home_of, limit_of, listen};
use crate::controller::log;
use crate::controller::pair::alike::Digests;
use crate::controller::pair::shell::{Outcome, Shell};
use crate::controller::pair::{Pair, Stance, names, reach};
use crate::controller::service::Host;
use crate::controller::vital;
use crate::role::takeover::Event;
use crate::slurm::auth::Auth;
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Less than MessageTimeout by so much: the answer has to arrive, too.
const MARGIN: Duration = Duration::from_secs(2);

/// Serves until the end, or begins anew; the program's exit code.
///
/// # Errors
/// What keeps it from starting, or from going on.
pub fn serving(
    args: &Args,
    Site { path, conf, own, host }: Site,
    mut pid_file: Option<PidFile>,
    waiting: Waiting,
    auth: Arc<Auth>,
) -> Result<u8, String> {
    let (port, count) = conf.ports();
    let limit = limit_of(&conf);
    let (place, anew) = (usize::from(host.index), args.begins_anew());
    let name = conf.controllers[place].name.clone();
    let (events, happened) = mpsc::unbounded_channel();
    let message = Duration::from_secs(conf.number("MessageTimeout").clamp(1, 3600));
    let digests = Mutex::new(Digests::read(&path));
    let pair = Arc::new(Pair {
        path,
        own,
        host: Host { name, ..host },
        hosts: conf.controllers.clone(),
        port,
        auth,
        dir: home_of(&conf),
        cluster: conf.text("ClusterName").expect("the file was refused without it").to_owned(),
        timeout: limit,
        hold: message.saturating_sub(MARGIN).max(Duration::from_secs(1)),
        leave_out: Mutex::new(args.recover()),
        stance: watch::channel(Stance::Waits).0,
        sight: watch::channel(None).0,
        events,
        standbys: Mutex::default(),
        upstream: Mutex::default(),
        taken: watch::channel((0, false)).0,
        warm: Mutex::default(),
        progress: Default::default(),
        digests,
        differ: Mutex::default(),
        takeovers: AtomicU64::new(0),
        takeover_ms: AtomicU64::new(0),
        known: Mutex::default(),
        resigned: AtomicBool::new(false),
        claiming: AtomicBool::new(false),
        offered: AtomicU64::new(0),
        beats: AtomicBool::new(false),
        names: Arc::new(names::Names::new()),
        reach: reach::Reach::new(),
        served: AtomicUsize::new(0),
        held: AtomicUsize::new(0),
        doors: AtomicUsize::new(0),
        closing: watch::channel(false).0,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("threads: {error}"))?;
    let (version, cluster) = (env!("CARGO_PKG_VERSION"), &pair.cluster);
    tracing::info!("slurmctld (statedir {version}) started on cluster {cluster}");
    tracing::info!("{}, one of {} controllers, port {port}", pair.host.name, pair.hosts.len());
    let shell = Shell::new(Arc::clone(&pair), conf.clone())?;
    let run = async {
        let signals = Signals::watch().map_err(|error| format!("signals: {error}"))?;
        let mut listeners = Vec::new();
        for port in port..=port.saturating_add(count - 1) {
            listeners.push(listen(address_of(&conf, place).as_deref(), port, anew).await?);
        }
        vital::task("signals", obey(Arc::clone(&pair), signals));
        vital::task("alive", beat(Arc::clone(&pair), limit));
        let mut waiting = Some(waiting);
        let status = |status: &str| {
            let status = format!("{status}, port {port}");
            let Some(waiting) = waiting.take() else { return notify::status(&status) };
            if let Some(pid_file) = &mut pid_file {
                pid_file.write();
            }
            if let Err(error) = waiting.release(log::needs_stderr()) {
                tracing::warn!("the background: {error}");
            }
            notify::ready(&status, limit);
        };
        shell.run(happened, listeners, status).await
    };
    let outcome = vital::here("shell", || runtime.block_on(run));
    // Nothing of it may go on: what is acknowledged is durable, and the rest must not be done.
    match outcome {
        Ok(Outcome::Done) => {
            drop(pid_file);
            exit(0)
        }
        Ok(Outcome::Again(why)) => {
            tracing::info!("{why}: begins anew, as a standby");
            if notify::again(&why) {
                exit(0)
            }
            Err(again(&why))
        }
        Err(why) => {
            super::fail(&why);
        }
    }
}

/// Without a guard the process begins anew itself; it returns only if that fails.
fn again(why: &str) -> String {
    use std::os::unix::process::CommandExt;
    let mut line = std::env::args_os();
    let mut command = std::process::Command::new("/proc/self/exe");
    if let Some(name) = line.next() {
        command.arg0(name);
    }
    // What was to be left out at the start was left out then, or is another's state by now.
    format!("{why}; it cannot begin anew: {}", command.args(line).arg("--again").exec())
}

async fn obey(pair: Arc<Pair>, mut signals: Signals) {
    loop {
        match signals.next().await {
            Asked::End => {
                tracing::info!("terminate signal received");
                notify::status("stopping: a signal asked for it");
                let _ = pair.events.send(Event::Stop);
            }
            Asked::Reconfigure => match Shell::service(&pair) {
                Some(service) => drop(service.reconfigure().await),
                None => log_anew(&pair).await,
            },
            Asked::LogAnew => log_anew(&pair).await,
        }
    }
}

async fn log_anew(pair: &Pair) {
    let path = pair.path.clone();
    let _ = tokio::task::spawn_blocking(move || follow(&path)).await;
}

async fn beat(pair: Arc<Pair>, limit: Duration) {
    loop {
        let hangs = Shell::service(&pair).is_some_and(|service| service.busy() >= limit / 2);
        if !hangs {
            notify::alive();
        }
        tokio::time::sleep((limit / 10).min(Duration::from_secs(1))).await;
    }
}
