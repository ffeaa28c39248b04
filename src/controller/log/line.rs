//! One line of the log, as Slurm writes it: the time where a file is written, the level, the text.

use jiff::Zoned;
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// How the time is written: LogTimeFormat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2026-11-25T21:13:12.042`
    #[default]
    IsoMs,
    /// `2026-11-25T21:13:12`
    Iso,
    /// `2026-11-25T21:13:12.042+01:00`
    Rfc5424Ms,
    /// `2026-11-25T21:13:12+01:00`
    Rfc5424,
    /// `Nov 25 21:13:12`
    Short,
    /// `Wed Nov 25 21:13:12 2026`
    Clock,
}

impl TimeFormat {
    /// The format of that name; Slurm's default for one that is not known here.
    #[must_use]
    pub fn of(name: &str) -> TimeFormat {
        match name.to_ascii_lowercase().as_str() {
            "iso8601" => TimeFormat::Iso,
            "rfc5424_ms" => TimeFormat::Rfc5424Ms,
            "rfc5424" => TimeFormat::Rfc5424,
            "short" => TimeFormat::Short,
            "clock" => TimeFormat::Clock,
            _ => TimeFormat::IsoMs,
        }
    }

    /// A time.
    #[must_use]
    pub fn write(self, time: &Zoned) -> String {
        let pattern = match self {
            TimeFormat::IsoMs => "%Y-%m-%dT%H:%M:%S%.3f",
            TimeFormat::Iso => "%Y-%m-%dT%H:%M:%S",
            TimeFormat::Rfc5424Ms => "%Y-%m-%dT%H:%M:%S%.3f%:z",
            TimeFormat::Rfc5424 => "%Y-%m-%dT%H:%M:%S%:z",
            TimeFormat::Short => "%b %d %H:%M:%S",
            TimeFormat::Clock => "%a %b %d %H:%M:%S %Y",
        };
        time.strftime(pattern).to_string()
    }
}

/// The text of an event, with its level in front where it is not the usual one.
pub fn text(event: &Event<'_>) -> String {
    let metadata = event.metadata();
    let mut line = Line(String::from(match *metadata.level() {
        Level::ERROR if metadata.target() == super::FATAL => "fatal: ",
        Level::ERROR => "error: ",
        Level::WARN => "warning: ",
        Level::INFO => "",
        Level::DEBUG => "debug:  ",
        Level::TRACE => "debug2: ",
    }));
    event.record(&mut line);
    // One event is one line, whatever is in it.
    line.0.replace('\n', "\n  ")
}

struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        let written = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("strings take everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_log_time_format_says() {
        let time: Zoned = "2026-11-05T21:13:12.0426+01:00[+01:00]".parse().unwrap();
        for (name, wanted) in [
            ("iso8601_ms", "2026-11-05T21:13:12.042"),
            ("iso8601", "2026-11-05T21:13:12"),
            ("RFC5424_ms", "2026-11-05T21:13:12.042+01:00"),
            ("rfc5424", "2026-11-05T21:13:12+01:00"),
            ("short", "Nov 05 21:13:12"),
            ("clock", "Thu Nov 05 21:13:12 2026"),
            ("thread_id", "2026-11-05T21:13:12.042"),
        ] {
            assert_eq!(TimeFormat::of(name).write(&time), wanted, "{name}");
        }
    }
}
