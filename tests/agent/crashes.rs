//! The agent, a supervisor, the controller: each is killed while jobs run. No job runs twice unless
//! it was requeued, no exit code is lost, no process is left.

use crate::cluster::{Process, until};
use crate::lab::{Lab, OURS, jobs_in, lives, processes_with, signal};
use std::fs;
use std::path::Path;

fn pair(state: &str, code: &str) -> (String, String) {
    (state.to_owned(), code.to_owned())
}

/// The process that holds the lock of the only job in a spool.
fn supervisor(lab: &Lab, node: &str) -> i32 {
    let jobs = jobs_in(&lab.path("spool").join(node));
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    fs::read_to_string(jobs[0].join("lock")).unwrap().trim().parse().unwrap()
}

fn kill(process: Process) {
    signal(i32::try_from(process.0.id()).unwrap(), libc::SIGKILL);
}

#[test]
fn an_agent_that_is_killed_finds_its_jobs_again_and_their_ends() {
    let test = "an_agent_that_is_killed_finds_its_jobs_again_and_their_ends";
    let Some(lab) = Lab::new(test, "") else { return };
    let agent = lab.agent(Path::new(OURS), "n1");
    let waits = "echo $$ >pid-$SLURM_JOB_ID; while [ ! -e go-$SLURM_JOB_ID ]; do sleep 0.05; done\n\
                 exit 5";
    let (first, second) = (lab.submit("-w n1", waits), lab.submit("-w n1", waits));
    let pids = [first, second].map(|job| lab.wait_file(&format!("pid-{job}")));
    kill(agent);
    // This one ends while there is no agent: its supervisor reports it by itself.
    fs::write(lab.path("out").join(format!("go-{first}")), "").unwrap();
    until("its end is told", || lab.field(&first.to_string(), "ExitCode") == "5:0");
    let agent = lab.agent(Path::new(OURS), "n1");
    assert!(lives(pids[1].parse().unwrap()), "{}", lab.log("n1"));
    assert_eq!(lab.ended(first), pair("FAILED", "5:0"));
    assert_eq!(lab.field(&second.to_string(), "JobState"), "RUNNING");
    fs::write(lab.path("out").join(format!("go-{second}")), "").unwrap();
    assert_eq!(lab.ended(second), pair("FAILED", "5:0"));
    assert_eq!(lab.field(&second.to_string(), "Restarts"), "0");
    lab.wait_empty("n1");
    // And one that is cancelled by the agent that found it.
    let third = lab.submit("-w n1", waits);
    lab.wait_file(&format!("pid-{third}"));
    kill(agent);
    let _agent = lab.agent(Path::new(OURS), "n1");
    assert_eq!(lab.run(&format!("scancel {third}")), "");
    assert_eq!(lab.ended(third), pair("CANCELLED", "0:15"));
    lab.wait_empty("n1");
}

#[test]
fn a_supervisor_that_is_killed_takes_its_job_with_it_and_the_end_is_told() {
    let test = "a_supervisor_that_is_killed_takes_its_job_with_it_and_the_end_is_told";
    let Some(lab) = Lab::new(test, "") else { return };
    let agent = lab.agent(Path::new(OURS), "n1");
    let mark = |name: u32| format!("{}", 800_000_000 + u64::from(lab.port) * 10 + u64::from(name));
    let script = |name: u32| {
        let mark = mark(name);
        format!(
            "setsid sleep {mark} & (setsid sleep {mark} &)\n\
             sleep 0.3; echo >up-{name}; wait; exit 2"
        )
    };
    let job = lab.submit("-w n1", &script(1));
    lab.wait_file("up-1");
    assert_eq!(processes_with(&mark(1)).len(), 2);
    signal(supervisor(&lab, "n1"), libc::SIGKILL);
    assert_eq!(lab.ended(job), pair("FAILED", "0:9"));
    until("nothing is left", || processes_with(&mark(1)).is_empty());
    lab.wait_empty("n1");
    // The same while there is no agent: the next one does it.
    let job = lab.submit("-w n1", &script(2));
    lab.wait_file("up-2");
    kill(agent);
    signal(supervisor(&lab, "n1"), libc::SIGKILL);
    let _agent = lab.agent_alone(Path::new(OURS), "n1");
    assert_eq!(lab.ended(job), pair("FAILED", "0:9"));
    until("nothing is left", || processes_with(&mark(2)).is_empty());
    lab.wait_empty("n1");
    assert!(!lab.run("scontrol show node n1").contains("DRAIN"));
}

