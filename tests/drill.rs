//! The drill counts rightly: a cluster that does well passes; one that forgets a job, changes a
//! script, loses an output or runs a job twice, each done here on purpose, does not. Whatever ends
//! a drill, nothing of it stays.
//!
//! The sabotage is in programs that stand in for the real ones, not in the drill.
#![cfg(all(feature = "drill", feature = "cli"))]

#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/limited.rs"]
mod limited;
#[allow(dead_code, reason = "nothing of another package is needed")]
#[path = "programs/mod.rs"]
mod programs;

use limited::until;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const DRILL: &str = env!("CARGO_BIN_EXE_statedir-drill");

/// A folder for directories of drills, and one of programs.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        for name in ["slurmctld", "slurmd", "sbatch", "scontrol", "sinfo", "squeue"] {
            let real = Path::new(DRILL).with_file_name(name);
            std::os::unix::fs::symlink(real, dir.path().join("bin").join(name)).unwrap();
        }
        Stage { dir }
    }

    fn tmp(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    /// A script stands in for a program; `$real` is the real one, `$statectl` the operator's tool,
    /// `$stage` a folder.
    fn replace(&self, name: &str, script: &str) {
        let path = self.bin().join(name);
        fs::remove_file(&path).unwrap();
        let real = Path::new(DRILL).with_file_name(name);
        let statectl = Path::new(DRILL).with_file_name("statectl");
        let (real, statectl, stage) =
            (real.display(), statectl.display(), self.dir.path().display());
        let head = format!("#!/bin/sh\nreal={real} statectl={statectl} stage={stage}\n");
        fs::write(&path, head + script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(DRILL);
        command.args(args).arg("--programs").arg(self.bin()).env("TMPDIR", self.tmp());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } = limited::output(&mut self.command(args));
        let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
        (status.code().unwrap(), said)
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(self.tmp()).unwrap().next().is_none()
    }

    /// Processes that were started in the drill's directory.
    fn left(&self) -> Vec<String> {
        let mark = self.tmp().to_str().unwrap().to_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
            let all = [read("cmdline"), read("environ")].concat();
            let text = String::from_utf8_lossy(&all).into_owned();
            if text.contains(&format!("{mark}/")) {
                found.push(text);
            }
        }
        found
    }
}

const SMALL: [&str; 4] = ["--scenario", "kill", "--jobs", "30"];

#[test]
fn regularly_test_your_ha_setup_a_cluster_that_loses_nothing_passes_and_leaves_nothing_behind() {
    let stage = Stage::new();
    // The folder of programs may be said as seen from here.
    let mut command = Command::new(DRILL);
    command
        .args(["--scenario", "takeover,all", "--jobs", "40", "--programs", "bin"])
        .current_dir(stage.dir.path())
        .env("TMPDIR", stage.tmp())
        .stdin(Stdio::null());
    let ended = limited::output(&mut command);
    let said = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(said.contains("drill passed: 80 acknowledged, 0 lost, 0 run twice"), "{said}");
    assert!(said.contains("80 times sbatch printed an id: scontrol knows 80 of them"), "{said}");
    assert!(stage.is_empty());
    assert_eq!(stage.left(), Vec::<String>::new());
}

/// What is done on purpose, and what the drill must say.
fn sabotage(program: &str, script: &str, kind: &str, counted: &str) {
    let stage = Stage::new();
    stage.replace(program, script);
    let (code, said) = stage.run(&SMALL);
    assert_eq!(code, 1, "{said}");
    assert!(said.lines().any(|line| line.starts_with(kind)), "{kind}: {said}");
    assert!(said.contains(&format!("drill FAILED: 30 acknowledged, {counted},")), "{said}");
    assert!(said.contains("kept as evidence") && !stage.is_empty(), "{said}");
    assert_eq!(stage.left(), Vec::<String>::new());
}

#[test]
fn a_job_that_the_controllers_forget_is_counted_as_lost() {
    let script = r#"
case "$*" in *"show job"*) "$real" "$@" | grep -v '^JobId=1 ' ;; *) exec "$real" "$@" ;; esac
"#;
    sabotage("scontrol", script, "unknown: 1 ", "1 lost, 0 run twice");
}

/// From the moment of the fault on one submission is told an id that is no job's, and one job runs
/// twice: both are counted, whatever happens to the controllers.
fn after(scenario: &str) {
    let stage = Stage::new();
    let script = r#"
for last; do :; done
# The fault is in the middle of thirty.
case "$*" in
*drill-28\ *) echo Submitted batch job 987654; exit ;;
*drill-29\ *)
    said=$("$real" "$@") || exit
    while [ $# -gt 0 ]; do [ "$1" = -o ] && out=${2%j}; shift; done
    sh "$last" >>"${out%\%}${said##* }"
    echo "$said" ;;
*) exec "$real" "$@" ;;
esac
"#;
    stage.replace("sbatch", script);
    let (code, said) = stage.run(&["--scenario", scenario, "--jobs", "30"]);
    if code == 3 && said.contains("leave it out of --scenario") {
        return programs::cannot(&format!("drill {scenario}: not possible here"));
    }
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("unknown: 1 (ids 987654)"), "{said}");
    assert!(said.contains("\nran twice: 1 (ids "), "{said}");
    assert!(said.contains(" acknowledged, 1 lost, 1 run twice,"), "{said}");
    assert_eq!(stage.left(), Vec::<String>::new());
}

#[test]
fn loss_and_repetition_are_counted_when_the_primary_is_stopped_or_hands_over() {
    after("stop");
    after("takeover");
}

#[test]
fn loss_and_repetition_are_counted_when_the_primary_is_frozen() {
    after("hang");
    after("freeze");
}

