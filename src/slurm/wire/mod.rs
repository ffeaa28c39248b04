//! Slurm's wire protocol: bytes ↔ values, pure and total.
//!
//! - Every message and record is one **table of fields** (`record!`), from which packing
//!   and unpacking both come. A field knows in which protocol versions it exists.
//! - [`message`] is the table of all messages: number, name, body, how long a body may be.
//! - [`frame`] is what surrounds a body: length, header, credential.
//! - [`version`] is the ledger of protocol versions.
//!
//! Invariants:
//! - Whatever the bytes, the outcome is a value or a [`WireError`] that names field and offset.
//! - Nothing is allocated because a length or a count claims it: it must fit what is there.
//! - What a peer asks for and we do not have (a forward list, usage of an unknown plugin) is an
//!   error that says so, never skipped.
//! - A value that was unpacked packs to bytes that unpack to the same value.

mod absent;
mod bits;
pub mod constants;
mod error;
mod fields;
pub mod frame;
pub mod limits;
pub mod message;
mod number;
mod reader;
pub(crate) mod record;
pub mod tables;
mod text;
mod thin;
pub mod version;

pub use absent::{AllocatedGres, CronEntry, JobGres, Maybe, SelectJob, StepGres, Unless};
pub use bits::Bits;
pub use error::{Why, WireError};
pub use fields::{Field, unpack_all};
pub use message::Message;
pub use number::{Scaled, Time, Unset};
pub use reader::{Reader, Writer};
pub use record::{Column, Record};
pub use text::{Blob, SizedBlob, Text};
pub use version::Version;

#[cfg(test)]
mod tests;
