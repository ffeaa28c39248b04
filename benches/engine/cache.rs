//! Files in the page cache and out of it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use rustix::fs::Advice;

const PAGE: usize = 4096;

/// Drops all pages of the files under `dir` from the cache: written out first, as only clean pages
/// go.
pub fn drop_pages(dir: &Path) -> io::Result<()> {
    for path in files(dir)? {
        let file = File::open(path)?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

/// Reads all files under `dir` once, so that they are cached.
pub fn read_all(dir: &Path) -> io::Result<()> {
    for path in files(dir)? {
        io::copy(&mut File::open(path)?, &mut io::sink())?;
    }
    Ok(())
}

/// The share of the pages of the files under `dir` that is in the page cache, by mincore(2).
pub fn resident(dir: &Path) -> io::Result<f64> {
    let (mut pages, mut cached) = (0, 0);
    for path in files(dir)? {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            continue;
        }
        // SAFETY: only asked which of its pages are cached, never read.
        let map = unsafe { Mmap::map(file.as_raw_fd()) }?;
        let mut present = vec![0_u8; map.len().div_ceil(PAGE)];
        // SAFETY: the mapping begins on a page, and the vector has a byte for each of its pages.
        let done = unsafe {
            libc::mincore(map.as_ptr().cast_mut().cast(), map.len(), present.as_mut_ptr())
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        pages += present.len();
        cached += present.iter().filter(|page| **page & 1 != 0).count();
    }
    Ok(cached as f64 / pages.max(1) as f64)
}

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}
