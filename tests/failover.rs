//! Two controllers over one shared directory, real processes, Slurm's own sbatch and slurmd: one of
//! the two dies, hangs, is stopped or told to hand over in a stream of submissions.
//!
//! *Lost*: an id was told that nobody knows afterwards, or the script under it is another one.
//! *Run twice*: the file that a job itself adds a line to has more than one.
#![cfg(feature = "controller")]

#[path = "controller/agents.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod agents;
#[allow(dead_code, reason = "each test uses its part of the cluster")]
#[path = "controller/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "durable/judge.rs"]
mod judge;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "failover/lab.rs"]
mod lab;
#[path = "programs/mod.rs"]
mod programs;
#[path = "failover/stream.rs"]
mod stream;

use lab::lab;
use rustix::process::Signal;

const FAST: &str = "SlurmctldTimeout=2\nMinJobAge=100000\nMaxJobCount=1000000\n";

#[test]
fn pending_jobs_and_running_ones_live_through_every_way_in_which_a_controller_goes() {
    let test = "pending_jobs_and_running_ones_live_through_every_way_in_which_a_controller_goes";
    let Some(mut lab) = lab(test, FAST) else { return };
    // STATEDIR_FAILOVER_ROUNDS says how often each kind; STATEDIR_FAILOVER_KINDS=KillAll,Stop, only
    // which; STATEDIR_FAILOVER_PENDING, how many jobs wait meanwhile.
    let number = |name: &str, usual: usize| {
        std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
    };
    let rounds = number("STATEDIR_FAILOVER_ROUNDS", 1);
    let only = std::env::var("STATEDIR_FAILOVER_KINDS").ok();
    let wanted = |kind: &stream::Kind| {
        let name = format!("{kind:?}");
        only.as_ref().is_none_or(|only| only.split(',').any(|one| one == name))
    };
    lab.fill(number("STATEDIR_FAILOVER_PENDING", 0));
    let mut kinds = Vec::new();
    for round in 0..rounds {
        // Each round begins at the other one.
        kinds.extend((round > 0).then_some(stream::Kind::Takeover));
        kinds.extend(stream::KINDS);
    }
    kinds.retain(wanted);
    stream::play(&mut lab, &kinds);
}

#[test]
fn the_handbooks_commands_rehearse_a_failover() {
    let test = "the_handbooks_commands_rehearse_a_failover";
    let Some(mut lab) = lab(test, FAST) else { return };
    let configured = lab.run("scontrol show config").stdout;
    let hosts = configured.lines().filter(|line| line.starts_with("SlurmctldHost["));
    assert_eq!(hosts.count(), 2, "{configured}");
    let up = "Slurmctld(primary) at mgmt01 is UP\nSlurmctld(backup) at mgmt02 is UP\n";
    assert_eq!(lab.run("scontrol ping").stdout, up);
    assert_eq!(lab.stop(0), Some(0), "{}", lab.logs());
    assert!(lab.reigns(1), "handed over before it ended: {}", lab.logs());
    let said = lab.run("scontrol ping").stdout;
    assert!(said.contains("at mgmt01 is DOWN\nSlurmctld(backup) at mgmt02 is UP\n"), "{said}");
    assert!(lab.run("sinfo").stdout.contains("n1"));
    let script = lab.dir.join("test.sh");
    std::fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    let id = lab.sbatch(&script).unwrap();
    lab.start(0);
    lab.until_ready(0);
    assert!(lab.reigns(1) && !lab.reigns(0), "it started as a standby");
    assert_eq!(lab.run("scontrol ping").stdout, up);
    assert!(lab.run(&format!("scontrol show job {id}")).stdout.contains("test.sh"));
    lab.signal(1, Signal::KILL);
    lab.wait("the first one is back", || lab.reigns(0));
}

#[test]
fn on_prog_runs_before_serving_off_prog_after_ceding_and_relinquish_is_refused() {
    let test = "on_prog_runs_before_serving_off_prog_after_ceding_and_relinquish_is_refused";
    let programs = "SlurmctldPrimaryOnProg=/bin/true\nSlurmctldPrimaryOffProg=/bin/false\n";
    let Some(mut lab) = lab(test, &format!("{FAST}{programs}")) else { return };
    let on = "SlurmctldPrimaryOnProg=/bin/true: exit status: 0";
    let off = "error: SlurmctldPrimaryOffProg=/bin/false: exit status: 1";
    assert!(lab.log(0).contains(on) && !lab.log(1).contains(on), "{}", lab.logs());
    // Both started as standbys.
    assert!(lab.log(0).contains(off) && lab.log(1).contains(off), "{}", lab.logs());
    lab.mark(0);
    lab.ask_to_take_over(1);
    assert!(lab.reigns(1) && lab.log(1).contains(on), "{}", lab.logs());
    lab.until_ready(0);
    assert_eq!(lab.log(0).matches(off).count(), 2, "after it has ceded: {}", lab.logs());
    assert!(lab.relinquish_is_refused(1) && lab.reigns(1), "{}", lab.logs());
    assert!(lab.log(1).contains("only Slurm's own slurmctld does: refused"), "{}", lab.logs());
    assert_eq!(lab.stop(1), Some(0));
    assert_eq!(lab.log(1).matches(off).count(), 2, "{}", lab.logs());
    assert!(lab.reigns(0), "{}", lab.logs());
}

#[test]
fn shutdown_ends_both_and_hands_to_nobody() {
    let test = "shutdown_ends_both_and_hands_to_nobody";
    let Some(mut lab) = lab(test, FAST) else { return };
    for primary in [0, 1] {
        let said = lab.run("scontrol shutdown slurmctld");
        assert_eq!(said.code, 0, "{said:?}\n{}", lab.logs());
        lab.until_both_end();
        if primary == 0 {
            lab.start(0);
            lab.wait("it reigns again", || lab.reigns(0));
            lab.start(1);
            lab.until_ready(1);
            lab.mark(0);
            lab.ask_to_take_over(1);
            lab.until_ready(0);
        }
    }
    let claims = [0, 1].map(|at| lab.log(at).matches("primary in epoch").count());
    assert_eq!(claims, [2, 1], "{}", lab.logs());
}
