//! The controller, asked by Slurm's real clients: it says what Slurm's own controller says, keeps
//! what an operator changes, refuses the rest at once, and stays up whatever is sent to it.
#![cfg(feature = "controller")]

#[path = "controller/cluster.rs"]
mod cluster;
#[path = "programs/mod.rs"]
mod programs;

use cluster::{Controller, Munged, Said, until};
use statedir::slurm::auth::key::{self, Key, system_clock};
use statedir::slurm::auth::{Auth, Role, To};
use statedir::slurm::wire::frame::{Frame, Header, LENGTH_LEN};
use statedir::slurm::wire::message::MESSAGES;
use statedir::slurm::wire::{Message, Version};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const OURS: &str = env!("CARGO_BIN_EXE_slurmctld");

const CLUSTER: &str = "\
    SlurmdPort=1\n\
    MaxJobCount=1k\nMinJobAge=5\n\
    NodeName=n[1-4] CPUs=2 RealMemory=1000 NodeAddr=127.0.0.1 Feature=a,b\n\
    NodeName=big CPUs=64 Sockets=2 CoresPerSocket=16 ThreadsPerCore=2 RealMemory=262144 Weight=5 \
        NodeAddr=127.0.0.1 State=DRAIN Reason=fan\n\
    PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP\n\
    PartitionName=hold Nodes=ALL State=DOWN MaxTime=1-0 OverSubscribe=FORCE:3\n\
    PartitionName=odd Nodes=n1,n[3-4],big DefMemPerCPU=100 MaxMemPerNode=2048 MaxNodes=3 \
        PriorityTier=7 RootOnly=YES LLN=YES AllowGroups=root DefaultTime=10 GraceTime=9 \
        OverSubscribe=EXCLUSIVE State=DRAIN\n";

/// A munged and our controller, if the real programs are there.
struct Lab {
    _dir: tempfile::TempDir,
    _munged: Munged,
    auth_info: String,
    ours: Controller,
}

fn lab(test: &str) -> Option<Lab> {
    let munged = programs::find("munged", test)?;
    programs::find("scontrol", test)?;
    let dir = tempfile::tempdir().unwrap();
    // Others ask, too.
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let munged = Munged::start(&munged, dir.path());
    let auth_info = format!("AuthInfo=socket={}", munged.socket.display());
    let mut ours = Controller::configure(dir.path().join("ours"), &auth_info, CLUSTER);
    ours.init();
    ours.start(Path::new(OURS));
    Some(Lab { _dir: dir, _munged: munged, auth_info, ours })
}

fn done(stdout: &str) -> Said {
    Said { stdout: stdout.to_owned(), stderr: String::new(), code: 0 }
}

/// What differs from run to run, what only a controller that pings knows, and where it lives.
const OWN: [&str; 9] = [
    "BOOT_TIME",
    "HASH_VAL",
    "LastBusyTime",
    "NOT_RESPONDING\"",
    "\"last_busy\"",
    "\"reason_changed_at\"",
    "SlurmctldPidFile",
    "StateSaveLocation",
    "SLURM_CONF",
];

/// The lines that must be equal. Times are known by their year.
fn masked(said: &Said, controller: &Controller) -> String {
    let text = format!("{}\n{}\n{}", said.stdout, said.stderr, said.code);
    let text = text.replace(&controller.port.to_string(), "PORT");
    // The real one pings, and nobody answers.
    let text = text.replace("+NOT_RESPONDING", "").replace('*', "");
    let year = format!("{}-", year());
    let lines = text.lines().map(str::trim).filter(|line| {
        // The date above a long listing.
        let date = line.ends_with(year.trim_end_matches('-'));
        !date && !OWN.iter().any(|own| line.contains(own))
    });
    let lines = lines.map(|line| {
        let words = line.trim_end_matches(',').split_whitespace();
        let words = words.map(|word| if word.contains(&year) { "TIME" } else { word });
        words.collect::<Vec<_>>().join(" ")
    });
    // Clients sort, and leave equals as they come.
    let mut lines: Vec<String> = lines.collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn year() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    1970 + since.as_secs() / 86_400 * 400 / 146_097
}

