//! Jobs as users run them.

use crate::cluster::until;
use crate::lab::{Lab, OURS, is_root, processes_with};
use crate::programs;
use statedir::slurm::link::{self, Times};
use statedir::slurm::wire::constants::step;
use statedir::slurm::wire::tables::{KillJob, StepId};
use statedir::slurm::wire::{Message, Time, Unset};
use std::path::Path;

fn pair(state: &str, code: &str) -> (String, String) {
    (state.to_owned(), code.to_owned())
}

#[test]
fn jobs_end_as_slurms_own_agent_ends_them() {
    for lab in Lab::both("jobs_end_as_slurms_own_agent_ends_them", "") {
        let _agents = lab.ours();
        let good = lab.submit("-o g-%j.%x", "echo $SLURM_JOB_ID; exit 0");
        let bad = lab.submit("-o b-%5j.%%.%x.%u.%s -J na", "exit 7");
        let killed = lab.submit("", "kill -SEGV $$");
        let lost = lab.submit("-o none/x", "echo");
        let strange = lab.submit(
            "-D /no/such/place -o @/out/s-%j"
                .replace('@', &lab.path("").display().to_string())
                .as_str(),
            "pwd",
        );
        let large =
            lab.submit("-o l-%j -e e-%j", "head -c 10000000 /dev/zero | tr '\\0' x; echo oops >&2");
        let array = lab.submit(
            "--array=1-3 -o a-%A_%a-%4a",
            "echo $SLURM_ARRAY_TASK_ID; exit $SLURM_ARRAY_TASK_ID",
        );
        assert_eq!(lab.ended(good), pair("COMPLETED", "0:0"));
        assert_eq!(lab.out(format!("g-{good}.(null)")), format!("{good}\n"));
        assert_eq!(lab.ended(bad), pair("FAILED", "7:0"));
        let user = String::from_utf8(
            crate::cluster::limited::output(std::process::Command::new("id").arg("-un")).stdout,
        );
        assert_eq!(lab.out(format!("b-{bad:05}.%.na.{}.batch", user.unwrap().trim())), "");
        assert_eq!(lab.ended(killed), pair("FAILED", "0:11"));
        assert_eq!(lab.ended(lost), pair("FAILED", "0:53"));
        assert_eq!(lab.ended(strange), pair("COMPLETED", "0:0"));
        let (node, said) =
            (lab.field(&strange.to_string(), "BatchHost"), lab.out(format!("s-{strange}")));
        let wanted = format!(
            "slurmstepd-{node}: error: couldn't chdir to `/no/such/place': \
             No such file or directory: going to /tmp instead\n/tmp\n"
        );
        assert_eq!(said, wanted);
        assert_eq!(lab.ended(large), pair("COMPLETED", "0:0"));
        let said = lab.out(format!("l-{large}"));
        assert!(said.len() == 10_000_000 && said.bytes().all(|byte| byte == b'x'));
        assert_eq!(lab.out(format!("e-{large}")), "oops\n");
        for task in 1..=3 {
            assert_eq!(lab.ended(format!("{array}_{task}")), pair("FAILED", &format!("{task}:0")));
            assert_eq!(lab.out(format!("a-{array}_{task}-000{task}")), format!("{task}\n"));
        }
        for node in ["n1", "n2"] {
            lab.wait_empty(node);
            assert!(!lab.run(&format!("scontrol show node {node}")).contains("DRAIN"));
        }
    }
}

