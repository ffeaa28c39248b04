//! `verify`: checks what is on disk, beside a writer too.

use crate::ctl::commands::backups;
use crate::ctl::commands::rsync::pinning;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::notes;
use crate::ctl::output::Output;
use crate::ctl::progress::Progress;
use crate::ctl::repositories::is_repository;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::disk::{Disk, Real};
use crate::export::ExportError;
use crate::export::Hold;
use crate::export::Opened;
use crate::export::Repository;
use crate::export::aside::Aside;
use crate::export::choose;
use crate::export::read_archive;
use crate::export::rehearsal::{RehearsalError, Rehearsed, rehearse, rehearse_backup};
use crate::store::{Finding, Level, Verified, verify_watched};
use clap::Args;
use serde_json::json;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Checks what is on disk.
///
/// Exit code 3: something is damaged or was set aside, and nothing is lost. 4: something durable
/// is lost.
#[derive(Debug, Args)]
pub struct Verify {
    /// A repository of backups, or an archive, instead of the state directory: every byte of every
    /// backup.
    #[arg(value_name = "REPOSITORY")]
    repository: Option<PathBuf>,
    /// What opening checks: control file, newest snapshot, the log behind it (the default).
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Every group with its chain, every record of every snapshot.
    #[arg(long)]
    full: bool,
    /// Restore a copy into a temporary place, open it for writing, and compare every entry.
    ///
    /// Of a repository: the newest backup. An archive is unpacked there first.
    #[arg(long)]
    restore_test: bool,
    /// The temporary place for that; else $TMPDIR or /tmp.
    ///
    /// It is left as it was. What a killed test leaves there, .restore-test-*, goes with the next
    /// one in the same place.
    #[arg(long, value_name = "DIR", requires = "restore_test")]
    scratch: Option<PathBuf>,
}

impl Verify {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let dir = self.repository.as_deref().map_or_else(|| session.dir(), Ok)?;
        if self.repository.is_some() || is_repository(dir) {
            let exit = backups::verify(dir, session, output)?;
            if self.restore_test {
                self.rehearse_newest(dir, session, output)?;
            }
            return Ok(exit);
        }
        let level = if self.full { Level::Full } else { Level::Quick };
        let dir = session.dir()?;
        let shown = Progress::bytes(session, "verifying", room(dir));
        let verified = verify_watched(dir, level, &|bytes| shown.add(bytes));
        drop(shown);
        let verified = verified.map_err(|error| session.opening(&error))?;
        session.warn_of_others();
        notes::of(&verified.report).iter().for_each(|note| session.warn(note));
        if let Some(note) = notes::strangers(&verified.report) {
            session.warn(&note);
        }
        for finding in &verified.findings {
            session.warn(&format!("warning: {}", sentence(finding)));
        }
        let rehearsed = if self.restore_test { Some(self.rehearse(session)?) } else { None };
        let degraded = degraded(&verified);
        if session.json() {
            let mut object = object(&verified, self.full, degraded);
            object["restore_test"] = json!(rehearsed.map(|(rehearsed, seconds)| json!({
                "lsn": rehearsed.lsn.0,
                "entries": rehearsed.entries,
                "bytes": rehearsed.bytes,
                "seconds": seconds,
            })));
            output.object(&object)?;
        } else {
            let mut line = line(&verified);
            if let Some((Rehearsed { lsn, entries, .. }, seconds)) = rehearsed {
                let entries = text::count_of(entries, "entry");
                line += &format!("; restored at lsn {lsn}, {entries} equal, {seconds:.1} s");
            }
            output.line(line)?;
        }
        if !degraded {
            return Ok(Exit::Ok);
        }
        let (message, next) = remedy(session, &verified);
        Err(Failure::new(Exit::Degraded, message, next))
    }
}

impl Verify {
    /// What a restore gave, and how many seconds it took.
    fn rehearse(&self, session: &Session) -> Result<(Rehearsed, f64), Failure> {
        let dir = session.dir()?;
        let place = self.place();
        let shown = Progress::bytes(session, "restoring", 0);
        let started = Instant::now();
        let rehearsed = rehearse(dir, &place, &mut |bytes| shown.add(bytes));
        drop(shown);
        let rehearsed = rehearsed.map_err(|error| match &error {
            RehearsalError::Pin(error) => pinning(session, dir, error),
            error => failure(session, error, &place),
        })?;
        Ok((rehearsed, started.elapsed().as_secs_f64()))
    }

    /// Restores the newest backup of a repository, or an archive, and says so in a line of its own.
    fn rehearse_newest(
        &self,
        dest: &Path,
        session: &Session,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let place = self.place();
        let exporting = |error: ExportError| session.exporting(&error, dest);
        let unpacked = if dest.is_file() { Some(unpack(dest, &place, session)?) } else { None };
        let repository = match &unpacked {
            Some((_, disk)) => Repository::open(Arc::clone(disk), Hold::Read).map_err(exporting)?,
            None => session.repository(dest, Hold::Read, false)?,
        };
        let backups = repository.list().map_err(exporting)?;
        let manifest = choose(backups, None, None).map_err(exporting)?;
        let id = manifest.id.clone();
        let opened = Opened::open(repository.disk().as_ref(), manifest, &mut |_| {});
        let opened = opened.map_err(exporting)?;
        let shown = Progress::bytes(session, "restoring", 0);
        let started = Instant::now();
        let rehearsed = rehearse_backup(&opened, &place, &mut |bytes| shown.add(bytes));
        drop(shown);
        let Rehearsed { lsn, entries, bytes } = rehearsed.map_err(|error| match &error {
            RehearsalError::Backup(error) => session.exporting(error, dest),
            error => failure(session, error, &place),
        })?;
        let seconds = started.elapsed().as_secs_f64();
        if session.json() {
            return output.object(&json!({"restore_test": {
                "backup": id.as_str(),
                "lsn": lsn.0,
                "entries": entries,
                "bytes": bytes,
                "seconds": seconds,
            }}));
        }
        let entries = text::count_of(entries, "entry");
        output.line(format!("{id} restored at lsn {lsn}, {entries} equal, {seconds:.1} s"))
    }

