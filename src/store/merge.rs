//! Entries of one table in order, merged from the snapshot and the changes over it.
//!
//! Invariant: keys ascend strictly; where layers disagree the newest wins; a key that is gone does
//! not show.

use crate::snapshot::{self, SnapshotError};
use crate::store::state::{Changes, Key, Slice, View};
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
    /// Newest first.
    changes: Vec<ChangeRange<'a>>,
    prefix: &'a [u8],
    failed: bool,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(view: &'a View, table: &'a str, prefix: &'a [u8]) -> Scan<'a> {
        Scan {
            base: view.base.as_ref().map(|base| base.scan(table, prefix)),
            head: None,
            changes: [&view.active, &view.frozen]
                .into_iter()
                .filter_map(|changes| range(changes, table, prefix))
                .collect(),
            prefix,
            failed: false,
        }
    }

    /// The snapshot's next entry, in `head`.
    fn pull(&mut self) -> Result<(), SnapshotError> {
        if self.head.is_none()
            && let Some(base) = &mut self.base
        {
            self.head = base.next().transpose()?;
            if self.head.is_none_or(|(key, _)| !key.starts_with(self.prefix)) {
                self.head = None;
                self.base = None;
            }
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Pair<'a>>, SnapshotError> {
        loop {
            self.pull()?;
            if self.changes.is_empty() {
                return Ok(self.head.take());
            }
            let least = self.changes.iter_mut().filter_map(|layer| layer.peek().map(|(k, _)| *k));
            let least = least.map(|key| &**key).min();
            let key: &'a [u8] = match (least, self.head) {
                (Some(change), Some((base, _))) => change.min(base),
                (Some(key), None) | (None, Some((key, _))) => key,
                (None, None) => return Ok(None),
            };
            let mut newest: Option<&'a Option<Slice>> = None;
            for layer in &mut self.changes {
                if let Some((_, value)) = layer.next_if(|(k, _)| ***k == *key) {
                    newest = newest.or(Some(value));
                }
            }
            let base = self.head.take_if(|(head, _)| *head == key);
            match newest {
                Some(Some(value)) => return Ok(Some((key, value))),
                Some(None) => {}
                None => return Ok(base),
            }
        }
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        if self.failed {
            return None;
        }
        let next = self.advance().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

fn range<'a>(changes: &'a Changes, table: &str, prefix: &'a [u8]) -> Option<ChangeRange<'a>> {
    let from = (Bound::Included(prefix), Bound::Unbounded);
    let range = changes.table(table)?.range::<_, [u8]>(from);
    let within = range.take_while(move |(key, _)| key.starts_with(prefix));
    let boxed: Box<dyn Iterator<Item = _>> = Box::new(within);
    Some(boxed.peekable())
}
