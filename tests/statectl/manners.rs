//! What holds for every command: errors, exit codes, permissions, pages.

use crate::limited;
use crate::tool::{Tool, bare, feed, put};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const COMMANDS: [&str; 26] = [
    "init",
    "status",
    "put",
    "get",
    "delete",
    "apply",
    "ls",
    "cat",
    "log",
    "dump",
    "diff",
    "export",
    "import",
    "rsync",
    "top",
    "health",
    "doctor",
    "du",
    "verify",
    "snapshots",
    "snapshot",
    "prune",
    "compact",
    "repair",
    "completion",
    "man",
];

#[test]
fn init_refuses_what_is_not_empty() {
    let tool = Tool::new();
    assert_eq!(tool.run(&["init", "--dry-run"]).code, 0);
    assert!(!tool.dir().exists());
    tool.ok(&["init"]);
    let mode = fs::metadata(tool.dir()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let again = tool.run(&["init"]);
    assert_eq!(again.code, 9);
    assert!(again.err.trim_end().ends_with("status"), "{}", again.err);

    let other = Tool::new();
    fs::create_dir(other.dir()).unwrap();
    fs::write(other.dir().join("job_state"), b"precious").unwrap();
    fs::set_permissions(other.dir(), PermissionsExt::from_mode(0o700)).unwrap();
    for args in [&["init"][..], &["init", "--dry-run"]] {
        let refused = other.run(args);
        assert_eq!(refused.code, 9);
        assert!(refused.err.contains("job_state"), "{}", refused.err);
    }
    assert_eq!(other.files().into_keys().collect::<Vec<_>>(), ["job_state"]);
}

#[test]
fn directory_open_to_others_is_refused_for_writing_with_the_command_that_mends_it() {
    let tool = Tool::with_saves(&[&put("t", "k", "v")]);
    fs::set_permissions(tool.dir(), PermissionsExt::from_mode(0o750)).unwrap();
    let chmod = format!("chmod 700 {}", tool.dir().display());
    for args in [
        &["put", "t", "k", "v"][..],
        &["delete", "t", "k"],
        &["apply"],
        &["compact"],
        &["snapshot", "create"],
    ] {
        let refused = tool.run(args);
        assert_eq!(refused.code, 9, "{args:?} {refused:?}");
        assert!(refused.err.trim_end().ends_with(&chmod), "{}", refused.err);
    }
    let read = tool.run(&["get", "t", "k"]);
    assert_eq!((read.code, read.text().as_str()), (0, "v"));
    assert!(read.err.trim_end().ends_with(&chmod), "{}", read.err);
    assert_eq!(tool.run(&["status"]).code, 3);
    assert!(Command::new("sh").args(["-c", &chmod]).status().unwrap().success());
    tool.ok(&["put", "t", "k", "w"]);
}

#[test]
fn every_error_is_one_line_that_ends_with_the_next_command() {
    let tool = Tool::with_store();
    let none = Tool::new();
    let bad = "[]\n{}\n";
    for (ran, code) in [
        (feed(&mut bare(), b""), 2),
        (feed(bare().arg("ls"), b""), 2),
        (feed(bare().args(["put", "--json"]), b""), 2),
        (tool.run(&["frobnicate"]), 2),
        (tool.run(&["put", "t"]), 2),
        (tool.run(&["apply", "--jobs", "0"]), 2),
        (tool.run(&["ls", "--at", "tomorrow"]), 2),
        (tool.run(&["put", "T", "k", "v"]), 2),
        (tool.run(&["put", "t", "", "v"]), 2),
        (tool.run(&["put", "t", "?", "v", "--key-b64"]), 2),
        (tool.run(&["get", "t", "a\nb"]), 5),
        (tool.run(&["get", "t", "k", "--json"]), 5),
        (tool.run(&["man", "frobnicate"]), 5),
        (tool.run(&["put", "t", "k", "--file", "/nowhere/at all"]), 1),
        (tool.feed(&["apply"], bad.as_bytes()), 3),
        (none.run(&["ls"]), 5),
        (none.run(&["ls", "--json"]), 5),
        (none.run(&["put", "t", "k", "v"]), 5),
        (tool.run(&["init"]), 9),
    ] {
        assert_eq!(ran.code, code, "{ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
        let next = match serde_json::from_str::<Value>(&ran.err) {
            Ok(object) => {
                assert_eq!(object["exit"], code);
                object["next"].as_str().unwrap().to_owned()
            }
            Err(_) => ran.err.trim_end().rsplit_once("; next: ").unwrap().1.to_owned(),
        };
        assert!(!next.is_empty());
    }
}

#[test]
fn help_names_the_exit_codes() {
    let codes =
        ["0 ok", "3 partial", "4 corruption", "5 not found", "7 lock busy", "9 unsafe", "130"];
    let mut pages = vec![feed(bare().arg("--help"), b"")];
    pages.extend(COMMANDS.map(|command| feed(bare().args([command, "--help"]), b"")));
    for page in pages {
        assert_eq!((page.code, page.err.as_str()), (0, ""));
        // Long lines are wrapped.
        let words = page.text().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(codes.iter().all(|code| words.contains(code)), "{words}");
    }
    assert!(feed(bare().arg("-V"), b"").text().starts_with("statectl "));
}

#[test]
fn completions_and_manual_pages_render() {
    for shell in ["bash", "zsh", "fish"] {
        let script = feed(bare().args(["completion", shell]), b"");
        assert_eq!(script.code, 0);
        assert!(COMMANDS.iter().all(|command| script.text().contains(command)), "{shell}");
    }
    let page = feed(bare().arg("man"), b"").text();
    assert!(page.contains(".TH statectl 1"), "{page}");
    assert!(COMMANDS.iter().all(|command| page.contains(command)), "{page}");
    let page = feed(bare().args(["man", "apply"]), b"").text();
    assert!(page.contains(".TH statectl-apply 1") && page.contains("jobs"), "{page}");
}

#[test]
fn bash_takes_the_completions() {
    let script = feed(bare().args(["completion", "bash"]), b"").out;
    let Some(bash) = crate::programs::find("bash", "bash_takes_the_completions") else { return };
    let read = limited::output_of(Command::new(bash).arg("-n"), &script);
    assert!(read.status.success(), "{read:?}");
}

#[test]
fn directory_comes_from_the_environment_too() {
    let tool = Tool::with_saves(&[&put("t", "k", "v")]);
    let get =
        |dir: &std::path::Path| feed(bare().env("STATECTL_DIR", dir).args(["get", "t", "k"]), b"");
    assert_eq!(get(&tool.dir()).text(), "v");
    let wrong = tool.beside("none");
    assert_eq!(get(&wrong).code, 5);
    let named = feed(tool.command(&["get", "t", "k"]).env("STATECTL_DIR", wrong), b"");
    assert_eq!(named.text(), "v");
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    let saves: Vec<String> =
        (0..300).map(|n| put("t", &format!("{n}"), &"v".repeat(5000))).collect();
    let tool = Tool::with_saves(&saves.iter().map(String::as_str).collect::<Vec<_>>());
    let mut child = tool.spawn(&["dump"]);
    let mut byte = [0];
    child.stdout.take().unwrap().read_exact(&mut byte).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn watching_status_goes_on_until_interrupted() {
    let tool = Tool::with_saves(&[&put("t", "k", "v")]);
    let mut child = tool.spawn(&["status", "--json", "-w", "0.05"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        let standing: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(standing["disk"], "UpToDate");
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn healthy_status_is_three_lines_and_none_with_x() {
    let tool = Tool::with_saves(&[&put("t", "k", "v")]);
    let status = tool.ok(&["status"]);
    assert_eq!(status.lines().count(), 3, "{status}");
    let first = status.lines().next().unwrap();
    assert!(first.contains(" role:Standalone disk:UpToDate epoch:1 lsn:1"), "{first}");
    assert_eq!(tool.ok(&["status", "-x"]), "");
}
