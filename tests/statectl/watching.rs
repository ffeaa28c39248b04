//! What an operator looks at: health, doctor, top, du, a rehearsed restore; and where the directory
//! comes from.

use crate::tool::{Tool, bare, feed, flip, put, wait_for};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

fn three_saves() -> Tool {
    Tool::with_saves(&[&put("t", "a", "1"), &put("t", "b", "2"), &put("u", "c", "3")])
}

/// Nagios' text, performance data apart.
fn nagios(tool: &Tool, args: &[&str]) -> (i32, String, String) {
    let ran = tool.run(&[&["health", "--nagios"], args].concat());
    let text = ran.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    let (said, data) = text.trim_end().split_once(" | ").unwrap_or((text.trim_end(), ""));
    (ran.code, said.to_owned(), data.to_owned())
}

#[test]
fn health_is_one_line_with_nagios_codes_if_wanted() {
    let tool = three_saves();
    // No share of this disk is a matter of this test.
    let any = ["--warn-free", "0", "--crit-free", "0"];
    let (code, said, data) = nagios(&tool, &any);
    assert_eq!(code, 0);
    assert!(said.starts_with("STATEDIR OK - lsn 3, epoch 1"), "{said}");
    assert!(data.split(' ').all(|metric| metric.contains('=')), "{data}");
    assert!(data.contains("lsn=3c") && data.contains("free="), "{data}");
    let plain = tool.run(&[&["health"][..], &any].concat());
    assert_eq!((plain.code, plain.text().contains(" | ")), (0, false));
    // Warnings.
    let full = ["--warn-free", "100", "--crit-free", "0"];
    assert_eq!(nagios(&tool, &full).0, 1);
    assert_eq!(tool.run(&[&["health"][..], &full].concat()).code, 3);
    let older = |than: &str| nagios(&tool, &[&any[..], &["--warn-age", than]].concat()).0;
    assert_eq!(older("1000h"), 0);
    wait_for(|| older("0") == 1);
    fs::set_permissions(tool.dir(), PermissionsExt::from_mode(0o755)).unwrap();
    let (code, said, _) = nagios(&tool, &any);
    assert_eq!(code, 1);
    assert!(said.starts_with("STATEDIR WARNING") && said.contains("chmod 700"), "{said}");
    fs::set_permissions(tool.dir(), PermissionsExt::from_mode(0o700)).unwrap();
    // Critical.
    let (code, said, _) = nagios(&tool, &[&any[..], &["--require-writer"]].concat());
    assert!(code == 2 && said.contains("no process has the store open"), "{said}");
    assert_eq!(nagios(&tool, &["--warn-free", "100", "--crit-free", "100"]).0, 2);
    flip(&tool.dir().join("CONTROL"), 10);
    flip(&tool.dir().join("CONTROL"), 4106);
    let (code, said, _) = nagios(&tool, &any);
    assert!(code == 2 && said.contains("next: "), "{said}");
    assert_eq!(tool.run(&[&["health"][..], &any].concat()).code, 4);
    assert_eq!(nagios(&Tool::new(), &any).0, 2);
    let nowhere = feed(bare().args(["health", "--nagios"]), b"");
    assert_eq!(nowhere.code, 3, "{nowhere:?}");
}

#[test]
fn doctor_says_of_each_thing_what_to_do() {
    let tool = three_saves();
    let before = tool.files();
    let ran = tool.run(&["doctor", "--json"]);
    let checks = ran.objects();
    assert!(checks.len() >= 9, "{checks:?}");
    for check in &checks {
        let fine = check["verdict"] == "ok";
        assert_eq!(fine, check["next"].is_null(), "what is wrong has a next step: {check}");
    }
    assert!(before == tool.files(), "its probe is gone");
    let find = |name: &str| {
        let ran = tool.run(&["doctor", "--json"]);
        let found = ran.objects().into_iter().find(|check| check["check"] == name);
        (ran.code, found.unwrap())
    };
    assert_eq!(find("store").1["verdict"], "ok");
    fs::set_permissions(tool.dir(), PermissionsExt::from_mode(0o755)).unwrap();
    let (code, check) = find("permissions");
    assert_eq!((code, &check["verdict"]), (1, &"fail".into()));
    assert!(check["next"].as_str().unwrap().starts_with("chmod 700 "));
    fs::set_permissions(tool.dir(), PermissionsExt::from_mode(0o700)).unwrap();
    flip(&tool.dir().join("CONTROL"), 10);
    flip(&tool.dir().join("CONTROL"), 4106);
    assert_eq!(find("store").0, 4);
    let none = Tool::new();
    let ran = none.run(&["doctor"]);
    assert_eq!(ran.code, 1);
    assert!(ran.text().trim_end().ends_with("init"), "{}", ran.text());
}

