//! A snapshot is there whole, or not at all.

use super::*;
use crate::disk::fake::{Fault, FaultPlan};
use crate::format::snapshot::DATA_AT;

fn names(disk: &dyn Disk) -> Vec<String> {
    disk.list().unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn abandoned_builder_leaves_no_file() {
    let disk = disk();
    let mut builder = Builder::create(Arc::clone(&disk), plan()).unwrap();
    builder.push("t", b"k", &noise(3 << 20, 1)).unwrap();
    assert_eq!(names(&*disk), [NAME]);
    drop(builder);
    assert!(names(&*disk).is_empty());
    drop(build(&disk, &small()));
    assert!(names(&*disk).is_empty());
}

#[test]
fn unfinished_file_is_known_as_such() {
    let disk = disk();
    let not_finished = || matches!(open(&disk), Err(SnapshotError::NotFinished { .. }));
    let builder = Builder::create(Arc::clone(&disk), plan()).unwrap();
    assert!(not_finished());
    drop(builder);
    let unpublished = build(&disk, &small());
    assert!(not_finished());
    assert!(!open(&disk).unwrap_err().is_damage());
    unpublished.publish().unwrap();
    assert!(!not_finished());
}

#[test]
fn leftover_of_a_crash_gives_way() {
    for len in [0, 1, 512, 9_000] {
        let disk = disk_with(&vec![0; len]);
        let snapshot = publish(&disk, &small());
        assert_eq!(read_all(&snapshot).unwrap(), small());
    }
}

#[test]
fn finished_or_damaged_snapshot_is_not_overwritten() {
    let disk = disk();
    publish(&disk, &small());
    let whole = bytes_of(&*disk);
    let mut damaged = whole.clone();
    damaged[100] ^= 1;
    for bytes in [whole, damaged] {
        let disk = disk_with(&bytes);
        let again = Builder::create(Arc::clone(&disk), plan());
        assert!(matches!(again, Err(SnapshotError::Exists { .. })));
        assert_eq!(bytes_of(&*disk), bytes);
    }
}

#[test]
fn snapshot_that_does_not_read_back_is_not_published() {
    let disk = disk();
    let unpublished = build(&disk, &small());
    disk.open(NAME, Access::Write).unwrap().write_at(b"?", DATA_AT).unwrap();
    let error = unpublished.publish().unwrap_err();
    assert!(matches!(error, SnapshotError::Chunk { offset: DATA_AT, .. }));
    assert!(names(&*disk).is_empty());
}

#[test]
fn every_failing_call_is_reported_and_leaves_no_file() {
    let attempt = |disk: &Arc<dyn Disk>| {
        let mut builder = Builder::create(Arc::clone(disk), plan())?;
        builder.push("t", b"k", &noise(3 << 20, 1))?;
        builder.finish()?.publish()
    };
    let sound = FakeDisk::new(4096);
    attempt(&(Arc::new(sound.clone()) as Arc<dyn Disk>)).unwrap();
    for fault in [Fault::Io, Fault::Full] {
        for nth in 1..=sound.calls(None) {
            let fake = FakeDisk::new(4096);
            let disk: Arc<dyn Disk> = Arc::new(fake.clone());
            fake.fail(FaultPlan::nth(nth, fault));
            assert!(attempt(&disk).is_err(), "call {nth}");
            fake.heal();
            assert!(names(&*disk).is_empty(), "call {nth}");
        }
    }
}

#[test]
fn length_changes_after_the_last_byte_was_written() {
    let disk = disk();
    let unpublished = build(&disk, &small());
    let before = bytes_of(&*disk).len() as u64;
    let snapshot = unpublished.publish().unwrap();
    assert_eq!(before, snapshot.header().file_len());
    assert_eq!(bytes_of(&*disk).len() as u64, before + 1);
    assert_eq!(snapshot.name(), NAME);
}

#[test]
fn header_says_what_was_planned() {
    let disk = disk();
    let snapshot = publish(&disk, &small());
    let (header, plan) = (*snapshot.header(), plan());
    let found = Plan {
        cluster: header.cluster,
        incarnation: header.incarnation,
        epoch: header.epoch,
        lsn: header.lsn,
        chain: header.chain,
        time: header.time,
        made: header.made,
        resume: header.resume,
        resume_offset: header.resume_offset,
    };
    assert_eq!(found, plan);
}

#[test]
fn written_bytes_are_counted() {
    let disk = disk();
    let mut builder = Builder::create(Arc::clone(&disk), plan()).unwrap();
    assert_eq!(builder.written(), 4096);
    builder.push("t", b"k", &noise(5 << 20, 1)).unwrap();
    assert_eq!(builder.written(), 4096 + (5 << 20));
}

#[test]
#[should_panic(expected = "ascend")]
fn key_out_of_order_is_refused() {
    let mut builder = Builder::create(disk(), plan()).unwrap();
    builder.push("t", b"b", b"").unwrap();
    let _ = builder.push("t", b"b", b"");
}

#[test]
#[should_panic(expected = "ascend")]
fn table_out_of_order_is_refused() {
    let mut builder = Builder::create(disk(), plan()).unwrap();
    builder.push("u", b"b", b"").unwrap();
    let _ = builder.push("t", b"c", b"");
}
