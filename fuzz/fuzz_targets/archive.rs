//! An archive: reading never panics and writes nothing but a repository's files; what is accepted
//! is a backup that can be opened, and whose groups make a state or an error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::base::{Epoch, Nanos};
use statedir::disk::Disk;
use statedir::disk::fake::FakeDisk;
use statedir::export::{FileKind, Hold, Opened, Repository, read_archive, restore_on};
use std::sync::Arc;

fuzz_target!(|bytes: &[u8]| {
    let target = FakeDisk::new(4096);
    let disk: Arc<dyn Disk> = Arc::new(target.clone());
    let read = read_archive(bytes, Some(&disk), &mut |_| {});
    for name in target.image().names() {
        assert!(name == "REPOSITORY" || FileKind::parse(&name).is_some(), "{name}");
    }
    let Ok(manifest) = read else { return };
    let repository = Repository::open(Arc::clone(&disk), Hold::Read).expect("one was made");
    assert_eq!(repository.list().expect("a disk in memory").len(), 1);
    let Ok(opened) = Opened::open(disk.as_ref(), manifest, &mut |_| {}) else { return };
    let restored: Arc<dyn Disk> = Arc::new(FakeDisk::new(4096));
    let _ = restore_on(&opened, &restored, None, Epoch(0), Nanos(1), &mut |_| {});
});
