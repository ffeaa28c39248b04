//! What the fake disk does is what its model says.

use super::*;
use crate::disk::AlignedBuf;
use crate::disk::Real;
use crate::disk::fake::random::Random;
use std::collections::BTreeSet;

const UNIT: usize = 4096;

/// A disk whose directory is durable and holds a durable file `f` of `count` blocks of 1.
fn disk_with(unit: usize, count: usize) -> (FakeDisk, Arc<dyn File>) {
    let disk = FakeDisk::new(unit);
    disk.sync_parent(Site::DirectoryName).unwrap();
    let file = disk.open("f", Access::Create).unwrap();
    if count > 0 {
        file.write_durable(&blocks(1, count), 0, Site::Group).unwrap();
    }
    disk.sync_names(Site::SegmentName).unwrap();
    let disk = FakeDisk::from_image(&disk.image());
    let file = disk.open("f", Access::Write).unwrap();
    (disk, file)
}

fn blocks(byte: u8, count: usize) -> AlignedBuf {
    AlignedBuf::from(vec![byte; count * 4096].as_slice())
}

/// Every state that a crash after everything can leave.
fn at_the_end(disk: &FakeDisk) -> Vec<Image> {
    let last = disk.crash_points() - 1;
    Crashes::new(64, 1).within(disk, last..last + 1).map(|crash| crash.image).collect()
}

/// What `name` can be after such a crash: its bytes, one for each unit; `None`: not there.
fn outcomes(disk: &FakeDisk, name: &str, unit: usize) -> BTreeSet<Option<Vec<u8>>> {
    let firsts = |image: Image| {
        image.contains(name).then(|| {
            let bytes = image.read(name);
            bytes.chunks(unit).for_each(|chunk| assert!(chunk.iter().all(|b| *b == chunk[0])));
            bytes.chunks(unit).map(|chunk| chunk[0]).collect()
        })
    };
    at_the_end(disk).into_iter().map(firsts).collect()
}

fn set<const N: usize>(all: [&[u8]; N]) -> BTreeSet<Option<Vec<u8>>> {
    all.iter().map(|one| Some(one.to_vec())).collect()
}

#[test]
fn unsynced_write_is_lost_kept_or_torn_at_every_unit() {
    let (disk, file) = disk_with(UNIT, 3);
    file.write_at(&blocks(2, 3), 0).unwrap();
    let all: [&[u8]; 8] = [
        &[1, 1, 1],
        &[1, 1, 2],
        &[1, 2, 1],
        &[1, 2, 2],
        &[2, 1, 1],
        &[2, 1, 2],
        &[2, 2, 1],
        &[2, 2, 2],
    ];
    assert_eq!(outcomes(&disk, "f", UNIT), set(all));
}

#[test]
fn sectors_of_one_page_tear_where_the_disk_writes_sectors() {
    let (disk, file) = disk_with(512, 1);
    file.write_durable(&blocks(2, 1), 0, Site::Group).unwrap();
    assert_eq!(outcomes(&disk, "f", 512), set([&[2; 8]]));
    // In flight: written, not yet flushed.
    let flight: BTreeSet<_> =
        Crashes::new(8, 1).within(&disk, 1..2).map(|crash| crash.image.read("f")).collect();
    assert!(flight.len() > 6, "{}", flight.len());
    assert!(flight.contains([vec![1; 2048], vec![2; 2048]].concat().as_slice()));
}

#[test]
fn synced_bytes_and_length_survive() {
    let (disk, file) = disk_with(UNIT, 1);
    file.write_at(&blocks(2, 2), 0).unwrap();
    file.sync(Site::SegmentBody).unwrap();
    assert_eq!(outcomes(&disk, "f", UNIT), set([&[2, 2]]));
    file.set_len(4096).unwrap();
    file.sync(Site::SegmentBody).unwrap();
    assert_eq!(outcomes(&disk, "f", UNIT), set([&[2]]));
}

