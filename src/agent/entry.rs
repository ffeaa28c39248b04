//! `slurmd`'s command line, and what happens at its start, in order: the configuration, the spool
//! (one agent for each), the jobs that are here, the port, the registration.

use crate::agent::background::{self, Waiting};
use crate::agent::jobs::{self, Jobs};
use crate::agent::log::{self, Level, info};
use crate::agent::machine;
use crate::agent::past::Past;
use crate::agent::register;
use crate::agent::serve::{self, Agent};
use crate::agent::setup::{self, Setup};
use crate::agent::signals;
use crate::agent::supervisor;
use sd_notify::NotifyState;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, RwLock};

const USAGE: &str = "\
Usage: slurmd [-D] [-C] [-V] [-v] [-N NODE] [-f FILE] [-L FILE]

The agent of a node: runs jobs that a Slurm controller starts.

  -D       stay in the foreground, log to stderr; else to the background, once it serves
  -C       print what this machine has, as a line for slurm.conf, and end
  -f FILE  the configuration; else $SLURM_CONF, else /etc/slurm/slurm.conf
  -L FILE  log there; else, in the background, to SlurmdLogFile, else to syslog
  -N NODE  the node that this is; else the one of this host's name
  -v       log every message
  -V       print the version of Slurm whose protocol it speaks, and end; --version: its own
";

#[derive(Debug, Default)]
struct Args {
    foreground: bool,
    describe: bool,
    version: bool,
    protocol: bool,
    verbose: bool,
    help: bool,
    node: Option<String>,
    conf: Option<PathBuf>,
    log: Option<PathBuf>,
    supervise: Option<PathBuf>,
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, String> {
    let (mut found, mut args) = (Args::default(), args.into_iter().skip(1));
    while let Some(word) = args.next() {
        let text = word.to_string_lossy().into_owned();
        let mut value = |rest: &str| match rest {
            "" => args.next().ok_or_else(|| format!("{text}: a value is missing")),
            rest => Ok(OsString::from(rest)),
        };
        match text.as_str() {
            "--supervise" => found.supervise = Some(value("")?.into()),
            "--version" => found.version = true,
            "--help" => found.help = true,
            flags if flags.starts_with('-') && flags.len() > 1 => {
                let letters = flags.char_indices().skip(1);
                for (at, letter) in letters {
                    let rest = &flags[at + letter.len_utf8()..];
                    match letter {
                        'D' => found.foreground = true,
                        'C' => found.describe = true,
                        'V' => found.protocol = true,
                        'v' => found.verbose = true,
                        'h' => found.help = true,
                        // As systemd's unit of slurmd has it; no effect.
                        's' => {}
                        'N' => found.node = Some(value(rest)?.to_string_lossy().into_owned()),
                        'f' => found.conf = Some(value(rest)?.into()),
                        'L' => found.log = Some(value(rest)?.into()),
                        other => return Err(format!("-{other} is unknown; next: slurmd -h")),
                    }
                    if matches!(letter, 'N' | 'f' | 'L') {
                        break;
                    }
                }
            }
            other => return Err(format!("{other} is unknown; next: slurmd -h")),
        }
    }
    Ok(found)
}

/// Runs the program; its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args = match parse(args) {
        Ok(args) => args,
        Err(why) => {
            eprintln!("slurmd: {why}");
            return 1;
        }
    };
    if let Some(folder) = args.supervise {
        return supervisor::run(folder);
    }
    if args.help {
        print!("{USAGE}");
    } else if args.version {
        let (own, slurm) = (env!("CARGO_PKG_VERSION"), register::VERSION);
        println!("statedir {own} (slurmd, protocol of Slurm {slurm})");
    } else if args.protocol {
        println!("slurm-wlm {}", register::VERSION);
    } else if args.describe {
        print!("{}", machine::describe(&setup::host()));
    } else {
        let mut waiting = Waiting::nobody();
        if let Err(why) = start(&args, &mut waiting) {
            log::error!("{why}");
            waiting.complain(&why);
            tell(&[NotifyState::Stopping, NotifyState::Status(&why)]);
            return 1;
        }
    }
    0
}

