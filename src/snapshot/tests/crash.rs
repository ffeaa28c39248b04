//! A power cut at any moment leaves the snapshot whole, or visibly not there.

use super::*;
use crate::disk::Site;
use crate::disk::fake::{Crash, Crashes};
use std::io;

fn two_pieces() -> State {
    state([("a", b"1", noise(1_100_000, 1)), ("b", b"1", noise(9, 2))])
}

/// Whether what `crash` left may be: the whole snapshot, or none if `publish` had not returned.
fn may_be(crash: &Crash) -> bool {
    let disk: Arc<dyn Disk> = Arc::new(FakeDisk::from_image(&crash.image));
    match open_and_verify(&disk) {
        Ok(snapshot) => read_all(&snapshot).unwrap() == two_pieces(),
        Err(SnapshotError::NotFinished { .. }) => crash.acknowledged.is_none(),
        Err(SnapshotError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            crash.acknowledged.is_none()
        }
        Err(_) => false,
    }
}

/// A crash at some moment that breaks the promise, if there is one.
fn broken(unit: usize, muted: Option<Site>) -> Option<Crash> {
    let fake = FakeDisk::new(unit);
    let disk: Arc<dyn Disk> = Arc::new(fake.clone());
    disk.sync_parent(Site::DirectoryName).unwrap();
    muted.into_iter().for_each(|site| fake.mute(site));
    publish(&disk, &two_pieces());
    fake.mark(1);
    Crashes::new(10, 1).over(&fake).find(|crash| !may_be(crash))
}

#[test]
fn power_cut_leaves_a_whole_snapshot_or_none() {
    for unit in [512, 4096] {
        let crash = broken(unit, None);
        assert!(crash.is_none(), "{:?}", crash.map(|crash| (crash.point, crash.survivors)));
    }
}

#[test]
fn every_sync_of_publishing_is_needed() {
    for site in [Site::SnapshotBody, Site::SnapshotHeader, Site::SnapshotName] {
        assert!(broken(512, Some(site)).is_some(), "{site:?}");
    }
}
