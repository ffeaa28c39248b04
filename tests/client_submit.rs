//! What our sbatch asks for is what Slurm's own asks for, field by field; and what it says of what
//! goes wrong.
#![cfg(feature = "client")]

#[allow(dead_code, reason = "each test uses its part of the stage")]
#[path = "controller/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "each test uses its part of the stage")]
#[path = "client/lab.rs"]
mod lab;
#[path = "programs/mod.rs"]
mod programs;
#[allow(dead_code, reason = "each test uses its part of the stage")]
mod slurm;

use cluster::limited;
use lab::{Lab, masked, ours, words};
use slurm::Stage;
use slurm::answers::answer;
use slurm::server::Server;
use statedir::slurm::wire::Message;
use statedir::slurm::wire::tables::JobDesc;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

const LINES: &[&str] = &[
    "sbatch ok.sh",
    "sbatch ./ok.sh one 'two three'",
    "sbatch sub/deep.sh",
    "sbatch options.sh",
    "sbatch -J other -t 7 options.sh",
    "sbatch --wrap 'echo hello world'",
    "sbatch --parsable -Q --wrap true",
    "sbatch -N 2 --wrap true",
    "sbatch -N 2-4 --wrap true",
    "sbatch -n 8 --wrap true",
    "sbatch -n 3 -N 5 --wrap true",
    "sbatch -n 4 -N 2-8 --wrap true",
    "sbatch -c 4 -n 2 --wrap true",
    "sbatch -N 2 --ntasks-per-node=3 --wrap true",
    "sbatch --ntasks-per-node=3 --wrap true",
    "sbatch -N 1-4 --ntasks-per-node=3 --wrap true",
    "sbatch --ntasks-per-core=1 --ntasks-per-socket=2 --wrap true",
    "sbatch --mem=1G --wrap true",
    "sbatch --mem-per-cpu=300M --wrap true",
    "sbatch --tmp=5G --mincpus=2 --wrap true",
    "sbatch -C 'a&b' -p main,hold --wrap true",
    "sbatch -t 1-2:03:04 --time-min=10 --wrap true",
    "sbatch -t 0 --wrap true",
    "sbatch -t UNLIMITED --wrap true",
    "sbatch -o out-%j -e err-%j -i in --wrap true",
    "sbatch -o /tmp/out -e none -i none --wrap true",
    "sbatch -D /tmp -o out --wrap true",
    "sbatch -D sub deep.sh",
    "sbatch -w n[1-3],n2 --wrap true",
    "sbatch -w n[1-3] -N 4 -x n7 --wrap true",
    "sbatch --exclusive --wrap true",
    "sbatch --exclusive=user --wrap true",
    "sbatch -s --wrap true",
    "sbatch -O -n 4 --wrap true",
    "sbatch --hold --wrap true",
    "sbatch -H --priority=7 --wrap true",
    "sbatch --priority=7 --wrap true",
    "sbatch --nice --wrap true",
    "sbatch --nice=-20 --wrap true",
    "sbatch --begin=2031-02-03T04:05:06 --deadline=2032-01-01 --wrap true",
    "sbatch --begin=uts1999999999 --wrap true",
    "sbatch -d afterok:1:2,singleton --kill-on-invalid-dep=yes --wrap true",
    "sbatch -a 0-15:4%2 --wrap true",
    "sbatch --requeue --wrap true",
    "sbatch --no-requeue -k --wrap true",
    "sbatch --comment 'hey there' -A acct --qos fast --wckey key --wrap true",
    "sbatch --mail-type=END,FAIL --mail-user=me@there --wrap true",
    "sbatch --mail-type=ALL --mail-type=TIME_LIMIT_80 --wrap true",
    "sbatch --signal=USR1 --wrap true",
    "sbatch --signal=B:TERM@30 --wrap true",
    "sbatch --signal=R:10@5 --wrap true",
    "sbatch --open-mode=append --wrap true",
    "sbatch --open-mode=truncate --wrap true",
    "sbatch --export=NONE --wrap true",
    "sbatch --export=ALL,NEW=1,HOME --wrap true",
    "sbatch --export=HOME,NEW='x,y' --wrap true",
    "sbatch --propagate=NOFILE,CORE --wrap true",
    "sbatch --propagate=NONE --wrap true",
    "sbatch --contiguous --spread-job --use-min-nodes --reboot --wrap true",
    "sbatch -m block:cyclic -n 4 --wrap true",
    "sbatch -m plane=2 -n 4 -N 2 --wrap true",
    "sbatch -S 1 --wrap true",
    "sbatch --sockets-per-node=2 --cores-per-socket=4 --threads-per-core=2 -N 2 --wrap true",
    "sbatch --switches=2@1:00 --wait-all-nodes=1 --delay-boot=5 --wrap true",
    "sbatch -L lic:2,other --reservation=res --prefer=c --network=x --wrap true",
    "sbatch --acctg-freq=task=10 --batch=a --cluster-constraint=z --wrap true",
    "sbatch --tasks-per-node=2 -N1 --wrap true",
    "sbatch --job-n=short --wrap true",
];

