//! Every field that `--json` prints stands in docs/statectl.md, in its command's section.

use crate::tool::{Ran, Tool, bare, feed, put};
use serde_json::Value;

const PAGE: &str = include_str!("../../docs/statectl.md");

fn section(command: &str) -> &'static str {
    let heading = format!("\n### `{command}`\n");
    let start = PAGE.find(&heading).unwrap_or_else(|| panic!("no section {command}"));
    let rest = &PAGE[start + heading.len()..];
    rest.find("\n#").map_or(rest, |end| &rest[..end])
}

/// All names in it, however deep; maps of measured values have names of their own.
fn names(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                found.push(name.clone());
                if name != "metrics" {
                    names(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| names(value, found)),
        _ => {}
    }
}

fn documented(command: &str, ran: &Ran) {
    assert!(!ran.out.is_empty(), "{command}: {ran:?}");
    for object in ran.objects() {
        let mut found = Vec::new();
        names(&object, &mut found);
        for name in found {
            // Entries look the same everywhere.
            let everywhere = ["key", "value", "key_b64", "value_b64"].contains(&name.as_str());
            let there = section(command).contains(&format!("`{name}`"));
            assert!(there || everywhere, "{command}: `{name}` is not in docs/statectl.md");
        }
    }
}

#[test]
fn every_field_of_every_object_is_documented() {
    let new = Tool::new();
    documented("init", &new.run(&["init", "--json"]));
    let tool = Tool::with_saves(&[&put("t", "k", "v"), &put("t", "l", "w")]);
    let tree = tool.beside("tree");
    let tree = tree.to_str().unwrap();
    let repository = tool.beside("repository");
    let repository = repository.to_str().unwrap();
    let restored = tool.beside("restored");
    let restored = restored.to_str().unwrap();
    for (command, args) in [
        ("put", &["put", "t", "m", "x"][..]),
        ("put", &["put", "t", "m", "x", "--dry-run"]),
        ("get", &["get", "t", "k"]),
        ("delete", &["delete", "t", "m"]),
        ("ls", &["ls"]),
        ("ls", &["ls", "-l"]),
        ("ls", &["ls", "t", "-l"]),
        ("dump", &["dump"]),
        ("log", &["log"]),
        ("snapshot create", &["snapshot", "create", "--dry-run"]),
        ("snapshot create", &["snapshot", "create", "--tag", "one"]),
        ("put", &["put", "t", "n", "y"]),
        ("diff", &["diff", "@lsn:1"]),
        ("snapshot create", &["snapshot", "create"]),
        ("snapshots", &["snapshots"]),
        ("snapshot tag", &["snapshot", "tag", "latest", "two"]),
        ("status", &["status"]),
        ("top", &["top", "-n", "1", "-i", "0"]),
        ("health", &["health"]),
        ("doctor", &["doctor", "--no-probe"]),
        ("du", &["du"]),
        ("du", &["du", "--by", "table"]),
        ("du", &["du", "--by", "file"]),
        ("verify", &["verify", "--full", "--restore-test"]),
        ("repair", &["repair"]),
        ("prune", &["prune", "--keep-last", "1", "--min-age", "0"]),
        ("snapshot rm", &["snapshot", "rm", "tag:one"]),
        ("compact", &["compact", "--dry-run"]),
        ("compact", &["compact"]),
        ("export", &["export", tree, "--dry-run"]),
        ("export", &["export", tree]),
        ("import", &["import", tree]),
        ("backup", &["backup", repository]),
        ("backup", &["backup", repository, "--incremental"]),
        ("backups", &["backups", repository]),
        ("verify", &["verify", repository]),
        ("prune", &["prune", repository, "--keep-last", "1"]),
        ("restore", &["restore", "--from", repository, "--dry-run"]),
        ("restore", &["restore", "--from", repository, "--target", restored]),
    ] {
        documented(command, &tool.run(&[args, &["--json"]].concat()));
    }
    let probed =
        ["fs-probe", tool.dir().to_str().unwrap(), "--rounds", "2", "--json"].map(str::to_owned);
    documented("fs-probe", &tool.run(&probed));
    let orphaned = Tool::with_store();
    crate::orphans::deposed(&orphaned);
    let lines = orphaned.beside("lines");
    documented("orphans list", &orphaned.run(&["orphans", "list", "--json"]));
    documented("orphans show", &orphaned.run(&["orphans", "show", "--json"]));
    let export = ["orphans", "export", lines.to_str().unwrap(), "--json"];
    documented("orphans export", &orphaned.run(&export));
    documented("apply", &tool.feed(&["apply", "--dry-run"], b"[]\n{}\n"));
    documented("apply", &tool.feed(&["apply"], b"[]\n{}\n"));
    let error: Value = serde_json::from_str(&feed(bare().args(["ls", "--json"]), b"").err).unwrap();
    let everywhere = PAGE.split("## Everywhere").nth(1).unwrap();
    assert!(error.as_object().unwrap().keys().all(|key| everywhere.contains(&format!("`{key}`"))));
}
