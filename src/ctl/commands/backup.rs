//! `backup`: a copy that is proved whole, of a store that anybody may be writing.

use crate::base::Nanos;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::interrupt;
use crate::ctl::output::Output;
use crate::ctl::progress::Progress;
use crate::ctl::repositories::is_archive;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::ctl::time::{duration, rfc3339};
use crate::disk::{Disk, Real};
use crate::export::delta::{self, Place};
use crate::export::{
    Backup as Wanted, BackupId, Done, ExportError, FileKind, Hold, Kind, Repository, Scratch,
    backup_on, is_tag, verify_backup, write_archive,
};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Makes a backup in a repository, which is made where there is none.
///
/// A writer may be at work; the backup holds at least what was acknowledged before it began. It is
/// there whole or not at all.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Backup {
    /// The repository; or, with a name that ends in .tar or .tar.zst, an archive.
    #[arg(value_name = "DEST")]
    dest: PathBuf,
    /// Write to DEST what makes the archive of a full backup out of BASE, an archive that ends in
    /// .tar, or its signature: a delta as of rdiff, with a sum beside it (DEST.b3).
    #[arg(long, value_name = "BASE", conflicts_with_all = ["incremental", "follow", "verify"])]
    delta: Option<PathBuf>,
    /// What to call it: letters, digits and _.:-
    #[arg(long, value_name = "TAG", value_parser = tag)]
    tag: Option<String>,
    /// Go on from the newest backup, and bring only what is new. Where that cannot be done, the
    /// backup is a full one, and says why.
    #[arg(long)]
    incremental: bool,
    /// Read back and compare all of it.
    #[arg(long)]
    verify: bool,
    /// Keep going: a new backup in the place of the last one whenever there is something new.
    /// SIGINT and SIGTERM end that, with 0.
    #[arg(long, conflicts_with = "tag")]
    follow: bool,
    /// How often --follow looks.
    #[arg(long, value_name = "SPAN", value_parser = duration, default_value = "1s")]
    every: Duration,
    /// Let the snapshot share its blocks with the source: no room is taken, but damage to them
    /// hits both. DEST must be on the same file system.
    #[arg(long)]
    link_live: bool,
}

fn tag(text: &str) -> Result<String, String> {
    if is_tag(text) {
        return Ok(text.to_owned());
    }
    Err("a tag is 1 to 64 letters, digits and _.:-, and neither an id nor latest".to_owned())
}

