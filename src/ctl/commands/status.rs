//! `status`: three lines when all is well, in drbdadm's manner; of several controllers that share
//! the directory, this host's, its peers', and the directory's.

use crate::base::Nanos;
use crate::ctl::controllers::Controllers;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::notes;
use crate::ctl::output::Output;
use crate::ctl::pair::{self, Pair};
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::ctl::time::{age, duration, rfc3339};
use crate::store::Reader;
use crate::store::directory::SnapshotFacts;
use clap::Args;
use serde::Serialize;
use std::thread;
use std::time::Duration;

/// Says in three lines how the store stands.
///
/// Who and what, the history, writer and snapshot; a fourth for each thing that is wrong. The exit
/// code is then 3, or 4 where something durable is damaged.
#[derive(Debug, Args)]
pub struct Status {
    /// Where several controllers share the directory: this host's SlurmctldHost, if the machine is
    /// called otherwise.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Print only what is not healthy.
    #[arg(short = 'x')]
    only_unhealthy: bool,
    /// Again every N seconds, until interrupted.
    #[arg(short = 'w', value_name = "N", value_parser = duration)]
    watch: Option<Duration>,
}

#[derive(Serialize)]
struct Standing {
    host: String,
    role: &'static str,
    disk: &'static str,
    epoch: u64,
    lsn: u64,
    time: String,
    oldest_lsn: u64,
    oldest_time: String,
    log_segments: usize,
    writer: bool,
    snapshot: Option<Snapshot>,
    snapshots: usize,
    copy: bool,
    wrong: Vec<String>,
}

#[derive(Serialize)]
struct Snapshot {
    id: String,
    lsn: u64,
    made: String,
    #[serde(skip)]
    age: String,
}

impl Status {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        loop {
            let outcome = self.once(session, output);
            output.flush()?;
            let Some(pause) = self.watch else { return outcome };
            if let Err(failure) = outcome {
                // The next look may find it mended: say so and go on.
                if failure == Failure::OutputGone {
                    return Err(failure);
                }
                failure.line(session.json()).iter().for_each(crate::ctl::output::say);
            }
            thread::sleep(pause);
        }
    }

    fn once(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        if let Some(controllers) = Controllers::of(session) {
            return self.pair(session, &controllers, output);
        }
        let reader = match Reader::open(session.dir()?) {
            Ok(reader) => reader,
            Err(error) => {
                let failure = session.opening(&error);
                if failure.exit() == Exit::Corruption && !session.json() {
                    output.line(format_args!("{} role:Standalone disk:Inconsistent", host()))?;
                }
                return Err(failure);
            }
        };
        notes::harmless(reader.report()).iter().for_each(|note| session.warn(note));
        let standing = Standing::of(&reader, session);
        let healthy = standing.wrong.is_empty();
        if !(healthy && self.only_unhealthy) {
            if session.json() {
                output.object(&standing)?;
            } else {
                standing.print(output)?;
            }
        }
        Ok(if healthy { Exit::Ok } else { Exit::Degraded })
    }
}

impl Status {
    fn pair(
        &self,
        session: &Session,
        controllers: &Controllers,
        output: &mut Output,
    ) -> Result<Exit, Failure> {
        let pair = Pair::look(session, controllers, self.host.as_deref());
        let healthy = pair.wrong.is_empty();
        if !(healthy && self.only_unhealthy) {
            match session.json() {
                true => output.object(&pair::object(&pair))?,
                false => pair::print(&pair, output)?,
            }
        }
        Ok(match healthy {
            true => Exit::Ok,
            false if pair.told.iter().all(|told| told.standing.is_err()) => Exit::Unreachable,
            false => Exit::Degraded,
        })
    }
}

impl Standing {
    fn of(reader: &Reader, session: &Session) -> Standing {
        let history = reader.history();
        let report = reader.report();
        let directory = reader.directory();
        let sound = directory.snapshots.iter().filter(|facts| facts.header.is_ok());
        let used = directory.snapshots.iter().find(|facts| Some(facts.name()) == report.snapshot);
        Standing {
            host: host(),
            role: "Standalone",
            disk: "UpToDate",
            epoch: reader.control().epoch.0,
            lsn: history.newest_lsn.0,
            time: rfc3339(history.newest_time),
            oldest_lsn: history.oldest_lsn.0,
            oldest_time: rfc3339(history.oldest_time),
            log_segments: directory.segments.len(),
            writer: reader.writer_lives(),
            snapshot: used.map(Snapshot::of),
            snapshots: sound.count(),
            copy: report.copy,
            wrong: wrong(reader, session),
        }
    }

    fn print(&self, output: &mut Output) -> Result<(), Failure> {
        let Standing { host, role, disk, epoch, lsn, .. } = self;
        output.line(format_args!("{host} role:{role} disk:{disk} epoch:{epoch} lsn:{lsn}"))?;
        output.line(format_args!(
            "  history lsn:{}..{lsn} from:{} to:{}",
            self.oldest_lsn, self.oldest_time, self.time
        ))?;
        let writer = if self.writer { "alive" } else { "none" };
        let snapshot = self.snapshot.as_ref().map_or_else(
            || "snapshot:none".to_owned(),
            |snapshot| format!("snapshot-lsn:{} snapshot-age:{}", snapshot.lsn, snapshot.age),
        );
        let copy = if self.copy { " copy" } else { "" };
        output.line(format_args!("  writer:{writer} {snapshot}{copy}"))?;
        for wrong in &self.wrong {
            output.line(format_args!("  {}", text::one_line(wrong)))?;
        }
        Ok(())
    }
}

impl Snapshot {
    fn of(facts: &SnapshotFacts) -> Snapshot {
        let made = facts.header.as_ref().map_or(Nanos::default(), |header| header.made);
        Snapshot { id: facts.name(), lsn: facts.lsn.0, made: rfc3339(made), age: age(made) }
    }
}

/// What an operator should mend. What is normal after a crash or in a copy is none of it.
fn wrong(reader: &Reader, session: &Session) -> Vec<String> {
    let report = reader.report();
    let mut wrong = notes::damaged(report);
    wrong.extend(session.exposed());
    wrong
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { text::word(name.as_bytes()) }
}
