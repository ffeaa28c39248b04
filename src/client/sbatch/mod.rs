//! Values that descriptions of jobs have.

/// A number of nodes or CPUs: with k or m, 1,024 or its square times that.
pub fn count(text: &str) -> Option<u32> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1024),
        None => match text.strip_suffix(['m', 'M']) {
            Some(digits) => (digits, 1024 * 1024),
            None => (text, 1),
        },
    };
    digits.trim().parse::<u32>().ok()?.checked_mul(factor)
}

/// When mail is to be sent, as flags.
pub fn mail_type(list: &str) -> Option<u16> {
    let names = [
        ("ARRAY_TASKS", 1 << 9),
        ("BEGIN", 1),
        ("END", 1 << 1),
        ("FAIL", 1 << 2),
        ("INVALID_DEPEND", 1 << 10),
        ("REQUEUE", 1 << 3),
        ("ALL", 1 << 10 | 1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 8),
        ("STAGE_OUT", 1 << 8),
        ("TIME_LIMIT", 1 << 4),
        ("TIME_LIMIT_90", 1 << 5),
        ("TIME_LIMIT_80", 1 << 6),
        ("TIME_LIMIT_50", 1 << 7),
    ];
    let mut flags = 0;
    for word in list.split(',') {
        if word.eq_ignore_ascii_case("NONE") {
            return Some(0);
        }
        let found = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        flags |= found.map_or(0, |(_, flag)| *flag);
    }
    Some(flags).filter(|flags| *flags != 0)
}
