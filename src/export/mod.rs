//! What leaves a state directory, and what comes back: plain trees, backups, comparisons.
//!
//! Invariant: the source is only read. What is written is there whole or not at all.

pub mod keep;
