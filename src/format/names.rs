//! File names of a state directory.
//!
//! | name | what |
//! |---|---|
//! | `CONTROL` | control file; sorts first, so that a copy in name order reads it before any log |
//! | `LOCK` | locked by the process that writes |
//! | `log-EEEEEEEEEE-NNNNNNNNNN` | segment: epoch, ordinal, decimal, at least ten digits |
//! | `snap-EEEEEEEEEE-LLLLLLLLLLLLLLLLLLLL` | snapshot: epoch, LSN (at least twenty digits) |
//!
//! Anything else in the directory (`lost+found`, rsync's `.log-….a1B2c3`, `.nfs…`) is not ours and
//! never hinders.

use crate::base::{Epoch, Lsn, SegmentId};
use std::fmt;

/// The control file's name.
pub const CONTROL: &str = "CONTROL";

/// The lock file's name.
pub const LOCK: &str = "LOCK";

/// A name that the engine made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// The control file.
    Control,
    /// The lock file.
    Lock,
    /// A segment of the log.
    Segment(SegmentId),
    /// A snapshot, made by the writer of `epoch`, of the state at `lsn`.
    Snapshot {
        /// The maker's epoch.
        epoch: Epoch,
        /// The state's LSN.
        lsn: Lsn,
    },
}

impl FileName {
    /// Which of our files `name` is, or `None`. Exactly the names that `Display` prints.
    #[must_use]
    pub fn parse(name: &str) -> Option<FileName> {
        let parsed = match name {
            CONTROL => FileName::Control,
            LOCK => FileName::Lock,
            _ => {
                let (kind, numbers) = name.split_once('-')?;
                let (epoch, second) = numbers.split_once('-')?;
                let epoch = Epoch(epoch.parse().ok()?);
                match kind {
                    "log" => FileName::Segment(SegmentId { epoch, ordinal: second.parse().ok()? }),
                    "snap" => FileName::Snapshot { epoch, lsn: Lsn(second.parse().ok()?) },
                    _ => return None,
                }
            }
        };
        // One spelling per file: "+7" or missing zeros are somebody else's names.
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileName::Control => f.write_str(CONTROL),
            FileName::Lock => f.write_str(LOCK),
            FileName::Segment(id) => write!(f, "log-{:010}-{:010}", id.epoch.0, id.ordinal),
            FileName::Snapshot { epoch, lsn } => write!(f, "snap-{:010}-{:020}", epoch.0, lsn.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_strangers_are_not_ours() {
        let segment = FileName::Segment(SegmentId { epoch: Epoch(7), ordinal: 12 });
        let snapshot = FileName::Snapshot { epoch: Epoch(u64::MAX), lsn: Lsn(u64::MAX) };
        for name in [FileName::Control, FileName::Lock, segment, snapshot] {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        assert_eq!(segment.to_string(), "log-0000000007-0000000012");
        for stranger in [
            "",
            "log-7-12",
            "log-+000000007-0000000012",
            ".log-0000000007-0000000012.Xy12Zz",
            "log-0000000007-0000000012.orig",
            "lost+found",
            ".nfs0001",
            "snap-",
            "log-0000000007-",
            "log-00000000070-0000000012",
            "job_state",
        ] {
            assert_eq!(FileName::parse(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn control_file_sorts_before_the_log() {
        let log = FileName::Segment(SegmentId::default()).to_string();
        assert!(CONTROL < log.as_str());
        assert!(log < FileName::Snapshot { epoch: Epoch(0), lsn: Lsn(0) }.to_string());
    }
}
