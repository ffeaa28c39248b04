//! Plain trees: written whole, linked where nothing changed, read back exactly, and refused where
//! they are not what they should be. And what differs between two states.

use crate::limited;
use crate::tool::{Tool, put};
use statedir::base::Local;
use statedir::{Batch, Options, Store};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A store with every kind of key and value that is hard to name a file after.
fn odd_store() -> Tool {
    let tool = Tool::with_store();
    let store = Store::open(&tool.dir(), Options::default(), Arc::new(Local)).unwrap();
    let mut batch = Batch::new();
    for byte in 0..=255_u8 {
        batch.put("bytes", &[byte], &[byte]).unwrap();
        batch.put("bytes", &[byte, b'.', byte], b"").unwrap();
    }
    let long = |byte: u8, len: usize| vec![byte; len];
    for key in [
        long(b'k', 239),
        long(b'k', 240),
        long(b'k', 241),
        long(b'k', 255),
        long(b'k', 4096),
        long(0xff, 80),
        long(0xff, 81),
        long(0xff, 4096),
        long(b'/', 4096),
    ] {
        batch.put("long", &key, &key).unwrap();
    }
    for (table, key) in
        [(".", ".."), ("..", "."), ("..", "../../../etc/passwd"), (".hidden", "%2E")]
    {
        batch.put(table, key.as_bytes(), key.as_bytes()).unwrap();
    }
    store.save(batch).unwrap();
    store.close().unwrap();
    tool
}

/// Everything under `path`, relative to it.
fn everything(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut left = vec![path.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                left.push(entry.path());
            }
            found.insert(entry.path().strip_prefix(path).unwrap().to_owned());
        }
    }
    found
}

