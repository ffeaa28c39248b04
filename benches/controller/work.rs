//! The workloads under `auth/key`, with requests of our own codec.

use crate::cluster::Controller;
use crate::device::Device;
use crate::flags::Flags;
use crate::lab::{OURS, judge, median, null, ours_with_key, scratch};
use crate::load::{self, Until, submission};
use statedir::slurm::auth::Auth;
use statedir::slurm::wire::Message;
use statedir::slurm::wire::tables::{InfoRequest, JobsRequest};
use statedir::slurm::wire::{Field, Time};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Durable submissions, beside the null server.
pub fn rate(flags: &Flags) {
    println!("rate: {} in flight, bodies of {} bytes", flags.in_flight, body());
    let dir = scratch(flags);
    let (mut ours, auth, key) = ours_with_key(dir.path());
    ours.start(Path::new(OURS));
    let (_null, null_port) = null(&["--key", key.to_str().unwrap()]);
    let time = Until::Time(Duration::from_secs_f64(flags.seconds));
    let mut rates = (Vec::new(), Vec::new());
    for _ in 0..flags.rounds {
        let go = |port| load::run(&auth, port, &submission(), flags.in_flight, time, None);
        rates.0.push(go(ours.port).rate());
        rates.1.push(go(null_port).rate());
        println!("  {:.0}/s, null {:.0}/s", rates.0.last().unwrap(), rates.1.last().unwrap());
    }
    let (ours_rate, null_rate) = (median(rates.0), median(rates.1));
    judge("durable submissions a second", ours_rate, 8000.0, true);
    judge("of the null server", ours_rate / null_rate, 0.5, true);
    let _ = ours.stop();
}

fn body() -> usize {
    submission().pack(statedir::slurm::wire::Version::NEWEST).unwrap().len()
}

/// Fills a controller with pending jobs.
fn fill(auth: &Arc<Auth>, port: u16, jobs: usize) {
    let ran = load::run(auth, port, &submission(), 64, Until::Count(jobs), None);
    assert_eq!(ran.done, jobs);
}

/// Bytes that the device writes for a byte that is received.
pub fn write(flags: &Flags) {
    println!("write: {} pending jobs, 8 clients", flags.jobs);
    let dir = scratch(flags);
    let (mut ours, auth, _) = ours_with_key(dir.path());
    ours.start(Path::new(OURS));
    fill(&auth, ours.port, flags.jobs);
    let device = Device::of(dir.path()).unwrap();
    let before = device.written().unwrap();
    let time = Until::Time(Duration::from_secs_f64(flags.seconds * flags.rounds as f64));
    let ran = load::run(&auth, ours.port, &submission(), 8, time, None);
    contents(&ours.state());
    let _ = ours.stop();
    let written = device.written().unwrap() - before;
    println!("  {} requests, {} bytes received, {written} written", ran.done, ran.bytes);
    judge("device bytes a received byte", written as f64 / ran.bytes as f64, 4.0, false);
}

/// What a store's directory holds, by kind of file.
fn contents(dir: &Path) {
    let mut kinds = std::collections::BTreeMap::<String, (u64, u64)>::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = name.trim_matches(|c: char| !c.is_ascii_alphabetic());
        let kind = kind.rsplit('.').next().unwrap_or(kind).to_owned();
        let found = kinds.entry(kind).or_default();
        (found.0, found.1) = (found.0 + 1, found.1 + entry.metadata().unwrap().len());
    }
    println!("  files, bytes: {kinds:?}");
}

