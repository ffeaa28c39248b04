//! The state at one LSN: the newest snapshot, and over it what changed since.
//!
//! Invariants: a [`View`] never changes, and costs no copy (the changes are persistent maps, the
//! snapshot is shared). Values are held as slices of the groups that brought them.

use crate::base::{Lsn, Nanos};
use crate::format::{Op, Ops};
use crate::log::Payload;
use crate::snapshot::{Snapshot, SnapshotError};
use crate::store::merge::Scan;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A value in the saves that brought it.
#[derive(Clone)]
pub struct Slice {
    holder: Arc<Payload>,
    start: u32,
    len: u32,
}

impl Slice {
    /// `part` of `holder`.
    fn of(holder: &Arc<Payload>, part: &[u8]) -> Slice {
        let start = part.as_ptr() as usize - holder.as_ptr() as usize;
        assert!(start + part.len() <= holder.len(), "a slice of its own group");
        let start = u32::try_from(start).expect("bounded by PAYLOAD_MAX");
        Slice { holder: Arc::clone(holder), start, len: part.len() as u32 }
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.holder[self.start as usize..][..self.len as usize]
    }
}

/// Bytes of a key that stand in the map's own nodes: a search then touches no other memory. What
/// fits beside a length where a [`Slice`] would stand.
const SHORT: usize = 22;

/// A key.
#[derive(Clone)]
pub enum Key {
    /// Up to [`SHORT`] bytes.
    Short(u8, [u8; SHORT]),
    /// A longer one.
    Long(Slice),
}

const _: () = assert!(size_of::<Key>() == 24);

impl Key {
    fn of(holder: &Arc<Payload>, key: &[u8]) -> Key {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..key.len()) {
            Some(short) => {
                short.copy_from_slice(key);
                Key::Short(key.len() as u8, bytes)
            }
            None => Key::Long(Slice::of(holder, key)),
        }
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Key::Short(len, bytes) => &bytes[..*len as usize],
            Key::Long(slice) => slice,
        }
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        **self == **other
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.escape_ascii().fmt(f)
    }
}

/// What changed in one table: a value, or that the key is gone.
pub type TableChanges = imbl::OrdMap<Key, Option<Slice>>;

/// What changed since a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    tables: imbl::OrdMap<Arc<str>, TableChanges>,
    /// Bytes of the groups in here, whether still needed or not.
    bytes: u64,
}

impl Changes {
    /// Applies the encoded saves of a group.
    ///
    /// # Panics
    /// If these are none: saves are checked where they enter.
    pub fn apply(&mut self, group: &Arc<Payload>) {
        self.bytes += group.len() as u64;
        let mut rest = &***group;
        while !rest.is_empty() {
            let (ops, after) = Ops::split(rest).expect("an encoded save");
            self.apply_ops(group, ops);
            rest = after;
        }
    }

    /// Applies the ops of one save that stands somewhere in `holder`.
    pub fn apply_ops(&mut self, holder: &Arc<Payload>, ops: Ops<'_>) {
        for op in ops {
            let (table, key, value) = match op.expect("checked where it entered") {
                Op::Put { table, key, value } => (table, key, Some(value)),
                Op::Delete { table, key } => (table, key, None),
            };
            let key = Key::of(holder, key);
            let value = value.map(|value| Slice::of(holder, value));
            if let Some(changes) = self.tables.get_mut(table) {
                changes.insert(key, value);
            } else {
                self.tables.insert(table.into(), imbl::OrdMap::unit(key, value));
            }
        }
    }

    /// Counts bytes of saves that were applied by their ops.
    pub fn count_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Puts what changed later on top.
    pub fn absorb(&mut self, later: &Changes) {
        self.bytes += later.bytes;
        for (table, changes) in &later.tables {
            let under = self.tables.entry(Arc::clone(table)).or_default();
            for (key, value) in changes {
                under.insert(key.clone(), value.clone());
            }
        }
    }

    /// Bytes of the groups in here.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The tables that changed.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(|name| &**name)
    }

    /// What changed in `table`.
    #[must_use]
    pub fn table(&self, table: &str) -> Option<&TableChanges> {
        self.tables.get(table)
    }

    fn get(&self, table: &str, key: &[u8]) -> Option<&Option<Slice>> {
        self.tables.get(table)?.get(key)
    }
}

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
