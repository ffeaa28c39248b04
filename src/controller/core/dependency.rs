//! What a job waits for of other jobs: `afterok:12:13_4,after:14+5,singleton`.
//!
//! | form | fulfilled when |
//! |---|---|
//! | `after:J[+M]` | J has started (M minutes ago) or was cancelled |
//! | `afterany:J`, or `J` alone | J is over |
//! | `afterok:J`, `afternotok:J` | J is over and ended well, or did not |
//! | `aftercorr:J_*` | the task of J with the same number is over and ended well |
//! | `singleton` | no older job of that name and user waits or runs |
//!
//! J is a job, an array (`7`, `7_*`) or a task (`7_3`, `7_[1-3]` for several). All of a list with
//! `,` must be fulfilled, one of a list with `?`. Each may be followed by its state in parentheses,
//! as it is printed: what was found once stays so when the other job is forgotten.
//!
//! Invariants: any text is a list or an error; what is printed is read as the same list.

use std::fmt::{self, Display, Write};

/// Most jobs that one list names.
pub const MOST: usize = 10_000;

/// How a job waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Until it has started.
    After,
    /// Until it is over.
    AfterAny,
    /// Until it has ended well.
    AfterOk,
    /// Until it has ended, and not well.
    AfterNotOk,
    /// Until the task of the same number has ended well.
    AfterCorr,
    /// Until no older job of the same name is there.
    Singleton,
}

/// What of the other job is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// A job that is in no array, or a task by its own id.
    Alone,
    /// All tasks of an array.
    All,
    /// That task.
    One(u32),
}

/// Whether a condition is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// Not yet.
    Not,
    /// It is.
    Is,
    /// It never will be.
    Never,
}

/// One condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// How.
    pub kind: Kind,
    /// The other job; 0 for a singleton.
    pub job: u32,
    /// What of it.
    pub task: Task,
    /// Minutes after its start.
    pub minutes: u32,
    /// Whether it is met.
    pub met: Met,
}

/// All conditions of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// One of them is enough.
    pub any: bool,
    /// They, in order; none twice.
    pub list: Vec<Dependency>,
}

/// Text that is no dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

const KINDS: [(Kind, &str); 5] = [
    (Kind::AfterNotOk, "afternotok"),
    (Kind::AfterCorr, "aftercorr"),
    (Kind::AfterAny, "afterany"),
    (Kind::AfterOk, "afterok"),
    (Kind::After, "after"),
];

impl Dependencies {
    /// Reads a list. An empty one, or `0`: no conditions.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(text: &str) -> Result<Dependencies, Malformed> {
        let mut found = Dependencies::default();
        if text.is_empty() || text == "0" {
            return Ok(found);
        }
        let mut input = Input(text);
        loop {
            found.condition(&mut input)?;
            if input.takes("?") {
                found.any = true;
            } else if !input.takes(",") {
                break;
            }
        }
        // Of one, any is all; the same one twice is one.
        found.any &= found.list.len() > 1;
        if input.0.is_empty() { Ok(found) } else { Err(Malformed) }
    }

    fn condition(&mut self, input: &mut Input<'_>) -> Result<(), Malformed> {
        if input.takes("singleton") {
            let met = input.state()?;
            let kind = Kind::Singleton;
            return self.add(Dependency { kind, job: 0, task: Task::Alone, minutes: 0, met });
        }
        let Some(kind) = input.kind()? else { return self.jobs(Kind::AfterAny, input) };
        loop {
            self.jobs(kind, input)?;
            if !input.takes(":") {
                return Ok(());
            }
        }
    }

    /// One job, or several tasks of it.
    fn jobs(&mut self, kind: Kind, input: &mut Input<'_>) -> Result<(), Malformed> {
        let job = input.number().filter(|job| *job != 0).ok_or(Malformed)?;
        let tasks = match input.takes("_") {
            false => vec![(Task::Alone, Task::Alone)],
            true => input.tasks()?,
        };
        let minutes = match input.takes("+") {
            false => 0,
            true => input.number().filter(|minutes| *minutes > 0).ok_or(Malformed)?,
        };
        let met = input.state()?;
        for (first, last) in tasks {
            match (first, last) {
                (Task::One(first), Task::One(last)) => {
                    for task in first..=last {
                        self.add(Dependency { kind, job, task: Task::One(task), minutes, met })?;
                    }
                }
                (task, _) => self.add(Dependency { kind, job, task, minutes, met })?,
            }
        }
        Ok(())
    }

    fn add(&mut self, new: Dependency) -> Result<(), Malformed> {
        let same =
            |old: &Dependency| (old.kind, old.job, old.task) == (new.kind, new.job, new.task);
        if self.list.len() >= MOST {
            return Err(Malformed);
        }
        if !self.list.iter().any(same) {
            self.list.push(new);
        }
        Ok(())
    }

    /// What all of them come to.
    #[must_use]
    pub fn met(&self) -> Met {
        let of = |met: Met| self.list.iter().any(|one| one.met == met);
        match (self.any, of(Met::Not), of(Met::Never)) {
            (true, ..) if of(Met::Is) => Met::Is,
            (true, true, _) => Met::Not,
            (false, _, true) | (true, false, true) => Met::Never,
            (false, true, false) => Met::Not,
            (_, false, false) => Met::Is,
        }
    }
}

