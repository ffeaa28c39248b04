//! A stream of submissions, and what happens to the controllers in it.

use crate::cluster::limited::sets;
use crate::cluster::until_none;
use crate::judge::{self, Told};
use crate::lab::{Lab, NAMES};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Who submits at a time.
const CLIENTS: usize = 8;

/// How often a moment is looked for, every ms. Nothing is measured by it.
const MOMENT_TRIES: usize = 120_000;

/// What happens to the controller that reigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `kill -9` of the process that serves: its guard starts another one.
    KillServing,
    /// `kill -9` of all of it.
    KillAll,
    /// SIGTERM.
    Stop,
    /// `scontrol takeover`, where the second one is not in charge; else to the first one.
    Takeover,
    /// SIGSTOP of the process that serves.
    Freeze,
    /// SIGSTOP of all of it, and SIGCONT later.
    FreezeAll,
}

impl Kind {
    /// Whether the guard ends, or sees the end of, the process that serves, and starts another one:
    /// that one and the standby race for the next epoch.
    fn is_the_guards(self) -> bool {
        matches!(self, Kind::KillServing | Kind::Freeze)
    }
}

pub const KINDS: [Kind; 6] =
    [Kind::KillServing, Kind::Stop, Kind::Takeover, Kind::Freeze, Kind::FreezeAll, Kind::KillAll];

/// When it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// In the stream.
    Any,
    /// As a job begins that was launched right before, while others are being launched.
    Launch,
    /// As the log goes on in another segment.
    Rotation,
    /// As a snapshot is being written.
    Snapshot,
}

use Moment::{Any, Launch, Rotation, Snapshot};

/// The moments of the kinds, in turn. A snapshot comes when as much again is logged as there is: in
/// the first turn, while that is little; later it would be gigabytes.
const MOMENTS: [[Moment; 6]; 4] =
    [[Snapshot, Rotation, Snapshot, Launch, Any, Snapshot], [Any; 6], [Launch; 6], [Rotation; 6]];

/// One failover: what happens, when, and to whom.
#[derive(Clone, Copy, Debug)]
pub struct Failover {
    kind: Kind,
    moment: Moment,
    primary: usize,
}

/// Each kind in each round, in both directions in turn.
pub fn plan(rounds: usize) -> Vec<Failover> {
    let round = |round: usize| {
        KINDS.iter().enumerate().map(move |(at, kind)| {
            let moment = match MOMENTS[round % MOMENTS.len()][at] {
                Snapshot if round > 0 => Rotation,
                moment => moment,
            };
            // Who was deposed for its silence keeps still for a while, unless it reigns again
            // first: the one that was frozen is killed next.
            let turn = round + at + usize::from(*kind == Kind::KillAll);
            Failover { kind: *kind, moment, primary: turn % 2 }
        })
    };
    (0..rounds).flat_map(round).collect()
}

/// What was told to clients.
#[derive(Default)]
pub struct Seen {
    pub told: Vec<Told>,
    /// When each was told, after the beginning.
    pub at: Vec<Duration>,
    /// What sbatch said where it failed.
    pub failed: Vec<(Duration, String)>,
}

/// Plays each of them, and judges.
pub fn play(lab: &mut Lab, plan: &[Failover]) {
    // A job that runs through all of it.
    let long = lab.dir.join("long");
    let text = "#!/bin/sh\necho $$ >> long.$SLURM_JOB_ID\n\
                while [ ! -e go ]; do sleep 0.1; done\nexit 7\n";
    std::fs::write(&long, text).unwrap();
    let long = lab.sbatch(&long).unwrap();
    let ran = lab.out().join(format!("long.{long}"));
    lab.wait("the long job runs", || ran.exists());
    let mut all = Seen::default();
    for (round, failover) in plan.iter().enumerate() {
        if !lab.reigns(failover.primary) {
            lab.mark(1 - failover.primary);
            lab.ask_to_take_over(failover.primary);
            lab.until_ready(1 - failover.primary);
        }
        let (seen, happened) = one(lab, *failover);
        report(round, *failover, &seen, happened);
        all.told.extend(seen.told);
        all.failed.extend(seen.failed);
    }
    if std::env::var_os("STATEDIR_FAILOVER_LOGS").is_some() {
        eprintln!("{}", lab.logs());
    }
    let none = all.failed.len();
    eprintln!("{} failovers, {none} submissions failed at the instant of one", plan.len());
    judge(lab, &all);
    std::fs::write(lab.out().join("go"), "").unwrap();
    let names: Vec<String> = (0..CLIENTS).map(|client| format!("script{client}")).collect();
    let left = format!("squeue -h -n long,straight,{}", names.join(","));
    lab.showing(|| {
        until_none("all jobs end", || {
            let said = lab.run(&left);
            (said.code == 0).then(|| said.stdout.lines().count())
        });
    });
    let shown = lab.run(&format!("scontrol show job {long}")).stdout;
    assert!(shown.contains("JobState=FAILED") && shown.contains("ExitCode=7:0"), "{shown}");
    assert_eq!(std::fs::read_to_string(&ran).unwrap().lines().count(), 1, "{}", lab.logs());
    let mut never = 0;
    for job in &all.told {
        let lines = std::fs::read_to_string(lab.out().join(format!("ran.{}", job.id)));
        match lines.map_or(0, |text| text.lines().count()) {
            0 => never += 1,
            1 => {}
            more => panic!("job {} ran {more} times\n{}", job.id, lab.logs()),
        }
    }
    assert_eq!(never, 0, "jobs that never ran\n{}", lab.logs());
    // Slurm's own errors, of clients that were connected at the very instant.
    for (at, said) in &all.failed {
        eprintln!("a client failed at {at:?}: {}", said.trim());
    }
}