#[test]
fn muted_sync_promises_nothing() {
    let (disk, file) = disk_with(UNIT, 1);
    disk.mute(Site::Group);
    file.write_durable(&blocks(2, 1), 0, Site::Group).unwrap();
    file.sync(Site::Group).unwrap();
    assert_eq!(outcomes(&disk, "f", UNIT), set([&[1], &[2]]));
    file.sync(Site::SegmentBody).unwrap();
    assert_eq!(outcomes(&disk, "f", UNIT), set([&[2]]));
    disk.unmute(Site::Group);
    file.write_durable(&blocks(3, 1), 0, Site::Group).unwrap();
    assert_eq!(outcomes(&disk, "f", UNIT), set([&[3]]));
}

#[test]
fn durable_write_keeps_its_own_range_only() {
    let (disk, file) = disk_with(UNIT, 3);
    file.write_at(&blocks(2, 3), 0).unwrap();
    file.write_durable(&blocks(3, 1), 4096, Site::Group).unwrap();
    let all = set([&[1, 3, 1], &[1, 3, 2], &[2, 3, 1], &[2, 3, 2]]);
    assert_eq!(outcomes(&disk, "f", UNIT), all);
}

#[test]
fn durable_write_carries_the_length_that_reading_it_needs() {
    let (disk, file) = disk_with(UNIT, 1);
    file.write_at(&blocks(2, 1), 4096).unwrap();
    file.set_len(5 * 4096).unwrap();
    file.write_durable(&blocks(3, 1), 2 * 4096, Site::Group).unwrap();
    let all = set([&[1, 0, 3], &[1, 2, 3], &[1, 0, 3, 0, 0], &[1, 2, 3, 0, 0]]);
    assert_eq!(outcomes(&disk, "f", UNIT), all);
}

#[test]
fn growth_may_come_without_its_bytes_and_reads_as_zeros() {
    let (disk, file) = disk_with(UNIT, 1);
    file.write_at(&blocks(2, 1), 4096).unwrap();
    assert_eq!(outcomes(&disk, "f", UNIT), set([&[1], &[1, 0], &[1, 2]]));
}

#[test]
fn unsynced_cut_may_not_have_happened_but_never_spares_a_part() {
    let (disk, file) = disk_with(UNIT, 3);
    file.set_len(4096).unwrap();
    assert_eq!(outcomes(&disk, "f", UNIT), set([&[1], &[1, 1, 1]]));
    file.set_len(2 * 4096).unwrap();
    assert_eq!(outcomes(&disk, "f", UNIT), set([&[1], &[1, 0], &[1, 1, 1]]));
    file.write_durable(&blocks(2, 1), 2 * 4096, Site::Group).unwrap();
    assert_eq!(outcomes(&disk, "f", UNIT), set([&[1, 0, 2], &[1, 1, 2]]));
}

#[test]
fn unsynced_punch_is_torn_like_a_write() {
    let (disk, file) = disk_with(UNIT, 3);
    file.punch(4096, 1 << 30).unwrap();
    let all = set([&[1, 1, 1], &[1, 0, 1], &[1, 1, 0], &[1, 0, 0]]);
    assert_eq!(outcomes(&disk, "f", UNIT), all);
    assert_eq!(file.next_data(4096).unwrap(), None);
    file.sync(Site::SegmentBody).unwrap();
    assert_eq!(outcomes(&disk, "f", UNIT), set([&[1, 0, 0]]));
}

#[test]
fn any_version_since_the_last_sync_may_be_found() {
    let (disk, file) = disk_with(UNIT, 1);
    for byte in 2..5 {
        file.write_at(&blocks(byte, 1), 0).unwrap();
    }
    assert_eq!(outcomes(&disk, "f", UNIT), set([&[1], &[2], &[3], &[4]]));
}

#[test]
fn names_without_sync_may_vanish_each_on_its_own() {
    let (disk, _file) = disk_with(UNIT, 1);
    for name in ["a", "b"] {
        let file = disk.open(name, Access::Create).unwrap();
        file.write_durable(&blocks(2, 1), 0, Site::Group).unwrap();
    }
    let names: BTreeSet<_> = at_the_end(&disk).iter().map(Image::names).collect();
    let all = [vec!["f"], vec!["a", "f"], vec!["b", "f"], vec!["a", "b", "f"]];
    let all: BTreeSet<Vec<String>> =
        all.iter().map(|names| names.iter().map(ToString::to_string).collect()).collect();
    assert_eq!(names, all);
    disk.sync_names(Site::SegmentName).unwrap();
    let after: BTreeSet<_> = at_the_end(&disk).iter().map(Image::names).collect();
    assert_eq!(after.into_iter().collect::<Vec<_>>(), [["a", "b", "f"].map(String::from).to_vec()]);
}

