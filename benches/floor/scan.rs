//! Reading a floor's log back: the floor of opening and loading everything.
//!
//! Invariant: a group is visited only after its CRC and its place in the order of lsns check
//! out. Only a log that never wrapped can be read, as wrapping overwrites the oldest groups.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::buffer::{BLOCK, HEADER, checksum};
use super::files::{FILE, path};

/// Reads the log in `dir` from its beginning and gives every save to `visit`; returns how many.
pub fn scan(dir: &Path, mut visit: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut next_lsn = 1;
    let mut group = Vec::new();
    for i in 0.. {
        let file = match File::open(path(dir, i)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => break,
            other => other?,
        };
        let mut offset = 0;
        while read_group(&file, offset, next_lsn, &mut group)? {
            next_lsn += visit_saves(&group[HEADER..], &mut visit)?;
            offset += group.len().next_multiple_of(BLOCK) as u64;
        }
        if offset == 0 {
            break; // a file without a single group: the log ends here
        }
    }
    Ok(next_lsn - 1)
}

/// Reads and checks the group at `offset`; false at the zeros that were prewritten.
fn read_group(file: &File, offset: u64, lsn: u64, group: &mut Vec<u8>) -> io::Result<bool> {
    if offset + BLOCK as u64 > FILE {
        return Ok(false);
    }
    group.resize(BLOCK, 0);
    file.read_exact_at(group, offset)?;
    let len = number(&group[..4]);
    if len == 0 {
        return Ok(false);
    }
    group.resize(HEADER + len, 0);
    if let Some(rest) = group.get_mut(BLOCK..) {
        file.read_exact_at(rest, offset + BLOCK as u64)?;
    }
    if group[8..HEADER] != lsn.to_le_bytes() || number(&group[4..8]) != checksum(group) as usize {
        return Err(io::Error::other(format!("the floor's group at lsn {lsn} is damaged")));
    }
    Ok(true)
}

fn visit_saves(mut saves: &[u8], visit: &mut impl FnMut(&[u8])) -> io::Result<u64> {
    let mut count = 0;
    while let Some((frame, rest)) = saves.split_at_checked(4) {
        let (save, after) = rest
            .split_at_checked(number(frame))
            .ok_or_else(|| io::Error::other("a save runs out of its group"))?;
        visit(save);
        count += 1;
        saves = after;
    }
    Ok(count)
}

/// A little-endian u32 of the format as a length.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte))
}
