//! `top`: a running store, as its log shows it: redrawn on a terminal, a line each time elsewhere.
//!
//! Invariant: nothing is asked of the writer: what is shown is what any reader can see, so that it
//! works beside any writer and costs it nothing. How long its saves take only the writer knows: a
//! controller is asked at its `/metrics`, where the caller names that.

mod latency;

use crate::base::{Lsn, Nanos};
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::pair::register;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::ctl::time::{age, duration};
use crate::disk::{Disk, Real};
use crate::format::Op;
use crate::store::directory::Directory;
use crate::store::{Follower, Reader, is_shared, writer_lives};
use clap::Args;
use latency::{Latencies, Took, Watch};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A heart beats every second, or more often.
const LATELY: u64 = 5_000_000_000;

/// Tables that are shown.
const TABLES: usize = 10;

/// Shows a running store.
///
/// Saves a second, bytes, the busiest tables, snapshots and room: redrawn on a terminal, a line
/// each time elsewhere, until interrupted.
#[derive(Debug, Args)]
pub struct Top {
    /// So many times.
    #[arg(short = 'n', value_name = "N")]
    iterations: Option<u64>,
    /// This often.
    #[arg(short = 'i', long, value_name = "SPAN", value_parser = duration, default_value = "1s")]
    interval: Duration,
    /// Where the controller shows its metrics, as MetricsAddress of statedir.conf has it (a port,
    /// or address:port): how long saves and flushes took is shown, too.
    #[arg(long, value_name = "ADDRESS", value_parser = latency::address)]
    metrics: Option<SocketAddr>,
}

/// What came in one interval.
#[derive(Default)]
struct Seen {
    saves: u64,
    /// Times of saves: those of one group are the same.
    groups: u64,
    bytes: u64,
    tables: BTreeMap<String, (u64, u64)>,
    newest: Lsn,
    time: Nanos,
    epoch: u64,
    behind: bool,
}

/// How the directory stands.
struct Standing {
    segments: usize,
    snapshots: usize,
    snapshot_lsn: u64,
    snapshot_made: Nanos,
    files_bytes: u64,
    free: u64,
    writer: bool,
}

impl Top {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let reader = session.read()?;
        let mut watch = self.metrics.map(watched).transpose()?;
        let terminal = std::io::stdout().is_terminal() && !session.json();
        if session.header() && !session.json() && !terminal {
            let more = if watch.is_some() { " SAVE-P50/P99 FLUSH-P50/P99" } else { "" };
            output.line(format_args!(
                "{:>12} {:>6} {:>10} {:>10} {:>10} {:>9} {:>12} {:>10} WRITER{more}",
                "LSN", "EPOCH", "SAVES/S", "SAVES/GRP", "BYTES/S", "SEGMENTS", "SNAPSHOT", "FREE"
            ))?;
        }
        let mut newest = (reader.view().lsn(), reader.view().time());
        let mut epoch = reader.control().epoch.0;
        let mut follower = follow(session, &reader, newest.0)?;
        drop(reader);
        let mut left = self.iterations.unwrap_or(u64::MAX);
        while left > 0 {
            let started = Instant::now();
            let mut seen = come(session, &mut follower, self.interval)?;
            if seen.behind {
                // Deleted before it was read: go on with what is there now.
                let reader = session.read()?;
                seen.newest = reader.view().lsn();
                seen.time = reader.view().time();
                follower = follow(session, &reader, seen.newest)?;
            }
            if seen.newest > newest.0 {
                newest = (seen.newest, seen.time);
            }
            epoch = epoch.max(seen.epoch);
            let standing = standing(session)?;
            let took = watch.as_mut().map(Watch::next);
            let view = Shown { seen: &seen, standing: &standing, newest, epoch, took };
            let elapsed = started.elapsed().as_secs_f64();
            match (session.json(), terminal) {
                (true, _) => view.object(output, elapsed)?,
                (false, true) => view.screen(session, output, elapsed)?,
                (false, false) => view.line(output, elapsed)?,
            }
            output.flush()?;
            left -= 1;
        }
        Ok(Exit::Ok)
    }
}

fn watched(at: SocketAddr) -> Result<Watch, Failure> {
    Watch::new(at).map_err(|error| {
        let next = format!("curl http://{at}/metrics");
        Failure::new(Exit::Unreachable, format!("metrics at {at}: {error}"), next)
    })
}

