//! `fs-probe`: whether a mount can hold a shared state directory, and how a primary asks there
//! whether it still reigns.

use crate::ctl::exit::Exit;
use crate::ctl::facts;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::probe::peer::{self, Peer, Place};
use crate::ctl::probe::{Found, Line, Probe, Verdict};
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::role::Check;
use clap::Args;
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Says whether a mount can hold a shared state directory.
///
/// A second process takes part: on this host; with --peer in another mount of the same directory,
/// or on another host. Which way to ask whether a reign goes on holds, and what it costs after each
/// flush; the cheapest one that holds is chosen. Exit code 9 where none does: the line says what to
/// change. Files that begin with .probe- are made and removed; nothing else is touched.
#[derive(Debug, Args)]
pub struct FsProbe {
    /// The directory, or the one that will hold it.
    #[arg(value_name = "DIR")]
    place: PathBuf,
    /// The same directory as another mount shows it: DIR, or HOST:DIR, where statectl is run.
    #[arg(long, value_name = "[HOST:]DIR")]
    peer: Option<String>,
    /// How another host is reached.
    #[arg(long, value_name = "CMD", default_value = "ssh")]
    rsh: String,
    /// Rounds for each check.
    #[arg(long, value_name = "N", default_value_t = 200)]
    #[arg(value_parser = clap::value_parser!(u64).range(2..=100_000))]
    rounds: u64,
    /// Be the second process: do what stdin says.
    #[arg(long, hide = true)]
    answer: bool,
}

impl FsProbe {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let shown = text::shell(self.place.as_os_str()).into_owned();
        let failed = |error: &io::Error| {
            Failure::new(Exit::Failed, format!("{shown}: {error}"), format!("ls -ld {shown}"))
        };
        if self.answer {
            return peer::answer(&self.place).map(|()| Exit::Ok).map_err(|error| failed(&error));
        }
        let place = Place::open(&self.place).map_err(|error| failed(&error))?;
        let default = Check::for_disk(&place.disk);
        let command = self.command().map_err(|error| failed(&error))?;
        let mut peer = Peer::start(command).map_err(|error| failed(&error))?;
        peer.ask("clock").map_err(|error| {
            let (who, rsh) = (self.peer.as_deref().unwrap_or("the second process"), &self.rsh);
            let next = format!("{rsh} HOST statectl --version");
            Failure::new(Exit::Unreachable, format!("{who}: {error}"), next)
        })?;
        let found = Probe::new(place, peer, self.rounds).run();
        for line in &found.lines {
            print(session, output, line)?;
        }
        self.conclude(session, output, &found, default)
    }

    /// The second process.
    fn command(&self) -> io::Result<Command> {
        let own = std::env::current_exe()?;
        let local = |dir: &Path| {
            let mut command = Command::new(&own);
            command.args(["fs-probe", "--answer"]).arg(dir);
            command
        };
        Ok(match self.peer.as_deref().map(|peer| peer.split_once(':').ok_or(peer)) {
            None => local(&self.place),
            Some(Err(dir)) => local(Path::new(dir)),
            Some(Ok((host, dir))) => {
                let mut words = self.rsh.split_whitespace();
                let mut command = Command::new(words.next().unwrap_or("ssh"));
                let dir = text::shell(dir.as_ref()).into_owned();
                command.args(words).args([host, "statectl", "fs-probe", "--answer", &dir]);
                command
            }
        })
    }

    fn conclude(
        &self,
        session: &Session,
        output: &mut Output,
        found: &Found,
        default: Check,
    ) -> Result<Exit, Failure> {
        let mount = facts::mount(&self.place);
        let kind = mount.as_ref().map_or("unknown", |mount| mount.kind.as_str()).to_owned();
        let shown = text::shell(self.place.as_os_str()).into_owned();
        let Some((check, cost)) = found.chosen() else {
            let message = format!("{shown} ({kind}) cannot hold a shared state directory");
            return Err(Failure::new(Exit::Unsafe, message, remedy(&kind, found)));
        };
        let scope = match &self.peer {
            Some(peer) => format!("with {peer}"),
            None => "by this host alone; --peer tries another".to_owned(),
        };
        let (word, usual) = (word(check), word(default));
        if session.json() {
            output.object(&json!({
                "check": "authority",
                "kind": kind,
                "chosen": word,
                "default": usual,
                "cost_us": micros(cost),
            }))?;
        } else {
            let set = match check == default {
                true => "what slurmctld uses here by itself".to_owned(),
                false => format!("AuthorityCheck={word} in statedir.conf; by itself: {usual}"),
            };
            output.line(format_args!(
                "use  {word:10} {:.1} us after each flush, on {kind}, {scope}; {set}",
                micros(cost)
            ))?;
        }
        // What is used by itself must hold, too.
        let by_itself = if default == Check::Name { "names" } else { "marks" };
        Ok(if found.holds(by_itself) { Exit::Ok } else { Exit::Degraded })
    }
}

/// The word for statedir.conf.
fn word(check: Check) -> &'static str {
    match check {
        Check::Name => "name",
        Check::Mark => "mark",
    }
}

fn micros(cost: Duration) -> f64 {
    (cost.as_secs_f64() * 1e7).round() / 10.0
}

fn print(session: &Session, output: &mut Output, line: &Line) -> Result<(), Failure> {
    let (verdict, what) = match &line.verdict {
        Verdict::Holds(what) => ("ok", what),
        Verdict::Fails(what) if line.needed => ("fail", what),
        Verdict::Fails(what) => ("no", what),
    };
    let what = text::one_line(what);
    if session.json() {
        return output.object(&json!({
            "check": line.name,
            "verdict": verdict,
            "what": what,
            "cost_us": line.cost.map(micros),
        }));
    }
    let cost = line.cost.map_or_else(String::new, |cost| format!(", {:.1} us", micros(cost)));
    output.line(format_args!("{verdict:4} {:10} {what}{cost}", line.name))
}

/// What to change.
fn remedy(kind: &str, found: &Found) -> String {
    if !found.holds("flushes") {
        return "mount it read-write, where fsync is supported".to_owned();
    }
    match kind {
        "nfs" | "nfs4" if !found.holds("claims") || !found.holds("replacing") => {
            "mount -o vers=4.2,hard,lookupcache=none (and not: nolock, local_lock, soft)".to_owned()
        }
        "nfs" | "nfs4" => "mount -o lookupcache=none, or noac".to_owned(),
        kind if kind.starts_with("fuse") => {
            "mount -o direct_io,entry_timeout=0,negative_timeout=0,attr_timeout=0".to_owned()
        }
        "cifs" | "smb3" => "mount -o cache=none,actimeo=0, or use NFS 4".to_owned(),
        _ => "use NFS 4, or a cluster file system (GFS2, OCFS2) on shared storage".to_owned(),
    }
}
