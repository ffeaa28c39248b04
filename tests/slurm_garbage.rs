//! What anybody may send: the controller stays up, correct and small, whoever does not prove who he
//! is costs little, and nothing is done for a user who may not. No Slurm package is needed.
#![cfg(feature = "controller")]

#[allow(dead_code, reason = "other suites run clients")]
#[path = "controller/cluster.rs"]
mod cluster;

use cluster::{Controller, until};
use statedir::base::Local;
use statedir::controller::job::{Course, Job, Share};
use statedir::controller::node::NodeRecord;
use statedir::controller::server::{CONNECTIONS_MAX, UNKNOWN_TIME};
use statedir::controller::service::{Asker, Host, Service};
use statedir::controller::state::{self, Change, State};
use statedir::slurm::auth::key::{self, Key, system_clock};
use statedir::slurm::auth::{Auth, Identity, Role, To};
use statedir::slurm::conf::Conf;
use statedir::slurm::wire::constants::job;
use statedir::slurm::wire::frame::{Frame, Header, LENGTH_LEN};
use statedir::slurm::wire::limits::{FRAME_MAX, HEAD_MAX};
use statedir::slurm::wire::message::{MESSAGES, Row};
use statedir::slurm::wire::tables::{JobDesc, UpdateNode};
use statedir::slurm::wire::{Message, Unset, Version};
use statedir::{Options, Store};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;

const OURS: &str = env!("CARGO_BIN_EXE_slurmctld");

const CLUSTER: &str = "SlurmdPort=1\nMaxJobCount=1k\nMinJobAge=5\n\
    NodeName=n[1-4] CPUs=2 RealMemory=1000 NodeAddr=127.0.0.1 Feature=a,b\n\
    PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP\n\
    PartitionName=other Nodes=ALL State=DOWN MaxTime=1-0\n";

// What an unknown peer may cost: his bytes, and his time.
const _: () = assert!(HEAD_MAX <= 64 << 10 && UNKNOWN_TIME.as_secs() <= 10);

/// Sends bytes, and reads what comes back until the other side is done. The place `at` of this
/// host varies, because each leaves a port in use for a while.
fn exchange(at: u64, port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut reply = Vec::new();
    let address = std::net::Ipv4Addr::new(127, 0, 0, (at % 16) as u8 + 1);
    let mut stream = TcpStream::connect((address, port)).expect("it accepts");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(180))).unwrap();
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

fn sealed(auth: &Auth, kind: u16, body: &[u8]) -> (Vec<u8>, [u8; 16]) {
    let header = Header::new(Version::NEWEST, kind, body.len());
    let sealed = auth.seal(&header, body, Role::Request, To::Anybody).unwrap();
    (sealed.bytes, sealed.nonce)
}

/// The controller as it is, asked with our own codec and key.
fn ping(auth: &Auth, port: u16) -> Message {
    let (bytes, nonce) = sealed(auth, Message::Ping.kind(), &[]);
    let reply = exchange(0, port, &bytes);
    let frame = Frame::unpack(&reply[LENGTH_LEN..]).unwrap();
    let _ = auth.verify(&frame, Role::Reply(nonce)).unwrap();
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
    const PEERS: u64 = 400;
    assert!(PEERS < CONNECTIONS_MAX as u64);
    let (_dir, mut ours, auth) = with_key();
    assert_eq!(ping(&auth, ours.port), Message::code(0));
    let before = memory_kib(ours.pid());
    let waiting: Vec<TcpStream> = (0..PEERS)
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
    let each = memory_kib(ours.pid()).saturating_sub(before) / PEERS;
    assert!(each <= 64, "{each} KiB for each connection");
    for mut stream in waiting {
        // The controller closes it: nothing else ends this.
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
    }
    assert_eq!(ours.stop(), Some(0));
}

/// Bytes of no kind, half of them with a length and a version that may be.
fn garbage(choose: &mut dyn FnMut() -> u64) -> Vec<u8> {
    let len = choose() % 300;
    let mut bytes: Vec<u8> = (0..len).map(|_| choose() as u8).collect();
    if choose().is_multiple_of(2) && bytes.len() > 8 {
        let claim = (choose() % 70_000) as u32;
        bytes[..4].copy_from_slice(&claim.to_be_bytes());
        bytes[4..6].copy_from_slice(&Version::NEWEST.0.to_be_bytes());
    }
    bytes
}

