//! Jobs that count their runs, while whoever has to do with them is killed (SIGKILL) at random
//! instants: agents, supervisors, and the controller if it is ours. (Slurm's own may lose what it
//! acknowledged.)
//!
//! | what | holds |
//! |---|---|
//! | runs of a job | at most one, and one for each restart that is recorded |
//! | exit code | the script's own; 0:9 only where a supervisor was killed |
//! | under our controller | each job runs, unless its supervisor was killed before |
//! | afterwards | no process of a job, no supervisor, no folder of a job |
//!
//! `STATEDIR_AGENT_ROUNDS` says how many rounds, `STATEDIR_AGENT_SEED` repeats them.

use crate::cluster::{Process, until};
use crate::lab::{Head, Lab, OURS, jobs_in, processes_with, signal};
use std::fs;
use std::path::Path;
use std::time::Duration;

const NODES: [&str; 2] = ["n1", "n2"];

/// What was not answered, since somebody was killed, is made up for after a few of these, by either
/// controller. (Of a parameter that is there twice, the last counts.)
const SOON: &str = "BatchStartTimeout=2\nMessageTimeout=4\n";

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

/// How often whom.
#[derive(Debug, Default)]
struct Kills {
    agents: u32,
    supervisors: u32,
    controllers: u32,
    jobs: u32,
}

struct Job {
    id: u32,
    code: u64,
}

fn submit(lab: &Lab, random: &mut Random, mark: &str) -> Job {
    let (code, tenths) = (random.below(4) * 3, random.below(15));
    let again = ["--no-requeue", "--requeue"][usize::from(lab.head == Head::Own && code == 0)];
    let script = format!(
        "echo run >>runs-$SLURM_JOB_ID; setsid sleep {mark} &\n\
         sleep {}.{}; echo done >>done-$SLURM_JOB_ID; exit {code}",
        tenths / 10,
        tenths % 10
    );
    Job { id: lab.submit(&format!("{again} -o /dev/null"), &script), code }
}

fn kill_agent(lab: &Lab, agents: &mut [Process; 2], node: usize) {
    signal(i32::try_from(agents[node].0.id()).unwrap(), libc::SIGKILL);
    agents[node].ended();
    agents[node] = lab.agent_alone(Path::new(OURS), NODES[node]);
}

/// Whether there was one.
fn kill_supervisor(lab: &Lab, node: usize) -> bool {
    let found = jobs_in(&lab.path("spool").join(NODES[node]));
    let pid = found.first().and_then(|job| fs::read_to_string(job.join("lock")).ok());
    let Some(pid) = pid.and_then(|text| text.trim().parse().ok()) else { return false };
    signal(pid, libc::SIGKILL);
    true
}

/// Slurm's controller queues a job again whose launch nobody answered, `--no-requeue` or not, and
/// it may have run; then it waits two minutes, which is too long for this.
fn hasten(lab: &Lab, id: u32) {
    let (id, mut hastened) = (id.to_string(), "0".to_owned());
    until("the job does not wait", || {
        let restarts = lab.field(&id, "Restarts");
        let waits = lab.field(&id, "JobState") == "PENDING";
        if waits && restarts != hastened {
            lab.run(&format!("scontrol update jobid={id} StartTime=now+1"));
            hastened = restarts;
        }
        !waits
    });
}

/// What came of a job is what it did. `lost`: a supervisor was killed meanwhile.
fn judge(lab: &Lab, job: &Job, lost: bool, repeat: &str) {
    let Job { id, code } = job;
    let (mut state, mut exit) = (String::new(), String::new());
    until("it is over", || {
        hasten(lab, *id);
        state = lab.field(&id.to_string(), "JobState");
        exit = lab.field(&id.to_string(), "ExitCode");
        !["PENDING", "RUNNING", "COMPLETING"].contains(&state.as_str())
    });
    let runs = fs::read_to_string(lab.path("out").join(format!("runs-{id}")));
    let runs = runs.unwrap_or_default().lines().count();
    let done = lab.path("out").join(format!("done-{id}")).exists();
    let restarts: usize = lab.field(&id.to_string(), "Restarts").parse().unwrap();
    assert!(runs <= 1 + restarts, "job {id} ran {runs} times, {restarts} restarts: {repeat}");
    let good = exit == format!("{code}:0") && done;
    let killed = lost && exit == "0:9";
    // Slurm's controller gives up a job whose launch nobody answered, since the agent was killed.
    let never = runs == 0 && (lost || lab.head == Head::Real);
    assert!(
        good || killed || never,
        "job {id} is {state} {exit}, {runs} runs, done: {done}: {repeat}"
    );
}

fn rounds(mut lab: Lab) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds: u64 = number("STATEDIR_AGENT_ROUNDS").unwrap_or(3);
    let seed: u64 = number("STATEDIR_AGENT_SEED").unwrap_or(20_261_125);
    let mark = format!("{}", 900_000_000 + u64::from(lab.port));
    let supervisors = lab.path("spool").display().to_string();
    let (mut random, mut kills) = (Random(seed | 1), Kills::default());
    let mut agents = lab.ours();
    for round in 0..rounds {
        let repeat =
            format!("round {round}: STATEDIR_AGENT_SEED={seed} STATEDIR_AGENT_ROUNDS={rounds}");
        let jobs: Vec<Job> = (0..6).map(|_| submit(&lab, &mut random, &mark)).collect();
        kills.jobs += 6;
        let mut lost = false;
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(random.below(500)));
            let (node, whom) = (random.below(2) as usize, random.below(4));
            match whom {
                0 => {
                    let killed = kill_supervisor(&lab, node);
                    lost |= killed;
                    kills.supervisors += u32::from(killed);
                }
                1 if lab.head == Head::Own => {
                    lab.kill_controller();
                    kills.controllers += 1;
                    // Others end, or are killed, while there is none.
                    std::thread::sleep(Duration::from_millis(random.below(300)));
                    lab.start_controller();
                }
                _ => {
                    kill_agent(&lab, &mut agents, node);
                    kills.agents += 1;
                }
            }
        }
        jobs.iter().for_each(|job| judge(&lab, job, lost, &repeat));
        until("nothing is left of the jobs", || processes_with(&mark).is_empty());
        NODES.iter().for_each(|node| lab.wait_empty(node));
        until("no supervisor is left", || supervisors_in(&supervisors) == 0);
    }
    eprintln!("{rounds} rounds, seed {seed}, under {:?}: {kills:?}", lab.head);
}

/// Supervisors of jobs in a spool.
fn supervisors_in(spool: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let is = |line: &Vec<u8>| {
        let line = String::from_utf8_lossy(line);
        line.contains("--supervise") && line.contains(spool)
    };
    lines.filter(is).count()
}

#[test]
fn killed_at_random_no_job_runs_twice_and_no_exit_code_is_lost() {
    let test = "killed_at_random_no_job_runs_twice_and_no_exit_code_is_lost";
    let Some(lab) = Lab::new(test, SOON) else { return };
    rounds(lab);
}

#[test]
fn killed_at_random_with_our_controller_each_job_runs_once_and_its_exit_code_is_kept() {
    let test = "killed_at_random_with_our_controller_each_job_runs_once";
    let Some(lab) = Lab::under(Head::Own, test, SOON) else { return };
    rounds(lab);
}
