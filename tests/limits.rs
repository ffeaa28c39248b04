//! Every documented limit at its edge, through the store: what lies within is saved and read back
//! after reopening, what lies beyond is refused and leaves the store as it was.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::model::{State, dump};
use statedir::base::limits::{KEY_MAX, SAVE_MAX, TABLE_NAME_MAX, TABLES_MAX, VALUE_MAX};
use statedir::base::{Local, Lsn};
use statedir::format::{BatchError, Op};
use statedir::store::{Level, Refusal, SaveError, verify};
use statedir::{Batch, Options, Reader, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

fn fresh() -> (tempfile::TempDir, PathBuf, Store) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("state");
    Store::create(&path, &Options::default()).unwrap();
    let store = open(&path);
    (parent, path, store)
}

fn open(path: &Path) -> Store {
    Store::open(path, Options::default(), Arc::new(Local)).unwrap()
}

fn put(table: &str, key: &[u8], value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(table, key, value).unwrap();
    batch
}

/// Reopens, with a snapshot in between, and holds the state against what it was.
fn unchanged_by_reopening(store: Store, path: &Path) {
    let (lsn, state) = (store.view().lsn(), dump(&store.view()).unwrap());
    store.close().unwrap();
    let store = open(path);
    assert_eq!((store.view().lsn(), dump(&store.view()).unwrap()), (lsn, state.clone()));
    store.checkpoint().unwrap();
    store.close().unwrap();
    assert_eq!(dump(Reader::open(path).unwrap().view()).unwrap(), state);
    let verified = verify(path, Level::Full).unwrap();
    assert!(verified.findings.is_empty(), "{:?}", verified.findings);
}

/// What the limits are, in numbers: another number is another format.
#[test]
fn limits_are_the_documented_ones() {
    assert_eq!((TABLE_NAME_MAX, TABLES_MAX), (64, 1024));
    assert_eq!((KEY_MAX, VALUE_MAX, SAVE_MAX), (4096, 64 << 20, 256 << 20));
}

#[test]
fn table_names_are_1_to_64_bytes_of_few_characters() {
    let (_keep, path, store) = fresh();
    let good = ["a", "0", "_", ".", "-", "..", "a-b_c.9", &"x".repeat(64)];
    for name in good {
        store.save(put(name, b"k", name.as_bytes())).unwrap();
    }
    let (lsn, state) = (store.view().lsn(), dump(&store.view()).unwrap());
    let long = "x".repeat(65);
    let bad = ["", &long, "A", "jobs ", "a/b", "a\0", "ä", "\u{1F41F}", "a\n", "~", "a:b"];
    for name in bad {
        let refused = Err(BatchError::Table(name.to_owned()));
        let mut batch = put("a", b"before", b"v");
        let as_before = batch.clone();
        assert_eq!(batch.put(name, b"k", b"v").map(|_| ()), refused);
        assert_eq!(batch.delete(name, b"k").map(|_| ()), refused);
        assert_eq!(batch, as_before);
        assert_eq!(store.get(name, b"k").unwrap(), None);
    }
    assert_eq!((store.view().lsn(), dump(&store.view()).unwrap()), (lsn, state));
    assert_eq!(store.view().tables().unwrap().len(), good.len());
    unchanged_by_reopening(store, &path);
}

#[test]
fn keys_are_1_to_4096_bytes() {
    let (_keep, path, store) = fresh();
    for len in [1, 2, 4095, 4096] {
        for byte in [0, 0xff] {
            store.save(put("t", &vec![byte; len], &[byte])).unwrap();
        }
    }
    let mut batch = put("t", b"before", b"v");
    let as_before = batch.clone();
    for len in [0, 4097, 65_535, 65_536, 65_537] {
        let refused = Err(BatchError::Key(len));
        assert_eq!(batch.put("t", &vec![1; len], b"v").map(|_| ()), refused);
        assert_eq!(batch.delete("t", &vec![1; len]).map(|_| ()), refused);
        assert_eq!(batch, as_before);
        assert_eq!(store.get("t", &vec![1; len]).unwrap(), None);
    }
    // What was refused is not in the save either.
    store.save(batch).unwrap();
    assert_eq!(dump(&store.view()).unwrap().len(), 9);
    assert_eq!(store.get("t", &[0xff; 4096]).unwrap(), Some(vec![0xff]));
    let mut batch = Batch::new();
    batch.delete("t", &[0; 4096]).unwrap();
    store.save(batch).unwrap();
    assert_eq!(store.get("t", &[0; 4096]).unwrap(), None);
    unchanged_by_reopening(store, &path);
}

