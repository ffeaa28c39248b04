//! `slurmd`: the agent of a node. It registers what the machine has, starts jobs when a controller
//! says so, ends them when a controller says so, and reports how they ended.
//!
//! | part | what it does |
//! |---|---|
//! | `serve`, `launch`, `ending` | requests of controllers |
//! | `jobs` | what runs here, found again after a restart |
//! | `supervisor`, `task`, `tree` | a process for each job, which outlives the agent |
//! | `spool` | what a job's folder holds, so that nothing depends on memory |
//! | `report`, `controllers` | ends are told until a controller has taken them |
//! | `register`, `machine`, `health` | the node itself |
//!
//! Invariants:
//! - Whoever holds the lock of a job's folder is its supervisor. A process id alone says nothing.
//! - How a job ended is on disk, flushed, before anybody is told; it is removed only after a
//!   controller has taken it.
//! - A job's folder goes only after every process of the job is gone.
//! - Nothing is done for a message whose credential is not SlurmUser's or root's, nor for an older
//!   epoch than the highest that was seen.

mod background;
mod controllers;
mod ending;
mod entry;
mod environment;
mod health;
mod jobs;
mod launch;
mod limits;
mod log;
mod login;
mod machine;
mod orders;
mod past;
mod patterns;
mod permission;
mod program;
mod register;
mod report;
mod scripts;
mod serve;
mod setup;
mod signals;
mod spool;
mod supervisor;
mod task;
mod tree;
mod trim;

pub use entry::run;
pub use tree::groups;
