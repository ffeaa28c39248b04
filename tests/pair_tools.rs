//! What an operator of two controllers looks at, and does: `statectl status`, `role`, `events`,
//! `takeover`, `fence`, against real processes.
#![cfg(all(feature = "controller", feature = "cli"))]

#[path = "controller/agents.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod agents;
#[allow(dead_code, reason = "each test uses its part of the cluster")]
#[path = "controller/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "failover/lab.rs"]
mod lab;
#[path = "programs/mod.rs"]
mod programs;

use lab::{Lab, NAMES, lab};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

const FAST: &str = "SlurmctldTimeout=2\nMinJobAge=100000\n";

/// What a command left behind.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn statectl(lab: &Lab) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_statectl"));
    command.env("SLURM_CONF", lab.clients.conf()).env_remove("STATECTL_DIR");
    command
}

fn run(lab: &Lab, line: &str) -> Ran {
    let output = cluster::limited::output(statectl(lab).args(line.split(' ')));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    Ran { code, out: text(output.stdout), err: text(output.stderr) }
}

/// No share of this disk is a matter of these tests.
fn health(lab: &Lab, more: &str) -> Ran {
    run(lab, &format!("health --warn-free 0 --crit-free 0 {more}"))
}

/// Makes slurm.conf of the second controller the first one's, as it must be.
fn same_conf(lab: &Lab) {
    let conf = |name: &str| lab.dir.join(name).join("slurm.conf");
    std::fs::copy(conf(NAMES[0]), conf(NAMES[1])).unwrap();
}

