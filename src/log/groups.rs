//! Reads the groups of one segment, one after the other.
//!
//! Invariants: memory is bounded by the file's real length, whatever a header claims; a sector that
//! cannot be read is a fact like a bad checksum, not the end of the program.

use crate::base::Chain;
use crate::base::limits::BLOCK;
use crate::disk::File;
use crate::format::group::{self, Verified};
use crate::format::segment::FIRST_GROUP;
use crate::format::{FormatError, Group, GroupHeader, SegmentHeader};
use crate::log::proofs::{Proof, Proofs};
use std::io;
use std::sync::Arc;

/// Bytes read at once.
const WINDOW: usize = 1 << 20;

/// Bytes read at once where one group is wanted.
const SMALL_WINDOW: usize = 64 << 10;

/// Why no group stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Zeros, or the end of the file: nothing was ever written here.
    Blank,
    /// Something stands here that is no group.
    Bad(FormatError),
    /// The place cannot be read.
    Unreadable(io::ErrorKind),
}

/// A reading position in a segment.
#[derive(Debug)]
pub struct Groups {
    file: Arc<dyn File>,
    header: SegmentHeader,
    offset: u64,
    window: Vec<u8>,
    /// The least that is read.
    window_len: usize,
    window_at: u64,
    here: Option<Verified>,
    proofs: Option<Arc<Proofs>>,
}

impl Groups {
    /// Reads the groups of `file` from `offset` on.
    #[must_use]
    pub fn new(file: Arc<dyn File>, header: SegmentHeader, offset: u64) -> Groups {
        let offset = offset.max(FIRST_GROUP);
        let (window, window_len) = (Vec::new(), WINDOW);
        let (here, proofs) = (None, None);
        Groups { file, header, offset, window, window_len, window_at: 0, here, proofs }
    }

    /// As [`Groups::new`], for a look at the first group only: reads no more than that takes.
    #[must_use]
    pub fn first(file: Arc<dyn File>, header: SegmentHeader) -> Groups {
        Groups { window_len: SMALL_WINDOW, ..Groups::new(file, header, FIRST_GROUP) }
    }

    /// Believes what reading the segment has shown before: such groups are looked at and passed by
    /// without being read again. They cannot be taken.
    #[must_use]
    pub fn believing(mut self, proofs: Option<Arc<Proofs>>) -> Groups {
        self.proofs = proofs;
        self
    }

    /// Where the next group is looked for.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes to another offset.
    pub fn seek(&mut self, offset: u64) {
        self.offset = offset;
        self.here = None;
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Forgets what was read, so that the next look sees what a writer has added meanwhile.
    pub fn refresh(&mut self) {
        self.window.clear();
        self.here = None;
    }

    /// The header of the whole, good group that stands here.
    ///
    /// # Errors
    /// [`Stop`]: why none does.
    pub fn look(&mut self) -> Result<GroupHeader, Stop> {
        if let Some(verified) = self.here {
            return Ok(verified.header);
        }
        if let Some(proof) = self.proof() {
            return Ok(proof.header);
        }
        let verified = self.load()?;
        self.here = Some(verified);
        Ok(verified.header)
    }

    fn proof(&self) -> Option<Proof> {
        self.proofs.as_ref()?.at(self.offset).copied()
    }

    /// Moves past the group that [`Groups::look`] has found; its header, and its link.
    ///
    /// # Panics
    /// Without a successful look before.
    pub fn pass(&mut self) -> (GroupHeader, Chain) {
        if let Some(Proof { header, link, .. }) = self.proof() {
            self.offset += header.disk_len();
            return (header, link);
        }
        let group = self.take();
        (group.header, group.link())
    }

    /// The group that [`Groups::look`] has found, moving past it.
    ///
    /// # Panics
    /// Without a successful look before.
    pub fn take(&mut self) -> Group<'_> {
        let verified = self.here.take().expect("look has found a group");
        let offset = self.offset;
        self.offset += verified.header.disk_len();
        verified.group(self.at(offset))
    }

    /// Whether the block at `offset` holds anything but zeros.
    pub fn is_written(&mut self, offset: u64) -> bool {
        if self.fill(offset, BLOCK).is_err() {
            return true;
        }
        let bytes = self.at(offset);
        bytes[..bytes.len().min(BLOCK)].iter().any(|byte| *byte != 0)
    }

    /// Brings a whole good group at the present offset into the window.
    fn load(&mut self) -> Result<Verified, Stop> {
        let offset = self.offset;
        self.fill(offset, BLOCK)?;
        let head = self.at(offset);
        if head[..head.len().min(BLOCK)].iter().all(|byte| *byte == 0) {
            return Err(Stop::Blank);
        }
        let unchecked =
            GroupHeader::decode(self.header.seed(offset), head).map_err(|error| match error {
                // Written bytes behind zeros where the header should be: not blank, but damaged.
                FormatError::Blank => Stop::Bad(FormatError::Magic(0)),
                other => Stop::Bad(other),
            })?;
        if unchecked.header.epoch != self.header.id.epoch {
            return Err(Stop::Bad(FormatError::Field("epoch")));
        }
        self.fill(offset, group::HEADER_LEN + unchecked.header.payload_len as usize)?;
        unchecked.verify(self.at(offset)).map_err(Stop::Bad)
    }

    /// The window from `offset` on; empty where the window does not reach.
    fn at(&self, offset: u64) -> &[u8] {
        let start = usize::try_from(offset - self.window_at).expect("fill has placed the window");
        self.window.get(start..).unwrap_or(&[])
    }

    /// Makes the window hold `len` bytes from `offset` on, or up to the end of the file.
    fn fill(&mut self, offset: u64, len: usize) -> Result<(), Stop> {
        let covered = self.window_at + self.window.len() as u64;
        if self.window_at <= offset && offset + len as u64 <= covered {
            return Ok(());
        }
        let unreadable = |error: io::Error| Stop::Unreadable(error.kind());
        let file_len = self.file.len().map_err(unreadable)?;
        let left = file_len.saturating_sub(offset);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(len.max(self.window_len));
        self.window_at = offset;
        self.window.resize(wanted, 0);
        let outcome = self.file.read_at(&mut self.window, offset);
        let got = match outcome {
            Ok(got) => got,
            // A window may reach over a bad sector further on: look at the wanted bytes alone.
            Err(_) if wanted > len => {
                self.window.resize(len, 0);
                self.file.read_at(&mut self.window, offset).map_err(|error| {
                    self.window.clear();
                    unreadable(error)
                })?
            }
            Err(error) => {
                self.window.clear();
                return Err(unreadable(error));
            }
        };
        self.window.truncate(got);
        Ok(())
    }
}
