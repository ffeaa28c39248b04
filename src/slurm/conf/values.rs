//! Values as Slurm reads them: numbers, yes and no, times.

use crate::slurm::conf::parameters::Kind;

/// Why a value is not of its kind: what is wanted instead.
pub type Wanted = &'static str;

/// INFINITE of a kind: all bits set.
fn greatest(kind: Kind) -> u64 {
    match kind {
        Kind::U16 => u64::from(u16::MAX),
        Kind::U32 => u64::from(u32::MAX),
        _ => u64::MAX,
    }
}

/// A number of that kind: decimal, 0x… or 0…, with k, m, g, t, p (1,024 and so on); or INFINITE.
pub fn number(kind: Kind, text: &str) -> Result<u64, Wanted> {
    let (bad, max) = match kind {
        Kind::U16 => ("a number from 0 to 65535, or INFINITE,", u64::from(u16::MAX)),
        Kind::U32 => ("a number from 0 to 4294967295, or INFINITE,", u64::from(u32::MAX)),
        _ => ("a number of at most 64 bits, or INFINITE,", u64::MAX),
    };
    if ["infinite", "unlimited"].iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return Ok(greatest(kind));
    }
    let (digits, factor) = match text.bytes().last().map(|byte| byte.to_ascii_lowercase()) {
        Some(letter @ (b'k' | b'm' | b'g' | b't' | b'p')) => {
            let power = b"kmgtp".iter().position(|known| *known == letter).expect("one of them");
            (&text[..text.len() - 1], 1_u64 << (10 * (power + 1)))
        }
        _ => (text, 1),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    if digits.starts_with('+') {
        return Err(bad);
    }
    let number = u64::from_str_radix(digits, radix).ok().and_then(|n| n.checked_mul(factor));
    number.filter(|number| *number <= max).ok_or(bad)
}

/// Yes or no.
pub fn flag(text: &str) -> Result<bool, Wanted> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "up" | "1" => Ok(true),
        "no" | "false" | "down" | "0" => Ok(false),
        _ => Err("YES or NO"),
    }
}

/// A time limit in minutes, seconds rounded up: `minutes`, `minutes:seconds`, `h:m:s`, `days-h`,
/// `days-h:m`, `days-h:m:s`, or INFINITE (`u32::MAX`).
pub fn minutes(text: &str) -> Result<u32, Wanted> {
    let Some(all) = time(text)? else { return Ok(u32::MAX) };
    u32::try_from(all.div_ceil(60)).ok().filter(|found| *found < u32::MAX - 1).ok_or(TIME)
}

/// The same in seconds.
pub fn seconds(text: &str) -> Result<u32, Wanted> {
    let Some(all) = time(text)? else { return Ok(u32::MAX) };
    u32::try_from(all).ok().filter(|found| *found < u32::MAX - 1).ok_or(TIME)
}

const TIME: Wanted = "minutes, minutes:seconds, hours:minutes:seconds, days-hours, \
                      days-hours:minutes, days-hours:minutes:seconds or UNLIMITED";

/// Seconds; `None` for INFINITE.
fn time(text: &str) -> Result<Option<u64>, Wanted> {
    if ["-1", "infinite", "unlimited"].iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return Ok(None);
    }
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (Some(digits(days).ok_or(TIME)?), clock),
        None => (None, text),
    };
    let parts = clock.split(':').map(digits).collect::<Option<Vec<u64>>>().ok_or(TIME)?;
    let (hours, minutes, seconds) = match (days.is_some(), parts.as_slice()) {
        (false, [minutes]) => (0, *minutes, 0),
        (false, [minutes, seconds]) => (0, *minutes, *seconds),
        (true, [hours]) => (*hours, 0, 0),
        (true, [hours, minutes]) => (*hours, *minutes, 0),
        (_, [hours, minutes, seconds]) => (*hours, *minutes, *seconds),
        _ => return Err(TIME),
    };
    // Each part has at most nine digits: no sum overflows 64 bits.
    Ok(Some(((days.unwrap_or(0) * 24 + hours) * 60 + minutes) * 60 + seconds))
}

fn digits(text: &str) -> Option<u64> {
    let fine = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fine.then(|| text.parse().expect("at most nine digits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_as_slurm_reads_them() {
        let u16 = |text| number(Kind::U16, text).ok();
        assert_eq!(u16("30"), Some(30));
        assert_eq!(u16("0x10"), Some(16));
        assert_eq!(u16("010"), Some(8));
        assert_eq!(u16("Infinite"), Some(65_535));
        assert_eq!(number(Kind::U32, "1k"), Ok(1024));
        assert_eq!(number(Kind::U64, "UNLIMITED"), Ok(u64::MAX));
        for bad in ["", "abc", "-1", "65536", "64k", "+3", "0x", "k", "3 ", "1kk"] {
            assert_eq!(u16(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_are_minutes() {
        for (text, wanted) in [
            ("90", 90),
            ("1:30", 2),
            ("1:2:0", 62),
            ("1-0", 1440),
            ("1-2:30", 1590),
            ("1-0:0:1", 1441),
            ("INFINITE", u32::MAX),
            ("-1", u32::MAX),
        ] {
            assert_eq!(minutes(text), Ok(wanted), "{text}");
        }
        for bad in ["", "x", "1-", "-2", "1:2:3:4", "1-2:3:4:5", "999999999-0", "1111111111"] {
            assert!(minutes(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_value_makes_them_panic(text in "[-+0-9a-zxé:.]{0,12}") {
            let _ = (number(Kind::U16, &text), number(Kind::U64, &text), flag(&text));
            let _ = minutes(&text);
        }
    }
}
