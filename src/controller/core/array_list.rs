//! `--array=0-15:4,20%3`: which tasks an array has, and how many may run at once.
//!
//! Invariants: any text is tasks or an error; runs ascend and do not overlap, and as few of them
//! stand for the tasks as their steps allow; no task is at MaxArraySize or above.

use crate::controller::job::{TaskRun, task_ids};

/// What a list stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrayList {
    /// The tasks.
    pub tasks: Vec<TaskRun>,
    /// How many of them may run at once; 0: all.
    pub limit: u32,
    /// What the user wrote as the step, 1 if nothing: tasks see it in their environment.
    pub step: u32,
}

/// Reads a list; `None`: it is none, or names a task at `size` or above.
#[must_use]
pub fn parse(text: &str, size: u32) -> Option<ArrayList> {
    let (list, limit) = match text.split_once('%') {
        // As Slurm: what is no number limits nothing.
        Some((list, limit)) => {
            let digits = limit.bytes().take_while(u8::is_ascii_digit).count();
            (list, limit[..digits].parse().unwrap_or(0))
        }
        None => (text, 0),
    };
    let list = list.trim_start_matches('[').trim_end_matches(']');
    let mut given = Vec::new();
    for part in list.split(',') {
        given.push(run(part, size)?);
    }
    let step = given.iter().find(|run| run.step > 1).map_or(1, |run| run.step);
    // Each list is at most a few KiB long, and each part of it names at most `size` tasks.
    if given.len() == 1 && step == 1 {
        return Some(ArrayList { tasks: given, limit, step });
    }
    let mut marked = vec![false; size as usize];
    for TaskRun { first, last, step } in given {
        (first..=last).step_by(step as usize).for_each(|id| marked[id as usize] = true);
    }
    let ids: Vec<u32> = (0..size).filter(|id| marked[*id as usize]).collect();
    Some(ArrayList { tasks: runs(&ids), limit, step })
}

fn number(text: &str) -> Option<u32> {
    let fine = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| fine)
}

fn run(text: &str, size: u32) -> Option<TaskRun> {
    let (range, step) = match text.split_once(':') {
        Some((range, step)) => (range, number(step)?),
        None => (text, 1),
    };
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None if step != 1 => return None,
        None => (number(range)?, number(range)?),
    };
    let fine = first <= last && last < size && step > 0 && step < size.max(2);
    fine.then_some(TaskRun { first, last, step })
}

/// The fewest runs, taken from the front, for ascending ids.
#[must_use]
pub fn runs(ids: &[u32]) -> Vec<TaskRun> {
    let mut found = Vec::new();
    let mut rest = ids;
    while let [first, more @ ..] = rest {
        let step = more.first().map_or(1, |second| second - first);
        let mut len = 1;
        while len < rest.len() && rest[len] - rest[len - 1] == step {
            len += 1;
        }
        // Two tasks with a gap are no run: `1,5`, not `1-5:4`.
        if len == 2 && step > 1 {
            len = 1;
        }
        let step = if len == 1 { 1 } else { step };
        found.push(TaskRun { first: *first, last: rest[len - 1], step });
        rest = &rest[len..];
    }
    found
}

/// The tasks as the protocol has them: a mask in hexadecimal digits, the last task first.
#[must_use]
pub fn mask(tasks: &[TaskRun]) -> String {
    let Some(last) = task_ids(tasks).max() else { return String::new() };
    let mut digits = vec![0_u8; last as usize / 4 + 1];
    task_ids(tasks).for_each(|id| digits[id as usize / 4] |= 1 << (id % 4));
    let digits = digits.iter().rev().map(|digit| char::from_digit((*digit).into(), 16));
    let digits: String = digits.map(|digit| digit.expect("four bits")).collect();
    format!("0x{}", digits.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn again(text: &str) -> Option<String> {
        let shown = |run: &TaskRun| match (run.first == run.last, run.step) {
            (true, _) => format!("{}", run.first),
            (false, 1) => format!("{}-{}", run.first, run.last),
            (false, step) => format!("{}-{}:{step}", run.first, run.last),
        };
        let list = parse(text, 1001)?;
        let text = list.tasks.iter().map(shown).collect::<Vec<_>>().join(",");
        Some(if list.limit == 0 { text } else { format!("{text}%{}", list.limit) })
    }

    #[test]
    fn lists_are_read_as_runs() {
        for (text, wanted) in [
            ("5", "5"),
            ("0-3", "0-3"),
            ("0-3%1", "0-3%1"),
            ("0-3%x", "0-3"),
            ("[1-4]", "1-4"),
            ("0-9:2,15%3", "0-8:2,15%3"),
            ("3,1,2,2", "1-3"),
            ("1,5", "1,5"),
            ("1,3,5,7,8", "1-7:2,8"),
            ("0-1000", "0-1000"),
        ] {
            assert_eq!(again(text).as_deref(), Some(wanted), "{text}");
        }
        for bad in [
            "",
            "x",
            "1-",
            "-1",
            "5-3",
            "1001",
            "0-1001",
            "1:2",
            "1-9:0",
            "1-9:x",
            "1,,2",
            "1-2-3",
            "99999999999",
            "1 2",
        ] {
            assert_eq!(again(bad), None, "{bad}");
        }
    }

    #[test]
    fn masks_are_those_of_the_protocol() {
        for (text, wanted) in [("0", "0x1"), ("2-3", "0xC"), ("0-8:2,15", "0x8155"), ("4", "0x10")]
        {
            assert_eq!(mask(&parse(text, 1001).unwrap().tasks), wanted, "{text}");
        }
        assert_eq!(mask(&[]), "");
    }

    proptest! {
        #[test]
        fn tasks_are_those_that_were_named_each_once(
            parts in prop::collection::vec((0..40_u32, 0..40_u32, 1..6_u32), 1..6),
            text in "[-0-9:,%\\[\\]]{0,12}",
        ) {
            let _ = parse(&text, 50);
            let list: Vec<String> =
                parts.iter().map(|(first, len, step)| format!("{first}-{}:{step}", first + len))
                .collect();
            let found = parse(&list.join(","), 100).unwrap();
            let mut wanted: Vec<u32> = parts.iter()
                .flat_map(|(first, len, step)| (*first..=first + len).step_by(*step as usize))
                .collect();
            wanted.sort_unstable();
            wanted.dedup();
            prop_assert_eq!(task_ids(&found.tasks).collect::<Vec<_>>(), wanted);
        }
    }
}
