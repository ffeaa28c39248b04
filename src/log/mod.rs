//! The log: segments of commit groups. [`Groups`] reads one segment, [`Appender`] extends the log,
//! [`prepare`] makes segments ready beforehand.
//!
//! Invariants:
//! - A block that held a flushed group is never written again, and no file ever gets shorter: a
//!   copier that reads while groups arrive never loses a byte under its hands.
//! - Groups are written one after the other: a group is written only after its predecessor is
//!   flushed, so a good group proves that everything before it was durable.

mod appender;
mod buffers;
mod groups;
mod pace;
mod payload;
mod prepare;
mod proofs;

pub use appender::{AppendError, Appender, Flushed, HashJob, Job, Position};
pub use buffers::Buffers;
pub use groups::{Groups, Stop};
pub use pace::Pace;
pub use payload::{Payload, Written};
pub use prepare::{Prepared, prepare};
pub use proofs::{Proof, Proofs};
