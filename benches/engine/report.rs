//! Medians, tables and goals.

/// One system's results, a number a round.
pub struct Row {
    pub name: String,
    pub rounds: Vec<f64>,
}

/// What is asked of a number.
#[derive(Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    pub fn new(name: &str) -> Row {
        Row { name: name.to_owned(), rounds: Vec::new() }
    }

    pub fn median(&self) -> f64 {
        median(&self.rounds)
    }

    /// The median of the rounds' own ratios.
    pub fn ratio_to(&self, first: &Row) -> f64 {
        let ratios = self.rounds.iter().zip(&first.rounds).map(|(mine, first)| mine / first);
        median(&ratios.collect::<Vec<f64>>())
    }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Prints a table: median, ratio to the first row (median of the rounds' own ratios), extremes.
pub fn table(title: &str, unit: &str, rows: &[Row]) {
    println!("\n{title} ({unit})");
    for row in rows {
        let low = row.rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let high = row.rounds.iter().copied().fold(0.0, f64::max);
        println!(
            "  {:<28} {:>12}  ratio {:>6.3}  {}..{}",
            row.name,
            digits(row.median()),
            row.ratio_to(&rows[0]),
            digits(low),
            digits(high),
        );
    }
}

/// A number with as many decimals as it is worth.
fn digits(number: f64) -> String {
    let decimals = if number < 100.0 { 3 } else { 0 };
    format!("{number:.decimals$}")
}

/// Prints numbers beside what is asked of them. Says so, and does not fail: a bench on a busy
/// machine is no test.
pub fn goals(goals: &[(&str, f64, Goal)]) {
    for (name, value, goal) in goals {
        let (sign, limit, met) = match goal {
            Goal::AtMost(limit) => ("<=", limit, value <= limit),
            Goal::AtLeast(limit) => (">=", limit, value >= limit),
        };
        let verdict = if met { "met" } else { "NOT MET" };
        println!("  goal: {name:<32} {value:>8.3} {sign} {limit:.3}  {verdict}");
    }
}
