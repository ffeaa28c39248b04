//! Which backups of a repository stay, by the rule in [`keep`].
//!
//! Invariant: a backup whose manifest is damaged is never removed, because nobody knows what it is.

use crate::base::Nanos;
use crate::export::id::BackupId;
use crate::export::keep::{self, Candidate, Keep};
use crate::export::manifest::Manifest;
use crate::export::repository::Listed;

/// What becomes of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which one.
    pub id: BackupId,
    /// Its tag.
    pub tag: Option<String>,
    /// When it was made; zero if that is not known.
    pub made: Nanos,
    /// Why it stays; empty if it goes.
    pub reasons: Vec<String>,
}

impl Verdict {
    /// Whether it stays.
    #[must_use]
    pub fn stays(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// Decides on every backup, in their order.
#[must_use]
pub fn judge(backups: &[Listed], keep: &Keep) -> Vec<Verdict> {
    let sound: Vec<&Manifest> =
        backups.iter().filter_map(|backup| backup.manifest.as_ref().ok()).collect();
    let candidates: Vec<Candidate> = sound
        .iter()
        .map(|manifest| Candidate {
            time: manifest.made,
            tags: manifest.tag.iter().cloned().collect(),
        })
        .collect();
    let mut reasons = keep::decide(keep, &candidates).into_iter();
    let judged = backups.iter().map(|backup| match &backup.manifest {
        Ok(manifest) => Verdict {
            id: backup.id.clone(),
            tag: manifest.tag.clone(),
            made: manifest.made,
            reasons: reasons
                .next()
                .expect("one answer for each")
                .iter()
                .map(ToString::to_string)
                .collect(),
        },
        Err(_) => Verdict {
            id: backup.id.clone(),
            tag: None,
            made: Nanos::default(),
            reasons: vec!["damaged, not judged".to_owned()],
        },
    });
    judged.collect()
}
