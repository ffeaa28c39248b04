//! `slurmctld`: reads the configuration, opens the state, serves until it is told to end.

use crate::controller::agents;
use crate::controller::core::Effect;
use crate::controller::home;
use crate::controller::sched;
use crate::controller::sched::run::Bell;
use crate::controller::server;
use crate::controller::service::{End, Host, Service, note_ignored, now};
use crate::controller::users;
use crate::slurm::auth::Auth;
use crate::slurm::auth::key::{Key, system_clock};
use crate::slurm::auth::munge::{Info, Munge};
use crate::slurm::conf::Conf;
use crate::slurm::conf::own::Own;
use clap::{ArgAction, Parser};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;

/// Where slurm.conf is, if nobody says.
const DEFAULT_CONF: &str = "/etc/slurm/slurm.conf";

/// The controller of a cluster: Slurm's protocol in front, a statedir store behind.
#[derive(Debug, Parser)]
#[command(name = "slurmctld", disable_version_flag = true)]
struct Args {
    /// Stay in the foreground, log to stderr. It does so without -D, too.
    #[arg(short = 'D')]
    foreground: bool,
    /// The configuration; else $SLURM_CONF, else /etc/slurm/slurm.conf.
    #[arg(short = 'f', value_name = "FILE")]
    conf: Option<PathBuf>,
    /// Log more; more often: still more.
    #[arg(short = 'v', action = ArgAction::Count)]
    verbose: u8,
    /// Print the version, and end.
    #[arg(short = 'V', long = "version")]
    version: bool,
    /// As systemd's unit of slurmctld has it; no effect.
    #[arg(short = 's', hide = true)]
    systemd: bool,
}

/// Runs the program; its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return u8::from(error.use_stderr());
        }
    };
    if args.version {
        println!("statedir {} (slurmctld, protocol of Slurm 22.05)", env!("CARGO_PKG_VERSION"));
        return 0;
    }
    match start(&args) {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("slurmctld: {why}");
            tracing::error!("{why}");
            1
        }
    }
}

fn start(args: &Args) -> Result<(), String> {
    let path = args.conf.clone().or_else(|| std::env::var_os("SLURM_CONF").map(PathBuf::from));
    let path = path.unwrap_or_else(|| PathBuf::from(DEFAULT_CONF));
    let conf = Conf::load(&path).map_err(|error| error.to_string())?;
    let own = Own::load_beside(&path).map_err(|error| error.to_string())?;
    log(args, &conf)?;
    note_ignored(&conf);
    let host = host(&conf)?;
    let auth = auth(&conf, &own)?;
    let dir = PathBuf::from(conf.text("StateSaveLocation").expect("it has a default"));
    let cluster = conf.text("ClusterName").expect("the file was refused without it");
    let (store, state) = home::open(&dir, cluster, &own).map_err(|error| error.to_string())?;
    let pid_file = PidFile::write(Path::new(conf.text("SlurmctldPidFile").unwrap_or("")));
    let (first, count) = conf.ports();
    tracing::info!("cluster {cluster}, {} nodes, port {first}", conf.nodes.len());
    let (service, effects) = Service::new(conf, auth, store, state, host)
        .map_err(|error| format!("threads: {error}"))?;
    let service = Arc::new(service);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("threads: {error}"))?;
    let end = runtime.block_on(serve(&service, effects, first, count));
    drop(runtime);
    drop(pid_file);
    let service = Arc::into_inner(service).ok_or("a request is still being served")?;
    service.close().map_err(|error| error.to_string())?;
    match end? {
        End::Asked => Ok(()),
        End::Failed(why) => Err(why),
    }
}

async fn serve(
    service: &Arc<Service>,
    effects: mpsc::UnboundedReceiver<Effect>,
    first: u16,
    count: u16,
) -> Result<End, String> {
    let mut listeners = Vec::new();
    for port in first..=first.saturating_add(count - 1) {
        listeners.push(listen(port).await?);
    }
    let bell = Bell::default();
    let agents = agents::start(service, effects, bell.clone());
    let beside = [
        tokio::spawn(signals(Arc::clone(service))),
        tokio::spawn(sched::run::run(Arc::clone(service), bell)),
    ];
    let end = server::run(Arc::clone(service), listeners).await;
    agents.finish().await;
    for task in beside {
        task.abort();
        let _ = task.await;
    }
    Ok(end)
}