struct Pair {
    stage: Stage,
    server: Server,
}

impl Pair {
    fn new(test: &str) -> Option<Pair> {
        let (munged, _) = (programs::find("munged", test)?, programs::find("sbatch", test)?);
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let stage = Stage::new(&munged, listener.local_addr().unwrap().port(), 17001);
        let server = Server::start(listener, &stage.auth_info(), answer);
        let write = |name: &str, text: &str| std::fs::write(stage.path(name), text).unwrap();
        std::fs::create_dir(stage.path("sub")).unwrap();
        write("ok.sh", "#!/bin/sh\nsleep 1\n");
        write("sub/deep.sh", "#!/bin/sh\n#SBATCH -n 2\ntrue\n");
        write(
            "options.sh",
            "#!/bin/bash\n# about\n#SBATCH --job-name='a b' -t 5 # five\n#SBATCH -o \"x y\"\n\n\
             #SBATCH --comment=it\\'s\\#so\nsleep 1\n#SBATCH -n 9\n",
        );
        Some(Pair { stage, server })
    }

    fn submit(&self, program: &Path, line: &str) -> (JobDesc, String) {
        let words = words(line);
        let mut command = Command::new(program);
        command.arg0(&words[0]).args(&words[1..]);
        self.run(&mut command, line)
    }

    fn run(&self, command: &mut Command, line: &str) -> (JobDesc, String) {
        let command = command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", "/")
            .env("SLURM_CONF", self.stage.conf())
            .env("SOMETHING", "with = and\nlines")
            .env("TZ", "UTC")
            .current_dir(self.stage.path(""))
            .stdin(Stdio::null());
        let output = limited::output(command);
        let said = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
        let asked = self.server.take();
        let found = asked.into_iter().find_map(|asked| match asked.message {
            Message::Submit(desc) | Message::UpdateJob(desc) => Some(*desc),
            _ => None,
        });
        (found.unwrap_or_else(|| panic!("{line}: nothing is submitted: {said}")), said)
    }
}

/// A description, one field a line. The order of variables means nothing.
fn fields(mut desc: JobDesc) -> Vec<String> {
    desc.environment.sort();
    format!("{desc:#?}").lines().map(str::to_owned).collect()
}

