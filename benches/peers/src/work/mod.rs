//! The workloads, and how they take turns.
//!
//! Invariant: rounds are interleaved (every system has its turn in a round before the next
//! begins) and each round starts with another system, so that a slow minute of the machine hits
//! all of them alike.

pub mod floor;
pub mod load;
pub mod rate;
pub mod space;

use crate::flags::Flags;
use crate::report::{Extra, Row, median};
use crate::system::{Entry, Fault};

/// What one turn measured: a rate per second and the workload's own columns.
pub type Turn = (f64, Vec<Extra>);

/// Runs `rounds` interleaved rounds of `turn` over the systems and collects a row for each.
fn interleave(
    flags: &Flags,
    rounds: usize,
    mut turn: impl FnMut(&Entry) -> Result<Turn, Fault>,
) -> Result<Vec<Row>, Fault> {
    let count = flags.systems.len();
    let mut turns: Vec<Vec<Turn>> = (0..count).map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for place in 0..count {
            let i = (round + place) % count;
            let entry = &flags.systems[i];
            turns[i].push(turn(entry).map_err(|e| format!("{}: {e}", entry.name))?);
        }
    }
    Ok(flags.systems.iter().zip(turns).map(|(entry, turns)| row(entry.name, &turns)).collect())
}

fn row(system: &'static str, turns: &[Turn]) -> Row {
    let rates = turns.iter().map(|(rate, _)| *rate).collect();
    let names = turns.first().map(|(_, extras)| extras.as_slice()).unwrap_or_default();
    let column = |i: usize| turns.iter().filter_map(|(_, extras)| extras[i].1).collect::<Vec<_>>();
    let extras = names.iter().enumerate().map(|(i, (name, _))| (*name, median(&column(i))));
    Row { system, rates, extras: extras.collect() }
}