/// A job, as heavy as its moment needs: text that no compression makes much shorter.
fn script(number: usize, moment: Moment) -> String {
    const TEXT: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-+";
    let bytes = match moment {
        Any | Launch => 0,
        Rotation => 60_000,
        Snapshot => 200_000,
    };
    let mut state = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let weight = (0..bytes).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(TEXT[(state >> 58) as usize])
    });
    let weight: String = weight.collect();
    format!("#!/bin/sh\n# {number}\necho $$ >> ran.$SLURM_JOB_ID\nexit 0\n# {weight}\n")
}

/// Whether somebody has begun to write that snapshot, and has not done so: what is at its beginning
/// is written last.
fn is_being_written(path: &Path) -> bool {
    let mut first = [1; 512];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut first));
    // It may be too short for that yet.
    let short = matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof);
    short || read.is_ok() && first == [0; 512]
}

/// Waits for the moment.
fn until(lab: &Lab, moment: Moment) {
    let what = match moment {
        Any => return,
        Launch => "ran.",
        Rotation => "log-",
        Snapshot => "snap-",
    };
    let dir = if moment == Launch { lab.out() } else { lab.clients.state() };
    let names = || {
        let names = std::fs::read_dir(&dir).unwrap().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with(what)).collect::<BTreeSet<_>>()
    };
    let before = names();
    for _ in 0..MOMENT_TRIES {
        let come = |name: &String| moment != Snapshot || is_being_written(&dir.join(name));
        if names().difference(&before).any(come) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("never: {moment:?}\n{}", lab.logs());
}

