//! Checks what is on disk, beyond what opening needs.
//!
//! *Quick*: what opening checks: control file, newest snapshot with every chunk, the log behind it.
//! *Full*: every group of every segment with its chain, every snapshot with every record.
//!
//! Invariant: beside a living writer there is no false alarm: what looks damaged is read again, and
//! files that vanish were superseded.

use crate::base::limits::BLOCK;
use crate::base::{Chain, Epoch, Lsn, SegmentId};
use crate::disk::{Access, Disk, Real};
use crate::format::segment::FIRST_GROUP;
use crate::format::{FileName, FormatError};
use crate::log::{Groups, Proofs, Stop};
use crate::snapshot::{Snapshot, SnapshotError};
use crate::store::directory::{Directory, SegmentFacts};
use crate::store::error::OpenError;
use crate::store::history::History;
use crate::store::reader::{ProofsOf, Reader};
use crate::store::recovery::Report;
use crate::store::walk::Seals;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What opening checks.
    Quick,
    /// Everything.
    Full,
}

/// Something damaged that the newest state does not need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// The first save that it concerns, where that is known.
    pub lsn: Option<Lsn>,
    /// What is wrong.
    pub what: String,
}

/// What was checked, and found.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The state's LSN.
    pub lsn: Lsn,
    /// The epoch in the control file.
    pub epoch: Epoch,
    /// Whether a process has the store open for writing.
    pub writer: bool,
    /// Bytes of keys and values in the snapshot that the state rests on.
    pub logical_bytes: u64,
    /// Segments looked at.
    pub segments: u64,
    /// Groups that are whole.
    pub groups: u64,
    /// Saves in them.
    pub saves: u64,
    /// Snapshots that are sound.
    pub snapshots_ok: u64,
    /// Snapshots in all, unfinished ones not counted.
    pub snapshots: u64,
    /// Tags that are sound.
    pub tags: u64,
    /// Damage that the newest state does not need.
    pub findings: Vec<Finding>,
    /// What recovery passed by.
    pub report: Report,
    /// What can be read.
    pub history: History,
}

/// Checks the store in `path`.
///
/// # Errors
/// [`OpenError::Corruption`] where the newest state cannot be had, and as [`Reader::open`].
pub fn verify(path: &Path, level: Level) -> Result<Verified, OpenError> {
    verify_watched(path, level, &|_| {})
}

/// As [`verify`]; `progress` gets the bytes of each segment and snapshot that has been read, from
/// several threads.
///
/// # Errors
/// As [`verify`].
pub fn verify_watched(
    path: &Path,
    level: Level,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Verified, OpenError> {
    let disk = Real::open(path).map_err(OpenError::io(path.display().to_string()))?;
    check(Arc::new(disk), level, progress)
}

/// As [`verify`], on any disk.
///
/// # Errors
/// As [`verify`].
pub fn verify_on(disk: Arc<dyn Disk>, level: Level) -> Result<Verified, OpenError> {
    check(disk, level, &|_| {})
}

fn check(
    disk: Arc<dyn Disk>,
    level: Level,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Verified, OpenError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let proofs = match level {
        Level::Quick => ProofsOf::new(),
        Level::Full => prove(disk.as_ref(), threads, progress).map_err(OpenError::io("log"))?,
    };
    let reader = Reader::end_of(Arc::clone(&disk), &proofs)?;
    let directory = reader.directory();
    let base = reader.view().base.as_ref();
    let mut verified = Verified {
        lsn: reader.view().lsn(),
        epoch: reader.control().epoch,
        writer: reader.writer_lives(),
        logical_bytes: base.map_or(0, |base| base.header().logical_bytes),
        segments: directory.segments.len() as u64,
        groups: reader.report().groups,
        saves: 0,
        snapshots_ok: 0,
        snapshots: 0,
        tags: 0,
        findings: Vec::new(),
        report: reader.report().clone(),
        history: reader.history(),
    };
    let check = Check { disk: disk.as_ref(), level, threads, base };
    for facts in &directory.snapshots {
        if facts.header == Err(FormatError::Blank) {
            continue;
        }
        match check.snapshot(&facts.name()) {
            Outcome::Sound => verified.snapshots_ok += 1,
            Outcome::Gone => continue,
            Outcome::Damaged(offset, what) => {
                let finding = Finding { file: facts.name(), offset, lsn: Some(facts.lsn), what };
                verified.findings.push(finding);
            }
        }
        if let Ok(header) = &facts.header {
            progress(header.data_len);
        }
        verified.snapshots += 1;
    }
    for facts in &directory.tags {
        // A second name of a file that was looked at above.
        let same = FileName::Snapshot { epoch: facts.tag.epoch, lsn: facts.tag.lsn }.to_string();
        let file = facts.tag.to_string();
        if check.is_one_file(&file, &same) {
            verified.tags += 1;
            continue;
        }
        match check.snapshot(&file) {
            Outcome::Sound => verified.tags += 1,
            Outcome::Gone => {}
            Outcome::Damaged(offset, what) => {
                let lsn = Some(facts.tag.lsn);
                verified.findings.push(Finding { file, offset, lsn, what });
            }
        }
    }
    if level == Level::Full {
        verified.groups = 0;
        Log { disk: disk.as_ref(), directory, reader: &reader, seals: Seals::of(directory) }
            .check(&mut verified)
            .map_err(OpenError::io("log"))?;
    }
    Ok(verified)
}

/// Reads every segment, several at a time.
fn prove(disk: &dyn Disk, threads: usize, progress: &(dyn Fn(u64) + Sync)) -> io::Result<ProofsOf> {
    let directory = Directory::read(disk)?;
    let mut segments: Vec<&SegmentFacts> = directory.segments.values().collect();
    // The largest first, so that no thread is left alone with one at the end.
    segments.sort_by_key(|facts| std::cmp::Reverse(facts.allocated));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut proved = Vec::new();
        while let Some(facts) = segments.get(next.fetch_add(1, Ordering::Relaxed)) {
            // What cannot be opened is found to be so again by whoever needs it.
            let (Ok(header), Ok(file)) = (facts.header, facts.open(disk)) else { continue };
            proved.push((facts.id, Arc::new(Proofs::of(file, header))));
            progress(facts.allocated);
        }
        proved
    };
    Ok(thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut proved = work();
        proved.extend(others.into_iter().flat_map(|other| other.join().expect("no panic")));
        proved.into_iter().collect()
    }))
}

