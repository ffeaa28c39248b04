//! What a Slurm cluster speaks: its configuration files, its lists of hosts, its wire protocol and
//! its credentials. Knows no controller: pure functions on bytes and text, keys from files, and
//! what its daemons have in common as processes.
//!
//! Facts about the protocol are in `docs/slurm-protocol.md`, byte by byte.

pub mod auth;
pub mod background;
pub mod conf;
pub mod hostlist;
pub mod link;
pub mod reign;
pub mod wire;