#[test]
fn file_sync_does_not_keep_the_name_nor_name_sync_the_file() {
    let (disk, _file) = disk_with(UNIT, 1);
    let file = disk.open("a", Access::Create).unwrap();
    file.write_at(&blocks(2, 1), 0).unwrap();
    file.sync(Site::SnapshotBody).unwrap();
    assert!(outcomes(&disk, "a", UNIT).contains(&None));
    let file = disk.open("b", Access::Create).unwrap();
    file.write_at(&blocks(2, 1), 0).unwrap();
    disk.sync_names(Site::SnapshotName).unwrap();
    assert_eq!(outcomes(&disk, "b", UNIT), set([&[], &[0], &[2]]));
}

#[test]
fn rename_happens_whole_or_not_at_all() {
    let (disk, _file) = disk_with(UNIT, 1);
    let file = disk.open("g", Access::Create).unwrap();
    file.write_durable(&blocks(2, 1), 0, Site::SnapshotBody).unwrap();
    disk.sync_names(Site::SnapshotName).unwrap();
    disk.rename("g", "f").unwrap();
    let states: BTreeSet<_> = at_the_end(&disk)
        .iter()
        .map(|image| (image.names().join(","), image.read("f")[0]))
        .collect();
    assert_eq!(states, BTreeSet::from([("f".to_owned(), 2), ("f,g".to_owned(), 1)]));
    disk.mute(Site::SnapshotName);
    disk.sync_names(Site::SnapshotName).unwrap();
    assert_eq!(at_the_end(&disk).len(), 2);
    disk.sync_names(Site::SegmentName).unwrap();
    assert_eq!(at_the_end(&disk).len(), 1);
}

#[test]
fn removal_without_sync_may_be_undone() {
    let (disk, _file) = disk_with(UNIT, 1);
    disk.remove("f").unwrap();
    let file = disk.open("f", Access::Create).unwrap();
    file.write_durable(&blocks(2, 1), 0, Site::Group).unwrap();
    let all = set([&[1], &[2]]).into_iter().chain([None]).collect();
    assert_eq!(outcomes(&disk, "f", UNIT), all);
}

#[test]
fn directory_itself_needs_its_parents_sync() {
    let disk = FakeDisk::new(UNIT);
    disk.open("f", Access::Create).unwrap();
    disk.sync_names(Site::ControlName).unwrap();
    let exist = |disk: &FakeDisk| -> BTreeSet<bool> {
        at_the_end(disk).iter().map(Image::exists).collect()
    };
    assert_eq!(exist(&disk), BTreeSet::from([false, true]));
    disk.mute(Site::DirectoryName);
    disk.sync_parent(Site::DirectoryName).unwrap();
    assert_eq!(exist(&disk), BTreeSet::from([false, true]));
    disk.unmute(Site::DirectoryName);
    disk.sync_parent(Site::DirectoryName).unwrap();
    assert_eq!(exist(&disk), BTreeSet::from([true]));
}

#[test]
fn failed_sync_is_not_made_good_by_a_later_one() {
    let (disk, file) = disk_with(UNIT, 2);
    file.write_at(&blocks(2, 2), 0).unwrap();
    disk.fail(FaultPlan::nth_of(Call::Sync, 1, Fault::Io));
    file.sync(Site::SegmentBody).unwrap_err();
    file.sync(Site::SegmentBody).unwrap();
    let all = set([&[1, 1], &[1, 2], &[2, 1], &[2, 2]]);
    assert_eq!(outcomes(&disk, "f", UNIT), all);
    // What is written again can be flushed again.
    file.write_at(&blocks(3, 1), 4096).unwrap();
    file.sync(Site::SegmentBody).unwrap();
    assert_eq!(outcomes(&disk, "f", UNIT), set([&[1, 3], &[2, 3]]));
}

