//! `log`: the saves themselves, oldest first, and those that follow.

use crate::base::Lsn;
use crate::ctl::entry::Change;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use crate::ctl::text::word;
use crate::ctl::time::rfc3339;
use crate::format::{FormatError, Op};
use crate::store::{Follower, Reader, Saved};
use clap::Args;
use serde::Serialize;
use std::time::Duration;

/// How long one look for the next save takes while following.
const LOOK: Duration = Duration::from_secs(1);

/// Prints the saves that are retained, oldest first, a line for each op.
///
/// With --json a line for each save, its ops as `apply` reads them.
#[derive(Debug, Args)]
pub struct Log {
    /// Begin with this LSN.
    #[arg(long, value_name = "LSN")]
    from: Option<u64>,
    /// Go on with saves as they come; ends after --timeout without one.
    #[arg(long)]
    follow: bool,
    /// At most this many saves: from --from on, else the last ones.
    #[arg(short = 'n', value_name = "N")]
    number: Option<u64>,
}

#[derive(Serialize)]
struct Line<'a> {
    lsn: u64,
    epoch: u64,
    time: String,
    ops: Vec<Change<'a>>,
}

impl Log {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let reader = session.read()?;
        let newest = reader.view().lsn();
        let first = self.first(session, &reader)?;
        if session.header() && !session.json() {
            output.line(HEADER)?;
        }
        // With --follow and no --from, -n says how many of the old ones are shown, as in tail.
        let left = self.number.filter(|_| !self.follow || self.from.is_some());
        let mut left = left.unwrap_or(u64::MAX);
        let mut next = first;
        if next > newest && !self.follow {
            return Ok(Exit::Ok);
        }
        let mut follower = reader.follow(first).map_err(|error| session.reading(&error))?;
        while left > 0 && (self.follow || next <= newest) {
            let wait = if next <= newest { Some(LOOK) } else { None };
            let Some(saved) = self.wait(session, output, &mut follower, wait)? else { break };
            print(session, output, &saved)?;
            next = saved.lsn.next();
            left -= 1;
        }
        Ok(Exit::Ok)
    }

    /// The next save. What was printed is handed on before anything is waited for.
    fn wait(
        &self,
        session: &Session,
        output: &mut Output,
        follower: &mut Follower,
        known: Option<Duration>,
    ) -> Result<Option<Saved>, Failure> {
        let failed = |error| session.reading(&error);
        if let Some(wait) = known {
            return follower.next(wait).map_err(failed);
        }
        if let Some(saved) = follower.next(Duration::ZERO).map_err(failed)? {
            return Ok(Some(saved));
        }
        output.flush()?;
        loop {
            let wait = session.timeout().unwrap_or(LOOK);
            match follower.next(wait).map_err(failed)? {
                None if session.timeout().is_none() => {}
                outcome => return Ok(outcome),
            }
        }
    }

    fn first(&self, session: &Session, reader: &Reader) -> Result<Lsn, Failure> {
        let history = reader.history();
        let oldest = history.oldest_lsn.next();
        let newest = history.newest_lsn;
        match (self.from, self.number) {
            (None, None) => Ok(oldest),
            (None, Some(number)) => Ok(oldest.max(Lsn((newest.0 + 1).saturating_sub(number)))),
            (Some(from), _) if from > newest.0 + 1 && !self.follow => {
                let message = format!("lsn {from} is not there yet: the newest is {newest}");
                Err(Failure::new(Exit::NotFound, message, session.next("log --follow")))
            }
            (Some(from), _) => Ok(Lsn(from.max(1))),
        }
    }
}

/// The line above saves.
pub const HEADER: &str = "LSN EPOCH TIME OP TABLE KEY BYTES";

/// Prints a save: a line for each op, or an object.
///
/// # Errors
/// It cannot be read, or stdout fails.
pub fn print(session: &Session, output: &mut Output, saved: &Saved) -> Result<(), Failure> {
    let ops: Result<Vec<Op<'_>>, FormatError> = saved.ops().collect();
    let ops = ops.map_err(|error| {
        let message = format!("save {}: {error}", saved.lsn);
        Failure::new(Exit::Corruption, message, session.next("verify --full"))
    })?;
    let (lsn, epoch, time) = (saved.lsn, saved.epoch, rfc3339(saved.time));
    if session.json() {
        let ops = ops.into_iter().map(Change::from).collect();
        return output.object(&Line { lsn: lsn.0, epoch: epoch.0, time, ops });
    }
    if ops.is_empty() {
        return output.line(format_args!("{lsn} {epoch} {time} - - - 0"));
    }
    for op in ops {
        let (name, table, key, bytes) = match op {
            Op::Put { table, key, value } => ("put", table, key, value.len()),
            Op::Delete { table, key } => ("delete", table, key, 0),
        };
        let key = word(key);
        output.line(format_args!("{lsn} {epoch} {time} {name} {table} {key} {bytes}"))?;
    }
    Ok(())
}
