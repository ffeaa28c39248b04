//! Backup and restore as an operator meets them: a story from the first backup to the morning
//! after, exit codes, a writer at work meanwhile.

use crate::limited;
use crate::tool::{Tool, bare, feed, put, wait_for};
use statedir::disk::Real;
use statedir::export::{Hold, Repository};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Child;

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn saves(from: u64, to: u64) -> Vec<String> {
    (from..=to).map(|n| put("jobs", &format!("{}", n % 10), &format!("save {n}"))).collect()
}

fn apply(tool: &Tool, from: u64, to: u64) {
    let ran = tool.feed(&["apply"], saves(from, to).join("\n").as_bytes());
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// Runs on another directory what must succeed in silence; its output.
fn ok_on(dir: &str, args: &[&str]) -> String {
    let ran = feed(bare().arg("-C").arg(dir).args(args), b"");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    ran.text()
}

/// The one JSON object that a command prints.
fn object(tool: &Tool, args: &[&str]) -> serde_json::Value {
    let ran = tool.run(&[args, &["--json"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.objects().remove(0)
}

#[test]
fn what_was_backed_up_comes_back_at_any_point_and_the_store_goes_on() {
    let tool = Tool::with_store();
    let (dest, target) = (tool.beside("repository"), tool.beside("restored"));
    apply(&tool, 1, 30);
    let first = object(&tool, &["backup", path(&dest), "--tag", "first", "--verify"]);
    assert_eq!((&first["kind"], &first["lsn"]), (&"full".into(), &30.into()));
    apply(&tool, 31, 60);
    let second = object(&tool, &["backup", path(&dest), "--incremental"]);
    assert_eq!((&second["kind"], &second["lsn"]), (&"incremental".into(), &60.into()));
    assert_eq!(second["parent"], first["id"]);
    let expected = tool.ok(&["dump", "--at", "@lsn:45"]);
    fs::remove_dir_all(tool.dir()).unwrap();

    tool.ok(&["verify", path(&dest)]);
    ok_on(path(&dest), &["verify"]);
    let args = ["restore", "--from", path(&dest), "--target", path(&target), "--at", "@lsn:45"];
    assert_eq!(object(&tool, &args)["lsn"], 45);
    let other = |args: &[&str]| ok_on(path(&target), args);
    assert_eq!(other(&["dump"]), expected);
    other(&["verify", "--full"]);
    assert_eq!(other(&["put", "jobs", "x", "y"]), "lsn:46\n");
    // By tag, and dry.
    let dry = object(&tool, &["restore", "first", "--from", path(&dest), "--dry-run"]);
    assert_eq!((&dry["lsn"], &dry["done"]), (&30.into(), &false.into()));
}

#[test]
fn a_restore_in_place_keeps_what_it_replaces() {
    let tool = Tool::with_store();
    let dest = tool.beside("repository");
    apply(&tool, 1, 20);
    tool.ok(&["backup", path(&dest)]);
    let expected = tool.ok(&["dump"]);
    apply(&tool, 21, 40);
    let lost = tool.ok(&["dump"]);
    let done = object(&tool, &["restore", "--in-place", "--from", path(&dest)]);
    assert_eq!(tool.ok(&["dump"]), expected);
    let kept = done["kept"].as_str().unwrap();
    assert_eq!(ok_on(kept, &["dump"]), lost);
    // Its epoch is above that of what it replaced, too: nobody takes one for the other.
    let epoch = |dir: &str| {
        let status = ok_on(dir, &["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(status.trim()).unwrap();
        status["epoch"].as_u64().unwrap()
    };
    assert!(epoch(path(&tool.dir())) > epoch(kept));
    let names: Vec<String> = fs::read_dir(tool.beside(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn refusals_have_their_codes_and_change_nothing() {
    let tool = Tool::with_store();
    let (dest, target) = (tool.beside("repository"), tool.beside("restored"));
    apply(&tool, 1, 5);
    let (dest, target) = (path(&dest), path(&target));
    let code = |args: &[&str]| {
        let ran = tool.run(args);
        assert!(ran.code == 0 || ran.err.contains("; next: "), "{args:?}: {ran:?}");
        ran.code
    };
    assert_eq!(code(&["restore", "--from", dest, "--target", target]), 5, "no repository");
    assert_eq!(code(&["backup", dest, "--tag", "latest"]), 2);
    assert_eq!(code(&["backup", dest, "--tag", "a/b"]), 2);
    assert_eq!(code(&["backup", dest]), 0);
    assert_eq!(code(&["restore", "nope", "--from", dest, "--target", target]), 5);
    assert_eq!(code(&["restore", "--at", "@lsn:6", "--from", dest, "--target", target]), 5);
    let ran = tool.run(&["restore", "--at", "@lsn:6", "--from", dest, "--target", target]);
    assert!(ran.err.contains("lsn 0 to 5"), "the valid range is named: {}", ran.err);
    assert_eq!(code(&["restore", "--from", dest]), 2, "neither --target nor --in-place");
    fs::create_dir(target).unwrap();
    fs::write(Path::new(target).join("letter"), "dear").unwrap();
    assert_eq!(code(&["restore", "--from", dest, "--target", target]), 9);
    assert_eq!(code(&["backup", target]), 9, "a directory that is somebody's");
    assert_eq!(fs::read_dir(target).unwrap().count(), 1);
    assert_eq!(code(&["prune", dest]), 2, "without a rule");
    let exposed = tool.beside("exposed");
    fs::create_dir(&exposed).unwrap();
    fs::set_permissions(&exposed, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = tool.run(&["restore", "--from", dest, "--target", path(&exposed)]);
    assert!(ran.code == 9 && ran.err.contains(&format!("chmod 700 {}", exposed.display())));
    assert_eq!(fs::read_dir(&exposed).unwrap().count(), 0);

    // While a daemon has the store open.
    let mut writer = tool.spawn(&["apply"]);
    let line = put("jobs", "1", "x") + "\n";
    writer.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), r#"{"lsn":6}"#);
    assert_eq!(code(&["restore", "--in-place", "--from", dest]), 7);
    drop(writer.stdin.take());
    writer.wait().unwrap();

    let part = fs::read_dir(dest).unwrap().map(|e| e.unwrap().path());
    let part = part.into_iter().find(|path| path.extension().is_some_and(|e| e == "part"));
    crate::tool::flip(&part.unwrap(), 100);
    assert_eq!(code(&["verify", dest]), 4);
    let fresh = tool.beside("fresh");
    assert_eq!(code(&["restore", "--from", dest, "--target", path(&fresh)]), 4);
    assert!(!fresh.join("CONTROL").exists());
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: the child is ours and has not been waited for.
    let sent = unsafe { libc::kill(i32::try_from(child.id()).unwrap(), signal) };
    assert_eq!(sent, 0);
}

#[test]
fn backups_beside_a_writer_hold_what_was_acknowledged_before() {
    let tool = Tool::with_store();
    let dest = tool.beside("repository");
    let mut writer = tool.spawn(&["apply", "--jobs", "1"]);
    let mut stdin = writer.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        for save in saves(1, 4000) {
            if writeln!(stdin, "{save}").is_err() {
                return;
            }
        }
    });
    let mut known = 0;
    wait_for(|| {
        let durable = tool.run(&["log", "-n", "1", "--json"]).objects();
        let before = durable.first().map_or(0, |save| save["lsn"].as_u64().unwrap());
        let done = object(&tool, &["backup", path(&dest), "--incremental", "--verify"]);
        let lsn = done["lsn"].as_u64().unwrap();
        assert!(lsn >= before && lsn >= known, "{lsn}, but {before} was durable");
        known = lsn;
        feeder.is_finished()
    });
    feeder.join().unwrap();
    writer.wait().unwrap();
    tool.ok(&["verify", path(&dest)]);
    let done = object(&tool, &["backup", path(&dest), "--incremental"]);
    assert_eq!(done["lsn"], 4000);
    let target = tool.beside("restored");
    tool.ok(&["restore", "--from", path(&dest), "--target", path(&target)]);
    assert_eq!(ok_on(path(&target), &["dump"]), tool.ok(&["dump"]));
}

#[test]
fn follow_keeps_up_and_ends_well_when_told() {
    for end in [libc::SIGTERM, libc::SIGINT] {
        let tool = Tool::with_store();
        let dest = tool.beside("repository");
        apply(&tool, 1, 10);
        tool.ok(&["backup", path(&dest), "--tag", "before"]);
        let follower =
            tool.spawn(&["backup", path(&dest), "--follow", "--every", "100ms", "--json"]);
        let newest = || {
            let ran = tool.run(&["backups", path(&dest), "--json"]);
            ran.objects().last().map_or(0, |backup| backup["lsn"].as_u64().unwrap_or(0))
        };
        for round in 1..=8 {
            apply(&tool, 10 * round + 1, 10 * round + 10);
            wait_for(|| newest() == 10 * round + 10);
        }
        signal(&follower, end);
        let output = follower.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        // Its own earlier ones are gone, the operator's is there.
        let backups = tool.run(&["backups", path(&dest), "--json"]).objects();
        assert_eq!(backups.len(), 2, "{backups:?}");
        assert_eq!(backups[0]["tag"], "before");
        tool.ok(&["verify", path(&dest)]);
        let target = tool.beside("restored");
        let at = ["--target", path(&target), "--at", "@lsn:77"];
        tool.ok(&[&["restore", "--from", path(&dest)], &at[..]].concat());
        assert_eq!(ok_on(path(&target), &["dump"]), tool.ok(&["dump", "--at", "@lsn:77"]));
        // Eight small parts were put together.
        let parts = fs::read_dir(&dest).unwrap().map(|entry| entry.unwrap().path());
        let parts = parts.filter(|path| path.extension().is_some_and(|e| e == "part")).count();
        assert!(parts <= 4, "{parts} parts");
    }
}

/// A follower once ended at its very first look, because somebody listed the backups just then.
#[test]
fn follow_waits_for_a_repository_that_somebody_reads_and_says_so() {
    let tool = Tool::with_store();
    let dest = tool.beside("repository");
    apply(&tool, 1, 10);
    tool.ok(&["backup", path(&dest)]);
    apply(&tool, 11, 12);
    let disk = std::sync::Arc::new(Real::open(&dest).unwrap());
    let held = Repository::open(disk, Hold::Read).unwrap();
    let (said, made) = (tool.beside("said"), tool.beside("made"));
    let mut command =
        tool.command(&["backup", path(&dest), "--follow", "--every", "10ms", "--json"]);
    command.stderr(fs::File::create(&said).unwrap()).stdout(fs::File::create(&made).unwrap());
    let mut follower = limited::spawn(&mut command);
    wait_for(|| fs::read_to_string(&said).unwrap().contains("trying again"));
    assert_eq!(fs::read_to_string(&made).unwrap(), "");
    drop(held);
    wait_for(|| fs::read_to_string(&made).unwrap().contains(r#""lsn":12"#));
    signal(&follower, libc::SIGTERM);
    assert_eq!(follower.wait().unwrap().code(), Some(0));
    let said = fs::read_to_string(&said).unwrap();
    assert_eq!(said.matches("trying again").count(), 1, "{said}");
}

#[test]
fn an_archive_and_a_delta_to_it_come_back() {
    let tool = Tool::with_store();
    let at = |name: &str| path(&tool.beside(name)).to_owned();
    apply(&tool, 1, 200);
    for name in ["old.tar", "old.tar.zst"] {
        tool.ok(&["backup", &at(name), "--verify"]);
        tool.ok(&["verify", &at(name)]);
    }
    apply(&tool, 201, 220);
    tool.ok(&["backup", &at("new.delta"), "--delta", &at("old.tar")]);
    let size = |name: &str| fs::metadata(at(name)).unwrap().len();
    assert!(size("new.delta") < size("old.tar") / 2);
    tool.ok(&["delta", "apply", &at("old.tar"), &at("new.delta"), &at("new.tar")]);
    for (name, lsn) in [("old.tar", 200), ("old.tar.zst", 200), ("new.tar", 220)] {
        let target = at(&format!("from-{name}"));
        tool.ok(&["restore", "--from", &at(name), "--target", &target]);
        let expected = tool.ok(&["dump", "--at", &format!("@lsn:{lsn}")]);
        assert_eq!(ok_on(&target, &["dump"]), expected, "{name}");
    }
    // Without its sum a delta is believed only if an archive comes out.
    fs::remove_file(at("new.delta.b3")).unwrap();
    tool.ok(&["delta", "apply", &at("old.tar"), &at("new.delta"), &at("again.tar")]);
    crate::tool::flip(Path::new(&at("new.delta")), 40);
    let ran = tool.run(&["delta", "apply", &at("old.tar"), &at("new.delta"), &at("bad.tar")]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(!Path::new(&at("bad.tar")).exists());
    // Nothing is left of what was made for a while.
    let entries = fs::read_dir(tool.beside("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.starts_with('.')));
}

#[test]
fn prune_says_why_and_a_linked_snapshot_says_that_it_is() {
    let tool = Tool::with_store();
    let dest = tool.beside("repository");
    apply(&tool, 1, 10);
    tool.ok(&["backup", path(&dest), "--tag", "keep-me"]);
    tool.ok(&["snapshot", "create"]);
    tool.ok(&["compact", "--drop-history"]);
    let ran = tool.run(&["backup", path(&dest), "--link-live", "--json"]);
    assert_eq!(ran.objects()[0]["linked"], true);
    assert!(ran.err.contains("shares its blocks"), "{ran:?}");
    tool.ok(&["backup", path(&dest)]);
    let rules = ["prune", path(&dest), "--keep-last", "1", "--keep-tag", "keep-me"];
    let dry = tool.ok(&[&rules[..], &["--dry-run"]].concat());
    assert_eq!(tool.ok(&["backups", path(&dest), "-h"]).lines().count(), 3);
    assert_eq!(dry.matches("keep ").count(), 2, "{dry}");
    assert!(dry.contains("(tag keep-me)") && dry.contains("(no rule keeps it)"), "{dry}");
    let done = tool.ok(&rules);
    assert_eq!(done.replace("removed", "would remove"), dry);
    assert_eq!(tool.ok(&["backups", path(&dest), "-h"]).lines().count(), 2);
    tool.ok(&["verify", path(&dest)]);
}
