//! File names of a state directory.
//!
//! | name | what |
//! |---|---|
//! | `CONTROL` | control file; sorts first, so that a copy in name order reads it before any log |
//! | `LOCK` | locked by the process that writes |
//! | `log-EEEEEEEEEE-NNNNNNNNNN` | segment: epoch, ordinal, decimal, at least ten digits |
//! | `snap-EEEEEEEEEE-LLLLLLLLLLLLLLLLLLLL` | snapshot: epoch, LSN (at least twenty digits) |
//! | `tag-EEEEEEEEEE-LLLLLLLLLLLLLLLLLLLL-NAME` | that snapshot's second name (a hard link) |
//! | `CONTROL-EEEEEEEEEE` | shared directory: control file of an epoch, written by its primary only |
//! | `REIGN-EEEEEEEEEE` | shared directory: the register's record of an epoch |
//! | `BEAT-EEEEEEEEEE` | shared directory: heartbeat of an epoch's primary |
//! | `HOST-NAME` | shared directory: a host says that it sees this directory |
//!
//! A tagged snapshot stays when the first name goes. Recovery never looks at it.
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
    /// The control file of one epoch of a shared directory.
    ControlOf(Epoch),
    /// The register's record of an epoch.
    Reign(Epoch),
    /// The heartbeat of an epoch's primary.
    Beat(Epoch),
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
                let (epoch, second) = numbers.split_once('-').unwrap_or((numbers, ""));
                let epoch = Epoch(epoch.parse().ok()?);
                match kind {
                    "log" => FileName::Segment(SegmentId { epoch, ordinal: second.parse().ok()? }),
                    "snap" => FileName::Snapshot { epoch, lsn: Lsn(second.parse().ok()?) },
                    "CONTROL" => FileName::ControlOf(epoch),
                    "REIGN" => FileName::Reign(epoch),
                    "BEAT" => FileName::Beat(epoch),
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
            FileName::ControlOf(epoch) => write!(f, "{CONTROL}-{:010}", epoch.0),
            FileName::Reign(epoch) => write!(f, "REIGN-{:010}", epoch.0),
            FileName::Beat(epoch) => write!(f, "BEAT-{:010}", epoch.0),
            FileName::Segment(id) => write!(f, "log-{:010}-{:010}", id.epoch.0, id.ordinal),
            FileName::Snapshot { epoch, lsn } => write!(f, "snap-{:010}-{:020}", epoch.0, lsn.0),
        }
    }
}

/// Longest name of a host.
pub const HOST_MAX: usize = 64;

/// Whether a controller's host can be called `name`: letters, digits and `_.-`.
#[must_use]
pub fn is_host(name: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    (1..=HOST_MAX).contains(&name.len()) && name.bytes().all(fine)
}

/// The file in which `host` says that it sees this directory.
#[must_use]
pub fn host_file(host: &str) -> String {
    format!("HOST-{host}")
}

/// The host whose file is called `file`.
#[must_use]
pub fn host_of(file: &str) -> Option<&str> {
    file.strip_prefix("HOST-").filter(|host| is_host(host))
}

/// Longest name of a tag.
pub const TAG_MAX: usize = 64;

/// A snapshot's second name, under which it stays beyond retention.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagName {
    /// The epoch of the snapshot's maker.
    pub epoch: Epoch,
    /// The state's LSN.
    pub lsn: Lsn,
    /// What it is called.
    pub name: String,
}

impl TagName {
    /// Whether something can be called `name`: letters, digits and `_.-`, at most [`TAG_MAX`].
    #[must_use]
    pub fn is_valid(name: &str) -> bool {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        (1..=TAG_MAX).contains(&name.len()) && name.bytes().all(fine)
    }

    /// The tag whose file is called `file`, or `None`. Exactly the names that `Display` prints.
    #[must_use]
    pub fn parse(file: &str) -> Option<TagName> {
        let (epoch, rest) = file.strip_prefix("tag-")?.split_once('-')?;
        let (lsn, name) = rest.split_once('-')?;
        let (epoch, lsn) = (Epoch(epoch.parse().ok()?), Lsn(lsn.parse().ok()?));
        let parsed = TagName { epoch, lsn, name: name.to_owned() };
        (TagName::is_valid(name) && parsed.to_string() == file).then_some(parsed)
    }
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag-{:010}-{:020}-{}", self.epoch.0, self.lsn.0, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_strangers_are_not_ours() {
        let segment = FileName::Segment(SegmentId { epoch: Epoch(7), ordinal: 12 });
        let snapshot = FileName::Snapshot { epoch: Epoch(u64::MAX), lsn: Lsn(u64::MAX) };
        let reign = [FileName::ControlOf, FileName::Reign, FileName::Beat].map(|of| of(Epoch(9)));
        for name in [FileName::Control, FileName::Lock, segment, snapshot].into_iter().chain(reign)
        {
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
            "REIGN-7",
            "REIGN-0000000007-",
            "CONTROL-",
            "HOST-mgmt01",
        ] {
            assert_eq!(FileName::parse(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn tags_read_back_and_are_no_other_files() {
        let tag = TagName { epoch: Epoch(7), lsn: Lsn(12), name: "pre-1.2_x".to_owned() };
        let file = tag.to_string();
        assert_eq!(file, "tag-0000000007-00000000000000000012-pre-1.2_x");
        assert_eq!(TagName::parse(&file), Some(tag));
        assert_eq!(FileName::parse(&file), None);
        for name in ["", "a b", "a/b", "ä", &"x".repeat(TAG_MAX + 1)] {
            let stranger = format!("tag-0000000007-00000000000000000012-{name}");
            assert_eq!(TagName::parse(&stranger), None, "{stranger}");
        }
        assert_eq!(TagName::parse("tag-7-12-x"), None);
    }

    #[test]
    fn files_of_hosts_read_back() {
        assert_eq!(host_of(&host_file("mgmt01.site")), Some("mgmt01.site"));
        for stranger in ["HOST-", "HOST-a/b", "HOST-a b", "host-a", "REIGN-0000000001"] {
            assert_eq!(host_of(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn control_file_sorts_before_the_log() {
        let log = FileName::Segment(SegmentId::default()).to_string();
        assert!(CONTROL < log.as_str());
        assert!(log < FileName::Snapshot { epoch: Epoch(0), lsn: Lsn(0) }.to_string());
    }
}
