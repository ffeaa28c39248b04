//! `restore`: a backup becomes a store again.

use crate::base::{Epoch, Lsn, Nanos};
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::progress::Progress;
use crate::ctl::repositories::point;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::ctl::time::{When, rfc3339};
use crate::disk::{Disk, Real};
use crate::export::aside::Beside;
use crate::export::{
    ExportError, Hold, Opened, Repository, Restored, Scratch, choose, in_place, read_archive,
    restore_on,
};
use crate::store::{At, OpenError, ReadError};
use clap::Args;
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Makes a backup a store again: the newest one, or the newest that holds --at.
///
/// The restored store has a history of its own, and an epoch above everything that the backup has
/// seen.
#[derive(Debug, Args)]
pub struct Restore {
    /// A backup's id or tag, or latest.
    #[arg(value_name = "ID")]
    which: Option<String>,
    /// The repository, or an archive.
    #[arg(long, value_name = "DEST")]
    from: PathBuf,
    /// The state at this point of the history.
    #[arg(long, value_name = "WHEN")]
    at: Option<When>,
    /// Restore into this directory, which is made, or is empty.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["in_place", "dry_run"])]
    target: Option<PathBuf>,
    /// Restore in the place of the state directory; what is there is kept beside it.
    #[arg(long, conflicts_with = "target")]
    in_place: bool,
    /// Only read and check, and say what would come back.
    #[arg(long)]
    dry_run: bool,
}

