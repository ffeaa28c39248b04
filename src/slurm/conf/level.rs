//! Slurm's levels of logging, by name and by number.

/// Nothing.
pub const QUIET: u16 = 0;
/// What ends the program.
pub const FATAL: u16 = 1;
/// What went wrong.
pub const ERROR: u16 = 2;
/// What happens.
pub const INFO: u16 = 3;
/// More of it.
pub const VERBOSE: u16 = 4;
/// What only a developer wants to know.
pub const DEBUG: u16 = 5;
/// The last one.
pub const MOST: u16 = 9;

const NAMES: [&str; 10] =
    ["quiet", "fatal", "error", "info", "verbose", "debug", "debug2", "debug3", "debug4", "debug5"];

/// The level that a parameter names; `None` for none.
#[must_use]
pub fn of(text: Option<&str>) -> Option<u16> {
    let text = text?;
    let named = NAMES.iter().position(|name| name.eq_ignore_ascii_case(text));
    let found = named.map(|at| u16::try_from(at).expect("ten names"));
    found.or_else(|| text.parse().ok().map(|level: u16| level.min(MOST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_names_and_numbers() {
        assert_eq!(of(None), None);
        assert_eq!(of(Some("Info")), Some(INFO));
        assert_eq!(of(Some("debug5")), Some(MOST));
        assert_eq!(of(Some("5")), Some(DEBUG));
        assert_eq!(of(Some("10")), Some(MOST));
        assert_eq!(of(Some("loud")), None);
    }
}
