//! What leaves a state directory, and what comes back: plain trees, a view for rsync, what differs;
//! and backup and restore: a repository of backups, archives and deltas of them, and the way back.
//!
//! A *repository* is one flat directory. A *backup* is a manifest there, and the files that it
//! names: a snapshot, byte for byte, and *parts*, which hold the groups of the log since, one
//! behind the other without padding. Backups share files by naming the same ones, so that a plain
//! `rsync -a` of a repository stays as small as it is.
//!
//! Invariants, and the tests that would catch a breach:
//! - a backup is there whole or not at all, whenever whatever is killed; what is left of an
//!   unfinished one is never offered (`tests/backup_crash.rs`);
//! - the source is never changed (`tests/backup_crash.rs`);
//! - nothing of a backup is believed before its BLAKE3 digest was compared
//!   (`tests/backup_damage.rs`);
//! - a restored store has a new incarnation, and an epoch above all that the backup knows
//!   (`tests/backup.rs`).

mod archive;
pub mod aside;
mod backup;
mod choose;
mod copy;
pub mod delta;
pub mod diff;
mod error;
mod id;
pub mod keep;
mod manifest;
mod opened;
mod part;
pub mod pin;
mod prune;
pub mod rehearsal;
mod repository;
mod restore;
mod scratch;
pub mod tar;
pub mod tree;
mod verify;

pub use archive::{Reading, read_archive, write_archive};
pub use backup::{Backup, Done, Kind, backup_on};
pub use choose::choose;
pub use copy::Sum;
pub use error::ExportError;
pub use id::BackupId;
pub use manifest::{Base, Manifest, Part, is_tag};
pub use opened::{Opened, range_of};
pub use part::PartHeader;
pub use prune::{Verdict, judge};
pub use repository::{FileKind, Hold, Listed, Repository};
pub use restore::{Restored, in_place, restore_on};
pub use scratch::Scratch;
pub use verify::{Checked, Trouble, verify_backup, verify_repository};
