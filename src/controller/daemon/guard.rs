//! The guard: it starts the serving process, this program once more, and looks whether it lives.
//!
//! ```text
//! start --> serving process: starts ... ready, alive, alive ...
//!   ^                            | silent for SlurmctldTimeout: SIGKILL
//!   |                            | killed by a signal
//!   +----- again <---------------+ asks for it
//! ```
//!
//! Invariants:
//! - It holds no port, no store and no lock: nothing that can hang it, and nothing that its end
//!   would leave taken. The serving process dies with it.
//! - Silence counts only as long as the guard itself was awake, so that a frozen machine kills
//!   nobody when it thaws; and only once the serving process has said that it answers.
//! - What was asked for at the start (-c, -i, -r) is done once, not at every new start.
//! - Signals and exit codes are the serving process's: whoever looks from outside sees one daemon.

use crate::controller::daemon::background::Waiting;
use crate::controller::daemon::notify;
use crate::controller::daemon::pid_file::PidFile;
use crate::controller::daemon::signals::{follow, passed_on};
use crate::controller::daemon::word::Word;
use crate::controller::log;
use crate::controller::vital;
use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// How often the guard looks.
const LOOK: Duration = Duration::from_millis(50);

/// How long the end may take: requests are finished, the store is closed.
const FAREWELL: Duration = Duration::from_secs(90);

/// So many unwanted ends within [`CALM`] are too many.
const ENDS_MAX: usize = 5;

/// After so long an end is forgotten.
const CALM: Duration = Duration::from_secs(60);

/// What is guarded.
pub struct Guard {
    /// The command line of the serving process.
    pub line: Vec<std::ffi::OsString>,
    /// slurm.conf, for the log's levels.
    pub conf: PathBuf,
    /// Written when the serving process answers.
    pub pid_file: PidFile,
    /// Whoever started the guard, and waits.
    pub waiting: Waiting,
}

/// What the guard has to say of the end of the serving process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It is started again.
    Again,
    /// The guard ends with this code.
    End(u8),
}

/// What is known of one serving process.
#[derive(Debug)]
struct Ward {
    /// How long it may be silent; `None`: it does not answer yet.
    limit: Option<Duration>,
    /// How long it has been, while the guard was awake.
    silent: Duration,
    again: Option<String>,
    /// The guard has killed it.
    hung: bool,
}

impl Ward {
    fn new() -> Ward {
        Ward { limit: None, silent: Duration::ZERO, again: None, hung: false }
    }

    fn hears(&mut self, word: &Word) {
        self.silent = Duration::ZERO;
        match word {
            Word::Ready(limit, _) => self.limit = Some(*limit),
            Word::Again(why) => self.again = Some(why.clone()),
            // What is under way is finished, however short the limit is.
            Word::Stopping(_) => self.limit = self.limit.map(|limit| limit.max(FAREWELL)),
            Word::Alive | Word::Status(_) => {}
        }
    }

    /// Time has passed; whether it has been silent for too long.
    fn waits(&mut self, passed: Duration) -> bool {
        // A look that came late says that the guard slept, too.
        self.silent += passed.min(LOOK * 2);
        let hung = self.limit.is_some_and(|limit| self.silent >= limit) && !self.hung;
        self.hung |= hung;
        hung
    }

    fn next(&self, status: ExitStatus, asked: bool) -> Next {
        let answered = self.limit.is_some();
        match (status.code(), status.signal()) {
            _ if self.again.is_some() && !asked => Next::Again,
            (Some(code), _) => Next::End(u8::try_from(code).unwrap_or(1)),
            (None, Some(_)) if answered && !asked => Next::Again,
            _ => Next::End(1),
        }
    }
}

