//! What stands behind the end of the log: facts only, for the table to decide on.

use crate::base::SegmentId;
use crate::base::limits::BLOCK;
use crate::disk::{Disk, File};
use crate::format::segment::{FIRST_GROUP, HEADER_LEN};
use crate::format::{FormatError, SegmentHeader};
use crate::log::{Groups, Position};
use crate::store::directory::Directory;
use std::io;
use std::sync::Arc;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Beyond {
    /// The first good group.
    pub group: Option<(SegmentId, u64)>,
    /// The first segment that holds something behind a first block that cannot be read. That block
    /// is durable before a group is written, and no disk can tear it: a crash does not do this.
    pub headless: Option<(SegmentId, FormatError)>,
    /// The first segment behind the end that is shorter than when it was made: its length, and
    /// that. It may have been in use.
    pub cut: Option<(SegmentId, u64, u64)>,
    /// Segments behind the end whose making was cut short, or that were themselves, to less than a
    /// header: nobody can tell.
    pub unfinished: Vec<SegmentId>,
    /// Bytes of blocks that are not zeros.
    pub written: u64,
}

impl Beyond {
    /// Looks at every block of every segment behind `end`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn look(disk: &dyn Disk, directory: &Directory, end: &Position) -> io::Result<Beyond> {
        let mut beyond = Beyond::default();
        for (id, facts) in directory.segments.range(end.segment..) {
            let file = match facts.open(disk) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            let from = if *id == end.segment { end.offset } else { FIRST_GROUP };
            match facts.header {
                Ok(header) => {
                    // Read after the header, which comes after the length.
                    let len = file.len()?;
                    if *id > end.segment && len < header.prewritten && beyond.cut.is_none() {
                        beyond.cut = Some((*id, len, header.prewritten));
                    }
                    let mut groups = Groups::new(Arc::clone(&file), header, from);
                    each_written(file.as_ref(), from..facts.len, |at| {
                        groups.seek(at);
                        if beyond.group.is_none() && groups.look().is_ok() {
                            beyond.group = Some((*id, at));
                        }
                        beyond.written += BLOCK as u64;
                    });
                }
                // Its making has come to an end since the directory was read.
                Err(_) if has_header(file.as_ref()) => {}
                Err(error) => {
                    let before = beyond.written;
                    let whole = FIRST_GROUP..facts.len;
                    each_written(file.as_ref(), whole, |_| beyond.written += BLOCK as u64);
                    if beyond.written > before {
                        beyond.headless.get_or_insert((*id, error));
                    } else if *id > end.segment {
                        beyond.unfinished.push(*id);
                    }
                }
            }
        }
        Ok(beyond)
    }
}

/// Calls `written` with the offset of every block in `bytes` that holds anything but zeros. A block
/// that cannot be read counts as one.
fn each_written(file: &dyn File, bytes: std::ops::Range<u64>, mut written: impl FnMut(u64)) {
    let mut block = [0; BLOCK];
    let mut at = bytes.start;
    while at < bytes.end {
        // Holes hold nothing; where that cannot be told, every block is looked at.
        let Some(data) = file.next_data(at).unwrap_or(Some(at)) else { return };
        at = data - data % BLOCK as u64;
        let got = file.read_at(&mut block, at);
        if got.is_err() || got.is_ok_and(|got| block[..got].iter().any(|byte| *byte != 0)) {
            written(at);
        }
        at += BLOCK as u64;
    }
}

fn has_header(file: &dyn File) -> bool {
    let mut bytes = [0; HEADER_LEN];
    let got = file.read_at(&mut bytes, 0);
    got.is_ok_and(|got| SegmentHeader::decode(&bytes[..got]).is_ok())
}