    fn place(&self) -> PathBuf {
        self.scratch.clone().unwrap_or_else(std::env::temp_dir)
    }
}

/// Unpacks an archive in a folder of its own in `place`, which goes with what is returned.
fn unpack(
    archive: &Path,
    place: &Path,
    session: &Session,
) -> Result<(Aside, Arc<dyn Disk>), Failure> {
    let refused = |source| {
        let path = place.to_owned();
        failure(session, &RehearsalError::Io { path, source }, place)
    };
    let aside = Aside::make(place).map_err(refused)?;
    let disk: Arc<dyn Disk> = Arc::new(Real::open(aside.path()).map_err(refused)?);
    let shown = Progress::bytes(session, "unpacking", 0);
    let input = session.archive(archive)?;
    let unpacked = read_archive(input, Some(&disk), &mut |bytes| shown.add(bytes));
    unpacked.map_err(|error| match &error {
        ExportError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
            let archive = text::shell(archive.as_os_str());
            let next = format!("statectl verify {archive} --restore-test --scratch DIR");
            Failure::new(Exit::Failed, format!("{}: {error}", place.display()), next)
        }
        error => session.exporting(error, archive),
    })?;
    Ok((aside, disk))
}

fn failure(session: &Session, error: &RehearsalError, place: &Path) -> Failure {
    let place = text::shell(place.as_os_str());
    match error {
        RehearsalError::Open(error) => session.opening(error),
        RehearsalError::Read(error) => session.tree(error),
        RehearsalError::Different(_) => {
            Failure::new(Exit::Corruption, error, session.next("verify --full"))
        }
        RehearsalError::NoRoom { .. } => {
            let next = session.next("verify --restore-test --scratch DIR");
            Failure::new(Exit::Failed, error, next)
        }
        RehearsalError::Pin(_) | RehearsalError::Io { .. } | RehearsalError::Backup(_) => {
            Failure::new(Exit::Failed, error, format!("ls -ld {place}"))
        }
    }
}

/// About how many bytes there are to read; 0: nobody knows.
fn room(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let lens = files.filter_map(|file| file.metadata().ok()).map(|facts| facts.blocks() * 512);
    lens.sum()
}

fn degraded(verified: &Verified) -> bool {
    let report = &verified.report;
    report.degraded() || report.set_aside.is_some() || !verified.findings.is_empty()
}

/// `81234 groups ok; torn tail 37 B (normal); snapshots 9/9 ok`
fn line(verified: &Verified) -> String {
    let mut parts = vec![format!("{} ok", text::count(verified.groups, "group"))];
    if let Some((_, _, len)) = &verified.report.torn_tail {
        parts.push(format!("torn tail {} (normal)", text::bytes(*len)));
    }
    if let Some((_, _, len)) = &verified.report.set_aside {
        parts.push(format!("copy: {} set aside", text::bytes(*len)));
    }
    let (ok, all) = (verified.snapshots_ok, verified.snapshots);
    parts.push(format!("snapshots {ok}/{all} ok"));
    if verified.tags > 0 {
        parts.push(format!("{} ok", text::count(verified.tags, "tag")));
    }
    let elsewhere = verified.findings.len() as u64 - (all - ok);
    if elsewhere > 0 {
        parts.push(format!("{} in the log", text::count(elsewhere, "finding")));
    }
    parts.join("; ")
}

fn sentence(finding: &Finding) -> String {
    let Finding { file, offset, lsn, what } = finding;
    let lsn = lsn.map_or_else(String::new, |lsn| format!(" lsn {lsn}"));
    format!("{file} offset {offset}{lsn}: {what}; the newest state does not need it")
}

fn remedy(session: &Session, verified: &Verified) -> (&'static str, String) {
    if !verified.report.damaged_snapshots.is_empty() {
        return ("damaged, nothing is lost", session.next("repair"));
    }
    if verified.findings.is_empty() {
        return ("a copy that ends before what it caught of later saves", session.next("log -n 1"));
    }
    ("damaged, only older states are lost", session.next("snapshot create"))
}

fn object(verified: &Verified, full: bool, degraded: bool) -> serde_json::Value {
    let place = |place: &Option<(String, u64, u64)>| {
        place
            .as_ref()
            .map(|(file, offset, bytes)| json!({"file": file, "offset": offset, "bytes": bytes}))
    };
    let findings = verified.findings.iter().map(|finding| {
        json!({
            "file": finding.file,
            "offset": finding.offset,
            "lsn": finding.lsn.map(|lsn| lsn.0),
            "what": finding.what,
        })
    });
    json!({
        "level": if full { "full" } else { "quick" },
        "ok": !degraded,
        "lsn": verified.lsn.0,
        "segments": verified.segments,
        "groups": verified.groups,
        "saves": verified.saves,
        "snapshots": verified.snapshots,
        "snapshots_ok": verified.snapshots_ok,
        "tags_ok": verified.tags,
        "torn_tail": place(&verified.report.torn_tail),
        "set_aside": place(&verified.report.set_aside),
        "one_slot": verified.report.one_slot,
        "findings": findings.collect::<Vec<_>>(),
        "oldest_lsn": verified.history.oldest_lsn.0,
    })
}