#[test]
fn a_tree_reads_back_as_the_same_state_whatever_the_keys() {
    let tool = odd_store();
    let tree = tool.beside("tree");
    let dump = tool.ok(&["dump", "--json"]);
    let said = tool.run(&["export", arg(&tree), "--json"]).objects().remove(0);
    assert_eq!(said["entries"], dump.lines().count());
    assert_eq!(tool.ok(&["diff", arg(&tree), "latest", "-e"]), "");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&tree), 0o700);
    for path in everything(&tree) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.len() <= 240 && name.is_ascii(), "{name}");
        assert!(!name.starts_with('.') || name == ".statectl-export", "{name}");
        assert!(path.components().count() <= 2, "{path:?}");
        assert_eq!(mode(&tree.join(&path)), if tree.join(&path).is_dir() { 0o700 } else { 0o600 });
    }
    let other = Tool::with_saves(&[&put("gone", "k", "v"), &put("long", "k", "v")]);
    other.ok(&["import", arg(&tree)]);
    assert_eq!(other.ok(&["dump", "--json"]), dump);
    assert_eq!(other.ok(&["import", arg(&tree), "--json"]).matches(r#""saves":0"#).count(), 1);
    // And a plain copy of the tree is as good.
    let copy = tool.beside("copy");
    assert!(Command::new("cp").arg("-r").args([&tree, &copy]).status().unwrap().success());
    assert_eq!(tool.ok(&["diff", arg(&copy), arg(&tool.dir()), "-e"]), "");
}

#[test]
fn files_that_have_not_changed_are_linked_and_older_trees_stay_as_they_are() {
    let tool = Tool::with_saves(&[&put("t", "a", "1"), &put("t", "b", "2"), &put("u", "c", "3")]);
    let (first, second) = (tool.beside("1"), tool.beside("2"));
    tool.ok(&["export", arg(&first)]);
    tool.ok(&["put", "t", "b", "X"]);
    tool.ok(&["put", "t", "d", "4"]);
    tool.ok(&["delete", "u", "c"]);
    let said = tool.run(&["export", arg(&second), "--link-dest", arg(&first), "--json"]).objects();
    assert_eq!((&said[0]["linked"], &said[0]["written_bytes"]), (&1.into(), &2.into()));
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(first.join("t/a")), inode(second.join("t/a")));
    assert_ne!(inode(first.join("t/b")), inode(second.join("t/b")));
    assert_eq!(fs::read(first.join("t/b")).unwrap(), b"2");
    assert_eq!(tool.ok(&["diff", arg(&first), arg(&second)]), "M t b 1\n+ t d 1\n- u c 1\n");
    // A file that others may read is not taken over.
    fs::set_permissions(second.join("t/a"), PermissionsExt::from_mode(0o644)).unwrap();
    let third = tool.beside("3");
    let said = tool.run(&["export", arg(&third), "--link-dest", arg(&second), "--json"]).objects();
    assert_eq!(said[0]["linked"], 2);
    assert_eq!(fs::metadata(third.join("t/a")).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_tree_takes_the_place_of_an_older_one_in_one_step_and_of_nothing_else() {
    let tool = Tool::with_saves(&[&put("t", "a", "1"), &put("t", "b", "2")]);
    let tree = tool.beside("tree");
    tool.ok(&["export", arg(&tree)]);
    let refused = tool.run(&["export", arg(&tree)]);
    assert_eq!(refused.code, 9, "{refused:?}");
    tool.ok(&["put", "t", "b", "3"]);
    let said = tool.run(&["export", arg(&tree), "--replace", "--json"]).objects();
    assert_eq!(said[0]["linked"], 1);
    assert_eq!(tool.ok(&["diff", arg(&tree), "-e"]), "");
    let other = tool.beside("precious");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("file"), "x").unwrap();
    for target in [&other, &tool.dir(), &other.join("file")] {
        let refused = tool.run(&["export", arg(target), "--replace"]);
        assert_eq!(refused.code, 9, "{refused:?}");
    }
    assert_eq!(everything(&other).len(), 1);
    assert_eq!(tool.run(&["export", arg(&tool.beside("no/parent"))]).code, 5);
    assert_eq!(tool.run(&["export", "/"]).code, 9);
}

#[test]
fn a_killed_export_leaves_no_tree_and_the_next_one_cleans_up() {
    let tool = Tool::with_store();
    let store = Store::open(&tool.dir(), Options::default(), Arc::new(Local)).unwrap();
    let mut batch = Batch::new();
    for number in 0..3000 {
        batch.put("t", format!("{number}").as_bytes(), &[7; 100]).unwrap();
    }
    store.save(batch).unwrap();
    store.close().unwrap();
    let tree = tool.beside("tree");
    let left = || {
        let names = fs::read_dir(tool.beside("")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".tree.statectl-")).collect::<Vec<_>>()
    };
    let mut killed = 0;
    for round in 0..40 {
        let mut command = tool.command(&["export", arg(&tree)]);
        let mut child = limited::spawn(command.stdout(Stdio::null()));
        // Until it has begun, and a little longer each time.
        while left().is_empty() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_millis(round));
        child.kill().unwrap();
        child.wait().unwrap();
        if tree.exists() {
            assert_eq!(tool.ok(&["diff", arg(&tree), "-e"]), "", "whole, or not at all");
            fs::remove_dir_all(&tree).unwrap();
        } else {
            killed += 1;
            assert!(left().len() <= 1, "{:?}", left());
        }
    }
    assert!(killed > 3, "{killed} of 40 were killed while they wrote");
    tool.ok(&["export", arg(&tree)]);
    assert_eq!(left(), [""; 0]);
}

