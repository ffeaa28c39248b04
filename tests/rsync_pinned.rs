//! `rsync -a --rsync-path='statectl rsync'`, by the real rsync over a transport that is a script:
//! whatever a writer without any retention deletes meanwhile, no file vanishes under rsync, and
//! each copy is a store that holds what was acknowledged before.
#![cfg(feature = "cli")]

#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/limited.rs"]
mod limited;
#[path = "rsync/live.rs"]
#[allow(dead_code, reason = "two test binaries use it")]
mod live;
mod programs;

use limited::until;
use live::{Ledger, check, fresh, load, names, save_until, small};
use statedir::base::limits::PINS_MAX;
use statedir::export::pin::{Pin, PinError};
use statedir::store::{Level, verify};
use statedir::{Options, Reader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const COPIES: usize = 100;
const COPIES_MAX: usize = 400;

/// Small files, and nothing stays that is superseded.
fn no_retention() -> Options {
    small().without_history()
}

/// What stands in for ssh: the host's name goes, the rest is a command line.
fn transport(home: &Path) -> PathBuf {
    let script = home.join("transport");
    std::fs::write(&script, "#!/bin/sh\nshift\nexec sh -c \"$*\"\n").unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    script
}

/// An rsync of `from` as a host of its own would serve it.
fn pinned(home: &Path, from: &str, to: &Path, more: &[&str]) -> Command {
    let mut command = Command::new("rsync");
    command.arg("-a").arg("-e").arg(transport(home)).args(more);
    command.arg(format!("--rsync-path={} rsync", env!("CARGO_BIN_EXE_statectl")));
    command.arg(format!("host:{from}")).arg(to);
    command
}

/// The same, to its end, which is a good one.
fn copied(home: &Path, from: &str, to: &Path, more: &[&str]) -> Output {
    let output = limited::output(&mut pinned(home, from, to, more));
    ran(&output);
    output
}

fn ran(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// Folders that a pin leaves behind.
fn pins(home: &Path) -> Vec<String> {
    names(home).into_iter().filter(|name| name.contains(".pin-")).collect()
}

#[test]
fn no_file_vanishes_under_a_pinned_copy_and_each_is_valid() {
    let test = "no_file_vanishes_under_a_pinned_copy_and_each_is_valid";
    if programs::find("rsync", test).is_none() {
        return;
    }
    let (home, path, store) = fresh(&no_retention());
    let (ledger, stop) = (Ledger::default(), AtomicBool::new(false));
    let (mut copies, mut rotation, mut publication, mut deletion) = (0, 0, 0, 0);
    let enough = |copies, rotation, publication, deletion| {
        copies >= COPIES && rotation >= 50 && publication >= 20 && deletion >= 10
    };
    load(&store, &ledger, &stop, || {
        while copies < COPIES_MAX && !enough(copies, rotation, publication, deletion) {
            // In series onto the same directory; one in ten is slow.
            let copy = home.path().join(format!("copy-{}", copies / 5));
            let mut more = vec!["--delete"];
            if copies % 10 == 3 {
                more.push("--bwlimit=4m");
            }
            let before = (ledger.acknowledged(), names(&path), store.progress().checkpoints);
            let from = format!("{}/", path.display());
            copied(home.path(), &from, &copy, &more);
            let after = (names(&path), store.progress().checkpoints);
            copies += 1;
            let made = after.0.difference(&before.1);
            rotation += usize::from(made.into_iter().any(|n| n.starts_with("log-")));
            publication += usize::from(after.1 > before.2);
            deletion += usize::from(before.1.difference(&after.0).next().is_some());
            check(&copy, &ledger, before.0);
            if copies % 5 == 0 {
                std::fs::remove_dir_all(&copy).unwrap();
            }
        }
    });
    store.close().unwrap();
    println!(
        "{copies} pinned copies valid, {rotation} beside a rotation, {publication} beside a \
         snapshot, {deletion} beside a deletion"
    );
    assert!(enough(copies, rotation, publication, deletion), "too few overlaps");
    assert_eq!(pins(home.path()), [""; 0], "nothing is left beside the directory");
    assert!(names(&path).iter().all(|name| !name.starts_with('.')), "nor in it");
}

#[test]
fn a_copy_shows_one_moment_however_long_it_takes() {
    let test = "a_copy_shows_one_moment_however_long_it_takes";
    if programs::find("rsync", test).is_none() {
        return;
    }
    let (home, path, store) = fresh(&no_retention());
    let ledger = Ledger::default();
    let mut state = 1;
    save_until(&store, &ledger, &mut state, 3 << 20);
    let before = ledger.acknowledged();
    let copy = home.path().join("copy");
    let from = format!("{}/", path.display());
    // At least a second for every megabyte.
    let mut command = pinned(home.path(), &from, &copy, &["--bwlimit=1m"]);
    let mut child = limited::spawn(command.stderr(Stdio::piped()).process_group(0));
    until("rsync has begun", || copy.exists() && !names(&copy).is_empty());
    // Everything that it is about to read is superseded and deleted.
    let listed = names(&path);
    // It stands still meanwhile, however long that takes.
    let group = rustix::process::Pid::from_child(&child);
    let all = |signal| rustix::process::kill_process_group(group, signal).unwrap();
    all(rustix::process::Signal::STOP);
    save_until(&store, &ledger, &mut state, 3 << 20);
    store.checkpoint().unwrap();
    store.prune().unwrap();
    let left = names(&path);
    let gone = listed.difference(&left).count();
    assert!(gone >= 3, "{gone} files were deleted under rsync");
    assert!(child.try_wait().unwrap().is_none(), "rsync was still reading");
    all(rustix::process::Signal::CONT);
    ran(&child.wait_with_output().unwrap());
    assert_eq!(check(&copy, &ledger, before), before, "the state of the moment it began");
    let verified = verify(&copy, Level::Full).unwrap();
    assert!(verified.findings.is_empty() && verified.report.set_aside.is_none(), "{verified:?}");
    store.close().unwrap();
}

#[test]
fn repeated_copies_of_an_idle_store_transfer_nothing() {
    let test = "repeated_copies_of_an_idle_store_transfer_nothing";
    if programs::find("rsync", test).is_none() {
        return;
    }
    let (home, path, store) = fresh(&no_retention());
    let ledger = Ledger::default();
    save_until(&store, &ledger, &mut 2, 1 << 20);
    let copy = home.path().join("copy");
    let from = format!("{}/", path.display());
    copied(home.path(), &from, &copy, &[]);
    // The last save's second passes by: what is stamped then stays so.
    std::thread::sleep(Duration::from_millis(1100));
    copied(home.path(), &from, &copy, &[]);
    let again = copied(home.path(), &from, &copy, &["--itemize-changes"]);
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(!said.contains(">f"), "no file is transferred: {said}");
    store.close().unwrap();
    // Without a slash behind it, it is the directory itself that is copied, under its own name.
    let whole = home.path().join("whole");
    copied(home.path(), path.to_str().unwrap(), &whole, &[]);
    assert_eq!(check(&whole.join("state"), &ledger, ledger.acknowledged()), ledger.acknowledged());
    // And what is no state directory is served as ever.
    let plain = home.path().join("plain");
    std::fs::create_dir(&plain).unwrap();
    std::fs::write(plain.join("file"), "x").unwrap();
    let from = format!("{}/", plain.display());
    copied(home.path(), &from, &home.path().join("plain-copy"), &[]);
    assert_eq!(std::fs::read(home.path().join("plain-copy/file")).unwrap(), b"x");
}

#[test]
fn what_a_killed_run_has_left_goes_with_the_next() {
    let test = "what_a_killed_run_has_left_goes_with_the_next";
    if programs::find("rsync", test).is_none() {
        return;
    }
    let (home, path, store) = fresh(&no_retention());
    let ledger = Ledger::default();
    save_until(&store, &ledger, &mut 3, 2 << 20);
    store.close().unwrap();
    let from = format!("{}/", path.display());
    let tool = env!("CARGO_BIN_EXE_statectl");
    // A client that asks and says nothing more: the pin stays until it is killed.
    let mut server = Command::new(tool)
        .args(["rsync", "--server", "--sender", "-logDtpre.iLsfxCIvu", "."])
        .arg(&from)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("something is pinned", || !pins(home.path()).is_empty());
    // A second one does not take it for a leftover.
    copied(home.path(), &from, &home.path().join("one"), &[]);
    assert_eq!(pins(home.path()).len(), 1);
    server.kill().unwrap();
    server.wait().unwrap();
    copied(home.path(), &from, &home.path().join("two"), &[]);
    assert_eq!(pins(home.path()), [""; 0]);
    assert_eq!(
        Reader::open(&home.path().join("two")).unwrap().view().lsn().0,
        ledger.acknowledged()
    );
}

#[test]
fn one_copier_too_many_is_refused_and_told_whom_it_waits_for() {
    let (home, path, store) = fresh(&no_retention());
    store.close().unwrap();
    let mut held: Vec<Pin> = (0..PINS_MAX).map(|_| Pin::new(&path).unwrap()).collect();
    let refused = Pin::new(&path).unwrap_err();
    let PinError::Crowded { by, .. } = &refused else { panic!("{refused}") };
    assert_eq!(*by, vec![std::process::id(); PINS_MAX]);
    assert_eq!(pins(home.path()).len(), PINS_MAX, "the refused one's folder is gone");
    let dir = format!("{}/", path.display());
    let mut server = Command::new(env!("CARGO_BIN_EXE_statectl"));
    server.args(["rsync", "--server", "--sender", "-logDtpre.iLsfxCIvu", ".", &dir]);
    let served = limited::output(server.stdin(Stdio::null()));
    let said = String::from_utf8_lossy(&served.stderr);
    assert_eq!(served.status.code(), Some(7), "{said}");
    let next = format!("ps -o pid,etime,args -p {}", std::process::id());
    assert!(said.contains("as many as may") && said.contains(&next), "{said}");
    held.pop();
    held.push(Pin::new(&path).unwrap());
    drop(held);
    assert_eq!(pins(home.path()), [""; 0]);
}

#[test]
fn only_the_sending_side_is_served_and_no_store_is_damage_done() {
    let (home, path, store) = fresh(&no_retention());
    store.close().unwrap();
    let tool = |args: &[&str]| {
        limited::output(Command::new(env!("CARGO_BIN_EXE_statectl")).arg("rsync").args(args))
    };
    let dir = format!("{}/", path.display());
    assert_eq!(tool(&[]).status.code(), Some(2));
    assert_eq!(tool(&["-a", &dir, "/nowhere"]).status.code(), Some(2));
    let receive = tool(&["--server", "-logDtpre.iLsfxCIvu", ".", &dir]);
    assert_eq!(receive.status.code(), Some(9), "{receive:?}");
    assert_eq!(tool(&["--server", "--sender", "-s"]).status.code(), Some(2));
    if programs::find("rsync", "pushing to a pinned directory").is_some() {
        let mut push = Command::new("rsync");
        push.arg("-a").arg("-e").arg(transport(home.path()));
        push.arg(format!("--rsync-path={} rsync", env!("CARGO_BIN_EXE_statectl")));
        push.arg(format!("{dir}LOCK")).arg(format!("host:{dir}"));
        assert_ne!(limited::output(&mut push).status.code(), Some(0));
    }
}
