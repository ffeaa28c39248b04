//! slurmctld as a daemon: to the background and back, who it is, where it logs, what it says to
//! systemd, and what it leaves out of the state. No Slurm package is needed but where it is named.
#![cfg(feature = "controller")]

#[allow(dead_code, reason = "other suites run clients")]
#[path = "controller/cluster.rs"]
mod cluster;
#[path = "programs/mod.rs"]
mod programs;

use cluster::{Controller, Process, limited, until};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use statedir::slurm::auth::key::{self, Key, system_clock};
use statedir::slurm::auth::{Auth, To};
use statedir::slurm::link::{Times, call};
use statedir::slurm::wire::tables::{InfoRequest, UpdateNode};
use statedir::slurm::wire::{Message, Time, Unset};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const OURS: &str = env!("CARGO_BIN_EXE_slurmctld");

const CLUSTER: &str = "SlurmdPort=1\nSlurmdTimeout=0\nNodeName=n[1-2] NodeAddr=127.0.0.1\n\
    PartitionName=main Nodes=ALL Default=YES\n";

/// How long an answer may take: the machine may have other things to do, or be stopped. Nothing is
/// measured by it.
const LONG: Times = Times { connect: Duration::from_secs(120), answer: Duration::from_secs(120) };

/// A controller that is not started yet, with a store and a key file.
struct Lab {
    _dir: tempfile::TempDir,
    ours: Controller,
    auth: Auth,
}

fn lab(more: &str) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let ours = Controller::configure(dir.path().join("ours"), "", &format!("{more}{CLUSTER}"));
    let key_file = ours.dir.join("key");
    key::create(&key_file).unwrap();
    let own = format!("AuthKeyFile={}\n", key_file.display());
    std::fs::write(ours.dir.join("statedir.conf"), own).unwrap();
    ours.init();
    let auth = Auth::Key(Key::load(&key_file, system_clock()).unwrap());
    Lab { _dir: dir, ours, auth }
}

impl Lab {
    fn file(&self, name: &str) -> PathBuf {
        self.ours.dir.join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    fn ask(&self, message: &Message) -> Message {
        let address = ("127.0.0.1", self.ours.port);
        call(&self.auth, address, message, To::Anybody, LONG).unwrap()
    }

    fn answers(&self) -> bool {
        let address = ("127.0.0.1", self.ours.port);
        call(&self.auth, address, &Message::Ping, To::Anybody, LONG)
            .is_ok_and(|reply| reply == Message::code(0))
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(OURS);
        command.args(flags).arg("-f").arg(self.ours.conf());
        command.stdin(Stdio::null()).env_remove("NOTIFY_SOCKET");
        command
    }

    /// Starts it in the background; what it says until it is there.
    fn start(&self, flags: &[&str]) -> std::process::Output {
        limited::output(&mut self.command(flags))
    }

    /// The process that the pid file names.
    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.read("slurmctld.pid").trim().parse().ok()?)
    }

    fn end(&self) {
        let pid = self.pid().expect("it wrote its pid");
        kill_process(pid, Signal::TERM).unwrap();
        until("it ends", || test_kill_process(pid).is_err() || is_zombie(pid));
    }

    fn drain(&self, node: &str) {
        let update = UpdateNode {
            node_names: node.into(),
            node_state: 0x0200,
            reason: "broken".into(),
            weight: u32::UNSET,
            ..UpdateNode::default()
        };
        assert_eq!(self.ask(&Message::UpdateNode(Box::new(update))), Message::code(0));
    }

    fn drained(&self) -> Vec<String> {
        let asked = InfoRequest { last_update: Time(0), show_flags: 1 };
        let Message::Nodes(nodes) = self.ask(&Message::NodesRequest(Box::new(asked))) else {
            panic!("nodes were asked for");
        };
        let drained = nodes.records.iter().filter(|node| node.node_state & 0x0200 != 0);
        drained.map(|node| node.name.lossy().into_owned()).collect()
    }
}