/// Both families where the system has them.
async fn listen(port: u16) -> Result<TcpListener, String> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await.map_err(|error| {
            format!("SlurmctldPort {port}: {error}; next: ss -ltnp 'sport = :{port}'")
        }),
    }
}

/// SIGTERM and SIGINT end the controller, SIGHUP reads slurm.conf again.
async fn signals(service: Arc<Service>) {
    let ends = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    let hangup = signal(SignalKind::hangup());
    let ([Ok(mut term), Ok(mut int)], Ok(mut hup)) = (ends, hangup) else {
        return service.stop(End::Failed("signals cannot be watched".to_owned()));
    };
    loop {
        tokio::select! {
            _ = term.recv() => return service.stop(End::Asked),
            _ = int.recv() => return service.stop(End::Asked),
            _ = hup.recv() => {
                service.reconfigure().await;
            }
        }
    }
}

fn log(args: &Args, conf: &Conf) -> Result<(), String> {
    let text = conf.text("SlurmctldDebug").unwrap_or("info").to_ascii_lowercase();
    let own = match text.as_str() {
        "quiet" | "fatal" | "error" | "0" | "1" | "2" => 0,
        "info" | "verbose" | "3" | "4" => 1,
        "debug" | "5" => 2,
        _ => 3,
    };
    let level = match own + args.verbose {
        0 => LevelFilter::ERROR,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let builder =
        tracing_subscriber::fmt().with_max_level(level).with_target(false).with_ansi(false);
    match conf.text("SlurmctldLogFile").filter(|_| !args.foreground) {
        Some(path) => {
            let file = File::options().append(true).create(true).open(path);
            let file = file.map_err(|error| {
                format!("SlurmctldLogFile={path}: {error}; next: make its folder, or correct it")
            })?;
            let _ = builder.with_writer(Mutex::new(file)).try_init();
        }
        None => drop(builder.with_writer(io::stderr).try_init()),
    }
    Ok(())
}

fn host(conf: &Conf) -> Result<Host, String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let short = name.split('.').next().unwrap_or(&name).to_owned();
    let is_here = |host: &str| host == "localhost" || host == name || host == short;
    let index = conf.controllers.iter().position(|host| is_here(&host.name)).ok_or_else(|| {
        let file = conf.path.display();
        format!(
            "this host, {short}, is no SlurmctldHost of {file}; next: add it, or start it there"
        )
    })?;
    let user = |parameter: &str| {
        let name = conf.text(parameter).expect("it has a default");
        users::uid(name)
            .map_err(|error| format!("{parameter}={name}: {error}; next: getent passwd {name}"))
    };
    let (slurm_user, slurmd_user) = (user("SlurmUser")?, user("SlurmdUser")?);
    let own = rustix::process::geteuid().as_raw();
    if own != slurm_user {
        let name = conf.text("SlurmUser").expect("it has a default");
        return Err(format!(
            "it runs as uid {own}, and SlurmUser={name} is uid {slurm_user}; next: start it as \
             {name} (systemd: User={name})"
        ));
    }
    let index = u16::try_from(index).map_err(|_| "too many SlurmctldHost lines".to_owned())?;
    Ok(Host { name: short, index, started: now(), slurm_user, slurmd_user })
}

/// The configured scheme; what cannot work is an error, never another scheme.
fn auth(conf: &Conf, own: &Own) -> Result<Auth, String> {
    if let Some(path) = &own.auth_key_file {
        let key = Key::load(path, system_clock()).map_err(|error| error.to_string())?;
        return Ok(Auth::Key(key));
    }
    let kind = conf.text("AuthType").expect("it has a default");
    if kind != "auth/munge" {
        return Err(format!("AuthType={kind} is not supported; next: set auth/munge"));
    }
    let info =
        Info::parse(conf.text("AuthInfo").unwrap_or("")).map_err(|error| error.to_string())?;
    Munge::load(info).map(Auth::Munge).map_err(|error| error.to_string())
}

/// The file with the process's id, as long as it runs.
struct PidFile(Option<PathBuf>);

impl PidFile {
    fn write(path: &Path) -> PidFile {
        if path.as_os_str().is_empty() {
            return PidFile(None);
        }
        match std::fs::write(path, format!("{}\n", std::process::id())) {
            Ok(()) => PidFile(Some(path.to_owned())),
            Err(error) => {
                tracing::warn!("SlurmctldPidFile={}: {error}", path.display());
                PidFile(None)
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}
