//! Which superseded files go. The decision is a function of facts; carrying it out is apart.
//!
//! Invariants:
//! - the newest snapshot, and the log from there on, are never touched;
//! - snapshots go before the segments that lead up to them, oldest first, so that any subset of the
//!   deletions leaves gaps only below the oldest usable snapshot;
//! - a file that a reader pins stays.

use crate::base::{Fenced, Lsn, Nanos, Point, SegmentId};
use crate::disk::{Access, Disk, File, Space};
use crate::format::{FileName, FormatError};
use crate::store::directory::Directory;
use crate::store::inner::{Inner, lock};
use crate::store::options::Options;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// Below this share of the file system being free, age no longer protects superseded files.
const SHORT_SHARE: u64 = 20;

/// And below this many bytes.
const SHORT_BYTES: u64 = 256 << 20;

/// Room of deleted files is freed so many bytes at a time (measured: some 0.1 ms, in which nobody
/// else's metadata can change), and so often.
const DISSOLVE: u64 = 1 << 20;
pub(crate) const DISSOLVE_PAUSE: Duration = Duration::from_millis(1);

/// A file that was deleted, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Its name.
    pub name: String,
    /// Bytes that it occupied.
    pub bytes: u64,
    /// Why it went.
    pub reason: &'static str,
}

/// What the decision rests on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub history: Duration,
    pub history_ratio: f64,
    pub min_age: Duration,
    pub short_of_space: bool,
    pub now: Nanos,
}

/// The files that may go, in the order in which they must.
pub(crate) fn decide(directory: &Directory, rules: &Rules) -> Vec<Deleted> {
    let mut sound: Vec<_> = directory
        .snapshots
        .iter()
        .filter_map(|facts| facts.header.as_ref().ok().map(|header| (facts, header)))
        .collect();
    sound.sort_by_key(|(facts, _)| (facts.epoch, facts.lsn));
    let Some((newest, newest_header)) = sound.last().copied() else { return Vec::new() };
    let old_enough = |since: Nanos| rules.short_of_space || age(rules.now, since) >= rules.min_age;
    let superseded = |id: &SegmentId, by: SegmentId| *id < by;
    let history_bytes = |oldest: usize| -> u64 {
        let snapshots: u64 = sound[oldest..sound.len() - 1].iter().map(|(s, _)| s.allocated).sum();
        let from = sound[oldest].1.resume;
        let segments = directory.segments.values();
        let segments = segments
            .filter(|s| s.id >= from && superseded(&s.id, newest_header.resume))
            .map(|s| s.allocated);
        snapshots + segments.sum::<u64>()
    };
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let allowed = (newest_header.logical_bytes as f64 * rules.history_ratio) as u64;
    let mut oldest = 0;
    while oldest + 1 < sound.len() {
        let since = sound[oldest + 1].1.made;
        let outlived = age(rules.now, since) > rules.history || history_bytes(oldest) > allowed;
        if !(outlived && old_enough(since)) {
            break;
        }
        oldest += 1;
    }
    let mut gone: Vec<Deleted> = sound[..oldest]
        .iter()
        .map(|(facts, _)| deleted(facts.name(), facts.allocated, "superseded snapshot"))
        .collect();
    let kept = sound[oldest].1;
    if old_enough(kept.made) {
        let segments = directory.segments.values().filter(|s| superseded(&s.id, kept.resume));
        gone.extend(segments.map(|s| deleted(s.name(), s.allocated, "older than every snapshot")));
    }
    // Damaged or unfinished snapshots below the newest sound one are of no use to anybody.
    let useless = directory.snapshots.iter().filter(|facts| {
        let unfinished = facts.header == Err(FormatError::Blank);
        facts.header.is_err() && facts.lsn < newest.lsn && (unfinished || oldest > 0)
    });
    gone.extend(
        useless
            .filter(|facts| old_enough(facts.modified))
            .map(|facts| deleted(facts.name(), facts.allocated, "unusable snapshot")),
    );
    gone
}

