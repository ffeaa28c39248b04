//! Our controller with agents of ours, as on a busy day: dependencies, limits, and a thousand jobs.

use crate::cluster::until_none;
use crate::lab::{Hands, Head, Lab};
use std::collections::BTreeSet;

fn pair(state: &str, code: &str) -> (String, String) {
    (state.to_owned(), code.to_owned())
}

#[test]
fn jobs_that_depend_on_others_run_after_them_or_never() {
    for lab in Lab::both("jobs_that_depend_on_others_run_after_them_or_never", "") {
        let _agents = lab.ours();
        let first = "while [ ! -e go ]; do sleep 0.05; done; echo first >>order; exit 3";
        let first = lab.submit("-o /dev/null", first);
        let array = "while [ ! -e go ]; do sleep 0.05; done; echo $SLURM_ARRAY_TASK_ID >>tasks";
        let array = lab.submit("--array=1-4%2 -o /dev/null", array);
        let after = |what: &str| lab.submit(&format!("-d {what} -o /dev/null"), "echo x >>order");
        let (not_ok, any) = (after(&format!("afternotok:{first}")), format!("afterany:{first}"));
        let any = lab.submit(&format!("-d {any} -o /dev/null"), "echo second >>order");
        let never = after(&format!("afterok:{first} --kill-on-invalid-dep=yes"));
        let all = lab.submit(&format!("-d afterok:{array} -o /dev/null"), "sort tasks >sorted");
        for job in [not_ok, any, never, all] {
            assert_eq!(lab.field(&job.to_string(), "Reason"), "Dependency");
        }
        std::fs::write(lab.path("out/go"), "").unwrap();
        assert_eq!(lab.ended(first), pair("FAILED", "3:0"));
        assert_eq!(lab.ended(not_ok), pair("COMPLETED", "0:0"));
        assert_eq!(lab.ended(any), pair("COMPLETED", "0:0"));
        assert_eq!(lab.ended(never).0, "CANCELLED");
        assert_eq!(lab.ended(all), pair("COMPLETED", "0:0"));
        assert_eq!(lab.out("sorted"), "1\n2\n3\n4\n");
        let order = lab.out("order");
        assert_eq!(order.lines().next(), Some("first"), "{order}");
        assert_eq!(order.lines().count(), 3, "{order}");
    }
}

/// A limit that is over is a limit that is over: `EndTime` brings it near. The job gets SIGTERM,
/// KillWait (5 s) later SIGKILL, with all that it started.
#[test]
fn a_job_at_its_limit_gets_sigterm_and_after_killwait_sigkill() {
    let test = "a_job_at_its_limit_gets_sigterm_and_after_killwait_sigkill";
    let Some(lab) = Lab::under(Head::Own, test, "") else { return };
    let _agents = lab.ours();
    let obeys = "trap 'echo term; exit 9' TERM; echo up; while :; do sleep 0.1; done";
    let ignores = "trap 'echo term' TERM; echo up; (trap '' TERM; exec sleep 600) &\n\
                   while :; do sleep 0.1; done";
    let jobs = [obeys, ignores].map(|script| lab.submit("-t 5 -o l-%j", script));
    for job in jobs {
        assert_eq!(lab.wait_file(&format!("l-{job}")), "up");
        assert_eq!(lab.run(&format!("scontrol update jobid={job} EndTime=now")), "");
    }
    for job in jobs {
        assert_eq!(lab.ended(job).0, "TIMEOUT");
        let said = lab.out(format!("l-{job}"));
        assert_eq!(said.matches("DUE TO TIME LIMIT ***\n").count(), 1, "{said}");
        assert_eq!(said.matches("term\n").count(), 1, "{said}");
    }
    // Slurm keeps 0:15 or what the script made of it; the one that SIGKILL ended says so.
    assert_eq!(lab.field(&jobs[1].to_string(), "ExitCode"), "0:9");
    lab.wait_empty("n1");
    lab.wait_empty("n2");
}

/// Half of them one by one, by clients of ours, half as tasks of arrays. `STATEDIR_JOBS` says how
/// many.
#[test]
fn a_thousand_jobs_through_two_agents_run_once_each_and_every_output_is_right() {
    let test = "a_thousand_jobs_through_two_agents_run_once_each_and_every_output_is_right";
    let Some(lab) = Lab::under(Head::Own, test, "") else { return };
    let count: usize =
        std::env::var("STATEDIR_JOBS").ok().map_or(1_000, |count| count.parse().unwrap());
    let _agents = lab.ours();
    let script = "echo $SLURM_JOB_ID done; echo $SLURM_JOB_ID >>all";
    let alone: Vec<u32> =
        (0..count / 2).map(|_| lab.submit_by(Hands::Own, "-o o-%j", script)).collect();
    let task = "echo $SLURM_ARRAY_JOB_ID $SLURM_ARRAY_TASK_ID; echo $SLURM_JOB_ID >>all";
    let tasks = count.div_ceil(2).div_ceil(5);
    let arrays: Vec<u32> = (0..5)
        .map(|_| lab.submit_by(Hands::Own, &format!("--array=1-{tasks} -o a-%A-%a"), task))
        .collect();
    until_none("all are over", || Some(lab.run_by(Hands::Own, "squeue -h -r").lines().count()));
    for job in &alone {
        assert_eq!(lab.out(format!("o-{job}")), format!("{job} done\n"));
    }
    for array in &arrays {
        for task in 1..=tasks {
            assert_eq!(lab.out(format!("a-{array}-{task}")), format!("{array} {task}\n"));
        }
    }
    let all = lab.out("all");
    let distinct: BTreeSet<&str> = all.lines().collect();
    assert_eq!(all.lines().count(), count / 2 + 5 * tasks, "each of them ran");
    assert_eq!(distinct.len(), all.lines().count(), "and once");
    lab.wait_empty("n1");
    lab.wait_empty("n2");
    assert!(lab.run("sinfo").contains("    2   idle n[1-2]"));
}
