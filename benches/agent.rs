//! What an agent costs: jobs of `true` through one node, from submission to recorded end, with our
//! slurmctld and slurmd and with Slurm's own, in interleaved rounds; and the memory of ours.
//!
//! Both are asked by the same client code, under a munged of the bench's own. `cargo bench --bench
//! agent -- --smoke` runs everything briefly; docs/benchmarks.md has the results.

#[allow(dead_code, reason = "every user takes a part of it")]
#[path = "../tests/controller/agents.rs"]
mod agents;
#[allow(dead_code, reason = "every user takes a part of it")]
#[path = "../tests/controller/cluster.rs"]
mod cluster;

use agents::{Slurmd, node_lines, ports_in_a_row};
use cluster::{Controller, Munged, until};
use statedir::slurm::auth::munge::{Info, Munge};
use statedir::slurm::auth::{Auth, To};
use statedir::slurm::link::{self, Times};
use statedir::slurm::wire::constants::{job as state, select};
use statedir::slurm::wire::tables::{JobDesc, JobsRequest};
use statedir::slurm::wire::{Field, Message, SelectJob, Text, Time};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CONTROLLER: &str = env!("CARGO_BIN_EXE_slurmctld");
const AGENT: &str = env!("CARGO_BIN_EXE_slurmd");
/// Submissions at a time, and jobs whose supervisors are measured.
const WIDTH: usize = 8;

const HELP: &str = "\
usage: cargo bench --bench agent -- [flags]
  --rounds N   interleaved rounds, the median counts (5)
  --jobs N     jobs of a round (300)
  --cpus N     CPUs of the node, so many jobs at a time (64)
  --smoke      everything, briefly";

struct Flags {
    rounds: usize,
    jobs: usize,
    cpus: usize,
}

fn flags() -> Flags {
    let (mut flags, mut args) =
        (Flags { rounds: 5, jobs: 300, cpus: 64 }, std::env::args().skip(1));
    while let Some(flag) = args.next() {
        let mut number = || args.next().and_then(|value| value.parse().ok());
        match flag.as_str() {
            "--rounds" => flags.rounds = number().expect("--rounds wants a number"),
            "--jobs" => flags.jobs = number().expect("--jobs wants a number"),
            "--cpus" => flags.cpus = number().expect("--cpus wants a number"),
            "--smoke" => (flags.rounds, flags.jobs) = (1, 20),
            "--bench" => {}
            _ => {
                println!("{HELP}");
                std::process::exit(i32::from(flag != "--help"));
            }
        }
    }
    flags
}