#[test]
fn a_script_runs_as_its_user_and_nothing_of_the_agent_is_left_to_it() {
    for lab in Lab::both("a_script_runs_as_its_user_and_nothing_of_the_agent_is_left_to_it", "") {
        let _agents = lab.ours();
        let script = "id -u; id -g; id -G; umask; ls /proc/self/fd | wc -l; ulimit -n; \
                  grep -E 'NoNewPrivs|CapEff' /proc/self/status; stat -c %a:%u $0; echo $$ >&2";
        // Nobody has no home.
        let nobody = 65_534;
        let job = match is_root() {
            true => lab.submit_as(nobody, nobody, "-o u-%j -e /dev/null", script),
            false => lab.submit("-o u-%j -e /dev/null", script),
        };
        assert_eq!(lab.ended(job), pair("COMPLETED", "0:0"));
        let own = rustix::process::geteuid().as_raw();
        let uid = if is_root() { nobody } else { own };
        let said = lab.out(format!("u-{job}"));
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], uid.to_string());
        if is_root() {
            assert_eq!((lines[1], lines[2]), ("65534", "65534"));
            assert!(said.contains("CapEff:\t0000000000000000"), "{said}");
        }
        // stdin, stdout, stderr, and the folder that ls reads.
        assert_eq!((lines[3], lines[4]), ("0022", "4"));
        assert!(said.contains(&format!("700:{uid}")), "{said}");
    }
}

#[test]
fn the_environment_is_that_of_slurms_own_agent() {
    let test = "the_environment_is_that_of_slurms_own_agent";
    let Some(slurmd) = programs::find("slurmd", test) else { return };
    let Some(lab) = Lab::new(test, "") else { return };
    let _real = lab.agent(&slurmd, "n1");
    let _ours = lab.agent(Path::new(OURS), "n2");
    let said = |node: &str, options: &str| {
        let job = lab.submit(&format!("-w {node} {options}"), "env | sort; ulimit -a; umask");
        assert_eq!(lab.ended(job), pair("COMPLETED", "0:0"));
        let id = job.to_string();
        let name = lab.field(&id, "StdOut");
        let text = std::fs::read_to_string(name).unwrap();
        let text = text.replace(&id, "JOB").replace(node, "NODE");
        let own = |line: &&str| !line.starts_with("SLURM_TASK_PID=");
        text.lines().filter(own).collect::<Vec<_>>().join("\n")
    };
    for options in [
        "-o e-%j",
        "-n3 -c2 --mem=100 -J other -o e-%j",
        "-n2 --mem-per-cpu=50 --overcommit --export=NONE -o e-%j",
        "--cpus-per-task=2 --ntasks-per-node=2 -A acc --comment=x -o e-%j",
    ] {
        let real = said("n1", options);
        assert!(real.contains("SLURM_JOB_ID=JOB"), "{real}");
        assert_eq!(said("n2", options), real, "{options}");
    }
}

#[test]
fn a_job_that_forks_and_detaches_dies_with_its_cancellation_and_with_its_end() {
    for lab in
        Lab::both("a_job_that_forks_and_detaches_dies_with_its_cancellation_and_with_its_end", "")
    {
        let _agents = lab.ours();
        let mark = |name: &str| format!("{}{name}", 700_000_000 + u64::from(lab.port) * 10);
        for (name, last, wanted) in
            [("1", "sleep 600", pair("CANCELLED", "0:15")), ("2", "exit 3", pair("FAILED", "3:0"))]
        {
            let mark = mark(name);
            let script = format!(
                "setsid sleep {mark} &\n\
                 (setsid bash -c 'sleep {mark} & disown; exec sleep {mark}' &)\n\
             env -i setsid nohup sleep {mark} >/dev/null 2>&1 &\n\
             sleep 0.5; echo ready >r-{name}; {last}"
            );
            let job = lab.submit("-o c-%j", &script);
            if name == "1" {
                lab.wait_file("r-1");
                until("all are what they will be", || processes_with(&mark).len() == 4);
                assert_eq!(lab.run(&format!("scancel {job}")), "");
                assert_eq!(lab.ended(job), wanted);
                let said = lab.out(format!("c-{job}"));
                assert!(said.contains(&format!("error: *** JOB {job} ON n")), "{said}");
                assert!(said.contains(" CANCELLED AT "), "{said}");
            } else {
                assert_eq!(lab.ended(job), wanted);
            }
            lab.wait_empty("n1");
            lab.wait_empty("n2");
            assert_eq!(processes_with(&mark), Vec::<i32>::new());
        }
    }
}

