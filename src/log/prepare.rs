//! Makes a segment ready before it is needed: created, its header written, prewritten with zeros,
//! all of it and its name durable. A flush into written blocks then commits no metadata.
//!
//! Invariants: a [`Prepared`] segment survives a power cut, name included, and has room for its
//! whole capacity; the length is set in one step before the header is written, so that a header
//! survives a crash only in a file of that length: one which is shorter than its header says was
//! cut, and not by a crash.

use crate::base::limits::BLOCK;
use crate::disk::{Access, AlignedBuf, Disk, File, Site};
use crate::format::{FileName, SegmentHeader, align_up};
use std::io;
use std::sync::Arc;

/// Bytes of zeros written at once.
const PIECE: usize = 1 << 20;

/// A segment that is ready to take groups.
#[derive(Debug)]
pub struct Prepared {
    /// What its first block says.
    pub header: SegmentHeader,
    /// The open file.
    pub file: Arc<dyn File>,
    /// Bytes, the first block included, in which groups have room.
    pub capacity: u64,
}

/// Creates the segment of `header` with room for `capacity` bytes. With `zeros` it is written
/// with zeros, `pause` being called between the pieces; else the room is only allocated.
///
/// # Errors
/// `StorageFull` and others of the file system. What was made is removed as far as possible.
pub fn prepare(
    disk: &dyn Disk,
    header: &SegmentHeader,
    capacity: u64,
    zeros: bool,
    pause: &mut dyn FnMut(usize),
) -> io::Result<Prepared> {
    let capacity = align_up(capacity);
    let name = FileName::Segment(header.id).to_string();
    let file = disk.open(&name, Access::Create)?;
    let header = SegmentHeader { prewritten: capacity, ..*header };
    let made = fill(file.as_ref(), &header, capacity, zeros, pause)
        .and_then(|()| disk.sync_names(Site::SegmentName));
    if let Err(error) = made {
        // It holds no group: what is left of it would be an empty segment, which is normal.
        drop(disk.remove(&name));
        return Err(error);
    }
    Ok(Prepared { header, file, capacity })
}

fn fill(
    file: &dyn File,
    header: &SegmentHeader,
    capacity: u64,
    zeros: bool,
    pause: &mut dyn FnMut(usize),
) -> io::Result<()> {
    file.allocate(0, capacity)?;
    let mut at = BLOCK as u64;
    let mut piece = AlignedBuf::with_capacity(PIECE);
    while zeros && at < capacity {
        let len = PIECE.min(usize::try_from(capacity - at).unwrap_or(PIECE));
        piece.resize(len);
        file.write_around(&piece, at)?;
        at += len as u64;
        pause(len);
    }
    let mut block = AlignedBuf::with_capacity(BLOCK);
    block.extend_from_slice(&header.encode());
    block.pad_to_block();
    file.write_around(&block, 0)?;
    // Header, zeros and length are durable from here on.
    file.sync(Site::SegmentBody)
}
