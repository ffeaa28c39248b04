//! What a state directory holds: facts only, nothing is decided and nothing written here.
//!
//! Invariant: names that are not ours are counted and never opened; what cannot be read is a fact.

use crate::base::limits::BLOCK;
use crate::base::{Epoch, Lsn, Nanos, SegmentId};
use crate::disk::{Access, Disk, Entry, File};
use crate::format::snapshot::HEADER_LEN;
use crate::format::{
    Control, FileName, FormatError, GroupHeader, Host, Seal, SegmentHeader, SnapshotHeader, TagName,
};
use crate::format::{control, guard, names};
use crate::log::{Groups, Proofs};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// How often a directory is read again in which epochs begin meanwhile.
const TRIES: usize = 10;

/// The control file as it was found.
#[derive(Clone, Debug)]
pub struct ControlFacts {
    /// Newest first.
    pub slots: [Result<Control, FormatError>; 2],
    /// When the file was last modified.
    pub modified: Nanos,
    /// Whether this is the very file that was written, not a copy; true where nobody can tell.
    pub original: bool,
}

impl ControlFacts {
    /// The greatest watermark that it holds.
    #[must_use]
    pub fn watermark(&self) -> Lsn {
        let slots = self.slots.iter().filter_map(|slot| slot.as_ref().ok());
        slots.map(|slot| slot.watermark).max().unwrap_or_default()
    }

    /// Whether several hosts may write the directory.
    #[must_use]
    pub fn shared(&self) -> bool {
        self.slots.iter().any(|slot| slot.as_ref().is_ok_and(|slot| slot.shared))
    }
}

/// A segment as it was found.
#[derive(Clone, Debug)]
pub struct SegmentFacts {
    /// Epoch and ordinal, from the name.
    pub id: SegmentId,
    /// Length in bytes.
    pub len: u64,
    /// Bytes that it occupies.
    pub allocated: u64,
    /// When it was last modified.
    pub modified: Nanos,
    /// Its first block.
    pub header: Result<SegmentHeader, FormatError>,
    /// The first group, if it is whole.
    pub first: Option<GroupHeader>,
    /// The seal, if the first group starts an epoch.
    pub seal: Option<Seal>,
    /// What reading all of it has shown, where somebody has done that.
    pub proofs: Option<Arc<Proofs>>,
}

impl SegmentFacts {
    /// What the directory says of it.
    fn listed(id: SegmentId, entry: &Entry) -> SegmentFacts {
        SegmentFacts {
            id,
            len: entry.len,
            allocated: entry.allocated,
            modified: entry.modified,
            header: Err(FormatError::Blank),
            first: None,
            seal: None,
            proofs: None,
        }
    }

    /// The file's name.
    #[must_use]
    pub fn name(&self) -> String {
        FileName::Segment(self.id).to_string()
    }

    /// Opens the file for reading.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(&self, disk: &dyn Disk) -> io::Result<Arc<dyn File>> {
        disk.open(&self.name(), Access::Read)
    }
}

/// A snapshot as it was found: its header only.
#[derive(Clone, Debug)]
pub struct SnapshotFacts {
    /// The writer's epoch, from the name.
    pub epoch: Epoch,
    /// The LSN, from the name.
    pub lsn: Lsn,
    /// Length in bytes.
    pub len: u64,
    /// Bytes that it occupies.
    pub allocated: u64,
    /// When it was last modified.
    pub modified: Nanos,
    /// Its first block; [`FormatError::Blank`] if it was never finished.
    pub header: Result<SnapshotHeader, FormatError>,
}

impl SnapshotFacts {
    /// The file's name.
    #[must_use]
    pub fn name(&self) -> String {
        FileName::Snapshot { epoch: self.epoch, lsn: self.lsn }.to_string()
    }
}

/// A snapshot's second name, as it was found.
#[derive(Clone, Debug)]
pub struct TagFacts {
    /// What the name says.
    pub tag: TagName,
    /// Length in bytes.
    pub len: u64,
    /// Bytes that it occupies.
    pub allocated: u64,
    /// Its first block.
    pub header: Result<SnapshotHeader, FormatError>,
}

/// Everything in the directory.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The control file, if there is one.
    pub control: Option<ControlFacts>,
    /// The control files of a shared directory's epochs.
    pub controls: BTreeMap<Epoch, ControlFacts>,
    /// Segments by id.
    pub segments: BTreeMap<SegmentId, SegmentFacts>,
    /// Snapshots by LSN, then epoch, ascending.
    pub snapshots: Vec<SnapshotFacts>,
    /// Tagged snapshots by name of the file. Recovery does not need them, nor look at them.
    pub tags: Vec<TagFacts>,
    /// Names that are not ours.
    pub strangers: Vec<String>,
}

