//! Loops of sbatch, and the gaps between what they are told.

use crate::cluster::limited;
use crate::lab::{Lab, Side};
use crate::{Flags, Kind};
use rustix::process::Signal;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Who submits at a time.
const LOOPS: usize = 8;

/// How long the loops take to begin.
const START: Duration = Duration::from_secs(1);

/// The longest gaps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gaps {
    pub before: Duration,
    pub after: Duration,
    /// When the one after the event began, counted from the event.
    pub at: Duration,
}

/// What a round has come to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Who reigned.
    pub from: usize,
    pub acks: Gaps,
    pub starts: Gaps,
    pub told: Vec<u32>,
    pub failed: usize,
    /// It was not served again in time.
    pub never: bool,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_millis();
        write!(
            f,
            "gap {} ms{} from {} on (undisturbed {}), between starts {} from {} on ({}), \
             {} acknowledged, {} failed",
            ms(self.acks.after),
            if self.never { " and never served" } else { "" },
            ms(self.acks.at),
            ms(self.acks.before),
            ms(self.starts.after),
            ms(self.starts.at),
            ms(self.starts.before),
            self.told.len(),
            self.failed
        )
    }
}

fn gaps(times: &[Duration], event: Duration, end: Duration) -> Gaps {
    // When the longest one began, and how long it is.
    let longest = |from: Duration, to: Duration| {
        let inside = times.iter().copied().filter(|at| (from..=to).contains(at));
        let mut all: Vec<Duration> = [from].into_iter().chain(inside).chain([to]).collect();
        // Several threads have noted them.
        all.sort_unstable();
        let pairs = all.windows(2).map(|pair| (pair[1] - pair[0], pair[0]));
        pairs.max().unwrap_or_default()
    };
    let ((before, _), (after, at)) = (longest(START, event), longest(event, end));
    Gaps { before, after, at: at.saturating_sub(event) }
}

#[derive(Default)]
struct Seen {
    acks: Vec<Duration>,
    starts: Vec<Duration>,
    told: Vec<u32>,
    failed: usize,
}

/// One event in the stream; afterwards both controllers are there again.
pub fn play(lab: &mut Lab, kind: Kind, primary: usize, flags: &Flags) -> Outcome {
    let (seen, stop) = (Mutex::new(Seen::default()), AtomicBool::new(false));
    let began = Instant::now();
    let first = if kind == Kind::Freeze { 1 - primary } else { 0 };
    let (dir, conf) = (lab.dir.clone(), lab.clients(first));
    let (mut event, mut end, mut never) = (Duration::ZERO, Duration::ZERO, false);
    std::thread::scope(|scope| {
        let ends = limited::sets(&stop);
        for client in 0..LOOPS {
            let (seen, stop, dir, conf) = (&seen, &stop, &dir, &conf);
            let held = client >= flags.running;
            scope.spawn(move || submit((client, held), dir, conf, began, seen, stop));
        }
        let (seen, stop, dir) = (&seen, &stop, &dir);
        scope.spawn(move || watch(dir, began, seen, stop));
        std::thread::sleep(START + flags.calm);
        event = began.elapsed();
        happen(lab, kind, primary);
        let count = || seen.lock().unwrap().acks.iter().filter(|at| **at > event).count();
        let until = Instant::now() + flags.cap;
        let rest = (event + flags.calm).saturating_sub(began.elapsed());
        std::thread::sleep(rest);
        // Answers that were on their way are not more than one a loop.
        while count() <= 3 * LOOPS && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        never = count() <= 3 * LOOPS;
        end = began.elapsed();
        drop(ends);
        lab.mend(kind, primary);
    });
    lab.settle();
    let seen = seen.into_inner().unwrap();
    Outcome {
        from: primary,
        acks: gaps(&seen.acks, event, end),
        starts: gaps(&seen.starts, event, end),
        told: seen.told,
        failed: seen.failed,
        never,
    }
}

fn happen(lab: &mut Lab, kind: Kind, primary: usize) {
    match kind {
        Kind::Kill => lab.signal_all(primary, Signal::KILL),
        Kind::Stop => lab.terminate(primary),
        Kind::Takeover => lab.take_over(1 - primary),
        Kind::Hang => match lab.side {
            Side::Ours => lab.signal_serving(primary, Signal::STOP),
            Side::Slurm => lab.signal_all(primary, Signal::STOP),
        },
        Kind::Freeze => lab.signal_all(primary, Signal::STOP),
    }
}

fn submit(
    (client, held): (usize, bool),
    dir: &Path,
    conf: &Path,
    began: Instant,
    seen: &Mutex<Seen>,
    stop: &AtomicBool,
) {
    let script = dir.join(format!("script{client}"));
    std::fs::write(&script, "#!/bin/sh\necho >> started\n").unwrap();
    while !stop.load(Ordering::Acquire) {
        let mut sbatch = Command::new("sbatch");
        sbatch.args(["--parsable", "-o", "/dev/null", "-D"]).arg(dir.join("out"));
        sbatch.args(held.then_some("--hold")).arg(&script).env("SLURM_CONF", conf);
        sbatch.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let output = limited::spawn(&mut sbatch).wait_with_output().unwrap();
        let id = String::from_utf8_lossy(&output.stdout).trim().parse();
        let (now, mut seen) = (began.elapsed(), seen.lock().unwrap());
        match id {
            Ok(id) => {
                seen.acks.push(now);
                seen.told.push(id);
            }
            Err(_) => seen.failed += 1,
        }
    }
}

/// Jobs that start append to a file: to see it grow costs the machine nothing.
fn watch(dir: &Path, began: Instant, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let len = || std::fs::metadata(dir.join("out/started")).map_or(0, |of| of.len());
    let mut known = len();
    while !stop.load(Ordering::Acquire) {
        let now = len();
        if now > known {
            seen.lock().unwrap().starts.push(began.elapsed());
        }
        known = now;
        std::thread::sleep(Duration::from_millis(2));
    }
}
