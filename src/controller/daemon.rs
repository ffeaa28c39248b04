//! `slurmctld`: reads the configuration, becomes SlurmUser, and starts itself once more: the one is
//! the guard, the other opens the state, and serves until it is told to end.
//!
//! Invariants: what is wrong with the configuration is said where it was started, in the background
//! too; nothing of the state is opened as root; it says that it is ready when it answers.

mod args;
mod background;
mod guard;
mod notify;
mod patience;
mod pid_file;
mod several;
mod signals;
mod user;
mod word;

use crate::controller::agents;
use crate::controller::core::Effect;
use crate::controller::daemon::args::Args;
use crate::controller::daemon::background::Waiting;
use crate::controller::daemon::guard::Guard;
use crate::controller::daemon::patience::Patience;
use crate::controller::daemon::pid_file::PidFile;
use crate::controller::daemon::signals::{Asked, Signals};
use crate::controller::home;
use crate::controller::log;
use crate::controller::metrics;
use crate::controller::sched;
use crate::controller::server;
use crate::controller::service::{End, Host, Service, note_ignored, now};
use crate::controller::vital;
use crate::slurm::auth::Auth;
use crate::slurm::auth::configured::uid_of;
use crate::slurm::conf::Conf;
use crate::slurm::conf::own::{Mode, Own};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Runs the program; its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let line: Vec<OsString> = args.into_iter().collect();
    let args = match Args::read(line.iter().cloned()) {
        Ok(args) => args,
        Err((said, false)) => {
            print!("{said}");
            return 0;
        }
        Err((said, true)) => {
            eprint!("{said}");
            return 1;
        }
    };
    if args.version {
        println!("statedir {} (slurmctld, protocol of Slurm 22.05)", env!("CARGO_PKG_VERSION"));
        return 0;
    }
    match start(&args, &line) {
        Ok(code) => code,
        Err(why) => {
            notify::stopping(&why);
            // The log may go elsewhere, or not be there yet.
            if !log::needs_stderr() {
                eprintln!("slurmctld: fatal: {why}");
            }
            tracing::error!(target: log::FATAL, "{why}");
            1
        }
    }
}

fn start(args: &Args, line: &[OsString]) -> Result<u8, String> {
    if let Some(guard) = args.guard() {
        notify::adopt(guard).map_err(|error| format!("--guarded: {error}"))?;
    }
    let path = absolute(args.conf())?;
    let mut conf = Conf::load(&path).map_err(|error| error.to_string())?;
    let own = Own::load_beside(&path).map_err(|error| error.to_string())?;
    let host = host(&conf, args.host())?;
    conf.slurm_user = host.slurm_user;
    let user = conf.text("SlurmUser").expect("it has a default").to_owned();
    // A log of another user's could not be written later.
    user::may_become(&user, host.slurm_user)?;
    log::start(&args.log(), &conf, Some(host.slurm_user)).map_err(|(path, error)| {
        let path = path.display();
        format!("log file {path}: {error}; next: make its folder, or correct its name")
    })?;
    if notify::guarded() {
        let stays = args.foreground();
        return serving(args, Site { path, conf, own, host }, None, Waiting::of_guard(stays));
    }
    if let Some(value) = args.nice() {
        rustix::process::setpriority_process(None, value)
            .map_err(|error| format!("nice value {value}: {error}; next: start it without -n"))?;
    }
    let line = args.line(line, &path);
    // From here on it is another process.
    let waiting = match args.foreground() {
        true => Waiting::Nobody,
        false => background::begin().map_err(|error| format!("the background: {error}"))?,
    };
    let pid_path = Path::new(conf.text("SlurmctldPidFile").expect("it has a default"));
    let pid_file = PidFile::open(pid_path, host.slurm_user);
    user::become_slurm_user(&user, host.slurm_user)?;
    if args.goes() {
        go(&args.log().path(&conf), &home_of(&conf));
    }
    if own.guard {
        return Guard { line, conf: path, pid_file, waiting }.run();
    }
    serving(args, Site { path, conf, own, host }, Some(pid_file), waiting)
}