/// Of these, what a writer may delete whose log stands in `active`, and whose snapshot goes on at
/// `base`: never what its own state rests on.
pub(crate) fn own(
    mut gone: Vec<Deleted>,
    active: SegmentId,
    base: Option<SegmentId>,
    flushed: Lsn,
) -> Vec<Deleted> {
    gone.retain(|file| match FileName::parse(&file.name) {
        Some(FileName::Segment(id)) => id < active && base.is_some_and(|resume| id < resume),
        Some(FileName::Snapshot { lsn, .. }) => lsn < flushed.max(Lsn(1)),
        _ => false,
    });
    gone
}

fn deleted(name: String, bytes: u64, reason: &'static str) -> Deleted {
    Deleted { name, bytes, reason }
}

fn age(now: Nanos, since: Nanos) -> Duration {
    Duration::from_nanos(now.0.saturating_sub(since.0))
}

/// Whether the file system is nearly full.
pub(crate) fn short(space: Space) -> bool {
    space.free < (space.total / SHORT_SHARE).min(SHORT_BYTES)
}

/// How `options` bear on the decision now.
pub(crate) fn rules(options: &Options, short_of_space: bool) -> Rules {
    Rules {
        history: options.history,
        history_ratio: options.history_ratio,
        min_age: options.retain_min_age,
        short_of_space,
        now: (options.clock)(),
    }
}

impl Inner {
    /// Whether the file system is nearly full.
    pub fn short_of_space(&self) -> bool {
        self.disk.space().is_ok_and(short)
    }

    /// Deletes what the rules let go.
    pub fn prune(&self) -> io::Result<Vec<Deleted>> {
        let directory = Directory::skim(self.disk.as_ref())?;
        let short_of_space = self.short_of_space();
        let mut gone = decide(&directory, &rules(&self.options, short_of_space));
        // A segment that was found prepared and empty at the last rotation is ours to keep.
        let active = lock(&self.appender).active().header.id;
        let base = self.current_state().view.base.as_ref().map(|base| base.header().resume);
        gone = own(gone, active, base, self.flush_lsn());
        if gone.is_empty() {
            return Ok(gone);
        }
        if let Err(fenced) = self.authority.confirm(self.epoch, Point::Delete) {
            return Err(self.refused(fenced));
        }
        // What the last time left goes now: room that nobody sees is held for one turn at most.
        let left = mem::take(&mut *lock(&self.nameless));
        drop(left);
        let mut done = Vec::new();
        for file in gone {
            if let Some(open) = unlink(self.disk.as_ref(), &file.name)? {
                if short_of_space {
                    tracing::warn!(
                        file = file.name,
                        "deleted early: the file system is nearly full"
                    );
                } else {
                    tracing::debug!(file = file.name, reason = file.reason, "deleted");
                }
                if self.options.background && !short_of_space {
                    lock(&self.nameless).push(open);
                }
                done.push(file);
            }
        }
        Ok(done)
    }

    /// Frees a little of the room of deleted files: at once it would hold up savers. Whether there
    /// is more.
    pub fn dissolve(&self) -> bool {
        let Some(file) = lock(&self.nameless).pop() else { return false };
        match file.dissolve(DISSOLVE) {
            Ok(true) => lock(&self.nameless).push(file),
            // Its room goes with it.
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "a deleted file was not freed in steps"),
        }
        true
    }

    fn refused(&self, fenced: Fenced) -> io::Error {
        self.fence(fenced.clone());
        io::Error::other(fenced)
    }
}

/// Deletes a file unless a reader pins it; whether it is gone because of that.
pub(crate) fn delete(disk: &dyn Disk, name: &str) -> io::Result<bool> {
    unlink(disk, name).map(|file| file.is_some())
}

/// As [`delete`], and hands the file over: its room stays as long as it is open.
fn unlink(disk: &dyn Disk, name: &str) -> io::Result<Option<Arc<dyn File>>> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    };
    match disk.open(name, Access::Write) {
        Ok(file) => match file.try_lock(true) {
            Ok(()) => disk.remove(name).or_else(gone).map(|()| Some(file)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        },
        Err(error) => gone(error).map(|()| None),
    }
}
