//! Prolog and Epilog, and commands of controllers that others have replaced.

use crate::lab::{Lab, OURS};
use statedir::slurm::auth::To;
use statedir::slurm::link::{self, Times};
use statedir::slurm::wire::constants::{rc, step};
use statedir::slurm::wire::tables::{KillJob, StepId};
use statedir::slurm::wire::{Message, Time, Unset};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn program(lab: &Lab, name: &str, text: &str) {
    let path = lab.path(name);
    std::fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn prolog_and_epilog_run_around_a_job_and_a_prolog_that_fails_holds_it() {
    let test = "prolog_and_epilog_run_around_a_job_and_a_prolog_that_fails_holds_it";
    let Some(lab) = Lab::new(test, "") else { return };
    let dir = lab.path("").display().to_string();
    let dir = dir.trim_end_matches('/');
    lab.write_conf(&format!("Prolog={dir}/prolog\nEpilog={dir}/epilog\n"));
    let note = |what: &str| {
        format!(
            "echo {what} $SLURM_JOB_ID $SLURM_JOB_USER $SLURM_SCRIPT_CONTEXT $SLURMD_NODENAME \
             >>{dir}/out/notes"
        )
    };
    program(&lab, "prolog", &note("prolog"));
    program(&lab, "epilog", &format!("{}; sleep 0.3", note("epilog")));
    let _agent = lab.agent(Path::new(OURS), "n1");
    let user = String::from_utf8(
        crate::cluster::limited::output(std::process::Command::new("id").arg("-un")).stdout,
    );
    let user = user.unwrap().trim().to_owned();
    let job = lab.submit("-w n1 -o /dev/null", "echo job >>notes; exit 3");
    assert_eq!(lab.ended(job), ("FAILED".to_owned(), "3:0".to_owned()));
    let wanted = format!(
        "prolog {job} {user} prolog_slurmd n1\njob\nepilog {job} {user} epilog_slurmd n1\n"
    );
    crate::cluster::until("the epilog has run", || lab.out("notes") == wanted);

    program(&lab, "prolog", "exit 4");
    let job = lab.submit("-w n1 -o p-%j", "echo never");
    lab.wait_state(&job.to_string(), &["PENDING"]);
    crate::cluster::until("the job is held", || {
        lab.field(&job.to_string(), "Reason").contains("held")
            || lab.field(&job.to_string(), "Reason").contains("launch_failed")
    });
    crate::cluster::until("the node is drained", || {
        let said = lab.run("scontrol show node n1");
        said.contains("DRAIN") && said.contains("Reason=Prolog error")
    });
    assert_eq!(lab.out(format!("p-{job}")), "Error running slurm prolog: 4\n");
    lab.wait_empty("n1");
}

#[test]
fn a_controller_that_another_one_has_replaced_ends_no_job() {
    let test = "a_controller_that_another_one_has_replaced_ends_no_job";
    let Some(lab) = Lab::new(test, "") else { return };
    let agent = lab.agent(Path::new(OURS), "n1");
    let job = lab.submit("-w n1 -o /dev/null", "echo >up; sleep 600");
    lab.wait_file("up");
    lab.wait_launched("n1", job);
    let auth = lab.auth();
    let terminate = |epoch: u64, job_id: u32| {
        let step_id = StepId { job_id, step_id: step::NONE, step_het_comp: u32::UNSET };
        let spank_job_env = vec![format!("STATEDIR_EPOCH={epoch}").into()];
        let kill = KillJob {
            step_id,
            nodes: "n1".into(),
            spank_job_env,
            time: Time(1),
            ..KillJob::default()
        };
        let message = Message::TerminateJob(Box::new(kill));
        let address = ("127.0.0.1", lab.agent_ports[0]);
        link::call(&auth, address, &message, To::Anybody, Times::default()).unwrap()
    };
    assert_eq!(terminate(5, 77), Message::code(rc::AGENT_JOB_COMPLETE));
    assert_eq!(terminate(4, job), Message::code(rc::STANDBY));
    drop(agent);
    let _agent = lab.agent(Path::new(OURS), "n1");
    assert_eq!(terminate(4, job), Message::code(rc::STANDBY));
    assert_eq!(lab.field(&job.to_string(), "JobState"), "RUNNING");
    assert_eq!(terminate(6, job), Message::code(rc::OK));
    assert_eq!(lab.ended(job).1, "0:15");
}
