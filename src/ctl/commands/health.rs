//! `health`: one line for whoever watches, in Nagios' manner if that is wanted.

use crate::base::Nanos;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::pair::reign::{self, Last};
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::ctl::time::duration;
use crate::disk::Disk;
use crate::store::{Level, Verified, verify};
use clap::Args;
use serde_json::{Value, json};
use std::time::Duration;

/// Says in one line how the store is.
///
/// OK, WARNING or CRITICAL, why, and what was measured.
///
/// Exit codes: 0 for OK, 3 for WARNING, and for CRITICAL that of what is wrong (4: damage). With
/// --nagios they are Nagios' own: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
#[derive(Debug, Args)]
pub struct Health {
    /// Exit as a Nagios plugin does, with performance data behind a bar.
    #[arg(long)]
    nagios: bool,
    /// Warn below this share of the file system being free.
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    warn_free: u8,
    /// Critical below this share.
    #[arg(long, value_name = "PERCENT", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    crit_free: u8,
    /// Critical if no process has the store open for writing; in a directory that several
    /// controllers share, if nobody reigns.
    #[arg(long)]
    require_writer: bool,
    /// Warn if the last save is older than this.
    #[arg(long, value_name = "SPAN", value_parser = duration)]
    warn_age: Option<Duration>,
}

/// How bad it is; later is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Ok => "OK",
            State::Warning => "WARNING",
            State::Critical => "CRITICAL",
            State::Unknown => "UNKNOWN",
        }
    }

    /// Nagios' code.
    fn code(self) -> i32 {
        self as i32
    }
}

/// Something that was measured.
struct Metric {
    name: &'static str,
    value: u64,
    /// Nagios' unit: `B`, `s`, `c` for a counter.
    unit: &'static str,
    /// Its thresholds and range, as Nagios wants them.
    limits: String,
}

/// What is said.
struct Report {
    state: State,
    exit: Exit,
    why: Vec<String>,
    facts: Vec<String>,
    metrics: Vec<Metric>,
}

