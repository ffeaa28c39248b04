//! `doctor`: looks at everything that a store rests on, a line for each, with what to do.

mod pair;

use crate::base::Nanos;
use crate::ctl::controllers::{Controllers, HUNG, within};
use crate::ctl::exit::Exit;
use crate::ctl::facts;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::owner;
use crate::ctl::pair::reign;
use crate::ctl::session::Session;
use crate::ctl::slurm_conf::{self, state_save_location};
use crate::ctl::text;
use crate::disk::{Access, AlignedBuf, Disk, Real, Site};
use crate::format::names;
use crate::store::{Level, Verified, is_shared, verify};
use clap::Args;
use serde_json::json;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Flushes that are timed.
const FLUSHES: usize = 64;

/// The name of the file that they go to, for as long as that takes.
const PROBE: &str = ".doctor-probe";

/// No disk that keeps what it acknowledges is as fast, unless its cache has a battery.
const TOO_FAST: Duration = Duration::from_micros(20);

/// A clock behind the newest save by more than this went back.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// Looks at everything that a store rests on.
///
/// Permissions, file system, flushes, clock, room, size, slurm.conf: a line for each, ok, warn or
/// fail, and what to do. Where several controllers share the directory: whether each answers, sees
/// it, has the same files and the same time, whether slurmds are reached from here, the mount.
///
/// Flushes are timed with a small file of its own in the directory. Exit code 3 if anything is to
/// be warned of, 1 if anything fails, 4 if it is the store itself.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Write nothing: flushes are not timed.
    #[arg(long)]
    no_probe: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warn,
    Fail(Exit),
}

/// One line.
struct Check {
    name: &'static str,
    verdict: Verdict,
    what: String,
    next: Option<String>,
}

fn ok(name: &'static str, what: impl Into<String>) -> Check {
    Check { name, verdict: Verdict::Ok, what: what.into(), next: None }
}

fn warn(name: &'static str, what: impl Into<String>, next: impl Into<String>) -> Check {
    Check { name, verdict: Verdict::Warn, what: what.into(), next: Some(next.into()) }
}

fn fail(name: &'static str, what: impl Into<String>, next: impl Into<String>) -> Check {
    let verdict = Verdict::Fail(Exit::Failed);
    Check { name, verdict, what: what.into(), next: Some(next.into()) }
}

impl Doctor {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let dir = session.dir()?.to_owned();
        let mut worst = Exit::Ok;
        for check in self.checks(session, &dir) {
            print(session, output, &check)?;
            worst = match (worst, check.verdict) {
                (Exit::Ok, Verdict::Warn) => Exit::Degraded,
                (Exit::Ok | Exit::Degraded, Verdict::Fail(exit)) => exit,
                (_, Verdict::Fail(Exit::Corruption)) => Exit::Corruption,
                (worst, _) => worst,
            };
            output.flush()?;
        }
        Ok(worst)
    }

    fn checks(&self, session: &Session, dir: &Path) -> Vec<Check> {
        let mut checks = Vec::new();
        let there = dir.to_owned();
        if within(HUNG, move || there.metadata().is_ok()).is_none() {
            let what = format!("does not answer for {}", text::span(HUNG));
            checks.push(fail("directory", what, format!("findmnt -T {}", session.quoted_dir())));
            // The controllers answer whatever it does.
            let controllers = Controllers::of(session);
            checks.extend(controllers.iter().flat_map(|of| pair::checks(session, of, dir)));
            return checks;
        }
        checks.extend(slurm(session, dir));
        let disk = match Real::open(dir) {
            Ok(disk) => disk,
            Err(error) => {
                let next = match error.kind() {
                    io::ErrorKind::NotFound => session.next("init"),
                    _ => format!("ls -ld {}", session.quoted_dir()),
                };
                checks.push(fail("directory", error.to_string(), next));
                return checks;
            }
        };
        checks.push(permissions(session, dir));
        checks.push(owners(session, dir, &disk));
        checks.push(file_system(session, dir));
        checks.push(locks(&disk));
        checks.extend(reign(session, dir));
        checks.push(handles(&disk));
        checks.push(self.flushes(session, dir, &disk));
        let verified = verify(dir, Level::Quick);
        checks.push(clock(verified.as_ref().ok()));
        checks.push(room(session, &disk, verified.as_ref().ok()));
        let entries = disk.list().unwrap_or_default();
        checks.push(pair::size(entries.iter().map(|entry| entry.allocated).sum()));
        checks.push(match &verified {
            Ok(verified) => store(session, verified),
            Err(error) => {
                let failure = session.opening(error);
                let (exit, next) = match &failure {
                    Failure::Told { exit, next, .. } => (*exit, next.clone()),
                    Failure::OutputGone => (Exit::Failed, session.next("status")),
                };
                let (verdict, what) = (Verdict::Fail(exit), error.to_string());
                Check { name: "store", verdict, what, next: Some(next) }
            }
        });
        let controllers = Controllers::of(session);
        checks.extend(controllers.iter().flat_map(|of| pair::checks(session, of, dir)));
        checks
    }

    /// Whether flushes take as long as they must.
    fn flushes(&self, session: &Session, dir: &Path, disk: &Real) -> Check {
        const NAME: &str = "flushes";
        let cache = facts::write_cache(dir).map_or_else(String::new, |c| format!(", cache {c}"));
        if self.no_probe {
            return ok(NAME, format!("not timed{cache}"));
        }
        let median = match probe(disk) {
            Ok(median) => median,
            Err(error) => {
                let next = format!("ls -ld {}", session.quoted_dir());
                return warn(NAME, format!("not timed: {error}{cache}"), next);
            }
        };
        let shown = format!("{:.3} ms (median of {FLUSHES}){cache}", median.as_secs_f64() * 1e3);
        let in_memory = facts::mount(dir).is_some_and(|mount| mount.kind == "tmpfs");
        if median < TOO_FAST && !in_memory {
            let what = format!("{shown}: faster than a disk that keeps what it acknowledges");
            return warn(NAME, what, "hdparm -W DEVICE; ask who runs the hypervisor");
        }
        ok(NAME, shown)
    }
}

