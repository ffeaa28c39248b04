//! Loops of the real sbatch, and threads of libslurm, under `auth/munge`: ours, the null server,
//! Slurm's own controller.

use crate::cluster::{Controller, Munged, until};
use crate::flags::Flags;
use crate::lab::{CLUSTER, OURS, judge, median, null, scratch};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Loops at a time.
const LOOPS: usize = 8;

fn program(name: &str) -> Option<PathBuf> {
    let dirs = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
    let found = dirs.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file());
    if found.is_none() {
        println!("sbatch: skipped, {name} is not installed");
    }
    found
}

/// Submissions in a second by 8 loops.
pub fn sbatch(flags: &Flags) {
    let (Some(munged), Some(real), Some(_)) =
        (program("munged"), program("slurmctld"), program("sbatch"))
    else {
        return;
    };
    let dir = scratch(flags);
    let munged = Munged::start(&munged, dir.path());
    let auth_info = format!("AuthInfo=socket={}", munged.socket.display());
    let configure = |name: &str| Controller::configure(dir.path().join(name), &auth_info, CLUSTER);
    let (mut ours, mut theirs, mut nothing) =
        (configure("ours"), configure("theirs"), configure("null"));
    ours.init();
    ours.start(Path::new(OURS));
    theirs.start(&real);
    let (process, port) = null(&["--auth-info", &auth_info["AuthInfo=".len()..]]);
    nothing.port = port;
    nothing.write_conf(&auth_info, CLUSTER);
    until("the real controller answers", || theirs.run("sinfo").code == 0);
    let all = [(0, "ours", &ours), (1, "null", &nothing), (2, "Slurm's own", &theirs)];
    let pids = [ours.pid(), process.0.id(), theirs.guard()];
    let compare = |name: &str, submit: &dyn Fn(&Controller) -> usize| {
        println!("{name}: {LOOPS} at a time");
        let mut rates = [const { Vec::new() }; 3];
        for _ in 0..flags.rounds {
            for ((at, name, controller), rates) in all.iter().zip(&mut rates) {
                let (before, began) = (cpu(pids[*at]), Instant::now());
                let done = submit(controller) as f64;
                let rate = done / began.elapsed().as_secs_f64();
                let each = (cpu(pids[*at]) - before) / done * 1e3;
                println!("  {name}: {rate:.1}/s, {each:.3} ms of the server's CPU each");
                rates.push(rate);
            }
        }
        let [ours, null, real] = rates.map(median);
        println!("  medians: {ours:.1}/s, null {null:.1}/s, Slurm's own {real:.1}/s");
        judge("of Slurm's own", ours / real, 1.0, true);
        judge("of the null server", ours / null, 0.8, true);
    };
    compare("sbatch", &|controller| loops(controller, flags.seconds));
    if let Some(program) = libslurm(dir.path()) {
        compare("libslurm", &|controller| threads(&program, controller, flags.seconds));
    }
    let _ = (ours.stop(), theirs.stop());
}

/// The program in submit.c, if it can be made.
fn libslurm(dir: &Path) -> Option<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/controller/submit.c");
    let program = dir.join("submit");
    let made = Command::new("cc")
        .args(["-O2", "-o"])
        .arg(&program)
        .args([source, "-lslurm", "-lpthread"])
        .stderr(Stdio::null())
        .status();
    if made.is_ok_and(|made| made.success()) {
        return Some(program);
    }
    println!("libslurm: skipped, cc or libslurm-dev is not installed");
    None
}

fn threads(program: &Path, controller: &Controller, seconds: f64) -> usize {
    let output = Command::new(program)
        .args([seconds.to_string(), LOOPS.to_string()])
        .env("SLURM_CONF", controller.conf())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Seconds of CPU that a process has used.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    // utime and stime, in ticks of 10 ms.
    (ticks(11) + ticks(12)) / 100.0
}

fn loops(controller: &Controller, seconds: f64) -> usize {
    let began = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    std::thread::scope(|scope| {
        let submit = || {
            let mut done = 0;
            while began.elapsed() < limit {
                let ended = Command::new("sbatch")
                    .args(["--hold", "-o", "/dev/null", "--wrap", "exit 0"])
                    .env("SLURM_CONF", controller.conf())
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .status()
                    .unwrap();
                assert!(ended.success(), "sbatch: {ended}");
                done += 1;
            }
            done
        };
        let threads: Vec<_> = (0..LOOPS).map(|_| scope.spawn(submit)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}
