//! Commands that only look.

use crate::tool::{Tool, put, wait_for};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Command;

/// Commands that only look, and those that only say what they would do.
const LOOKS: [&[&str]; 25] = [
    &["status"],
    &["status", "-x"],
    &["get", "jobs", "1"],
    &["cat", "jobs", "1", "--at", "@lsn:1"],
    &["ls"],
    &["ls", "-l"],
    &["ls", "jobs", "-l", "--prefix", "1"],
    &["log"],
    &["log", "-n", "1"],
    &["dump"],
    &["dump", "--at", "now"],
    &["du"],
    &["du", "-s", "-b"],
    &["du", "--by", "file"],
    &["du", "--by", "table"],
    &["verify"],
    &["verify", "--full"],
    &["snapshots"],
    &["repair"],
    &["put", "jobs", "1", "v", "--dry-run"],
    &["delete", "jobs", "1", "--dry-run"],
    &["apply", "--dry-run"],
    &["snapshot", "create", "--dry-run"],
    &["compact", "--dry-run"],
    &["repair", "--dry-run"],
];

fn three_saves() -> Tool {
    Tool::with_saves(&[
        &put("jobs", "1", "one"),
        &put("nodes", "n", "up"),
        &put("jobs", "1", "uno"),
    ])
}

#[test]
fn what_only_looks_changes_nothing() {
    let tool = three_saves();
    let before = tool.files();
    for args in LOOKS {
        for json in [&[][..], &["--json"]] {
            let ran = tool.run(&[args, json].concat());
            assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
            if !json.is_empty() && args[0] != "cat" {
                ran.objects();
            }
        }
        assert_eq!(tool.files(), before, "{args:?}");
    }
}

#[test]
fn readers_work_beside_a_writer() {
    let tool = three_saves();
    let mut child = tool.spawn(&["apply"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    stdin.write_all(format!("{}\n", put("jobs", "1", "eins")).as_bytes()).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), r#"{"lsn":4}"#);
    // The writer tells readers soon after it has gone idle.
    wait_for(|| tool.ok(&["get", "jobs", "1"]) == "eins");
    for args in LOOKS {
        assert_eq!(tool.run(args).code, 0, "{args:?}");
    }
    assert!(tool.ok(&["status"]).contains("writer:alive"));
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(tool.ok(&["status"]).contains("writer:none"));
}

#[test]
fn every_retained_state_can_be_named() {
    let tool = three_saves();
    let id = tool.ok(&["snapshot", "create"]).trim().to_owned();
    tool.ok(&["put", "jobs", "1", "eins"]);
    let log = tool.run(&["log", "--json"]).objects();
    let times: Vec<&str> = log.iter().map(|save| save["time"].as_str().unwrap()).collect();
    let at = |when: &str| tool.run(&["get", "jobs", "1", "--at", when]);
    for (when, value) in [
        ("@lsn:1", "one"),
        ("@lsn:2", "one"),
        ("@lsn:3", "uno"),
        (id.as_str(), "uno"),
        ("@lsn:4", "eins"),
        ("latest", "eins"),
        ("now", "eins"),
        (times[0], "one"),
        (times[3], "eins"),
    ] {
        let ran = at(when);
        assert_eq!((ran.code, ran.text().as_str()), (0, value), "{when} {}", ran.err);
    }
    for when in ["@lsn:0", "@lsn:5", "snap-0000000001-00000000000000000001"] {
        assert_eq!(at(when).code, 5, "{when}");
    }
    assert_eq!(at("yesterday").code, 2);
    assert_eq!(tool.run(&["ls", "--at", "@lsn:1"]).text(), "jobs\n");
}

#[test]
fn what_is_not_there_is_5() {
    let tool = three_saves();
    for args in [
        &["get", "jobs", "2"][..],
        &["cat", "none", "1"],
        &["ls", "none"],
        &["delete", "jobs", "2"],
        &["log", "--from", "9"],
    ] {
        assert_eq!(tool.run(args).code, 5, "{args:?}");
    }
    assert_eq!(Tool::new().run(&["ls"]).code, 5);
    assert_eq!(tool.ok(&["log", "-h", "--from", "4"]), "");
}

#[test]
fn log_reads_back_into_the_same_state() {
    let tool = three_saves();
    tool.ok(&["delete", "nodes", "n"]);
    let log = tool.run(&["log", "--json"]).objects();
    let saves: Vec<String> = log.iter().map(|save| save["ops"].to_string()).collect();
    let saves: Vec<&str> = saves.iter().map(String::as_str).collect();
    let again = Tool::with_saves(&saves);
    assert_eq!(again.ok(&["dump", "--json"]), tool.ok(&["dump", "--json"]));
    assert_eq!(tool.ok(&["log", "-h", "-n", "1"]).split_whitespace().next(), Some("4"));
    assert_eq!(tool.ok(&["log", "-h", "-n", "2", "--from", "2"]).lines().count(), 2);
}

#[test]
fn log_follows_another_process() {
    let tool = three_saves();
    let mut child = tool.spawn(&["log", "--json", "--follow", "--from", "3", "--timeout", "60s"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with(r#"{"lsn":3,"#));
    tool.ok(&["put", "jobs", "2", "two"]);
    assert!(lines.next().unwrap().unwrap().starts_with(r#"{"lsn":4,"#));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(tool.ok(&["log", "-h", "--follow", "-n", "0", "--timeout", "0"]), "");
}

#[test]
fn monitor_state_directory_size_du_agrees_with_du_to_the_byte() {
    let tool = three_saves();
    tool.ok(&["snapshot", "create"]);
    fs::write(tool.dir().join("stranger"), b"12345").unwrap();
    let du = Command::new("du").arg("-sb").arg(tool.dir()).output().unwrap();
    assert_eq!(tool.ok(&["du", "-sb"]).into_bytes(), du.stdout);
}

#[test]
fn snapshots_and_compaction_keep_the_state() {
    let tool = three_saves();
    let before = tool.ok(&["dump"]);
    let id = tool.ok(&["snapshot", "create"]).trim().to_owned();
    assert!(tool.ok(&["snapshot", "create"]).starts_with(&id));
    assert!(tool.ok(&["snapshots", "-h"]).contains(&id));
    tool.ok(&["put", "jobs", "1", "uno"]);
    tool.ok(&["compact"]);
    tool.ok(&["compact", "--drop-history"]);
    assert_eq!(tool.ok(&["dump"]), before);
    assert_eq!(tool.ok(&["snapshots", "-h"]).lines().count(), 1);
    assert_eq!(tool.run(&["get", "jobs", "1", "--at", "@lsn:1"]).code, 5);
    assert!(tool.ok(&["verify", "--full"]).ends_with("snapshots 1/1 ok\n"));
}

#[test]
fn values_are_printed_byte_for_byte() {
    let tool = Tool::with_store();
    let value: Vec<u8> = (0..=255).cycle().take(5_000_000).collect();
    let ran = tool.feed(&["put", "t", "k"], &value);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(tool.run(&["cat", "t", "k"]).out, value);
    assert_eq!(tool.run(&["get", "t", "k"]).out, value);
    let file = tool.beside("value");
    fs::write(&file, &value[7..]).unwrap();
    let file = file.to_str().unwrap();
    tool.ok(&["put", "t", "/wA=", "--key-b64", "--file", file]);
    assert_eq!(tool.run(&["cat", "t", "/wA=", "--key-b64"]).out, value[7..]);
    assert_eq!(tool.ok(&["ls", "t"]), "k\n\\xff\\x00\n");
}