enum Outcome {
    Sound,
    Gone,
    Damaged(u64, String),
}

/// Checks snapshots.
struct Check<'a> {
    disk: &'a dyn Disk,
    level: Level,
    threads: usize,
    /// The one that the state rests on, whose chunks were compared.
    base: Option<&'a Arc<Snapshot>>,
}

impl Check<'_> {
    fn snapshot(&self, name: &str) -> Outcome {
        let checked = match self.base.filter(|base| base.name() == name) {
            Some(base) => self.records(base),
            None => Snapshot::open(self.disk, name).and_then(|snapshot| {
                snapshot.verify(self.threads)?;
                self.records(&snapshot)
            }),
        };
        match checked {
            Ok(()) => Outcome::Sound,
            Err(error) if error.is_damage() => {
                Outcome::Damaged(error.offset().unwrap_or(0), error.to_string())
            }
            Err(_) => Outcome::Gone,
        }
    }

    fn records(&self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        if self.level == Level::Full { snapshot.verify_deep() } else { Ok(()) }
    }

    fn is_one_file(&self, a: &str, b: &str) -> bool {
        let handle = |name| self.disk.handle(name).ok().flatten();
        handle(a).is_some_and(|a| Some(a) == handle(b))
    }
}

struct Log<'a> {
    disk: &'a dyn Disk,
    directory: &'a Directory,
    reader: &'a Reader,
    seals: Seals,
}