/// What a failed flush has left is decided by the first look past the page cache, which goes on to
/// show what it showed; writing it once more makes it durable.
#[test]
fn read_past_the_page_cache_sees_what_crashes_leave() {
    let mut seen = BTreeSet::new();
    for nth in 0..40_u64 {
        let (disk, file) = disk_with(UNIT, 2);
        (0..nth).for_each(|mark| disk.mark(mark));
        file.write_at(&blocks(2, 2), 0).unwrap();
        disk.fail(FaultPlan::nth_of(Call::Sync, 1, Fault::Io));
        file.sync(Site::Group).unwrap_err();
        file.sync(Site::Group).unwrap();
        let mut device = blocks(9, 2);
        assert!(file.read_around(&mut device, 0).unwrap());
        let mut again = blocks(9, 2);
        assert!(file.read_around(&mut again, 0).unwrap());
        assert_eq!(device[..], again[..]);
        let mut cached = [0; 8192];
        file.read_at(&mut cached, 0).unwrap();
        assert_eq!(cached, [2; 8192]);
        let firsts: Vec<u8> = device.chunks(UNIT).map(|unit| unit[0]).collect();
        assert_eq!(outcomes(&disk, "f", UNIT), set([&firsts]));
        seen.insert(firsts);
        file.write_durable(&blocks(2, 2), 0, Site::Group).unwrap();
        assert_eq!(outcomes(&disk, "f", UNIT), set([&[2, 2]]));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn failed_sync_of_names_is_not_made_good_by_a_later_one() {
    let (disk, _file) = disk_with(UNIT, 1);
    disk.open("a", Access::Create).unwrap();
    disk.fail(FaultPlan::nth_of(Call::SyncNames, 1, Fault::Io));
    disk.sync_names(Site::SegmentName).unwrap_err();
    disk.sync_names(Site::SegmentName).unwrap();
    assert_eq!(outcomes(&disk, "a", UNIT).len(), 2);
    disk.remove("a").unwrap();
    disk.sync_names(Site::SegmentName).unwrap();
    assert_eq!(outcomes(&disk, "a", UNIT), BTreeSet::from([None]));
}

#[test]
fn failed_durable_write_leaves_some_units_and_stays_in_doubt() {
    let (disk, file) = disk_with(UNIT, 16);
    disk.fail(FaultPlan::nth_of(Call::WriteDurable, 1, Fault::Io));
    let error = file.write_durable(&blocks(2, 16), 0, Site::Group).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    let seen = disk.image().read("f");
    assert!(seen.contains(&1) && seen.contains(&2));
    file.sync(Site::SegmentBody).unwrap();
    assert!(outcomes(&disk, "f", UNIT).contains(&Some(vec![1; 16])));
    assert!(outcomes(&disk, "f", UNIT).len() > 4);
}

#[test]
fn interruptions_and_short_calls_are_absorbed() {
    for fault in [Fault::Interrupted, Fault::Short] {
        let count = {
            let disk = FakeDisk::new(512);
            every_call(&disk).unwrap();
            disk.calls(None)
        };
        for nth in 1..=count {
            let disk = FakeDisk::new(512);
            disk.fail(FaultPlan::nth(nth, fault));
            every_call(&disk).unwrap_or_else(|error| panic!("{fault:?} {nth}: {error}"));
        }
    }
}

#[test]
fn every_call_can_fail() {
    let clean = FakeDisk::new(512);
    every_call(&clean).unwrap();
    for call in Call::ALL {
        assert!(clean.calls(Some(call)) > 0, "{call:?}");
    }
    for nth in 1..=clean.calls(None) {
        let disk = FakeDisk::new(512);
        disk.fail(FaultPlan::nth(nth, Fault::Full));
        let error = every_call(&disk).expect_err("one call failed");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{nth}");
    }
}

/// Calls everything once, and checks what it did.
fn every_call(disk: &FakeDisk) -> io::Result<()> {
    let file = disk.open("f", Access::Create)?;
    file.try_lock(true)?;
    file.write_at(b"abcdefgh", 8190)?;
    file.write_around(&blocks(2, 2), 8 * 4096)?;
    file.write_durable(&blocks(3, 1), 4096, Site::Group)?;
    file.sync(Site::Group)?;
    file.set_len(20 * 4096)?;
    file.allocate(0, 22 * 4096)?;
    file.punch(8 * 4096, 4096)?;
    let mut bytes = [0; 10];
    assert_eq!(file.read_at(&mut bytes, 8189)?, 10);
    assert_eq!(&bytes, b"\x03\x03\x03cdefgh\0");
    assert_eq!(file.map(22 * 4096)?[9 * 4096], 2);
    assert_eq!(file.next_data(3 * 4096)?, Some(9 * 4096));
    assert_eq!((file.len()?, file.modified()?), (22 * 4096, disk.list()?[0].modified));
    file.unlock()?;
    disk.rename("f", "g")?;
    assert!(disk.handle("g")?.is_some());
    assert!(disk.space()?.free > 0 && disk.mode()? == 0o700);
    disk.sync_names(Site::SegmentName)?;
    disk.sync_parent(Site::DirectoryName)?;
    disk.remove("g")
}

#[test]
fn dead_disk_stays_dead_until_healed() {
    let (disk, file) = disk_with(UNIT, 1);
    disk.fail(FaultPlan::nth(2, Fault::Io).forever());
    file.len().unwrap();
    for _ in 0..3 {
        file.len().unwrap_err();
        disk.sync_names(Site::SegmentName).unwrap_err();
    }
    disk.heal();
    file.len().unwrap();
}

#[test]
fn room_runs_out_and_comes_back() {
    let (disk, file) = disk_with(UNIT, 1);
    let full = io::ErrorKind::StorageFull;
    disk.set_room(Some(2 * 4096 + 100));
    assert_eq!(file.allocate(0, 4 * 4096).unwrap_err().kind(), full);
    file.allocate(0, 2 * 4096).unwrap();
    assert_eq!(disk.space().unwrap().free, 4096 + 100);
    assert_eq!(file.write_at(&blocks(2, 4), 0).unwrap_err().kind(), full);
    assert_eq!(file.len().unwrap(), 3 * 4096, "what fitted was written");
    // Room that was made before is there.
    file.write_durable(&blocks(3, 2), 0, Site::Group).unwrap();
    file.punch(0, 4096).unwrap();
    file.write_at(&blocks(2, 1), 3 * 4096).unwrap();
    disk.remove("f").unwrap();
    assert_eq!(disk.space().unwrap().free, 4 * 4096 + 100 - 4096);
}

#[test]
fn locks_exclude_other_handles_until_they_close() {
    let (disk, first) = disk_with(UNIT, 1);
    let second = disk.open("f", Access::Write).unwrap();
    let reader = disk.open("f", Access::Read).unwrap();
    let would_block = io::ErrorKind::WouldBlock;
    first.try_lock(true).unwrap();
    first.try_lock(true).unwrap();
    assert!(!first.is_locked().unwrap() && reader.is_locked().unwrap());
    assert_eq!(second.try_lock(true).unwrap_err().kind(), would_block);
    assert_eq!(reader.try_lock(false).unwrap_err().kind(), would_block);
    first.unlock().unwrap();
    reader.try_lock(false).unwrap();
    first.try_lock(false).unwrap();
    assert_eq!(first.try_lock(true).unwrap_err().kind(), would_block);
    assert!(reader.is_locked().unwrap(), "a lock that cannot be raised stays");
    drop(reader);
    first.try_lock(true).unwrap();
    drop(first);
    assert!(!second.is_locked().unwrap());
    let reader = disk.open("f", Access::Read).unwrap();
    let error = reader.try_lock(true).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADF), "who may not write cannot exclude");
}

