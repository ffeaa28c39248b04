//! From names to a list, in Slurm's form: names keep their order, and neighbours that differ by one
//! in their last number share a range.

use crate::slurm::hostlist::{RANGE_MAX, WIDTH_MAX};
use std::fmt::Write;

struct Run<'a> {
    prefix: &'a str,
    /// First and last number, and the width they are written with; none for a name without.
    numbers: Option<(u64, u64, usize)>,
}

impl<'a> Run<'a> {
    fn of(name: &'a str) -> Run<'a> {
        let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &name[prefix.len()..];
        // Numbers past 64 bits have no successor here: such a name stands for itself.
        match digits.parse::<u64>() {
            Ok(number) if digits.len() <= WIDTH_MAX => {
                Run { prefix, numbers: Some((number, number, digits.len())) }
            }
            _ => Run { prefix: name, numbers: None },
        }
    }

    /// Takes in the name behind, if this range written with one width gives it exactly.
    fn join(&mut self, next: &Run<'a>) -> bool {
        let (Some((first, last, width)), Some((number, _, digits))) =
            (self.numbers.as_mut(), next.numbers)
        else {
            return false;
        };
        let written = decimal_len(number).max(*width);
        if number.saturating_sub(*first) >= RANGE_MAX {
            return false;
        }
        if self.prefix != next.prefix || last.checked_add(1) != Some(number) || written != digits {
            return false;
        }
        *last = number;
        true
    }
}

fn decimal_len(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// The list that stands for `names`, in their order.
pub fn compress<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut runs: Vec<Run<'a>> = Vec::new();
    for name in names {
        let run = Run::of(name);
        if !runs.last_mut().is_some_and(|last| last.join(&run)) {
            runs.push(run);
        }
    }
    let mut list = String::new();
    for group in
        runs.chunk_by(|a, b| a.prefix == b.prefix && a.numbers.is_some() && b.numbers.is_some())
    {
        if !list.is_empty() {
            list.push(',');
        }
        write_group(group, &mut list);
    }
    list
}

/// Runs of one prefix share a bracket; a single name has none.
fn write_group(group: &[Run<'_>], list: &mut String) {
    list.push_str(group[0].prefix);
    let bracket = group.len() > 1 || group[0].numbers.is_some_and(|(first, last, _)| first != last);
    if bracket {
        list.push('[');
    }
    for (index, run) in group.iter().enumerate() {
        let Some((first, last, width)) = run.numbers else { continue };
        let comma = if index > 0 { "," } else { "" };
        write!(list, "{comma}{first:0width$}").expect("strings take everything");
        if first != last {
            write!(list, "-{last:0width$}").expect("strings take everything");
        }
    }
    if bracket {
        list.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::compress;

    #[test]
    fn names_are_written_as_slurm_writes_them() {
        let of = |names: &str| compress(names.split(' '));
        assert_eq!(of("n3 n1 n2"), "n[3,1-2]");
        assert_eq!(of("n01 n02 n3"), "n[01-02,3]");
        assert_eq!(of("n08 n09 n10 n11"), "n[08-11]");
        assert_eq!(of("n99 n100 m x y1"), "n[99-100],m,x,y1");
        assert_eq!(of("n099 n0100"), "n[099,0100]");
        assert_eq!(of("a1b a2b"), "a1b,a2b");
        assert_eq!(of("n n1"), "n,n1");
    }
}
