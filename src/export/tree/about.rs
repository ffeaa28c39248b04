//! The file that says what an exported tree is: a line for each fact, `name value`.
//!
//! Invariant: the first line names version 1; lines with other names are passed by, so that later
//! versions can say more.

use crate::base::{Id, Lsn, Nanos};
use std::fmt::Write;

/// Its name in the tree. No table's folder begins with a dot.
pub const ABOUT: &str = ".statectl-export";

/// Longest such file.
pub(super) const ABOUT_MAX: usize = 4096;

const FIRST: &str = "statectl-export 1";

/// What a tree is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The cluster whose state it is.
    pub cluster: Id,
    /// The history that it was taken from.
    pub incarnation: Id,
    /// The state's LSN.
    pub lsn: Lsn,
    /// When its last group was saved.
    pub time: Nanos,
}

impl About {
    pub(super) fn encode(&self) -> String {
        let mut text = format!("{FIRST}\n");
        for (name, value) in [
            ("cluster", self.cluster.to_string()),
            ("incarnation", self.incarnation.to_string()),
            ("lsn", self.lsn.to_string()),
            ("time", self.time.0.to_string()),
        ] {
            writeln!(text, "{name} {value}").expect("strings take everything");
        }
        text
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<About, &'static str> {
        let text = std::str::from_utf8(bytes).map_err(|_| "no text")?;
        let mut lines = text.lines();
        if lines.next() != Some(FIRST) {
            return Err("not a description of an exported tree, or of a newer version");
        }
        let mut about = About::default();
        for line in lines {
            let (name, value) = line.split_once(' ').ok_or("a line without a value")?;
            match name {
                "cluster" => about.cluster = value.parse()?,
                "incarnation" => about.incarnation = value.parse()?,
                "lsn" => about.lsn = Lsn(value.parse().map_err(|_| "no LSN")?),
                "time" => about.time = Nanos(value.parse().map_err(|_| "no time")?),
                _ => {}
            }
        }
        Ok(about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_reads_back_and_damage_is_an_error() {
        let about = About {
            cluster: Id([7; 16]),
            incarnation: Id([0xfe; 16]),
            lsn: Lsn(u64::MAX),
            time: Nanos(1),
        };
        let text = about.encode();
        assert_eq!(About::decode(text.as_bytes()), Ok(about));
        let more = format!("{text}entries 7\n");
        assert_eq!(About::decode(more.as_bytes()), Ok(about));
        for end in 0..FIRST.len() {
            assert!(About::decode(&text.as_bytes()[..end]).is_err());
        }
        for bad in ["lsn x", "cluster 12", "cluster +0000000000000000000000000000001", "x"] {
            assert!(About::decode(format!("{FIRST}\n{bad}\n").as_bytes()).is_err(), "{bad}");
        }
        assert!(About::decode(&[0xff]).is_err());
    }
}
