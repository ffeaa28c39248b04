//! Backups as an operator relies on them: every point in time of a day comes back, and a restored
//! store goes on as one of its own.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::model::{Model, batch, changes, dump};
use common::random::Random;
use common::{fake_disk, shared, tiny};
use statedir::base::{Epoch, Local, Lsn, Nanos};
use statedir::disk::Disk;
use statedir::disk::fake::FakeDisk;
use statedir::export::{
    Backup, Done, ExportError, Hold, Kind, Opened, Repository, backup_on, restore_on,
};
use statedir::format::FileName;
use statedir::store::{At, Extract, ReadError};
use statedir::{Options, Reader, Store};
use std::sync::Arc;
use std::time::Duration;

const HOUR: u64 = 3_600_000_000_000;

fn wanted(disk: &FakeDisk, incremental: bool) -> Backup {
    Backup { incremental, now: disk.clock(), ..Backup::default() }
}

fn back_up(source: &FakeDisk, repository: &FakeDisk, incremental: bool) -> Done {
    let repository = Repository::create(shared(repository)).unwrap();
    backup_on(&shared(source), &repository, &wanted(source, incremental), &mut |_| {}).unwrap()
}

fn open(repository: &FakeDisk, which: usize) -> Opened {
    let held = Repository::open(shared(repository), Hold::Read).unwrap();
    let manifest = held.list().unwrap().remove(which).manifest.unwrap();
    Opened::open(held.disk().as_ref(), manifest, &mut |_| {}).unwrap()
}

/// The state that comes back from a backup.
fn restored(opened: &Opened, at: Option<At>) -> Result<(FakeDisk, Lsn), ExportError> {
    let target = fake_disk(4096);
    let now = target.clock();
    let done = restore_on(opened, &shared(&target), at, Epoch(0), now, &mut |_| {})?;
    Ok((target, done.lsn))
}

fn state(disk: &FakeDisk) -> common::model::State {
    dump(Reader::open_on(shared(disk)).unwrap().view()).unwrap()
}

fn at_times(source: &FakeDisk) -> Options {
    Options {
        history: Duration::from_secs(2 * 3600),
        history_ratio: 1e6,
        retain_min_age: Duration::ZERO,
        ..tiny(source)
    }
}

/// A store that is written for a day, and backed up every half an hour; the model, and when each
/// save was.
fn day(source: &FakeDisk, repository: &FakeDisk, saves: u64) -> (Model, Vec<Nanos>, Vec<Done>) {
    let mut random = Random::new(20_261_125);
    let mut model = Model::new();
    let mut times = vec![Nanos::default()];
    let mut backups = Vec::new();
    let dawn = source.clock().0;
    Store::create_on(source).unwrap();
    let mut store = Store::open_on(shared(source), at_times(source), Arc::new(Local)).unwrap();
    for number in 1..=saves {
        source.set_clock(Nanos((dawn + 24 * HOUR * number / saves).max(source.clock().0)));
        let size = random.index(900);
        let change = changes(number, size);
        store.save(batch(&change)).unwrap();
        model.push(&change);
        times.push(store.view().time());
        if random.below(40) == 0 {
            store.checkpoint().unwrap();
        }
        if random.below(300) == 0 {
            store.close().unwrap();
            store = Store::open_on(shared(source), at_times(source), Arc::new(Local)).unwrap();
        }
        if number % (saves / 48) == 0 {
            store.maintain().unwrap();
            backups.push(back_up(source, repository, true));
        }
    }
    store.close().unwrap();
    (model, times, backups)
}