fn status(lab: &Lab, host: &str) -> Value {
    let ran = run(lab, &format!("status --json --host {host}"));
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[test]
fn status_of_a_pair_is_three_lines_and_says_what_is_wrong_and_takeover_what_it_did() {
    let test = "status_of_a_pair_is_three_lines_and_says_what_is_wrong_and_takeover_what_it_did";
    let Some(mut lab) = lab(test, FAST) else { return };
    // Each has a munged of its own in this laboratory, and says so.
    let ran = run(&lab, "status -x --host mgmt01");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.out.contains("slurm.conf of mgmt01 and of mgmt02 differ; next: "), "{ran:?}");
    same_conf(&lab);

    let ran = run(&lab, "status --host mgmt01");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}\n{}", lab.logs());
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{ran:?}");
    assert!(lines[0].starts_with("mgmt01 role:Primary disk:UpToDate epoch:"), "{ran:?}");
    assert!(lines[1].starts_with("  mgmt02 role:Standby peer-disk:UpToDate lag:"), "{ran:?}");
    assert!(lines[1].ends_with(" ready"), "{ran:?}");
    assert!(lines[2].starts_with("  directory:Shared snapshot"), "{ran:?}");
    let ran = run(&lab, "status -x --host mgmt01");
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
    // What it rests on.
    let ran = run(&lab, "doctor --no-probe --json");
    let lines: Vec<Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for name in ["reign", "controllers", "shared", "same files", "clocks", "agents", "size"] {
        let line = lines.iter().find(|line| line["check"] == name);
        assert_eq!(line.map(|line| &line["verdict"]), Some(&"ok".into()), "{name}: {ran:?}");
    }
    // The lock does not guard a shared directory: the register says who reigns.
    assert!(ran.out.contains("mgmt01 reigns, epoch ") && !ran.out.contains("nobody writes"));
    let alive = health(&lab, "--require-writer");
    assert!(alive.code == 0 && alive.out.contains(", mgmt01 reigns, epoch "), "{alive:?}");
    // An address that leads to another controller is no sign of life of this one's.
    let wrong = lab.dir.join("wrong.conf");
    let text = std::fs::read_to_string(lab.clients.conf()).unwrap();
    std::fs::write(&wrong, text.replace("mgmt02(127.0.0.2)", "mgmt02(127.0.0.1)")).unwrap();
    let mut command = statectl(&lab);
    command.args(["status", "--host", "mgmt01"]).env("SLURM_CONF", wrong);
    let said = String::from_utf8(cluster::limited::output(&mut command).stdout).unwrap();
    assert!(said.contains("\n  mgmt02: at 127.0.0.1 it is mgmt01 that answers"), "{said}");
    // From the other host.
    let other = run(&lab, "status --host mgmt02").out;
    assert!(other.starts_with("mgmt02 role:Standby disk:UpToDate epoch:"), "{other}");
    assert!(other.lines().next().unwrap().ends_with(" ready"), "{other}");
    assert!(other.contains("\n  mgmt01 role:Primary peer-disk:UpToDate lsn:"), "{other}");

    assert_eq!(run(&lab, "role --host mgmt01").out, "primary\n");
    assert_eq!(run(&lab, "role --is primary --host mgmt01").code, 0);
    assert_eq!(run(&lab, "role --is primary --host mgmt02").code, 6);
    assert_eq!(run(&lab, "role --is standby --host mgmt02").code, 0);

    let events = statectl(&lab).args(["events", "-i", "0.1"]).stdout(Stdio::piped()).spawn();
    let mut events = cluster::Process(events.unwrap());
    let (said, lines) = std::sync::mpsc::channel();
    let stdout = BufReader::new(events.0.stdout.take().unwrap());
    std::thread::spawn(move || {
        stdout.lines().map_while(Result::ok).try_for_each(|line| said.send(line))
    });
    let mut told = Vec::new();
    let hear = |what: &str, told: &mut Vec<String>| loop {
        // It goes on until it is interrupted.
        let line = lines.recv_timeout(Duration::from_secs(180));
        let line = line.unwrap_or_else(|error| panic!("{what}: {error} after {told:?}"));
        told.push(line.clone());
        if line.contains(what) {
            return;
        }
    };
    hear("exists -", &mut told);
    assert!(told.iter().any(|line| line.starts_with("exists controller name:mgmt01 role:Primary")));

    let epoch = status(&lab, "mgmt01")["epoch"].as_u64().unwrap();
    let dry = run(&lab, "takeover --dry-run --host mgmt02");
    assert!(dry.code == 0 && dry.out.contains("could take over from epoch"), "{dry:?}");
    assert!(lab.reigns(0), "nothing was done");
    lab.mark(0);
    let ran = run(&lab, "takeover --host mgmt02");
    let said = format!("epoch {epoch}→{} at lsn ", epoch + 1);
    assert_eq!(ran.code, 0, "{ran:?}\n{}", lab.logs());
    assert!(ran.out.starts_with(&said) && ran.out.ends_with(", 0 saves lost\n"), "{ran:?}");
    assert!(lab.reigns(1), "{}", lab.logs());
    // The handbook's next line: all is well, at once.
    let after = run(&lab, "status -x --host mgmt02");
    assert_eq!((after.code, after.out.as_str()), (0, ""), "{after:?}\n{}", lab.logs());
    hear(&format!("create reign epoch:{} primary:mgmt02 reason:asked", epoch + 1), &mut told);
    hear("change controller name:mgmt02 role:Primary", &mut told);
    drop(events);
    let again = run(&lab, "takeover --host mgmt02");
    assert!(again.code == 0 && again.out.contains("reigns already"), "{again:?}");
    lab.until_ready(0);

    let fenced = run(&lab, "fence status -h");
    let first = fenced.out.lines().next().unwrap();
    let words: Vec<&str> = first.split_whitespace().collect();
    assert_eq!(words[..2], ["mgmt01", "may-claim"], "{fenced:?}");
    assert_eq!(words[4..6], ["mgmt02", "asked"], "{fenced:?}");
    assert_eq!(run(&lab, "fence clear mgmt01").out, "mgmt01 may claim\n");
    assert!(lab.log(0).contains("says that this controller may claim again"), "{}", lab.logs());

    // One is gone.
    lab.kill(0);
    let ran = run(&lab, "status --host mgmt02");
    assert_eq!(ran.code, 3, "{ran:?}");
    let gone = "  mgmt01 role:Unknown peer-disk:DUnknown connection:Connecting";
    assert!(ran.out.lines().any(|line| line == gone), "{ran:?}");
    assert_eq!(run(&lab, "role --host mgmt01").code, 8);
    let silent = run(&lab, "takeover --host mgmt01");
    assert!(silent.code == 8 && silent.err.contains("; next: systemctl status"), "{silent:?}");
    let ran = run(&lab, "doctor --no-probe");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("\nfail controllers  mgmt01: "), "{ran:?}");
    // And both.
    lab.kill(1);
    let ran = run(&lab, "status");
    assert_eq!(ran.code, 8, "{ran:?}");
    let dead = health(&lab, "--require-writer");
    assert!(dead.code == 1 && dead.out.contains("CRITICAL - nobody reigns: "), "{dead:?}");
    assert_eq!(health(&lab, "--warn-age 1d").code, 0, "who writes is not asked for");
    assert!(run(&lab, "doctor --no-probe").out.contains("\nwarn reign        nobody reigns: "));
}

