//! Results, as a table for people and as lines of JSON for programs.
//!
//! Invariant: a ratio is of medians, of the same workload in the same run, against the reference.

use crate::systems::REFERENCE;

/// A column besides the rate, with its name and its median.
pub type Extra = (&'static str, Option<f64>);

/// All rounds of one system in one workload.
pub struct Row {
    pub system: &'static str,
    /// Per second, one number for each round.
    pub rates: Vec<f64>,
    pub extras: Vec<Extra>,
}

/// The middle of `numbers`, or the mean of the middle two; none of none.
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// Prints the rows of `workload`, where a rate counts `unit` per second.
pub fn print(workload: &str, unit: &str, rows: &[Row], json: bool) {
    let reference = rows.iter().find(|row| row.system == REFERENCE);
    let reference = reference.and_then(|row| median(&row.rates));
    if !json {
        println!("\n{workload} ({unit} per second)");
        print!("{:<16}{:>12}{:>9}{:>26}", "system", "median/s", "x floor", "min..max");
        let names = rows.first().map(|row| row.extras.as_slice()).unwrap_or_default();
        names.iter().for_each(|(name, _)| print!("{name:>14}"));
        println!();
    }
    for row in rows {
        let Some(rate) = median(&row.rates) else { continue };
        let ratio = reference.map(|reference| rate / reference);
        if json {
            print_json(workload, unit, row, rate, ratio);
        } else {
            print_line(row, rate, ratio);
        }
    }
}

fn print_line(row: &Row, rate: f64, ratio: Option<f64>) {
    let (min, max) = bounds(&row.rates);
    let range = format!("{min:.0}..{max:.0}");
    print!("{:<16}{rate:>12.0}{:>9}{range:>26}", row.system, optional(ratio, "-"));
    row.extras.iter().for_each(|(_, value)| print!("{:>14}", optional(*value, "-")));
    println!();
}

fn print_json(workload: &str, unit: &str, row: &Row, rate: f64, ratio: Option<f64>) {
    let (min, max) = bounds(&row.rates);
    let rounds: Vec<_> = row.rates.iter().map(|rate| format!("{rate:.1}")).collect();
    print!(
        r#"{{"workload":"{workload}","unit":"{unit}","system":"{}","median":{rate:.1}"#,
        row.system
    );
    print!(r#","ratio":{},"min":{min:.1},"max":{max:.1}"#, optional(ratio, "null"));
    for (name, value) in &row.extras {
        print!(r#","{name}":{}"#, optional(*value, "null"));
    }
    println!(r#","rounds":[{}]}}"#, rounds.join(","));
}

fn optional(number: Option<f64>, none: &str) -> String {
    number.map_or_else(|| none.to_owned(), |number| format!("{number:.2}"))
}

fn bounds(rates: &[f64]) -> (f64, f64) {
    let fold = |start, pick: fn(f64, f64) -> f64| rates.iter().copied().fold(start, pick);
    (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max))
}
