//! Our slurmd under Slurm's own slurmctld, which is the judge, and under ours: jobs as users run
//! them, by real clients and by ours; the agent, its supervisors and the controller killed at any
//! time.
#![cfg(all(feature = "agent", feature = "client", feature = "controller"))]

#[path = "controller/cluster.rs"]
#[allow(dead_code, reason = "the controller's tests use the rest")]
mod cluster;
#[path = "agent/crashes.rs"]
mod crashes;
#[path = "agent/daemon.rs"]
mod daemon;
#[path = "agent/health.rs"]
mod health;
#[path = "agent/jobs.rs"]
mod jobs;
#[path = "agent/lab.rs"]
mod lab;
#[path = "agent/mixed.rs"]
mod mixed;
#[path = "programs/mod.rs"]
mod programs;
#[path = "agent/rounds.rs"]
mod rounds;
#[path = "agent/scripts.rs"]
mod scripts;
#[path = "agent/workday.rs"]
mod workday;
