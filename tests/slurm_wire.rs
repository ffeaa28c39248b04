//! Slurm's own clients, unmodified, against the codec: what they ask is read, what is answered
//! they read. And bodies that they sent once, kept as fixtures, which pack to the very same bytes.
//!
//! `STATEDIR_RECORD=1` writes the fixtures anew.
#![cfg(feature = "slurm")]

#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/limited.rs"]
mod limited;
mod programs;
#[allow(dead_code, reason = "each test uses its part of the stage")]
mod slurm;

use slurm::Stage;
use slurm::answers::{JOB_ID, answer};
use slurm::server::{Asked, Server};
use statedir::slurm::auth::munge::{Info, Munge};
use statedir::slurm::auth::{AuthError, MungeFault, To, digest};
use statedir::slurm::wire::constants::node;
use statedir::slurm::wire::tables::{JobDesc, UpdateNode};
use statedir::slurm::wire::{Message, Text, Unset, Version};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/slurm")
}

/// Keeps a body, if fixtures are to be written.
fn record(name: &str, asked: &Asked) {
    if std::env::var_os("STATEDIR_RECORD").is_some() {
        std::fs::create_dir_all(fixtures()).unwrap();
        let kind = asked.message.kind();
        std::fs::write(fixtures().join(format!("{kind}-{name}")), &asked.body).unwrap();
    }
}

/// A stage with a server.
struct Scene {
    stage: Stage,
    server: Server,
}

impl Scene {
    /// `None`: a program is missing, which has been reported.
    fn new(test: &str) -> Option<Scene> {
        let munged = programs::find("munged", test)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let stage = Stage::new(&munged, listener.local_addr().unwrap().port(), 17001);
        let server = Server::start(listener, &stage.auth_info(), answer);
        Some(Scene { stage, server })
    }

    /// Runs a client, which succeeds, and each of whose requests packs to the bytes it sent.
    fn run(&self, program: &str, args: &[&str]) -> Option<(String, Vec<Asked>)> {
        let path = programs::find(program, program)?;
        let output = self.stage.run(&path, args);
        let text = text(&output);
        assert!(output.status.success(), "{program} {args:?}: {text}");
        let asked = self.server.take();
        for asked in &asked {
            assert_eq!(asked.uid, rustix::process::geteuid().as_raw());
            let again = asked.message.pack(Version::NEWEST).unwrap();
            assert_eq!(again, asked.body, "{program} {args:?}: {:?}", asked.message);
            record(program, asked);
        }
        Some((text, asked))
    }