#[test]
fn an_end_waits_for_a_controller_and_is_told_once() {
    let test = "an_end_waits_for_a_controller_and_is_told_once";
    let Some(mut lab) = Lab::new(test, "") else { return };
    let agent = lab.agent(Path::new(OURS), "n1");
    let script = "echo >up; while [ ! -e go ]; do sleep 0.05; done; exit 6";
    let job = lab.submit("-w n1", script);
    lab.wait_file("up");
    lab.stop_controller();
    fs::write(lab.path("out").join("go"), "").unwrap();
    let end = || jobs_in(&lab.path("spool").join("n1")).iter().any(|job| job.join("end").exists());
    until("the end is kept", end);
    kill(agent);
    let _agent = lab.agent_alone(Path::new(OURS), "n1");
    lab.start_controller();
    assert_eq!(lab.ended(job), pair("FAILED", "6:0"));
    lab.wait_empty("n1");
    let told = fs::read_to_string(lab.path("ctld.log")).unwrap();
    let wanted = format!("_job_complete: JobId={job} WEXITSTATUS 6");
    assert_eq!(told.matches(&wanted).count(), 1, "{told}");
}

/// Numbers by which a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Jobs that count their runs, and agents and supervisors that are killed at any time.
/// `STATEDIR_AGENT_ROUNDS` and `STATEDIR_AGENT_SEED` say how often, and repeat it.
#[test]
fn killed_at_random_no_job_runs_twice_and_no_exit_code_is_lost() {
    let test = "killed_at_random_no_job_runs_twice_and_no_exit_code_is_lost";
    let Some(lab) = Lab::new(test, "") else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds: u64 = number("STATEDIR_AGENT_ROUNDS").unwrap_or(3);
    let seed: u64 = number("STATEDIR_AGENT_SEED").unwrap_or(20_261_125);
    let mark = format!("{}", 900_000_000 + u64::from(lab.port));
    let mut random = Random(seed | 1);
    let mut agents = lab.ours();
    for round in 0..rounds {
        let repeat =
            format!("round {round}: STATEDIR_AGENT_SEED={seed} STATEDIR_AGENT_ROUNDS={rounds}");
        let jobs: Vec<(u32, u64)> = (0..6)
            .map(|_| {
                let (code, tenths) = (random.below(4) * 3, random.below(15));
                let script = format!(
                    "echo run >>runs-$SLURM_JOB_ID; setsid sleep {mark} &\n\
                     sleep {}.{}; echo done >>done-$SLURM_JOB_ID; exit {code}",
                    tenths / 10,
                    tenths % 10
                );
                (lab.submit("--no-requeue -o /dev/null", &script), code)
            })
            .collect();
        let mut lost = false;
        for _ in 0..4 {
            std::thread::sleep(std::time::Duration::from_millis(random.below(500)));
            let node = random.below(2) as usize;
            if random.below(3) == 0 {
                let found = jobs_in(&lab.path("spool").join(["n1", "n2"][node]));
                let pid = found.first().and_then(|job| fs::read_to_string(job.join("lock")).ok());
                if let Some(pid) = pid.and_then(|text| text.trim().parse().ok()) {
                    signal(pid, libc::SIGKILL);
                    lost = true;
                }
            } else {
                let other = lab.agent_alone(Path::new("/bin/true"), "n1");
                kill(std::mem::replace(&mut agents[node], other));
                agents[node] = lab.agent_alone(Path::new(OURS), ["n1", "n2"][node]);
            }
        }
        for (job, code) in jobs {
            let (state, exit) = lab.ended(job);
            let runs = fs::read_to_string(lab.path("out").join(format!("runs-{job}")));
            let (runs, done) =
                (runs.unwrap_or_default(), lab.path("out").join(format!("done-{job}")).exists());
            assert!(runs.lines().count() <= 1, "job {job} ran {runs}: {repeat}");
            let (good, killed) = (format!("{code}:0"), lost && exit == "0:9");
            let launched = !runs.is_empty();
            // One whose launch was answered by nobody, since the agent was killed, was not run.
            assert!(
                (exit == good && done) || killed || !launched,
                "job {job} is {state} {exit}, done {done}: {repeat}\n{}{}",
                lab.log("n1"),
                lab.log("n2")
            );
        }
        until("nothing is left", || processes_with(&mark).is_empty());
        lab.wait_empty("n1");
        lab.wait_empty("n2");
    }
}