#[test]
fn reading_handle_cannot_write() {
    let (disk, _file) = disk_with(UNIT, 1);
    let file = disk.open("f", Access::Read).unwrap();
    file.write_at(b"x", 0).unwrap_err();
    file.write_durable(&blocks(2, 1), 0, Site::Group).unwrap_err();
    file.set_len(0).unwrap_err();
    file.punch(0, 4096).unwrap_err();
    assert_eq!(disk.image().read("f"), vec![1; 4096]);
}

#[test]
fn handles_outlive_reboots_and_renames_but_not_copies() {
    let (disk, _file) = disk_with(UNIT, 1);
    let handle = disk.handle("f").unwrap();
    assert_eq!(FakeDisk::from_image(&disk.image()).handle("f").unwrap(), handle);
    assert_ne!(FakeDisk::from_image(&disk.image().copy()).handle("f").unwrap(), handle);
    let mut image = disk.image();
    image.take(&disk.image(), "f");
    assert_ne!(FakeDisk::from_image(&image).handle("f").unwrap(), handle);
    disk.rename("f", "g").unwrap();
    assert_eq!(disk.handle("g").unwrap(), handle);
    disk.set_handles(false);
    assert_eq!(disk.handle("g").unwrap(), None);
}

#[test]
fn acknowledged_is_the_greatest_marker_before_the_crash() {
    let (disk, file) = disk_with(UNIT, 1);
    for number in 1..4_u8 {
        file.write_durable(&blocks(number + 1, 1), 0, Site::Group).unwrap();
        disk.mark(u64::from(number));
    }
    let mut most = 0;
    for crash in Crashes::new(4, 1).over(&disk) {
        let found = u64::from(crash.image.read("f")[0] - 1);
        assert!(found >= crash.acknowledged.unwrap_or(0), "{crash:?}");
        most = most.max(crash.acknowledged.unwrap_or(0));
    }
    assert_eq!(most, 3);
}

