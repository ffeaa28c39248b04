//! Roles change when they must, and then once: links that are cut or reject, hosts that boot in
//! either order, a directory that hangs, controllers that die until one is left. Real processes,
//! Slurm's own sbatch and slurmd.
//!
//! `STATEDIR_FLAP_SECONDS` says for how long a link or a directory is gone.
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
#[allow(dead_code, reason = "each test uses its part")]
#[path = "caching/mount.rs"]
mod mount;
#[path = "programs/mod.rs"]
mod programs;
#[path = "failover/space.rs"]
mod space;

use cluster::Process;
use lab::wire::Link;
use lab::{Lab, NAMES, PAIR, Shape, lab, lab_of};
use mount::mount;
use space::{Frozen, Space};
use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const FAST: &str = "SlurmctldTimeout=1\nMinJobAge=100000\nMaxJobCount=1000000\n";

/// Where the connection between the two is all that is left to show life.
const CALM: &str = "SlurmctldTimeout=3\nMinJobAge=100000\nMaxJobCount=1000000\n";

/// Three times SlurmctldTimeout, if nothing else is asked for.
fn so_long() -> Duration {
    let seconds = std::env::var("STATEDIR_FLAP_SECONDS").map(|text| text.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(3))
}

/// A script that says that it has run.
fn script(lab: &Lab) -> PathBuf {
    let path = lab.dir.join("job.sh");
    std::fs::write(&path, "#!/bin/sh\necho $$ >> ran.$SLURM_JOB_ID\nexit 0\n").unwrap();
    path
}

fn has_run(lab: &Lab, id: u32) -> bool {
    let text = std::fs::read_to_string(lab.out().join(format!("ran.{id}"))).unwrap_or_default();
    assert!(text.lines().count() <= 1, "job {id} ran twice\n{}", lab.logs());
    !text.is_empty()
}

/// A job is taken, and runs.
fn a_job_runs(lab: &Lab) {
    let id = lab.sbatch(&script(lab)).unwrap_or_else(|said| panic!("{said}\n{}", lab.logs()));
    lab.wait(&format!("job {id} runs"), || has_run(lab, id));
}

/// `statectl status`, under way. As long as the directory hangs it may be kept from ending, even by
/// SIGKILL: it must not go before that is over.
struct Status {
    lines: Receiver<String>,
    _process: Process,
}

impl Status {
    fn of(lab: &Lab, before: &[String], host: &str) -> Status {
        let words = [env!("CARGO_BIN_EXE_statectl"), "status", "--host", host];
        let mut words = before.iter().map(String::as_str).chain(words);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).env("SLURM_CONF", lab.clients.conf());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process(command.spawn().unwrap());
        let stdout = BufReader::new(process.0.stdout.take().unwrap());
        let (to, lines) = channel();
        // It ends with the process.
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if to.send(line).is_err() {
                    return;
                }
            }
        });
        Status { lines, _process: process }
    }

    /// Both controllers, the directory, and one line of what is wrong; fewer: no more came.
    fn says(&self) -> Vec<String> {
        let patience = Duration::from_secs(30);
        (0..4).map_while(|_| self.lines.recv_timeout(patience).ok()).collect()
    }
}

#[test]
fn a_cut_link_between_the_controllers_changes_no_role() {
    let test = "a_cut_link_between_the_controllers_changes_no_role";
    let wired = Shape { wired: true, ..PAIR };
    let Some(mut lab) = lab_of(test, FAST, wired, |_| Vec::new()) else { return };
    let before = lab.epoch();
    lab.link(Link::Cut);
    let cut = Instant::now();
    while cut.elapsed() < so_long() {
        a_job_runs(&lab);
    }
    assert_eq!((lab.epoch(), lab.reigning()), (before, vec![0]), "{}", lab.logs());
    // And the link is of use again: over it the reign is handed on.
    lab.link(Link::Up);
    lab.mark(0);
    lab.wait("the reign is handed on", || {
        lab.asks_to_take_over(1);
        lab.reigns(1)
    });
    lab.until_ready(0);
    assert_eq!((lab.epoch(), lab.reigning()), (before + 1, vec![1]), "{}", lab.logs());
    a_job_runs(&lab);
}

