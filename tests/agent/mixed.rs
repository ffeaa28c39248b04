//! A cluster of one real and one own slurmd, under Slurm's own controller and under ours, asked by
//! real clients and by ours: whoever talks to whom, jobs run, are shown and end alike.

use crate::cluster::until;
use crate::lab::{Hands, Lab, OURS};
use crate::programs;
use std::path::Path;

fn pair(state: &str, code: &str) -> (String, String) {
    (state.to_owned(), code.to_owned())
}

/// What both clients say, which is the same.
fn said(lab: &Lab, line: &str) -> String {
    let (mut real, mut own) = (String::new(), "?".to_owned());
    // A clock that is shown may tick between the two, and what is asked about may end.
    until(line, || {
        real = lab.run_by(Hands::Real, line);
        own = lab.run_by(Hands::Own, line);
        real == own
    });
    own
}

#[test]
fn a_cluster_of_a_real_and_an_own_agent_runs_jobs_on_both_for_all_clients() {
    let test = "a_cluster_of_a_real_and_an_own_agent_runs_jobs_on_both_for_all_clients";
    let Some(slurmd) = programs::find("slurmd", test) else { return };
    for lab in Lab::both(test, "") {
        let head = lab.head;
        let _real = lab.agent(&slurmd, "n1");
        let _own = lab.agent(Path::new(OURS), "n2");
        assert!(said(&lab, "sinfo").contains("    2   idle n[1-2]"), "{head:?}");
        for (hands, other) in [(Hands::Real, Hands::Own), (Hands::Own, Hands::Real)] {
            let submit = |options: &str, script: &str| {
                let options = format!("-o %j.%x {options}");
                lab.submit_by(hands, &options, script)
            };
            let each = ["n1", "n2"].map(|node| {
                let script = "echo $SLURMD_NODENAME $SLURM_JOB_NODELIST $0; exit 3";
                (node, submit(&format!("-w {node} -J one"), script))
            });
            // On both nodes at once, with each of them as the one that runs the script.
            let wide = submit("-N2 -J wide", "echo $SLURM_JOB_NODELIST; exit 4");
            // One process: of several a real slurmd may signal the script last, which then ends by
            // itself with 143.
            let long = ["n1", "n2"].map(|node| {
                (node, submit(&format!("-w {node} -J long"), "echo up; exec sleep 600"))
            });
            for (node, job) in each {
                assert_eq!(lab.ended(job), pair("FAILED", "3:0"), "{head:?} {hands:?} {node}");
                let wrote = lab.out(format!("{job}.one"));
                assert!(wrote.starts_with(&format!("{node} {node} ")), "{wrote}");
                assert!(wrote.trim_end().ends_with("/slurm_script"), "{wrote}");
                assert_eq!(lab.field(&job.to_string(), "BatchHost"), node);
            }
            assert_eq!(lab.ended(wide), pair("FAILED", "4:0"), "{head:?} {hands:?}");
            assert_eq!(lab.out(format!("{wide}.wide")), "n[1-2]\n");
            for (node, job) in long {
                assert_eq!(lab.wait_file(&format!("{job}.long")), "up", "{node}");
                assert_eq!(lab.field(&job.to_string(), "JobState"), "RUNNING");
            }
            assert!(said(&lab, "squeue").contains("long"));
            assert!(said(&lab, "sinfo -N -l").contains("mixed"));
            for (node, job) in long {
                let shown = said(&lab, &format!("scontrol show job {job}"));
                assert!(shown.contains(&format!("BatchHost={node}\n")), "{shown}");
                // Whoever did not submit it, cancels it.
                assert_eq!(lab.run_by(other, &format!("scancel {job}")), "");
                assert_eq!(lab.ended(job), pair("CANCELLED", "0:15"), "{head:?} {node}");
                let wrote = lab.out(format!("{job}.long"));
                assert!(wrote.contains(&format!("*** JOB {job} ON {node} CANCELLED AT ")));
            }
            until("both are idle", || said(&lab, "sinfo").contains("    2   idle n[1-2]"));
            lab.wait_empty("n2");
        }
        for node in ["n1", "n2"] {
            let shown = said(&lab, &format!("scontrol show node {node}"));
            assert!(shown.contains("State=IDLE ") && !shown.contains("Reason="), "{shown}");
        }
    }
}

/// The one drains, the other goes on; a job that is requeued moves from a real agent to ours, and
/// one that has to wait for it follows.
#[test]
fn a_job_moves_from_a_real_agent_to_ours_and_back() {
    let test = "a_job_moves_from_a_real_agent_to_ours_and_back";
    let Some(slurmd) = programs::find("slurmd", test) else { return };
    for lab in Lab::both(test, "") {
        let _real = lab.agent(&slurmd, "n1");
        let _own = lab.agent(Path::new(OURS), "n2");
        for (from, to) in [("n1", "n2"), ("n2", "n1")] {
            let script = "echo $SLURMD_NODENAME $SLURM_RESTART_COUNT\n\
                          [ \"$SLURM_RESTART_COUNT\" = 1 ] && exit 0; sleep 600";
            lab.run(&format!("scontrol update nodename={to} state=drain reason=test"));
            let job = lab.submit("--requeue --open-mode=append -o m-%j", script);
            let next = lab.submit(&format!("-d afterok:{job} -w {from} -o n-%j"), "echo then");
            assert_eq!(lab.wait_file(&format!("m-{job}")).trim(), from);
            lab.run(&format!("scontrol update nodename={to} state=resume"));
            lab.run(&format!("scontrol update nodename={from} state=drain reason=test"));
            assert_eq!(lab.run(&format!("scontrol requeue {job}")), "");
            lab.wait_state(&job.to_string(), &["PENDING"]);
            // In a later second than its end, see the test of requeue.
            assert_eq!(lab.run(&format!("scontrol update jobid={job} StartTime=now+1")), "");
            assert_eq!(lab.ended(job), pair("COMPLETED", "0:0"), "{:?} {from}", lab.head);
            let said = lab.out(format!("m-{job}"));
            let runs: Vec<&str> = said.lines().filter(|line| line.starts_with('n')).collect();
            assert_eq!(runs, [format!("{from} ").trim(), &format!("{to} 1")], "{said}");
            lab.run(&format!("scontrol update nodename={from} state=resume"));
            assert_eq!(lab.ended(next), pair("COMPLETED", "0:0"));
            assert_eq!(lab.out(format!("n-{next}")), "then\n");
        }
    }
}