fn start(args: &Args, waiting: &mut Waiting) -> Result<(), String> {
    // In the background it works elsewhere.
    let path = setup::conf_path(args.conf.clone());
    let path =
        std::path::absolute(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let setup = Setup::load(&path, args.node.as_deref())?;
    if !args.foreground {
        *waiting = background::begin().map_err(|error| format!("the background: {error}"))?;
    }
    begin_log(args, &setup)?;
    let spool = setup.spool.clone();
    let at =
        |error: io::Error| format!("SlurmdSpoolDir={}: {error}; next: ls -la {0}", spool.display());
    fs::create_dir_all(&spool).map_err(at)?;
    if !args.foreground {
        std::env::set_current_dir(&spool).map_err(at)?;
    }
    let _alive = jobs::become_agent(&spool).map_err(at)?.ok_or_else(|| {
        let spool = spool.display();
        format!("another slurmd serves {spool}; next: fuser -v {spool}/agent.lock")
    })?;
    let (numbers, node) =
        ([libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR2], setup.node.clone());
    let signals = signals::watch(&numbers).map_err(|error| format!("signals: {error}"))?;
    let listener = serve::listen(node.port)?;
    let jobs = Jobs::open(&spool, &node.name).map_err(at)?;
    let past = Past::open(&spool).map_err(at)?;
    let pid_file = setup.path("SlurmdPidFile").map(PathBuf::from);
    let (wished, wishes) = io::pipe().map_err(|error| format!("a pipe: {error}"))?;
    let agent = Arc::new(Agent {
        path,
        jobs,
        past,
        launching: Mutex::new(()),
        current: RwLock::new(Arc::new(setup)),
        serving: AtomicUsize::new(0),
        wishes,
    });
    write_pid(pid_file.as_deref());
    // Whoever connects now is answered, as soon as the main thread comes to it.
    waiting.release(!log::is_syslog()).map_err(|error| format!("the background: {error}"))?;
    let status = format!("node {}, port {}", node.name, node.port);
    let pid = NotifyState::MainPid(std::process::id());
    tell(&[pid, NotifyState::Ready, NotifyState::Status(&status)]);
    let (shared, registering) = (Arc::clone(&agent), Arc::clone(&agent));
    agent.jobs.start(move || shared.setup());
    info!("node {}, port {}", node.name, node.port);
    jobs::spawn("register", move || serve::registered(&registering, true));
    serve::run(&agent, &listener, signals, wished);
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping; jobs go on")]);
    if let Some(path) = pid_file {
        let _ = fs::remove_file(path);
    }
    Ok(())
}

fn begin_log(args: &Args, setup: &Setup) -> Result<(), String> {
    let said = setup.conf.text("SlurmdDebug").unwrap_or("info").to_ascii_lowercase();
    let level = match said.as_str() {
        _ if args.verbose => Level::Debug,
        "quiet" | "fatal" | "error" | "0" | "1" | "2" => Level::Error,
        "info" | "verbose" | "3" | "4" => Level::Info,
        _ => Level::Debug,
    };
    log::begin(level, &setup.node.name);
    let configured = || setup.path("SlurmdLogFile").filter(|_| !args.foreground).map(PathBuf::from);
    match args.log.clone().or_else(configured) {
        Some(path) => log::to_file(&path).map_err(|error| {
            let path = path.display();
            format!("log file {path}: {error}; next: make its folder, or correct it")
        }),
        None if args.foreground => Ok(()),
        None => {
            log::to_syslog();
            Ok(())
        }
    }
}

/// Tells systemd, where it listens (NOTIFY_SOCKET).
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("NOTIFY_SOCKET: {error}");
    }
}

fn write_pid(path: Option<&Path>) {
    if let Some(path) = path
        && let Err(error) = fs::write(path, format!("{}\n", std::process::id()))
    {
        log::error!("SlurmdPidFile={}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Args, String> {
        parse(words.split(' ').map(OsString::from))
    }

    #[test]
    fn flags_stand_alone_or_together_and_unknown_ones_are_named() {
        let args = parsed("slurmd -DvN n1 -f/etc/s.conf").unwrap();
        assert!(args.foreground && args.verbose && !args.describe);
        assert_eq!(args.node.as_deref(), Some("n1"));
        assert_eq!(args.conf.as_deref(), Some(Path::new("/etc/s.conf")));
        assert!(parsed("slurmd -C").unwrap().describe);
        assert_eq!(parsed("slurmd -L/l").unwrap().log.as_deref(), Some(Path::new("/l")));
        assert!(parsed("slurmd -N").unwrap_err().contains("missing"));
        assert!(parsed("slurmd -Q").unwrap_err().contains("-Q"));
        assert!(parsed("slurmd what").unwrap_err().contains("what"));
    }
}
