//! Loops of sbatch, and the gaps between what they are told.

use crate::cluster::EndsIt;
use crate::lab::{Lab, Side};
use crate::{Flags, Kind};
use rustix::process::Signal;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Who submits at a time.
const LOOPS: usize = 8;

/// How long nothing happens, and how long the stream flows after the event.
const CALM: Duration = Duration::from_secs(3);

/// The longest gaps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gaps {
    pub before: Duration,
    pub after: Duration,
}

/// What a round has come to.
#[derive(Debug, Default)]
pub struct Outcome {
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
            "gap {} ms{} (undisturbed {}), between starts {} ({}), {} acknowledged, {} failed",
            ms(self.acks.after),
            if self.never { " and never served" } else { "" },
            ms(self.acks.before),
            ms(self.starts.after),
            ms(self.starts.before),
            self.told.len(),
            self.failed
        )
    }
}

fn gaps(times: &[Duration], event: Duration, end: Duration) -> Gaps {
    let longest = |from: Duration, to: Duration| {
        let inside = times.iter().copied().filter(|at| (from..=to).contains(at));
        let mut all: Vec<Duration> = [from].into_iter().chain(inside).chain([to]).collect();
        // Several threads have noted them.
        all.sort_unstable();
        all.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    };
    // The first second is the start of the loops.
    Gaps { before: longest(Duration::from_secs(1), event), after: longest(event, end) }
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
        let ends = EndsIt(&stop);
        for client in 0..LOOPS {
            let (seen, stop, dir, conf) = (&seen, &stop, &dir, &conf);
            scope.spawn(move || submit(client, dir, conf, began, seen, stop));
        }
        let (seen, stop, dir) = (&seen, &stop, &dir);
        scope.spawn(move || watch(dir, began, seen, stop));
        std::thread::sleep(CALM);
        event = began.elapsed();
        happen(lab, kind, primary);
        let count = || seen.lock().unwrap().acks.iter().filter(|at| **at > event).count();
        let until = Instant::now() + flags.cap;
        std::thread::sleep(CALM);
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
    client: usize,
    dir: &Path,
    conf: &Path,
    began: Instant,
    seen: &Mutex<Seen>,
    stop: &AtomicBool,
) {
    let script = dir.join(format!("script{client}"));
    std::fs::write(&script, "#!/bin/sh\necho >> ran.$SLURM_JOB_ID\n").unwrap();
    while !stop.load(Ordering::Acquire) {
        let output = std::process::Command::new("sbatch")
            .args(["--parsable", "-o", "/dev/null", "-D"])
            .arg(dir.join("out"))
            .arg(&script)
            .env("SLURM_CONF", conf)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
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

fn watch(dir: &Path, began: Instant, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut known = HashSet::new();
    while !stop.load(Ordering::Acquire) {
        let names = std::fs::read_dir(dir.join("out")).unwrap().flatten();
        let fresh = names.filter(|entry| known.insert(entry.file_name())).count();
        if fresh > 0 {
            seen.lock().unwrap().starts.push(began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
