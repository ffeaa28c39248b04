//! Entries of one table in order, merged from the snapshot and the changes over it.
//!
//! Invariant: keys ascend strictly; where layers disagree the newest wins; a key that is gone does
//! not show.

use crate::snapshot::{self, SnapshotError};
use crate::store::runs::{Change, Runs};
use crate::store::slice::Slice;
use crate::store::state::View;

/// Key and value, borrowed from the view.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// One entry, borrowed from the view.
pub type Entry<'a> = Result<(&'a [u8], &'a [u8]), SnapshotError>;

/// Entries of a table from a prefix on. Ends after the first error.
pub struct Scan<'a> {
    base: Option<snapshot::Scan<'a>>,
    head: Option<Pair<'a>>,
    /// What is left of each run of changes, newest first.
    runs: Vec<&'a [Change]>,
    /// The least key among them.
    least: Option<&'a [u8]>,
    prefix: &'a [u8],
    failed: bool,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(view: &'a View, table: &'a str, prefix: &'a [u8]) -> Scan<'a> {
        let layers = [&view.active, &view.frozen].into_iter();
        let runs = layers.filter_map(|changes| changes.table(table)).flat_map(Runs::newest_first);
        let mut scan = Scan {
            base: view.base.as_ref().map(|base| base.scan(table, prefix)),
            head: None,
            runs: runs.map(|run| within(run, prefix)).filter(|run| !run.is_empty()).collect(),
            least: None,
            prefix,
            failed: false,
        };
        scan.find_least();
        scan
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

    fn find_least(&mut self) {
        self.least = self.runs.iter().map(|run| &*run[0].key).min();
    }

    fn advance(&mut self) -> Result<Option<Pair<'a>>, SnapshotError> {
        loop {
            self.pull()?;
            let key = match (self.least, self.head) {
                (None, _) => return Ok(self.head.take()),
                (Some(least), Some((key, _))) if key < least => return Ok(self.head.take()),
                (Some(least), _) => least,
            };
            let newest = self.take_change(key);
            self.head.take_if(|(head, _)| *head == key);
            if let Some(value) = newest {
                return Ok(Some((key, value)));
            }
        }
    }

    /// What became of the least `key`, which is then passed in every run.
    fn take_change(&mut self, key: &[u8]) -> Option<&'a Slice> {
        let mut newest: Option<&'a Change> = None;
        self.runs.retain_mut(|run| {
            let Some((first, rest)) = run.split_first().filter(|(first, _)| *first.key == *key)
            else {
                return true;
            };
            newest = newest.or(Some(first));
            *run = rest;
            !rest.is_empty()
        });
        self.find_least();
        newest.and_then(|change| change.value.as_ref())
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

/// The part of a run whose keys start with `prefix`.
fn within<'a>(run: &'a [Change], prefix: &[u8]) -> &'a [Change] {
    let run = &run[run.partition_point(|change| *change.key < *prefix)..];
    &run[..run.partition_point(|change| change.key.starts_with(prefix))]
}
