//! Names of backups: `20261125T174450Z-1a2b3c4d`: when it was made (UTC), and 32 random bits.

use crate::base::Nanos;
use std::fmt;
use std::io;
use std::str::FromStr;

/// A backup's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupId(String);

impl BackupId {
    /// A name for a backup that is made now.
    ///
    /// # Errors
    /// Those of the kernel's source of randomness.
    pub fn new(now: Nanos) -> io::Result<BackupId> {
        let mut random = [0; 4];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        Ok(BackupId::of(now, u32::from_le_bytes(random)))
    }

    fn of(now: Nanos, random: u32) -> BackupId {
        let seconds = now.0 / 1_000_000_000;
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        BackupId(format!(
            "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z-{random:08x}"
        ))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The second that it says.
    #[must_use]
    pub fn second(&self) -> &str {
        &self.0[..16]
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for BackupId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<BackupId, Self::Err> {
        const SHAPE: &str = "a backup is named such as 20261125T174450Z-1a2b3c4d";
        let parts: Vec<&str> = text.split('-').collect();
        let [time, random] = parts[..] else { return Err(SHAPE) };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        // Places below are bytes.
        let shaped = text.is_ascii()
            && time.len() == 16
            && digits(&time[..8])
            && &time[8..9] == "T"
            && digits(&time[9..15])
            && &time[15..] == "Z"
            && random.len() == 8
            && random.bytes().all(hex);
        if shaped { Ok(BackupId(text.to_owned())) } else { Err(SHAPE) }
    }
}

/// The date of a day, counted from 1970-01-01: years of 365 days, and a leap day for each fourth
/// year but for three centuries in four.
fn date(day: u64) -> (u64, u64, u64) {
    let (mut year, mut left) = (1970, day);
    let leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let length = |year: u64| if leap(year) { 366 } else { 365 };
    while left >= length(year) {
        left -= length(year);
        year += 1;
    }
    let february = length(year) - 337;
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for days in months {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    (year, month, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_when_and_read_back() {
        for (seconds, expected) in [
            (0, "19700101T000000Z-0000002a"),
            (951_782_399, "20000228T235959Z-0000002a"),
            (951_782_400, "20000229T000000Z-0000002a"),
            (1_795_628_690, "20261125T174450Z-0000002a"),
            (4_107_542_400, "21000301T000000Z-0000002a"),
        ] {
            let id = BackupId::of(Nanos(seconds * 1_000_000_000), 42);
            assert_eq!(id.as_str(), expected);
            assert_eq!(expected.parse(), Ok(id));
        }
    }

    #[test]
    fn anything_else_is_no_name() {
        for text in [
            "",
            "latest",
            "../x",
            "20261125T174450Z",
            "20261125T174450Z-0000002A",
            "20261125T174450Z-0000002a-",
            "20261125T17445éZ-0000002a",
            // Found by fuzzing: a character that lies across a place where the text is cut.
            "2023111ӫ221320Z-b8b915f6",
            "20261125T174450Z-7-0000002a",
        ] {
            assert!(text.parse::<BackupId>().is_err(), "{text}");
        }
        BackupId::of(Nanos(u64::MAX), 0).as_str().parse::<BackupId>().unwrap();
    }
}
