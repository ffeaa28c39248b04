//! Durations and points in time, as users write them.

use crate::slurm::wire::Unset;
use jiff::civil::{Date, DateTime, Time as Clock};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

/// Seconds of `minutes`, `minutes:seconds`, `hours:minutes:seconds`,
/// `days-hours[:minutes[:seconds]]`. Without bound: [`Unset::INFINITE`]. `None`: it is none of
/// these.
pub fn seconds(text: &str) -> Option<u32> {
    let endless = ["-1", "INFINITE", "UNLIMITED"];
    if endless.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Some(u32::INFINITE);
    }
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
    let numbers = |text: &str| text.split(':').map(number).collect::<Option<Vec<u64>>>();
    let seconds = match text.split_once('-') {
        Some((days, "")) => number(days)? * 86_400,
        Some((days, clock)) => {
            let clock = match numbers(clock)?.as_slice() {
                [hours] => hours * 3600,
                [hours, minutes] => hours * 3600 + minutes * 60,
                [hours, minutes, seconds] => hours * 3600 + minutes * 60 + seconds,
                _ => return None,
            };
            number(days)? * 86_400 + clock
        }
        None => match numbers(text)?.as_slice() {
            [minutes] => minutes * 60,
            [minutes, seconds] => minutes * 60 + seconds,
            [hours, minutes, seconds] => hours * 3600 + minutes * 60 + seconds,
            _ => return None,
        },
    };
    // Slurm's own counts in 31 bits.
    u32::try_from(seconds).ok().filter(|seconds| *seconds <= i32::MAX.cast_unsigned())
}

/// The same in minutes, seconds rounded up.
pub fn minutes(text: &str) -> Option<u32> {
    match seconds(text)? {
        u32::INFINITE => Some(u32::INFINITE),
        seconds => Some(seconds.div_ceil(60)),
    }
}

const UNITS: [(&str, i64); 5] =
    [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400), ("week", 604_800)];

/// A point in time, to the second since 1970, for somebody who asks `now`: `HH:MM[:SS] [AM|PM]`,
/// `YYYY-MM-DD[THH:MM[:SS]]`, `MMDD[YY]`, `MM/DD[/YY]`, `MM.DD[.YY]`, `today`, `tomorrow`,
/// `midnight`, `noon`, `fika`, `teatime`, `now[+count[unit]]`, `uts<seconds>`. `None`: it is none.
pub fn point(text: &str, now: &Zoned) -> Option<i64> {
    if let Some(seconds) = strip(text, "uts") {
        return seconds.parse().ok().filter(|seconds| *seconds >= 1_000_000);
    }
    let (mut date, mut clock) = (None, None);
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix([' ', '\t', '-', 'T']) {
            // `T` between a date and a time, but not the first letter of a word.
            let word = strip(rest, "today").or(strip(rest, "tomorrow")).or(strip(rest, "teatime"));
            if word.is_none() {
                rest = after;
                continue;
            }
        }
        if let Some(delta) = strip(rest, "now") {
            let at = now.checked_add(SignedDuration::from_secs(delta_s(delta)?)).ok()?;
            date = Some(Day::Full(at.date()));
            clock = Some(at.time());
            break;
        }
        rest = match word(rest, now) {
            Some((Found::Day(day), after)) => {
                date = Some(Day::Full(day));
                after
            }
            Some((Found::Clock(hour), after)) => {
                clock = Some(Clock::new(hour, 0, 0, 0).ok()?);
                after
            }
            None if is_clock(rest) => {
                let (found, after) = read_clock(rest)?;
                clock = Some(found);
                after
            }
            None => {
                let (found, after) = read_date(rest)?;
                date = Some(found);
                after
            }
        };
    }
    resolve(date, clock, now)
}

/// The same, for somebody who asks now.
pub fn from_now(text: &str) -> Option<i64> {
    point(text, &Timestamp::now().to_zoned(TimeZone::system()))
}

#[derive(Clone, Copy)]
enum Day {
    Full(Date),
    /// Of the year in which it comes next.
    Month(i8, i8),
}

enum Found {
    Day(Date),
    Clock(i8),
}

fn strip<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    head.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
}

fn word<'a>(text: &'a str, now: &Zoned) -> Option<(Found, &'a str)> {
    let today = now.date();
    let clocks = [("midnight", 0), ("noon", 12), ("fika", 15), ("teatime", 16)];
    let clock = clocks.iter().find_map(|(word, hour)| Some((*hour, strip(text, word)?)));
    if let Some((hour, after)) = clock {
        return Some((Found::Clock(hour), after));
    }
    if let Some(after) = strip(text, "today") {
        return Some((Found::Day(today), after));
    }
    let after = strip(text, "tomorrow")?;
    Some((Found::Day(today.checked_add(1.day()).ok()?), after))
}

/// `+2hours`, `-30`; nothing is 0.
fn delta_s(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.is_empty() {
        return Some(0);
    }
    let (sign, text) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest.trim_start()),
        ("-", rest) => (-1, rest.trim_start()),
        _ => return None,
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = (text[..digits].parse::<i64>().ok()?, text[digits..].trim());
    let factor = if unit.is_empty() {
        1
    } else {
        let is = |name: &str| {
            unit.eq_ignore_ascii_case(name)
                || unit.strip_suffix(['s', 'S']).is_some_and(|one| one.eq_ignore_ascii_case(name))
        };
        UNITS.iter().find(|(name, _)| is(name)).map(|(_, factor)| *factor)?
    };
    count.checked_mul(factor).map(|seconds| sign * seconds)
}

