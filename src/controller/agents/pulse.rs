//! When nodes were last heard of, and how they are. Learned anew after each start, never saved.

use crate::slurm::wire::Unset;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// What was last heard of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// When; 0: never.
    pub heard: i64,
    /// Its load, times 100.
    pub cpu_load: u32,
    /// MiB that are free.
    pub free_mem: u64,
}

impl Default for Beat {
    fn default() -> Beat {
        Beat { heard: 0, cpu_load: u32::UNSET, free_mem: u64::UNSET }
    }
}

/// What was last heard of all nodes.
#[derive(Debug, Default)]
pub struct Pulse(RwLock<HashMap<String, Beat>>);

impl Pulse {
    /// What was last heard of a node.
    #[must_use]
    pub fn of(&self, node: &str) -> Beat {
        let beats = self.0.read().unwrap_or_else(PoisonError::into_inner);
        beats.get(node).copied().unwrap_or_default()
    }

    /// It was heard of.
    pub fn heard(&self, node: &str, at: i64) {
        self.change(node, |beat| beat.heard = beat.heard.max(at));
    }

    /// It said how it is.
    pub fn is_loaded(&self, node: &str, cpu_load: u32, free_mem: u64) {
        self.change(node, |beat| (beat.cpu_load, beat.free_mem) = (cpu_load, free_mem));
    }

    fn change(&self, node: &str, change: impl FnOnce(&mut Beat)) {
        let mut beats = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(beats.entry(node.to_owned()).or_default());
    }
}