#[test]
fn there_are_at_most_1024_tables() {
    let (_keep, path, store) = fresh();
    let mut batch = Batch::new();
    for number in 0..1023 {
        batch.put(&format!("t{number}"), b"k", b"v").unwrap();
    }
    store.save(batch).unwrap();
    // One would fit, two do not: neither is made.
    let mut two = put("t1023", b"k", b"v");
    two.put("t1024", b"k", b"v").unwrap();
    let state = dump(&store.view()).unwrap();
    for attempt in [store.save(two.clone()), store.submit(two).and_then(|ticket| ticket.wait())] {
        let table = matches!(&attempt, Err(SaveError::Refused(Refusal::Tables(t))) if t == "t1024");
        assert!(table, "{attempt:?}");
    }
    assert_eq!((store.view().lsn(), dump(&store.view()).unwrap()), (Lsn(1), state));
    store.save(put("t1023", b"k", b"v")).unwrap();
    let refused = store.save(put("t1024", b"k", b"v"));
    assert!(matches!(refused, Err(SaveError::Refused(Refusal::Tables(_)))), "{refused:?}");
    // Those that are there take saves.
    assert_eq!(store.save(put("t7", b"k", b"w")).unwrap(), Lsn(3));
    store.close().unwrap();
    let store = open(&path);
    let refused = store.save(put("t1024", b"k", b"v"));
    assert!(matches!(refused, Err(SaveError::Refused(Refusal::Tables(_)))), "{refused:?}");
    assert_eq!(store.view().tables().unwrap().len(), 1024);
    unchanged_by_reopening(store, &path);
    // A table that was emptied has made room once the snapshot is without it.
    let store = open(&path);
    let mut batch = Batch::new();
    batch.delete("t0", b"k").unwrap();
    store.save(batch).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let store = open(&path);
    store.save(put("t1024", b"k", b"v")).unwrap();
    unchanged_by_reopening(store, &path);
}

#[test]
fn an_empty_save_takes_an_lsn_and_changes_nothing() {
    let (_keep, path, store) = fresh();
    assert_eq!(store.save(Batch::new()).unwrap(), Lsn(1));
    store.save(put("t", b"k", b"")).unwrap();
    assert_eq!(store.submit(Batch::new()).unwrap().wait().unwrap(), Lsn(3));
    let known: State = [(("t".to_owned(), b"k".to_vec()), Vec::new())].into();
    assert_eq!(dump(&store.view()).unwrap(), known);
    let mut follower = store.follow(Lsn(1)).unwrap();
    let ops = [0, 1, 0].map(|ops| {
        let saved = follower.next(Duration::from_secs(20)).unwrap().expect("a save comes");
        assert_eq!(saved.ops().count(), ops);
        saved.lsn.0
    });
    assert_eq!(ops, [1, 2, 3]);
    // With the follower still there: it must not keep the directory locked.
    unchanged_by_reopening(store, &path);
    assert!(follower.next(Duration::ZERO).unwrap().is_none());
}

/// Bytes that tell where they stand.
fn body(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 4096 + at) as u8).collect()
}

/// One test for what is large, so that the memory is there once: a value of 64 MiB, a save of 256.
#[test]
fn values_are_at_most_64_mib_and_saves_256() {
    let (_keep, path, store) = fresh();
    let mut value = body(VALUE_MAX + 1);
    let mut batch = put("t", b"small", b"v");
    let as_before = batch.clone();
    assert_eq!(batch.put("t", b"1", &value).map(|_| ()), Err(BatchError::Value(VALUE_MAX + 1)));
    assert_eq!(batch, as_before);
    value.truncate(VALUE_MAX);
    // What a save and an op cost beyond the value: their headers, the table, the key.
    let head = 8 + (8 + 1 + 5 + 1);
    let op = 8 + 1 + 1;
    for key in [b"1", b"2", b"3"] {
        batch.put("t", key, &value).unwrap();
    }
    let rest = SAVE_MAX - head - 3 * (op + VALUE_MAX) - op;
    let as_before = batch.len();
    let refused = batch.put("t", b"4", &value[..=rest]).map(|_| ());
    assert_eq!(refused, Err(BatchError::Save(SAVE_MAX + 1)));
    assert_eq!(batch.len(), as_before);
    batch.put("t", b"4", &value[..rest]).unwrap();
    assert_eq!(batch.delete("t", b"5").map(|_| ()), Err(BatchError::Save(SAVE_MAX + op)));
    assert_eq!(batch.ops().filter(|op| matches!(op, Ok(Op::Put { .. }))).count(), 5);
    assert_eq!(store.save(batch).unwrap(), Lsn(1));
    assert_eq!(store.save(put("t", b"small", b"w")).unwrap(), Lsn(2));
    let holds = |view: &statedir::View| {
        for key in [b"1", b"2", b"3"] {
            assert!(view.get("t", key).unwrap() == Some(&value[..]), "64 MiB come back");
        }
        assert!(view.get("t", b"4").unwrap() == Some(&value[..rest]), "and what filled the save");
        assert_eq!(view.get("t", b"small").unwrap(), Some(&b"w"[..]));
    };
    holds(&store.view());
    store.close().unwrap();
    // From the log, and from a snapshot.
    let store = open(&path);
    holds(&store.view());
    store.checkpoint().unwrap();
    store.close().unwrap();
    let reader = Reader::open(&path).unwrap();
    assert!(reader.report().snapshot.is_some());
    holds(reader.view());
}