fn follow(session: &Session, reader: &Reader, after: Lsn) -> Result<Follower, Failure> {
    reader.follow(after.next()).map_err(|error| session.reading(&error))
}

/// Takes what comes until the time is over.
fn come(session: &Session, follower: &mut Follower, span: Duration) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    let started = Instant::now();
    loop {
        let left = span.saturating_sub(started.elapsed());
        let saved = match follower.next(left) {
            Ok(Some(saved)) => saved,
            Ok(None) => return Ok(seen),
            Err(crate::store::ReadError::Behind { .. }) => {
                seen.behind = true;
                std::thread::sleep(span.saturating_sub(started.elapsed()));
                return Ok(seen);
            }
            Err(error) => return Err(session.reading(&error)),
        };
        seen.saves += 1;
        if saved.time != seen.time {
            seen.groups += 1;
        }
        (seen.newest, seen.time, seen.epoch) = (saved.lsn, saved.time, saved.epoch.0);
        for op in saved.ops().flatten() {
            let (table, bytes) = match op {
                Op::Put { table, key, value } => (table, key.len() + value.len()),
                Op::Delete { table, key } => (table, key.len()),
            };
            seen.bytes += bytes as u64;
            let sums = seen.tables.entry(table.to_owned()).or_default();
            sums.0 += 1;
            sums.1 += bytes as u64;
        }
        // Much may wait: what is shown is of this interval all the same.
        if left.is_zero() {
            return Ok(seen);
        }
    }
}

fn standing(session: &Session) -> Result<Standing, Failure> {
    let disk = session.disk()?;
    let failed = |error| {
        let (exit, next) = session.refused(&error);
        Failure::new(exit, error, next)
    };
    let directory = Directory::read(&disk).map_err(failed)?;
    let sound = crate::store::thin::retained(&directory);
    let newest = sound.last();
    let entries = disk.list().map_err(failed)?;
    Ok(Standing {
        segments: directory.segments.len(),
        snapshots: sound.len(),
        snapshot_lsn: newest.map_or(0, |s| s.lsn.0),
        snapshot_made: newest.map_or(Nanos::default(), |s| s.header.made),
        files_bytes: entries.iter().map(|entry| entry.allocated).sum(),
        free: disk.space().map_or(0, |space| space.free),
        writer: writes(session, &disk)?,
    })
}

/// Whether somebody writes: who holds the lock; in a shared directory, whose heart has beaten of
/// late, by its clock and this one's.
fn writes(session: &Session, disk: &Real) -> Result<bool, Failure> {
    if !is_shared(disk) {
        return Ok(writer_lives(disk));
    }
    let sight = register(session.dir()?).and_then(|register| register.look().ok());
    let beat = sight.and_then(|sight| sight.beat).filter(|beat| !beat.stopping);
    Ok(beat.is_some_and(|beat| Nanos::now().0.saturating_sub(beat.written.0) < LATELY))
}

struct Shown<'a> {
    seen: &'a Seen,
    standing: &'a Standing,
    newest: (Lsn, Nanos),
    epoch: u64,
    /// Where somebody was to be asked.
    took: Option<Latencies>,
}

/// A span of at most so many seconds.
fn span(seconds: f64) -> String {
    match seconds * 1e3 {
        ms if ms.is_infinite() => "longer".to_owned(),
        ms if ms < 10.0 => format!("{ms:.2}ms"),
        ms if ms < 10_000.0 => format!("{ms:.0}ms"),
        ms => format!("{:.0}s", ms / 1e3),
    }
}

fn both(took: Option<Took>) -> String {
    took.map_or_else(|| "-".to_owned(), |took| format!("{}/{}", span(took.p50), span(took.p99)))
}

