//! Tags, and the deletions that an operator asks for: whenever power goes or the process dies, the
//! newest state is there, a tag is there or not, and what is left of the history is right.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::frail::Frail;
use common::model::{Model, dump};
use common::past::{Life, killed, unharmed};
use common::{fake_disk, shared, tiny};
use statedir::base::{Epoch, Local, Lsn, Nanos};
use statedir::disk::fake::{Crash, Crashes, FakeDisk, Image};
use statedir::disk::{Access, Disk, Site};
use statedir::store::directory::Directory;
use statedir::store::tags::{self, TagError};
use statedir::store::{ReadError, thin};
use statedir::{Options, Reader, Store};
use std::sync::Arc;
use std::time::Duration;

/// Random choices of what survives, at each moment.
const RANDOM: u64 = 60;

/// A closed store with four snapshots and saves between and behind them, and what it holds.
fn lived_in() -> Life {
    let disk = fake_disk(512);
    Store::create_on(&disk).unwrap();
    let store = Store::open_on(shared(&disk), tiny(&disk), Arc::new(Local)).unwrap();
    let mut life = Life::begin(&disk);
    for _ in 1..=22 {
        let lsn = life.save(&disk, &store);
        if lsn.0.is_multiple_of(5) {
            store.checkpoint().unwrap();
        }
    }
    store.close().unwrap();
    life.image = disk.image();
    life
}

/// The ids of the snapshots, oldest first.
fn snapshots(disk: &dyn Disk) -> Vec<(Epoch, Lsn)> {
    let directory = Directory::read(disk).unwrap();
    thin::retained(&directory).iter().map(|s| (s.epoch, s.lsn)).collect()
}

/// Plays `act` on `image` and hands every state that a power cut could leave to `judge`. What `act`
/// marks is acknowledged.
fn power_cuts(image: &Image, act: impl Fn(&FakeDisk), judge: impl Fn(&Crash)) -> u64 {
    let disk = FakeDisk::from_image(image);
    act(&disk);
    let mut states = 0;
    for crash in Crashes::new(RANDOM, 9).over(&disk) {
        judge(&crash);
        states += 1;
    }
    states
}

/// Plays `act` in processes that die at each of its steps, and judges what is left.
fn kills(image: &Image, act: impl Fn(Arc<dyn Disk>), judge: impl Fn(&FakeDisk)) -> u64 {
    for step in 1.. {
        let disk = FakeDisk::from_image(image);
        let process = Frail::new(shared(&disk), step);
        act(Arc::new(process.clone()));
        judge(&disk);
        if !process.is_dead() {
            return step;
        }
    }
    unreachable!("every act ends")
}

/// The tag reads as the state that was tagged.
fn tagged(disk: &FakeDisk, name: &str, model: &Model) -> bool {
    let reader = Reader::open_on(shared(disk)).unwrap();
    let Some(facts) = tags::find(reader.directory(), name) else { return false };
    let view = tags::view(disk, reader.control().cluster, &facts.tag).unwrap();
    assert!(dump(&view).unwrap() == *model.after(view.lsn().0));
    true
}

#[test]
fn a_tag_that_was_made_is_there_whenever_power_goes_and_harms_nothing() {
    let life = lived_in();
    let image = &life.image;
    let (epoch, lsn) = snapshots(&FakeDisk::from_image(image))[1];
    let act = |disk: &FakeDisk| {
        tags::tag(disk, epoch, lsn, "pre-upgrade").unwrap();
        disk.mark(1);
    };
    let states = power_cuts(image, act, |crash| {
        let disk = FakeDisk::from_image(&crash.image);
        let there = tagged(&disk, "pre-upgrade", &life.model);
        assert!(there || crash.acknowledged.is_none(), "{:?}", crash.survivors);
        unharmed(&disk, &life);
    });
    assert!(states >= 3, "{states}");
    let killed = |disk: Arc<dyn Disk>| drop(tags::tag(disk.as_ref(), epoch, lsn, "t"));
    let steps = kills(image, killed, |disk| {
        tagged(disk, "t", &life.model);
        unharmed(disk, &life);
    });
    assert!(steps >= 3, "flush, link, sync of names: {steps}");
}