#[test]
fn a_requeued_job_runs_again_and_knows_it() {
    for lab in Lab::both("a_requeued_job_runs_again_and_knows_it", "") {
        let _agents = lab.ours();
        let script = "echo run $SLURM_RESTART_COUNT; [ \"$SLURM_RESTART_COUNT\" = 1 ] && exit 4\n\
                  echo >started; sleep 600";
        let job = lab.submit("--requeue --open-mode=append -o q-%j", script);
        lab.wait_file("started");
        assert_eq!(lab.run(&format!("scontrol requeue {job}")), "");
        lab.wait_state(&job.to_string(), &["PENDING"]);
        // Slurm waits two minutes before it runs a job again. It must not be the second of its
        // end: a permission of that second is void (and slurmctld then fails the job, 1:0).
        assert_eq!(lab.run(&format!("scontrol update jobid={job} StartTime=now+1")), "");
        assert_eq!(lab.ended(job), pair("FAILED", "4:0"));
        assert_eq!(lab.field(&job.to_string(), "Restarts"), "1");
        let said = lab.out(format!("q-{job}"));
        assert!(said.contains("DUE TO JOB REQUEUE ***"), "{said}");
        let runs: Vec<&str> = said.lines().filter(|line| line.starts_with("run")).collect();
        assert_eq!(runs, ["run", "run 1"]);
    }
}

#[test]
fn suspended_jobs_stand_still_and_signals_reach_whom_they_are_for() {
    for lab in Lab::both("suspended_jobs_stand_still_and_signals_reach_whom_they_are_for", "") {
        let _agents = lab.ours();
        let script = "trap 'echo usr1 >>sig' USR1; echo $$ >pid; while :; do sleep 0.05; done";
        let job = lab.submit("-o /dev/null", script);
        let pid: i32 = lab.wait_file("pid").parse().unwrap();
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let stopped = || state().rsplit(") ").next().unwrap().starts_with('T');
        assert_eq!(lab.run(&format!("scontrol suspend {job}")), "");
        until("it stands still", stopped);
        assert_eq!(lab.run(&format!("scontrol resume {job}")), "");
        until("it goes on", || !stopped());
        assert_eq!(lab.run(&format!("scancel --signal=USR1 --batch {job}")), "");
        assert_eq!(lab.wait_file("sig"), "usr1");
        assert_eq!(lab.run(&format!("scancel {job}")), "");
        assert_eq!(lab.ended(job), pair("CANCELLED", "0:15"));
    }
}

/// Slurm's controller looks at limits each half minute, and they are minutes: its message is sent
/// at once here.
#[test]
fn a_job_at_its_limit_is_told_and_has_killwait_to_end() {
    for lab in Lab::both("a_job_at_its_limit_is_told_and_has_killwait_to_end", "") {
        let _agents = lab.ours();
        let script = "trap 'echo term' TERM; echo >up; while :; do sleep 0.1; done";
        let job = lab.submit("-w n1 -o t-%j", script);
        lab.wait_file("up");
        let (auth, times) = (lab.auth(), Times::default());
        let step_id = StepId { job_id: job, step_id: step::NONE, step_het_comp: u32::UNSET };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let time = Time(i64::try_from(now.as_secs()).unwrap());
        let kill =
            KillJob { step_id, nodes: "n1".into(), time, start_time: time, ..KillJob::default() };
        let message = Message::KillTimeLimit(Box::new(kill));
        let address = ("127.0.0.1", lab.agent_ports[0]);
        let answer =
            link::call(&auth, address, &message, statedir::slurm::auth::To::Anybody, times);
        assert_eq!(answer.unwrap(), Message::code(0));
        // It takes no notice of SIGTERM: SIGKILL ends it.
        assert_eq!(lab.ended(job).1, "0:9");
        let said = lab.out(format!("t-{job}"));
        assert!(said.contains("DUE TO TIME LIMIT ***\n"), "{said}");
        assert!(said.contains("term\n"), "{said}");
    }
}
