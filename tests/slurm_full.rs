//! StateSaveLocation on a real file system that is full, or whose flushes hang: submissions are put
//! off with code 11, information is given, nothing that was acknowledged is lost, and when there is
//! room again, or the flush returns, it goes on without a restart.
//!
//! The file systems are the test's own: a small tmpfs, and ext4 in a file, frozen by `fsfreeze`.
//! They are mounted in a mount namespace that a process of the test keeps, and go with it.
#![cfg(feature = "controller")]

#[allow(dead_code, reason = "every test binary uses a part of it")]
#[path = "controller/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "every test binary uses a part of it")]
#[path = "durable/judge.rs"]
mod judge;
#[allow(dead_code, reason = "every test binary uses a part of it")]
#[path = "controller/keyed.rs"]
mod keyed;
#[allow(dead_code, reason = "every test binary uses a part of it")]
#[path = "durable/own.rs"]
mod own;
#[path = "programs/mod.rs"]
mod programs;
#[allow(dead_code, reason = "every test binary uses a part of it")]
#[path = "failover/space.rs"]
mod space;

use cluster::{Controller, Process, until};
use judge::Told;
use own::Client;
use statedir::Store;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const OURS: &str = env!("CARGO_BIN_EXE_slurmctld");

/// Nodes that nobody is: jobs wait.
const CLUSTER: &str = "SlurmdPort=1\nMaxJobCount=1000000\n\
    NodeName=n[1-4] CPUs=2 RealMemory=1000 NodeAddr=127.0.0.1 State=DOWN\n\
    PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n";

/// Submissions that fill whatever a store keeps in reserve: each of some 30 KB.
const MANY: usize = 5_000;

/// A controller whose state lies on a file system of its own.
struct Lab {
    ours: Controller,
    client: Client,
    /// Starts the controller where that file system is mounted.
    program: PathBuf,
    space: Process,
    told: Vec<Told>,
    _dir: tempfile::TempDir,
}

/// `mount`: what mounts it at `$1`; `None`: that cannot be done here, which has been reported.
fn lab(test: &str, mount: &str) -> Option<Lab> {
    if !programs::root(test) {
        return None;
    }
    for program in ["unshare", "nsenter", "mount"] {
        programs::find(program, test)?;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut ours, client) = own::configure(dir.path(), CLUSTER);
    // The store that was made goes; one is made where the controller will see it.
    std::fs::remove_dir_all(ours.state()).unwrap();
    std::fs::create_dir(ours.state()).unwrap();
    let ready = dir.path().join("ready");
    let script = format!(
        "cd {}; {mount} && touch {} && exec sleep 3600",
        dir.path().display(),
        ready.display()
    );
    let space = Command::new("unshare")
        .args(["-m", "sh", "-c", &script, "sh"])
        .arg(ours.state())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut space = Process(space);
    let mut ended = false;
    until("it is mounted", || {
        ended = space.0.try_wait().unwrap().is_some();
        ended || ready.exists()
    });
    if ended {
        programs::cannot(&format!("{test}: {mount}: not possible here"));
        return None;
    }
    let program = dir.path().join("slurmctld");
    let (pid, ctld) = (space.0.id(), Path::new(OURS).display());
    std::fs::write(&program, format!("#!/bin/sh\nexec nsenter -m -t {pid} {ctld} \"$@\"\n"))
        .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let state = seen(&space, &ours.state());
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
    Store::create(&state, &statedir::Options::default()).unwrap();
    ours.start(&program);
    Some(Lab { ours, client, program, space, told: Vec::new(), _dir: dir })
}

/// A path as processes in the namespace see it.
fn seen(space: &Process, path: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", space.0.id()));
    root.join(path.strip_prefix("/").unwrap())
}

/// A script that zstd makes no shorter than half of it.
fn script(number: u64) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = (0..3_500).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:016x}\n")
    });
    format!("#!/bin/sh\n# {number}\n{}", words.collect::<String>())
}