#[test]
fn a_day_of_incremental_backups_gives_back_the_state_at_every_lsn_and_time() {
    let (source, repository) = (fake_disk(4096), fake_disk(4096));
    let (model, times, backups) = day(&source, &repository, 4800);
    let fulls = backups.iter().filter(|done| done.kind != Kind::Incremental).count();
    assert!(fulls <= 2, "{fulls} of {} backups were full ones", backups.len());
    let last = open(&repository, backups.len() - 1);
    let (from, to) = (last.manifest.from.0, last.manifest.end.lsn);
    assert_eq!((from, to), (Lsn::ZERO, Lsn(model.saves())));
    let mut random = Random::new(1);
    for _ in 0..1000 {
        let lsn = random.below(model.saves() + 1);
        let (target, reached) = restored(&last, Some(At::Lsn(Lsn(lsn)))).unwrap();
        assert_eq!(reached, Lsn(lsn));
        assert!(state(&target) == *model.after(lsn), "at lsn {lsn}");
    }
    for _ in 0..100 {
        let time = Nanos(times[1].0 + random.below(24 * HOUR));
        let expected = times.iter().rposition(|saved| *saved <= time).unwrap() as u64;
        let (target, reached) = restored(&last, Some(At::Time(time))).unwrap();
        assert_eq!(reached, Lsn(expected), "at {time:?}");
        assert!(state(&target) == *model.after(expected));
    }
}

#[test]
fn every_backup_of_the_day_is_whole_by_itself() {
    let (source, repository) = (fake_disk(4096), fake_disk(4096));
    let (model, _, backups) = day(&source, &repository, 480);
    for (which, done) in backups.iter().enumerate() {
        let opened = open(&repository, which);
        let (target, lsn) = restored(&opened, None).unwrap();
        assert_eq!(lsn, done.manifest.end.lsn);
        assert!(state(&target) == *model.after(lsn.0));
    }
    // All but the newest and one from the middle go: these two lose nothing.
    let held = Repository::open(shared(&repository), Hold::Change).unwrap();
    let mut ids: Vec<_> = held.list().unwrap().into_iter().map(|listed| listed.id).collect();
    let kept = [ids.remove(ids.len() - 1), ids.remove(ids.len() / 2)];
    held.remove(&ids).unwrap();
    drop(held);
    for opened in [open(&repository, 0), open(&repository, 1)] {
        assert!(kept.contains(&opened.manifest.id));
        let (target, lsn) = restored(&opened, None).unwrap();
        assert!(state(&target) == *model.after(lsn.0));
    }
}

#[test]
fn an_incremental_backup_writes_what_is_new_densely_and_no_more() {
    let (source, repository) = (fake_disk(4096), fake_disk(4096));
    Store::create_on(&source).unwrap();
    let store = Store::open_on(shared(&source), at_times(&source), Arc::new(Local)).unwrap();
    for number in 1..=50 {
        store.save(batch(&changes(number, 1000))).unwrap();
    }
    store.maintain().unwrap();
    back_up(&source, &repository, true);
    let before = store.progress().log_bytes;
    let mut encoded = 0;
    for number in 51..=150 {
        let batch = batch(&changes(number, 100));
        encoded += batch.clone().encode().len() as u64;
        store.save(batch).unwrap();
    }
    store.maintain().unwrap();
    let done = back_up(&source, &repository, true);
    assert_eq!(done.kind, Kind::Incremental);
    assert_eq!(done.written, 68 + encoded + 100 * 72, "a header, the saves, a header for each");
    assert!(store.progress().log_bytes - before >= 100 * 4096, "the log pads each of them");
    let again = back_up(&source, &repository, true);
    assert_eq!((again.kind, again.written), (Kind::Incremental, 0), "nothing is new");
}

#[test]
fn what_is_asked_for_outside_of_a_backup_is_refused_with_the_range() {
    let (source, repository) = (fake_disk(4096), fake_disk(4096));
    day(&source, &repository, 96);
    let opened = open(&repository, 47);
    for at in [At::Lsn(Lsn(97)), At::Time(Nanos(opened.manifest.made.0 + 1))] {
        let error = restored(&opened, Some(at)).unwrap_err();
        let ExportError::OutOfRange { oldest, newest } = error else { panic!("{error}") };
        assert_eq!((oldest.0, newest.0), (Lsn::ZERO, Lsn(96)));
    }
}