#[test]
fn fast_storage_is_measured_doctor_times_64_flushes() {
    let tool = three_saves();
    let flushes = |more: &[&str]| {
        let ran = tool.run(&[&["doctor", "--json"], more].concat());
        let found = ran.objects().into_iter().find(|check| check["check"] == "flushes");
        found.unwrap()["what"].as_str().unwrap().to_owned()
    };
    let said = flushes(&[]);
    let (took, _) = said.split_once(" ms (median of 64)").unwrap_or_else(|| panic!("{said}"));
    assert!(took.parse::<f64>().is_ok(), "{said}");
    assert!(flushes(&["--no-probe"]).starts_with("not timed"));
}

#[test]
fn doctor_holds_slurm_conf_against_the_directory() {
    let tool = three_saves();
    let conf = tool.beside("slurm.conf");
    let check = |text: &str| {
        fs::write(&conf, text).unwrap();
        let mut command = tool.command(&["doctor", "--no-probe", "--json"]);
        let ran = feed(command.env("SLURM_CONF", &conf), b"");
        let found = ran.objects().into_iter().find(|check| check["check"] == "slurm.conf");
        found.unwrap()["verdict"].as_str().unwrap().to_owned()
    };
    let dir = tool.dir();
    assert_eq!(check(&format!("StateSaveLocation={}/\n", dir.display())), "ok");
    assert_eq!(check("StateSaveLocation=/tmp\n"), "warn");
    assert_eq!(check("StateSaveLocation=/nowhere/at/all\n"), "fail");
    assert_eq!(check("ClusterName=c\n"), "fail");
}

#[test]
fn what_root_makes_in_the_directory_of_another_user_is_that_users() {
    const NOBODY: u32 = 65534;
    let test = "what_root_makes_in_the_directory_of_another_user_is_that_users";
    if !crate::programs::root(test) {
        return;
    }
    let owners = |dir: &Path| {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
        let mut owners: Vec<u32> = entries.map(|file| file.uid()).collect();
        owners.push(dir.metadata().unwrap().uid());
        owners.sort_unstable();
        owners.dedup();
        owners
    };
    let tool = Tool::new();
    fs::DirBuilder::new().mode(0o700).create(tool.dir()).unwrap();
    chown(tool.dir(), Some(NOBODY), Some(NOBODY)).unwrap();
    tool.ok(&["init"]);
    tool.ok(&["put", "t", "a", "1"]);
    tool.ok(&["snapshot", "create", "--tag", "x"]);
    assert_eq!(owners(&tool.dir()), [NOBODY], "{:?}", tool.files().keys());
    let repository = tool.beside("repository");
    tool.ok(&["backup", repository.to_str().unwrap()]);
    assert_eq!(owners(&repository), [0], "a directory of root's own");
    tool.ok(&["restore", "--from", repository.to_str().unwrap(), "--in-place"]);
    assert_eq!(owners(&tool.dir()), [NOBODY]);
    // One that is not there yet is SlurmUser's, if slurm.conf names it.
    let (conf, fresh) = (tool.beside("slurm.conf"), tool.beside("fresh"));
    let restore = || {
        let mut command = bare();
        command.args(["restore", "--from"]).arg(&repository).arg("--target").arg(&fresh);
        let ran = feed(command.env("SLURM_CONF", &conf), b"");
        assert_eq!(ran.code, 0, "{ran:?}");
    };
    let text = |user: &str| {
        let fresh = fresh.display();
        format!(
            "ClusterName=c\nSlurmctldHost=h\nSlurmUser={user}\nStateSaveLocation={fresh}\n\
             NodeName=n\nPartitionName=p Nodes=n\n"
        )
    };
    fs::write(&conf, text("65534")).unwrap();
    restore();
    assert_eq!(owners(&fresh), [NOBODY]);
    let owned = |user: &str| {
        fs::write(&conf, text(user)).unwrap();
        let mut command = bare();
        command.arg("-C").arg(&fresh).args(["doctor", "--no-probe", "--json"]);
        let ran = feed(command.env("SLURM_CONF", &conf), b"");
        ran.objects().into_iter().find(|check| check["check"] == "owners").unwrap()
    };
    assert_eq!(owned("65534")["verdict"], "ok");
    let other = owned("root");
    assert_eq!(other["verdict"], "fail", "{other}");
    assert!(other["next"].as_str().unwrap().starts_with("chown -R root: "), "{other}");
}

