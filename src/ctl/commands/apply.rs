//! `apply`: saves what stdin says, one save a line, and acknowledges each in order.
//!
//! ```text
//! stdin --(thread)--> lines --submit--> in flight --durable--> acknowledged (flushed to stdout)
//! ```
//!
//! Invariants:
//! - an acknowledgement is flushed to stdout as soon as its save and all before it are done, even
//!   if no further input comes;
//! - at most `--jobs` saves are submitted and not acknowledged, so that after a crash the store
//!   holds the first n saves, with acknowledged <= n <= acknowledged + jobs;
//! - a bad line has no effect, and those after it go on.

use crate::base::Lsn;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::intake::{Intake, Line, Next};
use crate::ctl::output::{Output, show};
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::format::Batch;
use crate::store::{Options, Refusal, SaveError, Store, Ticket};
use clap::Args;
use serde_json::json;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IsTerminal};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Lines without a save that may wait for saves before them.
const LINES_AHEAD: usize = 4096;

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_millis(200);

/// Saves what stdin says, one save a line.
///
/// A save is a JSON array of {"put":{"table":T,"key":K,"value":V}} and
/// {"delete":{"table":T,"key":K}} (key_b64 and value_b64 for bytes).
///
/// For each line one is printed, in order: {"lsn":N} as soon as the save is durable, or
/// {"error":WHY,"line":N}. A bad line has no effect, the rest go on, and the exit code is 3.
#[derive(Debug, Args)]
pub struct Apply {
    /// Keep up to N saves in flight.
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65536))]
    jobs: u32,
    /// Only say which lines could be saved.
    #[arg(long)]
    dry_run: bool,
}

impl Apply {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        session.dir()?;
        if self.dry_run {
            session.read()?;
        }
        let store = if self.dry_run { None } else { Some(session.write(&Options::default())?) };
        let mut stream = Stream {
            session,
            output,
            store: store.as_ref(),
            jobs: self.jobs as usize,
            window: VecDeque::new(),
            in_flight: 0,
            tally: Tally::default(),
            stopped: None,
            progress: Progress::new(session),
        };
        let outcome = stream.run();
        let (tally, stopped) = (mem::take(&mut stream.tally), stream.stopped.take());
        drop(stream);
        // Close in any case: saves in flight are finished, and the watermark tells readers.
        let closed = store.map_or(Ok(()), |store| session.close(store));
        match (outcome, stopped) {
            // Nobody takes acknowledgements any more: an unknown part was not saved.
            (Err(Failure::OutputGone), _) => return Ok(Exit::Failed),
            (Err(failure), _) => return Err(failure),
            (Ok(()), Some(error)) => return Err(session.saving(&error)),
            (Ok(()), None) => closed?,
        }
        tally.verdict(session)
    }
}

/// What has become of the lines.
#[derive(Clone, Debug, Default)]
struct Tally {
    lines: u64,
    refused: u64,
    /// The first line that was refused.
    first: u64,
    /// Why.
    why: String,
    /// What to do about it, where that is not to mend the line.
    next: Option<String>,
}

impl Tally {
    fn refuse(&mut self, session: &Session, line: u64, complaint: &Complaint) {
        self.refused += 1;
        if self.refused > 1 {
            return;
        }
        self.first = line;
        self.why = complaint.to_string();
        if let Complaint::Save(error) = complaint
            && let Failure::Told { next, .. } = session.saving(error)
        {
            self.next = Some(next);
        }
    }

    fn verdict(self, session: &Session) -> Result<Exit, Failure> {
        if self.refused == 0 {
            return Ok(Exit::Ok);
        }
        let (refused, all) = (self.refused, text::count(self.lines, "line"));
        let message =
            format!("{refused} of {all} refused, the first in line {}: {}", self.first, self.why);
        let next = self.next.unwrap_or_else(|| session.next("apply < MENDED_LINES"));
        Err(Failure::new(Exit::Degraded, message, next))
    }
}

/// A line that is not yet acknowledged.
struct Pending {
    number: u64,
    state: State,
}

enum State {
    /// On its way.
    Saving(Ticket),
    /// Saved, or refused.
    Done(Result<Lsn, Complaint>),
    /// With --dry-run: could be saved.
    Valid,
}

/// Why a line was not saved.
enum Complaint {
    Line(String),
    Save(SaveError),
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Complaint::Line(why) => f.write_str(why),
            Complaint::Save(error) => error.fmt(f),
        }
    }
}

struct Stream<'a> {
    session: &'a Session,
    output: &'a mut Output,
    /// None with --dry-run.
    store: Option<&'a Store>,
    jobs: usize,
    /// In the order of the lines.
    window: VecDeque<Pending>,
    /// Saves in the window.
    in_flight: usize,
    tally: Tally,
    /// What stopped the writer: no later save can succeed.
    stopped: Option<SaveError>,
    progress: Progress,
}