#[test]
fn every_field_that_ours_submits_is_the_one_that_slurms_own_submits() {
    let test = "every_field_that_ours_submits_is_the_one_that_slurms_own_submits";
    let Some(pair) = Pair::new(test) else { return };
    let real = programs::find("sbatch", test).unwrap();
    let mut wrong = Vec::new();
    for line in LINES {
        let (theirs, said) = pair.submit(&real, line);
        let (own, own_said) = pair.submit(&ours("sbatch"), line);
        if said != own_said {
            wrong.push(format!("{line}: says {said:?}, ours {own_said:?}"));
        }
        let (theirs, own) = (fields(theirs), fields(own));
        for (theirs, own) in theirs.iter().zip(&own).filter(|(a, b)| a != b).take(4) {
            wrong.push(format!("{line}:\n  Slurm {theirs}\n  ours  {own}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Changes of a job, for a controller that only listens.
const UPDATES: &[&str] = &[
    "scontrol update jobid=7 account=",
    "scontrol update jobid=7 account=acct",
    "scontrol update jobid=7 partition=",
    "scontrol update jobid=7 partition=main",
    "scontrol update jobid=7 qos=",
    "scontrol update jobid=7 qos=fast",
    "scontrol update jobid=7 wckey=",
    "scontrol update jobid=7 wckey=key",
    "scontrol update jobid=7 account= partition= qos= wckey=",
    "scontrol update jobid=7 resetaccruetime",
    "scontrol update jobid=7 nice",
    "scontrol update jobid=7 nice=5 priority=9",
    "scontrol update jobid=7 name=other comment=why",
    "scontrol update jobid=7 numcpus=2-4 numtasks=3",
    "scontrol update jobid=7 minmemorycpu=100 mintmpdisknode=5",
    "scontrol update jobid=7 starttime=2031-02-03T04:05:06",
    "scontrol update jobid=7 features=a dependency=afterok:3",
    "scontrol update jobid=7 contiguous=yes requeue=0",
    "scontrol hold 7",
    "scontrol uhold 7",
];

#[test]
fn every_field_of_a_change_of_a_job_is_the_one_that_slurms_own_sends() {
    let test = "every_field_of_a_change_of_a_job_is_the_one_that_slurms_own_sends";
    let Some(pair) = Pair::new(test) else { return };
    let real = programs::find("scontrol", test).unwrap();
    let mut wrong = Vec::new();
    for line in UPDATES {
        let (theirs, own) = (pair.submit(&real, line).0, pair.submit(&ours("scontrol"), line).0);
        let (theirs, own) = (fields(theirs), fields(own));
        for (theirs, own) in theirs.iter().zip(&own).filter(|(a, b)| a != b) {
            wrong.push(format!("{line}:\n  Slurm {theirs}\n  ours  {own}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// As in a container: the session's leader is no process of this namespace, and has no id in it.
#[test]
fn a_submission_from_another_pid_namespace_says_that_its_session_is_unknown() {
    let test = "a_submission_from_another_pid_namespace_says_that_its_session_is_unknown";
    let Some(pair) = Pair::new(test).filter(|_| programs::root(test)) else { return };
    let Some(unshare) = programs::find("unshare", test) else { return };
    let mut inside = Command::new(unshare);
    inside.args(["--pid", "--fork"]).arg(ours("sbatch")).args(["--wrap", "true"]);
    assert_eq!(pair.run(&mut inside, "sbatch --wrap true").0.alloc_sid, 0);
}

/// Nothing of this reaches a controller.
const REFUSED: &[&str] = &[
    "sbatch noshebang.sh",
    "sbatch empty.sh",
    "sbatch blank.sh",
    "sbatch dos.sh",
    "sbatch badopt.sh",
    "sbatch missing.sh",
    "sbatch quote.sh",
    "sbatch -t bogus --wrap true",
    "sbatch --mem=x --wrap true",
    "sbatch --mem=1 --mem-per-cpu=1 --wrap true",
    "sbatch -N x --wrap true",
    "sbatch -n 0 --wrap true",
    "sbatch -c -1 --wrap true",
    "sbatch --signal=nope --wrap true",
    "sbatch --mail-type=nope --wrap true",
    "sbatch --nice=99999999999 --wrap true",
    "sbatch --open-mode=x --wrap true",
    "sbatch --exclusive=x --wrap true",
    "sbatch --priority=-1 --wrap true",
    "sbatch --wrap true ok.sh",
    "sbatch --nonsense --wrap true",
    "sbatch -W -p main -t 1 --immediate=2 --wrap true",
    "sbatch -V",
    "sbatch --version",
];

#[test]
fn what_is_no_submission_is_refused_in_slurms_words() {
    let test = "what_is_no_submission_is_refused_in_slurms_words";
    let Some(lab) = Lab::new(test, |_| "NodeName=n1\nPartitionName=main Nodes=n1\n".to_owned())
    else {
        return;
    };
    lab.file("ok.sh", "#!/bin/sh\n");
    lab.file("noshebang.sh", "sleep 1\n");
    lab.file("empty.sh", "");
    lab.file("blank.sh", " \n\n");
    lab.file("dos.sh", "#!/bin/sh\r\ntrue\r\n");
    lab.file("badopt.sh", "#!/bin/sh\n#SBATCH --nonsense=3\n");
    lab.file("quote.sh", "#!/bin/sh\n#SBATCH -J 'a\n");
    let wrong: Vec<String> = REFUSED.iter().filter_map(|line| lab.differ(line)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Slurm's own says the same, after 9 to 49 s.
#[test]
fn where_nobody_answers_ours_say_at_once_who_was_tried_and_what_to_do() {
    let test = "where_nobody_answers_ours_say_at_once_who_was_tried_and_what_to_do";
    let Some(lab) = Lab::new(test, |_| {
        "SlurmctldHost=second(127.0.0.2)\nNodeName=n1\nPartitionName=main Nodes=n1\n".to_owned()
    }) else {
        return;
    };
    for (line, first, code) in [
        ("sinfo", "slurm_load_partitions: ", 1),
        ("squeue", "slurm_load_jobs error: ", 1),
        ("scontrol show node", "slurm_load_node error: ", 1),
        ("scontrol show config", "slurm_load_ctl_conf error: ", 1),
        ("scontrol reconfigure", "slurm_reconfigure error: ", 1),
        ("sbatch --wrap true", "sbatch: error: Batch job submission failed: ", 1),
        ("scancel 1", "scancel: error: Kill job error on job id 1: ", 8),
    ] {
        let said = lab.own(line);
        let port = lab.controller.port;
        let why = "Unable to contact slurm controller (connect failure)";
        let wanted = format!(
            "{first}{why}\ntried localhost (127.0.0.1:{port}): connection refused\n\
             tried second (127.0.0.2:{port}): connection refused\nnext: start slurmctld"
        );
        assert!(said.stderr.starts_with(&wanted), "{line}: {said:?}");
        assert_eq!((said.code, said.stdout.as_str()), (code, ""), "{line}: {said:?}");
    }
    let ping = lab.own("scontrol ping");
    assert_eq!(ping, lab.real("scontrol ping"), "{}", masked(&ping.stdout));
}
