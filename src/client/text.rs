//! Strings that hold bytes: one character, U+0000 to U+00FF, for each. What comes from the outside
//! (arguments, names, records) is turned into them, and back where it leaves. So every byte
//! survives, and a width counts bytes as in C.

use crate::slurm::wire::Text;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// From bytes.
pub fn from_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The bytes. A character above U+00FF, which only a literal of ours could have, becomes `?`.
pub fn to_bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()
}

/// From an argument, or a variable.
pub fn from_os(text: &OsStr) -> String {
    from_bytes(text.as_bytes())
}

/// As a name of a file.
pub fn to_os(text: &str) -> OsString {
    OsString::from_vec(to_bytes(text))
}

/// What commas separate; what is empty is left out.
pub fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

/// From a record; none: empty.
pub fn of(text: &Text) -> String {
    from_bytes(text.bytes())
}

/// From a record; none: `(null)`, as C prints it.
pub fn or_null(text: &Text) -> String {
    if text.is_none() { "(null)".to_owned() } else { of(text) }
}

/// For a record.
pub fn wire(text: &str) -> Text {
    Text::from_bytes(&to_bytes(text))
}

/// Prints. Who does not listen any more (a pipe that was closed) misses nothing.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(&to_bytes(text));
    let _ = out.flush();
}

/// Prints where errors go.
pub fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(&to_bytes(text));
}

/// Whether `text` is `name`, or begins it, with at least `least` characters; case does not matter.
pub fn abbreviates(text: &str, name: &str, least: usize) -> bool {
    let len = text.len().max(least);
    let (text, name) = (text.as_bytes(), name.as_bytes());
    let (text, name) = (&text[..text.len().min(len)], &name[..name.len().min(len)]);
    text.eq_ignore_ascii_case(name)
}

/// What `text` is without `prefix` in front; case does not matter.
pub fn without<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// The number that `text` begins with, as strtol has it, and what follows; 0 where there is none.
pub fn leading_number(text: &str) -> (i64, &str) {
    let rest = text.trim_start();
    let digits_at = usize::from(rest.starts_with(['-', '+']));
    let len = rest[digits_at..].bytes().take_while(u8::is_ascii_digit).count();
    if len == 0 {
        return (0, text);
    }
    let end = digits_at + len;
    let limit = if rest.starts_with('-') { i64::MIN } else { i64::MAX };
    (rest[..end].trim_start_matches('+').parse().unwrap_or(limit), &rest[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives() {
        let bytes: Vec<u8> = (1..=u8::MAX).collect();
        assert_eq!(to_bytes(&from_bytes(&bytes)), bytes);
        assert_eq!(wire(&of(&Text::from_bytes(&bytes))), Text::from_bytes(&bytes));
        assert_eq!(or_null(&Text::NONE), "(null)");
    }

    #[test]
    fn names_may_be_abbreviated_as_far_as_slurm_lets_them() {
        assert!(abbreviates("part", "PartitionName", 2) && abbreviates("JOBID", "JobId", 3));
        assert!(!abbreviates("p", "PartitionName", 2) && !abbreviates("jobx", "JobId", 3));
        assert!(!abbreviates("nodenames", "NodeName", 1));
        assert_eq!(without("JobId=7", "jobid="), Some("7"));
        assert_eq!(leading_number("12_3"), (12, "_3"));
        assert_eq!(leading_number(" -5"), (-5, ""));
        assert_eq!(leading_number("x"), (0, "x"));
        assert_eq!(leading_number("99999999999999999999").0, i64::MAX);
    }
}
