//! A controller that starts on an image of its disk, as volumes in a cloud are kept: on one of this
//! instant, taken while it writes, and on an old one. Nothing is lost in silence, no running job is
//! harmed, no id is given twice.
//!
//! The disk is ext4 in a file of the test's own; the image is the file as it is while the
//! controller is stopped in mid-stream.
#![cfg(feature = "controller")]

#[path = "controller/agents.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod agents;
#[allow(dead_code, reason = "each test uses its part of the cluster")]
#[path = "controller/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "durable/judge.rs"]
mod judge;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "failover/lab.rs"]
mod lab;
#[path = "programs/mod.rs"]
mod programs;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "failover/space.rs"]
mod space;

use cluster::limited::sets;
use judge::Told;
use lab::{Lab, PAIR, Shape, lab_of};
use rustix::process::Signal;
use space::Space;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// So long that being stopped for an image is no silence.
const CONF: &str = "SlurmctldTimeout=60\nMinJobAge=100000\nMaxJobCount=10000\n";

/// A job that says when it begins, and when it has ended by itself.
fn job(lab: &Lab, more: &[&str]) -> Told {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = lab.dir.join(format!("job{number}"));
    let script = format!(
        "#!/bin/sh\n# {number}\necho $$ >> ran.$SLURM_JOB_ID\n\
         while [ ! -e go ]; do sleep 0.1; done\necho $$ >> ended.$SLURM_JOB_ID\nexit 3\n"
    );
    std::fs::write(&path, &script).unwrap();
    let id = lab.beside().sbatch_with(&path, more);
    Told { id: id.unwrap_or_else(|said| panic!("{said}\n{}", lab.logs())), script }
}