/// A request of that kind, wrong in one way or another, or in none.
fn mutated(auth: &Auth, row: &Row, choose: &mut dyn FnMut() -> u64) -> Vec<u8> {
    let mut body = (row.sample)(choose).pack(Version::NEWEST).unwrap();
    let genuine = sealed(auth, row.kind, &body).0;
    match choose() % 8 {
        // The sender vouches for a body that is none.
        0..=2 => {
            for _ in 0..choose() % 4 {
                let at = choose() as usize % body.len().max(1);
                if let Some(byte) = body.get_mut(at) {
                    *byte ^= choose() as u8;
                }
            }
            sealed(auth, row.kind, &body).0
        }
        // Shorter or longer than its kind.
        3 => {
            body.truncate(choose() as usize % (body.len() + 1));
            body.extend((0..choose() % 9).map(|_| 0));
            sealed(auth, row.kind, &body).0
        }
        // Changed on its way, anywhere.
        4 | 5 => {
            let (mut bytes, at) = (genuine, choose());
            let at = at as usize % bytes.len();
            bytes[at] ^= choose() as u8 | 1;
            bytes
        }
        // Cut short.
        6 => genuine[..choose() as usize % genuine.len()].to_vec(),
        // Larger than anything may be, by its own word.
        _ => {
            let mut bytes = genuine;
            let claim = (FRAME_MAX as u64 + choose() % 1_000_000) as u32;
            bytes[..4].copy_from_slice(&claim.to_be_bytes());
            bytes
        }
    }
}

#[test]
fn it_stays_up_and_small_through_ten_thousand_pieces_of_garbage_and_as_many_mutated_requests() {
    let (_dir, mut ours, auth) = with_key();
    let rounds: u64 =
        std::env::var("STATEDIR_GARBAGE").ok().map_or(10_000, |text| text.parse().unwrap());
    let mut choose = chooser(1);
    // Others would end it, or make it read a file again, which is not the point here.
    let kinds: Vec<&Row> =
        MESSAGES.iter().filter(|row| ![1003, 1005].contains(&row.kind)).collect();
    let (mut replies, mut stalled) = (0, Vec::new());
    let mut send = |rounds: u64| {
        for round in 0..rounds {
            exchange(choose(), ours.port, &garbage(&mut choose));
            let row = kinds[round as usize % kinds.len()];
            let bytes = mutated(&auth, row, &mut choose);
            replies += u64::from(!exchange(choose(), ours.port, &bytes).is_empty());
            // Who stops in the middle, and stays.
            if round.is_multiple_of(200) {
                let mut stream = TcpStream::connect(("127.0.0.1", ours.port)).unwrap();
                let _ = stream.write_all(&bytes[..bytes.len() / 2]);
                stalled.push(stream);
            }
        }
    };
    send(rounds / 20);
    let before = memory_kib(ours.pid());
    send(rounds);
    drop(stalled);
    let after = memory_kib(ours.pid());
    eprintln!("{before} KiB before, {after} KiB after, {replies} replies");
    assert!(replies > rounds / 4, "those that are genuine are answered: {replies}");
    assert!(after <= before + 16 * 1024, "{before} KiB before, {after} KiB after");
    assert_eq!(ping(&auth, ours.port), Message::code(0));
    // A few lines in each period, and how many were not written, not one for each.
    let log = ours.log();
    let about_bad = |line: &&str| line.contains("warning: ") && line.contains("127.0.0.");
    let told = log.lines().filter(about_bad).count() as u64;
    assert!(told > 0 && told < rounds / 10, "{told} lines about {rounds} bad requests");
    assert_eq!(ours.stop(), Some(0));
}

const STRANGER: u32 = 4321;

/// A controller in this process: jobs of root and of uid 1000, one of them running, and nodes.
fn service(dir: &Path) -> Arc<Service> {
    let key_file = dir.join("key");
    key::create(&key_file).unwrap();
    let auth = Auth::Key(Key::load(&key_file, system_clock()).unwrap());
    let text = format!("ClusterName=lab\nSlurmctldHost=localhost\n{CLUSTER}");
    let conf = Conf::read(Path::new("/slurm.conf"), &mut |_| Ok(text.clone())).unwrap();
    let state_dir = dir.join("state");
    Store::create(&state_dir, &Options::default()).unwrap();
    let store = Store::open(&state_dir, Options::default(), Arc::new(Local)).unwrap();
    let share = Share { node: "n1".into(), cpus: 1, ..Share::default() };
    let running =
        Course { state: job::RUNNING, shares: vec![share], restart_cnt: 0, ..Course::default() };
    let job = |id: u32, user_id: u32, course: Course| {
        let spec = JobDesc { user_id, partition: "main".into(), ..JobDesc::default() };
        Change::Job(Arc::new(Job { id, spec: Arc::new(spec), course }))
    };
    let changes = [
        Change::NextId(4),
        job(1, 0, Course::default()),
        job(2, 0, running),
        job(3, 1000, Course::default()),
        Change::Node("n1".to_owned(), NodeRecord::default()),
    ];
    store.save(state::batch(&changes).unwrap()).unwrap();
    let state = State::load(&store.view()).unwrap();
    let name = "localhost".to_owned();
    let host = Host { name, index: 0, started: 1, slurm_user: 0, slurmd_user: 0 };
    Arc::new(Service::new(conf, Arc::new(auth), store, state, host).unwrap().0)
}