#[test]
fn loss_and_repetition_are_counted_when_the_disk_is_full() {
    after("full");
}

#[test]
fn loss_and_repetition_are_counted_when_networks_are_cut() {
    after("cut");
}

#[test]
fn a_primary_whose_network_is_cut_is_followed_and_a_cut_between_the_two_changes_nothing() {
    let stage = Stage::new();
    let (code, said) = stage.run(&["--scenario", "cut,link", "--jobs", "30"]);
    if code == 3 && said.contains("leave it out of --scenario") {
        return programs::cannot("drill cut,link: not possible here");
    }
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("drill passed: 60 acknowledged, 0 lost, 0 run twice"), "{said}");
    assert_eq!(stage.left(), Vec::<String>::new());
}

#[test]
fn a_script_that_is_another_one_is_counted_as_lost() {
    let script = r#"
for last; do :; done
case "$*" in *drill-7\ *) echo : changed >>"$last" ;; esac
exec "$real" "$@"
"#;
    sabotage("sbatch", script, "other script: 1 ", "1 lost, 0 run twice");
}

#[test]
fn an_output_that_never_appears_is_counted_as_lost() {
    let script = r#"
for last; do :; done
case "$*" in *drill-7\ *) set -- -J drill-7 -o /dev/null "$last" ;; esac
exec "$real" "$@"
"#;
    sabotage("sbatch", script, "no output: 1 ", "1 lost, 0 run twice");
}

#[test]
fn a_job_that_runs_twice_is_counted_by_its_own_output() {
    let script = r#"
for last; do :; done
said=$("$real" "$@") || exit
case "$*" in *drill-7\ *)
    while [ $# -gt 0 ]; do [ "$1" = -o ] && out=${2%j}; shift; done
    sh "$last" >>"${out%\%}${said##* }" ;;
esac
echo "$said"
"#;
    sabotage("sbatch", script, "ran twice: 1 ", "0 lost, 1 run twice");
}

#[test]
fn a_submission_that_makes_two_jobs_is_counted() {
    let script = r#"
case "$*" in *drill-7\ *) "$real" "$@" >/dev/null ;; esac
exec "$real" "$@"
"#;
    sabotage("sbatch", script, "made twice: 1 ", "0 lost, 1 run twice");
}

fn signal(child: &Child, number: i32) {
    let pid = rustix::process::Pid::from_child(child);
    let signal = rustix::process::Signal::from_named_raw(number).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// A drill in the middle of its stream, and what it says.
fn running(stage: &Stage) -> (Child, PathBuf) {
    let said = stage.dir.path().join("said");
    let mut command = stage.command(&["--jobs", "2000"]);
    command.stdout(fs::File::create(&said).unwrap()).stderr(Stdio::null());
    let child = command.process_group(0).spawn().unwrap();
    let runs = || {
        let drill = fs::read_dir(stage.tmp()).unwrap().flatten().next()?;
        fs::read_dir(drill.path().join("pair/out/1")).ok()?.flatten().nth(20)
    };
    until("jobs run", || runs().is_some());
    assert!(stage.left().len() > 3, "the cluster is seen");
    (child, said)
}

#[test]
fn a_signal_in_the_stream_ends_it_with_everything_that_it_started() {
    for number in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let stage = Stage::new();
        let (mut child, said) = running(&stage);
        signal(&child, number);
        let ended = limited::ended(&mut child, &"a drill that is told to end");
        let said = fs::read_to_string(said).unwrap();
        assert_eq!(ended.code(), Some(128 + number), "{said}");
        assert!(said.contains("interrupted"), "{said}");
        assert!(stage.is_empty());
        assert_eq!(stage.left(), Vec::<String>::new());
    }
}

#[test]
fn sigkill_of_the_drill_ends_everything_that_it_started_too() {
    let kill = |pid: i32| assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
    let nothing_stays = |stage: &Stage| {
        until("all of it is gone", || stage.left().is_empty() && stage.is_empty());
    };
    // Who is known to the caller; all of his group, as a shell kills its job.
    for sign in [1, -1] {
        let stage = Stage::new();
        let (mut child, _) = running(&stage);
        kill(sign * i32::try_from(child.id()).unwrap());
        child.wait().unwrap();
        nothing_stays(&stage);
    }
    // The process that does the work.
    let stage = Stage::new();
    let (mut child, said) = running(&stage);
    let below = format!("/proc/{0}/task/{0}/children", child.id());
    kill(fs::read_to_string(below).unwrap().trim().parse().unwrap());
    let ended = limited::ended(&mut child, &"a drill without its work");
    assert_eq!(ended.code(), Some(3));
    let said = fs::read_to_string(said).unwrap();
    assert!(said.contains("killed by signal 9; everything it had started is gone"), "{said}");
    assert!(stage.is_empty());
    assert_eq!(stage.left(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_do_next() {
    let stage = Stage::new();
    stage.replace("slurmctld", "echo 'slurmctld: the disk is on fire' >&2; exit 9\n");
    let (code, said) = stage.run(&SMALL);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("the disk is on fire") && said.contains("next: "), "{said}");
    assert!(stage.is_empty());
    fs::remove_file(stage.bin().join("squeue")).unwrap();
    let (code, said) = stage.run(&SMALL);
    assert!(code == 3 && said.contains("squeue is not there; next: "), "{said}");
    let blank = stage.dir.path().join("a b");
    fs::create_dir(&blank).unwrap();
    let ended = limited::output(stage.command(&SMALL).env("TMPDIR", &blank));
    assert_eq!(ended.status.code(), Some(3));
    let (code, said) = stage.run(&["--scenario", "flood"]);
    assert!(code == 2 && said.contains("kill: kill -9 of the primary"), "{said}");
}
