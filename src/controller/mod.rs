//! The controller: what the cluster is, in the store, and the server around it.
//!
//! - [`core`] decides: `apply(command) → (changes, reply, effects)`, pure.
//! - `inform` and `config` say what is: pure.
//! - `pipeline` runs commands and saves them; `flow` puts them off while saves do not get through.
//! - [`service`] is the place of all: a change is durable in the store before its reply leaves.
//! - [`server`] reads requests and writes replies.
//! - [`home`] opens the store, or says why not.
//! - `vital` begins threads and tasks; a panic of one that is needed ends the process.
//!
//! Invariants:
//! - A reply that reports a change leaves after the change is durable; information shows durable
//!   state only.
//! - State rebuilt from the store equals the state in memory, after every command.
//! - Who asks is what the credential says. Nothing is done for somebody who may not.
//! - Every request gets a reply at once, if only a refusal with Slurm's own code.

pub mod agents;
mod busy;
mod config;
pub mod core;
pub mod daemon;
pub mod entry;
mod flow;
mod heap;
pub mod home;
mod inform;
pub mod job;
mod known_users;
pub mod loading;
pub mod log;
pub mod memory;
mod metrics;
pub mod node;
mod own_thread;
mod pair;
pub mod pipeline;
pub mod sched;
pub mod server;
pub mod service;
pub mod state;
mod users;
mod vital;