/// Ended, and not asked for by whoever adopted it: in a container nobody may.
fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| stat.contains(") Z "))
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn in_the_background_its_parent_ends_when_it_answers_and_signals_are_as_slurms() {
    let lab = lab("SlurmctldDebug=verbose\nLogTimeFormat=iso8601\n");
    let log = lab.file("slurmctld.log");
    let flags = ["-L", log.to_str().unwrap()];
    let started = lab.start(&flags);
    assert_eq!(started.status.code(), Some(0), "{}", said(&started));
    // Nothing is waited for: whoever started it may ask at once.
    assert!(lab.answers());
    let pid = lab.pid().expect("the pid file is written before the parent ends");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    assert_ne!(fields[3], pid.as_raw_nonzero().to_string(), "no leader of its session");
    assert_eq!(fields[4], "0", "no terminal");
    let null = |fd: u32| std::fs::read_link(format!("/proc/{}/fd/{fd}", pid.as_raw_nonzero()));
    assert_eq!(null(0).unwrap(), Path::new("/dev/null"));
    let dir = std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).unwrap();
    assert_eq!(dir, lab.ours.dir.canonicalize().unwrap(), "it went where the log is");
    let first = lab.read("slurmctld.log");
    let line = first.lines().find(|line| line.contains("started on cluster lab")).unwrap();
    assert!(line.starts_with("[20") && line.as_bytes()[11] == b'T', "{line}");
    assert_eq!(line.as_bytes()[20], b']', "{line}");

    // A second one is refused, and the first one stays as it is.
    let second = lab.start(&flags);
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("next: statectl"), "{}", said(&second));
    assert_eq!(lab.pid(), Some(pid));

    std::fs::rename(&log, lab.file("old.log")).unwrap();
    kill_process(pid, Signal::USR2).unwrap();
    until("the log is opened anew", || log.exists());
    lab.ours.write_conf("", &format!("SlurmctldDebug=verbose\n{CLUSTER}NodeName=n3\n"));
    kill_process(pid, Signal::HUP).unwrap();
    until("slurm.conf is read again", || lab.read("slurmctld.log").contains("read again"));
    for ignored in [Signal::USR1, Signal::QUIT, Signal::ALARM, Signal::XCPU] {
        kill_process(pid, ignored).unwrap();
    }
    assert!(lab.answers());
    lab.end();
    assert!(!lab.file("slurmctld.pid").exists());
    assert!(!lab.answers());
}

#[test]
fn what_keeps_it_from_starting_is_said_where_it_was_started() {
    let lab = lab("");
    let busy = std::net::TcpListener::bind(("127.0.0.1", lab.ours.port)).unwrap();
    let refused = lab.start(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("ss -ltnp"), "{}", said(&refused));
    assert_eq!(lab.pid(), None);
    drop(busy);
    let conf = std::fs::read_to_string(lab.ours.conf()).unwrap();
    std::fs::write(lab.ours.conf(), format!("{conf}Nonsense=1\n")).unwrap();
    for flags in [&[][..], &["-D"]] {
        let refused = lab.start(flags);
        assert_eq!(refused.status.code(), Some(1));
        let told = said(&refused);
        assert!(told.contains("slurm.conf:") && told.contains("Nonsense"), "{told}");
    }
    let unknown = lab.start(&["-x"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said(&unknown).contains("-R"), "{}", said(&unknown));
    let help = lab.start(&["-h"]);
    assert_eq!(help.status.code(), Some(0));
}

/// Everything below `path`, given to a user.
fn give(path: &Path, uid: u32, gid: u32) {
    chown(path, Some(uid), Some(gid)).unwrap();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), uid, gid);
        }
    }
}

#[test]
fn started_as_root_it_becomes_slurm_user_with_his_groups_and_stays_it() {
    if !programs::root("started_as_root_it_becomes_slurm_user_with_his_groups_and_stays_it") {
        return;
    }
    let lab = lab("");
    let conf = std::fs::read_to_string(lab.ours.conf()).unwrap();
    let conf = conf.replace("SlurmUser=root", "SlurmUser=nobody");
    // In a folder of root's, as /run is.
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let own = format!("SlurmctldPidFile={}/slurmctld.pid", lab.ours.dir.display());
    let conf = conf.replace(&own, &format!("SlurmctldPidFile={}", pid_file.display()));
    std::fs::write(lab.ours.conf(), conf).unwrap();
    give(&lab.ours.state(), 65_534, 65_534);
    chown(lab.file("key"), Some(65_534), None).unwrap();
    let log = lab.file("slurmctld.log");
    let started = lab.start(&["-L", log.to_str().unwrap()]);
    assert_eq!(started.status.code(), Some(0), "{}", said(&started));
    let pid = std::fs::read_to_string(&pid_file).unwrap().trim().to_owned();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("Uid:"), ["65534"; 4], "{status}");
    assert_eq!(field("Gid:"), ["65534"; 4], "{status}");
    assert_eq!(field("Groups:"), ["65534"], "{status}");
    assert_eq!(field("CapPrm:"), ["0000000000000000"], "{status}");
    let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
    // It may write its log again after it has been moved away.
    kill_process(pid, Signal::USR2).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    until("it ends", || std::fs::read_to_string(&pid_file).unwrap().is_empty());
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(told.contains("terminate signal received"), "{told}");
    assert!(!told.contains("error"), "{told}");
}