/// A state that was harmless before an acknowledgement is a loss after it: it must come again.
#[test]
fn muted_group_sync_is_caught_though_its_state_was_seen_before() {
    let (disk, file) = disk_with(UNIT, 1);
    disk.mute(Site::Group);
    file.write_durable(&blocks(2, 1), 0, Site::Group).unwrap();
    disk.mark(1);
    let crashes = Crashes::new(0, 1);
    let lost = crashes
        .over(&disk)
        .filter(|crash| crash.acknowledged == Some(1) && crash.image.read("f")[0] == 1);
    assert_eq!(lost.count(), 1);
    assert_eq!(crashes.unique(), 2);
    assert_eq!(crashes.clone().over(&disk).count(), 0, "clones share what they have seen");
}

#[test]
fn same_calls_give_the_same_crashes() {
    let run = || {
        let disk = FakeDisk::new(512);
        disk.fail(FaultPlan::nth_of(Call::WriteDurable, 1, Fault::Short));
        every_call(&disk).unwrap();
        let crashes = Crashes::new(16, 7).over(&disk);
        crashes.map(|crash| (crash.point, crash.image.digest())).collect::<Vec<_>>()
    };
    let first = run();
    assert!(first.len() > 100, "{}", first.len());
    assert_eq!(first, run());
}

#[test]
fn everything_and_nothing_are_what_programs_saw_and_what_was_synced() {
    let (disk, file) = disk_with(512, 4);
    let before = disk.image().digest();
    file.write_at(&[7; 5000], 300).unwrap();
    file.set_len(9000).unwrap();
    file.write_at(&[8; 700], 10_000).unwrap();
    disk.open("new", Access::Create).unwrap().write_at(b"abc", 0).unwrap();
    disk.rename("f", "h").unwrap();
    let last = disk.crash_points() - 1;
    let crashes: Vec<Crash> = Crashes::new(0, 0).within(&disk, last..last + 1).collect();
    let of = |survivors| {
        let found = crashes.iter().find(|crash| crash.survivors == survivors);
        found.expect("a case of its own").image.digest()
    };
    assert_eq!(of(Survivors::Everything), disk.image().digest());
    assert_eq!(of(Survivors::Nothing), before);
}

#[test]
fn damage_hits_what_it_names_and_nothing_else() {
    let (disk, file) = disk_with(512, 2);
    file.write_at(&[2; 512], 512).unwrap();
    let whole = disk.image();
    let mut image = whole.clone();
    image.flip_bit("f", 8 * 700 + 3);
    assert_eq!(image.read("f")[700], 2 ^ 8);
    image.flip_bit("f", 8 * 700 + 3);
    assert_eq!(image.digest(), whole.digest());
    image.swap_sectors("f", 0, 1);
    assert_eq!((image.read("f")[0], image.read("f")[512]), (2, 1));
    image.zero("f", 0..512);
    assert_eq!(image.sector("f", 0), [0; 512]);
    image.truncate("f", 600);
    assert_eq!(image.len("f"), 600);
    image.write("f", 598, b"abcd");
    assert_eq!(&image.read("f")[597..], b"\x01abcd");
    image.rename("f", "g");
    assert_eq!(image.modified("g"), whole.modified("f"));
    image.put("f", b"other", Nanos(5));
    assert_eq!((image.names(), image.read("f")), (vec!["f".into(), "g".into()], b"other".into()));
    image.remove("f");
    image.remove("g");
    assert!(image.is_empty() && !whole.is_empty());
    let mut copy = whole.empty_copy();
    copy.take(&whole, "f");
    copy.set_modified("f", Nanos(7));
    assert_eq!((copy.digest(), copy.modified("f")), (whole.digest(), Nanos(7)));
}