/// The same message about something that is there, and in the name of its owner.
fn aimed(mut message: Message, choose: &mut dyn FnMut() -> u64) -> Message {
    let id = (choose() % 3 + 1) as u32;
    let text = || id.to_string().as_str().into();
    match &mut message {
        Message::Submit(desc)
        | Message::UpdateJob(desc)
        | Message::Allocate(desc)
        | Message::WillRunRequest(desc) => {
            (desc.job_id, desc.job_id_str, desc.user_id, desc.group_id) = (id, text(), 0, 0);
        }
        Message::Kill(asked) | Message::CancelStep(asked) => {
            (asked.step_id.job_id, asked.sjob_id) = (id, text());
            (asked.signal, asked.flags) = (9, 0);
        }
        Message::Requeue(asked) => (asked.job_id, asked.job_id_str) = (id, text()),
        Message::Suspend(asked) => {
            (asked.op, asked.job_id, asked.job_id_str) = ((choose() % 4) as u16, id, text());
        }
        Message::TopJob(asked) => (asked.job_id, asked.job_id_str) = (id, text()),
        Message::UpdateNode(update) => {
            let (node_names, reason) = ("n1".into(), "broken".into());
            let (node_state, weight) = (0x0200, u32::UNSET);
            **update =
                UpdateNode { node_names, node_state, reason, weight, ..UpdateNode::default() };
        }
        Message::UpdatePartition(update) => update.name = "main".into(),
        Message::CreatePartition(update) => update.name = "new".into(),
        Message::DeletePartition(asked) => asked.name = "other".into(),
        Message::Registration(registration) => registration.node_name = "n1".into(),
        Message::BatchDone(done) => {
            (done.job_id, done.user_id, done.node_name) = (2, 0, "n1".into());
        }
        Message::EpilogDone(done) => (done.job_id, done.node_name) = (2, "n1".into()),
        Message::StepDone(done) => done.step_id.job_id = 2,
        Message::AllocationDone(done) => done.job_id = 2,
        Message::PrologDone(done) => (done.job_id, done.node_name) = (2, "n1".into()),
        _ => {}
    }
    message
}

/// All that is not the stranger's own.
fn of_others(service: &Service) -> State {
    let mut state = service.durable().1;
    let own = |job: &Arc<Job>| job.spec.user_id == STRANGER;
    let own: Vec<u32> = state.jobs.values().filter(|job| own(job)).map(|job| job.id).collect();
    own.into_iter().for_each(|id| state.take(Change::ForgetJob(id)));
    state.next_id = 0;
    state
}

#[test]
fn nothing_is_done_for_a_user_who_may_not_whatever_a_body_says_of_him() {
    let dir = tempfile::tempdir().unwrap();
    let service = service(dir.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert!(runtime.block_on(service.begin()));
    let before = of_others(&service);
    let mut choose = chooser(2);
    let ask = |uid: u32, message: Message| {
        let asker = Asker { identity: Identity { uid, gid: uid }, request: [0; 16] };
        runtime.block_on(service.answer(message, asker))
    };
    for row in MESSAGES {
        for _ in 0..100 {
            let message = aimed((row.sample)(&mut choose), &mut choose);
            let told = format!("{message:?}");
            let _ = ask(STRANGER, message);
            assert!(of_others(&service) == before, "{told}");
        }
    }
    assert!(service.ending().borrow().is_none(), "and he cannot end it");
    // The same is done for whoever may.
    let done = MESSAGES.iter().filter(|row| {
        let before = of_others(&service);
        // He ends it, and reads a file that is not there.
        if [1003, 1005].contains(&row.kind) {
            return false;
        }
        for _ in 0..20 {
            let _ = ask(0, aimed((row.sample)(&mut choose), &mut choose));
        }
        of_others(&service) != before
    });
    let done: Vec<&str> = done.map(|row| row.name).collect();
    for kind in ["Registration", "UpdateNode", "CancelStep", "BatchDone", "EpilogDone"] {
        assert!(done.contains(&kind), "{kind}: {done:?}");
    }
    until("nobody asks any more", || Arc::strong_count(&service) == 1);
    Arc::into_inner(service).unwrap().close().unwrap();
}
