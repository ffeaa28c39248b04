//! The store as an embedder sees it, on the real disk: what is promised, by name.

use statedir::base::{Epoch, Local, Lsn, Nanos};
use statedir::format::FileName;
use statedir::store::{At, OpenError};
use statedir::{Batch, Options, Reader, Store, View};
use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long something that must come is waited for. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(180);

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("state");
    Store::create(&path, &Options::default()).unwrap();
    (parent, path)
}

fn open(path: &Path) -> Store {
    Store::open(path, Options::default(), Arc::new(Local)).unwrap()
}

fn put(table: &str, key: &str, value: &str) -> Batch {
    let mut batch = Batch::new();
    batch.put(table, key.as_bytes(), value.as_bytes()).unwrap();
    batch
}

fn dump(view: &View) -> BTreeMap<(String, Vec<u8>), Vec<u8>> {
    let mut all = BTreeMap::new();
    view.for_each(|table, key, value| {
        all.insert((table.to_owned(), key.to_vec()), value.to_vec());
        Ok::<(), statedir::snapshot::SnapshotError>(())
    })
    .unwrap();
    all
}

#[test]
fn saves_are_there_after_reopening_and_lsns_go_on() {
    let (_keep, path) = fresh();
    let store = open(&path);
    assert_eq!(store.save(put("jobs", "1", "one")).unwrap(), Lsn(1));
    assert_eq!(store.save(put("jobs", "2", "two")).unwrap(), Lsn(2));
    let mut batch = put("jobs", "1", "uno");
    batch.delete("jobs", b"2").unwrap();
    assert_eq!(store.save(batch).unwrap(), Lsn(3));
    store.close().unwrap();
    for round in 0..3 {
        let store = open(&path);
        assert_eq!(store.get("jobs", b"1").unwrap().as_deref(), Some(&b"uno"[..]));
        assert_eq!(store.get("jobs", b"2").unwrap(), None);
        assert_eq!(store.save(put("nodes", "n", "up")).unwrap(), Lsn(4 + round));
        store.close().unwrap();
    }
}

#[test]
fn many_threads_share_flushes_and_every_save_gets_its_own_lsn() {
    let (_keep, path) = fresh();
    let store = open(&path);
    let mut lsns: Vec<Lsn> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|t| {
                let store = &store;
                scope.spawn(move || {
                    let save = |i: u32| store.save(put("t", &format!("{t}-{i}"), "v")).unwrap();
                    (0..200).map(save).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    lsns.sort_unstable();
    assert_eq!(lsns, (1..=3200).map(Lsn).collect::<Vec<_>>());
    assert!(store.progress().groups < 3200, "saves share flushes");
    store.close().unwrap();
    assert_eq!(dump(Reader::open(&path).unwrap().view()).len(), 3200);
}

#[test]
fn tickets_resolve_in_order_by_waiting_and_as_futures() {
    let (_keep, path) = fresh();
    let store = open(&path);
    let tickets: Vec<_> =
        (0..1000).map(|i| store.submit(put("t", &i.to_string(), "v")).unwrap()).collect();
    for (i, ticket) in tickets.into_iter().enumerate() {
        let lsn = if i % 2 == 0 { ticket.wait().unwrap() } else { block_on(ticket).unwrap() };
        assert_eq!(lsn, Lsn(i as u64 + 1));
    }
    store.close().unwrap();
}

fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        if let std::task::Poll::Ready(output) = std::pin::Pin::new(&mut future).poll(&mut context) {
            return output;
        }
        let parked = Instant::now();
        std::thread::park_timeout(PATIENCE);
        assert!(parked.elapsed() < PATIENCE, "nobody has woken it");
    }
}

#[test]
fn a_view_does_not_change_and_is_ordered() {
    let (_keep, path) = fresh();
    let store = open(&path);
    for key in ["b", "a", "ab", "c"] {
        store.save(put("t", key, key)).unwrap();
    }
    let view = store.view();
    store.checkpoint().unwrap();
    store.save(put("t", "aa", "new")).unwrap();
    let mut batch = Batch::new();
    batch.delete("t", b"a").unwrap();
    store.save(batch).unwrap();
    let keys = |view: &View, prefix: &[u8]| -> Vec<String> {
        view.scan("t", prefix)
            .map(|entry| String::from_utf8(entry.unwrap().0.to_vec()).unwrap())
            .collect()
    };
    assert_eq!(keys(&view, b""), ["a", "ab", "b", "c"]);
    assert_eq!(keys(&store.view(), b""), ["aa", "ab", "b", "c"]);
    assert_eq!(keys(&store.view(), b"a"), ["aa", "ab"]);
    store.close().unwrap();
}

#[test]
fn any_retained_point_can_be_read() {
    let (_keep, path) = fresh();
    let store = open(&path);
    for i in 1..=50_u64 {
        store.save(put("t", "key", &i.to_string())).unwrap();
        if i == 20 {
            assert_eq!(store.checkpoint().unwrap(), Some(Lsn(20)));
            assert_eq!(store.checkpoint().unwrap(), None);
        }
    }
    for lsn in [1, 19, 20, 21, 49, 50] {
        let view = store.at(At::Lsn(Lsn(lsn))).unwrap();
        assert_eq!(view.get("t", b"key").unwrap(), Some(lsn.to_string().as_bytes()));
        let by_time = store.at(At::Time(view.time())).unwrap();
        assert!(by_time.lsn() >= view.lsn(), "the last save of that time");
    }
    assert!(store.at(At::Lsn(Lsn(51))).is_err());
    assert_eq!(store.at(At::Time(Nanos(1))).unwrap().lsn(), Lsn(0));
    store.close().unwrap();
}

#[test]
fn followers_see_every_save_in_order_inside_and_outside() {
    let (_keep, path) = fresh();
    let small = Options { segment_min: 64 << 10, segment_max: 64 << 10, ..Options::default() };
    let store = Store::open(&path, small, Arc::new(Local)).unwrap();
    let mut inside = store.follow(Lsn(1)).unwrap();
    let mut outside = Reader::open(&path).unwrap().follow(Lsn(5)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 1..=500_u64 {
                store.save(put("t", &i.to_string(), "v")).unwrap();
            }
        });
        for lsn in 1..=500 {
            let saved = inside.next(PATIENCE).unwrap().expect("a save comes");
            assert_eq!(saved.lsn, Lsn(lsn));
            assert_eq!(saved.ops().count(), 1);
        }
        for lsn in 5..=500 {
            let saved = outside.next(PATIENCE).unwrap().expect("a save comes");
            assert_eq!(saved.lsn, Lsn(lsn));
        }
    });
    assert!(inside.next(Duration::from_millis(1)).unwrap().is_none());
    store.close().unwrap();
}