impl Lab {
    /// Submits; whether that was acknowledged, and not put off.
    fn submits(&mut self) -> bool {
        let number = self.told.len() as u64;
        let told = self.client.submit_script(&self.ours, script(number));
        let done = told.is_some();
        self.told.extend(told);
        done
    }

    /// Everything that was acknowledged is known.
    fn all_known(&self) {
        let ids: BTreeSet<u32> = self.told.iter().map(|told| told.id).collect();
        assert_eq!(ids.len(), self.told.len(), "no id was given twice");
        assert_eq!(self.client.known(&self.ours, self.told.iter()), ids);
    }

    /// The same, with its scripts, after `kill -9`.
    fn all_there_after_a_kill(&mut self) {
        self.ours.kill();
        self.ours.start(&self.program.clone());
        self.all_known();
        for told in &self.told {
            assert_eq!(self.client.script(&self.ours, told.id).as_deref(), Some(&*told.script));
        }
    }
}

#[test]
fn while_the_disk_is_full_submissions_are_put_off_and_then_go_on_without_a_restart() {
    let test = "while_the_disk_is_full_submissions_are_put_off";
    let Some(mut lab) = lab(test, "mount -t tmpfs -o size=128m none $1") else { return };
    for _ in 0..20 {
        assert!(lab.submits());
    }
    let ballast = seen(&lab.space, &lab.ours.state()).join("..").join("state/ballast");
    for _ in 0..2 {
        fill(&ballast);
        let refused = (0..MANY).find(|_| !lab.submits());
        assert!(refused.is_some(), "{} were taken on a full disk", lab.told.len());
        lab.all_known();
        let taken = lab.told.len();
        assert!((0..50).all(|_| !lab.submits()), "what is full stays full");
        lab.all_known();
        assert_eq!(lab.told.len(), taken);
        let pid = lab.ours.pid();
        std::fs::remove_file(&ballast).unwrap();
        until("submissions are taken again", || lab.submits());
        assert!((0..20).all(|_| lab.submits()));
        assert_eq!(lab.ours.pid(), pid);
    }
    assert!(lab.ours.log().contains("changes are put off (code 11)"), "{}", lab.ours.log());
    lab.all_there_after_a_kill();
}

/// Writes until nothing more fits.
fn fill(ballast: &Path) {
    let mut file = std::fs::File::create(ballast).unwrap();
    let piece = vec![7; 1 << 16];
    let end = (0..1_000_000).find_map(|_| std::io::Write::write_all(&mut file, &piece).err());
    assert_eq!(end.unwrap().kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn filesystem_not_available_submissions_are_put_off_and_what_waited_is_done_when_it_returns() {
    let test = "filesystem_not_available_submissions_are_put_off";
    for program in ["fsfreeze", "mkfs.ext4"] {
        if programs::find(program, test).is_none() {
            return;
        }
    }
    let mount = "truncate -s 256M disk && mkfs.ext4 -q disk && mount -o loop disk $1 && \
                 rmdir $1/lost+found";
    let Some(mut lab) = lab(test, mount) else { return };
    for _ in 0..20 {
        assert!(lab.submits());
    }
    let frozen = space::Frozen::begin(&seen(&lab.space, &lab.ours.state()));
    let (client, ours) = (&lab.client, lab.ours.beside());
    let waited = std::thread::scope(|scope| {
        let waits = scope.spawn(move || client.submit_patiently(&ours, script(1_000_000)));
        until("submissions are put off", || {
            lab.client.submit_script(&lab.ours, script(2_000_000)).is_none()
                && lab.ours.log().contains("a save is under way for")
        });
        lab.all_known();
        drop(frozen);
        waits.join().unwrap()
    });
    lab.told.push(waited.expect("what had begun is done, and told"));
    until("submissions are taken again", || lab.submits());
    lab.all_there_after_a_kill();
}
