//! Two controllers over one shared directory, real processes, Slurm's own sbatch and slurmd: one of
//! the two dies, hangs, is stopped or told to hand over in a stream of submissions.
//!
//! *Lost*: an id was told that nobody knows afterwards, or the script under it is another one.
//! *Run twice*: the file that a job itself adds a line to has more than one.
#![cfg(all(feature = "controller", feature = "client"))]

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
    // STATEDIR_FAILOVER_ROUNDS says how often each kind; STATEDIR_FAILOVER_PENDING, how many jobs
    // wait meanwhile.
    let number = |name: &str, usual: usize| {
        std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
    };
    let rounds = number("STATEDIR_FAILOVER_ROUNDS", 4);
    lab.fill(number("STATEDIR_FAILOVER_PENDING", 0));
    stream::play(&mut lab, &stream::plan(rounds));
}

#[test]
fn testing_failover_the_handbooks_commands_slurmctld_host_scontrol_ping_stop_sinfo_sbatch_start() {
    let test = "testing_failover_the_handbooks_commands";
    let Some(mut lab) = lab(test, FAST) else { return };
    let ours = lab::ours_of;
    let configured = lab.run("scontrol show config").stdout;
    let hosts = |said: &str| {
        let lines = said.lines().filter(|line| line.starts_with("SlurmctldHost["));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let both = [
        "SlurmctldHost[0]        = mgmt01(127.0.0.1)",
        "SlurmctldHost[1]        = mgmt02(127.0.0.2)",
    ];
    assert_eq!(hosts(&configured), both, "{configured}");
    assert_eq!(hosts(&lab.run(&ours("scontrol show config")).stdout), both);
    let up = "Slurmctld(primary) at mgmt01 is UP\nSlurmctld(backup) at mgmt02 is UP\n";
    assert_eq!(lab.run("scontrol ping").stdout, up);
    let said = lab.run(&ours("scontrol ping")).stdout;
    assert!(said.starts_with(up) && said.contains("in charge: mgmt01 since "), "{said}");
    assert_eq!(lab.stop(0), Some(0), "{}", lab.logs());
    assert!(lab.reigns(1), "handed over before it ended: {}", lab.logs());
    let said = lab.run("scontrol ping").stdout;
    assert!(said.contains("at mgmt01 is DOWN\nSlurmctld(backup) at mgmt02 is UP\n"), "{said}");
    let said = lab.run(&ours("scontrol ping")).stdout;
    let ceded = "Slurmctld(backup) at mgmt01 is DOWN\nSlurmctld(primary) at mgmt02 is UP\n";
    assert!(said.starts_with(ceded) && said.contains("in charge: mgmt02 since "), "{said}");
    let script = lab.dir.join("test.sh");
    std::fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    let mut ids = Vec::new();
    for program in [str::to_owned, ours as fn(&str) -> String] {
        assert!(lab.run(&program("sinfo")).stdout.contains("n1"));
        let line = format!("sbatch --parsable -o /dev/null {}", script.display());
        let said = lab.run(&program(&line));
        assert_eq!(said.code, 0, "{said:?}");
        ids.push(said.stdout.trim().to_owned());
    }
    lab.start(0);
    lab.until_ready(0);
    assert!(lab.reigns(1) && !lab.reigns(0), "it came back as a standby");
    assert_eq!(lab.run("scontrol ping").stdout, up, "positions, as Slurm prints them");
    let said = lab.run(&ours("scontrol ping")).stdout;
    let back = "Slurmctld(backup) at mgmt01 is UP\nSlurmctld(primary) at mgmt02 is UP\n";
    assert!(said.starts_with(back), "{said}");
    for id in ids {
        for program in ["scontrol".to_owned(), ours("scontrol")] {
            let shown = lab.run(&format!("{program} show job {id}")).stdout;
            assert!(shown.contains("test.sh"), "{shown}");
        }
    }
    lab.signal(1, Signal::KILL);
    lab.wait("the first one is back", || lab.reigns(0));
}

#[test]
fn scontrol_takeover_moves_the_reign_to_whoever_is_named_and_back() {
    let test = "scontrol_takeover_moves_the_reign_to_whoever_is_named_and_back";
    let Some(mut lab) = lab(test, FAST) else { return };
    let ours = lab::ours_of("scontrol takeover");
    let refused = lab.run("scontrol takeover 0");
    assert!(refused.code != 0 && lab.reigns(0), "Slurm's own refuses it: {refused:?}");
    let ways = [
        (ours.clone(), 1),
        (format!("{ours} 0"), 0),
        ("scontrol takeover 1".to_owned(), 1),
        // Who reigns already goes on.
        (format!("{ours} 1"), 1),
        (format!("{ours} 0"), 0),
    ];
    for (line, to) in ways {
        let moves = !lab.reigns(to);
        lab.mark(1 - to);
        let said = lab.run(&line);
        assert_eq!(said.code, 0, "{line}: {said:?}\n{}", lab.logs());
        assert!(lab.reigns(to) && !lab.reigns(1 - to), "{line}\n{}", lab.logs());
        if moves {
            lab.until_ready(1 - to);
        }
    }
    let said = lab.run(&format!("{ours} 2"));
    assert!(said.code != 0 && said.stderr.contains("invalid backup controller index"), "{said:?}");
}

#[test]
fn running_jobs_continue_unaffected_same_pid_and_exit_code_and_nodes_keep_their_state() {
    let test = "running_jobs_continue_unaffected_same_pid_and_exit_code_and_nodes_keep_their_state";
    let Some(mut lab) = lab(test, FAST) else { return };
    let state = |lab: &lab::Lab| lab.run("sinfo -h -N -o %T|%E").stdout.trim().to_owned();
    assert_eq!(state(&lab), "idle|none");
    lab.mark(0);
    assert_eq!(lab.run("scontrol takeover").code, 0);
    assert_eq!(state(&lab), "idle|none", "the first thing that the new one says");
    lab.until_ready(0);
    let script = lab.dir.join("long");
    let text = "#!/bin/sh\necho $$ > pid.$SLURM_JOB_ID\nwhile [ ! -e go ]; do sleep 0.1; done\n\
                echo $$ >> pid.$SLURM_JOB_ID\nexit 7\n";
    std::fs::write(&script, text).unwrap();
    let job = lab.sbatch(&script).unwrap();
    let pids = lab.out().join(format!("pid.{job}"));
    lab.wait("the job runs", || pids.exists());
    assert_eq!(state(&lab), "mixed|none");
    lab.kill(1);
    assert_eq!(state(&lab), "mixed|none", "{}", lab.logs());
    assert!(lab.reigns(0), "{}", lab.logs());
    let shown = lab.run(&format!("scontrol show job {job}")).stdout;
    assert!(shown.contains("JobState=RUNNING") && shown.contains("Restarts=0"), "{shown}");
    assert_eq!(lab.run("scontrol update nodename=n1 state=drain reason=disk").code, 0);
    lab.start(1);
    lab.until_ready(1);
    lab.mark(0);
    assert_eq!(lab.stop(0), Some(0));
    assert_eq!(state(&lab), "draining|disk", "{}", lab.logs());
    std::fs::write(lab.out().join("go"), "").unwrap();
    lab.wait("the job's end is recorded", || {
        let shown = lab.run(&format!("scontrol show job {job}")).stdout;
        shown.contains("JobState=FAILED") && shown.contains("ExitCode=7:0")
    });
    lab.wait("the node is as it was told to be", || state(&lab) == "drained|disk");
    let pids = std::fs::read_to_string(pids).unwrap();
    let pids: Vec<&str> = pids.lines().collect();
    assert!(pids.len() == 2 && pids[0] == pids[1], "one process, once: {pids:?}");
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
fn a_controller_that_was_deposed_stays_in_quarantine_over_restarts_unless_the_new_one_dies() {
    let test =
        "a_controller_that_was_deposed_stays_in_quarantine_over_restarts_unless_the_new_one_dies";
    let Some(mut lab) = lab(test, FAST) else { return };
    let (frozen, said) = (lab.serving(0), "this controller was deposed: it does not claim for ");
    // With its guard, which would end it: so it is silent, and not dead.
    let all = [Some(lab.guard(0)), frozen];
    for (signal, pid) in
        [Signal::STOP, Signal::CONT].into_iter().flat_map(|of| all.map(|pid| (of, pid)))
    {
        if signal == Signal::CONT && pid == all[0] {
            lab.wait("the other one reigns", || lab.reigns(1));
            lab.mark(0);
        }
        rustix::process::kill_process(pid.unwrap(), signal).unwrap();
    }
    lab.wait("it begins anew", || lab.serving(0).is_some_and(|pid| Some(pid) != frozen));
    lab.until_ready(0);
    assert_eq!(lab.log(0).matches(said).count(), 1, "{}", lab.logs());
    lab.stop(0);
    lab.start(0);
    lab.until_ready(0);
    assert_eq!(lab.log(0).matches(said).count(), 2, "{}", lab.logs());
    assert!(lab.reigns(1), "{}", lab.logs());
    lab.kill(1);
    lab.wait("it reigns again", || lab.reigns(0));
    let why = "the primary that deposed this one is silent";
    assert!(lab.log(0).contains(why), "{}", lab.logs());
}

#[test]
fn a_standby_that_meets_the_next_process_of_its_primary_follows_that_reign_and_acts_on_its_death() {
    let test = "a_standby_that_meets_the_next_process_of_its_primary_follows_that_reign";
    // So long that nothing below is done for silence.
    let slow = FAST.replace("SlurmctldTimeout=2", "SlurmctldTimeout=30");
    let Some(mut lab) = lab(test, &slow) else { return };
    let (before, first) = (lab.epoch(), lab.serving(0));
    // It sleeps while the primary's process dies and the guard's next one reigns, and wakes with a
    // connection that has ended and a register that it has seen before.
    let asleep = [lab.guard(1), lab.serving(1).unwrap()];
    let all = |signal| {
        asleep.iter().for_each(|pid| rustix::process::kill_process(*pid, signal).unwrap());
    };
    all(Signal::STOP);
    lab.signal(0, Signal::KILL);
    lab.wait("its next process reigns", || lab.serving(0) != first && lab.reigns(0));
    assert_eq!(lab.epoch(), before + 1, "{}", lab.logs());
    all(Signal::CONT);
    let follows = format!("standby of mgmt01, epoch {}: ready to take over", before + 1);
    lab.wait("it follows that reign", || lab.said_of_being_ready(1).contains(&follows));
    lab.kill(0);
    lab.wait("it reigns", || lab.reigns(1));
    let claims = format!("claims the epoch after {}: the primary's connection ended", before + 1);
    assert!(lab.log(1).contains(&claims), "{}", lab.logs());
    assert!(lab.log(1).contains(" jobs were followed ("), "{}", lab.logs());
}

/// What a controller's `/metrics` says.
fn scrape(port: u16) -> String {
    use std::io::{Read, Write};
    let mut said = String::new();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(180))).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn a_standby_and_a_primary_say_what_they_are_in_metrics_and_in_the_log_what_differs() {
    let test = "a_standby_and_a_primary_say_what_they_are_in_metrics_and_in_the_log_what_differs";
    let Some(mut lab) = lab(test, FAST) else { return };
    // Each has a munged of its own, so slurm.conf names another socket.
    assert!(lab.log(1).contains("mgmt01 has another slurm.conf: both"), "{}", lab.logs());
    let port = cluster::free_port();
    let own = lab.dir.join("mgmt02/statedir.conf");
    std::fs::write(own, format!("MetricsAddress={port}\n")).unwrap();
    assert_eq!(lab.stop(1), Some(0));
    lab.start(1);
    lab.until_ready(1);
    let differs = "has another slurm.conf, another statedir.conf: both";
    lab.wait("both say so", || (0..2).all(|at| lab.log(at).contains(differs)));
    assert!(!lab.logs().contains("another state directory"), "{}", lab.logs());
    let has = |text: &str, lines: &[&str]| {
        for line in lines {
            assert!(text.lines().any(|of| of == *line), "{line}\n{text}\n{}", lab.logs());
        }
    };
    let said = scrape(port);
    has(&said, &["statedir_role{role=\"standby\"} 1", "statedir_register_epoch 2"]);
    has(&said, &["statedir_configurations_that_differ 1"]);
    assert!(!said.contains("statedir_standby_applied_lsn 0") && !said.contains("statedir_jobs{"));
    lab.signal(0, Signal::KILL);
    lab.wait("it takes over", || lab.reigns(1) || lab.reigns(0));
    lab.until_ready(usize::from(lab.reigns(0)));
    if lab.reigns(0) {
        // It was back before the other one had noticed.
        lab.ask_to_take_over(1);
    }
    let said = scrape(port);
    has(&said, &["statedir_role{role=\"primary\"} 1", "statedir_takeovers 1"]);
    assert!(said.contains("statedir_jobs{") && said.contains("statedir_takeover_milliseconds "));
}

#[test]
fn shutdown_ends_both_and_hands_to_nobody() {
    let test = "shutdown_ends_both_and_hands_to_nobody";
    let Some(mut lab) = lab(test, FAST) else { return };
    let ours = lab::ours_of("scontrol shutdown slurmctld");
    for (primary, line) in [(0, ours.as_str()), (1, "scontrol shutdown slurmctld")] {
        let said = lab.run(line);
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

/// The handbook's seven steps of a failover, in their order.
#[test]
fn after_slurmctld_timeout_backup_detects_the_failure_slurmd_redirects_pending_jobs_resume() {
    let test =
        "after_slurmctld_timeout_backup_detects_the_failure_slurmd_redirects_pending_jobs_resume";
    let Some(mut lab) = lab(test, FAST) else { return };
    let script = lab.dir.join("steps");
    let text = "#!/bin/sh\necho $$ > pid.$SLURM_JOB_ID\nwhile [ ! -e go ]; do sleep 0.1; done\n\
                echo $$ >> pid.$SLURM_JOB_ID\n";
    std::fs::write(&script, text).unwrap();
    let out = lab.out();
    let pids = |job: u32| std::fs::read_to_string(out.join(format!("pid.{job}"))).unwrap();
    let runs = lab.sbatch(&script).unwrap();
    let began = out.join(format!("pid.{runs}"));
    lab.wait("the first job runs", || began.exists());
    let pid = pids(runs);
    let after = format!("--dependency=afterok:{runs}");
    let waits = lab.beside().sbatch_with(&script, &[&after]).unwrap();
    let slurmd = lab.slurmd.as_ref().map(agents::Slurmd::pid);
    // The primary stops responding: all of it is frozen, so that nobody can tell a death.
    let frozen = [Some(lab.guard(0)), lab.serving(0)].map(Option::unwrap);
    for pid in frozen {
        rustix::process::kill_process(pid, Signal::STOP).unwrap();
    }
    lab.wait("the backup becomes the active controller", || lab.reigns(1));
    let log = lab.log(1);
    assert!(log.contains("the primary is silent"), "{log}");
    lab.kill(0);
    let shown = |job: u32| lab.run(&format!("scontrol show job {job}")).stdout;
    // It has read the latest state.
    assert!(shown(runs).contains("JobState=RUNNING"), "{}", shown(runs));
    assert!(shown(waits).contains("JobState=PENDING Reason=Dependency"), "{}", shown(waits));
    // The same slurmd tells the backup how the first job ends, and is told to start the second.
    std::fs::write(out.join("go"), "").unwrap();
    for job in [runs, waits] {
        lab.wait("the job has ended", || shown(job).contains("JobState=COMPLETED"));
        let pids = pids(job);
        let pids: Vec<&str> = pids.lines().collect();
        assert!(pids.len() == 2 && pids[0] == pids[1], "once, undisturbed: {pids:?}");
    }
    assert!(pids(runs).starts_with(&pid), "the process that ran before");
    assert_eq!(lab.slurmd.as_ref().map(agents::Slurmd::pid), slurmd, "nobody started it anew");
}
