//! Values of options: numbers with units, nodes, memory, mail, signals, layouts.

use crate::client::{signals, text};

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

/// `4` or `2-4`; `Err` is the part that is none.
pub fn nodes(text: &str) -> Result<(u32, u32), &str> {
    match text.split_once('-') {
        None => count(text).map(|count| (count, count)).ok_or(text),
        Some((least, most)) => Ok((count(least).ok_or(least)?, count(most).ok_or(most)?)),
    }
}

/// Megabytes; K, M, G, T may stand behind, with a B or without.
pub fn megabytes(text: &str) -> Option<u64> {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..len].parse::<u64>().ok()?;
    match text[len..].to_ascii_uppercase().as_str() {
        "" | "M" | "MB" => Some(number),
        "K" | "KB" => Some(number.div_ceil(1024)),
        "G" | "GB" => number.checked_mul(1024),
        "T" | "TB" => number.checked_mul(1024 * 1024),
        _ => None,
    }
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

/// A signal before the end: which, how many seconds before, to whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warning {
    /// The signal.
    pub signal: u16,
    /// Seconds before the end.
    pub seconds: u16,
    /// Flags: 1 the script alone, 0x100 also if its nodes are reserved soon.
    pub flags: u16,
}

/// `[{R|B}:]signal[@seconds]`.
pub fn warning(text: &str) -> Option<Warning> {
    const BATCH: u16 = 1;
    const RESERVED: u16 = 1 << 8;
    let (mut flags, mut rest) = (0, text);
    if let Some((letters, after)) = text.split_once(':') {
        for letter in letters.chars() {
            flags |= match letter.to_ascii_uppercase() {
                'R' => RESERVED,
                'B' => BATCH,
                _ => return None,
            };
        }
        rest = after;
    }
    let (name, seconds) = match rest.split_once('@') {
        None => (rest, 60),
        Some((name, seconds)) => (name, seconds.parse().ok()?),
    };
    Some(Warning { signal: signals::number(name)?, seconds, flags })
}

/// No layout of tasks is asked for.
pub const ANY_LAYOUT: u32 = 0x2000;
/// Tasks in blocks.
pub const PLANE: u32 = 4;

/// How tasks are laid out: the number, and the size of a plane.
pub fn layout(text: &str) -> Option<(u32, Option<u16>)> {
    if let Some(size) = text::without(text, "plane=") {
        return size.parse().ok().filter(|size| *size > 0).map(|size| (PLANE, Some(size)));
    }
    let part = |name: &str, default: u32| match name.to_ascii_lowercase().as_str() {
        "cyclic" => Some(1),
        "block" => Some(2),
        "fcyclic" => Some(3),
        "*" => Some(default),
        _ => None,
    };
    let names: Vec<&str> = text.split(':').collect();
    let (first, rest) = names.split_first()?;
    let mut number = part(first, 2).filter(|number| *number != 3)?;
    let mut before = 1;
    for (at, name) in rest.iter().enumerate() {
        before = part(name, before)?;
        number |= before << (4 * (at + 1));
    }
    (rest.len() <= 2).then_some((number, None))
}

/// The name of a layout, for the job's environment.
pub fn layout_name(number: u32) -> Option<String> {
    let part = |number: u32| ["", "cyclic", "block", "fcyclic"].get(number as usize & 15).copied();
    match number {
        ANY_LAYOUT => None,
        PLANE => Some("plane".to_owned()),
        number => {
            let parts = [number, number >> 4, number >> 8];
            let names: Vec<&str> =
                parts.into_iter().filter_map(part).filter(|name| !name.is_empty()).collect();
            Some(names.join(":"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_slurms() {
        assert_eq!([nodes("3"), nodes("2-1k")], [Ok((3, 3)), Ok((2, 1024))]);
        assert_eq!(nodes("2-x"), Err("x"));
        assert_eq!(["10", "1G", "2KB", "x"].map(megabytes), [Some(10), Some(1024), Some(1), None]);
        assert_eq!(mail_type("END,FAIL"), Some(6));
        assert_eq!([mail_type("NONE"), mail_type("bogus")], [Some(0), None]);
        let warned = Warning { signal: 10, seconds: 30, flags: 1 };
        assert_eq!(warning("B:USR1@30"), Some(warned));
        assert_eq!(warning("USR1@x"), None);
        assert_eq!(layout("block:cyclic"), Some((0x12, None)));
        assert_eq!(layout("plane=4"), Some((4, Some(4))));
        assert_eq!([layout("nonsense"), layout("block:block:block:block")], [None, None]);
        assert_eq!(layout_name(0x12).unwrap(), "block:cyclic");
    }
}