#[test]
fn directory_comes_from_slurm_conf_if_nothing_else_names_one() {
    let tool = three_saves();
    let conf = tool.beside("slurm.conf");
    fs::write(tool.beside("more.conf"), format!("statesavelocation={}\n", tool.dir().display()))
        .unwrap();
    fs::write(&conf, "ClusterName=c # a comment\nInclude more.conf\n").unwrap();
    let get =
        |command: &mut Command| feed(command.env("SLURM_CONF", &conf).args(["get", "t", "a"]), b"");
    assert_eq!(get(&mut bare()).text(), "1");
    let other = Tool::with_saves(&[&put("t", "a", "other")]);
    assert_eq!(get(bare().env("STATECTL_DIR", other.dir())).text(), "other");
    assert_eq!(get(bare().arg("-C").arg(other.dir())).text(), "other");
    fs::write(&conf, "ClusterName=c\n").unwrap();
    let refused = get(&mut bare());
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("names no StateSaveLocation"), "{}", refused.err);
    // What needs no directory does not ask for one.
    assert_eq!(feed(bare().env("SLURM_CONF", &conf).args(["man"]), b"").code, 0);
}

#[test]
fn top_prints_a_line_each_time_where_there_is_no_terminal() {
    let tool = three_saves();
    let ran = tool.run(&["top", "-n", "3", "-i", "0.01"]);
    assert_eq!((ran.code, ran.text().lines().count()), (0, 4), "{ran:?}");
    assert_eq!(tool.run(&["top", "-h", "-n", "1", "-i", "0"]).text().lines().count(), 1);
    // It sees what a writer saves meanwhile, and by table.
    let mut writer = tool.spawn(&["apply"]);
    let mut top = tool.spawn(&["top", "--json", "-n", "2000", "-i", "0.05"]);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(top.stdout.take().unwrap()));
    let mut next =
        || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["lsn"], 3);
    let mut stdin = writer.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, format!("{}\n", put("jobs", "k", "v")).as_bytes())
        .unwrap();
    // A reader sees it once a watermark vouches for it: 2000 looks are more than it ever takes.
    let seen = (0..1990).map(|_| next()).find(|line| line["lsn"] == 4).unwrap();
    assert_eq!((&seen["saves"], &seen["writer"]), (&1.into(), &true.into()));
    assert_eq!(seen["tables"][0]["table"], "jobs");
    drop(stdin);
    writer.wait().unwrap();
    top.kill().unwrap();
    top.wait().unwrap();
}

#[test]
fn du_counts_each_file_once_whatever_it_is_called() {
    let tool = three_saves();
    tool.ok(&["snapshot", "create", "--tag", "one"]);
    tool.ok(&["snapshot", "tag", "latest", "two"]);
    fs::create_dir_all(tool.dir().join("lost+found/deep")).unwrap();
    fs::write(tool.dir().join("lost+found/deep/file"), vec![1; 12345]).unwrap();
    std::os::unix::fs::symlink("CONTROL", tool.dir().join("link")).unwrap();
    for (ours, theirs) in [("-sb", "-sb"), ("-s", "-s --block-size=1")] {
        let du = Command::new("du").args(theirs.split(' ')).arg(tool.dir()).output().unwrap();
        let du = String::from_utf8(du.stdout).unwrap();
        let bytes: u64 = du.split_whitespace().next().unwrap().parse().unwrap();
        let said = tool.run(&["du", "--json"]).objects().remove(0);
        let field = if ours == "-sb" { "total_apparent" } else { "total_allocated" };
        assert_eq!(said[field], bytes, "{du}");
    }
    let du = Command::new("du").arg("-sb").arg(tool.dir()).output().unwrap();
    assert_eq!(tool.ok(&["du", "-sb"]).into_bytes(), du.stdout);
    let parts = tool.ok(&["du"]);
    let names =
        ["logical", "log", "snapshots", "reserve", "other", "reclaimable", "total", "growth/h"];
    for (line, name) in parts.lines().zip(names) {
        assert!(line.starts_with(name), "{parts}");
    }
}

