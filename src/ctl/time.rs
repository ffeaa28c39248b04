//! Points in the history, as people write them: `latest`, `@lsn:N`, a snapshot's id, `tag:NAME`,
//! RFC 3339, `now-2h`; and spans such as `10s`.

use crate::base::{Epoch, Lsn, Nanos};
use crate::format::{FileName, TagName};
use jiff::{Span, SpanRelativeTo, Timestamp};
use std::str::FromStr;
use std::time::Duration;

/// A point in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// The newest state that is durable.
    Latest,
    /// The state after a save.
    Lsn(Lsn),
    /// The state at a time.
    Time(Nanos),
    /// The state that a snapshot holds.
    Snapshot(Epoch, Lsn),
    /// The state that a tagged snapshot holds.
    Tag(String),
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<When, String> {
        if text == "latest" {
            return Ok(When::Latest);
        }
        if let Some(number) = text.strip_prefix("@lsn:") {
            return number.parse().map(|lsn| When::Lsn(Lsn(lsn))).map_err(|e| e.to_string());
        }
        if let Some(FileName::Snapshot { epoch, lsn }) = FileName::parse(text) {
            return Ok(When::Snapshot(epoch, lsn));
        }
        if let Some(name) = text.strip_prefix("tag:") {
            let valid = TagName::is_valid(name).then(|| When::Tag(name.to_owned()));
            return valid.ok_or("a tag is 1 to 64 letters, digits, '_', '.' and '-'".to_owned());
        }
        if let Some(ago) = text.strip_prefix("now") {
            return before_now(ago).map(When::Time);
        }
        let time: Timestamp = text.parse().map_err(|_| {
            "neither RFC 3339 (2026-01-31T12:00:00Z), now-2h, @lsn:N, tag:NAME, a snapshot's id \
             nor latest"
                .to_owned()
        })?;
        nanos(time).map(When::Time)
    }
}

fn before_now(ago: &str) -> Result<Nanos, String> {
    if ago.is_empty() {
        return Ok(Nanos::now());
    }
    let span = ago.strip_prefix('-').ok_or("only now-SPAN, such as now-2h, is understood")?;
    let span = u64::try_from(duration(span)?.as_nanos()).unwrap_or(u64::MAX);
    Ok(Nanos(Nanos::now().0.saturating_sub(span)))
}

fn nanos(time: Timestamp) -> Result<Nanos, String> {
    let nanos = u64::try_from(time.as_nanosecond());
    nanos.map(Nanos).map_err(|_| "a time before 1970 or after 2554".to_owned())
}

/// Reads `10s`, `1h30m`, `2d`, or a number of seconds.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn duration(text: &str) -> Result<Duration, String> {
    const SHAPE: &str = "a span is a number of seconds, or such as 500ms, 10s, 1h30m, 2d";
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| SHAPE.to_owned());
    }
    let span: Span = text.parse().map_err(|_| SHAPE)?;
    let exact = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| SHAPE)?;
    exact.try_into().map_err(|_| SHAPE.to_owned())
}

/// A time in RFC 3339, UTC, with as many digits as it has; `-` for none.
#[must_use]
pub fn rfc3339(time: Nanos) -> String {
    match Timestamp::from_nanosecond(i128::from(time.0)) {
        Ok(stamp) if time != Nanos::default() => stamp.to_string(),
        _ => "-".to_owned(),
    }
}

/// How long ago, for people, in one word: `13min`.
#[must_use]
pub fn age(then: Nanos) -> String {
    let seconds = Nanos::now().0.saturating_sub(then.0) / 1_000_000_000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}min", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_the_history_are_read_as_people_write_them() {
        assert_eq!("latest".parse(), Ok(When::Latest));
        assert_eq!("@lsn:7".parse(), Ok(When::Lsn(Lsn(7))));
        assert_eq!("tag:pre-1.2".parse(), Ok(When::Tag("pre-1.2".to_owned())));
        let id = FileName::Snapshot { epoch: Epoch(3), lsn: Lsn(9) }.to_string();
        assert_eq!(id.parse(), Ok(When::Snapshot(Epoch(3), Lsn(9))));
        let time = When::Time(Nanos(1_000_000_001));
        assert_eq!("1970-01-01T00:00:01.000000001Z".parse(), Ok(time.clone()));
        assert_eq!("1970-01-01T02:00:01.000000001+02:00".parse(), Ok(time));
        let Ok(When::Time(ago)) = "now-1d2h".parse() else { panic!("a time") };
        let expected = Nanos::now().0 - 26 * 3600 * 1_000_000_000;
        assert!(expected.abs_diff(ago.0) < 60_000_000_000);
    }

    #[test]
    fn anything_else_is_refused_in_words() {
        let far = format!("now-{}h", u64::MAX);
        for text in [
            "",
            "tag:",
            "tag:a/b",
            "yesterday",
            "@lsn:x",
            "@lsn:-1",
            "now+1h",
            "now-",
            "now-1mo",
            &far,
            "2026",
        ] {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
        for text in ["", "-1", "nan", "inf", "1e300", "1y", "10 sheep"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn a_printed_time_reads_back_exactly() {
        let time = Nanos(1_795_424_667_123_456_789);
        assert_eq!(rfc3339(time).parse(), Ok(When::Time(time)));
        assert_eq!(rfc3339(Nanos(0)), "-");
    }
}
