//! What was told against what is there.
//!
//! | found | when |
//! |---|---|
//! | unknown | `sbatch` printed an id that `scontrol show job` does not know, or shows as another submission's |
//! | other script | the script of that id is not the one that was sent |
//! | no output | what the job must have printed at its end is not in its output file |
//! | ran twice | its output file has more beginnings than one and its recorded requeues |
//! | told twice | an id was printed for two submissions |
//! | made twice | one submission has two jobs |
//!
//! The first three are lost jobs. A submission that failed for its client may have a job or not:
//! nobody was told anything, and both are right.

use std::collections::{BTreeMap, BTreeSet};

/// A submission whose client printed an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which submission.
    pub number: u32,
    /// The id.
    pub id: u32,
}

/// The name of a submission's job.
pub fn name(number: u32) -> String {
    format!("drill-{number}")
}

/// Submissions from this number on are heavy: they fill a disk that is nearly full.
pub const HEAVY: u32 = 1_000_000_000;

/// Lines of 33 bytes in a heavy script, which compress to half of it.
const HEAVY_LINES: usize = 12_000;

/// Its script. Every third job lasts, so that some wait and some run whenever the worst happens.
pub fn script(number: u32) -> String {
    let lasts = if number.is_multiple_of(3) { "sleep 0.5\n" } else { "" };
    let name = name(number);
    let light = format!("#!/bin/sh\n# {name}\necho ran {number}\n{lasts}echo ended {number}\n");
    if number < HEAVY { light } else { light + "exit\n" + &weight(number) }
}

fn weight(number: u32) -> String {
    let mut state = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..HEAVY_LINES).map(|_| format!("#{:016x}{:015x}\n", word(), word() >> 4)).collect()
}

/// A job as `scontrol show job` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// How often it was put back into the queue.
    pub requeued: usize,
}

/// Everything that is there.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Jobs, by id.
    pub jobs: BTreeMap<u32, Shown>,
    /// Scripts, by id.
    pub scripts: BTreeMap<u32, String>,
    /// Output files, by id.
    pub outputs: BTreeMap<u32, String>,
}

/// Ids with which something is wrong; nothing is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Nobody knows them.
    pub unknown: BTreeSet<u32>,
    /// Another script, or none.
    pub other_script: BTreeSet<u32>,
    /// Their output never appeared, or not all of it.
    pub no_output: BTreeSet<u32>,
    /// They ran more often than recorded.
    pub ran_twice: BTreeSet<u32>,
    /// Printed for two submissions.
    pub told_twice: BTreeSet<u32>,
    /// The second job of one submission.
    pub made_twice: BTreeSet<u32>,
}

impl Verdict {
    /// Ids that are lost in any way.
    pub fn lost(&self) -> usize {
        let lost = self.unknown.union(&self.other_script).copied().collect::<BTreeSet<_>>();
        lost.union(&self.no_output).count()
    }

    /// Ids that are there more often than they should be.
    pub fn twice(&self) -> usize {
        let twice = self.ran_twice.union(&self.told_twice).copied().collect::<BTreeSet<_>>();
        twice.union(&self.made_twice).count()
    }

    /// What is wrong in either.
    pub fn plus(mut self, other: &Verdict) -> Verdict {
        for ((_, mine), (_, theirs)) in self.kinds_mut().into_iter().zip(other.kinds()) {
            mine.extend(theirs);
        }
        self
    }

