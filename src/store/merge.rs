//! Entries of one table in order, merged from the snapshot and the changes over it.
//!
//! Invariant: keys ascend strictly; where layers disagree the newest wins; a key that is gone does
//! not show.

use crate::snapshot::{self, SnapshotError};
use crate::store::state::{Changes, Key, Slice, View};
use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::Bound;

/// Key and value, borrowed from the view.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// One entry, borrowed from the view.
pub type Entry<'a> = Result<(&'a [u8], &'a [u8]), SnapshotError>;

type ChangeRange<'a> = Peekable<Box<dyn Iterator<Item = (&'a Key, &'a Option<Slice>)> + 'a>>;

/// Entries of a table from a prefix on. Ends after the first error.
pub struct Scan<'a> {
    base: Option<snapshot::Scan<'a>>,
    head: Option<(&'a [u8], &'a [u8])>,
    changes: Layers<'a>,
    change: Option<Change<'a>>,
    prefix: &'a [u8],
    failed: bool,
}

/// The next change: what most entries of the snapshot are compared with, once each.
#[derive(Clone, Copy)]
struct Change<'a> {
    /// The beginning of the key: nearly every comparison ends here.
    begins: u64,
    key: &'a [u8],
    value: Option<&'a Slice>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(view: &'a View, table: &'a str, prefix: &'a [u8]) -> Scan<'a> {
        let mut changes = Layers(
            [&view.active, &view.frozen]
                .into_iter()
                .filter_map(|changes| range(changes, table, prefix))
                .collect(),
        );
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

/// Changes of one table, newest layer first.
struct Layers<'a>(Vec<ChangeRange<'a>>);

impl<'a> Layers<'a> {
    /// The change with the least key, by the newest layer that has it.
    fn next(&mut self) -> Option<Change<'a>> {
        let least = self.0.iter_mut().filter_map(|layer| layer.peek().map(|(key, _)| &***key));
        let key = least.min()?;
        let mut newest: Option<&'a Option<Slice>> = None;
        for layer in &mut self.0 {
            if let Some((_, value)) = layer.next_if(|(other, _)| ***other == *key) {
                newest = newest.or(Some(value));
            }
        }
        Some(Change { begins: begins(key), key, value: newest.and_then(Option::as_ref) })
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
fn order(key: &[u8], change: &Change<'_>) -> Ordering {
    begins(key).cmp(&change.begins).then_with(|| key.cmp(change.key))
}

fn range<'a>(changes: &'a Changes, table: &str, prefix: &'a [u8]) -> Option<ChangeRange<'a>> {
    let from = (Bound::Included(prefix), Bound::Unbounded);
    let range = changes.table(table)?.range::<_, [u8]>(from);
    let within = range.take_while(move |(key, _)| key.starts_with(prefix));
    let boxed: Box<dyn Iterator<Item = _>> = Box::new(within);
    Some(boxed.peekable())
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
                let change = Change { begins: begins(other), key: other, value: None };
                assert_eq!(order(key, &change), i.cmp(&j), "{key:?} {other:?}");
            }
        }
    }
}
