//! What changed in one table, as sorted runs: cheap to add to, cheap to share, and in order.
//!
//! Changes come unsorted, a thousand and more at a time where many save. Sorting them and merging
//! runs of similar length costs a tenth of putting each into a search tree at a place of its own.
//!
//! Invariants:
//! - keys ascend strictly within a run; of the same key in two runs the later run's counts;
//! - a run never changes: whoever holds it may read on while newer ones come;
//! - small runs are merged at once, so that a table has few; large ones by [`Runs::merge_due`],
//!   outside of any lock.

use crate::store::slice::{Key, Slice};
use std::cmp::Ordering;
use std::sync::Arc;

/// A value, or that the key is gone.
#[derive(Clone, Debug)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// Its value now; `None`: it has none any more.
    pub value: Option<Slice>,
}

const _: () = assert!(size_of::<Change>() == 40);

/// Changes in order of their keys.
pub type Run = Vec<Change>;

/// A merge of two runs yields at most so many changes at once, while others wait for the state:
/// about a millisecond.
const AT_ONCE: usize = 32 << 10;

/// The runs of one table, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Runs(Vec<Arc<Run>>);

/// Two neighbours that are to become one.
#[derive(Debug)]
pub struct Merge {
    older: Arc<Run>,
    newer: Arc<Run>,
}

impl Merge {
    /// The one.
    #[must_use]
    pub fn run(&self) -> Run {
        merge(self.older.iter().cloned(), self.newer.iter().cloned())
    }
}

impl Runs {
    /// Adds changes in the order in which they were made.
    pub fn add(&mut self, mut changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        changes.sort_by(|a, b| a.key.cmp(&b.key));
        keep_last(&mut changes);
        self.push(Arc::new(changes));
    }

    /// Adds a run on top, and merges small ones.
    pub fn push(&mut self, run: Arc<Run>) {
        self.0.push(run);
        while let Some(at) = self.unbalanced(self.0.len().saturating_sub(2)) {
            let newer = self.0.pop().expect("two at least");
            if newer.len() + self.0[at].len() > AT_ONCE {
                self.0.push(newer);
                return;
            }
            let older = self.0.pop().expect("two at least");
            self.0.push(Arc::new(match (Arc::try_unwrap(older), Arc::try_unwrap(newer)) {
                (Ok(older), Ok(newer)) => merge(older.into_iter(), newer.into_iter()),
                (older, newer) => {
                    let shared = |run: Result<Run, Arc<Run>>| run.map_or_else(|run| run, Arc::new);
                    Merge { older: shared(older), newer: shared(newer) }.run()
                }
            }));
        }
    }

    /// Two runs that are to be merged, if any are.
    #[must_use]
    pub fn merge_due(&self) -> Option<Merge> {
        let at = self.unbalanced(0)?;
        Some(Merge { older: Arc::clone(&self.0[at]), newer: Arc::clone(&self.0[at + 1]) })
    }

    /// Puts the outcome of `merge` in the place of the two, if they still stand side by side.
    pub fn replace(&mut self, merge: &Merge, merged: Run) {
        let at = self.0.windows(2).position(|pair| {
            Arc::ptr_eq(&pair[0], &merge.older) && Arc::ptr_eq(&pair[1], &merge.newer)
        });
        if let Some(at) = at {
            self.0.splice(at..at + 2, [Arc::new(merged)]);
        }
    }

    /// The runs, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &[Change]> {
        self.0.iter().rev().map(|run| run.as_slice())
    }

    /// The runs, oldest first.
    pub fn oldest_first(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.0.iter()
    }

    /// What became of `key`, if anything did.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Option<Slice>> {
        self.newest_first().find_map(|run| {
            let at = run.binary_search_by(|change| (*change.key).cmp(key)).ok()?;
            Some(&run[at].value)
        })
    }

    /// The first place from `from` on where a run is not twice as long as the next one.
    fn unbalanced(&self, from: usize) -> Option<usize> {
        let pairs = self.0.windows(2).enumerate().skip(from);
        pairs.filter(|(_, pair)| pair[0].len() < 2 * pair[1].len()).map(|(at, _)| at).next()
    }
}

/// Of neighbours with the same key only the last stays.
fn keep_last(changes: &mut Vec<Change>) {
    changes.dedup_by(|later, kept| {
        let same = later.key == kept.key;
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
}

fn merge(
    older: impl ExactSizeIterator<Item = Change>,
    newer: impl ExactSizeIterator<Item = Change>,
) -> Run {
    let mut merged = Vec::with_capacity(older.len() + newer.len());
    let (mut older, mut newer) = (older.peekable(), newer.peekable());
    while let (Some(old), Some(new)) = (older.peek(), newer.peek()) {
        match old.key.cmp(&new.key) {
            Ordering::Less => merged.extend(older.next()),
            Ordering::Greater => merged.extend(newer.next()),
            Ordering::Equal => {
                merged.extend(newer.next());
                older.next();
            }
        }
    }
    merged.extend(older);
    merged.extend(newer);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Payload;
    use std::collections::BTreeMap;

    fn change(key: u32, value: Option<u32>) -> Change {
        let bytes = [key.to_be_bytes(), value.unwrap_or(0).to_be_bytes()].concat();
        let holder = Arc::new(Payload::Copy(bytes));
        Change {
            key: Key::of(&holder, &holder[..4]),
            value: value.map(|_| Slice::of(&holder, &holder[4..])),
        }
    }

    #[test]
    fn runs_hold_what_a_map_holds_whatever_comes_in_whatever_portions() {
        let mut random = 1_u64;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as u32
        };
        let (mut runs, mut map) = (Runs::default(), BTreeMap::new());
        for portion in 0..400 {
            let count = [1, 3, 50, 700][next() as usize % 4];
            let mut changes = Vec::new();
            for _ in 0..count {
                let (key, value) = (next() % 5000, Some(next()).filter(|v| v % 5 > 0));
                changes.push(change(key, value));
                map.insert(key, value);
            }
            // A reader that still holds some of them is not to be disturbed.
            let held = (portion % 3 == 0).then(|| runs.clone());
            runs.add(changes);
            drop(held);
            if portion % 7 == 0
                && let Some(due) = runs.merge_due()
            {
                runs.replace(&due, due.run());
            }
            for _ in 0..20 {
                let key = next() % 5000;
                let found = runs.get(&key.to_be_bytes()).map(|value| value.as_deref());
                let expected = map.get(&key).map(|value| value.map(u32::to_be_bytes));
                assert_eq!(found, expected.as_ref().map(|v| v.as_ref().map(|v| &v[..])));
            }
            assert!(runs.0.len() < 20, "{}", runs.0.len());
            for run in runs.newest_first() {
                assert!(run.windows(2).all(|pair| pair[0].key < pair[1].key));
            }
        }
        let all: std::collections::BTreeSet<u32> = runs
            .newest_first()
            .flatten()
            .map(|change| u32::from_be_bytes(change.key[..].try_into().unwrap()))
            .collect();
        assert!(all.into_iter().eq(map.into_keys()));
    }

    #[test]
    fn a_merge_that_comes_too_late_changes_nothing() {
        let run = |value| Arc::new(vec![change(1, value)]);
        let mut runs = Runs(vec![run(Some(1)), run(None)]);
        let due = runs.merge_due().unwrap();
        let merged = due.run();
        runs.0.remove(0);
        runs.replace(&due, merged);
        assert_eq!(runs.0.len(), 1);
        assert!(runs.get(&1_u32.to_be_bytes()).unwrap().is_none());
    }
}
