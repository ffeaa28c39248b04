//! What a directory costs: bytes allocated in it, and bytes its device has written.
//!
//! Device bytes come from the block layer's own counter: /proc/self/io misses what the kernel
//! writes back on behalf of others. The counter is the whole device's, so whatever else runs on
//! the machine counts too; read it only around a run that has the device to itself.

#![allow(dead_code, reason = "each target that takes this in uses another part of it")]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The sectors of /sys/block/*/stat are of this size whatever the device's own are.
const SECTOR: u64 = 512;
/// The field "write sectors", counted from zero.
const WRITTEN: usize = 6;
/// The pause between two looks at the allocated space.
pub const LOOK: Duration = Duration::from_millis(2);

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
    pub fn written(&self) -> io::Result<u64> {
        rustix::fs::syncfs(File::open(&self.dir)?)?;
        let stat = fs::read_to_string(&self.stat)?;
        let sectors = stat.split_whitespace().nth(WRITTEN).and_then(|field| field.parse().ok());
        let sectors: u64 = sectors.ok_or_else(|| {
            io::Error::other(format!("{}: no field of sectors written", self.stat.display()))
        })?;
        Ok(sectors * SECTOR)
    }

    /// Bytes per second that the device writes for others: what it wrote in `time` while this
    /// process did nothing.
    pub fn noise(&self, time: Duration) -> io::Result<f64> {
        let before = self.written()?;
        std::thread::sleep(time);
        Ok((self.written()? - before) as f64 / time.as_secs_f64())
    }
}

/// Bytes allocated to the files under `dir`, as du counts them; files that vanish meanwhile count
/// nothing, and neither does a deleted file that is still open or mapped.
pub fn allocated(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => allocated(&entry.path()),
        Ok(meta) => meta.blocks() * SECTOR,
        Err(_) => 0,
    });
    sizes.sum()
}

/// Runs `work` and returns with its result the most space seen allocated in `dir`, looked at every
/// [`LOOK`].
pub fn watch<T>(dir: &Path, work: impl FnOnce() -> T) -> (T, u64) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = 0;
            while !over.load(Ordering::Relaxed) {
                peak = allocated(dir).max(peak);
                std::thread::sleep(LOOK);
            }
            peak
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        let seen = watcher.join().expect("looking at a directory does not panic");
        (result, seen.max(allocated(dir)))
    })
}