impl Health {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let report = self.look(session);
        if session.json() {
            output.object(&json!({
                "state": report.state.word(),
                "why": report.why,
                "metrics": report
                    .metrics
                    .iter()
                    .map(|metric| (metric.name.to_owned(), Value::from(metric.value)))
                    .collect::<serde_json::Map<_, _>>(),
            }))?;
        } else {
            output.line(self.line(&report))?;
        }
        if self.nagios {
            output.flush()?;
            std::process::exit(report.state.code());
        }
        Ok(report.exit)
    }

    fn line(&self, report: &Report) -> String {
        let Report { state, why, facts, metrics, .. } = report;
        let said = [why.as_slice(), facts.as_slice()].concat().join(", ");
        let mut line = format!("STATEDIR {} - {}", state.word(), text::one_line(&said));
        if self.nagios && !metrics.is_empty() {
            // What stands behind a bar is for machines.
            line = line.replace('|', "/");
            line.push_str(" |");
            for Metric { name, value, unit, limits } in metrics {
                line.push_str(&format!(" {name}={value}{unit}{limits}"));
            }
        }
        line
    }

    fn look(&self, session: &Session) -> Report {
        let opened = session
            .dir()
            .and_then(|dir| verify(dir, Level::Quick).map_err(|error| session.opening(&error)));
        match opened {
            Ok(verified) => {
                let reign = session.dir().ok().and_then(reign::last);
                self.judge(session, &verified, reign)
            }
            Err(failure) => unknown(&failure),
        }
    }

    fn judge(
        &self,
        session: &Session,
        verified: &Verified,
        reign: Option<Result<Last, String>>,
    ) -> Report {
        let mut report = Report {
            state: State::Ok,
            exit: Exit::Ok,
            why: Vec::new(),
            facts: Vec::new(),
            metrics: Vec::new(),
        };
        for (name, what) in &verified.report.damaged_snapshots {
            report.add(State::Warning, format!("{name} is damaged and was not needed: {what}"));
        }
        for finding in &verified.findings {
            let what = format!("{} offset {}: {}", finding.file, finding.offset, finding.what);
            report.add(State::Warning, what);
        }
        if let Some(exposed) = session.exposed() {
            report.add(State::Warning, exposed);
        }
        let writer = match &reign {
            None if verified.writer => "writer alive".to_owned(),
            None => "writer none".to_owned(),
            Some(Ok(last)) => last.said(),
            Some(Err(why)) => format!("who reigns is not known: {why}"),
        };
        let writes = match &reign {
            None => verified.writer,
            Some(last) => last.as_ref().is_ok_and(|last| last.beats),
        };
        let said = self.require_writer && !writes;
        if said {
            let why = match &reign {
                None => "no process has the store open for writing".to_owned(),
                Some(_) => writer.clone(),
            };
            report.add(State::Critical, why);
        }
        self.age(&mut report, verified);
        self.room(&mut report, session);
        report.facts.insert(0, format!("epoch {}", verified.epoch));
        report.facts.insert(0, format!("lsn {}", verified.lsn));
        if !said || reign.is_none() {
            report.facts.push(writer);
        }
        let metric =
            |name, value, unit: &'static str| Metric { name, value, unit, limits: String::new() };
        report.metrics.push(metric("lsn", verified.lsn.0, "c"));
        report.metrics.push(metric("epoch", verified.epoch.0, "c"));
        report.metrics.push(metric("segments", verified.segments, ""));
        report.metrics.push(metric("snapshots", verified.snapshots, ""));
        report
    }

    fn age(&self, report: &mut Report, verified: &Verified) {
        let newest = verified.history.newest_time;
        if newest == Nanos::default() {
            report.facts.push("nothing saved yet".to_owned());
            return;
        }
        let age = Duration::from_nanos(Nanos::now().0.saturating_sub(newest.0));
        let age = Duration::from_secs(age.as_secs());
        let shown = text::span(age);
        if self.warn_age.is_some_and(|most| age > most) {
            report.add(State::Warning, format!("last save {shown} ago"));
        } else {
            report.facts.push(format!("last save {shown} ago"));
        }
        let limits = self.warn_age.map_or_else(String::new, |most| format!(";{}", most.as_secs()));
        report.metrics.push(Metric { name: "age", value: age.as_secs(), unit: "s", limits });
    }

    fn room(&self, report: &mut Report, session: &Session) {
        let Ok(space) = session.disk().and_then(|disk| {
            disk.space().map_err(|error| Failure::new(Exit::Failed, error, "df -h"))
        }) else {
            report.add(State::Warning, "how much room is left is not known".to_owned());
            return;
        };
        let share = |percent: u8| (u128::from(space.total) * u128::from(percent) / 100) as u64;
        let (warn, crit) = (share(self.warn_free), share(self.crit_free));
        let percent = u128::from(space.free) * 100 / u128::from(space.total.max(1));
        let said = format!("{} free ({percent}%)", text::bytes(space.free));
        match space.free {
            free if free < crit => report.add(State::Critical, said),
            free if free < warn => report.add(State::Warning, said),
            _ => report.facts.push(said),
        }
        let limits = format!(";{warn}:;{crit}:;0;{}", space.total);
        report.metrics.push(Metric { name: "free", value: space.free, unit: "B", limits });
    }
}

impl Report {
    fn add(&mut self, state: State, why: String) {
        self.state = self.state.max(state);
        self.exit = match self.state {
            State::Ok => Exit::Ok,
            State::Warning => Exit::Degraded,
            State::Critical | State::Unknown => Exit::Failed,
        };
        self.why.push(why);
    }
}

/// What cannot be opened: damage is critical, and so is a directory without a store; what only
/// this user may not read is unknown.
fn unknown(failure: &Failure) -> Report {
    let (exit, why) = match failure {
        Failure::Told { exit, message, next } => (*exit, format!("{message}; next: {next}")),
        Failure::OutputGone => (Exit::Failed, String::new()),
    };
    let state = match exit {
        Exit::Corruption | Exit::NotFound => State::Critical,
        _ => State::Unknown,
    };
    Report { state, exit, why: vec![why], facts: Vec::new(), metrics: Vec::new() }
}