impl Restore {
    /// Runs the command.
    pub fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let failed = |error| session.exporting(&error, &self.from);
        let at = self.at.as_ref().and_then(point);
        let scratch = if self.from.is_file() { Some(self.unpack(session)?) } else { None };
        let repository = match &scratch {
            Some(scratch) => {
                Repository::open(Arc::clone(scratch.disk()), Hold::Read).map_err(failed)?
            }
            None => session.repository(&self.from, Hold::Read, false)?,
        };
        let backups = session.backups(&repository, &self.from)?;
        let manifest = choose(backups, self.which.as_deref(), at).map_err(failed)?;
        let reading = Progress::bytes(session, "reading", manifest.bytes());
        let opened = Opened::open(repository.disk().as_ref(), manifest, &mut |bytes| {
            reading.add(bytes);
        });
        let opened = opened.map_err(failed)?;
        drop(reading);
        self.warn_of_nothing(session, &opened, at)?;
        if self.dry_run {
            return self.only_say(session, output, &opened, at);
        }
        let writing = Progress::bytes(session, "restoring", 0);
        let (restored, kept) = if self.in_place {
            let (restored, kept) = in_place(
                &opened,
                session.dir()?,
                at,
                Nanos::now(),
                &mut |bytes| writing.set(bytes),
                &mut |_| Ok(()),
            )
            .map_err(failed)?;
            (restored, Some(kept))
        } else {
            let target = self.target.as_deref().expect("clap asks for one");
            (self.make_at(session, &opened, at, target, &writing)?, None)
        };
        drop(writing);
        self.tell(session, output, &opened, &restored, kept.as_deref())
    }

    /// A time before the first save is in the history, and seldom what was meant.
    fn warn_of_nothing(
        &self,
        session: &Session,
        opened: &Opened,
        at: Option<At>,
    ) -> Result<(), Failure> {
        let asked = matches!(at, Some(At::Time(_))) && opened.manifest.from.0 == Lsn::ZERO;
        if !asked {
            return Ok(());
        }
        let lsn = opened.reach(at).map_err(|error| session.exporting(&error, &self.from))?;
        if lsn == Lsn::ZERO && opened.manifest.end.lsn > Lsn::ZERO {
            session.warn("warning: nothing had been saved by then: the state is empty");
        }
        Ok(())
    }

    /// Unpacks an archive for a while, beside what is made of it.
    fn unpack(&self, session: &Session) -> Result<Scratch, Failure> {
        let failed = |error| session.exporting(&error, &self.from);
        let archive = session.archive(&self.from)?;
        let place = match (&self.target, self.in_place) {
            (Some(target), _) => target.as_path(),
            (None, true) => session.dir()?,
            (None, false) => self.from.as_path(),
        };
        let scratch = Scratch::beside(place).map_err(failed)?;
        let progress = Progress::bytes(session, "unpacking", 0);
        read_archive(archive, Some(scratch.disk()), &mut |bytes| progress.add(bytes))
            .map_err(failed)?;
        Ok(scratch)
    }

    fn make_at(
        &self,
        session: &Session,
        opened: &Opened,
        at: Option<At>,
        target: &Path,
        writing: &Progress,
    ) -> Result<Restored, Failure> {
        let failed = |error| session.exporting(&error, target);
        let io = |source| failed(ExportError::Io { what: target.display().to_string(), source });
        crate::ctl::owner::make(target).map_err(io)?;
        let disk = match Real::open(target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Real::create(target),
            opened => opened,
        };
        let disk: Arc<dyn Disk> = Arc::new(disk.map_err(io)?);
        let mut progress = |bytes| writing.set(bytes);
        let restored = restore_on(opened, &disk, at, Epoch(0), Nanos::now(), &mut progress);
        restored.map_err(|error| match error {
            ExportError::Damaged { .. } | ExportError::OutOfRange { .. } => {
                session.exporting(&error, &self.from)
            }
            ExportError::Store(ReadError::Open(OpenError::Permissions { .. })) => {
                let target = text::shell(target.as_os_str());
                Failure::new(
                    Exit::Unsafe,
                    format!("{target}: {error}"),
                    format!("chmod 700 {target}"),
                )
            }
            error => failed(error),
        })
    }

    fn only_say(
        &self,
        session: &Session,
        output: &mut Output,
        opened: &Opened,
        at: Option<At>,
    ) -> Result<Exit, Failure> {
        let failed = |error| session.exporting(&error, &self.from);
        // What does not fit into memory is put down there.
        let place = std::env::temp_dir();
        let mut beside = Beside::new(&place);
        let replay = opened.state(at, &mut || beside.disk()).map_err(failed)?;
        let (lsn, time, id) = (replay.lsn(), rfc3339(replay.time()), &opened.manifest.id);
        let mut entries = 0;
        let view = replay.into_view();
        view.for_each(|_, _, _| {
            entries += 1;
            Ok::<(), ExportError>(())
        })
        .map_err(failed)?;
        if session.json() {
            output.object(&json!({
                "backup": id.as_str(), "lsn": lsn.0, "time": time, "entries": entries,
                "done": false,
            }))?;
        } else {
            let entries = text::count(entries, "key");
            output.line(format_args!("would restore {id} at lsn {lsn}, {time}: {entries}"))?;
        }
        Ok(Exit::Ok)
    }

    fn tell(
        &self,
        session: &Session,
        output: &mut Output,
        opened: &Opened,
        restored: &Restored,
        kept: Option<&Path>,
    ) -> Result<Exit, Failure> {
        let Restored { lsn, time, incarnation, epoch } = restored;
        let (id, time) = (&opened.manifest.id, rfc3339(*time));
        if session.json() {
            output.object(&json!({
                "backup": id.as_str(),
                "lsn": lsn.0,
                "time": time,
                "incarnation": incarnation.to_string(),
                "epoch": epoch.0,
                "kept": kept.map(|path| path.to_string_lossy()),
                "done": true,
            }))?;
        } else {
            output.line(format_args!("restored {id} at lsn {lsn}, {time}; epoch {epoch}"))?;
            if let Some(kept) = kept {
                let kept = text::shell(kept.as_os_str());
                output.line(format_args!("what was there is kept in {kept}"))?;
            }
        }
        Ok(Exit::Ok)
    }
}
