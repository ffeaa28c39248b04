//! The same `sbatch` lines to our controller and to Slurm's own, in one run: both accept or refuse
//! with the same words, and what they say of the jobs then is the same, field by field.
#![cfg(feature = "controller")]

#[path = "controller/cluster.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod cluster;
#[path = "programs/mod.rs"]
mod programs;

use cluster::{Controller, Munged, Said, until};
use statedir::slurm::auth::munge::{Info, Munge};
use statedir::slurm::auth::{Auth, To};
use statedir::slurm::link::{self, Times};
use statedir::slurm::wire::tables::{Job, JobsRequest};
use statedir::slurm::wire::{Message, Time};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const OURS: &str = env!("CARGO_BIN_EXE_slurmctld");

/// No agents answer: every job stays where its submission has put it.
const CLUSTER: &str = "\
    SlurmdPort=1\n\
    SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\n\
    MaxArraySize=100\n\
    NodeName=n[1-4] CPUs=2 RealMemory=1000 NodeAddr=127.0.0.1 Feature=a,b\n\
    NodeName=big CPUs=8 Sockets=2 CoresPerSocket=2 ThreadsPerCore=2 RealMemory=4096 Weight=5 \
        TmpDisk=100 NodeAddr=127.0.0.1 Feature=c\n\
    PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP\n\
    PartitionName=hold Nodes=ALL State=DOWN MaxTime=1-0 OverSubscribe=FORCE:3\n\
    PartitionName=all Nodes=ALL MaxTime=2:00:00 DefaultTime=10\n\
    PartitionName=odd Nodes=n1,n[3-4],big DefMemPerCPU=100 MaxMemPerNode=2048 MaxNodes=3 \
        PriorityTier=7 OverSubscribe=EXCLUSIVE\n\
    PartitionName=root Nodes=ALL RootOnly=YES\n\
    PartitionName=noroot Nodes=ALL DisableRootJobs=YES\n\
    PartitionName=grp Nodes=ALL AllowGroups=daemon\n\
    PartitionName=far Nodes=ALL AllocNodes=elsewhere\n\
    PartitionName=shut Nodes=ALL State=INACTIVE\n\
    PartitionName=drain Nodes=ALL State=DRAIN Alternate=all\n\
    PartitionName=two Nodes=n[1-4] MinNodes=2 MaxNodes=3 MaxCPUsPerNode=1\n\
    PartitionName=resv Nodes=ALL ReqResv=YES\n\
    PartitionName=percpu Nodes=ALL MaxMemPerCPU=100\n";

/// A munged and both controllers, if the real programs are there.
struct Lab {
    dir: tempfile::TempDir,
    _munged: Munged,
    auth: Auth,
    ours: Controller,
    theirs: Controller,
}

fn lab(test: &str, more: &str) -> Option<Lab> {
    let munged = programs::find("munged", test)?;
    programs::find("sbatch", test)?;
    let real = programs::find("slurmctld", test)?;
    let dir = tempfile::tempdir().unwrap();
    // Others ask, too.
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let munged = Munged::start(&munged, dir.path());
    let socket = format!("socket={}", munged.socket.display());
    let auth = Auth::Munge(Munge::load(Info::parse(&socket).unwrap()).unwrap());
    let auth_info = format!("AuthInfo={socket}");
    let text = format!("{more}{CLUSTER}");
    let mut ours = Controller::configure(dir.path().join("ours"), &auth_info, &text);
    ours.init();
    ours.start(Path::new(OURS));
    let mut theirs = Controller::configure(dir.path().join("theirs"), &auth_info, &text);
    theirs.start(&real);
    until("the real controller answers", || theirs.run("sinfo").code == 0);
    Some(Lab { dir, _munged: munged, auth, ours, theirs })
}

impl Lab {
    /// Runs a line against both; they must say the same.
    fn both(&self, line: &str) -> Said {
        let (ours, theirs) = (self.ours.run(line), self.theirs.run(line));
        assert_eq!(ours, theirs, "{line}: ours, and theirs");
        ours
    }

    fn ask(&self, of: &Controller) -> Vec<Job> {
        let request = JobsRequest { last_update: Time(0), show_flags: 3, job_ids: None };
        let message = Message::JobsRequest(Box::new(request));
        let place = ("127.0.0.1", of.port);
        match link::call(&self.auth, place, &message, To::Anybody, Times::default()).unwrap() {
            Message::Jobs(found) => found.records,
            other => panic!("{other:?}"),
        }
    }

    /// What both say of all jobs must be the same.
    fn compare(&self, when: &str) {
        let (ours, theirs) = (self.ask(&self.ours), self.ask(&self.theirs));
        let mut different = Vec::new();
        for theirs in &theirs {
            let Some(ours) = ours.iter().find(|job| job.job_id == theirs.job_id) else {
                different.push(format!("{} is not there", theirs.job_id));
                continue;
            };
            different.extend(differences(ours, theirs));
        }
        assert!(different.is_empty(), "{when}:\n{}", different.join("\n"));
        assert_eq!(ours.len(), theirs.len(), "{when}");
    }
}

/// Fields in which two records differ, as text; what differs by its nature is left out.
fn differences(ours: &Job, theirs: &Job) -> Vec<String> {
    let lines = |job: &Job| {
        let text = format!("{job:#?}").replace("(\n        ", "(").replace(",\n    )", ")");
        text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    let (ours, theirs) = (masked(ours), masked(theirs));
    for (ours_line, theirs_line) in lines(&ours).iter().zip(lines(&theirs)) {
        if *ours_line != theirs_line {
            found.push(format!("job {}: ours {ours_line} theirs {theirs_line}", ours.job_id));
        }
    }
    found
}

fn masked(job: &Job) -> Job {
    // Seconds differ between two submissions, and the real scheduler has looked at its jobs.
    let known = |time: Time| Time(i64::from(time.0 != 0));
    Job {
        submit_time: known(job.submit_time),
        eligible_time: known(job.eligible_time),
        accrue_time: Time(0),
        last_sched_eval: Time(0),
        start_time: known(job.start_time),
        end_time: known(job.end_time),
        alloc_sid: 0,
        // Theirs depends on what the scheduler has done; clients look names up themselves.
        priority: job.priority.min(1),
        user_name: "".into(),
        alloc_node: "".into(),
        state_reason: 0,
        state_desc: "".into(),
        cluster: "".into(),
        ..job.clone()
    }
}

#[test]
fn the_same_lines_make_the_same_jobs() {
    let Some(lab) = lab("the_same_lines_make_the_same_jobs", "") else { return };
    let script = lab.dir.path().join("job.sh");
    std::fs::write(&script, "#!/bin/sh\n#SBATCH -J scripted -t 5\ntrue\n").unwrap();
    lab.both(&format!("sbatch {} one two", script.display()));
    for line in [
        "--wrap true",
        "--parsable --wrap true",
        "--hold --wrap true",
        "-p hold --wrap true",
        "-p all --wrap true",
        "-p odd --wrap true",
        "-p root --wrap true",
    ] {
        lab.both(&format!("sbatch {line}"));
    }
    lab.compare("after submissions");
}
