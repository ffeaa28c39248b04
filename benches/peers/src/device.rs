//! What a directory costs: bytes allocated in it, and bytes its device has written.
//!
//! Device bytes come from the block layer's own counter: /proc/self/io misses what the kernel
//! writes back on behalf of others. The counter is the whole device's, so whatever else runs on
//! the machine counts too; read it only around a run that has the device to itself.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::system::Fault;

/// The sectors of /sys/block/*/stat are of this size whatever the device's own are.
const SECTOR: u64 = 512;
/// The field "write sectors", counted from zero.
const WRITTEN: usize = 6;

/// The counter of the device that holds a directory.
pub struct Device {
    stat: PathBuf,
    dir: PathBuf,
}

impl Device {
    pub fn of(dir: &Path) -> io::Result<Device> {
        let id = fs::metadata(dir)?.dev();
        let (major, minor) = (rustix::fs::major(id), rustix::fs::minor(id));
        let stat = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
        Ok(Device { stat, dir: dir.to_owned() })
    }

    /// Bytes written so far, with everything dirty of the file system written out first.
    pub fn written(&self) -> Result<u64, Fault> {
        rustix::fs::syncfs(File::open(&self.dir)?)?;
        let stat = fs::read_to_string(&self.stat)?;
        let field = stat.split_whitespace().nth(WRITTEN);
        Ok(field.ok_or("the device's stat has no field of sectors written")?.parse::<u64>()?
            * SECTOR)
    }
}

/// Bytes allocated to the files under `dir`; files that vanish meanwhile count nothing.
pub fn allocated(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => allocated(&entry.path()),
        Ok(meta) => meta.blocks() * SECTOR,
        Err(_) => 0,
    });
    sizes.sum()
}
