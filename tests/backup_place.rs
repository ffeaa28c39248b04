//! Backups of stores larger than one piece, and restores in the place of a store, on a real disk.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::model::dump;
use common::{fake_disk, shared};
use statedir::base::{Local, Lsn, Nanos};
use statedir::disk::fake::{Call, Fault, FaultPlan};
use statedir::disk::{Disk, Real};
use statedir::export::{
    Backup, ExportError, Hold, Opened, Repository, backup_on, in_place, verify_repository,
};
use statedir::{Batch, Options, Reader, Store};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A store whose snapshot takes some pieces of 4 MiB, and whose log another one.
fn large(dir: &Path) {
    Store::create(dir, &Options::default()).unwrap();
    let store = open(dir);
    for save in 0..24_u64 {
        let mut batch = Batch::new();
        let value: Vec<u8> = (0..700_000_u64).map(|at| (at * at + save * 7) as u8).collect();
        batch.put("jobs", &save.to_le_bytes(), &value).unwrap();
        store.save(batch).unwrap();
        if save == 15 {
            store.checkpoint().unwrap();
            store.prune().unwrap();
        }
    }
    store.close().unwrap();
}

fn open(dir: &Path) -> Store {
    let options = Options::default().without_history();
    Store::open(dir, options, Arc::new(Local)).unwrap()
}

fn real(dir: &Path) -> Arc<dyn Disk> {
    Arc::new(Real::open(dir).unwrap())
}

fn back_up(source: &Path, repository: Arc<dyn Disk>) -> Result<(), ExportError> {
    let repository = Repository::create(repository)?;
    let wanted = Backup { now: Nanos::now(), ..Backup::default() };
    backup_on(&real(source), &repository, &wanted, &mut |_| {}).map(|_| ())
}

fn opened(repository: &Arc<dyn Disk>) -> Opened {
    let held = Repository::open(Arc::clone(repository), Hold::Read).unwrap();
    let manifest = held.list().unwrap().remove(0).manifest.unwrap();
    Opened::open(repository.as_ref(), manifest, &mut |_| {}).unwrap()
}

#[test]
fn a_store_of_many_pieces_is_copied_byte_for_byte() {
    let home = tempfile::TempDir::new().unwrap();
    let (dir, dest) = (home.path().join("state"), home.path().join("repository"));
    large(&dir);
    let repository: Arc<dyn Disk> = Arc::new(Real::create(&dest).unwrap());
    back_up(&dir, Arc::clone(&repository)).unwrap();
    let opened = opened(&repository);
    let base = opened.manifest.base.as_ref().unwrap();
    assert!(base.bytes > 8 << 20 && opened.manifest.parts[0].bytes > 4 << 20);
    let bytes = |path: &Path| std::fs::read(path).unwrap();
    let snapshot = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let snapshot = snapshot.into_iter().find(|path| path.to_string_lossy().contains("snap-"));
    assert!(bytes(&snapshot.unwrap()) == bytes(&dest.join(&base.file)));
    let held = Repository::open(repository, Hold::Read).unwrap();
    assert!(verify_repository(&held, &mut |_| {}).unwrap().troubles.is_empty());
    let view = opened.state(None, &mut || unreachable!("it fits")).unwrap().into_view();
    assert!(dump(&view).unwrap() == dump(Reader::open(&dir).unwrap().view()).unwrap());
}

#[test]
fn a_failure_in_the_midst_of_a_large_file_is_told_and_leaves_nothing() {
    let home = tempfile::TempDir::new().unwrap();
    let dir = home.path().join("state");
    large(&dir);
    for (nth, fault) in (1..9).flat_map(|nth| [(nth, Fault::Io), (nth, Fault::Full)]) {
        let disk = fake_disk(4096);
        drop(Repository::create(shared(&disk)).unwrap());
        disk.fail(FaultPlan::nth_of(Call::WriteAround, nth, fault));
        match back_up(&dir, shared(&disk)) {
            Ok(()) => assert!(nth > 5, "some writes are many pieces"),
            Err(error) => assert!(matches!(error, ExportError::Io { .. }), "{error}"),
        }
        disk.heal();
        let held = Repository::open(shared(&disk), Hold::Read).unwrap();
        assert!(held.leftovers().unwrap().is_empty());
        assert!(verify_repository(&held, &mut |_| {}).unwrap().troubles.is_empty());
    }
}

