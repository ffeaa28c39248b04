//! The floor's files: all prewritten with zeros and durable before anything is timed.
//!
//! Invariant: `write` only ever overwrites allocated, initialised blocks of files whose sizes
//! and names are already durable, so a flush carries data and no metadata. At the end of the
//! last file writing goes on at the first: to the device that is the same work, and a floor has
//! nothing to keep.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Advice;

use super::Mode;

/// Bytes of one file; also the largest group.
pub(super) const FILE: u64 = 64 << 20;
/// Bytes written at once when prewriting.
const PIECE: usize = 1 << 20;

/// A ring of prewritten files and the place of the next group.
pub(super) struct Files {
    mode: Mode,
    ring: Vec<File>,
    current: usize,
    offset: u64,
}

impl Files {
    pub(super) fn create(dir: &Path, mode: Mode, capacity: u64) -> io::Result<Files> {
        let count = capacity.div_ceil(FILE).max(1);
        let ring = (0..count).map(|i| prewrite(&path(dir, i), mode)).collect::<io::Result<_>>()?;
        File::open(dir)?.sync_all()?;
        Ok(Files { mode, ring, current: 0, offset: 0 })
    }

    /// Writes one sealed group and returns when it is durable.
    pub(super) fn write(&mut self, group: &[u8]) -> io::Result<()> {
        let len = group.len() as u64;
        if len > FILE {
            return Err(io::Error::other("a group larger than a file of the floor"));
        }
        if self.offset + len > FILE {
            self.current = (self.current + 1) % self.ring.len();
            self.offset = 0;
        }
        let file = &self.ring[self.current];
        file.write_all_at(group, self.offset)?;
        if self.mode == Mode::Buffered {
            file.sync_data()?;
        }
        self.offset += len;
        Ok(())
    }
}

/// The name of the `i`th file.
pub(super) fn path(dir: &Path, i: u64) -> PathBuf {
    dir.join(format!("floor-{i:06}"))
}

fn prewrite(path: &Path, mode: Mode) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let zeros = vec![0; PIECE];
    for _ in 0..FILE / PIECE as u64 {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    if mode == Mode::Buffered {
        return Ok(file);
    }
    // Cached pages would have to be thrown out again by every direct write over them.
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    // Not rustix's `OFlags::DSYNC`, which is `O_SYNC` in 1.1 and commits the file's times, too.
    let flags = libc::O_DIRECT | libc::O_DSYNC;
    OpenOptions::new().write(true).custom_flags(flags).open(path)
}
