//! Which of many points in time stay: the rule of `prune`, for snapshots of a state directory and
//! for backups of a repository alike. Pure.
//!
//! Invariants:
//! - the newest is always kept, and so is everything where no rule is given;
//! - each rule takes the newest of each of its last N periods that hold anything, in UTC: a clock
//!   that is set to summer time moves nothing; weeks begin on Monday;
//! - every verdict says why.

use crate::base::Nanos;
use std::fmt;

const HOUR: u64 = 3_600_000_000_000;
const DAY: u64 = 24 * HOUR;

/// The 1st of January 1970 was a Thursday: so many days lie between Monday and it.
const DAYS_AFTER_MONDAY: u64 = 3;

/// Any tag.
pub const ANY_TAG: &str = "*";

/// What is to stay. Zero: the rule is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of so many hours.
    pub hourly: u32,
    /// Of each of so many days.
    pub daily: u32,
    /// Of each of so many weeks.
    pub weekly: u32,
    /// Everything with one of these tags; [`ANY_TAG`] stands for all.
    pub tags: Vec<String>,
}

impl Keep {
    /// Whether no rule is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Keep::default()
    }
}

/// Something that may stay or go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// The time that it stands for.
    pub time: Nanos,
    /// Its tags.
    pub tags: Vec<String>,
}

/// Why something stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is the newest of all.
    Newest,
    /// Among the last ones: which of how many.
    Last(u32, u32),
    /// The newest of its hour: which of how many.
    Hourly(u32, u32),
    /// Of its day.
    Daily(u32, u32),
    /// Of its week.
    Weekly(u32, u32),
    /// It has this tag.
    Tag(String),
    /// No rule was given.
    NoRule,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Newest => f.write_str("newest"),
            Reason::Last(n, of) => write!(f, "last {n}/{of}"),
            Reason::Hourly(n, of) => write!(f, "hourly {n}/{of}"),
            Reason::Daily(n, of) => write!(f, "daily {n}/{of}"),
            Reason::Weekly(n, of) => write!(f, "weekly {n}/{of}"),
            Reason::Tag(tag) => write!(f, "tag {tag}"),
            Reason::NoRule => f.write_str("no rule given"),
        }
    }
}

/// Why each of `candidates` stays, in their order; without a reason it goes.
#[must_use]
pub fn decide(keep: &Keep, candidates: &[Candidate]) -> Vec<Vec<Reason>> {
    let mut reasons: Vec<Vec<Reason>> = vec![Vec::new(); candidates.len()];
    let mut newest_first: Vec<usize> = (0..candidates.len()).collect();
    // Of two with the same time the later one is the newer.
    newest_first.sort_by_key(|at| (candidates[*at].time, *at));
    newest_first.reverse();
    if let Some(newest) = newest_first.first() {
        reasons[*newest].push(Reason::Newest);
    }
    if keep.is_empty() {
        reasons.iter_mut().for_each(|reasons| reasons.push(Reason::NoRule));
        return reasons;
    }
    for (at, number) in newest_first.iter().zip(1..=keep.last) {
        reasons[*at].push(Reason::Last(number, keep.last));
    }
    type Period = fn(Nanos) -> u64;
    type Because = fn(u32, u32) -> Reason;
    let rules: [(u32, Period, Because); 3] = [
        (keep.hourly, |time| time.0 / HOUR, Reason::Hourly),
        (keep.daily, |time| time.0 / DAY, Reason::Daily),
        (keep.weekly, |time| (time.0 / DAY + DAYS_AFTER_MONDAY) / 7, Reason::Weekly),
    ];
    for (wanted, period, because) in rules {
        let mut seen = None;
        let mut number = 0;
        for at in &newest_first {
            let here = Some(period(candidates[*at].time));
            if number == wanted {
                break;
            }
            if here != seen {
                seen = here;
                number += 1;
                reasons[*at].push(because(number, wanted));
            }
        }
    }
    for (candidate, reasons) in candidates.iter().zip(&mut reasons) {
        let named = |tag: &&String| keep.tags.iter().any(|kept| kept == ANY_TAG || kept == *tag);
        reasons.extend(candidate.tags.iter().filter(named).cloned().map(Reason::Tag));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-05, a Monday, at midnight.
    const MONDAY: u64 = 20_458 * DAY;

    fn at(days: u64, hours: u64) -> Candidate {
        Candidate { time: Nanos(MONDAY + days * DAY + hours * HOUR), tags: Vec::new() }
    }

    fn kept(keep: &Keep, candidates: &[Candidate]) -> Vec<usize> {
        let reasons = decide(keep, candidates);
        (0..candidates.len()).filter(|at| !reasons[*at].is_empty()).collect()
    }

    #[test]
    fn without_a_rule_everything_stays() {
        let all = [at(0, 0), at(1, 0), at(2, 0)];
        assert_eq!(kept(&Keep::default(), &all), [0, 1, 2]);
        assert_eq!(kept(&Keep::default(), &[]), [0; 0]);
    }

    #[test]
    fn newest_stays_whatever_the_rule() {
        let tagged = Candidate { tags: vec!["old".to_owned()], ..at(0, 0) };
        let keep = Keep { tags: vec!["old".to_owned()], ..Keep::default() };
        assert_eq!(kept(&keep, &[tagged.clone(), at(1, 0), at(2, 0)]), [0, 2]);
        let any = Keep { tags: vec![ANY_TAG.to_owned()], ..Keep::default() };
        assert_eq!(kept(&any, &[tagged, at(1, 0), at(2, 0)]), [0, 2]);
    }

    #[test]
    fn each_rule_takes_the_newest_of_each_period_that_holds_anything() {
        let all = [at(0, 1), at(0, 5), at(1, 0), at(4, 3), at(4, 3), at(4, 9)];
        assert_eq!(kept(&Keep { last: 2, ..Keep::default() }, &all), [4, 5]);
        assert_eq!(kept(&Keep { hourly: 2, ..Keep::default() }, &all), [4, 5]);
        assert_eq!(kept(&Keep { daily: 3, ..Keep::default() }, &all), [1, 2, 5]);
        assert_eq!(kept(&Keep { daily: 99, ..Keep::default() }, &all), [1, 2, 5]);
        let both = Keep { last: 1, daily: 3, ..Keep::default() };
        let reasons = decide(&both, &all);
        assert_eq!(reasons[5], [Reason::Newest, Reason::Last(1, 1), Reason::Daily(1, 3)]);
        assert_eq!(reasons[1], [Reason::Daily(3, 3)]);
    }

    #[test]
    fn weeks_begin_on_monday() {
        // Saturday, Sunday | Monday, Tuesday
        let all = [at(5, 0), at(6, 23), at(7, 0), at(8, 0)];
        assert_eq!(kept(&Keep { weekly: 2, ..Keep::default() }, &all), [1, 3]);
    }

    #[test]
    fn order_of_the_candidates_does_not_matter() {
        let keep = Keep { last: 1, daily: 2, ..Keep::default() };
        assert_eq!(kept(&keep, &[at(2, 0), at(0, 0), at(1, 0)]), [0, 2]);
    }
}