/// The stores in `home`, by the LSN of their state.
fn stores(home: &Path) -> Vec<(String, Lsn)> {
    let names = std::fs::read_dir(home).unwrap().map(|entry| entry.unwrap().file_name());
    let mut found: Vec<(String, Lsn)> = names
        .filter_map(|name| {
            let reader = Reader::open(&home.join(&name)).ok()?;
            Some((name.into_string().unwrap(), reader.view().lsn()))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn a_restore_in_place_that_ends_at_any_step_leaves_one_store_there_and_loses_none() {
    for ends_after in 0..=3 {
        let home = tempfile::TempDir::new().unwrap();
        let dir = home.path().join("state");
        Store::create(&dir, &Options::default()).unwrap();
        let save = |dir: &Path, key: &[u8]| {
            let store = open(dir);
            let mut batch = Batch::new();
            batch.put("jobs", key, b"value").unwrap();
            store.save(batch).unwrap();
            store.close().unwrap();
        };
        save(&dir, b"one");
        let repository = shared(&fake_disk(4096));
        back_up(&dir, Arc::clone(&repository)).unwrap();
        save(&dir, b"two");
        let opened = opened(&repository);
        let mut steps = 0;
        let outcome = in_place(&opened, &dir, None, Nanos::now(), &mut |_| {}, &mut |_| {
            steps += 1;
            if steps == ends_after { Err(io::Error::other("killed")) } else { Ok(()) }
        });
        assert_eq!(outcome.is_ok(), ends_after == 0 || ends_after > 3);
        let there = stores(home.path());
        let named = |name: &str| there.iter().find(|(n, _)| n == name).map(|(_, lsn)| lsn.0);
        // Before the two change places the old one is there, afterwards the new one.
        let expected = if ends_after == 1 { 2 } else { 1 };
        assert_eq!(named("state"), Some(expected), "ended after step {ends_after}: {there:?}");
        assert!(there.iter().any(|(_, lsn)| lsn.0 == 2), "the old one is lost: {there:?}");
        save(&dir, b"three");
    }
}

#[test]
fn a_restore_in_place_that_was_cut_short_is_cleared_away_by_the_next() {
    let home = tempfile::TempDir::new().unwrap();
    let dir = home.path().join("state");
    Store::create(&dir, &Options::default()).unwrap();
    open(&dir).close().unwrap();
    let repository = shared(&fake_disk(4096));
    back_up(&dir, Arc::clone(&repository)).unwrap();
    let unfinished = home.path().join("state.restoring-20261125T174450Z-1a2b3c4d");
    let whole = home.path().join("state.restoring-20261125T174451Z-1a2b3c4d");
    let other = home.path().join("state.restoring-other");
    for (path, names) in [
        (&unfinished, &["RESTORING", "snap-0000000002-00000000000000000005"][..]),
        (&whole, &["CONTROL"]),
        (&other, &["RESTORING", "letter"]),
    ] {
        std::fs::create_dir(path).unwrap();
        names.iter().for_each(|name| std::fs::write(path.join(name), "x").unwrap());
    }
    let opened = opened(&repository);
    in_place(&opened, &dir, None, Nanos::now(), &mut |_| {}, &mut |_| Ok(())).unwrap();
    assert!(!unfinished.exists() && whole.join("CONTROL").exists());
    assert!(other.join("letter").exists(), "what is not ours stays");
}

#[test]
fn a_restore_in_place_of_an_open_store_is_refused_and_leaves_nothing() {
    let home = tempfile::TempDir::new().unwrap();
    let dir = home.path().join("state");
    Store::create(&dir, &Options::default()).unwrap();
    let store = open(&dir);
    let repository = shared(&fake_disk(4096));
    back_up(&dir, Arc::clone(&repository)).unwrap();
    let opened = opened(&repository);
    let outcome = in_place(&opened, &dir, None, Nanos::now(), &mut |_| {}, &mut |_| Ok(()));
    assert!(matches!(outcome.unwrap_err(), ExportError::StoreBusy));
    // Nor where the point in time is not held: the old one stays as it is.
    store.close().unwrap();
    let at = Some(statedir::store::At::Lsn(Lsn(7)));
    let outcome = in_place(&opened, &dir, at, Nanos::now(), &mut |_| {}, &mut |_| Ok(()));
    assert!(matches!(outcome.unwrap_err(), ExportError::OutOfRange { .. }));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    assert_eq!(stores(home.path()), [("state".to_owned(), Lsn(0))]);
}