/// What was read before anything was opened.
struct Site {
    path: PathBuf,
    conf: Conf,
    own: Own,
    host: Host,
}

fn limit_of(conf: &Conf) -> Duration {
    Duration::from_secs(conf.number("SlurmctldTimeout").clamp(1, 65_535))
}

/// Ends the process because it cannot go on, whatever is under way.
pub fn fail(why: &str) -> ! {
    notify::stopping(why);
    if !log::needs_stderr() {
        eprintln!("slurmctld: fatal: {why}");
    }
    tracing::error!(target: log::FATAL, "{why}");
    std::process::exit(1)
}

fn home_of(conf: &Conf) -> PathBuf {
    PathBuf::from(conf.text("StateSaveLocation").expect("it has a default"))
}

/// Serves until the end; the program's exit code.
fn serving(
    args: &Args,
    site: Site,
    mut pid_file: Option<PidFile>,
    waiting: Waiting,
) -> Result<u8, String> {
    note_ignored(&site.conf);
    let auth = Arc::new(Auth::configured(&site.conf, &site.own)?);
    if site.own.mode(site.conf.controllers.len()) == Mode::Shared {
        return several::serving(args, site, pid_file, waiting, auth);
    }
    let Site { conf, own, host, .. } = site;
    let dir = home_of(&conf);
    let cluster = conf.text("ClusterName").expect("the file was refused without it");
    let again = args.begins_anew();
    let (store, state) = Patience::new(again)
        .until_free(|| home::open(&dir, cluster, &own, args.recover()))
        .map_err(|error| error.to_string())?;
    if let Some(pid_file) = &mut pid_file {
        pid_file.write();
    }
    let (first, count) = conf.ports();
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!("slurmctld (statedir {version}) started on cluster {cluster}");
    let nodes = conf.nodes.len();
    tracing::info!("{nodes} node{}, port {first}", if nodes == 1 { "" } else { "s" });
    let limit = limit_of(&conf);
    let address = address_of(&conf, usize::from(host.index));
    // Where requests have threads of their own, one is enough for the rest: two would wake each
    // other for every request.
    let workers = if auth.asks_daemon() { 1 } else { 2 };
    let (service, effects) = Service::new(conf, auth, store, state, host)
        .map_err(|error| format!("threads: {error}"))?;
    let service = Arc::new(service);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(|error| format!("threads: {error}"))?;
    let ports = first..=first.saturating_add(count - 1);
    let metrics = metrics::run(Arc::clone(&service), own.metrics, dir);
    let place = (address, ports, again);
    let end = runtime.block_on(serve(&service, effects, place, limit, waiting, metrics));
    drop(runtime);
    let service = Arc::into_inner(service).ok_or("a request is still being served")?;
    service.close().map_err(|error| error.to_string())?;
    drop(pid_file);
    match end? {
        End::Asked => Ok(0),
        End::Failed(why) | End::Deposed(why) => Err(why),
    }
}

async fn serve(
    service: &Arc<Service>,
    effects: mpsc::UnboundedReceiver<Effect>,
    (address, ports, again): (Option<String>, RangeInclusive<u16>, bool),
    limit: Duration,
    waiting: Waiting,
    metrics: impl Future<Output = ()> + Send + 'static,
) -> Result<End, String> {
    // Before anybody can see that it is there, and end it.
    let signals = Signals::watch().map_err(|error| format!("signals: {error}"))?;
    let first = *ports.start();
    let mut listeners = Vec::new();
    for port in ports {
        listeners.push(listen(address.as_deref(), port, again).await?);
    }
    service.begin().await;
    let bell = service.board().bell().clone();
    let agents = agents::start(service, effects, bell.clone());
    let beside = [
        vital::task("signals", obey(Arc::clone(service), signals)),
        vital::task("starts", sched::run::run(Arc::clone(service), bell)),
        vital::task("alive", heartbeat(Arc::clone(service), limit)),
        vital::task("metrics", metrics),
    ];
    // Whoever connects now is answered: the listeners are there.
    waiting.release(log::needs_stderr()).map_err(|error| format!("the background: {error}"))?;
    notify::ready(&format!("in charge, port {first}"), limit);
    let end = server::run(Arc::clone(service), listeners).await;
    agents.finish().await;
    notify::stopping(match &end {
        End::Asked => "stopping",
        End::Failed(why) | End::Deposed(why) => why,
    });
    for task in beside {
        task.abort();
        let _ = task.await;
    }
    Ok(end)
}

