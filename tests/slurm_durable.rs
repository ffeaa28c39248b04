//! The controller is killed (`kill -9`) in the stream of submissions and started again: every job
//! whose id was told is there, with the script that was sent. With Slurm's own sbatch and munge,
//! beside Slurm's own controller in the same run; and with our own codec alone, often.
//!
//! *Lost* means: an id was told that the controller does not know afterwards, or the script under
//! it is another one. Ours loses none. What Slurm's own loses is reported, and nothing is asserted
//! about it: it writes its state every five seconds.
//!
//! `STATEDIR_DURABLE_ROUNDS` says how often each is killed.
#![cfg(feature = "controller")]

#[allow(dead_code, reason = "every test binary uses a part of it")]
#[path = "controller/cluster.rs"]
mod cluster;
#[path = "durable/judge.rs"]
mod judge;
#[path = "controller/keyed.rs"]
mod keyed;
#[path = "durable/own.rs"]
mod own;
#[path = "programs/mod.rs"]
mod programs;

use cluster::{Controller, Munged, limited, until};
use judge::{Lost, Told};
use statedir::slurm::auth::Auth;
use statedir::slurm::auth::munge::{Info, Munge};
use statedir::slurm::link::{self, Times};
use statedir::slurm::wire::Message;
use statedir::slurm::wire::tables::Submitted;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const OURS: &str = env!("CARGO_BIN_EXE_slurmctld");

/// Nodes that nobody is: jobs wait.
const CLUSTER: &str = "SlurmdPort=1\nMaxJobCount=1000000\n\
    NodeName=n[1-4] CPUs=2 RealMemory=1000 NodeAddr=127.0.0.1 State=DOWN\n\
    PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n";

/// Who submits at a time.
const CLIENTS: usize = 8;

fn rounds(usual: usize) -> usize {
    let asked = std::env::var("STATEDIR_DURABLE_ROUNDS");
    asked.map_or(usual, |text| text.parse().expect("STATEDIR_DURABLE_ROUNDS is a number"))
}

/// What `clients` do until they are told to stop, and after how many acknowledgements the
/// controller is killed.
fn kill_in_the_stream(
    controller: &mut Controller,
    program: &Path,
    after: usize,
    submit: impl Fn(&Controller, usize) -> Option<Told> + Sync,
) -> Vec<Told> {
    let (told, stop, count) = (Mutex::new(Vec::new()), AtomicBool::new(false), AtomicUsize::new(0));
    let asked = controller.beside();
    std::thread::scope(|scope| {
        let ends = limited::sets(&stop);
        for client in 0..CLIENTS {
            let (told, stop, count, asked, submit) = (&told, &stop, &count, &asked, &submit);
            scope.spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    if let Some(new) = submit(asked, client) {
                        told.lock().unwrap().push(new);
                        count.fetch_add(1, Ordering::AcqRel);
                    }
                }
            });
        }
        until("enough is acknowledged", || count.load(Ordering::Acquire) >= after);
        controller.kill();
        drop(ends);
        // Whoever waits for it is served by the next one.
        controller.start(program);
    });
    told.into_inner().unwrap()
}

/// One real sbatch, with a script that is unlike every other.
fn sbatch(controller: &Controller, client: usize) -> Option<Told> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = controller.dir.join(format!("script{client}"));
    let script = format!("#!/bin/sh\n# {number}\n{}exit 0\n", "# a line of a script\n".repeat(40));
    std::fs::write(&path, &script).unwrap();
    let mut command = Command::new("sbatch");
    command.args(["--parsable", "--hold", "-o", "/dev/null"]).arg(&path).stdin(Stdio::null());
    let output = limited::output(command.env("SLURM_CONF", controller.conf()));
    if !output.status.success() {
        return None;
    }
    let id = String::from_utf8(output.stdout).unwrap();
    Some(Told { id: id.trim().parse().expect("sbatch prints an id"), script })
}

/// As the clients see it: `scontrol show job` and `scontrol write batch_script`.
fn lost(controller: &Controller, told: &[Told], all: &[Told]) -> Lost {
    let shown = controller.run("scontrol -o show job").stdout;
    let known = judge::ids_shown(&shown);
    let path = controller.dir.join("written");
    let script = |id: u32| {
        let _ = std::fs::remove_file(&path);
        let line = ["write", "batch_script", &id.to_string()].map(str::to_owned);
        let mut command = Command::new("scontrol");
        command.args(line).arg(&path).stdin(Stdio::null());
        let written = limited::output(command.env("SLURM_CONF", controller.conf()));
        if !written.status.success() {
            eprintln!("the script of job {id}: {written:?}");
            return None;
        }
        Some(std::fs::read_to_string(&path).unwrap())
    };
    judge::lost(told, all, &known, script)
}

