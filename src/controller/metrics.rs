//! `/metrics`: what a monitor asks for, as OpenMetrics text, where statedir.conf has a
//! MetricsAddress.
//!
//! | part | what it does |
//! |---|---|
//! | here | the numbers that are counted as things happen |
//! | `facts` | everything that is shown, as a value |
//! | [`place`] | what one of several controllers is, as a value |
//! | `text` | these values as text; the table of names |
//! | `serve` | the port |
//!
//! Invariants: a scrape reads memory alone, so that it is answered while the disk hangs; sizes of
//! files are measured beside it, and say when; nothing of the store is locked for it.

mod facts;
pub mod place;
mod serve;
mod text;

pub use serve::{measure, run, run_of};

use crate::controller::service::Service;

use crate::base::spans::Spans;
use crate::controller::service::Answer;
use crate::slurm::wire::Message;
use crate::slurm::wire::constants::rc;
use facts::Sizes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Codes that are told apart; there are not so many.
const CODES_MAX: usize = 256;

/// What is counted while the controller runs.
#[derive(Debug, Default)]
pub struct Numbers {
    /// From the submission of a change to the store until it is durable.
    pub saves: Spans,
    submitted: AtomicU64,
    refused: Mutex<BTreeMap<u32, u64>>,
    sizes: Mutex<Option<Sizes>>,
}

impl Numbers {
    /// Counts an answer.
    pub fn note(&self, answer: &Answer) {
        let code = match answer {
            Answer::Reply(Message::Submitted(_)) => {
                self.submitted.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Answer::Reply(Message::ReturnCode(code)) => code.return_code,
            Answer::Reply(Message::ReturnMessage(why)) => why.return_code,
            _ => return,
        };
        // That nothing is new is no refusal.
        if matches!(code, rc::OK | rc::NO_CHANGE) {
            return;
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < CODES_MAX || refused.contains_key(&code) {
            *refused.entry(code).or_default() += 1;
        }
    }

    fn refusals(&self) -> BTreeMap<u32, u64> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn sizes(&self) -> Option<Sizes> {
        *self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn measured(&self, sizes: Sizes) {
        *self.sizes.lock().unwrap_or_else(PoisonError::into_inner) = Some(sizes);
    }
}

/// What is shown of one of several controllers, which may be in charge.
#[must_use]
pub fn text_of(service: Option<&Service>, place: place::Place) -> String {
    text::text(service.map(facts::Facts::of), Some(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_refusals_are_counted_and_what_is_neither_is_not() {
        let numbers = Numbers::default();
        let told = Message::Submitted(Box::default());
        numbers.note(&Answer::Reply(told));
        for code in [0, 1900, 2017, 2017, 11] {
            numbers.note(&Answer::Reply(Message::code(code)));
        }
        numbers.note(&Answer::Nothing);
        assert_eq!(numbers.submitted.load(Ordering::Relaxed), 1);
        assert_eq!(numbers.refusals(), BTreeMap::from([(11, 1), (2017, 2)]));
    }
}
