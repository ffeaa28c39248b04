//! Snapshots: the whole state at one LSN in one file that never changes once it is published.
//!
//! [`Builder`] streams entries into a file under its final name, whose first block stays zeros;
//! [`Unpublished::publish`] writes the header last. [`Snapshot`] is such a file, mapped.
//!
//! Invariants:
//! * a file with a header is whole: everything else was flushed before the header was written;
//! * no byte of a record is interpreted, let alone handed out, before the checksum of its chunk
//!   was compared; and even then no length is believed beyond the end of its table;
//! * no content of a file makes anything here panic.

mod builder;
mod deep;
mod error;
mod index;
mod reader;
mod scan;
#[cfg(test)]
mod tests;
mod verify;

pub use builder::{Builder, Plan, Unpublished};
pub use error::SnapshotError;
pub use reader::Snapshot;
pub use scan::Scan;
