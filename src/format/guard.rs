//! Two files that a controller puts beside its store, at which Slurm's own slurmctld ends before it
//! changes anything: started there it would find nothing that it knows, begin an empty cluster, and
//! have every agent kill its jobs.
//!
//! | file | stops it |
//! |---|---|
//! | `clustername` | at once, whatever flags it was started with: no cluster can be called so |
//! | `job_state` | where somebody removed the other, unless it was started with `-i` |
//!
//! Invariants: they are no part of the store, which never looks at them; Slurm's own files of these
//! names are told from them by their bytes; they say what they are for.

/// The files.
pub const NAMES: [&str; 2] = ["clustername", "job_state"];

/// What is in each. Slurm's slurmctld reads the first line of one as the name of a cluster, and the
/// first four bytes of the other as a length, which no text is.
pub const TEXT: &str =
    "a store of statedir, not of Slurm's own slurmctld: keep it away from here\n";

/// Whether these are the bytes of such a file; one that a crash cut short counts as well.
#[must_use]
pub fn is_ours(bytes: &[u8]) -> bool {
    TEXT.as_bytes().starts_with(bytes)
}
