//! Bytes as text that cannot harm a terminal, a table or a shell.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

/// `bytes` in one word of a table: UTF-8 as it is, except blanks, control characters and
/// backslashes, which are escaped as in Rust, as is everything that is not UTF-8.
#[must_use]
pub fn word(bytes: &[u8]) -> String {
    escape(bytes, |c| c.is_whitespace() || c.is_control() || c == '\\')
}

/// `text` without anything that would begin a new line or steer a terminal.
#[must_use]
pub fn one_line(text: &str) -> String {
    escape(text.as_bytes(), char::is_control)
}

fn escape(bytes: &[u8], escaped: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                ' ' if escaped(' ') => text.push_str(r"\x20"),
                c if escaped(c) && c.is_ascii_control() && !"\n\r\t".contains(c) => {
                    push_byte(&mut text, c as u8);
                }
                c if escaped(c) => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| push_byte(&mut text, *byte));
    }
    text
}

fn push_byte(text: &mut String, byte: u8) {
    write!(text, r"\x{byte:02x}").expect("strings take everything");
}

/// `argument` as a shell reads it back.
#[must_use]
pub fn shell(argument: &OsStr) -> Cow<'_, str> {
    let bytes = argument.as_bytes();
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._-+:,@%=".contains(b);
    match argument.to_str() {
        Some(text) if !bytes.is_empty() && bytes.iter().all(plain) => Cow::Borrowed(text),
        Some(text) if !text.chars().any(char::is_control) => {
            Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
        }
        _ => Cow::Owned(format!("$'{}'", bytes.escape_ascii())),
    }
}

/// A number of bytes for people: `37 B`, `1.5 KiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let power = (count.ilog2() / 10) as usize;
    let value = count as f64 / (1u64 << (10 * power)) as f64;
    format!("{value:.1} {}", UNITS[power - 1])
}

/// A span for people, as they write it: `15m`, `1h30m`, `0.5s`.
#[must_use]
pub fn span(span: std::time::Duration) -> String {
    let (seconds, rest) = (span.as_secs(), span.subsec_millis());
    if rest > 0 || seconds == 0 {
        return format!("{}s", span.as_secs_f64());
    }
    [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')]
        .iter()
        .scan(seconds, |left, (unit, name)| {
            let count = *left / unit;
            *left %= unit;
            Some(if count > 0 { format!("{count}{name}") } else { String::new() })
        })
        .collect()
}

/// `1 entry`, `2 entries`.
#[must_use]
pub fn count_of(number: u64, noun: &str) -> String {
    match noun.strip_suffix('y') {
        Some(stem) if number != 1 => format!("{number} {stem}ies"),
        _ => count(number, noun),
    }
}

/// `1 save`, `2 saves`.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_no_blank_and_no_control_character() {
        assert_eq!(word("jöb 1\n\\\u{1b}\u{85}".as_bytes()), r"jöb\x201\n\\\x1b\u{85}");
        assert_eq!(word(b"a\xffb"), r"a\xffb");
        assert_eq!(one_line("two words\r"), r"two words\r");
    }

    #[test]
    fn shells_read_back_what_is_quoted() {
        let quoted = |text: &str| shell(OsStr::new(text)).into_owned();
        assert_eq!(quoted("/var/state"), "/var/state");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a\nb"), r"$'a\nb'");
        assert_eq!(shell(OsStr::from_bytes(b"a\xff")), r"$'a\xff'");
    }

    #[test]
    fn sizes_are_rounded_for_people() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        let seconds = |s| span(std::time::Duration::from_secs(s));
        assert_eq!((seconds(900).as_str(), seconds(90_061).as_str()), ("15m", "1d1h1m1s"));
        assert_eq!(span(std::time::Duration::from_millis(500)), "0.5s");
    }
}