impl Guard {
    /// Guards until the end; the program's exit code.
    ///
    /// # Errors
    /// No process can be started; others of the system.
    pub fn run(mut self) -> Result<u8, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("the guard: {error}"))?;
        let mut signals =
            runtime.block_on(async { signals() }).map_err(|error| format!("signals: {error}"))?;
        let (mut ends, mut first) = (Vec::<Instant>::new(), true);
        loop {
            let child = runtime.block_on(async { self.start(first) });
            let (mut child, lines) =
                child.map_err(|error| format!("the serving process: {error}"))?;
            first = false;
            let mut ward = Ward::new();
            let guarding = self.guard(&mut child, lines, &mut ward, &mut signals);
            let (status, asked) =
                runtime.block_on(guarding).map_err(|error| format!("the guard: {error}"))?;
            match ward.next(status, asked) {
                Next::End(code) => return Ok(code),
                Next::Again => {}
            }
            if ward.again.is_none() {
                let now = Instant::now();
                ends.retain(|end| now.duration_since(*end) < CALM);
                ends.push(now);
                if ends.len() >= ENDS_MAX {
                    return Err(format!("it ended {ENDS_MAX} times within a minute"));
                }
            }
            match &ward.again {
                Some(why) => tracing::debug!("{why}: the serving process begins anew"),
                None => {
                    tracing::error!(
                        "the serving process has ended ({status}): it is started again"
                    );
                }
            }
        }
    }

    fn start(&self, first: bool) -> io::Result<(Child, Lines<BufReader<Receiver>>)> {
        let (reader, writer) = io::pipe()?;
        let mut line = self.line.iter();
        let mut command = Command::new("/proc/self/exe");
        if let Some(name) = line.next() {
            command.arg0(name);
        }
        let again = if first { "" } else { ":again" };
        let child = command
            .args(line)
            .arg(format!("--guarded={}{again}", std::process::id()))
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::from(OwnedFd::from(writer)))
            .spawn()?;
        // The end of the pipe is the end of the child.
        drop(command);
        let receiver = Receiver::from_owned_fd(OwnedFd::from(reader))?;
        Ok((child, BufReader::new(receiver).lines()))
    }

    /// Until the child has ended: how, and whether somebody asked for it.
    async fn guard(
        &mut self,
        child: &mut Child,
        mut lines: Lines<BufReader<Receiver>>,
        ward: &mut Ward,
        signals: &mut mpsc::Receiver<Signal>,
    ) -> io::Result<(ExitStatus, bool)> {
        let pid = Pid::from_child(child);
        let (mut asked, mut speaks, mut last) = (false, true, Instant::now());
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                line = lines.next_line(), if speaks => match line {
                    Ok(Some(line)) => self.hear(&line, ward, asked),
                    Ok(None) | Err(_) => speaks = false,
                },
                Some(number) = signals.recv() => {
                    asked |= matches!(number, Signal::TERM | Signal::INT);
                    if number == Signal::USR2 {
                        follow(&self.conf);
                    }
                    if number != Signal::CHILD {
                        let _ = kill_process(pid, number);
                    }
                }
                _ = looks.tick() => {
                    let passed = last.elapsed();
                    last = Instant::now();
                    if ward.waits(passed) {
                        let silent_ms = ward.silent.as_millis();
                        tracing::error!(
                            "the serving process, {}, was silent for {silent_ms} ms: it is killed",
                            child.id()
                        );
                        let _ = kill_process(pid, Signal::KILL);
                    }
                }
            }
            // What it said last is heard before its end counts.
            if (!speaks || ward.hung)
                && let Some(status) = child.try_wait()?
            {
                return Ok((status, asked));
            }
        }
    }

    fn hear(&mut self, line: &str, ward: &mut Ward, asked: bool) {
        let Some(word) = Word::read(line) else { return };
        ward.hears(&word);
        match word {
            Word::Alive => {}
            Word::Ready(_, status) => {
                self.pid_file.write();
                let waiting = std::mem::replace(&mut self.waiting, Waiting::Nobody);
                if let Err(error) = waiting.release(log::needs_stderr()) {
                    tracing::warn!("the background: {error}");
                }
                notify::begun(&status);
            }
            Word::Status(status) => notify::status(&status),
            Word::Again(why) if !asked => notify::status(&why),
            Word::Stopping(why) | Word::Again(why) => notify::stopping(&why),
        }
    }
}

/// All signals that the serving process knows, and those that it ignores.
fn signals() -> io::Result<mpsc::Receiver<Signal>> {
    let (to, from) = mpsc::channel(64);
    for number in passed_on() {
        let (to, mut signal) = (to.clone(), signal(SignalKind::from_raw(number.as_raw()))?);
        vital::task("signals", async move {
            while signal.recv().await.is_some() {
                if to.send(number).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(raw: i32) -> ExitStatus {
        ExitStatus::from_raw(raw)
    }

    #[test]
    fn a_guard_that_slept_kills_nobody_and_one_that_was_awake_kills_who_is_silent() {
        let mut ward = Ward::new();
        assert!(!ward.waits(Duration::from_secs(600)), "it does not answer yet");
        ward.hears(&Word::Ready(Duration::from_secs(1), String::new()));
        assert!(!ward.waits(Duration::from_secs(600)), "the guard slept for ten minutes");
        ward.hears(&Word::Alive);
        let looks = (0..100).take_while(|_| !ward.waits(LOOK)).count();
        assert_eq!(looks, 19, "a second of looks");
        assert!(!ward.waits(LOOK), "it is killed once");
        let mut stopping = Ward::new();
        stopping.hears(&Word::Ready(Duration::from_secs(1), String::new()));
        stopping.hears(&Word::Stopping(String::new()));
        assert!((0..100).all(|_| !stopping.waits(LOOK)), "it is finishing");
    }

    #[test]
    fn who_is_started_again_and_how_the_guard_ends() {
        let (killed, failed, fine) = (ended(9), ended(1 << 8), ended(0));
        let mut ward = Ward::new();
        assert_eq!(ward.next(killed, false), Next::End(1), "it never answered");
        ward.hears(&Word::Ready(Duration::from_secs(1), String::new()));
        assert_eq!(ward.next(killed, false), Next::Again);
        assert_eq!(ward.next(killed, true), Next::End(1), "it was to end anyhow");
        assert_eq!(ward.next(failed, false), Next::End(1), "it says that it cannot go on");
        assert_eq!(ward.next(fine, false), Next::End(0));
        ward.hears(&Word::Again("deposed".to_owned()));
        assert_eq!(ward.next(failed, false), Next::Again);
        assert_eq!(ward.next(fine, true), Next::End(0));
    }
}
