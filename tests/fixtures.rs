//! Every format ever released still opens: `tests/fixtures/vN` is a store as that version left it,
//! `tests/fixtures/vN.jsonl` is what it holds, as `statectl dump --json` prints it, and
//! `tests/fixtures/vN.sums` are the files' BLAKE3 sums.
//!
//! Invariant: the directories are never opened, only copied. Git keeps neither their permissions
//! nor their times and handles: what the tests open is a copy of a store, to be adopted.
//!
//! A new version's directory is written once, by the code that is released with it:
//! `cargo test --test fixtures write_v1 -- --ignored` refuses to overwrite one.
#![cfg(feature = "cli")]

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::limited;
use common::model::{Change, Model, State, batch, dump};
use statedir::base::{Epoch, Local, Lsn};
use statedir::format::Op;
use statedir::store::{At, Level, Ticket, verify};
use statedir::{Options, Reader, Store};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Saves in the first epoch before its snapshot, after it, and in the second epoch.
const SAVES: [u64; 3] = [12, 6, 9];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A copy of the version 1 store, as private as a store must be.
fn copy_of_v1() -> (TempDir, PathBuf) {
    let home = TempDir::new().expect("a temporary directory");
    let copy = home.path().join("state");
    fs::DirBuilder::new().mode(0o700).create(&copy).expect("mkdir");
    for entry in fs::read_dir(fixtures().join("v1")).expect("the fixture is there") {
        let from = entry.expect("an entry").path();
        let to = copy.join(from.file_name().expect("a name"));
        fs::copy(&from, &to).expect("copy");
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).expect("chmod");
    }
    (home, copy)
}

/// What each save of the version 1 store does: three tables, keys and values that are no text, a
/// value of many blocks, an empty one, keys that go again.
fn changes_of_v1(number: u64) -> Vec<Change> {
    let change = |table: &str, key: &[u8], value: Option<Vec<u8>>| Change {
        table: table.to_owned(),
        key: key.to_vec(),
        value,
    };
    let byte = u8::try_from(number).expect("few saves");
    let long = if number == 5 || number == 22 { 6000 } else { 30 };
    let body = (0..long).map(|at| (at % 251) as u8 ^ byte).collect();
    let mut changes = vec![
        change("jobs", format!("job-{}", number % 8).as_bytes(), Some(body)),
        change("nodes", &[byte, 0, 0xff, byte], Some(number.to_le_bytes().to_vec())),
        change("meta.v-1_x", b"last", Some(number.to_string().into_bytes())),
    ];
    if number.is_multiple_of(4) {
        changes.push(change("jobs", format!("job-{}", (number + 3) % 8).as_bytes(), None));
        changes.push(change("meta.v-1_x", "später".as_bytes(), Some(Vec::new())));
    }
    changes
}

fn model_of_v1() -> Model {
    let mut model = Model::new();
    (1..=SAVES.iter().sum()).for_each(|number| model.push(&changes_of_v1(number)));
    model
}

/// What `statectl dump --json` must print.
fn lines(state: &State) -> String {
    let field = |name: &str, bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => format!("\"{name}\":{}", serde_json::json!(text)),
        Err(_) => format!("\"{name}_b64\":\"{}\"", STANDARD.encode(bytes)),
    };
    let line = |((table, key), value): (&(String, Vec<u8>), &Vec<u8>)| {
        let (key, value) = (field("key", key), field("value", value));
        format!("{{\"table\":\"{table}\",{key},{value}}}\n")
    };
    state.iter().map(line).collect()
}

fn sums(directory: &Path) -> String {
    let mut names: Vec<PathBuf> = fs::read_dir(directory)
        .expect("the directory is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    names.sort();
    let line = |path: &PathBuf| {
        let sum = blake3::hash(&fs::read(path).expect("read"));
        let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
        format!("{}  {name}\n", sum.to_hex())
    };
    names.iter().map(line).collect()
}

#[test]
fn v1_files_are_those_that_were_released() {
    let expected = fs::read_to_string(fixtures().join("v1.sums")).expect("the sums are there");
    assert_eq!(sums(&fixtures().join("v1")), expected);
}

#[test]
fn v1_holds_what_it_held() {
    let (_home, copy) = copy_of_v1();
    let expected = fs::read_to_string(fixtures().join("v1.jsonl")).expect("the dump is there");
    assert_eq!(expected, lines(model_of_v1().newest()));
    let statectl = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_statectl"));
        command.env_remove("STATECTL_DIR").arg("-C").arg(&copy).args(args);
        let output = limited::output(&mut command);
        assert!(output.status.success(), "{args:?} {output:?}");
        output
    };
    let output = statectl(&["dump", "--json"]);
    assert_eq!(String::from_utf8(output.stdout).expect("JSON is text"), expected);
    assert_eq!(String::from_utf8(output.stderr).expect("text"), "");
    statectl(&["verify", "--full"]);
}