#[test]
fn a_restored_store_is_nobody_elses_and_goes_on() {
    let (source, repository) = (fake_disk(4096), fake_disk(4096));
    let (model, ..) = day(&source, &repository, 96);
    let opened = open(&repository, 47);
    let target = fake_disk(4096);
    target.set_clock(Nanos(source.clock().0 + HOUR));
    let now = target.clock();
    let at = Some(At::Lsn(Lsn(50)));
    let done = restore_on(&opened, &shared(&target), at, Epoch(0), now, &mut |_| {}).unwrap();
    let original = Reader::open_on(shared(&source)).unwrap();
    assert_ne!(done.incarnation, original.control().incarnation);
    assert!(done.epoch > original.control().epoch);
    let mut model = model;
    model.truncate(50);
    for round in 0..3 {
        let store = Store::open_on(shared(&target), tiny(&target), Arc::new(Local)).unwrap();
        assert!(store.epoch() > done.epoch);
        assert_eq!(store.incarnation(), done.incarnation);
        let number = 51 + round;
        assert_eq!(store.save(batch(&changes(number, 300))).unwrap(), Lsn(number));
        model.push(&changes(number, 300));
        if round == 1 {
            store.checkpoint().unwrap();
        }
        store.close().unwrap();
        assert!(state(&target) == *model.newest());
    }
    // It is backed up in its own right: the backups of the original are not gone on from.
    let done = back_up(&target, &repository, true);
    assert!(matches!(done.kind, Kind::Full(Some(_))), "{:?}", done.kind);
    let (back, _) = restored(&open(&repository, 48), None).unwrap();
    assert!(state(&back) == *model.newest());
}

#[test]
fn an_empty_store_comes_back_empty() {
    let (source, repository) = (fake_disk(4096), fake_disk(4096));
    Store::create_on(&source).unwrap();
    back_up(&source, &repository, false);
    let (target, lsn) = restored(&open(&repository, 0), None).unwrap();
    assert_eq!((lsn, state(&target).len()), (Lsn::ZERO, 0));
    let store = Store::open_on(shared(&target), tiny(&target), Arc::new(Local)).unwrap();
    store.save(batch(&changes(1, 10))).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
}

#[test]
fn a_backup_of_a_store_that_has_just_been_opened_is_gone_on_from() {
    let (source, repository) = (fake_disk(4096), fake_disk(4096));
    Store::create_on(&source).unwrap();
    let before = back_up(&source, &repository, true);
    assert!(matches!(before.kind, Kind::Full(_)));
    // As an open that was cut short, or is under way, leaves it: a segment without a group.
    let store = Store::open_on(shared(&source), tiny(&source), Arc::new(Local)).unwrap();
    let mut image = source.image();
    drop(store);
    let log = image.names().into_iter().find(|name| name.starts_with("log-")).unwrap();
    image.zero(&log, 4096..8192);
    let done = back_up(&FakeDisk::from_image(&image), &repository, true);
    assert_eq!((done.kind, done.manifest.end.lsn), (Kind::Incremental, Lsn::ZERO));
    let store = Store::open_on(shared(&source), tiny(&source), Arc::new(Local)).unwrap();
    store.save(batch(&changes(1, 10))).unwrap();
    store.close().unwrap();
    let done = back_up(&source, &repository, true);
    assert_eq!((done.kind, done.manifest.end.lsn), (Kind::Incremental, Lsn(1)));
    let (target, _) = restored(&open(&repository, 2), None).unwrap();
    assert!(state(&target) == state(&source));
}

#[test]
fn a_backup_goes_on_where_the_segment_that_it_ended_in_is_gone() {
    let mut went_on = 0;
    for saves in 1..=12 {
        let (source, repository) = (fake_disk(4096), fake_disk(4096));
        Store::create_on(&source).unwrap();
        let options = Options { history_ratio: 1e6, ..tiny(&source) };
        let store = Store::open_on(shared(&source), options, Arc::new(Local)).unwrap();
        let save = |number: u64| {
            store.save(batch(&changes(number, 100))).unwrap();
            store.maintain().unwrap();
        };
        (1..=saves).for_each(save);
        let ended_in = back_up(&source, &repository, true).manifest.end.segment;
        (saves + 1..=saves + 6).for_each(save);
        store.checkpoint().unwrap();
        let mut image = source.image();
        image.remove(&FileName::Segment(ended_in).to_string());
        let source = FakeDisk::from_image(&image);
        source.set_clock(Nanos(source.clock().0 + HOUR));
        let done = back_up(&source, &repository, true);
        // Only where the next segment begins right behind is nothing missing.
        went_on += u64::from(done.kind == Kind::Incremental);
        let (target, lsn) = restored(&open(&repository, 1), None).unwrap();
        assert_eq!(lsn, Lsn(saves + 6));
        assert!(state(&target) == state(&source));
    }
    assert!((1..12).contains(&went_on), "{went_on} of 12 went on");
}

