//! A directory that takes its groups from another primary, byte for byte: what replication builds
//! on. Segments are the primary's own, name, first block and offsets included.
//!
//! Invariants:
//! - only what extends the history here is taken: the same cluster and incarnation, the next place,
//!   the next LSN, the right link; an older epoch never, a newer one only with a seal that fits;
//! - [`Replica::append`] returns when the group is durable here.

use crate::base::{Epoch, Id, Lsn, SegmentId};
use crate::disk::{Access, AlignedBuf, Disk, File, Site};
use crate::format::segment::FIRST_GROUP;
use crate::format::{FileName, FormatError, Group, Kind, SegmentHeader};
use crate::log::{Position, prepare};
use crate::store::control::ControlFile;
use crate::store::create::check_mode;
use crate::store::decision::Standing;
use crate::store::directory::Directory;
use crate::store::error::{OpenError, Poison};
use crate::store::open::{lock_directory, sync_found};
use crate::store::recovery::{self, Report, Target, Writer, recover};
use crate::store::state::View;
use std::io;
use std::sync::Arc;

/// Why a group is not taken. Unless it says so, nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The bytes are no segment header or no group.
    #[error("not a whole group: {0}")]
    Format(#[from] FormatError),
    /// Another cluster's, or another history's.
    #[error("belongs to another history ({0})")]
    Foreign(Id),
    /// Of an epoch that has ended here.
    #[error("epoch {offered} has ended: epoch {seen} was here")]
    OldEpoch {
        /// The group's.
        offered: Epoch,
        /// The newest here.
        seen: Epoch,
    },
    /// It does not follow what is here: the primary must begin further back, or resync.
    #[error("does not follow lsn {0}")]
    Gap(Lsn),
    /// No room: nothing was written, it may be offered again.
    #[error("no room: {0}")]
    Room(io::Error),
    /// Writing or flushing failed, now or before: open again.
    #[error(transparent)]
    Poisoned(Poison),
}

/// A directory that follows a primary.
pub struct Replica {
    disk: Arc<dyn Disk>,
    control: ControlFile,
    at: Position,
    epoch: Epoch,
    file: Option<(SegmentHeader, Arc<dyn File>, u64)>,
    view: View,
    report: Report,
    poison: Option<Poison>,
    _lock: Arc<dyn File>,
}

impl Replica {
    /// Makes `disk` an empty replica of the history `incarnation` of `cluster`.
    ///
    /// # Errors
    /// As [`Store::create`](crate::Store::create).
    pub fn create_on(disk: &dyn Disk, cluster: Id, incarnation: Id) -> Result<(), OpenError> {
        check_mode(disk)?;
        let directory = Directory::read(disk).map_err(OpenError::io("directory"))?;
        if recovery::standing(&directory) != Standing::NoStore || !directory.strangers.is_empty() {
            return Err(OpenError::NotEmpty("a store, or other files".to_owned()));
        }
        disk.sync_parent(Site::DirectoryName).map_err(OpenError::io("parent directory"))?;
        ControlFile::create(disk, cluster, incarnation).map_err(OpenError::io("control file"))
    }