    /// Every kind, and its name.
    pub fn kinds(&self) -> [(&'static str, &BTreeSet<u32>); 6] {
        [
            ("unknown", &self.unknown),
            ("other script", &self.other_script),
            ("no output", &self.no_output),
            ("ran twice", &self.ran_twice),
            ("told twice", &self.told_twice),
            ("made twice", &self.made_twice),
        ]
    }

    fn kinds_mut(&mut self) -> [(&'static str, &mut BTreeSet<u32>); 6] {
        [
            ("unknown", &mut self.unknown),
            ("other script", &mut self.other_script),
            ("no output", &mut self.no_output),
            ("ran twice", &mut self.ran_twice),
            ("told twice", &mut self.told_twice),
            ("made twice", &mut self.made_twice),
        ]
    }
}

/// How often a job began, by its output.
fn beginnings(output: &str, number: u32) -> usize {
    let line = format!("ran {number}");
    output.lines().filter(|found| *found == line).count()
}

fn ended(output: &str, number: u32) -> bool {
    let line = format!("ended {number}");
    output.lines().any(|found| found == line)
}

/// What is wrong with those that were told, and with the jobs of those that were sent.
pub fn verdict(told: &[Told], sent: &BTreeSet<u32>, there: &Evidence) -> Verdict {
    let mut wrong = Verdict::default();
    let mut seen = BTreeSet::new();
    for Told { number, id } in told {
        if !seen.insert(*id) {
            wrong.told_twice.insert(*id);
        }
        if there.jobs.get(id).is_none_or(|job| job.name != name(*number)) {
            wrong.unknown.insert(*id);
        }
        if there.scripts.get(id) != Some(&script(*number)) {
            wrong.other_script.insert(*id);
        }
        if !there.outputs.get(id).is_some_and(|output| ended(output, *number)) {
            wrong.no_output.insert(*id);
        }
    }
    let mut made = BTreeSet::new();
    for (id, job) in &there.jobs {
        let number = job.name.strip_prefix("drill-").and_then(|text| text.parse().ok());
        let Some(number) = number.filter(|number| sent.contains(number)) else { continue };
        if !made.insert(number) {
            wrong.made_twice.insert(*id);
        }
    }
    // By their files alone: what the controller forgot may have run twice, too.
    for (id, output) in &there.outputs {
        let number = output.lines().find_map(|line| line.strip_prefix("ran ")?.parse().ok());
        let Some(number) = number.filter(|number| sent.contains(number)) else { continue };
        let allowed = 1 + there.jobs.get(id).map_or(0, |job| job.requeued);
        if beginnings(output, number) > allowed {
            wrong.ran_twice.insert(*id);
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> (Vec<Told>, BTreeSet<u32>, Evidence) {
        let told = (1..=8).map(|number| Told { number, id: number + 100 }).collect::<Vec<_>>();
        let mut there = Evidence::default();
        for Told { number, id } in &told {
            there.jobs.insert(*id, Shown { name: name(*number), requeued: 0 });
            there.scripts.insert(*id, script(*number));
            there.outputs.insert(*id, format!("ran {number}\nended {number}\n"));
        }
        (told, (1..=9).collect(), there)
    }

    fn judged(change: impl Fn(&mut Vec<Told>, &mut Evidence)) -> Verdict {
        let (mut told, sent, mut there) = well();
        change(&mut told, &mut there);
        verdict(&told, &sent, &there)
    }

    fn of(ids: &[u32]) -> BTreeSet<u32> {
        ids.iter().copied().collect()
    }

    #[test]
    fn each_way_to_lose_a_job_or_to_run_it_twice_is_seen_and_named() {
        assert_eq!(judged(|_, _| {}), Verdict::default());
        let gone = judged(|_, there| _ = there.jobs.remove(&103));
        assert_eq!(gone, Verdict { unknown: of(&[103]), ..Verdict::default() });
        let swapped = judged(|_, there| there.jobs.get_mut(&103).unwrap().name = name(77));
        assert_eq!(swapped.unknown, of(&[103]));
        let changed = judged(|_, there| there.scripts.get_mut(&104).unwrap().push('\n'));
        assert_eq!(changed, Verdict { other_script: of(&[104]), ..Verdict::default() });
        let without = judged(|_, there| _ = there.scripts.remove(&104));
        assert_eq!(without.other_script, of(&[104]));
        let silent = judged(|_, there| _ = there.outputs.remove(&105));
        assert_eq!(silent, Verdict { no_output: of(&[105]), ..Verdict::default() });
        let cut = judged(|_, there| _ = there.outputs.insert(105, "ran 5\n".into()));
        assert_eq!(cut.no_output, of(&[105]));
        let two = judged(|_, there| there.outputs.get_mut(&106).unwrap().push_str("ran 6\n"));
        assert_eq!(two, Verdict { ran_twice: of(&[106]), ..Verdict::default() });
        let again = judged(|told, _| told[0].id = 102);
        assert_eq!((again.told_twice, again.unknown), (of(&[102]), of(&[102])));
        let double = judged(|_, there| {
            there.jobs.insert(200, Shown { name: name(7), requeued: 0 });
        });
        assert_eq!(double, Verdict { made_twice: of(&[200]), ..Verdict::default() });
    }

    #[test]
    fn a_recorded_requeue_is_no_second_run_and_what_nobody_was_told_may_be_there() {
        let requeued = judged(|_, there| {
            there.jobs.get_mut(&106).unwrap().requeued = 1;
            there.outputs.get_mut(&106).unwrap().push_str("ran 6\nended 6\n");
        });
        assert_eq!(requeued, Verdict::default());
        let untold = judged(|_, there| {
            there.jobs.insert(300, Shown { name: name(9), requeued: 0 });
            there.outputs.insert(300, "ran 9\nended 9\n".into());
        });
        assert_eq!(untold, Verdict::default());
        let untold_twice = judged(|_, there| {
            there.outputs.insert(300, "ran 9\nran 9\n".into());
        });
        assert_eq!(untold_twice.ran_twice, of(&[300]));
    }

    #[test]
    fn an_id_that_is_lost_in_three_ways_is_one_lost_id() {
        let all = Verdict {
            unknown: of(&[1, 2]),
            other_script: of(&[1, 2]),
            no_output: of(&[1]),
            ran_twice: of(&[3]),
            told_twice: of(&[3]),
            made_twice: of(&[4]),
        };
        assert_eq!((all.lost(), all.twice()), (2, 2));
        let sum = all.clone().plus(&Verdict { unknown: of(&[9]), ..Verdict::default() });
        assert_eq!((sum.lost(), sum.twice()), (3, 2));
    }
}
