//! A real slurmd, unmodified, in the place of an agent: it registers, answers, runs a batch job to
//! its end and reports it, all through the codec.
#![cfg(feature = "slurm")]

#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/limited.rs"]
mod limited;
#[path = "controller/ports.rs"]
mod ports;
mod programs;
#[allow(dead_code, reason = "each test uses its part of the stage")]
mod slurm;

use slurm::Stage;
use slurm::answers::answer;
use slurm::server::{Asked, Server, ask};
use statedir::slurm::auth::Auth;
use statedir::slurm::auth::munge::{Info, Munge};
use statedir::slurm::wire::constants::{rc, step};
use statedir::slurm::wire::tables::{
    CoreGroup, CoreGroups, CpuGroup, CpuGroups, Cred, KillJob, Launch, MemGroup, MemGroups,
    ReturnCode, SignedCred, StepId, Versioned,
};
use statedir::slurm::wire::{Bits, Blob, Maybe, Message, Text, Time, Unset, Version};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// In what wait(2) says.
const SIGTERM: u32 = 15;

/// Ends by itself.
const SHORT: u32 = 31;
/// Is killed.
const LONG: u32 = 32;

/// A daemon that ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().expect("slurmd was started here");
        self.0.wait().expect("slurmd was started here");
    }
}

fn keep(name: &str, asked: &Asked) {
    let again = asked.message.pack(Version::NEWEST).unwrap();
    assert_eq!(again, asked.body, "{:?}", asked.message);
    if std::env::var_os("STATEDIR_RECORD").is_some() {
        let kind = asked.message.kind();
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/slurm");
        std::fs::write(format!("{dir}/{kind}-{name}"), &asked.body).unwrap();
    }
}

fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time(i64::try_from(since.as_secs()).unwrap())
}

fn step_id(job_id: u32) -> StepId {
    StepId { job_id, step_id: step::BATCH, step_het_comp: u32::UNSET }
}

fn permission(auth: &Auth, job_id: u32) -> SignedCred {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let memory = MemGroups(vec![MemGroup { memory_mb: 10, nodes: 1 }]);
    let cred = Cred {
        step_id: step_id(job_id),
        uid,
        gid,
        pw_name: slurm::user().into(),
        pw_dir: "/".into(),
        pw_shell: "/bin/sh".into(),
        gids: vec![gid],
        gr_names: vec!["group".into()],
        job_core_spec: u16::UNSET,
        job_partition: "main".into(),
        step_hostlist: "n1".into(),
        ctime: now(),
        tot_core_cnt: 1,
        job_core_bitmap: Bits::from_set(1, [0]),
        step_core_bitmap: Bits::from_set(1, [0]),
        core_groups: CoreGroups(vec![CoreGroup {
            cores_per_socket: 1,
            sockets_per_node: 1,
            nodes: 1,
        }]),
        cpu_groups: CpuGroups(vec![CpuGroup { cpus: 1, nodes: 1 }]),
        job_nhosts: 1,
        job_ntasks: 1,
        job_hostlist: "n1".into(),
        job_memory: memory.clone(),
        step_memory: memory,
        ..Cred::default()
    };
    SignedCred::new(&cred, Version::NEWEST, |packed| auth.sign_permission(packed)).unwrap()
}

fn launch(stage: &Stage, auth: &Auth, job_id: u32, script: &str) -> Message {
    let path = |name: &str| Text::from(stage.path(name).display().to_string());
    let environment = vec![Text::from("PATH=/usr/bin:/bin"), Text::from("SAID=hello")];
    Message::Launch(Box::new(Launch {
        job_id,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        user_name: slurm::user().into(),
        gids: vec![rustix::process::getegid().as_raw()],
        partition: "main".into(),
        ntasks: 1,
        array_task_id: u32::UNSET,
        cpus_per_task: 1,
        job_core_spec: u16::UNSET,
        cpu_groups: CpuGroups(vec![CpuGroup { cpus: 1, nodes: 1 }]),
        nodes: "n1".into(),
        script: script.into(),
        work_dir: path(""),
        std_err: path(&format!("err{job_id}")),
        std_in: "/dev/null".into(),
        std_out: path(&format!("out{job_id}")),
        argc: 2,
        argv: vec!["run.sh".into(), "one".into()],
        envc: environment.len() as u32,
        environment,
        cred: Versioned(permission(auth, job_id)),
        ..Launch::default()
    }))
}

fn code(reply: &Message) -> u32 {
    let Message::ReturnCode(reply) = reply else { panic!("{reply:?}") };
    let ReturnCode { return_code } = **reply;
    return_code
}