fn play(name: &str, controller: &mut Controller, program: &Path) -> Lost {
    controller.start(program);
    until("it answers", || controller.run("sinfo").code == 0);
    let mut all: Vec<Told> = Vec::new();
    let mut sum = Lost::default();
    for round in 0..rounds(3) {
        let after = 25 + 11 * (round % 5);
        let told = kill_in_the_stream(controller, program, after, sbatch);
        until("it answers again", || controller.run("sinfo").code == 0);
        assert!(told.len() >= after);
        let lost = lost(controller, &told, &all);
        eprintln!("{name}, round {round}: {} acknowledged, {lost}", told.len());
        sum = sum.plus(&lost);
        all.extend(told);
    }
    eprintln!("{name}: {} acknowledged, {sum}", all.len());
    let _ = controller.stop();
    sum
}

#[test]
fn no_job_that_sbatch_was_told_of_is_lost_when_the_controller_is_killed() {
    let test = "no_job_that_sbatch_was_told_of_is_lost_when_the_controller_is_killed";
    let Some(munged) = programs::find("munged", test) else { return };
    let Some(real) = programs::find("slurmctld", test) else { return };
    if programs::find("sbatch", test).is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let munged = Munged::start(&munged, dir.path());
    let auth_info = format!("AuthInfo=socket={}", munged.socket.display());
    let mut ours = Controller::configure(dir.path().join("ours"), &auth_info, CLUSTER);
    ours.init();
    let mut theirs = Controller::configure(dir.path().join("theirs"), &auth_info, CLUSTER);
    let lost = play("ours", &mut ours, Path::new(OURS));
    play("Slurm's own", &mut theirs, &real);
    assert_eq!(lost, Lost::default(), "ours");
}

/// What our controller says while saves do not get through.
#[test]
fn sbatch_asks_again_by_itself_when_it_is_told_code_11() {
    let test = "sbatch_asks_again_by_itself_when_it_is_told_code_11";
    let Some(munged) = programs::find("munged", test) else { return };
    if programs::find("sbatch", test).is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let munged = Munged::start(&munged, dir.path());
    let auth_info = format!("AuthInfo=socket={}", munged.socket.display());
    let told = Controller::configure(dir.path().join("told"), &auth_info, CLUSTER);
    let info = Info { socket: Some(munged.socket.clone()), ttl_s: None };
    let auth = Auth::Munge(Munge::load(info).unwrap());
    let listener = std::net::TcpListener::bind(("127.0.0.1", told.port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let accept = || {
        let mut came = None;
        until("sbatch asks", || {
            came = listener.accept().ok();
            came.is_some()
        });
        let (stream, _) = came.unwrap();
        stream.set_nonblocking(false).unwrap();
        stream
    };
    let mut answers = std::thread::scope(|scope| {
        let sbatch = scope.spawn(|| sbatch(&told, 0));
        let accepted = Submitted { job_id: 42, ..Submitted::default() };
        let answers = [Message::code(11), Message::Submitted(Box::new(accepted))];
        let asked = answers.map(|answer| {
            let mut stream = accept();
            let asked = link::accept(&mut stream, &auth, Times::default()).unwrap();
            link::reply(&mut stream, &auth, &asked, &answer).unwrap();
            asked.message
        });
        assert_eq!(sbatch.join().unwrap().expect("it was accepted").id, 42);
        asked.into_iter()
    });
    let (first, second) = (answers.next().unwrap(), answers.next().unwrap());
    assert!(matches!(first, Message::Submit(_)), "{first:?}");
    assert_eq!(first, second);
}

#[test]
fn no_job_is_lost_when_the_controller_is_killed_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ours, client) = own::configure(dir.path(), CLUSTER);
    ours.start(Path::new(OURS));
    let mut all = Vec::new();
    for round in 0..rounds(12) {
        // From the first acknowledgement on, and later in the stream.
        let after = 1 + round * round * 7 % 400;
        let submit = |controller: &Controller, _: usize| client.submit(controller);
        let told = kill_in_the_stream(&mut ours, Path::new(OURS), after, submit);
        assert!(told.len() >= after);
        let known = client.known(&ours, told.iter().chain(&all));
        let lost = judge::lost(&told, &all, &known, |id| client.script(&ours, id));
        assert_eq!(lost, Lost::default(), "round {round}, {} acknowledged", told.len());
        all.extend(told);
    }
    assert_eq!(ours.stop(), Some(0));
}
