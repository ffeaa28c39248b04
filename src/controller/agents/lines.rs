//! Lines: what is about one job is done one after the other, in the order in which it was decided;
//! what is about different jobs does not wait for each other.
//!
//! Invariant: a launch is never under way together with a request to end the same job, so that
//! neither overtakes the other on its way to a node.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// What stands in line, by job. A line that is here is being worked off by somebody.
#[derive(Debug)]
pub struct Lines<T>(Mutex<HashMap<u32, VecDeque<T>>>);

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Lines(Mutex::default())
    }
}

impl<T> Lines<T> {
    /// Stands in line. `Some`: nobody is working it off, so who asked has to, beginning with this.
    #[must_use]
    pub fn stand(&self, job: u32, item: T) -> Option<T> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.get_mut(&job) {
            Some(line) => {
                line.push_back(item);
                None
            }
            None => {
                lines.insert(job, VecDeque::new());
                Some(item)
            }
        }
    }

    /// The next in line. `None`: there is none, and the line is gone.
    #[must_use]
    pub fn next(&self, job: u32) -> Option<T> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = lines.get_mut(&job).and_then(VecDeque::pop_front);
        if next.is_none() {
            lines.remove(&job);
        }
        next
    }

    /// Whether something about this is in line, or being done.
    #[must_use]
    pub fn has(&self, job: u32) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&job)
    }

    /// Whether nothing is in line, and nothing is being done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_one_worker_and_keeps_its_order() {
        let lines = Lines::default();
        assert_eq!(lines.stand(1, 'a'), Some('a'));
        assert_eq!(lines.stand(1, 'b'), None);
        assert_eq!(lines.stand(2, 'x'), Some('x'), "another job does not wait");
        assert_eq!(lines.stand(1, 'c'), None);
        assert!(lines.has(1) && !lines.has(3));
        assert_eq!((lines.next(1), lines.next(1), lines.next(1)), (Some('b'), Some('c'), None));
        assert_eq!(lines.stand(1, 'd'), Some('d'), "the line was gone");
        assert_eq!((lines.next(1), lines.next(2)), (None, None));
        assert!(lines.is_empty());
    }
}