#[test]
fn restore_test_opens_a_copy_and_leaves_nothing_behind() {
    let tool = three_saves();
    tool.ok(&["snapshot", "create"]);
    tool.ok(&["put", "t", "d", "4"]);
    let scratch = tool.beside("scratch");
    fs::create_dir(&scratch).unwrap();
    let args = ["verify", "--full", "--restore-test", "--scratch", scratch.to_str().unwrap()];
    let before = tool.files();
    let said = tool.ok(&args);
    assert!(said.contains("; restored at lsn 4, 4 entries equal, "), "{said}");
    assert!(before == tool.files());
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    assert_eq!(fs::read_dir(tool.beside("")).unwrap().count(), 2, "no pin is left");
    // Beside a writer, too.
    let mut writer = tool.spawn(&["apply"]);
    let mut stdin = writer.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, format!("{}\n", put("t", "e", "5")).as_bytes()).unwrap();
    let mut line = String::new();
    let mut lines = std::io::BufReader::new(writer.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
    let said = tool.run(&args);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.text().contains("5 entries equal"), "{said:?}");
    drop(stdin);
    writer.wait().unwrap();
    // What cannot be restored is said as damage, and nothing is left behind.
    let log = tool.newest("log-");
    flip(&log, 4096 + 20);
    assert_eq!(tool.run(&args).code, 4);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    let refused = tool.run(&["verify", "--restore-test", "--scratch", "/nowhere/at/all"]);
    assert_ne!(refused.code, 0);
}

#[test]
fn restore_test_of_a_repository_restores_the_newest_backup_and_leaves_nothing_behind() {
    let tool = three_saves();
    let repository = tool.beside("repository");
    let repository = repository.to_str().unwrap();
    tool.ok(&["backup", repository]);
    tool.ok(&["put", "t", "d", "4"]);
    tool.ok(&["backup", repository, "--incremental"]);
    let scratch = tool.beside("scratch");
    fs::create_dir(&scratch).unwrap();
    let args = ["verify", repository, "--restore-test", "--scratch", scratch.to_str().unwrap()];
    let said = tool.ok(&args);
    assert!(said.contains("backups 2/2 ok"), "{said}");
    assert!(said.contains(" restored at lsn 4, 4 entries equal, "), "{said}");
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    let part = fs::read_dir(repository).unwrap().map(|entry| entry.unwrap().path());
    let part = part.filter(|path| path.metadata().unwrap().len() > 300).max();
    flip(&part.expect("it holds something"), 200);
    assert_eq!(tool.run(&args).code, 4, "nothing damaged is said to be restorable");
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
}

#[test]
fn restore_test_of_an_archive_restores_it_and_leaves_nothing_behind() {
    let tool = three_saves();
    let scratch = tool.beside("scratch");
    fs::create_dir(&scratch).unwrap();
    for name in ["monday.tar.zst", "monday.tar"] {
        let archive = tool.beside(name);
        let archive = archive.to_str().unwrap();
        tool.ok(&["backup", archive]);
        let beside = fs::read_dir(tool.beside("")).unwrap().count();
        // What a test left that was killed goes with the next one.
        let left = scratch.join(".restore-test-1-1");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("REPOSITORY"), "").unwrap();
        let args = ["verify", archive, "--restore-test", "--scratch", scratch.to_str().unwrap()];
        let said = tool.ok(&args);
        assert!(said.starts_with("archive ok; backup "), "{said}");
        assert!(said.contains(" restored at lsn 3, 3 entries equal, "), "{said}");
        let objects = tool.run(&[&args[..], &["--json"]].concat()).objects();
        let restored = &objects[1]["restore_test"];
        assert_eq!((&restored["entries"], &restored["lsn"]), (&3.into(), &3.into()));
        assert!(restored["bytes"].as_u64().unwrap() < 1 << 20, "{restored}");
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
        let middle = usize::try_from(fs::metadata(archive).unwrap().len() / 2).unwrap();
        (middle..middle + 40).for_each(|at| flip(Path::new(archive), at));
        assert_eq!(tool.run(&args).code, 4, "nothing damaged is said to be restorable");
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
        assert_eq!(fs::read_dir(tool.beside("")).unwrap().count(), beside);
        let nowhere = ["verify", archive, "--restore-test", "--scratch", "/nowhere/at/all"];
        assert_ne!(tool.run(&nowhere).code, 0);
    }
}
