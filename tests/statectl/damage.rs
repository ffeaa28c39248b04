//! Damaged directories: what is said, and what survives.

use crate::tool::{Tool, flip, put};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

fn saves(count: usize) -> Vec<String> {
    (0..count).map(|n| put("t", &format!("k{n}"), "v")).collect()
}

fn store(count: usize) -> Tool {
    let saves = saves(count);
    Tool::with_saves(&saves.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn corruption_is_4_with_file_offset_lsn_and_what_survives() {
    let tool = store(9);
    let log = tool.newest("log-");
    let name = log.file_name().unwrap().to_str().unwrap();
    let bytes = fs::read(&log).unwrap();
    let fifth = bytes.windows(3).position(|window| window == b"k4v").unwrap();
    flip(&log, fifth);
    let offset = format!("offset {}", fifth / 4096 * 4096);
    let before = tool.files();
    for args in [
        &["verify"][..],
        &["verify", "--full"],
        &["dump"],
        &["status"],
        &["du"],
        &["put", "t", "k", "v"],
    ] {
        let ran = tool.run(args);
        assert_eq!(ran.code, 4, "{args:?} {ran:?}");
        for fact in [name, &offset, "lsn 5", "up to lsn 4 survive"] {
            assert!(ran.err.contains(fact), "{fact}: {}", ran.err);
        }
        assert!(ran.err.trim_end().ends_with("repair"), "{}", ran.err);
    }
    let without_lock = |mut files: std::collections::BTreeMap<String, Vec<u8>>| {
        files.remove("LOCK");
        files
    };
    assert_eq!(without_lock(tool.files()), without_lock(before.clone()));

    let planned = tool.run(&["repair"]);
    assert_eq!(planned.code, 3, "{planned:?}");
    assert!(planned.text().contains("saves up to lsn 4 survive"), "{planned:?}");
    assert_eq!(without_lock(tool.files()), without_lock(before.clone()));

    let repaired = tool.run(&["repair", "--apply", "-y"]);
    assert_eq!(repaired.code, 0, "{repaired:?}");
    assert_eq!(tool.run(&["dump"]).text().lines().count(), 4);
    assert_eq!(tool.run(&["verify"]).code, 0);
    assert_eq!(tool.files()[name], before[name], "the original is kept");
    assert_eq!(tool.run(&["put", "t", "k", "v"]).text(), "lsn:5\n");
}

#[test]
fn damaged_snapshot_that_was_not_needed_is_3_for_verify_and_a_line_for_readers() {
    let tool = store(3);
    tool.ok(&["snapshot", "create"]);
    tool.ok(&["put", "t", "later", "v"]);
    let snapshot = tool.newest("snap-");
    flip(&snapshot, 4096 + 20);
    let name = snapshot.file_name().unwrap().to_str().unwrap();
    let dump = tool.run(&["dump"]);
    assert_eq!((dump.code, dump.text().lines().count()), (0, 4), "{dump:?}");
    assert!(dump.err.contains(name) && dump.err.lines().count() == 1, "{}", dump.err);
    assert_eq!(tool.run(&["dump", "-q"]).err, "");
    for level in ["--quick", "--full"] {
        let verified = tool.run(&["verify", level]);
        assert_eq!(verified.code, 3, "{verified:?}");
        assert!(verified.text().contains("snapshots 0/1 ok"), "{verified:?}");
        assert!(verified.err.contains(name));
    }
    assert_eq!(tool.run(&["status"]).code, 3);
    assert!(tool.run(&["status", "-x"]).text().contains(name));
    assert_eq!(tool.run(&["repair", "--apply"]).code, 0);
    assert_eq!(tool.run(&["verify"]).code, 0);
    assert_eq!(tool.ok(&["dump"]).lines().count(), 4);
}

#[test]
fn torn_tail_is_normal_and_counted() {
    let tool = store(3);
    let log = tool.newest("log-");
    let file = OpenOptions::new().write(true).open(&log).unwrap();
    // Behind the last group, where an unfinished one would stand.
    file.write_all_at(&[7; 4096], used(&log)).unwrap();
    let verified = tool.run(&["verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(verified.text().contains("; torn tail 4.0 KiB (normal); "), "{verified:?}");
    let dump = tool.run(&["dump"]);
    assert_eq!((dump.code, dump.err.lines().count()), (0, 1), "{dump:?}");
    assert_eq!(dump.text().lines().count(), 3);
    assert_eq!(tool.run(&["put", "t", "k", "v"]).text(), "lsn:4\n");
    assert_eq!(tool.run(&["verify", "--full"]).code, 0);
}

#[test]
fn one_unreadable_slot_of_the_control_file_is_normal() {
    let tool = store(3);
    flip(&tool.dir().join("CONTROL"), 4096 + 100);
    let dump = tool.run(&["dump"]);
    assert_eq!((dump.code, dump.err.lines().count()), (0, 1), "{dump:?}");
    assert_eq!(tool.run(&["verify"]).code, 0);
}

#[test]
fn data_without_a_control_file_are_refused_and_never_taken_for_an_empty_directory() {
    let tool = store(3);
    fs::remove_file(tool.dir().join("CONTROL")).unwrap();
    assert_eq!(tool.run(&["dump"]).code, 4);
    assert_eq!(tool.run(&["init"]).code, 9);
    assert_eq!(tool.run(&["put", "t", "k", "v"]).code, 4);
    assert_eq!(tool.run(&["repair"]).code, 3);
    assert_eq!(tool.run(&["repair", "--apply"]).code, 0);
    assert_eq!(tool.run(&["dump"]).text().lines().count(), 3);
}

#[test]
fn copy_that_caught_parts_of_later_saves_is_3_for_verify_only() {
    let tool = store(3);
    let copy = Tool::new();
    fs::create_dir(copy.dir()).unwrap();
    fs::set_permissions(copy.dir(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for (name, bytes) in tool.files() {
        fs::write(copy.dir().join(name), bytes).unwrap();
    }
    let clean = copy.run(&["verify"]);
    assert_eq!(clean.code, 0, "{clean:?}");
    let log = copy.newest("log-");
    let file = OpenOptions::new().write(true).open(&log).unwrap();
    file.write_all_at(&[7; 4096], used(&log)).unwrap();
    let dump = copy.run(&["dump"]);
    assert_eq!((dump.code, dump.text().lines().count()), (0, 3), "{dump:?}");
    assert_eq!(dump.err.lines().count(), 1, "{}", dump.err);
    let verified = copy.run(&["verify"]);
    assert_eq!(verified.code, 3, "{verified:?}");
    assert!(verified.text().contains("set aside"), "{verified:?}");
}

/// Bytes up to the end of the last block that holds anything.
fn used(log: &std::path::Path) -> u64 {
    let bytes = fs::read(log).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    (last as u64 / 4096 + 1) * 4096
}
