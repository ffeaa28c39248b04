//! Medians and tables.

/// One system's results, a number a round.
pub struct Row {
    pub name: String,
    pub rounds: Vec<f64>,
}

impl Row {
    pub fn new(name: &str) -> Row {
        Row { name: name.to_owned(), rounds: Vec::new() }
    }

    pub fn median(&self) -> f64 {
        median(&self.rounds)
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
        let ratios: Vec<f64> =
            row.rounds.iter().zip(&rows[0].rounds).map(|(mine, first)| mine / first).collect();
        let low = row.rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let high = row.rounds.iter().copied().fold(0.0, f64::max);
        println!(
            "  {:<28} {:>12.2}  ratio {:>6.3}  {:.2}..{:.2}",
            row.name,
            row.median(),
            median(&ratios),
            low,
            high
        );
    }
}