#[test]
fn a_deposed_controller_and_its_successor_are_told_apart_and_a_frozen_one_is_said() {
    let test = "a_deposed_controller_and_its_successor_are_told_apart_and_a_frozen_one_is_said";
    let Some(mut lab) = lab(test, FAST) else { return };
    same_conf(&lab);
    // All of it is frozen, its guard too: the port goes on accepting.
    let (serving, guard) = (lab.serving(0).unwrap(), lab.guard(0));
    let both = |signal: Signal| [guard, serving].map(|of: Pid| kill_process(of, signal).unwrap());
    both(Signal::STOP);
    lab.wait("the other one reigns", || lab.reigns(1));
    let ran = run(&lab, "status --host mgmt02");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.out.starts_with("mgmt02 role:Primary disk:UpToDate epoch:"), "{ran:?}");
    assert!(ran.out.contains("  mgmt01: no answer: "), "{ran:?}");
    lab.mark(0);
    both(Signal::CONT);
    lab.until_ready(0);
    let fenced = run(&lab, "fence status --json").out;
    let first: Value = serde_json::from_str(fenced.lines().next().unwrap()).unwrap();
    assert_eq!((&first["host"], &first["by"]), (&"mgmt01".into(), &"mgmt02".into()), "{fenced}");
    assert_eq!(first["reason"], "primary-silent", "{fenced}");
    assert_eq!(first["deposed"], true, "{fenced}");
    let all = run(&lab, "events --now --from 0").out;
    let reigns: Vec<&str> = all.lines().filter(|line| line.starts_with("exists reign ")).collect();
    assert!(reigns.len() >= 3 && reigns[0].contains("reason:made"), "{all}");
    assert!(reigns.last().unwrap().contains("primary:mgmt02 reason:primary-silent"), "{all}");
    let json = status(&lab, "mgmt02");
    let controllers = json["controllers"].as_array().unwrap();
    assert_eq!(controllers.len(), 2, "{json}");
    // Every name stands in the document.
    let page = include_str!("../docs/statectl.md");
    for object in controllers.iter().chain([&json]) {
        for name in object.as_object().unwrap().keys() {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}

/// A unit with -c in its command line, or one restart with it: the standby that it made would have
/// left out, days later, all that the primary had taken since.
#[test]
fn a_standby_that_was_started_with_c_leaves_nothing_of_the_primarys_state_out() {
    let test = "a_standby_that_was_started_with_c_leaves_nothing_of_the_primarys_state_out";
    let Some(mut lab) = lab(test, FAST) else { return };
    lab.kill(1);
    lab.start_with(1, &["-c"]);
    lab.until_ready(1);
    lab.fill(1);
    lab.ask_to_take_over(1);
    let said = lab.run("squeue -h -o %T");
    assert_eq!(said.stdout, "PENDING\n", "{said:?}\n{}", lab.logs());
    assert!(lab.log(1).contains("mgmt01 reigns, and goes on with the state"), "{}", lab.logs());
}
