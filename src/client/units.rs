//! Large numbers with K, M, G, T, P, as long as nothing is lost by it: halves may be.

const UNITS: [&str; 6] = ["", "K", "M", "G", "T", "P"];

/// Where a number of megabytes begins.
pub const MEGA: usize = 2;

/// `number`, counted in the unit at `unit` of the list.
pub fn text(number: u64, unit: usize) -> String {
    // Slurm's own has single precision here; what it prints of large numbers is printed here.
    let mut number = f64::from(number as f32);
    let mut unit = unit;
    if number as u64 == 0 {
        return "0".to_owned();
    }
    while number >= 1024.0 && (number as u64).is_multiple_of(512) {
        number /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("?");
    if number.fract() == 0.0 { format!("{number}{name}") } else { format!("{number:.2}{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_a_unit_where_nothing_is_lost() {
        assert_eq!([text(0, 0), text(100, 0), text(1000, MEGA)], ["0", "100", "1000M"]);
        assert_eq!([text(1024, 0), text(2560, 0), text(1536, MEGA)], ["1K", "2.50K", "1.50G"]);
        assert_eq!(text(262_144, MEGA), "256G");
    }
}
