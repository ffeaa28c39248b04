//! The state at one LSN: the newest snapshot, and over it what changed since.
//!
//! Invariants: a [`View`] never changes, and costs no copy (runs of changes and the snapshot are
//! shared). Values are held as slices of the groups that brought them.

use crate::base::{Lsn, Nanos};
use crate::snapshot::{Snapshot, SnapshotError};
use crate::store::changes::Changes;
use crate::store::merge::Scan;
use std::fmt;
use std::sync::Arc;

/// The whole state at one LSN. Cheap to clone; later saves do not show.
#[derive(Clone, Default)]
pub struct View {
    pub(crate) base: Option<Arc<Snapshot>>,
    /// Changes that a snapshot in the making will hold.
    pub(crate) frozen: Changes,
    pub(crate) active: Changes,
    pub(crate) lsn: Lsn,
    pub(crate) time: Nanos,
}

impl View {
    /// The state's LSN.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// When its last group was saved.
    #[must_use]
    pub fn time(&self) -> Nanos {
        self.time
    }

    /// The value of `key` in `table`, borrowed.
    ///
    /// # Errors
    /// [`SnapshotError`] where the disk no longer gives what it held.
    pub fn get(&self, table: &str, key: &[u8]) -> Result<Option<&[u8]>, SnapshotError> {
        for changes in [&self.active, &self.frozen] {
            if let Some(value) = changes.get(table, key) {
                return Ok(value.as_deref());
            }
        }
        self.base.as_ref().map_or(Ok(None), |base| base.get(table, key))
    }

    /// The entries of `table` whose keys start with `prefix`, in bytewise order of keys.
    #[must_use]
    pub fn scan<'a>(&'a self, table: &'a str, prefix: &'a [u8]) -> Scan<'a> {
        Scan::new(self, table, prefix)
    }

    /// The names of the tables that hold at least one entry, in bytewise order.
    ///
    /// # Errors
    /// As [`View::get`].
    pub fn tables(&self) -> Result<Vec<&str>, SnapshotError> {
        let mut found = Vec::new();
        for name in self.table_names() {
            if self.scan(name, b"").next().transpose()?.is_some() {
                found.push(name);
            }
        }
        Ok(found)
    }

    /// The names of all tables that hold entries, or held some since the snapshot.
    pub(crate) fn table_names(&self) -> Vec<&str> {
        let base = self.base.iter().flat_map(|base| base.tables().map(|table| table.name.as_str()));
        let mut names: Vec<&str> =
            base.chain(self.frozen.tables()).chain(self.active.tables()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Hands every entry to `each`: tables in bytewise order, keys too.
    ///
    /// # Errors
    /// As [`View::get`], or what `each` returns.
    pub fn for_each<E: From<SnapshotError>>(
        &self,
        mut each: impl FnMut(&str, &[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for table in self.table_names() {
            for entry in self.scan(table, b"") {
                let (key, value) = entry?;
                each(table, key, value)?;
            }
        }
        Ok(())
    }

    /// Bytes that are held in memory for changes.
    #[must_use]
    pub fn change_bytes(&self) -> u64 {
        self.active.bytes() + self.frozen.bytes()
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.base.as_ref().map(|base| base.name().to_owned());
        f.debug_struct("View").field("lsn", &self.lsn).field("base", &base).finish_non_exhaustive()
    }
}