/// As Slurm prints it: what is fulfilled is left out.
impl Display for Dependencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = None;
        for one in self.list.iter().filter(|one| one.met != Met::Is) {
            if let Some(separator) = separator {
                f.write_char(separator)?;
            }
            separator = Some(if self.any { '?' } else { ',' });
            write!(f, "{one}")?;
        }
        Ok(())
    }
}

impl Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match KINDS.iter().find(|(kind, _)| *kind == self.kind) {
            None => f.write_str("singleton")?,
            Some((_, name)) => write!(f, "{name}:{}", self.job)?,
        }
        match self.task {
            Task::Alone => {}
            Task::All => f.write_str("_*")?,
            Task::One(task) => write!(f, "_{task}")?,
        }
        if self.minutes > 0 {
            write!(f, "+{}", self.minutes)?;
        }
        f.write_str(match self.met {
            Met::Not => "(unfulfilled)",
            Met::Is => "(fulfilled)",
            Met::Never => "(failed)",
        })
    }
}

/// What is left to read.
struct Input<'a>(&'a str);

impl Input<'_> {
    /// Whether `word` comes next, whatever its case; then it is read.
    fn takes(&mut self, word: &str) -> bool {
        let found = self.0.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
        if found {
            self.0 = &self.0[word.len()..];
        }
        found
    }

    fn number(&mut self) -> Option<u32> {
        let len = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let number = self.0[..len].parse().ok()?;
        self.0 = &self.0[len..];
        Some(number)
    }

    /// The word in front of a colon; none: a number stands there.
    fn kind(&mut self) -> Result<Option<Kind>, Malformed> {
        if self.0.starts_with(|first: char| first.is_ascii_digit()) {
            return Ok(None);
        }
        let found = KINDS.iter().find(|(_, name)| self.takes(name)).ok_or(Malformed)?;
        if self.takes(":") { Ok(Some(found.0)) } else { Err(Malformed) }
    }

    /// `*`, a number, or `[…]`: ranges of tasks.
    fn tasks(&mut self) -> Result<Vec<(Task, Task)>, Malformed> {
        if self.takes("*") {
            return Ok(vec![(Task::All, Task::All)]);
        }
        if !self.takes("[") {
            let task = Task::One(self.number().ok_or(Malformed)?);
            return Ok(vec![(task, task)]);
        }
        let mut found = Vec::new();
        loop {
            let first = self.number().ok_or(Malformed)?;
            let last = match self.takes("-") {
                true => self.number().ok_or(Malformed)?,
                false => first,
            };
            // More than that are refused one by one.
            if last < first || (last - first) as usize >= MOST {
                return Err(Malformed);
            }
            found.push((Task::One(first), Task::One(last)));
            if self.takes("]") {
                return Ok(found);
            }
            if !self.takes(",") || found.len() > MOST {
                return Err(Malformed);
            }
        }
    }

    /// A state in parentheses; what somebody claims to be fulfilled is looked at again.
    fn state(&mut self) -> Result<Met, Malformed> {
        if !self.takes("(") {
            return Ok(Met::Not);
        }
        let (word, rest) = self.0.split_once(')').ok_or(Malformed)?;
        self.0 = rest;
        Ok(if word.eq_ignore_ascii_case("failed") { Met::Never } else { Met::Not })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn printed(text: &str) -> String {
        Dependencies::parse(text).unwrap().to_string()
    }

    #[test]
    fn forms_are_read_and_printed_as_slurm_prints_them() {
        for (text, wanted) in [
            ("", ""),
            ("0", ""),
            ("12", "afterany:12(unfulfilled)"),
            ("12,13", "afterany:12(unfulfilled),afterany:13(unfulfilled)"),
            ("afterok:5", "afterok:5(unfulfilled)"),
            ("AfterOK:5:6", "afterok:5(unfulfilled),afterok:6(unfulfilled)"),
            ("after:5+10", "after:5+10(unfulfilled)"),
            ("aftercorr:7_*", "aftercorr:7_*(unfulfilled)"),
            (
                "afterany:7_[1-2,5]",
                "afterany:7_1(unfulfilled),afterany:7_2(unfulfilled),\
              afterany:7_5(unfulfilled)",
            ),
            ("afternotok:1?singleton", "afternotok:1(unfulfilled)?singleton(unfulfilled)"),
            ("afterok:5(failed),afterok:6(fulfilled)", "afterok:5(failed),afterok:6(unfulfilled)"),
            ("afterok:5,afterok:5", "afterok:5(unfulfilled)"),
        ] {
            assert_eq!(printed(text), wanted, "{text}");
        }
        for bad in [
            "x",
            "afterok",
            "afterok:",
            "afterok:0",
            "afterok:5,",
            "afterok:5;6",
            "afterok:5_",
            "afterok:5_[1",
            "afterok:5_[3-1]",
            "afterok:5(x",
            "after:5+0",
            "after:5+",
            "expand:5",
            "singletonx",
            ",",
            "afterok:99999999999",
            "afterok:5_[0-4000000000]",
        ] {
            assert_eq!(Dependencies::parse(bad), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn lists_come_to_what_their_conditions_come_to() {
        let with = |any, states: &[Met]| {
            let one = |met: &Met| Dependency {
                kind: Kind::AfterOk,
                job: 1,
                task: Task::Alone,
                minutes: 0,
                met: *met,
            };
            Dependencies { any, list: states.iter().map(one).collect() }.met()
        };
        assert_eq!(with(false, &[]), Met::Is);
        assert_eq!(with(false, &[Met::Is, Met::Is]), Met::Is);
        assert_eq!(with(false, &[Met::Is, Met::Not]), Met::Not);
        assert_eq!(with(false, &[Met::Never, Met::Not]), Met::Never);
        assert_eq!(with(true, &[Met::Never, Met::Not]), Met::Not);
        assert_eq!(with(true, &[Met::Never, Met::Is]), Met::Is);
        assert_eq!(with(true, &[Met::Never, Met::Never]), Met::Never);
    }

    #[test]
    fn any_of_one_is_all_of_it() {
        for text in ["8?8?8", "8"] {
            let found = Dependencies::parse(text).unwrap();
            assert_eq!((found.any, found.list.len()), (false, 1), "{text}");
        }
        assert!(Dependencies::parse("8?8?9").unwrap().any);
    }

    proptest! {
        #[test]
        fn any_text_is_a_list_or_an_error_and_what_is_printed_is_read_the_same(
            text in "((after|afterok|afterany|AFTERCORR|singleton|[0-9]{1,3})\
                     (:[0-9]{1,3})?(_[*0-9])?([+][0-9])?([(]failed[)])?[,?:]?){1,4}|\\PC{0,12}",
        ) {
            if let Ok(found) = Dependencies::parse(&text) {
                let again = Dependencies::parse(&found.to_string()).unwrap();
                prop_assert_eq!(again, found);
            }
        }
    }
}