fn print(session: &Session, output: &mut Output, check: &Check) -> Result<(), Failure> {
    let Check { name, verdict, what, next } = check;
    let verdict = match verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail(_) => "fail",
    };
    let what = text::one_line(what);
    if session.json() {
        return output
            .object(&json!({"check": name, "verdict": verdict, "what": what, "next": next}));
    }
    let next = next.as_ref().map_or_else(String::new, |next| format!("; next: {next}"));
    output.line(format_args!("{verdict:4} {name:12} {what}{next}"))
}

/// Writes and flushes a block time and again; how long the middle one took.
fn probe(disk: &Real) -> io::Result<Duration> {
    // One that was killed has left its file.
    if let Err(error) = disk.remove(PROBE)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let file = disk.open(PROBE, Access::Create)?;
    let timed = || -> io::Result<Vec<Duration>> {
        let mut block = AlignedBuf::with_capacity(4096);
        block.extend_from_slice(&[0x5a; 4096]);
        file.write_at(&block, 0)?;
        file.sync(Site::Found)?;
        (0..FLUSHES)
            .map(|_| {
                let started = Instant::now();
                file.write_durable(&block, 0, Site::Group)?;
                Ok(started.elapsed())
            })
            .collect()
    };
    let times = timed();
    disk.remove(PROBE)?;
    let mut times = times?;
    times.sort();
    Ok(times[FLUSHES / 2])
}

fn permissions(session: &Session, dir: &Path) -> Check {
    const NAME: &str = "permissions";
    match session.exposed() {
        Some(_) => {
            let mode = dir.metadata().map_or(0, |metadata| metadata.mode() & 0o777);
            let next = format!("chmod 700 {}", session.quoted_dir());
            fail(NAME, format!("the directory is open to others (mode {mode:03o})"), next)
        }
        None => ok(NAME, "nobody else may enter the directory"),
    }
}

/// What SlurmUser, or the directory's owner, cannot write is a surprise at the next start.
fn owners(session: &Session, dir: &Path, disk: &Real) -> Check {
    const NAME: &str = "owners";
    let found = dir.metadata().map(|metadata| metadata.uid());
    let Ok(owner) = found else { return ok(NAME, "not known") };
    if let Some((user, uid)) = owner::slurm_user(dir)
        && uid != owner
    {
        let what = format!("the directory belongs to user {owner}, SlurmUser is {user} ({uid})");
        let to = text::shell(user.as_ref()).into_owned();
        return fail(NAME, what, format!("chown -R {to}: {}", session.quoted_dir()));
    }
    let entries = disk.list().unwrap_or_default();
    let others: Vec<String> = entries
        .into_iter()
        .filter(|entry| entry.regular)
        .map(|entry| entry.name)
        .filter(|name| dir.join(name).metadata().is_ok_and(|m| m.uid() != owner))
        .collect();
    match others.first() {
        None => ok(NAME, format!("directory and files belong to user {owner}")),
        Some(first) => {
            let what = format!("{} of other users than {owner}, such as {first}", others.len());
            fail(NAME, what, format!("chown -R {owner} {}", session.quoted_dir()))
        }
    }
}

fn file_system(session: &Session, dir: &Path) -> Check {
    const NAME: &str = "file system";
    let Some(mount) = facts::mount(dir) else { return ok(NAME, "not known") };
    let has = |option: &str| mount.options.iter().any(|o| o == option);
    let kind = &mount.kind;
    let look = format!("findmnt -T {}", session.quoted_dir());
    if has("ro") {
        return fail(NAME, format!("{kind}, mounted read-only"), look);
    }
    if has("nobarrier") || has("barrier=0") {
        return fail(NAME, format!("{kind}, mounted without barriers: flushes are lies"), look);
    }
    match kind.as_str() {
        "ext4" | "xfs" | "ext3" => ok(NAME, format!("{kind}, segments are prewritten")),
        "btrfs" | "zfs" | "f2fs" | "bcachefs" | "overlay" => ok(NAME, kind.as_str()),
        "tmpfs" | "ramfs" => fail(NAME, format!("{kind}: gone at the next boot"), look),
        _ => warn(NAME, format!("{kind}: not one that the tests run on"), look),
    }
}

