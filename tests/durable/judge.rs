//! What is lost, of what was told.

use std::collections::BTreeSet;
use std::fmt;

/// A job that somebody was told the id of.
#[derive(Clone, Debug)]
pub struct Told {
    /// The id.
    pub id: u32,
    /// The script that was sent.
    pub script: String,
}

/// What is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Ids that are not known.
    pub unknown: Vec<u32>,
    /// Ids whose script is another one, or none.
    pub other_script: Vec<u32>,
    /// Ids that were told twice.
    pub twice: Vec<u32>,
}

impl Lost {
    /// Both.
    pub fn plus(&self, other: &Lost) -> Lost {
        let both = |a: &[u32], b: &[u32]| [a, b].concat();
        Lost {
            unknown: both(&self.unknown, &other.unknown),
            other_script: both(&self.other_script, &other.other_script),
            twice: both(&self.twice, &other.twice),
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unknown, script) = (self.unknown.len(), self.other_script.len());
        let lost = unknown + script;
        let twice = self.twice.len();
        write!(f, "{lost} lost ({unknown} unknown, {script} without their script), {twice} twice")
    }
}

/// The ids in the answer to `scontrol -o show job`.
pub fn ids_shown(text: &str) -> BTreeSet<u32> {
    let ids = text.lines().filter_map(|line| line.strip_prefix("JobId="));
    ids.map(|rest| rest.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

/// What is lost of what was `told` now, and of what was told `before`. Those that were lost before
/// are lost again: only whether ids are given twice is asked of them.
pub fn lost(
    told: &[Told],
    before: &[Told],
    known: &BTreeSet<u32>,
    script: impl Fn(u32) -> Option<String>,
) -> Lost {
    assert!(!told.is_empty(), "nothing was told: nothing is proved");
    let mut lost = Lost::default();
    let mut ids: BTreeSet<u32> = before.iter().map(|job| job.id).collect();
    for job in told {
        if !ids.insert(job.id) {
            lost.twice.push(job.id);
        }
        if !known.contains(&job.id) {
            lost.unknown.push(job.id);
        } else if script(job.id).as_ref() != Some(&job.script) {
            lost.other_script.push(job.id);
        }
    }
    lost
}