#[test]
fn clock_moves_with_changes_only() {
    let (disk, file) = disk_with(UNIT, 1);
    disk.set_clock(Nanos(1_000_000_000));
    file.write_at(b"x", 0).unwrap();
    assert_eq!(file.modified().unwrap(), Nanos(1_000_000_000));
    file.len().unwrap();
    assert_eq!(disk.clock(), Nanos(1_001_000_000));
    let rebooted = FakeDisk::from_image(&disk.image());
    assert_eq!(rebooted.list().unwrap()[0].modified, Nanos(1_000_000_000));
}

/// Groups beside writes that nobody flushes, in a file of a megabyte.
#[test]
fn flushed_groups_are_whole_in_every_one_of_thousands_of_states() {
    let (disk, file) = disk_with(512, 256);
    for number in 0..20 {
        file.write_at(&[7; 3000], (number + 1) * 17_000).unwrap();
        file.write_durable(&blocks(9, 2), number * 8192, Site::Group).unwrap();
        disk.mark(number + 1);
    }
    let crashes = Crashes::new(8, 3);
    for crash in crashes.over(&disk) {
        let groups = usize::try_from(crash.acknowledged.unwrap_or(0)).unwrap();
        let bytes = crash.image.read("f");
        assert!(bytes[..groups * 8192].iter().all(|byte| *byte == 9), "{crash:?}");
    }
    assert!(crashes.unique() > 2000, "{}", crashes.unique());
}

/// One random call; what it answered.
fn random_call(random: &mut Random, disk: &dyn Disk) -> String {
    let names = ["a", "b", "c"];
    let name = names[random.below(3) as usize];
    let (block, byte) = (random.below(12) * 4096, random.below(256) as u8);
    let (offset, len) = (random.below(50_000), random.below(9_000));
    let choice = random.below(10);
    let bytes = blocks(byte, 1 + random.below(3) as usize);
    if choice < 2 {
        let access = if choice == 0 { Access::Create } else { Access::Read };
        return format!("{:?}", disk.open(name, access).map(|_| ()).map_err(|e| e.kind()));
    }
    if choice < 4 {
        let to = names[len as usize % 3];
        let outcome =
            if choice == 2 && len < 1000 { disk.remove(name) } else { disk.rename(name, to) };
        return format!("{:?}", outcome.map_err(|e| e.kind()));
    }
    let Ok(file) = disk.open(name, Access::Write) else { return "none".into() };
    let outcome = match choice {
        4 => file.write_at(&bytes[..len as usize % bytes.len()], offset),
        5 => file.write_around(&bytes, block),
        6 => file.write_durable(&bytes, block, Site::Group),
        7 => file.set_len(offset),
        8 => file.punch(offset, len + 1),
        _ => file.allocate(offset, len + 1),
    };
    let mut all = vec![0; 100_000];
    let count = file.read_at(&mut all, len).unwrap();
    let digest = blake3::hash(&all[..count]);
    format!("{:?} {} {count} {digest}", outcome.map_err(|e| e.kind()), file.len().unwrap())
}

#[test]
fn fake_disk_answers_as_a_real_one() {
    let parent = tempfile::tempdir().unwrap();
    let real = Real::create(parent.path().join("state")).unwrap();
    let fake = FakeDisk::new(512);
    let mut random = Random::new(11);
    for step in 0..2000 {
        let mut again = random.clone();
        let expected = random_call(&mut random, &real);
        assert_eq!(random_call(&mut again, &fake), expected, "step {step}");
    }
}
