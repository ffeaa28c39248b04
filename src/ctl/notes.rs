//! What recovery passed by, one line each: normal or harmless, but nothing is passed in silence.

use crate::ctl::text::{bytes, word};
use crate::store::Report;

/// A line for everything in `report` that an operator may want to know.
#[must_use]
pub fn of(report: &Report) -> Vec<String> {
    let mut notes = harmless(report);
    notes.extend(damaged(report));
    notes
}

/// A line for each thing that is normal after a crash or in a copy.
#[must_use]
pub fn harmless(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some((file, offset, len)) = &report.torn_tail {
        notes.push(format!("torn tail of {} in {file} offset {offset} (normal)", bytes(*len)));
    }
    if let Some((file, offset, len)) = &report.set_aside {
        notes.push(format!(
            "copy: {} of later saves, caught in part, set aside in {file} offset {offset}",
            bytes(*len)
        ));
    }
    for name in &report.unfinished_segments {
        notes.push(format!("{name} is empty: its making was cut short (normal after a crash)"));
    }
    if report.one_slot {
        notes.push("one slot of the control file cannot be read (normal after a crash)".to_owned());
    }
    notes
}

/// A line for each damaged snapshot.
#[must_use]
pub fn damaged(report: &Report) -> Vec<String> {
    let damaged = report.damaged_snapshots.iter();
    damaged
        .map(|(name, why)| format!("warning: {name} is damaged and was not needed: {why}"))
        .collect()
}

/// Names in the directory that are not the store's, as one line; `None` without any.
#[must_use]
pub fn strangers(report: &Report) -> Option<String> {
    let names: Vec<String> = report.strangers.iter().map(|name| word(name.as_bytes())).collect();
    (!names.is_empty()).then(|| format!("not the store's: {}", names.join(" ")))
}