impl Shown<'_> {
    fn rates(&self, elapsed: f64) -> (f64, f64, f64) {
        let seen = self.seen;
        let per_group = seen.saves as f64 / seen.groups.max(1) as f64;
        (seen.saves as f64 / elapsed, per_group, seen.bytes as f64 / elapsed)
    }

    fn writer(&self) -> &'static str {
        if self.standing.writer { "alive" } else { "none" }
    }

    fn snapshot(&self) -> String {
        match self.standing.snapshots {
            0 => "none".to_owned(),
            _ => format!("{} ago", age(self.standing.snapshot_made)),
        }
    }

    fn line(&self, output: &mut Output, elapsed: f64) -> Result<(), Failure> {
        let (saves, per_group, bytes) = self.rates(elapsed);
        let took = self.took.as_ref().map(|took| {
            let (save, flush) = (both(took.save), both(took.flush));
            format!("{:1$} {save:>12} {flush:>13}", "", 6 - self.writer().len())
        });
        output.line(format_args!(
            "{:>12} {:>6} {saves:>10.1} {per_group:>10.1} {:>10} {:>9} {:>12} {:>10} {}{}",
            self.newest.0,
            self.epoch,
            text::bytes(bytes as u64).replace(' ', ""),
            self.standing.segments,
            self.snapshot().replace(' ', "-"),
            text::bytes(self.standing.free).replace(' ', ""),
            self.writer(),
            took.unwrap_or_default()
        ))
    }

    fn object(&self, output: &mut Output, elapsed: f64) -> Result<(), Failure> {
        let (saves, per_group, bytes) = self.rates(elapsed);
        let standing = self.standing;
        let tables = self
            .seen
            .tables
            .iter()
            .map(|(table, (ops, bytes))| json!({"table": table, "ops": ops, "bytes": bytes}));
        // Null: nobody asked, nothing came, or it took longer than what is measured.
        let took = |which: fn(&Latencies) -> Option<Took>, part: fn(&Took) -> f64| {
            let found = self.took.as_ref().and_then(which).map(|took| part(&took));
            found.filter(|seconds| seconds.is_finite())
        };
        output.object(&json!({
            "lsn": self.newest.0.0,
            "time": crate::ctl::time::rfc3339(self.newest.1),
            "epoch": self.epoch,
            "seconds": elapsed,
            "saves": self.seen.saves,
            "saves_per_second": saves,
            "saves_per_group": per_group,
            "bytes_per_second": bytes,
            "save_p50_seconds": took(|of| of.save, |took| took.p50),
            "save_p99_seconds": took(|of| of.save, |took| took.p99),
            "flush_p50_seconds": took(|of| of.flush, |took| took.p50),
            "flush_p99_seconds": took(|of| of.flush, |took| took.p99),
            "tables": tables.collect::<Vec<_>>(),
            "segments": standing.segments,
            "snapshots": standing.snapshots,
            "snapshot_lsn": standing.snapshot_lsn,
            "directory_bytes": standing.files_bytes,
            "free_bytes": standing.free,
            "writer": standing.writer,
        }))
    }

    fn screen(&self, session: &Session, output: &mut Output, elapsed: f64) -> Result<(), Failure> {
        let (saves, per_group, bytes) = self.rates(elapsed);
        let standing = self.standing;
        // To the upper left corner, and nothing below what follows.
        output.raw(b"\x1b[H\x1b[J")?;
        output.line(format_args!(
            "statectl top  {}  writer:{} epoch:{} lsn:{}",
            session.quoted_dir(),
            self.writer(),
            self.epoch,
            self.newest.0
        ))?;
        output.line(format_args!(
            "saves {saves:.1}/s  {per_group:.1} per flush  {}/s  last {} ago",
            text::bytes(bytes as u64),
            age(self.newest.1)
        ))?;
        if let Some(took) = &self.took {
            output.line(format_args!(
                "p50/p99 at most: save {}, flush {}",
                both(took.save),
                both(took.flush)
            ))?;
        }
        output.line(format_args!(
            "log {}  snapshots {}, newest lsn:{} {}  on disk {}  free {}",
            text::count(standing.segments as u64, "segment"),
            standing.snapshots,
            standing.snapshot_lsn,
            self.snapshot(),
            text::bytes(standing.files_bytes),
            text::bytes(standing.free)
        ))?;
        output.line("")?;
        output.line(format_args!("{:>12} {:>14} TABLE", "OPS/S", "BYTES/S"))?;
        let mut tables: Vec<_> = self.seen.tables.iter().collect();
        tables.sort_by_key(|(_, (_, bytes))| std::cmp::Reverse(*bytes));
        for (table, (ops, bytes)) in tables.into_iter().take(TABLES) {
            let (ops, bytes) = (*ops as f64 / elapsed, (*bytes as f64 / elapsed) as u64);
            output.line(format_args!("{ops:>12.1} {:>14} {table}", text::bytes(bytes)))?;
        }
        Ok(())
    }
}
