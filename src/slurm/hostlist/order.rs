//! Slurm's orders of names. Its table of nodes is in natural order: numbers in names count as
//! numbers (n9 before n10), except those with a zero in front, which are compared digit by digit
//! (n09 before n1). Its lists of nodes go by what is in front of the last number, then by that.

use std::cmp::Ordering;

/// Compares two names as the table of nodes does.
#[must_use]
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let digits = (run(a), run(b));
        if digits.0 > 0 && digits.1 > 0 {
            let (one, other) = (&a[..digits.0], &b[..digits.1]);
            let zeros = one[0] == b'0' || other[0] == b'0';
            let by_len = if zeros { Ordering::Equal } else { one.len().cmp(&other.len()) };
            match by_len.then_with(|| one.cmp(other)) {
                Ordering::Equal => (a, b) = (&a[digits.0..], &b[digits.1..]),
                different => return different,
            }
            continue;
        }
        match (a.split_first(), b.split_first()) {
            (Some((one, rest_a)), Some((other, rest_b))) if one == other => {
                (a, b) = (rest_a, rest_b);
            }
            (one, other) => return one.map(|(byte, _)| byte).cmp(&other.map(|(byte, _)| byte)),
        }
    }
}

/// How many digits stand in front.
fn run(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// A number without the zeros in front.
fn significant(digits: &str) -> &str {
    digits.trim_start_matches('0')
}

/// Compares two names as a list of nodes does, so that ranges come together.
#[must_use]
pub fn by_prefix(a: &str, b: &str) -> Ordering {
    let prefix = |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (one, other) = (a.split_at(prefix(a)), b.split_at(prefix(b)));
    natural(one.0, other.0)
        .then_with(|| one.1.is_empty().cmp(&other.1.is_empty()).reverse())
        .then_with(|| significant(one.1).len().cmp(&significant(other.1).len()))
        .then_with(|| significant(one.1).cmp(significant(other.1)))
        .then_with(|| one.1.len().cmp(&other.1.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As `scontrol show node` of the real controller lists them.
    #[test]
    fn the_table_of_nodes_is_in_natural_order() {
        let sorted =
            "B a02 a2 a10 b c2d3 c2d10 c10d1 l02-1 l1-2 l1-10 n n09 n1x n9 n10 n100 x-3 z1a";
        let mut names: Vec<&str> = sorted.split(' ').rev().collect();
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names.join(" "), sorted);
    }

    #[test]
    fn lists_bring_ranges_together() {
        let mut names = ["n1x", "a10", "n", "a02", "a2", "n100", "n9", "B", "n10"];
        names.sort_by(|a, b| by_prefix(a, b));
        assert_eq!(names.join(" "), "B a2 a02 a10 n n9 n10 n100 n1x");
    }

    proptest! {
        #[test]
        fn both_are_orders(a in "[ab0-2]{0,5}", b in "[ab0-2]{0,5}", c in "[ab0-2]{0,5}") {
            for order in [natural, by_prefix] {
                prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
                prop_assert_eq!(order(&a, &b) == Ordering::Equal, a == b);
                if order(&a, &b) == Ordering::Less && order(&b, &c) == Ordering::Less {
                    prop_assert_eq!(order(&a, &c), Ordering::Less);
                }
            }
        }
    }
}