#[test]
fn a_store_that_has_gone_another_way_is_not_gone_on_from() {
    let (source, repository) = (fake_disk(4096), fake_disk(4096));
    Store::create_on(&source).unwrap();
    let store = Store::open_on(shared(&source), tiny(&source), Arc::new(Local)).unwrap();
    for number in 1..=20 {
        store.save(batch(&changes(number, 100))).unwrap();
    }
    store.maintain().unwrap();
    let fork = source.image().copy();
    for number in 21..=30 {
        store.save(batch(&changes(number, 100))).unwrap();
    }
    store.close().unwrap();
    back_up(&source, &repository, false);
    // The copy has as many saves, and others.
    let fork = FakeDisk::from_image(&fork);
    let store = Store::open_on(shared(&fork), tiny(&fork), Arc::new(Local)).unwrap();
    for number in 21..=40 {
        store.save(batch(&changes(number * 3, 100))).unwrap();
    }
    store.close().unwrap();
    let done = back_up(&fork, &repository, true);
    assert!(matches!(done.kind, Kind::Full(Some(_))), "{:?}", done.kind);
    let (target, _) = restored(&open(&repository, 1), None).unwrap();
    assert!(state(&target) == state(&fork));
}

#[test]
fn pinned_files_stay_until_the_pin_goes() {
    let source = fake_disk(4096);
    Store::create_on(&source).unwrap();
    let options = tiny(&source).without_history();
    let store = Store::open_on(shared(&source), options, Arc::new(Local)).unwrap();
    let mut number = 0;
    let mut save = || {
        for _ in 0..30 {
            number += 1;
            store.save(batch(&changes(number, 500))).unwrap();
        }
        store.maintain().unwrap();
        store.checkpoint().unwrap();
    };
    save();
    let extract = Extract::open(shared(&source)).unwrap();
    let names: Vec<String> = extract.pins().names().map(str::to_owned).collect();
    save();
    save();
    let there = source.image();
    assert!(names.iter().all(|name| there.contains(name)), "{names:?}");
    let base = extract.bases().pop().unwrap();
    let mut groups = 0;
    extract
        .groups(extract.behind(base.as_ref()), &mut |_| {
            groups += 1;
            Ok::<(), ReadError>(())
        })
        .unwrap();
    assert!(groups > 0, "the active segment was pinned too");
    drop(extract);
    store.prune().unwrap();
    let there = source.image();
    assert!(names.iter().any(|name| !there.contains(name)));
}

#[test]
fn a_repository_is_made_only_in_an_empty_directory() {
    let disk = fake_disk(4096);
    disk.open("letter.txt", statedir::disk::Access::Create).unwrap();
    let error = Repository::create(shared(&disk)).unwrap_err();
    assert!(matches!(error, ExportError::NotEmpty(name) if name == "letter.txt"));
    let error = Repository::open(shared(&disk), Hold::Read).unwrap_err();
    assert!(matches!(error, ExportError::NotARepository));
}

#[test]
fn who_reads_and_who_changes_a_repository_exclude_each_other() {
    let disk = fake_disk(4096);
    drop(Repository::create(shared(&disk)).unwrap());
    let reader = Repository::open(shared(&disk), Hold::Read).unwrap();
    let second = Repository::open(shared(&disk), Hold::Read).unwrap();
    let error = Repository::open(shared(&disk), Hold::Change).unwrap_err();
    assert!(matches!(error, ExportError::Busy));
    drop((reader, second));
    let _writer = Repository::open(shared(&disk), Hold::Change).unwrap();
    let error = Repository::open(shared(&disk), Hold::Read).unwrap_err();
    assert!(matches!(error, ExportError::Busy));
}