impl Directory {
    /// Looks at every file. A file that vanishes meanwhile was superseded: it is left out.
    ///
    /// # Errors
    /// Those of the file system, for the directory and the control file.
    pub fn read(disk: &dyn Disk) -> io::Result<Directory> {
        Directory::gather(disk, true)
    }

    /// Looks into snapshots and the control file only. All that is known of segments is what the
    /// directory lists: to look into each would read from the device what its writer wrote around
    /// the page cache.
    ///
    /// # Errors
    /// As [`Directory::read`].
    pub fn skim(disk: &dyn Disk) -> io::Result<Directory> {
        Directory::gather(disk, false)
    }

    fn gather(disk: &dyn Disk, segments: bool) -> io::Result<Directory> {
        let mut found = Directory::gather_once(disk, segments)?;
        for _ in 0..TRIES {
            if !found.overtaken(disk)? {
                break;
            }
            found = Directory::gather_once(disk, segments)?;
        }
        Ok(found)
    }

    /// Whether an epoch has begun since the names were listed: its watermark may have been read
    /// without its seal, and would vouch for what an older epoch left behind that.
    fn overtaken(&self, disk: &dyn Disk) -> io::Result<bool> {
        if self.controls.is_empty() {
            return Ok(false);
        }
        let names = disk.list()?.into_iter().filter_map(|entry| FileName::parse(&entry.name));
        let epochs = names.filter_map(|name| match name {
            FileName::Segment(id) => Some(id.epoch),
            _ => None,
        });
        Ok(epochs.max() > self.segments.keys().map(|id| id.epoch).max())
    }

    fn gather_once(disk: &dyn Disk, segments: bool) -> io::Result<Directory> {
        let mut found = Directory {
            control: None,
            controls: BTreeMap::new(),
            segments: BTreeMap::new(),
            snapshots: Vec::new(),
            tags: Vec::new(),
            strangers: Vec::new(),
        };
        let mut seen_here = false;
        let mut entries = disk.list()?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            match FileName::parse(&entry.name).filter(|_| entry.regular) {
                Some(FileName::Control) => found.control = Some(read_control(disk)?),
                Some(FileName::ControlOf(epoch)) => {
                    if let Some(facts) = read_control_of(disk, epoch)? {
                        found.controls.insert(epoch, facts);
                    }
                }
                Some(FileName::Lock | FileName::Reign(_) | FileName::Beat(_)) => {}
                Some(FileName::Segment(id)) if !segments => {
                    found.segments.insert(id, SegmentFacts::listed(id, &entry));
                }
                Some(FileName::Segment(id)) => {
                    let Some((header, first)) = look(disk, &entry.name, SegmentHeader::decode)?
                    else {
                        continue;
                    };
                    // What a file under another's name says of the history does not count.
                    let header = header.and_then(|header| same(header.id == id, header));
                    let first = header.as_ref().ok().and_then(|header| first_group(first, header));
                    let facts = SegmentFacts {
                        header,
                        first: first.map(|(group, _)| group),
                        seal: first.and_then(|(_, seal)| seal),
                        proofs: None,
                        ..SegmentFacts::listed(id, &entry)
                    };
                    found.segments.insert(id, facts);
                }
                Some(FileName::Snapshot { epoch, lsn }) => {
                    let Some((header, _)) = look(disk, &entry.name, SnapshotHeader::decode)? else {
                        continue;
                    };
                    found.snapshots.push(SnapshotFacts {
                        epoch,
                        lsn,
                        len: entry.len,
                        allocated: entry.allocated,
                        modified: entry.modified,
                        header: header.and_then(|header| {
                            same((header.epoch, header.lsn) == (epoch, lsn), header)
                        }),
                    });
                }
                None if entry.regular && names::host_of(&entry.name).is_some() => {
                    seen_here |= sees_original(disk, &entry.name);
                }
                None => match TagName::parse(&entry.name).filter(|_| entry.regular) {
                    Some(tag) => found.tags.extend(look_at_tag(disk, tag, &entry)),
                    None if entry.regular && guards(disk, &entry.name) => {}
                    None => found.strangers.push(entry.name),
                },
            }
        }
        found.snapshots.sort_by_key(|snapshot| (snapshot.lsn, snapshot.epoch));
        if let Some(control) = &mut found.control
            && control.shared()
        {
            control.original |= seen_here;
        }
        Ok(found)
    }

    /// Whether anything but control and lock file is here.
    #[must_use]
    pub fn has_data(&self) -> bool {
        !(self.segments.is_empty() && self.snapshots.is_empty() && self.tags.is_empty())
    }

    /// The greatest epoch in names and in the control file.
    #[must_use]
    pub fn greatest_epoch(&self) -> Epoch {
        let controls = self.control.iter().chain(self.controls.values());
        let slots = controls.flat_map(|control| &control.slots);
        let slots = slots.filter_map(|slot| slot.as_ref().ok().map(|slot| slot.epoch));
        let segments = self.segments.keys().map(|id| id.epoch);
        let snapshots = self.snapshots.iter().map(|snapshot| snapshot.epoch);
        let named = self.controls.keys().copied();
        slots.chain(segments).chain(snapshots).chain(named).max().unwrap_or_default()
    }

    /// The greatest ordinal in names.
    #[must_use]
    pub fn greatest_ordinal(&self) -> u64 {
        self.segments.keys().map(|id| id.ordinal).max().unwrap_or(0)
    }
}