#[test]
fn v1_is_sound_and_its_history_can_be_read() {
    let (_home, copy) = copy_of_v1();
    let model = model_of_v1();
    let before = sums(&copy);
    let verified = verify(&copy, Level::Full).expect("it opens");
    assert!(verified.findings.is_empty(), "{verified:?}");
    assert!(verified.groups < 2 + model.saves(), "some saves share a group");
    assert_eq!((verified.lsn, verified.saves), (Lsn(model.saves()), model.saves()));
    assert_eq!((verified.segments, verified.snapshots_ok, verified.snapshots), (5, 1, 1));

    let reader = Reader::open(&copy).expect("it opens");
    assert!(reader.report().copy && !reader.report().degraded(), "{:?}", reader.report());
    assert_eq!(reader.report().set_aside, None);
    assert_eq!(reader.control().epoch, Epoch(2));
    for saves in 1..=model.saves() {
        let view = reader.at(At::Lsn(Lsn(saves))).expect("all of the history is there");
        assert_eq!(dump(&view).expect("readable"), *model.after(saves), "after {saves} saves");
    }
    let mut follower = reader.follow(Lsn(1)).expect("the log is there");
    for number in 1..=model.saves() {
        let saved = follower.next(Duration::ZERO).expect("readable").expect("a save");
        let expected = changes_of_v1(number);
        let mut ops = expected.iter();
        for op in saved.ops() {
            let change = ops.next().expect("not more ops than were saved");
            let (table, key, value) = match op.expect("a sound op") {
                Op::Put { table, key, value } => (table, key, Some(value)),
                Op::Delete { table, key } => (table, key, None),
            };
            assert_eq!((table, key), (change.table.as_str(), change.key.as_slice()));
            assert_eq!(value, change.value.as_deref());
        }
        assert_eq!((saved.lsn, ops.next().is_some()), (Lsn(number), false));
    }
    let without_lock = |sums: &str| {
        let lines = sums.lines().filter(|line| !line.ends_with("  LOCK"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(without_lock(&sums(&copy)), without_lock(&before), "looking changes nothing");
}

#[test]
fn v1_is_adopted_saved_to_and_opened_again() {
    let (_home, copy) = copy_of_v1();
    let mut model = model_of_v1();
    let original = Reader::open(&copy).expect("it opens").control().incarnation;
    for epoch in 3..6 {
        let store = Store::open(&copy, Options::default(), Arc::new(Local)).expect("it opens");
        assert_eq!(store.report().copy, epoch == 3, "it is adopted once");
        assert_ne!(store.incarnation(), original);
        assert_eq!(store.epoch(), Epoch(epoch));
        assert_eq!(dump(&store.view()).expect("readable"), *model.newest());
        let changes = changes_of_v1(model.saves() + 1);
        model.push(&changes);
        assert_eq!(store.save(batch(&changes)).expect("save"), Lsn(model.saves()));
        if epoch == 4 {
            assert_eq!(store.checkpoint().expect("snapshot"), Some(Lsn(model.saves())));
        }
        store.close().expect("close");
    }
    let verified = verify(&copy, Level::Full).expect("it opens");
    assert!(verified.findings.is_empty() && !verified.report.copy, "{verified:?}");
    let reader = Reader::open(&copy).expect("it opens");
    assert_eq!(dump(reader.view()).expect("readable"), *model.newest());
}

/// Writes the version 1 directory: two epochs, four segments and a prepared one, a snapshot within
/// the first epoch, and groups of several saves.
#[test]
#[ignore = "it writes what is committed, once"]
fn write_v1() {
    let directory = fixtures().join("v1");
    assert!(!directory.exists(), "{} exists; it stays as it is", directory.display());
    let model = model_of_v1();
    let options = || Options { segment_min: 36 << 10, segment_max: 36 << 10, ..Options::default() };
    Store::create(&directory, &options()).expect("create");
    let mut number = 0;
    let mut save = |store: &Store, count: u64| {
        for _ in 0..count {
            number += 1;
            let lsn = store.save(batch(&changes_of_v1(number))).expect("save");
            assert_eq!(lsn, Lsn(number));
        }
    };
    let alone = options().without_threads();
    let store = Store::open(&directory, alone, Arc::new(Local)).expect("open");
    save(&store, SAVES[0]);
    store.checkpoint().expect("snapshot").expect("something to hold");
    save(&store, SAVES[1]);
    store.close().expect("close");
    // With threads, which leave a prepared segment behind; saves that come at once share groups.
    let store = Store::open(&directory, options(), Arc::new(Local)).expect("open");
    let tickets: Vec<Ticket> = (SAVES[0] + SAVES[1]..model.saves())
        .map(|before| store.submit(batch(&changes_of_v1(before + 1))).expect("submit"))
        .collect();
    for (ticket, number) in tickets.into_iter().zip(SAVES[0] + SAVES[1] + 1..) {
        assert_eq!(ticket.wait().expect("save"), Lsn(number));
    }
    assert_eq!(dump(&store.view()).expect("readable"), *model.newest());
    store.close().expect("close");
    fs::write(fixtures().join("v1.jsonl"), lines(model.newest())).expect("write the dump");
    fs::write(fixtures().join("v1.sums"), sums(&directory)).expect("write the sums");
}