#[test]
fn hostile_trees_are_refused_by_name_before_anything_is_saved() {
    let tool = Tool::with_saves(&[&put("t", "a", "1")]);
    let before = tool.files();
    let outside = tool.beside("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "s").unwrap();
    let made = |name: &str| {
        let tree = tool.beside(name);
        tool.ok(&["export", arg(&tree)]);
        tree
    };
    let link = made("link");
    symlink(outside.join("secret"), link.join("t/b")).unwrap();
    let table = made("table");
    symlink(&outside, table.join("u")).unwrap();
    let fifo = made("fifo");
    assert!(Command::new("mkfifo").arg(fifo.join("t/b")).status().unwrap().success());
    let folder = made("folder");
    fs::create_dir(folder.join("t/b")).unwrap();
    let file = made("file");
    fs::write(file.join("stray"), "").unwrap();
    let upper = made("upper");
    fs::create_dir(upper.join("Jobs")).unwrap();
    let dots = made("dots");
    fs::write(dots.join("t/%2e%2e"), "").unwrap();
    let hidden = made("hidden");
    fs::write(hidden.join("t/.b"), "").unwrap();
    let half = made("half");
    fs::write(half.join("t/%4"), "").unwrap();
    let alone = made("alone");
    let name = format!("%K{}", "0".repeat(32));
    fs::write(alone.join(format!("t/{name}.key")), "x").unwrap();
    let other_key = made("other-key");
    fs::write(other_key.join(format!("t/{name}.key")), vec![b'x'; 4096]).unwrap();
    fs::write(other_key.join(format!("t/{name}.value")), "").unwrap();
    let bomb = made("bomb");
    fs::write(bomb.join(format!("t/{name}.value")), "").unwrap();
    fs::File::create(bomb.join(format!("t/{name}.key"))).unwrap().set_len(1 << 40).unwrap();
    let large = made("large");
    fs::File::create(large.join("t/b")).unwrap().set_len((64 << 20) + 1).unwrap();
    let newer = made("newer");
    fs::write(newer.join(".statectl-export"), "statectl-export 2\n").unwrap();
    let about = made("about");
    fs::File::create(about.join(".statectl-export")).unwrap().set_len(1 << 40).unwrap();
    let mut trees = vec![
        (link, "t/b"),
        (table, "u"),
        (fifo, "t/b"),
        (folder, "t/b"),
        (file, "stray"),
        (upper, "Jobs"),
        (dots, "t/%2e%2e"),
        (hidden, "t/.b"),
        (half, "t/%4"),
        (alone, "t/%K"),
        (other_key, "t/%K"),
        (bomb, "t/%K"),
        (large, "t/b"),
        (newer, ".statectl-export"),
        (about, ".statectl-export"),
    ];
    let device = made("device");
    let null = Command::new("mknod").arg(device.join("t/b")).args(["c", "1", "3"]).status();
    if null.is_ok_and(|status| status.success()) {
        trees.push((device, "t/b"));
    } else {
        crate::programs::cannot("a device in a tree: none can be made here");
    }
    for (tree, named) in &trees {
        for args in [&["import", arg(tree)][..], &["diff", arg(tree), "latest"]] {
            let refused = tool.run(args);
            assert_eq!(refused.code, 1, "{args:?}: {refused:?}");
            assert_eq!(refused.err.lines().count(), 1, "{refused:?}");
            assert!(refused.err.contains(named), "{named}: {}", refused.err);
        }
    }
    assert!(before == tool.files(), "nothing was saved");
    assert_eq!(everything(&outside).len(), 1);
    // An empty folder is no tree: importing it would delete everything.
    let empty = tool.beside("empty");
    fs::create_dir(&empty).unwrap();
    assert_eq!(tool.run(&["import", arg(&empty)]).code, 9);
    assert_eq!(tool.run(&["import", arg(&tool.beside("nowhere"))]).code, 5);
    // A link among older trees is not followed, either: the file is written.
    let prev = made("prev");
    fs::remove_file(prev.join("t/a")).unwrap();
    fs::write(outside.join("one"), "1").unwrap();
    symlink(outside.join("one"), prev.join("t/a")).unwrap();
    let next = tool.beside("next");
    tool.ok(&["export", arg(&next), "--link-dest", arg(&prev)]);
    assert!(fs::symlink_metadata(next.join("t/a")).unwrap().is_file());
}

#[test]
fn import_deletes_what_the_tree_does_not_hold_unless_told_otherwise() {
    let tool = Tool::with_saves(&[&put("t", "a", "1"), &put("t", "b", "2"), &put("u", "c", "3")]);
    let tree = tool.beside("tree");
    fs::create_dir_all(tree.join("t")).unwrap();
    fs::write(tree.join("t/a"), "9").unwrap();
    let before = tool.files();
    let plan = tool.ok(&["import", arg(&tree), "--dry-run"]);
    assert_eq!(plan, "would save: 1 put (2 B), 2 deleted, 0 unchanged\n");
    assert!(before == tool.files());
    tool.ok(&["import", arg(&tree), "--no-delete"]);
    assert_eq!(tool.ok(&["dump"]), "t a 9\nt b 2\nu c 3\n");
    let said = tool.ok(&["import", arg(&tree)]);
    assert_eq!(said, "lsn 5: 0 put (0 B), 2 deleted, 1 unchanged\n", "one save");
    assert_eq!(tool.ok(&["dump"]), "t a 9\n");
}

#[test]
fn a_large_tree_takes_little_memory() {
    // 10^6 files take a minute to make: STATEDIR_FILES=1000000.
    let files = std::env::var("STATEDIR_FILES").map_or(20_000, |n| n.parse().unwrap());
    let tool = Tool::with_store();
    let tree = tool.beside("tree");
    fs::create_dir_all(tree.join("t")).unwrap();
    for number in 0..files {
        fs::write(tree.join(format!("t/{number}")), b"v").unwrap();
    }
    // Address space: what it maps to begin with is about 50 MB.
    let within = |kib: u32, args: &str| {
        let (dir, tree) = (tool.dir(), tree.clone());
        let script = format!("ulimit -v {kib} && exec \"$0\" -C \"$1\" {args} \"$2\"");
        let mut command = Command::new("bash");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_statectl")]).args([dir, tree]);
        limited::output(&mut command)
    };
    let planned = within(100_000, "import --dry-run");
    assert!(planned.status.success(), "{planned:?}");
    let plan = String::from_utf8(planned.stdout).unwrap();
    assert!(plan.starts_with(&format!("would save: {files} put")), "{plan}");
    // One that is no tree is refused at its first bad name.
    fs::write(tree.join("t/%"), "").unwrap();
    assert_eq!(within(100_000, "import").status.code(), Some(1));
    fs::remove_file(tree.join("t/%")).unwrap();
    tool.ok(&["import", arg(&tree)]);
    assert_eq!(tool.run(&["du", "--by", "table", "--json"]).objects()[0]["entries"], files);
    assert_eq!(tool.ok(&["diff", arg(&tree), "-e"]), "");
}

#[test]
fn diff_says_what_was_added_removed_and_modified_between_any_two_states() {
    let tool = Tool::with_saves(&[
        &put("t", "a", "1"),
        &put("t", "b", "22"),
        &put("u", "\u{1b}[31m", "3"),
    ]);
    tool.ok(&["snapshot", "create", "--tag", "before"]);
    tool.ok(&["delete", "t", "a"]);
    tool.ok(&["put", "t", "b", "333"]);
    tool.ok(&["put", "v", "k", "same"]);
    let expected = "- t a 1\nM t b 2>3\n+ v k 4\n";
    for a in ["@lsn:3", "tag:before"] {
        assert_eq!(tool.ok(&["diff", a]), expected);
        assert_eq!(tool.ok(&["diff", a, "@lsn:6"]), expected);
    }
    assert_eq!(tool.ok(&["diff", "latest", "@lsn:3"]), "+ t a 1\nM t b 3>2\n- v k 4\n");
    assert_eq!(tool.ok(&["diff", "@lsn:2", "@lsn:3"]), "+ u \\x1b[31m 1\n", "terminals are safe");
    assert_eq!(tool.ok(&["diff", "@lsn:3", "--table", "v"]), "+ v k 4\n");
    assert_eq!(tool.run(&["diff", "@lsn:3", "-e"]).code, 1);
    assert_eq!(tool.run(&["diff", "@lsn:3", "@lsn:3", "-e"]).code, 0);
    let objects = tool.run(&["diff", "@lsn:3", "--json"]).objects();
    assert_eq!(objects[1]["change"], "M");
    assert_eq!((&objects[1]["old_bytes"], &objects[1]["new_bytes"]), (&2.into(), &3.into()));
    assert_eq!(objects[0]["key"], "a");
    // Another directory, a copy of it, and a tree.
    let copy = tool.beside("copy");
    assert!(Command::new("cp").arg("-a").args([&tool.dir(), &copy]).status().unwrap().success());
    tool.ok(&["put", "t", "c", "new"]);
    assert_eq!(tool.ok(&["diff", arg(&copy), "latest"]), "+ t c 3\n");
    let tree = tool.beside("tree");
    tool.ok(&["export", arg(&tree), "--at", "tag:before"]);
    assert_eq!(tool.ok(&["diff", arg(&tree), arg(&copy)]), expected);
    assert_eq!(tool.run(&["diff", "@lsn:99"]).code, 5);
    assert_eq!(tool.run(&["diff", "nonsense"]).code, 2);
    assert_eq!(tool.run(&["diff", "./nowhere"]).code, 5);
}