fn lines(lab: &Lab, what: &str, id: u32) -> Vec<String> {
    let text = std::fs::read_to_string(lab.out().join(format!("{what}.{id}"))).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn until_runs(lab: &Lab, id: u32) {
    lab.wait(&format!("job {id} runs"), || !lines(lab, "ran", id).is_empty());
}

fn shown(lab: &Lab, id: u32) -> String {
    lab.run(&format!("scontrol show job {id}")).stdout
}

/// What the disk holds at an instant at which these controllers are doing something.
fn image(lab: &Lab, space: &Space, hosts: usize, name: &str) {
    let pids = (0..hosts).flat_map(|at| [lab.guard(at), lab.serving(at).unwrap()]);
    let pids = pids.collect::<Vec<_>>();
    let all = |signal| {
        pids.iter().for_each(|pid| rustix::process::kill_process(*pid, signal).unwrap());
    };
    all(Signal::STOP);
    space.image(name);
    all(Signal::CONT);
}

/// The controllers are gone, and others start on that image.
fn starts_on(lab: &mut Lab, space: &Space, hosts: usize, name: &str) {
    let serving = (0..hosts).map(|at| lab.serving(at).unwrap().as_raw_nonzero());
    let serving = serving.map(|pid| pid.get().unsigned_abs()).collect::<Vec<_>>();
    (0..hosts).for_each(|at| lab.kill(at));
    // All of their threads: whoever is left has files there open.
    lab.wait("they are gone", || serving.iter().all(|pid| cluster::is_gone(*pid)));
    space.put(name);
    lab.start(0);
    lab.wait("it reigns", || lab.reigns(0));
    for at in 1..hosts {
        lab.start(at);
        lab.until_ready(at);
    }
}

/// All that was told is known, with its script.
fn all_known(lab: &Lab, told: &[Told]) {
    let known = judge::ids_shown(&lab.run("scontrol -o show job").stdout);
    let path = lab.dir.join("written");
    let mut scripts = BTreeMap::new();
    for job in told {
        let _ = std::fs::remove_file(&path);
        lab.write_script(job.id, &path);
        scripts.insert(job.id, std::fs::read_to_string(&path).ok());
    }
    let lost = judge::lost(told, &[], &known, |id| scripts.get(&id).cloned().flatten());
    assert_eq!(lost, judge::Lost::default(), "{}", lab.logs());
}

/// Controllers on a disk of the test's own; `None`: it cannot be had here, which has been reported.
fn on_a_disk(test: &str, hosts: usize) -> Option<(Lab, Space)> {
    for program in ["unshare", "nsenter", "mkfs.ext4"] {
        programs::find(program, test)?;
    }
    let mut space = None;
    let lab = lab_of(test, CONF, Shape { hosts, ..PAIR }, |state| {
        space = Space::mount(state);
        space.as_ref().map_or_else(Vec::new, Space::before)
    })?;
    if space.is_none() {
        programs::cannot(&format!("{test}: ext4 in a file cannot be mounted here"));
    }
    Some((lab, space?))
}

/// Each ends by itself, and has run once.
fn until_all_end(lab: &Lab, ids: &[u32]) {
    std::fs::write(lab.out().join("go"), "").unwrap();
    for id in ids {
        lab.wait(&format!("job {id} ends by itself"), || !lines(lab, "ended", *id).is_empty());
        let (ran, ended) = (lines(lab, "ran", *id), lines(lab, "ended", *id));
        assert!(ran.len() == 1 && ran == ended, "job {id}: {ran:?} {ended:?}\n{}", lab.logs());
    }
}

#[test]
fn regular_snapshots_instance_recovery_loses_nothing_and_an_old_one_harms_no_running_job() {
    let test = "regular_snapshots_instance_recovery_loses_nothing";
    let Some((mut lab, space)) = on_a_disk(test, 1) else { return };
    // Runs since before the old image; waits in it, and runs since; and one that came later.
    let runs = job(&lab, &[]);
    until_runs(&lab, runs.id);
    let released = job(&lab, &["--hold"]);
    let begins = job(&lab, &["--begin=now+3"]);
    image(&lab, &space, 1, "old");
    assert!(lines(&lab, "ran", begins.id).is_empty(), "it waits in the image");
    let said = lab.run(&format!("scontrol release {}", released.id));
    assert_eq!(said.code, 0, "{said:?}");
    let later = job(&lab, &[]);
    let running = [runs.id, released.id, begins.id, later.id];
    running.iter().for_each(|id| until_runs(&lab, *id));
    let mut told = vec![runs, released, begins, later];

    // Of this instant, in a stream of submissions.
    let (stream, ends) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let before = std::thread::scope(|scope| {
        let over = sets(&ends);
        for _ in 0..3 {
            scope.spawn(|| {
                while !ends.load(Ordering::Acquire) {
                    let one = job(&lab, &["--hold"]);
                    stream.lock().unwrap().push(one);
                }
            });
        }
        let count = || stream.lock().unwrap().len();
        lab.wait("the stream flows", || count() >= 10);
        let pids = [lab.guard(0), lab.serving(0).unwrap()];
        pids.iter().for_each(|pid| rustix::process::kill_process(*pid, Signal::STOP).unwrap());
        let before = count();
        space.image("now");
        pids.iter().for_each(|pid| rustix::process::kill_process(*pid, Signal::CONT).unwrap());
        lab.wait("the stream flows on", || count() > before);
        drop(over);
        before
    });
    let mut stream = stream.into_inner().unwrap();
    let greatest = stream.iter().map(|job| job.id).max().unwrap();
    // Later ones are on no image: they were told after it.
    stream.truncate(before);
    starts_on(&mut lab, &space, 1, "now");
    all_known(&lab, &told);
    all_known(&lab, &stream);
    agents::until_node(&lab.clients, "n1", "mixed");
    for id in running {
        assert!(
            shown(&lab, id).contains("JobState=RUNNING"),
            "{}\n{}",
            shown(&lab, id),
            lab.logs()
        );
    }

    // And an old one: of some of this the state knows nothing, or not that it runs.
    starts_on(&mut lab, &space, 1, "old");
    let later = told.pop().unwrap();
    all_known(&lab, &told);
    let kept =
        format!("job {} runs on node n1, and the state has not come so far: it is kept", later.id);
    lab.wait("what it does not know is told", || lab.log(0).contains(&kept));
    for id in running {
        lab.wait(&format!("job {id} is known to run"), || {
            shown(&lab, id).contains("JobState=RUNNING")
        });
    }
    let next = job(&lab, &["--hold"]);
    assert!(next.id > greatest, "{} was given out before {greatest}", next.id);
    until_all_end(&lab, &running);
    // The exit code of what the state knew is recorded.
    for job in &told {
        lab.wait(&format!("job {} is over", job.id), || {
            shown(&lab, job.id).contains("ExitCode=3:0")
        });
    }
}

#[test]
fn a_pair_on_an_old_image_of_its_shared_directory_harms_no_running_job_nor_does_the_next_reign() {
    let test = "a_pair_on_an_old_image_of_its_shared_directory_harms_no_running_job";
    let Some((mut lab, space)) = on_a_disk(test, 2) else { return };
    let runs = job(&lab, &[]);
    until_runs(&lab, runs.id);
    image(&lab, &space, 2, "old");
    // A reign that the image knows nothing of, and a job of it.
    lab.mark(0);
    lab.ask_to_take_over(1);
    lab.until_ready(0);
    let later = job(&lab, &[]);
    until_runs(&lab, later.id);
    starts_on(&mut lab, &space, 2, "old");
    let kept =
        format!("job {} runs on node n1, and the state has not come so far: it is kept", later.id);
    lab.wait("what it does not know is told", || lab.log(0).contains(&kept));
    let known_to_run = |lab: &Lab| {
        for id in [runs.id, later.id] {
            lab.wait(&format!("job {id} is known to run"), || {
                shown(lab, id).contains("JobState=RUNNING")
            });
        }
    };
    known_to_run(&lab);
    let next = job(&lab, &["--hold"]);
    assert!(next.id > later.id, "{} was given out before {}", next.id, later.id);
    // The other one has followed all that, and goes on with it.
    lab.mark(0);
    lab.ask_to_take_over(1);
    lab.until_ready(0);
    assert!(lab.reigns(1) && !lab.reigns(0), "{}", lab.logs());
    known_to_run(&lab);
    let again = job(&lab, &["--hold"]);
    assert!(again.id > next.id, "{} was given out before {}", again.id, next.id);
    until_all_end(&lab, &[runs.id, later.id]);
    lab.wait("its exit code is recorded", || shown(&lab, runs.id).contains("ExitCode=3:0"));
    drop(lab);
    drop(space);
}