#[test]
fn systemd_is_told_when_it_answers_and_when_it_ends() {
    let lab = lab("");
    let path = lab.file("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let next = || {
        let mut bytes = [0; 4096];
        let len = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    };
    for flags in [&["-D"][..], &[]] {
        let mut command = lab.command(flags);
        let mut child = Process(command.env("NOTIFY_SOCKET", &path).spawn().unwrap());
        let ready = next();
        assert!(ready.contains("READY=1\n") && ready.contains("STATUS=in charge"), "{ready}");
        assert!(lab.answers());
        let pid = lab.pid().unwrap();
        assert!(ready.contains(&format!("MAINPID={}\n", pid.as_raw_nonzero())), "{ready}");
        kill_process(pid, Signal::TERM).unwrap();
        until("it says that it ends", || next().contains("STOPPING=1"));
        assert_eq!(child.ended(), Some(0));
        until("it has ended", || !lab.file("slurmctld.pid").exists());
    }
}

fn in_foreground(lab: &Lab, flags: &[&str]) -> Process {
    let log = std::fs::File::create(lab.file("log")).unwrap();
    let flags = [&["-D"], flags].concat();
    let child: Child = lab.command(&flags).stderr(log).spawn().unwrap();
    let mut process = Process(child);
    let pid = Pid::from_child(&process.0);
    // It answers before its guard has heard that it does, and has written the file.
    until("it answers, and the pid file names it", || {
        assert!(process.0.try_wait().unwrap().is_none(), "{}", lab.read("log"));
        lab.answers() && lab.pid() == Some(pid)
    });
    process
}

#[test]
fn cleared_state_is_kept_under_a_tag_that_the_log_names() {
    let lab = lab("");
    for flags in [&[][..], &["-R"], &["-r"], &["-i"]] {
        let _running = in_foreground(&lab, flags);
        if flags.is_empty() {
            lab.drain("n1");
        }
        assert_eq!(lab.drained(), ["n1"], "{flags:?}");
        lab.end();
    }
    {
        let _running = in_foreground(&lab, &["-c"]);
        assert!(lab.drained().is_empty());
        lab.end();
    }
    let told = lab.read("log");
    let command = told.split("statectl ").nth(1).unwrap().split(" shows").next().unwrap();
    let mut tool = Command::new(env!("CARGO_BIN_EXE_statectl"));
    let shown = limited::output(tool.args(command.split(' ')));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("n1"), "{told} {}", said(&shown));
    let _running = in_foreground(&lab, &[]);
    assert!(lab.drained().is_empty());
}

#[test]
fn statectl_does_not_mind_what_keeps_slurms_controller_away() {
    let lab = lab("");
    {
        let _running = in_foreground(&lab, &[]);
        lab.drain("n2");
        lab.end();
    }
    let copy = lab.file("copy");
    let state = lab.ours.state();
    let (state, copied) = (state.to_str().unwrap(), copy.to_str().unwrap());
    if programs::find("rsync", "statectl_does_not_mind").is_some() {
        let from = format!("{state}/");
        let done = limited::output(Command::new("rsync").args(["-a", &from, copied]));
        assert!(done.status.success(), "{}", said(&done));
    }
    for dir in [state, copied] {
        for command in [&["status"][..], &["verify", "--full"], &["du"]] {
            let mut tool = Command::new(env!("CARGO_BIN_EXE_statectl"));
            let done = limited::output(tool.args(["-C", dir]).args(command));
            assert_eq!(done.status.code(), Some(0), "{command:?} {}", said(&done));
            let all = format!("{}{}", said(&done), String::from_utf8_lossy(&done.stdout));
            assert!(!all.contains("job_state"), "{command:?} {all}");
        }
    }
}

