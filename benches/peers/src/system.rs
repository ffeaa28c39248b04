//! What every system under measurement is to the workloads: one small trait, and a table.
//!
//! Invariant: `save` returns only when its puts are durable, all of them or none after a crash.
//! Adding a system is one file in `systems/` and one line in its table.

use std::error::Error;
use std::path::Path;

/// Whatever a system reports when it fails; a benchmark only prints it and stops.
pub type Fault = Box<dyn Error + Send + Sync>;

pub use crate::data::{KEY, VALUE};

/// One put.
#[derive(Clone, Copy)]
pub struct Put<'a> {
    pub key: [u8; KEY],
    pub value: &'a [u8],
}

/// Receives every pair of a loaded system: key, then value.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]);

/// An open system. Dropping it closes it.
pub trait System: Send + Sync {
    /// Puts all of `puts` as one atomic save, and returns when it is durable.
    fn save(&self, puts: &[Put<'_>]) -> Result<(), Fault>;

    /// Visits every live pair, in any order.
    fn load(&self, visit: Visit<'_>) -> Result<(), Fault>;
}

/// Opens a system in a directory that is empty or holds its own data.
pub type Open = fn(&Path, Expect) -> Result<Box<dyn System>, Fault>;

/// What is known beforehand about the run a system is opened for.
#[derive(Clone, Copy)]
pub struct Expect {
    /// Bytes the bare logs prewrite; systems with fixed maps size them generously from it.
    pub log_bytes: u64,
}

/// An entry of the table of systems.
#[derive(Clone, Copy)]
pub struct Entry {
    pub name: &'static str,
    pub open: Open,
    /// Whether it gives back the space of overwritten values; a bare log never does.
    pub reclaims: bool,
}
