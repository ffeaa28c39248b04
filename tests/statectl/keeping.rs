//! Snapshots that are listed, named, removed and pruned.

use crate::tool::{Tool, put};

/// A store with snapshots at lsn 1, 2 and 3, and their ids.
fn three_snapshots() -> (Tool, Vec<String>) {
    let tool = Tool::with_store();
    for number in ["1", "2", "3"] {
        tool.ok(&["put", "jobs", "k", number]);
        tool.ok(&["snapshot", "create"]);
    }
    let list = tool.run(&["snapshots", "--json"]).objects();
    let ids = list.iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    (tool, ids)
}

#[test]
fn a_tagged_snapshot_stays_readable_beyond_compact_drop_history() {
    let (tool, ids) = three_snapshots();
    tool.ok(&["snapshot", "tag", &ids[1], "pre-upgrade"]);
    tool.ok(&["put", "jobs", "k", "4"]);
    tool.ok(&["compact", "--drop-history"]);
    assert_eq!(tool.run(&["get", "jobs", "k", "--at", "@lsn:2"]).code, 5);
    assert_eq!(tool.ok(&["cat", "jobs", "k", "--at", "tag:pre-upgrade"]), "2");
    assert_eq!(tool.ok(&["dump", "--at", "tag:pre-upgrade"]), "jobs k 2\n");
    let list = tool.run(&["snapshots", "--json"]).objects();
    assert_eq!(list.len(), 2, "{list:?}");
    assert_eq!((&list[0]["id"], &list[0]["state"]), (&"tag:pre-upgrade".into(), &"tagged".into()));
    assert_eq!(list[1]["state"], "newest");
    tool.ok(&["verify", "--full"]);
    assert_eq!(tool.run(&["snapshot", "tag", "latest", "pre-upgrade"]).code, 9);
    tool.ok(&["snapshot", "rm", "tag:pre-upgrade", "--dry-run"]);
    tool.ok(&["snapshot", "rm", "tag:pre-upgrade"]);
    assert_eq!(tool.run(&["snapshot", "rm", "tag:pre-upgrade"]).code, 5);
    assert_eq!(tool.run(&["cat", "jobs", "k", "--at", "tag:pre-upgrade"]).code, 5);
    assert!(tool.files().into_keys().all(|name| !name.starts_with("tag-")));
}

#[test]
fn create_tags_what_it_makes_and_refuses_before_it_makes_anything() {
    let tool = Tool::with_saves(&[&put("jobs", "k", "1")]);
    let made = tool.ok(&["snapshot", "create", "--tag", "one"]);
    assert!(made.trim_end().ends_with(" tag:one"), "{made}");
    tool.ok(&["put", "jobs", "k", "2"]);
    let before = tool.files();
    assert_eq!(tool.run(&["snapshot", "create", "--tag", "one"]).code, 9);
    assert_eq!(tool.run(&["snapshot", "create", "--tag", "not one"]).code, 2);
    assert!(before == tool.files());
    // Nothing has changed since: the snapshot that there is gets the name.
    tool.ok(&["snapshot", "create"]);
    tool.ok(&["snapshot", "create", "--tag", "two"]);
    assert_eq!(tool.ok(&["get", "jobs", "k", "--at", "tag:two"]), "2");
    let empty = Tool::with_store();
    assert_eq!(empty.run(&["snapshot", "create", "--tag", "none"]).code, 5);
}

#[test]
fn prune_says_of_each_snapshot_why_it_stays_or_goes() {
    let (tool, ids) = three_snapshots();
    assert_eq!(tool.run(&["prune"]).code, 2, "without a rule nothing is deleted");
    let before = tool.files();
    let young = tool.ok(&["prune", "--keep-last", "1"]);
    assert_eq!(young.matches("keep ").count(), 3, "{young}");
    assert_eq!(young.matches("superseded less than 15m ago").count(), 2, "{young}");
    let args = ["prune", "--keep-last", "1", "--min-age", "0"];
    let plan = tool.ok(&[&args[..], &["--dry-run"]].concat());
    assert!(before == tool.files());
    let lines: Vec<&str> = plan.lines().collect();
    assert!(lines[0].starts_with(&format!("remove {} ", ids[0])), "{plan}");
    assert!(lines[0].ends_with("(no rule keeps it)"), "{plan}");
    assert!(lines[2].starts_with(&format!("keep   {} ", ids[2])), "{plan}");
    assert!(lines[2].ends_with("(newest, last 1/1)"), "{plan}");
    assert!(lines[3].starts_with("would delete "), "{plan}");
    tool.ok(&["snapshot", "tag", &ids[0], "first"]);
    let said = tool.run(&[&args[..], &["--json"]].concat()).objects();
    assert_eq!(said[0]["action"], "remove");
    assert_eq!(said[0]["tags"][0], "first");
    assert_eq!(said[3]["done"], true);
    assert_eq!(tool.ok(&["get", "jobs", "k"]), "3");
    assert_eq!(tool.ok(&["get", "jobs", "k", "--at", "tag:first"]), "1");
    assert_eq!(tool.run(&["get", "jobs", "k", "--at", "@lsn:2"]).code, 5);
    tool.ok(&["verify", "--full"]);
    // Only where tags are named do others go.
    tool.ok(&["snapshot", "tag", "latest", "second"]);
    tool.ok(&[&args[..], &["--keep-tag", "second"]].concat());
    let names: Vec<String> = tool.files().into_keys().collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("tag-")).count(), 1, "{names:?}");
}

#[test]
fn one_snapshot_can_be_removed_but_never_the_newest() {
    let (tool, ids) = three_snapshots();
    let refused = tool.run(&["snapshot", "rm", &ids[2]]);
    assert_eq!(refused.code, 9, "{refused:?}");
    assert_eq!(tool.run(&["snapshot", "rm", "latest"]).code, 2);
    let before = tool.files();
    tool.ok(&["snapshot", "rm", &ids[1], "--dry-run"]);
    assert!(before == tool.files());
    tool.ok(&["snapshot", "rm", &ids[1]]);
    assert_eq!(tool.run(&["snapshot", "rm", &ids[1]]).code, 5);
    // The log around it is still there.
    assert_eq!(tool.ok(&["get", "jobs", "k", "--at", "@lsn:2"]), "2");
    tool.ok(&["verify", "--full"]);
}

#[test]
fn tags_and_prune_work_beside_a_writer() {
    let (tool, ids) = three_snapshots();
    let mut writer = tool.spawn(&["apply"]);
    let mut stdin = writer.stdin.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(writer.stdout.take().unwrap()));
    std::io::Write::write_all(&mut stdin, format!("{}\n", put("jobs", "k", "4")).as_bytes())
        .unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), r#"{"lsn":4}"#);
    assert_eq!(tool.run(&["snapshot", "create"]).code, 7);
    tool.ok(&["snapshot", "tag", "latest", "beside"]);
    tool.ok(&["prune", "--keep-last", "1", "--min-age", "0"]);
    tool.ok(&["snapshot", "tag", &ids[2], "again"]);
    drop(stdin);
    assert!(writer.wait().unwrap().success());
    assert_eq!(tool.ok(&["get", "jobs", "k"]), "4");
    assert_eq!(tool.ok(&["get", "jobs", "k", "--at", "tag:beside"]), "3");
}
