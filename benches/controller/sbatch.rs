//! Loops of the real sbatch under `auth/munge`: ours, the null server, Slurm's own controller.

use crate::cluster::{Controller, Munged, Process, until};
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
    println!("sbatch: {LOOPS} loops");
    let dir = scratch(flags);
    let munged = Munged::start(&munged, dir.path());
    let auth_info = format!("AuthInfo=socket={}", munged.socket.display());
    let configure = |name: &str| Controller::configure(dir.path().join(name), &auth_info, CLUSTER);
    let (mut ours, mut theirs, mut nothing) =
        (configure("ours"), configure("theirs"), configure("null"));
    ours.init();
    ours.start(Path::new(OURS));
    theirs.start(&real);
    let (_null, port): (Process, u16) = null(&["--auth-info", &auth_info["AuthInfo=".len()..]]);
    nothing.port = port;
    nothing.write_conf(&auth_info, CLUSTER);
    until("the real controller answers", || theirs.run("sinfo").code == 0);
    let all = [("ours", &ours), ("null", &nothing), ("Slurm's own", &theirs)];
    let mut rates = [const { Vec::new() }; 3];
    for _ in 0..flags.rounds {
        for ((name, controller), rates) in all.iter().zip(&mut rates) {
            let rate = loops(controller, flags.seconds);
            println!("  {name}: {rate:.1}/s");
            rates.push(rate);
        }
    }
    let [ours_rate, null_rate, real_rate] = rates.map(median);
    println!("  medians: {ours_rate:.1}/s, null {null_rate:.1}/s, Slurm's own {real_rate:.1}/s");
    judge("of Slurm's own", ours_rate / real_rate, 1.0, true);
    judge("of the null server", ours_rate / null_rate, 0.8, true);
    let _ = (ours.stop(), theirs.stop());
}

fn loops(controller: &Controller, seconds: f64) -> f64 {
    let began = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    let done: usize = std::thread::scope(|scope| {
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
    });
    done as f64 / began.elapsed().as_secs_f64()
}