impl Backup {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        if self.follow {
            return self.keep_up(session, output);
        }
        if self.delta.is_some() || is_archive(&self.dest) {
            return self.to_file(session, output);
        }
        let repository = session.repository(&self.dest, Hold::Change, true)?;
        let wanted = self.wanted();
        let done = self.make(session, &repository, &wanted)?;
        self.tell(session, output, &repository, &done)?;
        Ok(Exit::Ok)
    }

    /// A full backup as one file, or as a delta to an earlier one.
    fn to_file(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let failed = |error| session.exporting(&error, &self.dest);
        if self.incremental || self.follow {
            let message = "an archive holds a full backup by itself";
            return Err(Failure::new(Exit::Usage, message, "statectl backup --help"));
        }
        let scratch = Scratch::beside(&self.dest).map_err(failed)?;
        let repository = Repository::create(Arc::clone(scratch.disk())).map_err(failed)?;
        // Nothing of it outlives this: its snapshot need not be copied for that.
        let wanted = Wanted { link: true, ..self.wanted() };
        let done = self.make(session, &repository, &wanted)?;
        let manifest = &done.manifest;
        let (parent, name) = session.place(&self.dest)?;
        let progress = Progress::bytes(session, "writing", manifest.bytes());
        let mut more = |bytes| progress.add(bytes);
        let (written, base) = match &self.delta {
            None => {
                let zst = name.ends_with(".zst");
                let sum = write_archive(&repository, manifest, &parent, &name, zst, &mut more);
                (sum.map_err(failed)?, None)
            }
            Some(base) => {
                let (base_disk, base_name) = session.place(base)?;
                // Never under a name of its own: it goes when it has been compared.
                let disk = scratch.disk().as_ref();
                let tar = FileKind::Draft.of(&manifest.id);
                write_archive(&repository, manifest, disk, &tar, false, &mut more)
                    .map_err(failed)?;
                let base_place = Place { disk: &base_disk, name: &base_name };
                let (new, out) = (Place { disk, name: &tar }, Place { disk: &parent, name: &name });
                let sum = delta::make(base_place, new, out).map_err(|error| match error {
                    ExportError::Hostile { .. } => session.exporting(&error, base),
                    error => failed(error),
                })?;
                (sum.delta, Some(sum))
            }
        };
        drop(progress);
        if self.verify {
            session.check_archive(&self.dest)?;
        }
        let (bytes, digest) = (written.bytes, written.digest.to_string());
        if session.json() {
            output.object(&json!({
                "id": manifest.id.as_str(),
                "tag": manifest.tag,
                "kind": if base.is_some() { "delta" } else { "archive" },
                "made": rfc3339(manifest.made),
                "from_lsn": manifest.from.0.0,
                "from_time": rfc3339(manifest.from.1),
                "lsn": manifest.end.lsn.0,
                "time": rfc3339(manifest.end.time),
                "bytes": manifest.bytes(),
                "written_bytes": bytes,
                "blake3": digest,
                "result_blake3": base.map(|sum| sum.result.digest.to_string()),
                "verified": self.verify || base.is_some_and(|sum| sum.base.is_some()),
            }))?;
        } else {
            let kind = if base.is_some() { "delta" } else { "archive" };
            let verified = if self.verify { "  verified" } else { "" };
            output.line(format_args!(
                "{}  {kind}  lsn {} to {}  {} of {} written{verified}",
                manifest.id,
                manifest.from.0,
                manifest.end.lsn,
                text::bytes(bytes),
                text::bytes(manifest.bytes()),
            ))?;
        }
        Ok(Exit::Ok)
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            tag: self.tag.clone(),
            incremental: self.incremental || self.follow,
            link: self.link_live,
            now: Nanos::now(),
            absorb: Vec::new(),
            only_new: self.follow,
        }
    }

    fn make(
        &self,
        session: &Session,
        repository: &Repository,
        wanted: &Wanted,
    ) -> Result<Done, Failure> {
        let dir = session.dir()?;
        let source: Arc<dyn Disk> = Arc::new(Real::open(dir).map_err(|error| {
            let (exit, next) = session.refused(&error);
            Failure::new(exit, format!("{}: {error}", session.quoted_dir()), next)
        })?);
        let progress = Progress::bytes(session, "backing up", 0);
        let made = backup_on(&source, repository, wanted, &mut |bytes| progress.add(bytes));
        made.map_err(|error| session.exporting(&error, &self.dest))
    }

    /// One backup after the other, each in the place of the one before.
    fn keep_up(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let ended = interrupt::catch();
        let mut ours: Vec<BackupId> = Vec::new();
        let mut told = false;
        loop {
            let wanted = Wanted { absorb: ours.clone(), ..self.wanted() };
            let outcome = session
                .repository(&self.dest, Hold::Change, true)
                .and_then(|repository| Ok((self.make(session, &repository, &wanted)?, repository)));
            match outcome {
                Ok((done, repository)) if done.kind != Kind::Unchanged => {
                    let old = ours.iter().filter(|id| done.manifest.parent.as_ref() == Some(id));
                    let old: Vec<BackupId> = old.cloned().collect();
                    let removed = repository.remove(&old);
                    removed.map_err(|error| session.exporting(&error, &self.dest))?;
                    ours.push(done.manifest.id.clone());
                    self.tell(session, output, &repository, &done)?;
                    output.flush()?;
                }
                Ok(_) => {}
                // A restore reads the repository, or a prune is at work: later, then.
                Err(failure) if failure.exit() == Exit::Busy => {
                    if !std::mem::replace(&mut told, true) {
                        let dest = self.dest.display();
                        session.warn(&format!("{dest} is in use; trying again until it is free"));
                    }
                }
                Err(failure) => return Err(failure),
            }
            if interrupt::wait(ended, self.every) {
                return Ok(Exit::Ok);
            }
        }
    }

    fn tell(
        &self,
        session: &Session,
        output: &mut Output,
        repository: &Repository,
        done: &Done,
    ) -> Result<(), Failure> {
        let manifest = &done.manifest;
        if let Kind::Full(Some(why)) = done.kind {
            session.warn(&format!("a full backup: {why}"));
        }
        if self.link_live && !done.linked && manifest.base.is_some() && done.written > 0 {
            session.warn("the snapshot was copied: it cannot be linked from there");
        }
        if done.linked {
            session.warn("the snapshot shares its blocks with the source: damage there hits both");
        }
        if self.verify {
            let progress = Progress::bytes(session, "verifying", manifest.bytes());
            let checked = verify_backup(repository, manifest, &mut |bytes| progress.add(bytes));
            let checked = checked.map_err(|error| session.exporting(&error, &self.dest))?;
            if let Some(trouble) = checked.troubles.into_iter().next() {
                return Err(session.exporting(&trouble.error, &self.dest));
            }
        }
        let kind = match done.kind {
            Kind::Full(_) => "full",
            Kind::Incremental => "incremental",
            Kind::Unchanged => "unchanged",
        };
        if session.json() {
            return output.object(&json!({
                "id": manifest.id.as_str(),
                "tag": manifest.tag,
                "kind": kind,
                "why_full": match done.kind { Kind::Full(why) => why, _ => None },
                "parent": manifest.parent.as_ref().map(BackupId::as_str),
                "made": rfc3339(manifest.made),
                "from_lsn": manifest.from.0.0,
                "from_time": rfc3339(manifest.from.1),
                "lsn": manifest.end.lsn.0,
                "time": rfc3339(manifest.end.time),
                "bytes": manifest.bytes(),
                "written_bytes": done.written,
                "linked": done.linked,
                "verified": self.verify,
            }));
        }
        let verified = if self.verify { "  verified" } else { "" };
        output.line(format_args!(
            "{}  {kind}  lsn {} to {}  {} of {} written{verified}",
            manifest.id,
            manifest.from.0,
            manifest.end.lsn,
            text::bytes(done.written),
            text::bytes(manifest.bytes()),
        ))
    }
}