#[test]
fn controllers_that_reject_each_other_change_the_role_once_at_most() {
    let test = "controllers_that_reject_each_other_change_the_role_once_at_most";
    let wired = Shape { wired: true, ..PAIR };
    let Some(lab) = lab_of(test, FAST, wired, |_| Vec::new()) else { return };
    let before = lab.epoch();
    lab.link(Link::Rejects);
    let rejects = Instant::now();
    let mut reigned = lab.reigning();
    while rejects.elapsed() < so_long() * 2 {
        let reigning = lab.reigning();
        if !reigning.is_empty() {
            reigned = reigning;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let now = lab.epoch();
    assert!(now <= before + 1 && reigned.len() == 1, "{reigned:?}, epoch {now}\n{}", lab.logs());
    lab.wait("one reigns", || lab.reigning().len() == 1);
    lab.link(Link::Up);
    a_job_runs(&lab);
    assert_eq!((lab.epoch(), lab.reigning()), (now, reigned), "{}", lab.logs());
}

#[test]
fn both_hosts_booted_in_either_order_are_one_change_of_role() {
    let test = "both_hosts_booted_in_either_order_are_one_change_of_role";
    let Some(mut lab) = lab(test, FAST) else { return };
    for order in [[1, 0], [0, 1], [1, 0]] {
        assert_eq!(lab.run("scontrol shutdown slurmctld").code, 0, "{}", lab.logs());
        lab.until_both_end();
        let before = lab.epoch();
        for at in order {
            lab.start(at);
        }
        lab.wait("one reigns", || lab.reigning().len() == 1);
        let first = lab.reigning()[0];
        lab.until_ready(1 - first);
        a_job_runs(&lab);
        assert_eq!((lab.epoch(), lab.reigning()), (before + 1, vec![first]), "{}", lab.logs());
        if first == 0 {
            // Who reigned last goes on: the other one is to have been, too.
            lab.mark(0);
            lab.ask_to_take_over(1);
            lab.until_ready(0);
        }
    }
}

#[test]
fn of_three_controllers_the_last_one_reigns_and_is_reached_and_slurmd_lives_on() {
    let test = "of_three_controllers_the_last_one_reigns_and_is_reached";
    let three = Shape { hosts: 3, ..PAIR };
    let Some(mut lab) = lab_of(test, FAST, three, |_| Vec::new()) else { return };
    let slurmd = lab.slurmd.as_ref().unwrap().pid();
    let long = lab.dir.join("long");
    let text = "#!/bin/sh\necho $$ >> ran.$SLURM_JOB_ID\n\
                while [ ! -e go ]; do sleep 0.1; done\nexit 7\n";
    std::fs::write(&long, text).unwrap();
    let long = lab.sbatch(&long).unwrap();
    lab.wait("the long job runs", || has_run(&lab, long));
    a_job_runs(&lab);
    let mut last = 0;
    for _ in 0..2 {
        lab.kill(last);
        lab.wait("another one reigns", || lab.reigning().first().is_some_and(|at| *at != last));
        a_job_runs(&lab);
        last = lab.reigning()[0];
    }
    let alone = lab.run("scontrol show job");
    assert_eq!(alone.code, 0, "{alone:?}\n{}", lab.logs());
    // The first two come back as standbys, and the first one reigns again when it is told to.
    let dead = (0..NAMES.len()).filter(|at| *at != last).collect::<Vec<_>>();
    for at in &dead {
        lab.start(*at);
        lab.until_ready(*at);
    }
    assert_eq!(lab.reigning(), [last], "{}", lab.logs());
    lab.mark(last);
    lab.ask_to_take_over(dead[0]);
    lab.until_ready(last);
    assert_eq!(lab.reigning(), [dead[0]], "{}", lab.logs());
    a_job_runs(&lab);
    std::fs::write(lab.out().join("go"), "").unwrap();
    let shown = || lab.run(&format!("scontrol show job {long}")).stdout;
    lab.wait("the long job ends", || shown().contains("ExitCode=7:0"));
    assert!(has_run(&lab, long), "once");
    // A process that has ended has no program.
    let lives = std::fs::read_link(format!("/proc/{slurmd}/exe")).is_ok();
    assert!(lives, "the same slurmd: {}", lab.slurmd.as_ref().unwrap().log());
}

#[test]
fn shared_directory_is_a_dependency_while_it_hangs_reads_are_answered_and_no_role_changes() {
    let test = "shared_directory_is_a_dependency_while_it_hangs_reads_are_answered";
    for program in ["unshare", "nsenter", "fsfreeze", "mkfs.ext4"] {
        if programs::find(program, test).is_none() {
            return;
        }
    }
    let mut space = None;
    // A client that is put off waits longer and longer: the job is submitted once.
    let lab = lab_of(test, CALM, PAIR, |state| {
        space = Space::mount(state);
        space.as_ref().map_or_else(Vec::new, Space::before)
    });
    let Some(lab) = lab else { return };
    let Some(space) = space else {
        return programs::cannot(&format!("{test}: ext4 in a file cannot be mounted here"));
    };
    a_job_runs(&lab);
    let reigns = || lab.logs().matches("primary in epoch ").count();
    let before = reigns();
    let path = script(&lab);
    let mut asked = Vec::new();
    let frozen = Frozen::begin(&space.state);
    let ids = std::thread::scope(|scope| {
        // Whoever's save hangs may be told nothing, and says so; who is put off asks again.
        let one = || scope.spawn(|| lab.sbatch(&path));
        let mut clients = vec![one()];
        let hangs = Instant::now();
        lab.wait("submissions are put off, and it is said", || {
            let ping = lab.run("scontrol ping").stdout;
            assert!(ping.contains("at mgmt01 is UP") && ping.contains("at mgmt02 is UP"), "{ping}");
            let (jobs, nodes) = (lab.run("squeue -h"), lab.run("sinfo -h"));
            assert!(jobs.code == 0 && nodes.code == 0, "{jobs:?} {nodes:?}");
            let put_off = lab.log(0).contains("a save is under way for");
            if !put_off {
                clients.push(one());
            }
            put_off && hangs.elapsed() >= so_long().max(Duration::from_secs(4))
        });
        lab.wait("status says so", || {
            asked.push(Status::of(&lab, &space.before(), "mgmt01"));
            let said = asked.last().unwrap().says();
            said.first().is_some_and(|line| line.starts_with("mgmt01 role:Primary disk:Refusing"))
        });
        assert_eq!((reigns(), lab.reigning()), (before, vec![0]), "{}", lab.logs());
        drop(frozen);
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let done = ids.into_iter().filter_map(Result::ok).collect::<Vec<_>>();
    assert!(!done.is_empty(), "who was put off is served afterwards\n{}", lab.logs());
    for id in done {
        lab.wait("what waited is done", || has_run(&lab, id));
    }
    a_job_runs(&lab);
    assert_eq!((reigns(), lab.reigning()), (before, vec![0]), "{}", lab.logs());
    drop(asked);
    drop(lab);
    drop(space);
}

/// Whatever becomes of the test, it is answered again: a process that waits for it cannot even be
/// killed.
struct Hangs(Arc<AtomicBool>);

impl Hangs {
    fn begin(what: &Arc<AtomicBool>) -> Hangs {
        what.store(true, Ordering::Release);
        Hangs(Arc::clone(what))
    }
}

impl Drop for Hangs {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[test]
fn a_shared_directory_of_which_nothing_can_be_read_is_hung_in_status_and_no_role_changes() {
    let test = "a_shared_directory_of_which_nothing_can_be_read_is_hung_in_status";
    let mut mounted = None;
    let lab = lab_of(test, CALM, PAIR, |state| {
        let backing = state.with_file_name("server");
        std::fs::rename(state, &backing).unwrap();
        mounted = Some(mount(&backing, state));
        if mounted.as_ref().is_some_and(Result::is_err) {
            std::fs::create_dir(state).unwrap_or_default();
            std::fs::set_permissions(state, Permissions::from_mode(0o700)).unwrap();
        }
        Vec::new()
    });
    let Some(lab) = lab else { return };
    let Some(Ok(mounted)) = mounted else {
        return programs::cannot(&format!("{test}: no file systems in user space here"));
    };
    a_job_runs(&lab);
    let reigns = || lab.logs().matches("primary in epoch ").count();
    let before = reigns();
    let mut asked = Vec::new();
    let hangs = Hangs::begin(&mounted.hangs);
    lab.wait("status says that it hangs, at both", || {
        asked.push(Status::of(&lab, &[], "mgmt01"));
        let said = asked.last().unwrap().says();
        let has = |at: usize, text: &str| said.get(at).is_some_and(|line| line.contains(text));
        has(0, "mgmt01 role:Primary disk:Hung")
            && has(1, "mgmt02 role:Standby peer-disk:Hung")
            && has(2, "directory:Hung")
            && has(3, "the directory does not answer; next: findmnt")
    });
    for _ in 0..3 {
        let ping = lab.run("scontrol ping").stdout;
        assert!(ping.contains("at mgmt01 is UP") && ping.contains("at mgmt02 is UP"), "{ping}");
        let (jobs, nodes) = (lab.run("squeue -h"), lab.run("sinfo -h"));
        assert!(jobs.code == 0 && nodes.code == 0, "{jobs:?} {nodes:?}");
    }
    assert_eq!((reigns(), lab.reigning()), (before, vec![0]), "{}", lab.logs());
    drop(hangs);
    a_job_runs(&lab);
    assert_eq!((reigns(), lab.reigning()), (before, vec![0]), "{}", lab.logs());
    drop(asked);
    drop(lab);
    drop(mounted);
}
