//! What several test binaries share: a model of the state, a disk whose process dies, numbers that
//! repeat from their seed, a disk that is held up, and one whose user freezes; and limits to what
//! is waited for.

pub mod frail;
pub mod frozen;
pub mod held;
pub mod limited;
pub mod model;
pub mod past;
pub mod random;

use statedir::Options;
use statedir::base::Nanos;
use statedir::disk::Disk;
use statedir::disk::fake::FakeDisk;
use std::sync::Arc;

/// A fake disk whose clock is ahead of the kernel's: the control file's own time is the kernel's,
/// and is never later than the time that the file gets, as on a real disk.
pub fn fake_disk(unit: usize) -> FakeDisk {
    let disk = FakeDisk::new(unit);
    disk.set_clock(Nanos(Nanos::now().0 + 3_600_000_000_000));
    disk
}

/// A store without threads, with segments of a few groups, on the clock of its disk.
pub fn tiny(disk: &FakeDisk) -> Options {
    let disk = disk.clone();
    let options = Options {
        segment_min: 16 << 10,
        segment_max: 16 << 10,
        snapshot_min_bytes: 1,
        clock: Arc::new(move || disk.clock()),
        ..Options::default()
    };
    options.without_threads()
}

/// The disk as the engine takes it.
pub fn shared(disk: &FakeDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}