const QUESTIONS: [&str; 25] = [
    "scontrol ping",
    "scontrol show config",
    "scontrol show node",
    "scontrol show node n1",
    "scontrol show node nope",
    "scontrol show partition",
    "scontrol show partition odd",
    "scontrol -o show partition",
    "scontrol show partition nope",
    "scontrol show job",
    "scontrol show job 7",
    "scontrol show step",
    "sinfo",
    "sinfo -a",
    "sinfo -N",
    "sinfo -N -l",
    "sinfo -l",
    "sinfo -R",
    "sinfo -s",
    "sinfo -h -o %P_%a_%l_%D_%t_%N",
    "sinfo -h -N -O all",
    "sinfo -p main -t drain",
    "sinfo --json",
    "squeue",
    "squeue -l",
];

/// The same questions to both, live, before and after nodes are changed.
#[test]
fn clients_are_told_what_slurms_own_controller_tells_them() {
    let test = "clients_are_told_what_slurms_own_controller_tells_them";
    let Some(mut lab) = lab(test) else { return };
    let Some(real) = programs::find("slurmctld", test) else { return };
    let dir = lab.ours.dir.with_file_name("real");
    let mut theirs = Controller::configure(dir, &lab.auth_info, CLUSTER);
    theirs.start(&real);
    until("the real controller answers", || theirs.run("sinfo").code == 0);
    let ask_both = |ours: &Controller, when: &str| {
        for question in QUESTIONS {
            let (ours, theirs) =
                (masked(&ours.run(question), ours), masked(&theirs.run(question), &theirs));
            for (ours, theirs) in ours.lines().zip(theirs.lines()) {
                assert_eq!(ours, theirs, "{when}: {question}: ours, and theirs");
            }
            assert_eq!(ours.lines().count(), theirs.lines().count(), "{when}: {question}");
        }
    };
    ask_both(&lab.ours, "at the start");
    for change in [
        "scontrol update nodename=n1 state=drain reason=disk_bad",
        "scontrol update nodename=n[2-3] state=down reason=test",
        "scontrol update nodename=n3 state=resume",
        "scontrol update nodename=n4 state=fail reason=soon",
        "scontrol update nodename=n4 state=idle",
        "scontrol update nodename=n4 comment=hello",
        "scontrol update nodename=n9 state=idle",
        "scontrol update nodename=n1 state=future",
        "scontrol takeover",
    ] {
        let (ours, theirs) = (lab.ours.run(change), theirs.run(change));
        assert_eq!(ours, theirs, "{change}");
    }
    ask_both(&lab.ours, "after changes");
    assert_eq!(lab.ours.stop(), Some(0));
}

#[test]
fn what_an_operator_changed_survives_kill_9_right_after_the_reply() {
    let test = "what_an_operator_changed_survives_kill_9_right_after_the_reply";
    let Some(mut lab) = lab(test) else { return };
    for round in 0..5 {
        let node = format!("n{}", round % 4 + 1);
        let change = format!("scontrol update nodename={node} state=drain reason=round{round}");
        assert_eq!(lab.ours.run(&change), done(""));
        lab.ours.kill();
        lab.ours.start(Path::new(OURS));
        let shown = lab.ours.run(&format!("sinfo -h -n {node} -o %T_%E")).stdout;
        assert!(shown.contains(&format!("drained round{round}")), "{shown}");
    }
    assert_eq!(lab.ours.stop(), Some(0));
    lab.ours.start(Path::new(OURS));
    let listed = lab.ours.run("sinfo -h -R -o %E_%u_%N").stdout;
    assert!(listed.contains("round4") && listed.contains("round3"), "{listed}");
}

#[test]
fn what_it_does_not_do_is_refused_at_once_and_who_may_not_is_too() {
    let test = "what_it_does_not_do_is_refused_at_once_and_who_may_not_is_too";
    let Some(lab) = lab(test) else { return };
    let refused = |line: &str, code: i32, why: &str| {
        let said = lab.ours.run(line);
        assert_eq!(said.code, code, "{line}: {said:?}");
        assert!(said.stderr.contains(why) || said.stdout.contains(why), "{line}: {said:?}");
    };
    refused("srun true", 1, "not supported");
    refused("salloc true", 1, "not supported");
    refused("scontrol update partitionname=main state=down", 1, "not supported");
    refused("scontrol update nodename=n1 features=x", 1, "not supported");
    refused("scontrol show reservation", 1, "not supported");
    refused("scontrol update nodename=n9 state=idle", 1, "Invalid node name specified");
    if rustix::process::geteuid().is_root() {
        for line in ["scontrol update nodename=n1 state=resume", "scontrol reconfigure"] {
            let said = lab.ours.run_as_nobody(line);
            assert_eq!(said.code, 1, "{said:?}");
            assert!(said.stderr.contains("Invalid user id"), "{said:?}");
        }
        assert_eq!(lab.ours.run_as_nobody("sinfo").code, 0);
    }
}