impl Stream<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let mut intake = Intake::start(io::stdin());
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut ended = false;
        loop {
            let acknowledged = self.acknowledge()?;
            let mut submitted = 0;
            while !ended && self.has_room() {
                match self.next(&mut intake)? {
                    Next::Line(line) => self.start(line),
                    Next::Later => break,
                    Next::End => ended = true,
                }
                submitted += 1;
            }
            // The ticket of a stopped writer's save is done; nothing is left to wait for.
            ended |= self.stopped.is_some();
            if ended && self.window.is_empty() {
                return Ok(());
            }
            if acknowledged == 0 && submitted == 0 && !self.head_is_done(&waker) {
                thread::park();
            }
        }
    }

    fn has_room(&self) -> bool {
        self.in_flight < self.jobs && self.window.len() < LINES_AHEAD.max(self.jobs)
    }

    fn next(&self, intake: &mut Intake) -> Result<Next, Failure> {
        intake.next().map_err(|error| {
            let next = self.session.next("apply --help");
            Failure::new(Exit::Failed, format!("stdin: {error}"), next)
        })
    }

    fn start(&mut self, line: Line) {
        let state = match (line.save, self.store) {
            (Err(why), _) => State::Done(Err(Complaint::Line(why))),
            (Ok(_), None) => State::Valid,
            (Ok(batch), Some(store)) => self.submit(store, batch),
        };
        self.window.push_back(Pending { number: line.number, state });
    }

    fn submit(&mut self, store: &Store, batch: Batch) -> State {
        let refused = |error| State::Done(Err(Complaint::Save(error)));
        self.in_flight += 1;
        // One at a time is soonest done by this very thread.
        if self.jobs == 1 {
            return store.save(batch).map_or_else(refused, |lsn| State::Done(Ok(lsn)));
        }
        store.submit(batch).map_or_else(refused, State::Saving)
    }

    /// Prints what is done, in order, and hands it on. Returns how many lines that were.
    fn acknowledge(&mut self) -> Result<usize, Failure> {
        let mut lines = 0;
        while let Some(pending) = self.window.pop_front() {
            let (number, outcome) = match pending.state {
                State::Saving(ticket) => match ticket.poll_now() {
                    None => {
                        let state = State::Saving(ticket);
                        self.window.push_front(Pending { state, ..pending });
                        break;
                    }
                    Some(outcome) => {
                        self.in_flight -= 1;
                        (pending.number, outcome.map_err(Complaint::Save))
                    }
                },
                State::Done(outcome) => {
                    if !matches!(outcome, Err(Complaint::Line(_))) {
                        self.in_flight -= 1;
                    }
                    (pending.number, outcome)
                }
                State::Valid => {
                    self.output.object(&json!({"line": pending.number, "valid": true}))?;
                    self.tally.lines += 1;
                    lines += 1;
                    continue;
                }
            };
            self.print(number, outcome)?;
            lines += 1;
        }
        if lines > 0 {
            self.output.flush()?;
            self.progress.show(self.tally.lines);
        }
        Ok(lines)
    }

    fn print(&mut self, number: u64, outcome: Result<Lsn, Complaint>) -> Result<(), Failure> {
        self.tally.lines += 1;
        let complaint = match outcome {
            Ok(lsn) => return self.output.line(format_args!("{{\"lsn\":{lsn}}}")),
            Err(complaint) => complaint,
        };
        self.tally.refuse(self.session, number, &complaint);
        self.output.object(&json!({"error": complaint.to_string(), "line": number}))?;
        if let Complaint::Save(error) = complaint
            && stops(&error)
        {
            self.stopped.get_or_insert(error);
        }
        Ok(())
    }

    /// Whether the oldest save is done; if not, this thread is unparked when it is.
    fn head_is_done(&mut self, waker: &Waker) -> bool {
        match self.window.front_mut().map(|pending| &mut pending.state) {
            Some(State::Saving(ticket)) => {
                let mut context = Context::from_waker(waker);
                matches!(Pin::new(ticket).poll(&mut context), Poll::Ready(_))
            }
            Some(State::Done(_) | State::Valid) => true,
            None => false,
        }
    }
}

/// Whether no later save of this writer can succeed.
fn stops(error: &SaveError) -> bool {
    match error {
        SaveError::Unknown(_) => true,
        SaveError::Refused(refusal) => matches!(refusal, Refusal::Stopped(_) | Refusal::Closed),
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A line on stderr that counts.
struct Progress {
    shown: Option<Instant>,
    wanted: bool,
}

impl Progress {
    fn new(session: &Session) -> Progress {
        // Where acknowledgements scroll by, they are the progress.
        Progress { shown: None, wanted: session.progress() && !io::stdout().is_terminal() }
    }

    fn show(&mut self, lines: u64) {
        if self.wanted && self.shown.is_none_or(|shown| shown.elapsed() >= PROGRESS) {
            self.shown = Some(Instant::now());
            show(format_args!("{} applied", text::count(lines, "line")));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            show("");
        }
    }
}