/// From exec to the first acknowledged submission, after `kill -9`.
pub fn start(flags: &Flags) {
    println!("start: {} pending jobs", flags.jobs);
    let dir = scratch(flags);
    let (mut ours, auth, _) = ours_with_key(dir.path());
    ours.start(Path::new(OURS));
    match flags.equal {
        true => fill(&auth, ours.port, flags.jobs),
        false => {
            let jobs = Until::Count(flags.jobs);
            let ran = load::run_each(&auth, ours.port, load::distinct, 64, jobs, None);
            assert_eq!(ran.done, flags.jobs);
        }
    }
    let programs: Vec<&Path> =
        [Path::new(OURS)].into_iter().chain(flags.beside.as_deref()).collect();
    let mut took = vec![Vec::new(); programs.len()];
    for _ in 0..flags.rounds {
        for (program, took) in programs.iter().zip(&mut took) {
            ours.kill();
            let (seconds, resident) = first_acknowledgement(program, &ours, &auth);
            let each = resident / flags.jobs as u64;
            let name = program.display();
            println!("  {seconds:.3} s, {} MiB resident, {each} a job ({name})", resident >> 20);
            took.push(seconds);
            ours.start(Path::new(OURS));
        }
    }
    let goal = if flags.jobs > 500_000 { 3.0 } else { 0.3 };
    for took in took {
        judge("seconds to the first acknowledgement", median(took), goal, false);
    }
    let _ = ours.stop();
}

/// How long it takes, and the bytes of memory that are the process's alone then. The process ends
/// with this.
fn first_acknowledgement(program: &Path, of: &Controller, auth: &Arc<Auth>) -> (f64, u64) {
    let began = Instant::now();
    let child = Command::new(program)
        .args(["-D", "-f"])
        .arg(of.conf())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = crate::cluster::Process(child);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let seconds = runtime.block_on(async {
        loop {
            match load::exchange(auth, of.port, &submission()).await {
                Ok((Message::Submitted(_), _)) => return began.elapsed().as_secs_f64(),
                Ok((other, _)) => panic!("{other:?}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    });
    (seconds, resident(process.0.id()))
}

/// Bytes of memory that are a process's alone, and its children's: the guard's child serves.
fn resident(pid: u32) -> u64 {
    let of = |pid: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    };
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    of(&pid.to_string()) + children.split_whitespace().map(of).sum::<u64>()
}

/// Listings of 1,000 jobs, beside 500 submissions a second.
pub fn ask(flags: &Flags) {
    let jobs = flags.jobs.min(1000);
    println!("ask: {jobs} jobs, 500 submissions a second");
    let mut within = (Vec::new(), Vec::new());
    for _ in 0..flags.rounds {
        let dir = scratch(flags);
        let (mut ours, auth, _) = ours_with_key(dir.path());
        ours.start(Path::new(OURS));
        fill(&auth, ours.port, jobs);
        let time = Until::Time(Duration::from_secs_f64(flags.seconds));
        let port = ours.port;
        let (squeue, sinfo) = std::thread::scope(|scope| {
            let submitting =
                scope.spawn(|| load::run(&auth, port, &submission(), 64, time, Some(500.0)));
            let squeue =
                scope.spawn(|| load::run(&auth, port, &jobs_request(), 1, time, Some(20.0)));
            let sinfo = load::run(&auth, port, &nodes_request(), 1, time, Some(20.0));
            submitting.join().unwrap();
            (squeue.join().unwrap(), sinfo)
        });
        let ms = |ran: &load::Ran| ran.within(0.99).as_secs_f64() * 1e3;
        println!("  squeue {:.1} ms, sinfo {:.1} ms", ms(&squeue), ms(&sinfo));
        within.0.push(ms(&squeue));
        within.1.push(ms(&sinfo));
        let _ = ours.stop();
    }
    judge("squeue's request, p99 in ms", median(within.0), 20.0, false);
    judge("sinfo's request, p99 in ms", median(within.1), 20.0, false);
}

fn jobs_request() -> Message {
    Message::JobsRequest(Box::new(JobsRequest { last_update: Time(0), ..JobsRequest::unset() }))
}

fn nodes_request() -> Message {
    Message::NodesRequest(Box::new(InfoRequest { last_update: Time(0), show_flags: 0 }))
}
