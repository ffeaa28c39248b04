//! Entries of one table in order, merged from the snapshot and the changes over it.
//!
//! Invariant: keys ascend strictly; where layers disagree the newest wins; a key that is gone does
//! not show.

use crate::snapshot::{self, SnapshotError};
use crate::store::runs::Change;
use crate::store::runs::Runs;
use crate::store::slice::Slice;
use crate::store::state::View;
use std::cmp::Ordering;

/// Key and value, borrowed from the view.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// One entry, borrowed from the view.
pub type Entry<'a> = Result<(&'a [u8], &'a [u8]), SnapshotError>;

/// Entries of a table from a prefix on. Ends after the first error.
pub struct Scan<'a> {
    base: Option<snapshot::Scan<'a>>,
    head: Option<(&'a [u8], &'a [u8])>,
    changes: Layers<'a>,
    change: Option<Next<'a>>,
    prefix: &'a [u8],
    failed: bool,
}

/// The next change: what most entries of the snapshot are compared with, once each.
#[derive(Clone, Copy)]
struct Next<'a> {
    /// The beginning of the key: nearly every comparison ends here.
    begins: u64,
    key: &'a [u8],
    value: Option<&'a Slice>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(view: &'a View, table: &'a str, prefix: &'a [u8]) -> Scan<'a> {
        let both = [&view.active, &view.frozen].into_iter();
        let runs = both.filter_map(|changes| changes.table(table)).flat_map(Runs::newest_first);
        let runs = runs.map(|run| within(run, prefix)).filter(|run| !run.is_empty());
        let mut changes = Layers(runs.collect());
        Scan {
            base: view.base.as_ref().map(|base| base.scan(table, prefix)),
            head: None,
            change: changes.next(),
            changes,
            prefix,
            failed: false,
        }
    }

    /// The snapshot's next entry, in `head`.
    #[inline]
    fn pull(&mut self) -> Result<(), SnapshotError> {
        if self.head.is_none()
            && let Some(base) = &mut self.base
        {
            self.head = base.next().transpose()?;
            let within = |key: &[u8]| self.prefix.is_empty() || key.starts_with(self.prefix);
            if self.head.is_none_or(|(key, _)| !within(key)) {
                self.head = None;
                self.base = None;
            }
        }
        Ok(())
    }

    #[inline]
    fn advance(&mut self) -> Result<Option<Pair<'a>>, SnapshotError> {
        loop {
            self.pull()?;
            let Some(change) = self.change else { return Ok(self.head.take()) };
            match self.head.map(|(key, _)| order(key, &change)) {
                Some(Ordering::Less) => return Ok(self.head.take()),
                // The snapshot's entry is superseded.
                Some(Ordering::Equal) => self.head = None,
                Some(Ordering::Greater) | None => {}
            }
            self.change = self.changes.next();
            if let Some(value) = change.value {
                return Ok(Some((change.key, value)));
            }
        }
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        if self.failed {
            return None;
        }
        let next = self.advance().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

/// What is left of each run of changes to one table, newest first.
struct Layers<'a>(Vec<&'a [Change]>);

impl<'a> Layers<'a> {
    /// The change with the least key, by the newest run that has it.
    fn next(&mut self) -> Option<Next<'a>> {
        let key: &'a [u8] = self.0.iter().map(|run| &*run[0].key).min()?;
        let mut newest: Option<&'a Change> = None;
        self.0.retain_mut(|run| {
            if *run[0].key == *key {
                newest = newest.or(Some(&run[0]));
                *run = &run[1..];
            }
            !run.is_empty()
        });
        let value = newest.and_then(|change| change.value.as_ref());
        Some(Next { begins: begins(key), key, value })
    }
}

/// The first bytes of a key as a number: of two keys whose numbers differ, the lesser has the
/// lesser one.
#[inline]
fn begins(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => key.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)) << (64 - 8 * key.len()),
    }
}

#[inline]
fn order(key: &[u8], change: &Next<'_>) -> Ordering {
    begins(key).cmp(&change.begins).then_with(|| key.cmp(change.key))
}

/// The part of a run whose keys start with `prefix`.
fn within<'a>(run: &'a [Change], prefix: &[u8]) -> &'a [Change] {
    let run = &run[run.partition_point(|change| *change.key < *prefix)..];
    &run[..run.partition_point(|change| change.key.starts_with(prefix))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_bytewise_by_their_beginnings_too() {
        let keys: [&[u8]; 9] = [
            b"\0",
            b"\0\0",
            b"a",
            b"a\0",
            b"abcdefg",
            b"abcdefg\0",
            b"abcdefgh",
            b"abcdefgh\0",
            b"b",
        ];
        for (i, key) in keys.iter().enumerate() {
            for (j, other) in keys.iter().enumerate() {
                let change = Next { begins: begins(other), key: other, value: None };
                assert_eq!(order(key, &change), i.cmp(&j), "{key:?} {other:?}");
            }
        }
    }
}