/// Nobody needs a tag to open the store: one that cannot be read hinders nothing.
fn look_at_tag(disk: &dyn Disk, tag: TagName, entry: &Entry) -> Option<TagFacts> {
    let header = match look(disk, &entry.name, SnapshotHeader::decode) {
        Ok(looked) => looked?.0,
        Err(_) => Err(FormatError::Field("unreadable file")),
    };
    let fits = |h: SnapshotHeader| same((h.epoch, h.lsn) == (tag.epoch, tag.lsn), h);
    let header = header.and_then(fits);
    Some(TagFacts { tag, len: entry.len, allocated: entry.allocated, header })
}

fn same<T>(agrees: bool, value: T) -> Result<T, FormatError> {
    if agrees { Ok(value) } else { Err(FormatError::Field("name")) }
}

/// What a file's first block says, and the open file.
type Looked<T> = (Result<T, FormatError>, Arc<dyn File>);

/// Opens a file and decodes its first block; `None` if it is gone.
fn look<T>(
    disk: &dyn Disk,
    name: &str,
    decode: impl Fn(&[u8]) -> Result<T, FormatError>,
) -> io::Result<Option<Looked<T>>> {
    let file = match disk.open(name, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut block = [0; BLOCK];
    let header = match file.read_at(&mut block, 0) {
        // Shorter than a header: it was being made.
        Ok(got) if got < HEADER_LEN && block.iter().all(|byte| *byte == 0) => {
            Err(FormatError::Blank)
        }
        Ok(got) => decode(&block[..got]),
        Err(_) => Err(FormatError::Field("unreadable sector")),
    };
    Ok(Some((header, file)))
}

fn first_group(file: Arc<dyn File>, header: &SegmentHeader) -> Option<(GroupHeader, Option<Seal>)> {
    let mut groups = Groups::first(file, *header);
    groups.look().ok()?;
    let group = groups.take();
    Some((group.header, group.seal()))
}

/// Whether it keeps Slurm's own slurmctld away, as a controller puts it beside its store.
fn guards(disk: &dyn Disk, name: &str) -> bool {
    // One byte more than ours has: a longer one is none.
    let mut bytes = [0; guard::TEXT.len() + 1];
    let mut read = || disk.open(name, Access::Read)?.read_at(&mut bytes, 0);
    guard::NAMES.contains(&name) && read().is_ok_and(|len| guard::is_ours(&bytes[..len]))
}

/// Whether a host's file is the very one that the host has made: where hosts see one file under
/// different handles, each knows its own.
fn sees_original(disk: &dyn Disk, name: &str) -> bool {
    let mut block = [0; BLOCK];
    let mut read = || {
        let got = disk.open(name, Access::Read)?.read_at(&mut block, 0)?;
        let said = Host::decode(&block[..got]).map_err(io::Error::other)?;
        io::Result::Ok(disk.handle(name)?.is_some_and(|handle| handle == said.member.handle))
    };
    read().unwrap_or(false)
}

/// The control file of an epoch; `None` if it is gone.
pub(crate) fn read_control_of(disk: &dyn Disk, epoch: Epoch) -> io::Result<Option<ControlFacts>> {
    match read_slots(disk, &FileName::ControlOf(epoch).to_string()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        facts => facts.map(Some),
    }
}

pub(crate) fn read_control(disk: &dyn Disk) -> io::Result<ControlFacts> {
    read_slots(disk, names::CONTROL)
}

fn read_slots(disk: &dyn Disk, name: &str) -> io::Result<ControlFacts> {
    let file = disk.open(name, Access::Read)?;
    let modified = file.modified()?;
    let mut bytes = vec![0; control::FILE_LEN];
    // Each slot by itself: a bad sector under one must not hide the other.
    for slot in bytes.chunks_mut(control::SLOT_LEN).enumerate() {
        let at = (slot.0 * control::SLOT_LEN) as u64;
        if file.read_at(slot.1, at).is_err() {
            slot.1.fill(0);
        }
    }
    let slots = control::slots(&bytes);
    let handle = disk.handle(name)?;
    let original = slots[0].as_ref().is_ok_and(|slot| match &handle {
        Some(handle) => slot.handle.is_empty() || slot.handle == *handle,
        None => true,
    });
    Ok(ControlFacts { slots, modified, original })
}
