//! Times as Slurm's tools print them: in the time zone of who asks.

use crate::client::env;
use crate::slurm::wire::{Time, Unset};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Seconds since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

/// A time, in the form that `SLURM_TIME_FORMAT` asks for: as `2026-11-23T06:30:49` if not.
pub fn stamp(time: Time) -> String {
    let Time(seconds) = time;
    if seconds == 0 || seconds == i64::from(u32::INFINITE) {
        return "Unknown".to_owned();
    }
    if seconds == i64::from(u32::UNSET) {
        return "None".to_owned();
    }
    let form = env("SLURM_TIME_FORMAT").filter(|form| form.contains('%') && form.len() < 32);
    shown(seconds, form.as_deref().unwrap_or("%Y-%m-%dT%H:%M:%S"))
}

fn shown(seconds: i64, form: &str) -> String {
    let Ok(moment) = Timestamp::from_second(seconds) else { return "Unknown".to_owned() };
    let zoned = moment.to_zoned(TimeZone::system());
    jiff::fmt::strtime::format(form, &zoned).unwrap_or_else(|_| "Unknown".to_owned())
}

/// The first line of long forms: when it was printed.
pub fn date() -> String {
    shown(now(), "%a %b %d %H:%M:%S %Y") + "\n"
}

/// A duration as `days-hh:mm:ss` or `hh:mm:ss`.
pub fn long(seconds: i64) -> String {
    if seconds == i64::from(u32::INFINITE) {
        return "UNLIMITED".to_owned();
    }
    if seconds < 0 {
        return "INVALID".to_owned();
    }
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days > 0 { format!("{days}-{clock}") } else { clock }
}

/// A limit in minutes, likewise.
pub fn minutes(minutes: u32) -> String {
    if minutes == u32::INFINITE { "UNLIMITED".to_owned() } else { long(i64::from(minutes) * 60) }
}

/// A duration without zeros in front: `m:ss`, `h:mm:ss`, `d-hh:mm:ss`.
pub fn short(seconds: i64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}:{seconds:02}"),
        (0, _) => format!("{hours}:{minutes:02}:{seconds:02}"),
        _ => format!("{days}-{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_slurms_two_forms() {
        assert_eq!([long(4), long(90_061)], ["00:00:04", "1-01:01:01"]);
        assert_eq!([short(4), short(3600), short(90_061)], ["0:04", "1:00:00", "1-01:01:01"]);
        assert_eq!([minutes(5), minutes(u32::INFINITE)], ["00:05:00", "UNLIMITED"]);
    }

    #[test]
    fn times_that_are_none_have_words() {
        assert_eq!(stamp(Time(0)), "Unknown");
        assert_eq!(stamp(Time(i64::from(u32::UNSET))), "None");
        assert_eq!(stamp(Time(1_700_000_000)).len(), "2023-11-14T22:13:20".len());
    }
}
