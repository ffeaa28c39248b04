//! Names of output and input files: `%` and a letter stand for something of the job.
//!
//! | letter | stands for |
//! |---|---|
//! | `%` | a `%` |
//! | `a` | the task of the array |
//! | `A` | the array's job, or the job where there is no array |
//! | `j`, `J` | the job |
//! | `n` | the node's place in the job: 0 |
//! | `N` | the host |
//! | `s` | the step: `batch` |
//! | `t` | the task: 0 |
//! | `u` | the user |
//! | `x` | the job's name |
//!
//! A number in between is the least width, at most 10, filled with zeros. Anything else stays as it
//! is. A name with a backslash in it stands for itself, without its backslashes.

use crate::slurm::wire::Unset;
use crate::slurm::wire::tables::Launch;

const WIDTH_MAX: usize = 10;

/// What the letters stand for.
pub struct Meaning<'a> {
    /// The job.
    pub launch: &'a Launch,
    /// The user's name.
    pub user: &'a str,
    /// The host's name.
    pub host: &'a str,
    /// The job's name.
    pub name: &'a [u8],
}

/// The path of a file, absolute.
pub fn path(pattern: &[u8], meaning: &Meaning<'_>) -> Vec<u8> {
    let mut path = Vec::new();
    if !pattern.starts_with(b"/") {
        path.extend(meaning.launch.work_dir.bytes());
        if !path.ends_with(b"/") {
            path.push(b'/');
        }
    }
    if pattern.contains(&b'\\') {
        path.extend(unescaped(pattern));
    } else {
        fill(pattern, meaning, &mut path);
    }
    path
}

/// Where output goes if nobody says.
pub fn default_output(launch: &Launch) -> &'static [u8] {
    if launch.array_task_id.is_unset() { b"slurm-%J.out" } else { b"slurm-%A_%a.out" }
}

fn unescaped(pattern: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = pattern.iter().copied();
    while let Some(byte) = bytes.next() {
        out.extend(if byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    out
}

fn fill(pattern: &[u8], meaning: &Meaning<'_>, out: &mut Vec<u8>) {
    let mut rest = pattern;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        out.extend(&rest[..at]);
        let after = &rest[at + 1..];
        let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let width = std::str::from_utf8(&after[..digits]).ok().and_then(|text| text.parse().ok());
        let width = if digits == 0 { 0 } else { width.unwrap_or(WIDTH_MAX).min(WIDTH_MAX) };
        let value = after.get(digits).and_then(|letter| value(*letter, width, meaning));
        match value {
            Some(value) => {
                out.extend(value);
                rest = &after[digits + 1..];
            }
            None => {
                out.push(b'%');
                rest = after;
            }
        }
    }
    out.extend(rest);
}

fn value(letter: u8, width: usize, meaning: &Meaning<'_>) -> Option<Vec<u8>> {
    let launch = meaning.launch;
    let number = |number: u32| Some(format!("{number:0width$}").into_bytes());
    match letter {
        b'%' => Some(vec![b'%']),
        b'a' => number(launch.array_task_id),
        b'A' if launch.array_task_id.is_unset() => number(launch.job_id),
        b'A' => number(launch.array_job_id),
        b'j' | b'J' => number(launch.job_id),
        b'n' | b't' => number(0),
        b'N' => Some(meaning.host.as_bytes().to_vec()),
        b's' => Some(b"batch".to_vec()),
        b'u' => Some(meaning.user.as_bytes().to_vec()),
        b'x' => Some(meaning.name.to_vec()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pattern: &str, task: u32) -> String {
        let launch = Launch {
            job_id: 12,
            array_job_id: 9,
            array_task_id: task,
            work_dir: "/w".into(),
            ..Launch::default()
        };
        let meaning = Meaning { launch: &launch, user: "ann", host: "h1", name: b"run" };
        String::from_utf8(path(pattern.as_bytes(), &meaning)).unwrap()
    }

    #[test]
    fn letters_stand_for_the_job_and_anything_else_for_itself() {
        let all = "/o/%A_%a.%x.%N.%u.%t.%s.%5j.%%.%J.%n";
        assert_eq!(said(all, 3), "/o/9_3.run.h1.ann.0.batch.00012.%.12.0");
        assert_eq!(said("%A", u32::UNSET), "/w/12");
        assert_eq!(said("slurm-%3a.out", 7), "/w/slurm-007.out");
        assert_eq!(said("%99j", 0), "/w/0000000012");
        assert_eq!(said("a%q%", 0), "/w/a%q%");
        assert_eq!(said("%%j", 0), "/w/%j");
        assert_eq!(said(r"a\%j\\b", 0), r"/w/a%j\b");
        assert_eq!(said("é%j", 0), "/w/é12");
    }
}