#[test]
fn without_its_sync_a_tag_is_lost() {
    let life = lived_in();
    let image = &life.image;
    let (epoch, lsn) = snapshots(&FakeDisk::from_image(image))[1];
    let disk = FakeDisk::from_image(image);
    disk.mute(Site::SnapshotName);
    tags::tag(&disk, epoch, lsn, "t").unwrap();
    disk.mark(1);
    let mut crashes = Crashes::new(RANDOM, 9).over(&disk);
    let lost = crashes.any(|crash| {
        let names = crash.image.names();
        crash.acknowledged == Some(1) && !names.iter().any(|name| name.starts_with("tag-"))
    });
    assert!(lost, "the test would not notice a missing sync");
}

#[test]
fn a_tag_outlives_its_snapshot_and_goes_when_it_is_removed() {
    let life = lived_in();
    let image = &life.image;
    let disk = FakeDisk::from_image(image);
    let (epoch, lsn) = snapshots(&disk)[1];
    tags::tag(&disk, epoch, lsn, "kept").unwrap();
    let options = Options { snapshot_min_bytes: 1, ..tiny(&disk).without_history() };
    let store = Store::open_on(shared(&disk), options, Arc::new(Local)).unwrap();
    store.checkpoint().unwrap();
    store.prune().unwrap();
    store.close().unwrap();
    assert_eq!(snapshots(&disk).len(), 1, "retention has taken the others");
    assert!(tagged(&disk, "kept", &life.model));
    unharmed(&disk, &life);
    let before = disk.image();
    let act = |disk: &FakeDisk| {
        tags::untag(disk, "kept").unwrap();
        disk.mark(1);
    };
    power_cuts(&before, act, |crash| {
        let disk = FakeDisk::from_image(&crash.image);
        let there = tagged(&disk, "kept", &life.model);
        assert!(!there || crash.acknowledged.is_none());
        unharmed(&disk, &life);
    });
}

#[test]
fn tags_that_cannot_be_are_refused_and_nothing_is_made() {
    let life = lived_in();
    let image = &life.image;
    let disk = FakeDisk::from_image(image);
    let (epoch, lsn) = snapshots(&disk)[0];
    for name in ["", "a b", "a/b", ".."] {
        let made = tags::tag(&disk, epoch, lsn, name);
        let valid = name == "..";
        assert_eq!(made.is_ok(), valid, "{name}: as a part of a name dots lead nowhere");
    }
    assert!(matches!(tags::tag(&disk, epoch, Lsn(4), "x"), Err(TagError::NoSnapshot(_))));
    assert!(matches!(tags::tag(&disk, epoch, lsn, ".."), Err(TagError::Exists { .. })));
    assert!(matches!(tags::untag(&disk, "x"), Err(TagError::NoTag(_))));
    let names = disk.image().names();
    assert_eq!(names.iter().filter(|name| name.starts_with("tag-")).count(), 1, "{names:?}");
    // A damaged snapshot is not kept as if it were sound.
    let (epoch, lsn) = snapshots(&disk)[2];
    let name = statedir::format::FileName::Snapshot { epoch, lsn }.to_string();
    disk.open(&name, Access::Write).unwrap().write_at(&[0xa5; 16], 5000).unwrap();
    assert!(matches!(tags::tag(&disk, epoch, lsn, "bad"), Err(TagError::Snapshot(_))));
}

/// All snapshots but the newest go, and the log that only they need.
fn prune(disk: &dyn Disk, keep: &[usize]) -> Result<usize, ReadError> {
    let directory = Directory::read(disk)?;
    let all = thin::retained(&directory);
    let gone = all.iter().enumerate().filter(|(at, _)| !keep.contains(at));
    let gone: Vec<_> = gone.map(|(_, s)| (s.epoch, s.lsn)).collect();
    let later = Nanos(u64::MAX);
    let files = thin::files(&directory, &gone, later, Duration::from_secs(900));
    thin::remove(disk, files).map(|gone| gone.len())
}