#[test]
fn a_real_slurmd_registers_and_runs_a_batch_job_to_its_end() {
    let test = "a_real_slurmd_registers_and_runs_a_batch_job_to_its_end";
    let (Some(munged), Some(slurmd)) =
        (programs::find("munged", test), programs::find("slurmd", test))
    else {
        return;
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let free = ports::free_port();
    let stage = Stage::new(&munged, listener.local_addr().unwrap().port(), free);
    let auth = Auth::Munge(Munge::load(Info::parse(&stage.auth_info()).unwrap()).unwrap());
    let server = Server::start(listener, &stage.auth_info(), answer);
    std::fs::create_dir(stage.path("spool")).unwrap();
    let log = std::fs::File::create(stage.path("slurmd.log")).unwrap();
    let _daemon = Daemon(
        Command::new(slurmd)
            .args(["-D", "-vvv", "-N", "n1"])
            .env("SLURM_CONF", stage.conf())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap(),
    );
    let asked =
        server.wait_for("a registration", |message| matches!(message, Message::Registration(_)));
    keep("slurmd", &asked);
    let Message::Registration(found) = &asked.message else { panic!("{asked:?}") };
    assert_eq!((found.node_name.as_str(), found.version.as_str()), (Some("n1"), Some("22.05.8")));
    assert_eq!(asked.uid, rustix::process::geteuid().as_raw());

    let load = ask(&auth, free, &Message::Ping).unwrap();
    assert!(matches!(load, Message::AgentLoad(_)), "{load:?}");
    let log = || std::fs::read_to_string(stage.path("slurmd.log")).unwrap();
    let script = "#!/bin/sh\necho $SAID from $SLURM_JOB_ID $1\nexit 7\n";
    let started = code(&ask(&auth, free, &launch(&stage, &auth, SHORT, script)).unwrap());
    assert_eq!(started, rc::OK, "{}", log());
    let asked = ended(&server, SHORT);
    let Message::BatchDone(done) = &asked.message else { panic!("{asked:?}") };
    assert_eq!((done.job_rc, done.slurm_rc), (7 << 8, 0), "{}", log());
    let said = std::fs::read_to_string(stage.path("out31")).unwrap();
    assert_eq!(said, "hello from 31 one\n");

    let script = "#!/bin/sh\necho started >started\nexec sleep 600\n";
    let started = code(&ask(&auth, free, &launch(&stage, &auth, LONG, script)).unwrap());
    assert_eq!(started, rc::OK, "{}", log());
    stage.wait_for("started");
    let kill = Message::TerminateJob(Box::new(KillJob {
        cred: Maybe(Some(Box::new(permission(&auth, LONG)))),
        step_id: StepId { step_id: step::NONE, ..step_id(LONG) },
        nodes: "n1".into(),
        start_time: now(),
        time: now(),
        ..KillJob::default()
    }));
    assert_eq!(code(&ask(&auth, free, &kill).unwrap()), rc::OK, "{}", log());
    let asked = ended(&server, LONG);
    let Message::BatchDone(done) = &asked.message else { panic!("{asked:?}") };
    assert_eq!(done.job_rc & 0x7f, SIGTERM, "{}", log());
    let asked = server.wait_for(
        "the end of the epilog",
        |message| matches!(message, Message::EpilogDone(done) if done.job_id == LONG),
    );
    keep("slurmd", &asked);
    let Message::EpilogDone(done) = &asked.message else { panic!("{asked:?}") };
    assert_eq!((done.return_code, done.node_name.as_str()), (0, Some("n1")));
}

/// The report of a script's end.
fn ended(server: &Server, job_id: u32) -> Asked {
    let asked = server.wait_for(
        "the end of a script",
        |message| matches!(message, Message::BatchDone(done) if done.job_id == job_id),
    );
    keep("slurmstepd", &asked);
    asked
}

/// What an agent of ours will check.
#[test]
fn a_permission_that_was_changed_is_noticed() {
    let test = "a_permission_that_was_changed_is_noticed";
    let Some(munged) = programs::find("munged", test) else { return };
    let stage = Stage::new(&munged, 1, 2);
    let auth = Auth::Munge(Munge::load(Info::parse(&stage.auth_info()).unwrap()).unwrap());
    let signed = permission(&auth, SHORT);
    let own = rustix::process::geteuid().as_raw();
    let identity = auth.check_permission(signed.packed(), &signed.signature.0).unwrap();
    assert_eq!(identity.uid, own);
    let Blob(other) = permission(&auth, SHORT).signature;
    let mut changed = signed.packed().to_vec();
    changed[3] ^= 1;
    assert!(auth.check_permission(&changed, &other).is_err());
}
