//! Rotation while the next segment is still being prepared.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::held::{Door, Held};
use common::limited::until;
use statedir::base::{Local, Lsn};
use statedir::disk::Real;
use statedir::{Batch, Options, Reader, Store};
use std::path::Path;
use std::sync::Arc;

/// Whether it is the keeper who makes a file: the next segment.
fn by_keeper(_name: &str) -> bool {
    std::thread::current().name() == Some("statedir-keeper")
}

fn segments(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("log-")).count()
}

/// The keeper took an ordinal, a rotation that could not wait took the next one and was quicker,
/// and the keeper's segment came into use after it: its saves, acknowledged, were behind the end.
#[test]
fn a_segment_that_is_prepared_too_late_never_hides_acknowledged_saves() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state");
    Store::create(&path, &Options::default()).unwrap();
    let held = Held::new(Arc::new(Real::open(&path).unwrap()), by_keeper);
    held.set(Door::Held);
    let options = Options { segment_min: 64 << 10, segment_max: 64 << 10, ..Options::default() };
    let store = Store::open_on(Arc::new(held.clone()), options, Arc::new(Local)).unwrap();
    let mut last = Lsn::ZERO;
    let mut save = |until: usize| {
        while segments(&path) < until {
            let mut batch = Batch::new();
            batch.put("jobs", b"key", &[7; 5000]).unwrap();
            last = store.save(batch).unwrap();
        }
        last
    };
    // Two segments, made by the saver because the keeper is held up with another one.
    save(2);
    held.set(Door::Open);
    // Now the keeper's is there, and more come into use.
    until("the keeper's is there", || segments(&path) >= 3);
    let acknowledged = save(7);
    store.close().unwrap();
    assert_eq!(Reader::open(&path).unwrap().view().lsn(), acknowledged);
}
