//! From a list to names.

use crate::slurm::hostlist::{BYTES_MAX, NAMES_MAX, RANGE_MAX, WIDTH_MAX};

/// Why a text is no hostlist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostlistError {
    /// A bracket without its partner, or one in another.
    #[error("{0:?}: brackets do not pair")]
    Brackets(String),
    /// Text behind the last bracket, which Slurm 22.05 refuses.
    #[error("{0:?}: nothing may follow the last bracket")]
    Behind(String),
    /// Neither a number nor two with a dash between them.
    #[error("{0:?} in brackets is neither a number nor a range of numbers")]
    Range(String),
    /// The first bound is above the second.
    #[error("{0:?}: the range goes down")]
    Down(String),
    /// More names than a list may have.
    #[error("more names than a hostlist may stand for ({0})")]
    Many(u64),
}

/// One bracket's ranges, in order.
type Ranges = Vec<Range>;

#[derive(Clone, Copy)]
struct Range {
    first: u64,
    last: u64,
    width: usize,
}

impl Range {
    fn count(&self) -> u64 {
        // Bounded by `RANGE_MAX` when it was read.
        self.last - self.first + 1
    }

    /// Bytes that all its numbers take together, as they are written.
    fn bytes(&self) -> u64 {
        let (mut bytes, mut first) = (0_u64, self.first);
        loop {
            // The numbers of one length at a time.
            let digits = first.checked_ilog10().unwrap_or(0) + 1;
            let longest = 10_u64.checked_pow(digits).map_or(u64::MAX, |next| next - 1);
            let last = longest.min(self.last);
            let each = (digits as usize).max(self.width) as u64;
            bytes = bytes.saturating_add((last - first + 1).saturating_mul(each));
            if last == self.last {
                return bytes;
            }
            first = last + 1;
        }
    }

    fn name(&self, index: u64) -> String {
        format!("{:0width$}", self.first + index, width = self.width)
    }
}

/// The names that `list` stands for, in Slurm's order, repeated ones repeated.
///
/// # Errors
/// [`HostlistError`]: what is wrong, quoting that part of the list.
pub fn expand(list: &str) -> Result<Vec<String>, HostlistError> {
    let mut names = Vec::new();
    let mut bytes = 0_u64;
    for item in items(list)? {
        let (literals, brackets) = parts(item)?;
        let count = brackets.iter().try_fold(1_u64, |product, ranges| {
            let one: u64 = ranges.iter().map(Range::count).sum();
            product.checked_mul(one).filter(|product| *product <= NAMES_MAX)
        });
        let count = count.ok_or(HostlistError::Many(NAMES_MAX))?;
        bytes = bytes.saturating_add(size(&literals, &brackets, count));
        if names.len() as u64 + count > NAMES_MAX || bytes > BYTES_MAX {
            return Err(HostlistError::Many(NAMES_MAX));
        }
        push(&literals, &brackets, &mut names);
    }
    Ok(names)
}

/// Bytes of the `count` names that an item stands for.
fn size(literals: &[&str], brackets: &[Ranges], count: u64) -> u64 {
    let fixed: u64 = literals.iter().map(|literal| literal.len() as u64).sum();
    brackets.iter().fold(count.saturating_mul(fixed), |sum, ranges| {
        let names: u64 = ranges.iter().map(Range::count).sum();
        let numbers = ranges.iter().map(Range::bytes).fold(0, u64::saturating_add);
        sum.saturating_add(numbers.saturating_mul(count / names))
    })
}

/// The parts between separators outside brackets; empty ones do not count.
fn items(list: &str) -> Result<Vec<&str>, HostlistError> {
    let (mut found, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            b'[' if inside => return Err(HostlistError::Brackets(list.to_owned())),
            b']' if !inside => return Err(HostlistError::Brackets(list.to_owned())),
            b'[' => inside = true,
            b']' => inside = false,
            b',' | b' ' | b'\t' | b'\n' if !inside => {
                found.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err(HostlistError::Brackets(list.to_owned()));
    }
    found.push(&list[start..]);
    found.retain(|item| !item.is_empty());
    Ok(found)
}

/// Literal text in front of each bracket, and the brackets; or one literal and none.
fn parts(item: &str) -> Result<(Vec<&str>, Vec<Ranges>), HostlistError> {
    let (mut literals, mut brackets, mut rest) = (Vec::new(), Vec::new(), item);
    while let Some((literal, behind)) = rest.split_once('[') {
        let (inside, after) =
            behind.split_once(']').ok_or_else(|| HostlistError::Brackets(item.to_owned()))?;
        literals.push(literal);
        brackets.push(inside.split(',').map(range).collect::<Result<Ranges, _>>()?);
        rest = after;
    }
    if brackets.is_empty() {
        literals.push(rest);
    } else if !rest.is_empty() {
        return Err(HostlistError::Behind(item.to_owned()));
    }
    Ok((literals, brackets))
}

fn range(text: &str) -> Result<Range, HostlistError> {
    let bad = || HostlistError::Range(text.to_owned());
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    if first.len() > WIDTH_MAX {
        return Err(HostlistError::Many(RANGE_MAX));
    }
    // `parse` would take a sign, too.
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().map_err(|_| bad()),
        false => Err(bad()),
    };
    let range = Range { first: number(first)?, last: number(last)?, width: first.len() };
    if range.last < range.first {
        return Err(HostlistError::Down(text.to_owned()));
    }
    if range.last - range.first >= RANGE_MAX {
        return Err(HostlistError::Many(RANGE_MAX));
    }
    Ok(range)
}

