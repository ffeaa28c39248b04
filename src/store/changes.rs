//! What changed since a snapshot, by table.
//!
//! Changes are taken in as they come and sorted later ([`Changes::settle`]), before anybody looks.
//!
//! Invariant: who reads finds everything settled.

use crate::format::Op;
use crate::format::Ops;
use crate::log::Payload;
use crate::store::runs::Change;
use crate::store::runs::Merge;
use crate::store::runs::Runs;
use crate::store::slice::Key;
use crate::store::slice::Slice;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many changes are not left unsorted, to give memory of what is superseded back.
const UNSORTED_MAX: usize = 64 << 10;

/// What changed since a snapshot. A clone is cheap, and later changes do not show in it.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    tables: Arc<BTreeMap<Box<str>, Runs>>,
    /// In the order in which they came, not to be seen yet.
    unsorted: Vec<(Box<str>, Vec<Change>)>,
    /// How many these are.
    count: usize,
    /// Bytes of the groups in here, whether still needed or not.
    bytes: u64,
}

/// Two runs of one table that are to become one.
#[derive(Debug)]
pub struct Due {
    table: Box<str>,
    merge: Merge,
}

impl Changes {
    /// Takes in the encoded saves of a group.
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

    /// Takes in the ops of one save that stands somewhere in `holder`.
    pub fn apply_ops(&mut self, holder: &Arc<Payload>, ops: Ops<'_>) {
        for op in ops {
            let (table, key, value) = match op.expect("checked where it entered") {
                Op::Put { table, key, value } => (table, key, Some(value)),
                Op::Delete { table, key } => (table, key, None),
            };
            let key = Key::of(holder, key);
            let value = value.map(|value| Slice::of(holder, value));
            self.unsorted_of(table).push(Change { key, value });
            self.count += 1;
        }
        if self.count >= UNSORTED_MAX {
            self.settle();
        }
    }

    fn unsorted_of(&mut self, table: &str) -> &mut Vec<Change> {
        // Mostly one table for a while, and few at all.
        let at = self.unsorted.iter().position(|(name, _)| **name == *table);
        let at = at.unwrap_or_else(|| {
            self.unsorted.push((table.into(), Vec::new()));
            self.unsorted.len() - 1
        });
        self.unsorted.swap(0, at);
        &mut self.unsorted[0].1
    }

    /// Sorts what was taken in, so that it can be looked at.
    pub fn settle(&mut self) {
        if self.count == 0 {
            return;
        }
        self.count = 0;
        let tables = Arc::make_mut(&mut self.tables);
        for (name, changes) in self.unsorted.drain(..) {
            tables.entry(name).or_default().add(changes);
        }
    }

    /// Two large runs that are to become one: a merge takes long, and is done outside of locks.
    #[must_use]
    pub fn merge_due(&self) -> Option<Due> {
        self.tables
            .iter()
            .find_map(|(name, runs)| Some(Due { table: name.clone(), merge: runs.merge_due()? }))
    }

    /// Takes the outcome of a merge in, if it is still wanted.
    pub fn merged(&mut self, due: Due, run: Vec<Change>) {
        if let Some(runs) = Arc::make_mut(&mut self.tables).get_mut(&due.table) {
            runs.replace(&due.merge, run);
        }
    }

    /// Counts bytes of saves that were applied by their ops.
    pub fn count_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Puts what changed later on top.
    pub fn absorb(&mut self, later: &Changes) {
        assert!(later.count == 0 && self.count == 0, "settled");
        self.bytes += later.bytes;
        let tables = Arc::make_mut(&mut self.tables);
        for (name, runs) in &*later.tables {
            let under = tables.entry(name.clone()).or_default();
            runs.oldest_first().for_each(|run| under.push(Arc::clone(run)));
        }
    }

    /// Bytes of the groups in here.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The tables that changed.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        assert!(self.count == 0, "settled");
        self.tables.keys().map(|name| &**name)
    }

    /// What changed in `table`.
    #[must_use]
    pub fn table(&self, table: &str) -> Option<&Runs> {
        assert!(self.count == 0, "settled");
        self.tables.get(table)
    }

    /// What became of `key` in `table`, if anything did.
    #[must_use]
    pub fn get(&self, table: &str, key: &[u8]) -> Option<&Option<Slice>> {
        self.table(table)?.get(key)
    }
}

impl Due {
    /// Merges the two.
    #[must_use]
    pub fn run(&self) -> Vec<Change> {
        self.merge.run()
    }
}