    /// Opens a replica's directory, or makes a store that was closed one.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_on(disk: Arc<dyn Disk>) -> Result<Replica, OpenError> {
        check_mode(disk.as_ref())?;
        let lock = lock_directory(disk.as_ref())?;
        let recovered = recover(disk.as_ref(), Target::End, Writer::Opens)?;
        sync_found(disk.as_ref(), &recovered)?;
        let mut control = ControlFile::open(disk.as_ref(), recovered.control)
            .map_err(OpenError::io("control file"))?;
        // In both slots: a watermark inside a group must not bind here from now on.
        for _ in 0..2 {
            control.update(|control| control.replica = true).map_err(OpenError::io("control"))?;
        }
        Ok(Replica {
            disk,
            control,
            at: recovered.end,
            epoch: recovered.end.segment.epoch,
            file: None,
            view: recovered.view,
            report: recovered.report,
            poison: None,
            _lock: lock,
        })
    }

    /// Where the history ends here.
    #[must_use]
    pub fn position(&self) -> Position {
        self.at
    }

    /// The state when the replica was opened.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// What recovery passed by.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Takes the group that stands at `offset` in the primary's segment with the first block
    /// `segment`. Returns the last LSN when it is durable here.
    ///
    /// # Errors
    /// [`ReplicaError`].
    pub fn append(
        &mut self,
        segment: &[u8],
        offset: u64,
        bytes: &[u8],
    ) -> Result<Lsn, ReplicaError> {
        if let Some(poison) = &self.poison {
            return Err(ReplicaError::Poisoned(poison.clone()));
        }
        let header = SegmentHeader::decode(segment)?;
        let group = Group::decode(header.seed(offset), bytes)?;
        self.check(&header, offset, &group)?;
        let file = self.enter(&header, offset + group.header.disk_len())?;
        let len = usize::try_from(group.header.disk_len()).expect("bounded by PAYLOAD_MAX");
        let mut block = AlignedBuf::with_capacity(len);
        block.extend_from_slice(&bytes[..bytes.len().min(len)]);
        block.pad_to_block();
        if let Err(error) = file.write_durable(&block, offset, Site::Group) {
            let poison = Poison::Flush(Arc::new(error));
            self.poison = Some(poison.clone());
            return Err(ReplicaError::Poisoned(poison));
        }
        self.at = Position {
            segment: header.id,
            offset: offset + group.header.disk_len(),
            lsn: group.header.last_lsn(),
            chain: group.link(),
            time: group.header.time,
        };
        self.epoch = header.id.epoch;
        Ok(self.at.lsn)
    }

    /// Brings everything taken so far under a watermark of this disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn publish(&mut self) -> io::Result<()> {
        let lsn = self.at.lsn;
        self.control.update(|control| control.watermark = lsn)
    }

    fn check(
        &self,
        header: &SegmentHeader,
        offset: u64,
        group: &Group<'_>,
    ) -> Result<(), ReplicaError> {
        let control = self.control.current();
        if header.cluster != control.cluster || header.incarnation != control.incarnation {
            return Err(ReplicaError::Foreign(header.incarnation));
        }
        let offered = header.id.epoch;
        if offered < self.epoch || group.header.epoch != offered {
            return Err(ReplicaError::OldEpoch { offered: group.header.epoch, seen: self.epoch });
        }
        let follows =
            group.header.first_lsn == self.at.lsn.next() && group.header.prev == self.at.chain;
        let place = if header.id == self.at.segment {
            offset == self.at.offset
        } else {
            offset == FIRST_GROUP && header.id > self.at.segment
        };
        let sealed = match group.seal() {
            None => offered == self.epoch,
            Some(seal) => {
                let here = &self.at;
                let first = here.segment == SegmentId::default() && seal.segment == here.segment;
                let place = (seal.segment, seal.offset) == (here.segment, here.offset);
                offered > self.epoch
                    && group.header.kind == Kind::EpochStart
                    && (first || place)
                    // Where the seal says otherwise than the place, recovery would not go on.
                    && (seal.lsn, seal.chain) == (here.lsn, here.chain)
            }
        };
        if follows && place && sealed { Ok(()) } else { Err(ReplicaError::Gap(self.at.lsn)) }
    }

    /// The segment of `header` with room up to `end`.
    fn enter(&mut self, header: &SegmentHeader, end: u64) -> Result<Arc<dyn File>, ReplicaError> {
        let opened = match self.file.take() {
            Some(opened) if opened.0.id == header.id => opened,
            _ => self.open_segment(header).map_err(ReplicaError::Room)?,
        };
        let (header, file, room) = opened;
        let room = if end > room {
            let wanted = end.max(header.prewritten);
            file.allocate(room, wanted - room).map_err(ReplicaError::Room)?;
            wanted
        } else {
            room
        };
        self.file = Some((header, Arc::clone(&file), room));
        Ok(file)
    }

    fn open_segment(
        &self,
        header: &SegmentHeader,
    ) -> io::Result<(SegmentHeader, Arc<dyn File>, u64)> {
        let name = FileName::Segment(header.id).to_string();
        if header.id == self.at.segment {
            let file = self.disk.open(&name, Access::Write)?;
            let len = file.len()?;
            return Ok((*header, file, len - len % FIRST_GROUP));
        }
        // What an attempt left that was cut short holds no group, and its first block may be
        // missing, or stand in the page cache only: it is made anew.
        match self.disk.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let capacity = header.prewritten.max(FIRST_GROUP);
        let made = prepare(self.disk.as_ref(), header, capacity, false, &mut |_| {})?;
        Ok((*header, made.file, made.capacity))
    }
}