/// Slurm's order: the last bracket runs fastest; of the others, the first does.
fn push(literals: &[&str], brackets: &[Ranges], names: &mut Vec<String>) {
    let Some((last, outer)) = brackets.split_last() else {
        names.extend(literals.iter().map(|literal| (*literal).to_owned()));
        return;
    };
    let sizes: Vec<u64> =
        outer.iter().map(|ranges| ranges.iter().map(Range::count).sum()).collect();
    for turn in 0..sizes.iter().product() {
        let mut prefix = String::new();
        let mut left: u64 = turn;
        for ((literal, ranges), size) in literals.iter().zip(outer).zip(&sizes) {
            prefix.push_str(literal);
            prefix.push_str(&pick(ranges, left % size));
            left /= size;
        }
        prefix.push_str(literals[outer.len()]);
        for range in last {
            names.extend((0..range.count()).map(|index| format!("{prefix}{}", range.name(index))));
        }
    }
}

fn pick(ranges: &Ranges, mut index: u64) -> String {
    for range in ranges {
        if index < range.count() {
            return range.name(index);
        }
        index -= range.count();
    }
    unreachable!("the index is below the sum of the counts")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::hostlist::compress;
    use proptest::prelude::*;

    fn names(list: &str) -> String {
        expand(list).unwrap().join(" ")
    }

    #[test]
    fn lists_stand_for_names_in_slurms_order() {
        assert_eq!(names("n[1-4,07-10]"), "n1 n2 n3 n4 n07 n08 n09 n10");
        assert_eq!(names("n[9-011] a,,b"), "n9 n10 n11 a b");
        assert_eq!(names("n[1-2][3-4]"), "n13 n14 n23 n24");
        assert_eq!(names("n[1-2]m[3,4]p[7]"), "n1m3p7 n2m3p7 n1m4p7 n2m4p7");
        assert_eq!(names(""), "");
    }

    #[test]
    fn bombs_are_refused_before_they_are_made() {
        let many = Err(HostlistError::Many(NAMES_MAX));
        assert_eq!(expand("n[1-1000][1-1000]"), many);
        assert_eq!(expand(&"[1-65536]".repeat(40)), many);
        assert_eq!(expand(&"[1-65536],".repeat(5)), many);
        assert_eq!(expand(&format!("{}[1-65536]", "x".repeat(5000))), many);
        let wide = format!("[{}1-65536]", "0".repeat(5000));
        assert_eq!(expand(&wide), Err(HostlistError::Many(RANGE_MAX)));
        assert_eq!(expand("n[0-65536]"), Err(HostlistError::Many(RANGE_MAX)));
        assert_eq!(expand("n[0-18446744073709551615]"), Err(HostlistError::Many(RANGE_MAX)));
        assert_eq!(expand("n[1-65536],n[1-65536]").unwrap().len(), 131_072);
    }

    #[test]
    fn a_list_of_many_short_ranges_is_as_long_as_its_names() {
        // 10,000 odd numbers: 57 KiB of list, and 49 KiB of names.
        let odd: Vec<String> = (0..10_000).map(|index| format!("n{}", 2 * index + 1)).collect();
        let list = compress(odd.iter().map(String::as_str));
        assert_eq!(expand(&list).unwrap(), odd);
        let names = expand("w2n[8-171][8-171]").unwrap();
        assert_eq!(expand(&compress(names.iter().map(String::as_str))).unwrap(), names);
    }

    #[test]
    fn the_bytes_of_a_range_are_those_of_its_names() {
        for list in ["[0-0]", "[0-12]", "[08-101]", "[0099-10001]", "[5-5]"] {
            let inside = range(list.trim_matches(['[', ']'])).unwrap();
            let written: usize = expand(list).unwrap().iter().map(String::len).sum();
            assert_eq!(inside.bytes(), written as u64, "{list}");
        }
        let top = Range { first: u64::MAX - 1, last: u64::MAX, width: 1 };
        assert_eq!(top.bytes(), 40);
    }

    #[test]
    fn neighbours_are_not_joined_past_what_a_range_may_hold() {
        let names = expand("n[1-65536],n[65537-70000]").unwrap();
        let list = compress(names.iter().map(String::as_str));
        assert_eq!(list, "n[1-65536,65537-70000]");
        assert_eq!(expand(&list).unwrap(), names);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(list in "[a-z0-9,\\[\\]\\- é]{0,40}") {
            let _ = expand(&list);
        }

        #[test]
        fn compressed_names_come_back(
            names in prop::collection::vec("[ab-]{0,2}[0-9]{0,3}[a-]?[0-9]{1,21}", 0..20),
        ) {
            let list = compress(names.iter().map(String::as_str));
            prop_assert_eq!(expand(&list).unwrap(), names);
        }
    }
}