#[test]
fn prune_costs_only_history_wherever_it_is_cut_short() {
    let lives = [lived_in(), killed(&[3; 6], 4)];
    let keeps = [&[][..], &[0], &[1], &[2], &[1, 2]];
    for (life, keep) in lives.iter().flat_map(|life| keeps.map(|keep| (life, keep))) {
        let image = &life.image;
        let act = |disk: &FakeDisk| {
            let gone = prune(disk, keep).unwrap();
            disk.mark(gone as u64);
        };
        let left: Vec<_> = (0..4).filter(|at| keep.contains(at) || *at == 3).collect();
        let all = snapshots(&FakeDisk::from_image(image));
        let states = power_cuts(image, act, |crash| {
            let disk = FakeDisk::from_image(&crash.image);
            let found = snapshots(&disk);
            assert!(left.iter().all(|at| found.contains(&all[*at])), "what is kept stays");
            assert!(crash.acknowledged.is_none() || found.len() == left.len());
            unharmed(&disk, life);
        });
        let act = |disk: Arc<dyn Disk>| drop(prune(disk.as_ref(), keep));
        let steps = kills(image, act, |disk| unharmed(disk, life));
        println!("keeping {keep:?}: {states} states, {steps} steps");
        assert!(states > 5 && steps > 2, "keeping {keep:?}: {states} states, {steps} steps");
    }
}

#[test]
fn compact_costs_only_history_wherever_it_is_cut_short() {
    for life in [lived_in(), killed(&[3; 6], 4)] {
        compact_is_cut_short(&life);
    }
}

fn compact_is_cut_short(life: &Life) {
    let image = &life.image;
    let compact = |disk: Arc<dyn Disk>, clock: &FakeDisk| {
        let options = tiny(clock).without_history();
        let Ok(store) = Store::open_on(disk, options, Arc::new(Local)) else { return };
        if store.checkpoint().is_ok() && store.prune().is_ok() {
            drop(store.close());
        }
    };
    let disk = FakeDisk::from_image(image);
    let states = power_cuts(
        image,
        |disk| compact(shared(disk), disk),
        |crash| {
            unharmed(&FakeDisk::from_image(&crash.image), life);
        },
    );
    let steps = kills(image, |process| compact(process, &disk), |disk| unharmed(disk, life));
    println!("compact: {states} states, {steps} steps");
    assert!(states > 100 && steps > 10, "{states} states, {steps} steps");
}

#[test]
fn what_a_reader_pins_stays() {
    let life = lived_in();
    let image = &life.image;
    let disk = FakeDisk::from_image(image);
    let pinned = Directory::read(&disk).unwrap().snapshots[1].name();
    let file = disk.open(&pinned, Access::Read).unwrap();
    file.try_lock(false).unwrap();
    prune(&disk, &[]).unwrap();
    assert!(disk.image().names().contains(&pinned));
    assert_eq!(snapshots(&disk).len(), 2);
    unharmed(&disk, &life);
    drop(file);
    prune(&disk, &[]).unwrap();
    assert_eq!(snapshots(&disk).len(), 1);
}

#[test]
fn a_damaged_newest_snapshot_keeps_the_others() {
    let life = lived_in();
    let image = &life.image;
    let disk = FakeDisk::from_image(image);
    let newest = Directory::read(&disk).unwrap().snapshots.last().unwrap().name();
    disk.open(&newest, Access::Write).unwrap().write_at(&[0xa5; 16], 5000).unwrap();
    assert!(matches!(prune(&disk, &[]), Err(ReadError::Snapshot(_))));
    assert_eq!(snapshots(&disk).len(), 4);
    let reader = Reader::open_on(shared(&disk)).unwrap();
    assert!(dump(reader.view()).unwrap() == *life.model.newest(), "an older one stands in for it");
}

#[test]
fn log_that_a_copier_may_still_want_stays() {
    let life = lived_in();
    let image = &life.image;
    let disk = FakeDisk::from_image(image);
    let directory = Directory::read(&disk).unwrap();
    let all = thin::retained(&directory);
    let gone: Vec<_> = all.iter().map(|s| (s.epoch, s.lsn)).collect();
    let made = all.last().unwrap().header.made;
    let age = Duration::from_secs(900);
    let young = thin::files(&directory, &gone, Nanos(made.0 + 1), age);
    assert_eq!(young.len(), 3, "only the snapshots: {young:?}");
    let old = thin::files(&directory, &gone, Nanos(made.0 + 900_000_000_000), age);
    assert!(old.len() > 5, "{old:?}");
    assert!(old.iter().skip(3).all(|file| file.name.starts_with("log-")), "snapshots go first");
}