/// Names, lengths, bytes and times of all files.
fn image(dir: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut found: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let modified = path.metadata().unwrap().modified().unwrap();
            (path.clone(), std::fs::read(&path).unwrap(), modified)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn slurms_own_slurmctld_ends_at_our_state_and_leaves_every_byte() {
    let test = "slurms_own_slurmctld_ends_at_our_state_and_leaves_every_byte";
    let Some(real) = programs::find("slurmctld", test) else { return };
    let lab = lab("");
    {
        let _running = in_foreground(&lab, &[]);
        lab.drain("n2");
        lab.end();
    }
    let before = image(&lab.ours.state());
    for flags in [&["-D"][..], &["-D", "-i"], &["-D", "-c"], &["-D", "-R"]] {
        let mut command = Command::new(&real);
        let ended = limited::output(command.args(flags).arg("-f").arg(lab.ours.conf()));
        assert_eq!(ended.status.code(), Some(1), "{flags:?} {}", said(&ended));
        assert!(said(&ended).contains("a store of statedir"), "{}", said(&ended));
        assert!(image(&lab.ours.state()) == before, "{flags:?}");
    }
    // Where somebody removed the first barrier, the second one holds.
    std::fs::remove_file(lab.ours.state().join("clustername")).unwrap();
    let mut command = Command::new(&real);
    let ended = limited::output(command.args(["-D", "-f"]).arg(lab.ours.conf()));
    assert!(said(&ended).contains("Incomplete job state save file"), "{}", said(&ended));
    let left: Vec<_> = before.iter().filter(|file| !file.0.ends_with("clustername")).collect();
    let after = image(&lab.ours.state());
    assert!(left.iter().all(|file| after.contains(file)));
    // It left files of its own; ours says so, and touches nothing.
    let refused = lab.start(&["-D"]);
    assert!(said(&refused).contains("Slurm's own slurmctld (clustername)"), "{}", said(&refused));
    assert!(image(&lab.ours.state()) == after);
}

/// The child of the guard.
fn serving(guard: Pid) -> Option<Pid> {
    let guard = guard.as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).ok()?;
    Pid::from_raw(children.trim().parse().ok()?)
}

/// Another one than `old` serves; who.
fn another_serves(lab: &Lab, guard: Pid, old: Pid) -> Pid {
    let mut new = None;
    until("another one answers", || {
        new = serving(guard).filter(|new| *new != old);
        new.is_some() && lab.answers()
    });
    new.unwrap()
}

#[test]
fn a_serving_process_that_hangs_is_killed_and_another_one_takes_its_place() {
    let lab = lab("SlurmctldTimeout=2\n");
    let mut running = in_foreground(&lab, &["-c"]);
    lab.drain("n1");
    let guard = Pid::from_child(&running.0);
    assert_eq!(lab.pid(), Some(guard));
    let first = serving(guard).unwrap();
    let holds = |pid: Pid| {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).unwrap();
        let links = fds.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
        links.map(|link| link.display().to_string()).collect::<Vec<_>>()
    };
    let state = lab.ours.state().canonicalize().unwrap().display().to_string();
    assert!(holds(first).iter().any(|file| file.starts_with(&state)));
    assert!(!holds(guard).iter().any(|file| file.starts_with(&state)), "no file of the store");
    let tcp = |pid: Pid| {
        let port = format!(":{:04X}", lab.ours.port);
        let read = |of: &str| std::fs::read_to_string(format!("/proc/self/net/{of}"));
        let all = ["tcp", "tcp6"].map(|of| read(of).unwrap_or_default()).concat();
        let ours = all.lines().filter(|line| line.contains(&port) && line.contains(" 0A "));
        let inodes: Vec<String> =
            ours.filter_map(|line| line.split_whitespace().nth(9).map(str::to_owned)).collect();
        holds(pid).iter().any(|link| inodes.iter().any(|inode| link.contains(inode.as_str())))
    };
    assert!(tcp(first) && !tcp(guard), "the port is the serving process's alone");
    until("the frozen one is killed", || {
        let there = serving(guard) == Some(first);
        if there {
            // Again and again: others may let all processes of the machine go on.
            let _ = kill_process(first, Signal::STOP);
        }
        !there
    });
    let second = another_serves(&lab, guard, first);
    assert!(lab.read("log").contains("was silent for"), "{}", lab.read("log"));
    // -c counted once.
    assert_eq!(lab.drained(), ["n1"]);
    kill_process(second, Signal::KILL).unwrap();
    another_serves(&lab, guard, second);
    assert_eq!((lab.drained(), lab.pid()), (vec!["n1".to_owned()], Some(guard)));
    lab.end();
    assert_eq!(running.ended(), Some(0));
}

#[test]
fn nothing_is_left_of_a_guard_that_is_killed_and_the_next_one_starts_at_once() {
    let lab = lab("");
    for _ in 0..3 {
        let mut running = in_foreground(&lab, &[]);
        let served = serving(Pid::from_child(&running.0)).unwrap();
        running.0.kill().unwrap();
        running.ended();
        drop(in_foreground(&lab, &[]));
        until("it is gone", || test_kill_process(served).is_err() || is_zombie(served));
    }
}

#[test]
fn who_wants_no_guard_has_one_process() {
    let lab = lab("");
    let own = lab.read("statedir.conf");
    std::fs::write(lab.file("statedir.conf"), format!("{own}Guard=no\n")).unwrap();
    let running = in_foreground(&lab, &[]);
    assert_eq!(serving(Pid::from_child(&running.0)), None);
    assert_eq!(lab.pid(), Some(Pid::from_child(&running.0)));
    lab.end();
}
