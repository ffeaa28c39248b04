//! Which backups stay, by restic's rules: a backup that any rule wants is kept.
//!
//! Invariants: the decision is a function of facts, and gives a reason for each backup; a backup
//! whose manifest is damaged is never removed, because nobody knows what it is.

use crate::base::Nanos;
use crate::export::id::BackupId;
use crate::export::repository::Listed;

/// What is to be kept. Hours, days and weeks are those of UTC; weeks begin on Monday.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// The newest ones.
    pub last: usize,
    /// The newest one of each of the last hours that have any.
    pub hourly: usize,
    /// Likewise for days.
    pub daily: usize,
    /// Likewise for weeks.
    pub weekly: usize,
    /// Those with one of these tags.
    pub tags: Vec<String>,
}

impl Keep {
    /// Whether no rule keeps anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last == 0
            && self.hourly == 0
            && self.daily == 0
            && self.weekly == 0
            && self.tags.is_empty()
    }
}

/// What becomes of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which one.
    pub id: BackupId,
    /// Its tag.
    pub tag: Option<String>,
    /// When it was made; zero if that is not known.
    pub made: Nanos,
    /// Whether it stays.
    pub keep: bool,
    /// Why.
    pub reasons: Vec<String>,
}

/// A rule that keeps one backup of each of so many spans.
struct Rule {
    name: &'static str,
    left: usize,
    span: fn(Nanos) -> u64,
    last: Option<u64>,
}

/// Decides on every backup, oldest first as they come.
#[must_use]
pub fn decide(backups: &[Listed], keep: &Keep) -> Vec<Verdict> {
    const HOUR: u64 = 3600 * 1_000_000_000;
    let rule = |name, left, span| Rule { name, left, span, last: None };
    let mut rules = [
        rule("last", keep.last, |time| time.0),
        rule("hourly", keep.hourly, |time| time.0 / HOUR),
        rule("daily", keep.daily, |time| time.0 / (24 * HOUR)),
        // 1970-01-01 was a Thursday.
        rule("weekly", keep.weekly, |time| (time.0 / (24 * HOUR) + 3) / 7),
    ];
    let oldest = backups.iter().find(|backup| backup.manifest.is_ok()).map(|backup| &backup.id);
    let mut verdicts: Vec<Verdict> = backups
        .iter()
        .rev()
        .map(|backup| match &backup.manifest {
            Err(_) => Verdict {
                id: backup.id.clone(),
                tag: None,
                made: Nanos::default(),
                keep: true,
                reasons: vec!["damaged, not judged".to_owned()],
            },
            Ok(manifest) => {
                let is_oldest = oldest == Some(&backup.id);
                let mut reasons: Vec<String> = rules
                    .iter_mut()
                    .filter_map(|rule| rule.wants(manifest.made, is_oldest))
                    .collect();
                if let Some(tag) = manifest.tag.as_ref().filter(|tag| keep.tags.contains(tag)) {
                    reasons.push(format!("tag {tag}"));
                }
                let wanted = !reasons.is_empty();
                if !wanted {
                    reasons.push("no rule keeps it".to_owned());
                }
                Verdict {
                    id: backup.id.clone(),
                    tag: manifest.tag.clone(),
                    made: manifest.made,
                    keep: wanted,
                    reasons,
                }
            }
        })
        .collect();
    verdicts.reverse();
    verdicts
}

impl Rule {
    /// Why the rule wants the backup, if it does. They come newest first.
    fn wants(&mut self, made: Nanos, oldest: bool) -> Option<String> {
        let span = (self.span)(made);
        let new = self.name == "last" || self.last != Some(span);
        if self.left == 0 || !(new || oldest) {
            return None;
        }
        self.left -= 1;
        self.last = Some(span);
        // As restic does: where there are fewer spans than are to be kept, the oldest stays.
        Some(if new { self.name.to_owned() } else { format!("oldest {}", self.name) })
    }
}
