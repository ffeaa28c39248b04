//! statedir keeps the state of a cluster controller: named tables of key → value bytes, saved in
//! atomic batches that are durable before they are acknowledged.
//!
//! There is one log of commit groups, and one [`Authority`] that says who may
//! extend it. Start at [`Store`]: [`Store::create`], [`Store::open`], [`Store::save`],
//! [`Store::load`]. Processes that only look use [`Reader`].
//!
//! Linux only.

pub mod base;
pub mod disk;
pub mod export;
pub mod format;
pub mod log;
pub mod role;
pub mod snapshot;
pub mod store;

#[cfg(feature = "agent")]
pub mod agent;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "controller")]
pub mod controller;
#[cfg(feature = "cli")]
pub mod ctl;
#[cfg(feature = "drill")]
pub mod drill;
#[cfg(feature = "slurm")]
pub mod slurm;

pub use base::{Authority, Epoch, Lsn};
pub use format::Batch;
pub use store::{Options, Reader, Store, View};
