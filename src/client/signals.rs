//! Signals by name, as kill(1) has them.

const NAMES: [(&str, u16); 17] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", 9),
    ("ALRM", 14),
    ("TERM", 15),
    ("USR1", 10),
    ("USR2", 12),
    ("URG", 23),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("XCPU", 24),
    ("TRAP", 5),
];

/// The number of a signal: by number, or by name, with or without SIG. `None`: there is none such.
pub fn number(text: &str) -> Option<u16> {
    if let Ok(number) = text.trim().parse::<u16>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = text.trim();
    let bare = match name.get(..3) {
        Some(head) if head.eq_ignore_ascii_case("SIG") => &name[3..],
        _ => name,
    };
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(bare)).map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_number_and_name() {
        let asked = ["9", "USR1", "sigterm", "0", "NOPE", "65"];
        let found = [Some(9), Some(10), Some(15), None, None, None];
        assert_eq!(asked.map(number), found);
    }
}