fn one(lab: &mut Lab, Failover { kind, moment, primary }: Failover) -> (Seen, Duration) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let (seen, stop) = (Mutex::new(Seen::default()), AtomicBool::new(false));
    let (began, other) = (Instant::now(), 1 - primary);
    let mut happened = Duration::ZERO;
    let beside = lab.beside();
    std::thread::scope(|scope| {
        let ends = sets(&stop);
        for client in 0..CLIENTS {
            let (seen, stop, beside) = (&seen, &stop, &beside);
            scope.spawn(move || {
                let path = beside.dir.join(format!("script{client}"));
                while !stop.load(Ordering::Acquire) {
                    // An agent may take its time until it launches something: it gets no more
                    // to do meanwhile than it must.
                    if moment == Launch && seen.lock().unwrap().told.len() > 100 {
                        std::thread::sleep(Duration::from_millis(200));
                    }
                    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                    let script = script(number, moment);
                    std::fs::write(&path, &script).unwrap();
                    let said = beside.sbatch(&path);
                    let now = began.elapsed();
                    let mut seen = seen.lock().unwrap();
                    match said {
                        Ok(id) => {
                            seen.told.push(Told { id, script });
                            seen.at.push(now);
                        }
                        Err(said) => seen.failed.push((now, said)),
                    }
                }
            });
        }
        let count = || seen.lock().unwrap().told.len();
        lab.wait("the stream flows", || count() >= 20);
        let served = lab.serving(primary);
        lab.mark(primary);
        until(lab, moment);
        happened = began.elapsed();
        happen(lab, primary, kind);
        let after = count();
        // One whose guard starts it again may be back before the other one has noticed.
        let may_be_back = kind.is_the_guards();
        lab.wait(&format!("{} reigns", NAMES[other]), || {
            lab.reigns(other)
                || may_be_back && lab.serving(primary) != served && lab.reigns(primary)
        });
        if kind == Kind::FreezeAll && primary == 0 {
            // Unmodified clients, and slurmd, try the first-listed one first and wait there, as
            // with Slurm: the other one serves whoever comes straight to it.
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let script = script(number, Any);
            let path = lab.dir.join("straight");
            std::fs::write(&path, &script).unwrap();
            let id = lab.straight_to(other).sbatch(&path).unwrap();
            let mut seen = seen.lock().unwrap();
            seen.told.push(Told { id, script });
            seen.at.push(began.elapsed());
        } else {
            lab.wait("the stream flows again", || count() >= after + 20);
            if kind == Kind::Takeover {
                // Who has ceded begins anew meanwhile, and nobody notices.
                lab.until_ready(primary);
            }
        }
        drop(ends);
        if kind == Kind::FreezeAll {
            let (guard, serving) = (lab.guard(primary), lab.serving(primary));
            for pid in [Some(guard), serving].into_iter().flatten() {
                rustix::process::kill_process(pid, Signal::CONT).unwrap();
            }
        }
    });
    let seen = seen.into_inner().unwrap();
    if matches!(kind, Kind::Stop | Kind::Takeover) {
        assert!(seen.failed.is_empty(), "{kind:?}: {:?}\n{}", seen.failed, lab.logs());
    }
    if matches!(kind, Kind::Stop | Kind::KillAll) {
        lab.start(primary);
    }
    let now = if lab.reigns(other) { other } else { primary };
    assert!(now == other || kind.is_the_guards(), "{}", lab.logs());
    // A standby that was ready has all of it in memory.
    let log = lab.log(other);
    let claim = log.lines().rfind(|line| line.contains(" is claimed ("));
    let followed = claim.is_some_and(|line| line.contains(" jobs were followed ("));
    assert!(now != other || followed, "{}", lab.logs());
    lab.until_ready(1 - now);
    assert!(lab.reigns(now) && !lab.reigns(1 - now), "{}", lab.logs());
    (seen, happened)
}

fn happen(lab: &mut Lab, primary: usize, kind: Kind) {
    match kind {
        Kind::KillServing => lab.signal(primary, Signal::KILL),
        Kind::Freeze => lab.signal(primary, Signal::STOP),
        Kind::FreezeAll => {
            let (guard, serving) = (lab.guard(primary), lab.serving(primary).unwrap());
            for pid in [guard, serving] {
                rustix::process::kill_process(pid, Signal::STOP).unwrap();
            }
        }
        Kind::KillAll => lab.kill(primary),
        Kind::Stop => assert_eq!(lab.stop(primary), Some(0), "{}", lab.logs()),
        Kind::Takeover if primary == 0 => {
            let said = lab.run("scontrol takeover");
            assert_eq!(said.code, 0, "{said:?}\n{}", lab.logs());
        }
        // Slurm's own scontrol refuses 0.
        Kind::Takeover => lab.ask_to_take_over(0),
    }
}

fn report(round: usize, failover: Failover, seen: &Seen, happened: Duration) {
    let Failover { kind, moment, primary } = failover;
    let mut at = seen.at.clone();
    at.sort();
    let gaps = at.windows(2).map(|pair| (pair[1] - pair[0], pair[0]));
    let (longest, when) = gaps.max().unwrap_or_default();
    eprintln!(
        "round {round}, {kind:?} of {} ({moment:?}): {} acknowledged, {} failed, longest gap {} ms \
         at {} ms (it happened at {} ms)",
        NAMES[primary],
        seen.told.len(),
        seen.failed.len(),
        longest.as_millis(),
        when.as_millis(),
        happened.as_millis()
    );
}

fn judge(lab: &Lab, all: &Seen) {
    let known = judge::ids_shown(&lab.run("scontrol -o show job").stdout);
    let path = lab.dir.join("written");
    let mut scripts = BTreeMap::new();
    for job in &all.told {
        let _ = std::fs::remove_file(&path);
        lab.write_script(job.id, &path);
        scripts.insert(job.id, std::fs::read_to_string(&path).ok());
    }
    let lost = judge::lost(&all.told, &[], &known, |id| scripts.get(&id).cloned().flatten());
    eprintln!("{} acknowledged, {lost}", all.told.len());
    for job in all.told.iter().filter(|job| lost.other_script.contains(&job.id)) {
        eprintln!("job {}: {:?} was sent, {:?} is there", job.id, job.script, scripts[&job.id]);
    }
    assert_eq!(lost, judge::Lost::default(), "{}", lab.logs());
}