/// Does what signals ask for, until the end.
async fn obey(service: Arc<Service>, mut signals: Signals) {
    loop {
        match signals.next().await {
            Asked::End => break,
            Asked::Reconfigure => drop(service.reconfigure().await),
            Asked::LogAnew => {
                let path = service.durable().0.path.clone();
                let _ = tokio::task::spawn_blocking(move || signals::follow(&path)).await;
            }
        }
    }
    tracing::info!("terminate signal received");
    notify::status("stopping: a signal asked for it");
    service.stop(End::Asked);
}

/// Tells the guard that requests and commands are worked at. A thread that waits for the disk is
/// no hang: information is given all the same.
async fn heartbeat(service: Arc<Service>, limit: Duration) {
    loop {
        if service.busy() < limit / 2 {
            notify::alive();
        }
        tokio::time::sleep((limit / 10).min(Duration::from_secs(1))).await;
    }
}

fn absolute(path: PathBuf) -> Result<PathBuf, String> {
    std::path::absolute(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Where a core file would go: beside the log, or with the state.
fn go(log_file: &Option<PathBuf>, state: &Path) {
    let log_dir =
        log_file.as_ref().filter(|path| path.is_absolute()).and_then(|path| path.parent());
    let writable = |dir: &Path| rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok();
    let mut places = log_dir.into_iter().chain([state, Path::new("/var/tmp")]);
    let gone = places.find(|dir| writable(dir) && std::env::set_current_dir(dir).is_ok());
    if gone.is_none() {
        tracing::warn!("the working directory stays: {} cannot be used", state.display());
    }
}

/// Where this controller listens, if not everywhere: NoCtldInAddrAny in CommunicationParameters.
fn address_of(conf: &Conf, place: usize) -> Option<String> {
    let words = conf.text("CommunicationParameters").unwrap_or_default();
    let own = words.split(',').any(|word| word.trim().eq_ignore_ascii_case("NoCtldInAddrAny"));
    own.then(|| conf.controllers[place].address.clone())
}

/// Both families where the system has them.
async fn listen(address: Option<&str>, port: u16, again: bool) -> Result<TcpListener, String> {
    let patience = Patience::new(again);
    loop {
        let last = patience.is_over();
        let bound = match address {
            Some(address) => TcpListener::bind((address, port)).await,
            None => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
                Ok(listener) => Ok(listener),
                Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
            },
        };
        match bound {
            Err(error) if error.kind() == ErrorKind::AddrInUse && !last => {
                tokio::time::sleep(patience::LOOK).await;
            }
            Ok(listener) => return Ok(listener),
            Err(error) => {
                let next = format!("next: ss -ltnp 'sport = :{port}'");
                return Err(format!("SlurmctldPort {port}: {error}; {next}"));
            }
        }
    }
}

/// Which of slurm.conf's controllers this is: `named`, else the one that is called as this host.
fn host(conf: &Conf, named: Option<&str>) -> Result<Host, String> {
    let nodename = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = named.map_or(nodename, str::to_owned);
    let short = name.split('.').next().unwrap_or(&name).to_owned();
    let is_here = |host: &str| host == "localhost" || host == name || host == short;
    let index = conf.controllers.iter().position(|host| is_here(&host.name)).ok_or_else(|| {
        let file = conf.path.display();
        format!(
            "this host, {short}, is no SlurmctldHost of {file}; next: add it, or start it there"
        )
    })?;
    let (slurm_user, slurmd_user) = (uid_of(conf, "SlurmUser")?, uid_of(conf, "SlurmdUser")?);
    let index = u16::try_from(index).map_err(|_| "too many SlurmctldHost lines".to_owned())?;
    Ok(Host { name: short, index, started: now(), slurm_user, slurmd_user })
}