fn program(name: &str) -> Option<PathBuf> {
    let dirs = ["/usr/sbin", "/usr/bin", "/usr/local/sbin"];
    dirs.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

/// A controller with one node.
struct Cluster {
    agent: Slurmd,
    controller: Controller,
    auth: Auth,
}

impl Cluster {
    /// `None`: ours.
    fn start(munged: &Munged, dir: PathBuf, cpus: usize, real: Option<(&Path, &Path)>) -> Cluster {
        let node = format!("CPUs={cpus} RealMemory=1000");
        // What lets Slurm's own start jobs soonest.
        let soon = "SelectTypeParameters=CR_Core\nMaxJobCount=100000\n\
                    SchedulerParameters=sched_min_interval=0,\
                    batch_sched_delay=0,sched_interval=1,default_queue_depth=1000\n";
        let nodes = soon.to_owned() + &node_lines(&dir, 1, ports_in_a_row(1), &node);
        let auth_info = format!("AuthInfo=socket={}", munged.socket.display());
        let mut controller = Controller::configure(dir, &auth_info, &nodes);
        if real.is_none() {
            controller.init();
        }
        let (slurmctld, slurmd) = real.unwrap_or((Path::new(CONTROLLER), Path::new(AGENT)));
        controller.start(slurmctld);
        let agent = Slurmd::start(slurmd, &controller, "n1");
        let info = Info { socket: Some(munged.socket.clone()), ttl_s: None };
        let auth = Auth::Munge(Munge::load(info).unwrap());
        let cluster = Cluster { agent, controller, auth };
        until("it answers", || cluster.controller.run("scontrol ping").code == 0);
        // The first jobs also wait for the node.
        cluster.jobs(4);
        cluster
    }

    fn ask(&self, message: &Message) -> Message {
        let address = ("127.0.0.1", self.controller.port);
        let answer = link::call(&self.auth, address, message, To::Anybody, Times::default());
        answer.unwrap_or_else(|error| panic!("{error}: {}", self.controller.log()))
    }

    fn submit(&self, job: &Message) -> u32 {
        match self.ask(job) {
            Message::Submitted(answer) => answer.job_id,
            other => panic!("a submission is answered with {other:?}"),
        }
    }

    /// Jobs whose end is recorded.
    fn over(&self) -> HashSet<u32> {
        let asked = JobsRequest { last_update: Time(0), ..JobsRequest::unset() };
        let Message::Jobs(found) = self.ask(&Message::JobsRequest(Box::new(asked))) else {
            panic!("a listing is answered with something else");
        };
        let over =
            found.records.iter().filter(|job| job.job_state & state::BASE > state::SUSPENDED);
        over.map(|job| job.job_id).collect()
    }

    /// Runs so many jobs; jobs in a second.
    fn jobs(&self, count: usize) -> f64 {
        let (job, began) = (job(), Instant::now());
        let ids: Vec<u32> = std::thread::scope(|scope| {
            let part = |at: usize| count / WIDTH + usize::from(at < count % WIDTH);
            let submit = |at| {
                let job = &job;
                scope.spawn(move || (0..part(at)).map(|_| self.submit(job)).collect::<Vec<_>>())
            };
            let threads: Vec<_> = (0..WIDTH).map(submit).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        until("all jobs are over", || {
            std::thread::sleep(Duration::from_millis(30));
            let over = self.over();
            ids.iter().all(|id| over.contains(id))
        });
        count as f64 / began.elapsed().as_secs_f64()
    }
}

fn job() -> Message {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    Message::Submit(Box::new(JobDesc {
        name: "bench".into(),
        script: "#!/bin/sh\ntrue\n".into(),
        environment: vec![Text::from("PATH=/usr/bin:/bin")],
        argv: vec!["/tmp/true.sh".into()],
        work_dir: "/tmp".into(),
        std_out: "/dev/null".into(),
        user_id: uid.as_raw(),
        group_id: gid.as_raw(),
        min_nodes: 1,
        min_cpus: 1,
        num_tasks: 1,
        // Here 0 says nothing; the mark of what is not set is taken at its word by Slurm's own.
        x11: 0,
        fed_siblings_active: 0,
        fed_siblings_viable: 0,
        power_flags: 0,
        profile: 0,
        open_mode: 0,
        immediate: 0,
        alloc_resp_port: 0,
        other_port: 0,
        begin_time: Time(0),
        end_time: Time(0),
        deadline: Time(0),
        restart_cnt: 0,
        warn_flags: 0,
        warn_signal: 0,
        warn_time: 0,
        bitflags: 0,
        select_jobinfo: SelectJob(select::CONS_TRES),
        ..JobDesc::unset()
    }))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn judge(what: &str, found: f64, goal: f64, above: bool) {
    let met = if above { found >= goal } else { found <= goal };
    let (sign, word) = (if above { "≥" } else { "≤" }, if met { "met" } else { "NOT MET" });
    println!("  {what}: {found:.2} (goal {sign} {goal}: {word})");
}

/// MiB of a process that are its own or shared, and of these its own.
fn memory(pid: u32) -> (f64, f64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let of = |name: &str| -> f64 {
        let lines = text.lines().filter_map(|line| line.strip_prefix(name));
        let kib = lines.filter_map(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        kib.sum::<f64>() / 1024.0
    };
    (of("Rss:"), of("Private_Clean:") + of("Private_Dirty:"))
}

/// Supervisors of an agent's jobs.
fn supervisors(spool: &Path) -> Vec<u32> {
    let jobs = std::fs::read_dir(spool).unwrap().flatten();
    let locks = jobs.filter_map(|job| std::fs::read_to_string(job.path().join("lock")).ok());
    locks.filter_map(|pid| pid.trim().parse().ok()).collect()
}

fn main() {
    let flags = flags();
    let Some(munged) = program("munged") else { return println!("skipped: no munged") };
    let dir = tempfile::Builder::new().prefix("bench").tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let munged = Munged::start(&munged, dir.path());
    let ours = Cluster::start(&munged, dir.path().join("ours"), flags.cpus, None);
    let real = (program("slurmctld"), program("slurmd"));
    let theirs = match &real {
        (Some(slurmctld), Some(slurmd)) => {
            let (dir, programs) = (dir.path().join("theirs"), (&**slurmctld, &**slurmd));
            Some(Cluster::start(&munged, dir, flags.cpus, Some(programs)))
        }
        _ => None,
    };
    println!("jobs of true through one node of {} CPUs, {} a round", flags.cpus, flags.jobs);
    let mut rates = (Vec::new(), Vec::new());
    for _ in 0..flags.rounds {
        rates.0.push(ours.jobs(flags.jobs));
        rates.1.extend(theirs.as_ref().map(|theirs| theirs.jobs(flags.jobs)));
        println!("  ours {:.1}/s, Slurm's own {:.1?}/s", rates.0.last().unwrap(), rates.1.last());
    }
    let rate = median(rates.0);
    if theirs.is_some() {
        let real = median(rates.1);
        println!("  medians: ours {rate:.1}/s, Slurm's own {real:.1}/s");
        judge("of Slurm's own", rate / real, 2.0, true);
    }
    sizes(&ours);
}

/// Memory while jobs run, after the others.
fn sizes(ours: &Cluster) {
    let Message::Submit(mut long) = job() else { unreachable!("it is one") };
    long.script = "#!/bin/sh\nexec sleep 600\n".into();
    let long = Message::Submit(long);
    let ids: Vec<u32> = (0..WIDTH).map(|_| ours.submit(&long)).collect();
    let spool = ours.controller.dir.join("n1/spool");
    let asleep = |pid: &u32| {
        let children = format!("/proc/{pid}/task/{pid}/children");
        let child = std::fs::read_to_string(children).unwrap_or_default();
        let name = std::fs::read_to_string(format!("/proc/{}/comm", child.trim()));
        name.is_ok_and(|name| name == "sleep\n")
    };
    until("all of them run", || {
        let found = supervisors(&spool);
        found.len() == ids.len() && found.iter().all(asleep)
    });
    // What starting took is given back just after it.
    std::thread::sleep(Duration::from_secs(1));
    let (rss, own) = memory(ours.agent.pid());
    println!("memory in MiB, {} jobs running", ids.len());
    println!("  slurmd: {rss:.2}, of it {own:.2} its own");
    judge("slurmd", rss, 10.0, false);
    let sizes: Vec<(f64, f64)> = supervisors(&spool).into_iter().map(memory).collect();
    let largest = |of: fn(&(f64, f64)) -> f64| sizes.iter().map(of).fold(0.0, f64::max);
    println!(
        "  the largest supervisor: {:.2}, of it {:.2} its own",
        largest(|s| s.0),
        largest(|s| s.1)
    );
    judge("one supervisor", largest(|s| s.0), 3.0, false);
}
