//! What the state means in bytes, and what it costs on disk.

use crate::base::{Lsn, Nanos};
use crate::disk::folder::Folder;
use crate::disk::{Disk, Real};
use crate::format::{FileName, TagName};
use crate::store::directory::Directory;
use crate::store::error::{OpenError, ReadError};
use crate::store::reader::Reader;
use crate::store::thin;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableUsage {
    /// Its name.
    pub name: String,
    /// Number of entries.
    pub entries: u64,
    /// Bytes of their keys.
    pub key_bytes: u64,
    /// Bytes of their values.
    pub value_bytes: u64,
}

/// A file and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileUsage {
    /// Its name.
    pub name: String,
    /// Its length.
    pub len: u64,
    /// Bytes that it occupies.
    pub allocated: u64,
}

/// How a store grows, by its retained history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// From the oldest retained state to the newest.
    pub over: Duration,
    /// What the keys and values have grown by meanwhile, in bytes.
    pub logical_bytes: i64,
    /// What was logged meanwhile.
    pub log_bytes: u64,
}

impl Growth {
    /// `bytes` in this time, as bytes in an hour.
    #[must_use]
    pub fn per_hour(&self, bytes: i64) -> i64 {
        let hours = self.over.as_secs_f64() / 3600.0;
        (bytes as f64 / hours) as i64
    }
}

/// History that says something about growth.
const GROWTH_MIN: Duration = Duration::from_secs(60);

/// What a state directory means and costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The state's LSN.
    pub lsn: Lsn,
    /// Tables in bytewise order of their names.
    pub tables: Vec<TableUsage>,
    /// Files in bytewise order of their names, ours and others.
    pub files: Vec<FileUsage>,
    /// Bytes that groups occupy in segments.
    pub log_bytes: u64,
    /// Bytes that snapshots occupy.
    pub snapshot_bytes: u64,
    /// Bytes prepared for groups to come.
    pub reserve_bytes: u64,
    /// Bytes of control and lock file, and of files that are not ours.
    pub other_bytes: u64,
    /// Bytes of files that are not needed for the newest state: history.
    pub reclaimable_bytes: u64,
    /// How it grows; `None` for less than a minute of history.
    pub growth: Option<Growth>,
    /// Lengths of all files and of the directory itself, as `du -sb` counts.
    pub total_apparent: u64,
    /// Bytes that all of it occupies.
    pub total_allocated: u64,
}

/// Measures the store in `path`.
///
/// # Errors
/// As [`Reader::open`], and [`ReadError`].
pub fn usage(path: &Path) -> Result<Usage, ReadError> {
    let disk = Real::open(path).map_err(OpenError::io(path.display().to_string()))?;
    let mut usage = usage_on(Arc::new(disk))?;
    // With the directory itself, folders in it, and names that are not UTF-8; each file once.
    (usage.total_apparent, usage.total_allocated) = Folder::open(path)?.weigh()?;
    Ok(usage)
}

/// As [`usage`], on any disk; the directory itself is not counted.
///
/// # Errors
/// As [`usage`].
pub fn usage_on(disk: Arc<dyn Disk>) -> Result<Usage, ReadError> {
    let reader = Reader::open_on(Arc::clone(&disk))?;
    let view = reader.view();
    let mut usage = Usage { lsn: view.lsn(), ..Usage::default() };
    view.for_each(|table, key, value| {
        if usage.tables.last().is_none_or(|last| last.name != table) {
            let name = table.to_owned();
            usage.tables.push(TableUsage { name, entries: 0, key_bytes: 0, value_bytes: 0 });
        }
        let last = usage.tables.last_mut().expect("pushed above");
        last.entries += 1;
        last.key_bytes += key.len() as u64;
        last.value_bytes += value.len() as u64;
        Ok::<(), ReadError>(())
    })?;
    let directory = reader.directory();
    let base = reader.report().snapshot.as_deref();
    let header = directory
        .snapshots
        .iter()
        .find(|facts| Some(facts.name().as_str()) == base)
        .and_then(|facts| facts.header.as_ref().ok());
    let resume = header.map(|header| header.resume);
    let end = reader.end();
    for entry in disk.list()? {
        let (len, allocated) = (entry.len, entry.allocated);
        usage.total_apparent += len;
        usage.total_allocated += allocated;
        match FileName::parse(&entry.name) {
            Some(FileName::Segment(id)) => {
                // Behind the end of the log, and in segments that wait for their turn.
                let used = match id.cmp(&end.segment) {
                    std::cmp::Ordering::Less => allocated,
                    std::cmp::Ordering::Equal => allocated.min(end.offset),
                    std::cmp::Ordering::Greater => 0,
                };
                usage.log_bytes += used;
                usage.reserve_bytes += allocated - used;
                if resume.is_some_and(|resume| id < resume) {
                    usage.reclaimable_bytes += allocated;
                }
            }
            Some(FileName::Snapshot { .. }) => {
                usage.snapshot_bytes += allocated;
                if Some(entry.name.as_str()) != base {
                    usage.reclaimable_bytes += allocated;
                }
            }
            None if TagName::parse(&entry.name).is_some() => {
                if !is_second_name(disk.as_ref(), &entry.name) {
                    usage.snapshot_bytes += allocated;
                }
            }
            Some(
                FileName::Control
                | FileName::ControlOf(_)
                | FileName::Reign(_)
                | FileName::Beat(_)
                | FileName::Lock,
            )
            | None => usage.other_bytes += allocated,
        }
        usage.files.push(FileUsage { name: entry.name, len, allocated });
    }
    usage.files.sort_by(|a, b| a.name.cmp(&b.name));
    let logical = usage.tables.iter().map(|table| table.key_bytes + table.value_bytes).sum();
    usage.growth = growth(directory, view.time(), logical, usage.log_bytes);
    Ok(usage)
}

/// Whether a tag shares its bytes with a snapshot that is counted already.
fn is_second_name(disk: &dyn Disk, file: &str) -> bool {
    let Some(tag) = TagName::parse(file) else { return false };
    let first = FileName::Snapshot { epoch: tag.epoch, lsn: tag.lsn }.to_string();
    let handle = |name: &str| disk.handle(name).ok().flatten();
    handle(file).is_some_and(|tagged| Some(tagged) == handle(&first))
}

/// From the oldest state that is retained to now.
fn growth(directory: &Directory, now: Nanos, logical: u64, log: u64) -> Option<Growth> {
    let oldest = thin::retained(directory).first().map(|s| (s.header.time, s.header.logical_bytes));
    // Without a snapshot the store began with nothing, when its first segment was made.
    let first = directory.segments.values().filter_map(|s| s.header.as_ref().ok());
    let begun = first.map(|header| header.created).min().map(|created| (created, 0));
    let (since, before) = oldest.or(begun)?;
    let over = Duration::from_nanos(now.0.saturating_sub(since.0));
    let grown = i64::try_from(logical).ok()? - i64::try_from(before).ok()?;
    (over >= GROWTH_MIN).then_some(Growth { over, logical_bytes: grown, log_bytes: log })
}
