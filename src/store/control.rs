//! Writes the control file: one slot at a time, so that the other always holds.

use crate::base::{Epoch, Id, Lsn, Nanos};
use crate::disk::{Access, Disk, File, Site};
use crate::format::{Ancestor, Control, FileName, names};
use crate::store::doubt;
use std::io;
use std::sync::Arc;

/// The control file of a store that is open for writing.
#[derive(Debug)]
pub struct ControlFile {
    file: Arc<dyn File>,
    current: Control,
}

impl ControlFile {
    /// Writes a control file with both slots, for a store that has never been opened. Its name is
    /// durable when this returns: before that, there is no store.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(disk: &dyn Disk, cluster: Id, incarnation: Id) -> io::Result<()> {
        ControlFile::create_at(disk, cluster, incarnation, Epoch(0), Lsn::ZERO)
    }

    /// As [`ControlFile::create`], for a store that begins at `watermark`, in `epoch`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create_at(
        disk: &dyn Disk,
        cluster: Id,
        incarnation: Id,
        epoch: Epoch,
        watermark: Lsn,
    ) -> io::Result<()> {
        // A half-made one holds nothing: it is made anew.
        if let Err(error) = disk.remove(names::CONTROL)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let file = disk.open(names::CONTROL, Access::Create)?;
        let control = Control {
            sequence: 0,
            cluster,
            incarnation,
            epoch,
            watermark,
            replica: false,
            shared: false,
            written: coarse_now(),
            handle: disk.handle(names::CONTROL)?.unwrap_or_default(),
            ancestors: Vec::new(),
        };
        let second = Control { sequence: 1, ..control.clone() };
        file.write_at(&[control.encode(), second.encode()].concat(), 0)?;
        file.sync(Site::ControlSlot)?;
        disk.sync_names(Site::ControlName)
    }

    /// Opens the file, whose newest slot is `current`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(disk: &dyn Disk, current: Control) -> io::Result<ControlFile> {
        let file = disk.open(names::CONTROL, Access::Write)?;
        // A process that was killed before its sync has left that slot in the page cache only. The
        // other one may be written when this one is durable: else a power cut tears both.
        doubt::settle(file.as_ref(), current.offset(), Site::Found)?;
        Ok(ControlFile { file, current })
    }

    /// Makes the control file of `epoch` in a shared directory, which `base` says whose it is.
    /// Nobody but that epoch's primary ever writes it, so that a deposed one destroys nothing.
    /// `vouched` is what was confirmed before: what recovery found beyond that is nobody's to show
    /// until this epoch is confirmed, too.
    ///
    /// # Errors
    /// `AlreadyExists`, and others of the file system.
    pub fn create_of(
        disk: &dyn Disk,
        base: &Control,
        epoch: Epoch,
        vouched: Lsn,
    ) -> io::Result<ControlFile> {
        let file = disk.open(&FileName::ControlOf(epoch).to_string(), Access::Create)?;
        let current = Control {
            sequence: 1,
            epoch,
            watermark: vouched,
            replica: false,
            shared: true,
            written: coarse_now(),
            ..base.clone()
        };
        let first = Control { sequence: 0, ..current.clone() };
        file.write_at(&[first.encode(), current.encode()].concat(), 0)?;
        file.sync(Site::ControlSlot)?;
        disk.sync_names(Site::ControlName)?;
        Ok(ControlFile { file, current })
    }

    /// What it says.
    #[must_use]
    pub fn current(&self) -> &Control {
        &self.current
    }

    /// Writes the next slot; durable when this returns.
    ///
    /// # Errors
    /// Those of the file system; the other slot still holds.
    pub fn update(&mut self, change: impl FnOnce(&mut Control)) -> io::Result<()> {
        let mut next = self.current.clone();
        change(&mut next);
        next.sequence = self.current.sequence + 1;
        next.written = coarse_now();
        self.file.write_at(&next.encode(), next.offset())?;
        self.file.sync(Site::ControlSlot)?;
        self.current = next;
        Ok(())
    }

    /// Starts `epoch` after `end`, which is durable; for a copy, with a history of its own that
    /// continues the old one.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn start_epoch(
        &mut self,
        epoch: Epoch,
        end: Lsn,
        adopt: Option<Adoption>,
    ) -> io::Result<()> {
        self.update(|control| {
            control.epoch = epoch;
            control.replica = false;
            control.watermark = end;
            if let Some(adoption) = adopt {
                control.ancestors = adoption.ancestors;
                control.incarnation = adoption.incarnation;
                control.handle = adoption.handle;
            }
        })
    }
}

/// What makes a copy a store of its own.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// The new identity.
    pub incarnation: Id,
    /// The control file's handle here.
    pub handle: Vec<u8>,
    /// The histories that files here may belong to.
    pub ancestors: Vec<Ancestor>,
}

/// The clock that the kernel stamps files with, so that a slot's time is never later than the
/// file's own.
fn coarse_now() -> Nanos {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    Nanos(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
}

/// 128 random bits.
///
/// # Errors
/// Those of the kernel's source of randomness.
pub fn random_id() -> io::Result<Id> {
    let mut id = [0; 16];
    let mut filled = 0;
    while filled < id.len() {
        filled +=
            rustix::rand::getrandom(&mut id[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(Id(id))
}
