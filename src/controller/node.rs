//! What is known of a node beyond slurm.conf: one entry of the table `nodes`, keyed by its name.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | form, 1 |
//! | 1 | … | the record [`NodeRecord`], packed as in Slurm's protocol 22.05 |
//!
//! What changes every few seconds (load, free memory, when the node was last heard) is not here: it
//! is learned anew from the node itself.
//!
//! Invariant: any bytes are a record or an error; a record's bytes are read as the same record.

use crate::controller::entry::{self, EntryError};
use crate::slurm::wire::record::record;
use crate::slurm::wire::{Text, Time};

/// The table.
pub const TABLE: &str = "nodes";

record! {
    /// What is known of a node. `state` is UNKNOWN, DOWN, IDLE (in service) or FUTURE, and flags;
    /// what jobs make of it (ALLOCATED, MIXED, COMPLETING) is derived. What the node registered
    /// with last is in the fields from `boot_time` on; zeros: it never did. Features are
    /// slurm.conf's unless they are set here; the weight, too: one more than it is, 0 for none.
    NodeRecord {
        state: u32;
        reason: Text;
        reason_uid: u32;
        reason_time: Time;
        comment: Text;
        extra: Text;
        features: Text;
        features_act: Text;
        weight: u32;
        boot_time: Time;
        slurmd_start_time: Time;
        registered: Time;
        arch: Text;
        os: Text;
        version: Text;
        cpus: u16;
        boards: u16;
        sockets: u16;
        cores: u16;
        threads: u16;
        real_memory: u64;
        tmp_disk: u32;
    }
}

impl NodeRecord {
    /// The entry's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        entry::encode(self)
    }

    /// The record in an entry.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn decode(bytes: &[u8]) -> Result<NodeRecord, EntryError> {
        entry::decode(bytes)
    }
}