impl Log<'_> {
    fn check(&self, verified: &mut Verified) -> io::Result<()> {
        for facts in self.directory.segments.values() {
            match self.segment(facts, verified) {
                // Superseded and deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => verified.segments -= 1,
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// Walks one segment, whatever stands before and behind it.
    fn segment(&self, facts: &SegmentFacts, verified: &mut Verified) -> io::Result<()> {
        let finding = |offset, lsn, what: String| Finding { file: facts.name(), offset, lsn, what };
        let header = match facts.header {
            Ok(header) => header,
            // Its making was cut short: it never held a group.
            Err(FormatError::Blank) => return Ok(()),
            Err(error) => {
                verified.findings.push(finding(0, None, error.to_string()));
                return Ok(());
            }
        };
        let file = self.disk.open(&facts.name(), Access::Read)?;
        let sealed_at = self.end_in(facts);
        let groups = Groups::new(file, header, FIRST_GROUP);
        let mut groups = groups.believing(facts.proofs.clone());
        let mut link = None;
        loop {
            let offset = groups.offset();
            if sealed_at.is_some_and(|end| offset >= end) {
                return Ok(());
            }
            match groups.look() {
                Ok(group) => {
                    if link.is_some_and(|link| link != group.prev) {
                        let what = "does not link to the group before it".to_owned();
                        verified.findings.push(finding(offset, Some(group.first_lsn), what));
                        return Ok(());
                    }
                    verified.groups += 1;
                    verified.saves += u64::from(group.saves);
                    link = Some(groups.pass().1);
                }
                // Behind the end, or in an epoch whose seal a deletion that was cut short has
                // taken: nothing leads on from there.
                Err(_) if self.is_behind(facts, offset) => return Ok(()),
                Err(stop) => {
                    // The end of a segment that was rotated away is where the next one links to.
                    // One that was never used is empty.
                    let blank = stop == Stop::Blank && !something_written(&mut groups, facts.len);
                    let ends = match link {
                        Some(_) if sealed_at.is_some() => false,
                        Some(link) => {
                            self.goes_on(facts, link) || blank && self.is_left_over(facts)
                        }
                        None => blank,
                    };
                    // Superseded meanwhile, its successor too.
                    if ends || self.disk.open(&facts.name(), Access::Read).is_err() {
                        return Ok(());
                    }
                    let what = match stop {
                        Stop::Blank => "nothing is written there".to_owned(),
                        Stop::Bad(error) => error.to_string(),
                        Stop::Unreadable(kind) => format!("cannot be read ({kind})"),
                    };
                    verified.findings.push(finding(offset, None, what));
                    return Ok(());
                }
            }
        }
    }

    /// Whether nothing of the history stands at `offset` and behind it: the log ends there, or
    /// never came through this segment.
    fn is_behind(&self, facts: &SegmentFacts, offset: u64) -> bool {
        let end = self.reader.end();
        let epoch = facts.id.epoch;
        (facts.id, offset) >= (end.segment, end.offset)
            || (epoch != end.segment.epoch && self.seals.end_of(epoch).is_none())
    }

    /// Whether deletions that were cut short can have taken the next segment and left this one: any
    /// subset of them may have happened.
    fn is_left_over(&self, facts: &SegmentFacts) -> bool {
        let snapshots = self.directory.snapshots.iter();
        let newest = snapshots.filter_map(|s| s.header.as_ref().ok()).map(|h| h.resume).max();
        // A segment that was passed over is empty, and leads nowhere.
        let passed_over = |id: &SegmentId| {
            self.directory.segments.get(id).is_some_and(|segment| segment.first.is_none())
        };
        let mut next = SegmentId { ordinal: facts.id.ordinal.saturating_add(1), ..facts.id };
        while next.ordinal < u64::MAX && passed_over(&next) {
            next.ordinal += 1;
        }
        newest.is_some_and(|newest| facts.id < newest)
            && !self.directory.segments.contains_key(&next)
    }

    /// Where the history leaves this segment for a later epoch.
    fn end_in(&self, facts: &SegmentFacts) -> Option<u64> {
        let seal = self.seals.end_of(facts.id.epoch)?;
        match facts.id.cmp(&seal.segment) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(seal.offset),
            std::cmp::Ordering::Greater => Some(0),
        }
    }

    fn goes_on(&self, facts: &SegmentFacts, link: Chain) -> bool {
        let same_epoch = |later: &&SegmentFacts| {
            later.id.epoch == facts.id.epoch && later.id.ordinal > facts.id.ordinal
        };
        let mut later = self.directory.segments.values().filter(same_epoch);
        later.any(|later| self.starts_with(later, link))
    }

    /// Whether the first group of `segment` links to `link`: by the facts, or, where it was empty
    /// when they were gathered, by what a writer has put there since.
    fn starts_with(&self, segment: &SegmentFacts, link: Chain) -> bool {
        if let Some(first) = &segment.first {
            return first.prev == link;
        }
        let (Ok(header), Ok(file)) = (segment.header, segment.open(self.disk)) else {
            return false;
        };
        Groups::new(file, header, FIRST_GROUP).look().is_ok_and(|first| first.prev == link)
    }
}

/// Whether any block from the present position on holds anything but zeros.
fn something_written(groups: &mut Groups, len: u64) -> bool {
    (groups.offset()..len).step_by(BLOCK).any(|at| groups.is_written(at))
}
