//! The same `sbatch` lines to our controller and to Slurm's own, in one run: both accept or refuse
//! with the same words, and what they say of the jobs then is the same, field by field.
#![cfg(feature = "controller")]

#[path = "controller/agents.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod agents;
#[path = "controller/cluster.rs"]
#[allow(dead_code, reason = "each test uses its part of the cluster")]
mod cluster;
#[path = "programs/mod.rs"]
mod programs;

use agents::{Slurmd, node_lines, ports_in_a_row, until_node, until_said};
use cluster::{Controller, Munged, Said, until};
use statedir::slurm::auth::munge::{Info, Munge};
use statedir::slurm::auth::{Auth, To};
use statedir::slurm::link::{self, Times};
use statedir::slurm::wire::constants::job::{CANCELLED, SUSPENDED};
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
        records(&self.auth, of)
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

/// The records of all jobs, with all details.
fn records(auth: &Auth, of: &Controller) -> Vec<Job> {
    let request = JobsRequest { last_update: Time(0), show_flags: 3, job_ids: None };
    let message = Message::JobsRequest(Box::new(request));
    let place = ("127.0.0.1", of.port);
    match link::call(auth, place, &message, To::Anybody, Times::default()).unwrap() {
        Message::Jobs(found) => found.records,
        other => panic!("{other:?}"),
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

/// In `bitflags`: nobody has found out yet that it waits for nothing.
const DEPENDENT: u64 = 1 << 29;

fn masked(job: &Job) -> Job {
    // Seconds differ between two submissions, and the real scheduler has looked at its jobs.
    let known = |time: Time| Time(i64::from(time.0 != 0));
    Job {
        submit_time: known(job.submit_time),
        eligible_time: if job.array_job_id == 0 { known(job.eligible_time) } else { Time(0) },
        bitflags: job.bitflags & !DEPENDENT,
        // Theirs is that of the partition that was looked at last.
        time_limit: if job.partition.lossy().contains(',') { 0 } else { job.time_limit },
        accrue_time: Time(0),
        last_sched_eval: Time(0),
        start_time: known(job.start_time),
        end_time: known(job.end_time),
        alloc_sid: 0,
        // Theirs depends on what the scheduler has done; clients look names up themselves.
        priority: job.priority.min(1),
        user_name: "".into(),
        alloc_node: "".into(),
        // More memory for a CPU than allowed becomes more CPUs: theirs show what was asked for.
        tres_req_str: match job.partition.as_str() {
            Some("percpu") => "".into(),
            _ => job.tres_req_str.clone(),
        },
        // Whether the shell or what it runs hears of the end first is between the two.
        exit_code: if job.job_state & 0xff == CANCELLED { 0 } else { job.exit_code },
        state_reason: if job.job_state > SUSPENDED { job.state_reason } else { 0 },
        state_desc: "".into(),
        cluster: "".into(),
        ..job.clone()
    }
}

/// Lines that both accept.
const ACCEPTED: &[&str] = &[
    "",
    "--parsable",
    "--hold",
    "-p hold",
    "-p all",
    "-p odd",
    "-p root",
    "-p main,all",
    "-p all,main,all",
    "-p hold,main",
    "-p drain",
    "-p drain,main",
    "-p two",
    "-p percpu --mem-per-cpu=300 -n2",
    "-p percpu --mem-per-cpu=150",
    "-p percpu --mem=150",
    "-N2",
    "-N1-2",
    "-N 3 -p all",
    "-N 3",
    "-n 2",
    "-n 3",
    "-n 3 -p all",
    "-n 100",
    "-n 4 -c 2 -p all",
    "-c 2",
    "-c 4 -p all",
    "-n 2 --ntasks-per-node=1",
    "-N 2 --ntasks-per-node=2 -p all",
    "-N 2 -n 3",
    "-N 1-4 -n 4 -p all",
    "--mem=100",
    "--mem=1G -p all",
    "--mem=0",
    "--mem-per-cpu=50",
    "--mem-per-cpu=0",
    "-p odd --mem=2000",
    "-C a",
    "-C a&b",
    "-C a|b",
    "-C c -p all",
    "-C [a|c] -p all",
    "-C (a|c)&b -p all",
    "-t 5",
    "-t 1:30:00",
    "-t 2-0",
    "-t 0",
    "-t 30 --time-min=10",
    "-p all -t 3:00:00",
    "-J name",
    "-o out -e err -i in",
    "-o /tmp/%x-%j.out",
    "-D /tmp",
    "-w n1",
    "-w n[1-2]",
    "-w n1,n2,n1",
    "-x n1",
    "-x n1,big -p all",
    "-w n1 -N2",
    "--exclusive",
    "--exclusive=user",
    "--exclusive -N2",
    "-s",
    "--oversubscribe -p all",
    "--begin=now+1hour",
    "--begin=now+1hour --hold",
    "--begin=2020-01-01",
    "-d afterok:1",
    "-d afterany:1:2,after:3+5",
    "-d afterok:1?afternotok:2",
    "-d singleton",
    "-d aftercorr:1",
    "-a 0-3%1",
    "-a 1",
    "-a 0-9:2,15%3",
    "-a 7,3-5",
    "--requeue",
    "--no-requeue",
    "--priority=77",
    "--nice",
    "--nice=5",
    "--nice=-5",
    "--export=NONE",
    "--comment hey",
    "-A Acct",
    "--signal=USR1@60",
    "--signal=B:TERM@10",
    "--open-mode=append",
    "--open-mode=truncate",
    "--mincpus=2",
    "--tmp=50 -p all",
    "--threads-per-core=1",
    "--sockets-per-node=1",
    "--cores-per-socket=1",
    "--ntasks-per-core=1",
    "--ntasks-per-socket=1",
    "-m cyclic",
    "-m block:cyclic",
    "-O -n 9",
    "--contiguous -N2",
    "--mail-type=END --mail-user=somebody",
    "--no-kill",
    "-k",
    "--wckey=key",
    "--use-min-nodes -N1-2",
    "--spread-job -n 2",
    "--bb=x",
    "--container=/x",
    "--reboot",
    "--deadline=2035-01-01",
    "--deadline=2035-01-01 -t 10",
    "--deadline=2035-01-01 --time-min=5 -t 10",
    "--prefer=a",
    "--qos=normal",
    "--hint=nomultithread",
    "--cpu-freq=low",
    "--network=x",
    "--switches=1",
    "--acctg-freq=30",
    "--profile=none",
    "--kill-on-invalid-dep=yes",
    "--gres=none",
    "--power=",
    "-c 9",
    "-N 9 -w n1",
    "-a 1-4%x",
    "-d afterok:9999",
    "-d 1",
];

/// Lines that Slurm accepts and makes nothing of; here they are refused.
const REFUSED_HERE: &[&str] = &["-C a&"];

/// Lines that both refuse.
const REFUSED: &[&str] = &[
    "--deadline=2020-01-01",
    "--deadline=now+3minutes -t 10 --time-min=5",
    "-p nope",
    "-p main,nope",
    "-p noroot",
    "-p far",
    "-p shut",
    "-p resv",
    "-N 0",
    "-w n[1-2] -N 1",
    "-w n9",
    "-w n[",
    "-x n9",
    "-x n1 -w n1",
    "-w n3",
    "-w n1 -x n1",
    "-x n[1-2]",
    "--mem=999999",
    "--mem-per-cpu=999999",
    "-c 9 -p all",
    "--mincpus=64",
    "--tmp=5000",
    "--sockets-per-node=9",
    "--threads-per-core=9",
    "-C nope",
    "-C c",
    "-C (a",
    "--prefer=nope",
    "--batch=a",
    "-N 5 -p all -x big",
    "-d afterok",
    "-d nope:1",
    "-d afterok:x",
    "-d afterok:0",
    "-d expand:1",
    "-a x",
    "-a 0-100",
    "-a 5-3",
    "--gres=gpu:1",
    "--gpus=1",
    "--licenses=foo",
    "-L foo:2",
    "--reservation=foo",
    "--time-min=10 -t 5",
    "--time-min=3:00:00 -p all",
    "-n 3 -N 1",
    "--jobid=1",
    "--x11",
];

#[test]
fn what_is_refused_is_refused_with_the_same_words() {
    let test = "what_is_refused_is_refused_with_the_same_words";
    let Some(lab) = lab(test, "") else { return };
    lab.both("sbatch --wrap true");
    let mut different = Vec::new();
    for line in REFUSED {
        let line = format!("sbatch {line} --wrap true");
        let (ours, theirs) = (lab.ours.run(&line), lab.theirs.run(&line));
        if ours != theirs || ours.code == 0 {
            different.push(format!("{line}\n   ours {ours:?}\n theirs {theirs:?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    for line in REFUSED_HERE {
        let said = lab.ours.run(&format!("sbatch {line} --wrap true"));
        assert_eq!(said.code, 1, "{line}: {said:?}");
    }
}

#[test]
fn the_same_lines_make_the_same_jobs() {
    let Some(lab) = lab("the_same_lines_make_the_same_jobs", "") else { return };
    let script = lab.dir.path().join("job.sh");
    std::fs::write(&script, "#!/bin/sh\n#SBATCH -J scripted -t 5\ntrue\n").unwrap();
    lab.both(&format!("sbatch {} one two", script.display()));
    for line in ACCEPTED {
        let said = lab.both(&format!("sbatch {line} --wrap true"));
        assert_eq!(said.code, 0, "{line}: {said:?}");
    }
    lab.compare("after submissions");
    for question in QUESTIONS {
        let (ours, theirs) = (lab.ours.run(question), lab.theirs.run(question));
        assert_eq!(shown(&ours), shown(&theirs), "{question}");
    }
    // What has not changed is not sent again, and clients know what to do then.
    let script = lab.both("scontrol write batch 2 -");
    assert_eq!(script.stdout, "#!/bin/sh\n# This script was created by sbatch --wrap.\n\ntrue\n");
}

/// What clients print of the jobs; what differs by its nature is not asked for.
const QUESTIONS: &[&str] = &[
    "squeue -h -o %i_%P_%j_%T_%M_%D_%C_%m_%f_%n_%x",
    "squeue -h -r -o %i_%K_%F_%A",
    "squeue -h -u root -o %i_%u_%U_%g",
    "squeue -h -u nobody",
    "squeue -h -A acct -o %i_%a",
    "squeue -h -n name -o %i_%j",
    "squeue -h -p odd,two,percpu -o %i_%P_%l",
    "squeue -h -t RUNNING,COMPLETED",
    "squeue -h -j 3,4 -o %i_%Z_%o",
    "squeue -h -s",
    "scontrol show job 99999",
    "squeue -j 99999",
    "scontrol show step",
];

/// Words without regard to order of lines: clients sort, and leave equals as they come.
fn shown(said: &Said) -> (Vec<String>, String, i32) {
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut lines: Vec<String> = said.stdout.lines().map(line).collect();
    lines.sort_unstable();
    (lines, said.stderr.clone(), said.code)
}

/// A controller with its slurmds.
struct Busy {
    controller: Controller,
    slurmds: Vec<Slurmd>,
}

impl Busy {
    fn start(dir: &Path, program: &Path, slurmd: &Path, socket: &str, ours: bool) -> Busy {
        let node = "Sockets=2 CoresPerSocket=2 ThreadsPerCore=2 RealMemory=1000";
        let nodes = node_lines(dir, 3, ports_in_a_row(3), node);
        let more = "SelectTypeParameters=CR_Core_Memory\nDefMemPerCPU=10\nKillWait=1\n\
                    SchedulerParameters=batch_sched_delay=0\n";
        let auth_info = format!("AuthInfo={socket}");
        let mut controller =
            Controller::configure(dir.into(), &auth_info, &format!("{more}{nodes}"));
        if ours {
            controller.init();
        }
        controller.start(program);
        let start = |at| Slurmd::start(slurmd, &controller, &format!("n{at}"));
        let slurmds: Vec<Slurmd> = (1..=3).map(start).collect();
        slurmds.iter().for_each(|slurmd| until_node(&controller, &slurmd.name, "idle"));
        Busy { controller, slurmds }
    }

    /// Waits until all jobs are in that state.
    fn until_all(&self, auth: &Auth, what: &str, state: impl Fn(&Job) -> bool) {
        until_said(&self.controller, what, || records(auth, &self.controller).iter().all(&state));
    }
}

/// Jobs that run, one after the other placed on free nodes.
const RUNNING: &[&str] = &["", "-n 3", "-N 2 -n 3", "-c 2 -t 5", "--mem=100"];

/// Real slurmds under both controllers.
#[test]
fn running_and_ended_jobs_are_shown_as_slurm_shows_them() {
    let test = "running_and_ended_jobs_are_shown_as_slurm_shows_them";
    let Some(munged) = programs::find("munged", test) else { return };
    let Some(slurmd) = programs::find("slurmd", test) else { return };
    let Some(real) = programs::find("slurmctld", test) else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let munged = Munged::start(&munged, dir.path());
    let socket = format!("socket={}", munged.socket.display());
    let auth = Auth::Munge(Munge::load(Info::parse(&socket).unwrap()).unwrap());
    let start = |name: &str, program: &Path, ours| {
        Busy::start(&dir.path().join(name), program, &slurmd, &socket, ours)
    };
    let both = [start("ours", Path::new(OURS), true), start("theirs", &real, false)];
    let each = |line: &str| {
        let [ours, theirs] = both.each_ref().map(|busy| busy.controller.run(line));
        assert_eq!((ours.code, &ours.stdout), (theirs.code, &theirs.stdout), "{line}");
        assert_eq!(ours.code, 0, "{line}: {ours:?}");
    };
    let compare = |when: &str| {
        let [ours, theirs] = both.each_ref().map(|busy| records(&auth, &busy.controller));
        let mut different = Vec::new();
        for theirs in &theirs {
            let ours = ours.iter().find(|job| job.job_id == theirs.job_id).expect("it is there");
            different.extend(differences(ours, theirs));
        }
        assert!(different.is_empty(), "{when}:\n{}", different.join("\n"));
        assert_eq!(ours.len(), theirs.len(), "{when}");
    };
    for options in RUNNING {
        each(&format!("sbatch -D / -o /dev/null {options} --wrap sleep_600"));
        for busy in &both {
            busy.until_all(&auth, "the job runs", |job| job.job_state == 1);
        }
    }
    compare("while they run");
    each("squeue -h -s -o %i_%j_%P_%u_%N");
    each("sinfo -h -N -o %N_%T_%C_%P");
    each("scontrol show hostnames n[1-2]");
    each("scancel -u root");
    let ended = |job: &Job| job.job_state > 2 && job.job_state < 0x100;
    both.iter().for_each(|busy| busy.until_all(&auth, "the jobs are cancelled", ended));
    each("sbatch -D / -o /dev/null -w n1 --wrap true");
    each("sbatch -D / -o /dev/null -w n2 --wrap exit_3");
    each("sbatch -D / -o /dev/null --hold --wrap true");
    each("scancel 8");
    both.iter().for_each(|busy| busy.until_all(&auth, "the jobs are over", ended));
    compare("when they are over");
    assert!(both.iter().all(|busy| busy.slurmds.len() == 3));
}
