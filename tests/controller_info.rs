//! The controller, asked by Slurm's real clients: it says what Slurm's own controller says, keeps
//! what an operator changes, refuses the rest at once, and stays up whatever is sent to it.
#![cfg(feature = "controller")]

#[allow(dead_code, reason = "other suites do more with a controller")]
#[path = "controller/cluster.rs"]
mod cluster;
#[path = "programs/mod.rs"]
mod programs;

use cluster::{Controller, Munged, Said, until};
use statedir::slurm::auth::key;
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
        // Nobody answers there, which it may have noticed.
        let shown = shown.replace('*', "");
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
    refused("scontrol update nodename=n1 gres=gpu:1", 1, "Invalid generic resource");
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