fn is_clock(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_digit)
        && (bytes.get(1) == Some(&b':') || bytes.get(2) == Some(&b':'))
}

/// A number of up to `most` digits.
fn digits(text: &str, most: usize) -> Option<(i16, &str)> {
    let len = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    Some((text[..len].parse().ok()?, &text[len..]))
}

fn read_clock(text: &str) -> Option<(Clock, &str)> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = match rest.strip_prefix(':') {
        Some(rest) => digits(rest, 2)?,
        None => (0, rest),
    };
    let after = rest.trim_start();
    let (hour, rest) = if let Some(after) = strip(after, "pm") {
        (if hour == 12 { 12 } else { hour + 12 }, after)
    } else if let Some(after) = strip(after, "am") {
        (if hour == 12 { 0 } else { hour }, after)
    } else {
        (hour, rest)
    };
    let part = |number: i16| i8::try_from(number).ok();
    Some((Clock::new(part(hour)?, part(minute)?, part(second)?, 0).ok()?, rest))
}

fn read_date(text: &str) -> Option<(Day, &str)> {
    let bytes = text.as_bytes();
    if bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-') {
        let (year, rest) = digits(text, 4)?;
        let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
        let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
        let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        return Some((Day::Full(Date::new(year, month, day).ok()?), rest));
    }
    let (month, rest) = digits(text, 2)?;
    let rest = rest.strip_prefix(['.', '/']).unwrap_or(rest);
    let (day, rest) = digits(rest, 2)?;
    let rest = rest.strip_prefix(['.', '/']).unwrap_or(rest);
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    match digits(rest, 2) {
        Some((year, after)) => Some((Day::Full(Date::new(2000 + year, month, day).ok()?), after)),
        None => Some((Day::Month(month, day), rest)),
    }
}

fn resolve(date: Option<Day>, clock: Option<Clock>, now: &Zoned) -> Option<i64> {
    if date.is_none() && clock.is_none() {
        return None;
    }
    let time = clock.unwrap_or(Clock::midnight());
    let coming = |at: Clock| {
        let (hour, minute) = (now.hour(), now.minute());
        (at.hour(), at.minute()) > (hour, minute)
    };
    let day = match date {
        Some(Day::Full(day)) => day,
        Some(Day::Month(month, day)) => {
            let today = (now.month(), now.day());
            let this = (month, day) > today || ((month, day) == today && coming(time));
            Date::new(if this { now.year() } else { now.year() + 1 }, month, day).ok()?
        }
        None if coming(time) => now.date(),
        None => now.date().checked_add(1.day()).ok()?,
    };
    let zoned = DateTime::from_parts(day, time).to_zoned(now.time_zone().clone()).ok()?;
    Some(zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_slurms() {
        let minutes = |text: &str| minutes(text).map(i64::from);
        let read = ["5", "1:30", "1:00:00", "1-0", "1-2:03", "2-00:00:01"].map(minutes);
        assert_eq!(read, [5, 2, 60, 1440, 1563, 2881].map(Some));
        assert_eq!(minutes("UNLIMITED"), Some(i64::from(u32::INFINITE)));
        for bad in ["", "bogus", "1:2:3:4", "-", "1--2", "+5", "99999999999"] {
            assert_eq!(minutes(bad), None, "{bad}");
        }
    }

    /// 2026-11-23 06:30:00 UTC, a Monday.
    fn monday() -> Zoned {
        Timestamp::from_second(1_795_415_400).unwrap().to_zoned(TimeZone::UTC)
    }

    fn at(text: &str) -> String {
        point(text, &monday()).map_or("none".to_owned(), |seconds| {
            Timestamp::from_second(seconds).unwrap().to_string()
        })
    }

    #[test]
    fn points_in_time_are_slurms() {
        for (text, wanted) in [
            ("now", "2026-11-23T06:30:00Z"),
            ("now+1hour", "2026-11-23T07:30:00Z"),
            ("now+90", "2026-11-23T06:31:30Z"),
            ("now + 2 days", "2026-11-25T06:30:00Z"),
            ("today", "2026-11-23T00:00:00Z"),
            ("tomorrow", "2026-11-24T00:00:00Z"),
            ("16:00", "2026-11-23T16:00:00Z"),
            ("04:00", "2026-11-24T04:00:00Z"),
            ("4:05 pm", "2026-11-23T16:05:00Z"),
            ("noon", "2026-11-23T12:00:00Z"),
            ("teatime", "2026-11-23T16:00:00Z"),
            ("2027-01-20", "2027-01-20T00:00:00Z"),
            ("2027-01-20T12:34:00", "2027-01-20T12:34:00Z"),
            ("01/20/27", "2027-01-20T00:00:00Z"),
            ("1120", "2027-11-20T00:00:00Z"),
            ("tomorrow noon", "2026-11-24T12:00:00Z"),
            ("uts1795415400", "2026-11-23T06:30:00Z"),
            ("", "none"),
            ("bogus", "none"),
            ("25:00", "none"),
            ("now+1fortnight", "none"),
        ] {
            assert_eq!(at(text), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(
            text in "(now|today|tomorrow|noon|T|pm|[0-9]|:|-|/|\\+| |hour|é)*",
        ) {
            let _ = (point(&text, &monday()), seconds(&text));
        }
    }
}