fn locks(disk: &Real) -> Check {
    const NAME: &str = "locks";
    match disk.open(names::LOCK, Access::Read).and_then(|file| file.is_locked()) {
        _ if is_shared(disk) => ok(NAME, "not what guards a shared directory: see reign"),
        Ok(true) => ok(NAME, "work; who writes holds it"),
        Ok(false) => ok(NAME, "work; nobody writes"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ok(NAME, "never opened for writing yet")
        }
        Err(error) => fail(NAME, format!("do not work here: {error}"), "mount -o lock"),
    }
}

/// Who reigns, where several controllers share the directory.
fn reign(session: &Session, dir: &Path) -> Option<Check> {
    const NAME: &str = "reign";
    let look = session.next("status");
    Some(match reign::last(dir)? {
        Ok(last) if last.beats => ok(NAME, last.said()),
        Ok(last) => warn(NAME, last.said(), format!("{look}; systemctl status slurmctld")),
        Err(why) => fail(NAME, why, look),
    })
}

fn handles(disk: &Real) -> Check {
    const NAME: &str = "identity";
    match disk.handle(names::CONTROL) {
        Ok(Some(_)) => ok(NAME, "copies can be told from the original"),
        Ok(None) => warn(
            NAME,
            "no file handles here: a copy cannot be told from the original",
            "a live copy may be refused; take backups instead",
        ),
        Err(error) => ok(NAME, format!("not known: {error}")),
    }
}

fn clock(verified: Option<&Verified>) -> Check {
    const NAME: &str = "clock";
    let newest = verified.map_or(Nanos::default(), |verified| verified.history.newest_time);
    let ahead = Duration::from_nanos(newest.0.saturating_sub(Nanos::now().0));
    if ahead > CLOCK_SLACK {
        let what = format!("{} behind the newest save: it went back", text::span(ahead));
        return fail(NAME, what, "timedatectl; saves keep their order all the same");
    }
    match facts::clock_synchronised() {
        Some(true) => ok(NAME, "synchronised"),
        Some(false) => warn(
            NAME,
            "no NTP client keeps it right, the kernel says",
            "chronyc tracking || timedatectl",
        ),
        None => ok(NAME, "not behind the newest save"),
    }
}

/// A snapshot needs as much as the state, and the log as much again, before anything goes.
fn room(session: &Session, disk: &Real, verified: Option<&Verified>) -> Check {
    const NAME: &str = "room";
    let df = format!("df -h {}", session.quoted_dir());
    let space = match disk.space() {
        Ok(space) => space,
        Err(error) => return warn(NAME, format!("not known: {error}"), df),
    };
    let live = verified.map_or(0, |verified| verified.logical_bytes);
    let needed = 2 * live + (128 << 20);
    let percent = u128::from(space.free) * 100 / u128::from(space.total.max(1));
    let what = format!(
        "{} free ({percent}%), {} needed for the next snapshot and its log",
        text::bytes(space.free),
        text::bytes(needed)
    );
    if space.free < needed { warn(NAME, what, df) } else { ok(NAME, what) }
}

fn store(session: &Session, verified: &Verified) -> Check {
    const NAME: &str = "store";
    let what = format!("opens at lsn {}, epoch {}", verified.lsn, verified.epoch);
    if verified.report.degraded() || !verified.findings.is_empty() {
        return warn(NAME, format!("{what}; something is damaged"), session.next("verify --full"));
    }
    ok(NAME, what)
}

/// Whether slurm.conf leads here.
fn slurm(session: &Session, dir: &Path) -> Option<Check> {
    const NAME: &str = "slurm.conf";
    let conf = slurm_conf::found()?;
    let shown = text::shell(conf.as_os_str()).into_owned();
    let location = match state_save_location(&conf) {
        Ok(location) => location,
        Err(why) => return Some(fail(NAME, why, format!("ls -l {shown}"))),
    };
    let place = text::shell(location.as_os_str()).into_owned();
    let look = format!("grep -i StateSaveLocation {shown}");
    if !location.is_dir() {
        let what = format!("StateSaveLocation {place} is not there");
        return Some(fail(NAME, what, format!("statectl -C {place} init")));
    }
    let same = std::fs::canonicalize(&location).ok() == std::fs::canonicalize(dir).ok();
    if same {
        return Some(ok(NAME, format!("StateSaveLocation is {place}")));
    }
    // A copy is looked at on a host that has a cluster of its own, unless somebody says otherwise.
    slurm_conf::named()?;
    let dir = session.quoted_dir();
    Some(warn(NAME, format!("StateSaveLocation is {place}, not {dir}"), look))
}