#[test]
fn slurm_conf_is_read_again_and_a_mistake_in_it_changes_nothing() {
    let test = "slurm_conf_is_read_again_and_a_mistake_in_it_changes_nothing";
    let Some(lab) = lab(test) else { return };
    let names = || lab.ours.run("sinfo -h -N -o %N").stdout;
    assert!(!names().contains("extra"));
    assert_eq!(lab.ours.run("scontrol update nodename=n2 state=drain reason=x"), done(""));
    let more = format!("NodeName=extra\n{CLUSTER}").replace("n[1-2] Def", "n[1-2],extra Def");
    lab.ours.write_conf(&lab.auth_info, &more);
    assert_eq!(lab.ours.run("scontrol reconfigure"), done(""));
    assert!(names().contains("extra"), "{}", names());
    assert!(lab.ours.run("sinfo -h -R").stdout.contains("n2"), "what is known of nodes stays");
    // Clients refuse such a file themselves, so the signal it is.
    lab.ours.write_conf(&lab.auth_info, &format!("{more}NodeName=n1\n"));
    let pid = rustix::process::Pid::from_raw(lab.ours.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    until("the mistake is told", || lab.ours.log().contains("node n1 is there already"));
    assert!(names().contains("extra"));
}

#[test]
fn a_directory_that_is_no_store_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut ours = Controller::configure(dir.path().join("ours"), "", CLUSTER);
    let key_file = dir.path().join("key");
    key::create(&key_file).unwrap();
    let own = format!("AuthKeyFile={}\n", key_file.display());
    std::fs::write(ours.dir.join("statedir.conf"), own).unwrap();
    let conf = ours.conf().display().to_string();
    let state = ours.state();
    let start = || ours.run(&format!("{OURS} -D -f {conf}"));
    let said = start();
    let next = format!("is no store; next: statectl -C {} init", state.display());
    assert!(said.code == 1 && said.stderr.contains(&next), "{said:?}");
    std::fs::write(state.join("job_state"), "precious").unwrap();
    let said = start();
    assert!(
        said.code == 1 && said.stderr.contains("Slurm's own slurmctld (job_state)"),
        "{said:?}"
    );
    assert_eq!(std::fs::read(state.join("job_state")).unwrap(), b"precious");
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1);
    std::fs::remove_file(state.join("job_state")).unwrap();
    ours.init();
    ours.start(Path::new(OURS));
    assert_eq!(ours.stop(), Some(0));
    let version = ours.run(&format!("{OURS} -V"));
    assert!(version.stdout.starts_with("statedir "), "{version:?}");
}

/// Sends bytes, and reads what comes back until the other side is done. The place `at` of this
/// host varies, because each leaves a port in use for a while.
fn exchange(at: u8, port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut reply = Vec::new();
    let address = std::net::Ipv4Addr::new(127, 0, 0, at % 16 + 1);
    let mut stream = TcpStream::connect((address, port)).expect("it accepts");
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut reply);
    reply
}

fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// splitmix64.
fn chooser(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The controller as it is, asked with our own codec and key.
fn ping(auth: &Auth, port: u16) -> Message {
    let header = Header::new(Version::NEWEST, Message::Ping.kind(), 0);
    let sealed = auth.seal(&header, &[], Role::Request, To::Anybody).unwrap();
    let reply = exchange(0, port, &sealed.bytes);
    let frame = Frame::unpack(&reply[LENGTH_LEN..]).unwrap();
    let _ = auth.verify(&frame, Role::Reply(sealed.nonce)).unwrap();
    Message::unpack(frame.head.header.kind, Version::NEWEST, frame.body).unwrap()
}

/// A controller whose credentials are made with a key file, and the key.
fn with_key() -> (tempfile::TempDir, Controller, Auth) {
    let dir = tempfile::tempdir().unwrap();
    let mut ours = Controller::configure(dir.path().join("ours"), "", CLUSTER);
    let key_file = dir.path().join("key");
    key::create(&key_file).unwrap();
    let own = format!("AuthKeyFile={}\n", key_file.display());
    std::fs::write(ours.dir.join("statedir.conf"), own).unwrap();
    ours.init();
    ours.start(Path::new(OURS));
    let auth = Auth::Key(Key::load(&key_file, system_clock()).unwrap());
    (dir, ours, auth)
}

#[test]
fn who_does_not_say_who_he_is_costs_little_and_is_let_go() {
    let (_dir, mut ours, auth) = with_key();
    assert_eq!(ping(&auth, ours.port), Message::code(0));
    let before = memory_kib(ours.pid());
    let waiting: Vec<TcpStream> = (0..400)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", ours.port)).unwrap();
            // A head that claims a long credential, and a part of that.
            let mut bytes = (1_u32 << 20).to_be_bytes().to_vec();
            bytes.extend(Header::new(Version::NEWEST, 1008, 0).pack());
            bytes.extend(auth.plugin().to_be_bytes());
            bytes.extend((15_u32 << 10).to_be_bytes());
            bytes.extend([1; 14 << 10]);
            stream.write_all(&bytes).unwrap();
            stream
        })
        .collect();
    assert_eq!(ping(&auth, ours.port), Message::code(0), "others are served meanwhile");
    let each = (memory_kib(ours.pid()) - before) / 400;
    assert!(each <= 64, "{each} KiB for each connection");
    for mut stream in waiting {
        // The controller closes it: nothing else ends this.
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
    }
    assert_eq!(ours.stop(), Some(0));
}

#[test]
fn it_stays_up_and_small_through_ten_thousand_pieces_of_garbage_and_as_many_mutated_requests() {
    let (_dir, mut ours, auth) = with_key();
    let rounds: u64 =
        std::env::var("STATEDIR_GARBAGE").ok().map_or(10_000, |text| text.parse().unwrap());
    let mut choose = chooser(1);
    let mut replies = 0;
    let mut send = |rounds: u64| {
        for _ in 0..rounds {
            let len = choose() % 300;
            let mut garbage: Vec<u8> = (0..len).map(|_| choose() as u8).collect();
            if choose().is_multiple_of(2) && garbage.len() > 8 {
                // A length that may be, so that the header is looked at.
                let claim = (choose() % 70_000) as u32;
                garbage[..4].copy_from_slice(&claim.to_be_bytes());
                garbage[4..6].copy_from_slice(&Version::NEWEST.0.to_be_bytes());
            }
            exchange(choose() as u8, ours.port, &garbage);
            let row = &MESSAGES[choose() as usize % MESSAGES.len()];
            // Others would end it, or make it read a file again, which is not the point here.
            if [1003, 1005].contains(&row.kind) {
                continue;
            }
            let message = (row.sample)(&mut choose);
            let body = message.pack(Version::NEWEST).unwrap();
            let header = Header::new(Version::NEWEST, row.kind, body.len());
            let mut bytes = if choose().is_multiple_of(2) {
                // A genuine credential for a mutated body.
                let mut body = body;
                for _ in 0..choose() % 4 {
                    let at = choose() as usize % body.len().max(1);
                    if let Some(byte) = body.get_mut(at) {
                        *byte ^= choose() as u8;
                    }
                }
                auth.seal(&header, &body, Role::Request, To::Anybody).unwrap().bytes
            } else {
                auth.seal(&header, &body, Role::Request, To::Anybody).unwrap().bytes
            };
            if choose().is_multiple_of(2) {
                let at = choose() as usize % bytes.len();
                bytes[at] ^= choose() as u8;
            }
            replies += usize::from(!exchange(choose() as u8, ours.port, &bytes).is_empty());
        }
    };
    send(rounds / 20);
    let before = memory_kib(ours.pid());
    send(rounds);
    let after = memory_kib(ours.pid());
    eprintln!("{before} KiB before, {after} KiB after, {replies} replies");
    assert!(replies as u64 > rounds / 4, "those that are genuine are answered: {replies}");
    assert!(after <= before + 16 * 1024, "{before} KiB before, {after} KiB after");
    assert_eq!(ping(&auth, ours.port), Message::code(0));
    assert_eq!(ours.stop(), Some(0));
}
