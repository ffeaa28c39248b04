//! Task ids of an array. On the wire they are a mask in hex; printed they are ranges, or first,
//! last and step, cut to 64 characters, with the limit of tasks at once behind.

use crate::client::env;

/// How many characters of ranges are printed, if `SLURM_BITSTR_LEN` does not say; 0: all.
const LEN: usize = 64;
const LEN_MAX: usize = 4096;

/// The task ids of a mask as `0x..`, ascending; `None`: it is none.
pub fn tasks(mask: &str) -> Option<Vec<u32>> {
    let digits = mask.strip_prefix("0x").filter(|digits| !digits.is_empty())?;
    let mut found = Vec::new();
    for (at, digit) in digits.chars().rev().enumerate() {
        let four = digit.to_digit(16)?;
        let first = u32::try_from(at).ok()?.checked_mul(4)?;
        found.extend((0..4).filter(|bit| four >> bit & 1 == 1).map(|bit| first + bit));
    }
    Some(found)
}

/// `1-3,7`.
pub fn full(tasks: &[u32]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut at = 0;
    while at < tasks.len() {
        let run = tasks[at..].windows(2).take_while(|pair| pair[1] == pair[0] + 1).count();
        let (first, last) = (tasks[at], tasks[at + run]);
        parts.push(if run == 0 { first.to_string() } else { format!("{first}-{last}") });
        at += run + 1;
    }
    parts.join(",")
}

/// The step, where the tasks are many, and all as far from each other.
fn step(tasks: &[u32]) -> Option<u32> {
    let (first, last) = (tasks.first()?, tasks.last()?);
    let step = tasks.get(1)? - first;
    let even = tasks.windows(2).all(|pair| pair[1] - pair[0] == step);
    (last - first > 10 && tasks.len() > 5 && step > 1 && even).then_some(step)
}

/// As Slurm prints tasks of which `most` run at once.
pub fn shown(tasks: &[u32], most: u32) -> String {
    let mut text = match step(tasks) {
        Some(step) => format!("{}-{}:{step}", tasks[0], tasks[tasks.len() - 1]),
        None => cut(&full(tasks)),
    };
    if most > 0 {
        text.push_str(&format!("%{most}"));
    }
    text
}

/// Ranges, cut as [`LEN`] says: the last characters of what fills its place are dots.
fn cut(ranges: &str) -> String {
    let asked = env("SLURM_BITSTR_LEN").and_then(|text| text.parse::<usize>().ok());
    let len = asked.map_or(LEN, |len| len.min(LEN_MAX));
    // A buffer in C: its last byte is NUL.
    if len == 0 || ranges.len() + 3 <= len {
        return ranges.to_owned();
    }
    ranges[..ranges.len().min(len.saturating_sub(4))].to_owned() + "..."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_become_ranges_or_steps() {
        assert_eq!(tasks("0x8E").unwrap(), [1, 2, 3, 7]);
        assert_eq!(tasks("12"), None);
        assert_eq!(shown(&[1, 2, 3, 7], 0), "1-3,7");
        assert_eq!(shown(&[2, 3], 1), "2-3%1");
        let even: Vec<u32> = (0..10).map(|at| at * 3).collect();
        assert_eq!(shown(&even, 0), "0-27:3");
    }

    #[test]
    fn long_lists_are_cut() {
        let odd: Vec<u32> = (0..60).map(|at| at * 2 + at / 30).collect();
        let text = shown(&odd, 5);
        assert!(text.ends_with("...%5") && text.len() == 63 + "%5".len(), "{text}");
    }
}
