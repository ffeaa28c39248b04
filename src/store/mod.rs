//! The engine that an embedder sees.
//!
//! A [`Store`] writes one directory: [`Store::save`] returns when the batch is durable, many
//! threads share one flush. A [`Reader`] looks at a directory that anybody may be writing. Both
//! give [`View`]s: the whole state at one LSN, which later saves do not change.
//!
//! Invariants, and the tests that would catch a breach:
//! - what was acknowledged is there after any crash, batches are whole, nothing is invented
//!   (`tests/crash.rs`);
//! - damage is refused or repaired from a second copy, never passed on in silence
//!   (`tests/damage.rs`);
//! - a live copy in name order is a valid store (`tests/rsync.rs`);
//! - two processes never write one directory (`tests/store.rs`).

mod begin;
mod beyond;
mod changes;
mod checkpoint;
mod commit;
mod control;
mod create;
pub mod decision;
pub mod directory;
mod doubt;
mod error;
mod extract;
mod follow;
mod history;
mod inner;
mod keeper;
pub mod lineage;
mod merge;
mod open;
mod options;
mod orphans;
mod pin;
mod reader;
pub mod recovery;
pub mod repair;
mod replay;
pub mod replica;
mod retention;
mod round;
mod runs;
mod share;
mod slice;
mod standby;
mod state;
pub mod tags;
pub mod thin;
mod throttle;
mod usage;
mod verify;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use crate::log::Position;
pub use begin::{Beginning, begin_on};
pub use checkpoint::CheckpointError;
pub use error::{Damage, Evidence, Found, OpenError, Poison, ReadError, Refusal, SaveError};
pub use extract::{Extract, Extracted};
pub use follow::{Follower, Saved};
pub use history::{At, History};
pub use merge::{Entry, Scan};
pub use open::lock_directory as lock_on;
pub use options::{Clock, Options};
pub use orphans::{Orphan, orphaned_on, orphans_on, sealed_on};
pub use pin::Pins;
pub use reader::{Reader, is_shared, writer_lives};
pub use recovery::Report;
pub use replay::{Replay, ReplayError};
pub use retention::Deleted;
pub use round::Ticket;
pub use share::share_on;
pub use standby::{News, Promoted, Standby};
pub use state::View;
pub use usage::{FileUsage, Growth, TableUsage, Usage, usage, usage_on};
pub use verify::{Finding, Level, Verified, verify, verify_on, verify_watched};
pub use writer::{CloseError, Progress, Store};