    /// Runs a client, whose single request is of this number.
    fn ask(&self, program: &str, args: &[&str], kind: u16) -> Option<(String, Message)> {
        let (text, mut asked) = self.run(program, args)?;
        assert_eq!(asked.len(), 1, "{program} {args:?}: {asked:?}");
        let message = asked.remove(0).message;
        assert_eq!(message.kind(), kind, "{program} {args:?}: {message:?}");
        Some((text, message))
    }
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

#[test]
fn real_clients_read_what_is_answered() {
    let Some(scene) = Scene::new("real_clients_read_what_is_answered") else { return };
    let mut wrong = Vec::new();
    let mut shows = |program: &str, args: &[&str], kinds: &[u16], words: &[&str]| {
        let Some((text, asked)) = scene.run(program, args) else { return };
        // Clients ask some of it in parallel.
        let found: BTreeSet<u16> = asked.iter().map(|asked| asked.message.kind()).collect();
        if found != kinds.iter().copied().collect() || words.iter().any(|word| !text.contains(word))
        {
            let asked: Vec<_> = asked.iter().map(|asked| &asked.message).collect();
            wrong.push(format!("{program} {args:?}, {kinds:?} {words:?}: {asked:?}\n{text}"));
        }
    };
    shows("scontrol", &["ping"], &[1008], &["Slurmctld(primary) at "]);
    shows(
        "scontrol",
        &["show", "config"],
        &[2001, 1008],
        &["ClusterName             = stage", "SLURM_VERSION           = 22.05.8", "MaxJobId"],
    );
    shows(
        "scontrol",
        &["show", "node", "n2"],
        &[2007, 2009],
        &["NodeName=n2 Arch=x86_64", "State=ALLOCATED", "CPUAlloc=1", "CfgTRES=cpu=1,mem=100M"],
    );
    shows(
        "scontrol",
        &["show", "partition"],
        &[2009],
        &["PartitionName=main", "Nodes=n[1-2]", "State=UP TotalCPUs=2", "Default=YES"],
    );
    let id = JOB_ID.to_string();
    shows(
        "scontrol",
        &["show", "job", &id],
        &[2021, 2049],
        &["JobId=4711 JobName=sleeper", "JobState=RUNNING", "NodeList=n2", "TimeLimit=01:00:00"],
    );
    shows("sinfo", &["-N"], &[2009, 2007], &["n1", "idle", "n2", "alloc", "main*"]);
    shows("sinfo", &[], &[2009, 2007], &["main*", "up", "infinite"]);
    shows("squeue", &[], &[2003, 2009], &["4711", "sleeper", " R ", "n2"]);
    shows("squeue", &["-s"], &[2005, 2049], &["STEPID"]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn real_clients_are_read_to_the_last_field() {
    let Some(scene) = Scene::new("real_clients_are_read_to_the_last_field") else { return };
    let script = scene.stage.path("run.sh");
    std::fs::write(&script, "#!/bin/sh\nsleep 60\n").unwrap();
    let arguments = ["-N2", "-J", "sleeper", "-t", "60", "--mem=10", "run.sh", "one", "two"];
    let Some((text, asked)) = scene.ask("sbatch", &arguments, 4003) else { return };
    assert!(text.contains("Submitted batch job 4711"), "{text}");
    let Message::Submit(job) = asked else { panic!("{asked:?}") };
    described(&job);
    let Some((_, asked)) = scene.ask("scancel", &["4711"], 5032) else { return };
    let Message::Kill(kill) = asked else { panic!("{asked:?}") };
    assert_eq!((kill.sjob_id.as_str(), kill.signal), (Some("4711"), 9));
    let drain = ["update", "nodename=n1", "state=drain", "reason=fan"];
    let Some((_, asked)) = scene.ask("scontrol", &drain, 3002) else { return };
    let Message::UpdateNode(update) = asked else { panic!("{asked:?}") };
    let UpdateNode { node_names, node_state, reason, weight, .. } = *update;
    assert_eq!((node_names.as_str(), reason.as_str()), (Some("n1"), Some("fan")));
    assert_eq!((node_state, weight), (node::DRAIN, u32::UNSET));
    scene.ask("scontrol", &["update", "jobid=4711", "timelimit=30"], 3001);
    scene.ask("scontrol", &["update", "partitionname=main", "state=down"], 3005);
    scene.ask("scontrol", &["requeue", "4711"], 5023);
    scene.ask("scontrol", &["suspend", "4711"], 5014);
    scene.ask("scontrol", &["reconfigure"], 1003);
}

/// Above 8 KiB KangarooTwelve is a tree.
#[test]
fn credentials_for_large_bodies_fit() {
    let Some(scene) = Scene::new("credentials_for_large_bodies_fit") else { return };
    let Some(sbatch) = programs::find("sbatch", "credentials_for_large_bodies_fit") else { return };
    for lines in [600, 700, 2000, 100_000] {
        let text = format!("#!/bin/sh\n{}", "# padding\n".repeat(lines));
        std::fs::write(scene.stage.path("run.sh"), &text).unwrap();
        let output = scene.stage.run(&sbatch, &["run.sh"]);
        assert!(output.status.success(), "{lines}: {}", self::text(&output));
        let asked = scene.server.take();
        let Message::Submit(job) = &asked[0].message else { panic!("{asked:?}") };
        assert_eq!(job.script.as_str(), Some(&text[..]));
    }
}

fn described(job: &JobDesc) {
    let script = job.script.as_str();
    assert_eq!(script, Some("#!/bin/sh\nsleep 60\n"));
    assert_eq!((job.min_nodes, job.time_limit, job.pn_min_memory), (2, 60, 10));
    assert_eq!(job.name.as_str(), Some("sleeper"));
    let argv: Vec<_> = job.argv.iter().map(Text::as_str).collect();
    assert!(argv[0].is_some_and(|path| path.ends_with("/run.sh")), "{argv:?}");
    assert_eq!(argv[1..], [Some("one"), Some("two")]);
    let path = Text::from("PATH=/usr/bin:/bin");
    assert!(job.environment.contains(&path), "{:?}", job.environment);
    assert_eq!((job.job_id, job.priority), (u32::UNSET, u32::UNSET));
}

#[test]
fn munge_serves_who_made_a_credential_once_and_only_whom_it_is_for() {
    let test = "munge_serves_who_made_a_credential_once_and_only_whom_it_is_for";
    let Some(scene) = Scene::new(test) else { return };
    let munge = Munge::load(Info::parse(&scene.stage.auth_info()).unwrap()).unwrap();
    let own = rustix::process::geteuid().as_raw();
    let payload = digest(4003, &[5; 100_000]);
    let made = munge.encode(&payload, To::Uid(own)).unwrap();
    let decoded = munge.decode(&made).unwrap();
    assert_eq!((decoded.identity.uid, decoded.payload), (own, payload));
    let fault = |credential: &[u8]| match munge.decode(credential) {
        Err(AuthError::Munge { fault, .. }) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(&made), MungeFault::Replayed);
    let others = munge.encode(b"", To::Uid(own ^ 1)).unwrap();
    assert_eq!(fault(&others), MungeFault::Unauthorized);
    let mut flipped = munge.encode(b"", To::Anybody).unwrap();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    assert!(matches!(fault(&flipped), MungeFault::Invalid | MungeFault::Format));
    assert_eq!(fault(b"nonsense\0inside"), MungeFault::Format);
}

#[test]
fn munge_without_a_daemon_is_an_error_that_says_what_to_do() {
    let test = "munge_without_a_daemon_is_an_error_that_says_what_to_do";
    if programs::find("munged", test).is_none() {
        return;
    }
    let error = Munge::load(Info::parse("socket=/nonexistent/munge.sock").unwrap()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("/nonexistent/munge.sock") && text.contains("start it"), "{text}");
}

#[test]
fn bodies_that_real_clients_sent_pack_to_the_same_bytes() {
    let mut found = 0;
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let kind = name.split('-').next().unwrap().parse().unwrap();
        let body = std::fs::read(entry.path()).unwrap();
        let message = Message::unpack(kind, Version::NEWEST, &body).expect(&name);
        assert_eq!(message.pack(Version::NEWEST).unwrap(), body, "{name}");
        for len in 0..body.len() {
            assert!(Message::unpack(kind, Version::NEWEST, &body[..len]).is_err(), "{name}: {len}");
        }
        for bit in 0..body.len() * 8 {
            let mut flipped = body.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(message) = Message::unpack(kind, Version::NEWEST, &flipped) {
                message.pack(Version::NEWEST).unwrap();
            }
        }
        found += 1;
    }
    assert!(found >= 14, "only {found} fixtures");
}