#[test]
fn two_writers_never_share_a_directory_and_readers_need_no_lock() {
    let (_keep, path) = fresh();
    let store = open(&path);
    store.save(put("t", "k", "v")).unwrap();
    let second = Store::open(&path, Options::default(), Arc::new(Local));
    assert!(matches!(second, Err(OpenError::Locked)));
    assert!(Reader::open(&path).unwrap().writer_lives());
    store.close().unwrap();
    let reader = Reader::open(&path).unwrap();
    assert!(!reader.writer_lives());
    assert_eq!(reader.view().lsn(), Lsn(1));
    drop(open(&path));
}

#[test]
fn a_directory_open_to_others_is_refused_for_writing_and_files_are_private() {
    let (_keep, path) = fresh();
    let store = open(&path);
    store.save(put("t", "k", "v")).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in std::fs::read_dir(&path).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).unwrap();
    let refused = Store::open(&path, Options::default(), Arc::new(Local));
    assert!(matches!(refused, Err(OpenError::Permissions { mode: 0o750 })));
    assert_eq!(Reader::open(&path).unwrap().view().lsn(), Lsn(1));
}

#[test]
fn an_empty_directory_is_no_store_and_a_store_is_not_created_twice() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("empty");
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    let opened = Store::open(&path, Options::default(), Arc::new(Local));
    assert!(matches!(opened, Err(OpenError::NotAStore)));
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0, "looking leaves nothing behind");
    Store::create(&path, &Options::default()).unwrap();
    assert!(matches!(Store::create(&path, &Options::default()), Err(OpenError::NotEmpty(_))));
}

#[test]
fn an_empty_store_is_small() {
    let (_keep, path) = fresh();
    let store = open(&path);
    store.save(put("t", "k", "v")).unwrap();
    store.close().unwrap();
    let usage = statedir::store::usage(&path).unwrap();
    assert!(usage.total_allocated < 1 << 20, "{usage:?}");
}

#[test]
fn saves_in_flight_are_finished_by_close() {
    let (_keep, path) = fresh();
    let store = open(&path);
    let ticket = store.submit(put("t", "k", "v")).unwrap();
    store.close().unwrap();
    assert_eq!(ticket.wait().unwrap(), Lsn(1));
    assert_eq!(Reader::open(&path).unwrap().view().lsn(), Lsn(1));
}

#[test]
fn damage_that_is_found_while_the_log_is_replayed_already_makes_the_older_snapshot_count() {
    let (_keep, path) = fresh();
    let store = open(&path);
    // Large enough that several threads verify it.
    for n in 0..100_u8 {
        let mut batch = Batch::new();
        batch.put("t", &[n], &vec![n; 64 << 10]).unwrap();
        store.save(batch).unwrap();
    }
    store.checkpoint().unwrap();
    store.save(put("t", "between", "1")).unwrap();
    let newest = store.checkpoint().unwrap().unwrap();
    store.save(put("t", "behind", "2")).unwrap();
    let before = dump(&store.view());
    store.close().unwrap();
    let name = FileName::Snapshot { epoch: Epoch(1), lsn: newest }.to_string();
    let file = std::fs::File::options().write(true).open(path.join(&name)).unwrap();
    // In the last chunks, where every thread has been at work before.
    file.write_all_at(&[0x55; 16], (6 << 20) + 100).unwrap();
    for _ in 0..20 {
        let reader = Reader::open(&path).unwrap();
        assert_eq!(dump(reader.view()), before);
        let damaged = &reader.report().damaged_snapshots;
        assert_eq!(damaged.iter().map(|(name, _)| name).collect::<Vec<_>>(), [&name]);
        assert_eq!(reader.report().snapshot.as_deref().map(|used| used == name), Some(false));
        // What was seen on the way that led to nothing is not told.
        assert_eq!(reader.report().groups, 2);
    }
}
