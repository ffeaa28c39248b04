//! What many rounds have come to: medians, in brackets the least and the most.

use crate::lab::NAMES;
use crate::stream::{Gaps, Outcome};
use std::time::Duration;

/// A column of times, in milliseconds.
fn column(all: impl Iterator<Item = Duration>) -> String {
    let mut all: Vec<u128> = all.map(|time| time.as_millis()).collect();
    all.sort_unstable();
    match (all.first(), all.get(all.len() / 2), all.last()) {
        (Some(least), Some(median), Some(most)) => format!("{median} ({least} to {most})"),
        _ => "none".to_owned(),
    }
}

fn gaps<'a>(all: impl Iterator<Item = &'a Gaps> + Clone) -> String {
    let more = all.clone().map(|of| of.after.saturating_sub(of.before));
    format!(
        "{} ms, undisturbed {}, more {}",
        column(all.clone().map(|of| of.after)),
        column(all.map(|of| of.before)),
        column(more)
    )
}

/// The lines about one kind: all rounds, and those of each direction.
pub fn of(title: &str, outcomes: &[Outcome]) -> String {
    let line = |which: &str, some: Vec<&Outcome>| {
        let never = some.iter().filter(|one| one.never).count();
        let failed: usize = some.iter().map(|one| one.failed).sum();
        format!(
            "{title}{which}, n = {}: acknowledgements {}; starts {}; {never} never served, \
             {failed} clients failed",
            some.len(),
            gaps(some.iter().map(|one| &one.acks)),
            gaps(some.iter().map(|one| &one.starts)),
        )
    };
    let mut lines = vec![line("", outcomes.iter().collect())];
    for (at, name) in NAMES.iter().enumerate() {
        let some: Vec<&Outcome> = outcomes.iter().filter(|one| one.from == at).collect();
        if !some.is_empty() && some.len() < outcomes.len() {
            lines.push(line(&format!(" of {name}"), some));
        }
    }
    lines.join("\n")
}
