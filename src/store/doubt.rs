//! What the page cache shows and the device may not have: a write or flush that failed leaves its
//! pages clean, so that no later sync brings them to the disk, and still they are read.
//!
//! Invariant: what recovery goes by is compared with the device, past the page cache, before
//! anything is built on it; where it differs, or nobody can tell, the writer-to-be writes the same
//! bytes once more. Only three places can be in doubt, because everything else was flushed before
//! something that stands here was begun: the last group, the newest slot of the control file, the
//! header of the newest snapshot.

use crate::base::limits::BLOCK;
use crate::base::{Lsn, SegmentId};
use crate::disk::{Access, AlignedBuf, Disk, File, Site};
use crate::format::FileName;
use std::io;

/// Bytes compared at once.
const PIECE: u64 = 1 << 20;

/// A last group that the device does not hold as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// Where it stands.
    pub segment: SegmentId,
    pub offset: u64,
    /// Bytes on disk.
    pub len: u64,
    /// The last LSN before it.
    pub before: Lsn,
}

impl Doubt {
    /// Writes the group once more. It is durable when this returns.
    pub fn remove(&self, disk: &dyn Disk) -> io::Result<()> {
        let name = FileName::Segment(self.segment).to_string();
        let file = disk.open(&name, Access::Write)?;
        let len = usize::try_from(self.len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        rewrite(file.as_ref(), self.offset, len, Site::Tail)
    }
}

/// Whether the device holds these blocks as the page cache shows them; what is merely not written
/// yet is written, and flushed, by that. `None` where the page cache cannot be gone around.
pub(crate) fn stands(
    file: &dyn File,
    offset: u64,
    len: u64,
    site: Site,
) -> io::Result<Option<bool>> {
    file.sync(site)?;
    let mut at = offset;
    while at < offset + len {
        let piece = usize::try_from(PIECE.min(offset + len - at)).expect("a piece is small");
        let (mut cached, mut device) = (vec![0; piece], AlignedBuf::zeroed(piece));
        // A segment that was cut may end within the padding.
        file.read_at(&mut cached, at)?;
        if !file.read_around(&mut device, at)? {
            return Ok(None);
        }
        if cached[..] != device[..] {
            return Ok(Some(false));
        }
        at += piece as u64;
    }
    Ok(Some(true))
}

/// Sees to it that the block at `offset`, as it is read, is durable when this returns.
pub(crate) fn settle(file: &dyn File, offset: u64, site: Site) -> io::Result<()> {
    match stands(file, offset, BLOCK as u64, site)? {
        Some(true) => Ok(()),
        Some(false) | None => rewrite(file, offset, BLOCK, site),
    }
}

fn rewrite(file: &dyn File, offset: u64, len: usize, site: Site) -> io::Result<()> {
    let mut bytes = AlignedBuf::zeroed(len);
    file.read_at(&mut bytes, offset)?;
    file.write_durable(&bytes, offset, site)
}
