//! Keys as names of files, and back.
//!
//! A byte that is an ASCII letter or digit, or one of `_ . , + - = @ : ~`, stands for itself; any
//! other is `%` and two upper-case hexadecimal digits, and so is a `.` in front. A name that would
//! be longer than [`NAME_MAX`] bytes is `%K` and the first 128 bits of the key's BLAKE3 in
//! hexadecimal, twice: the file that ends in `.key` holds the key, the one in `.value` the value.
//!
//! Invariants: different keys have different names; each name is that of one key at most, in one
//! spelling; no name begins with `.`, holds a `/` or is longer than a file system takes.

use crate::base::limits::KEY_MAX;
use std::fmt::Write;

/// Longest name of a file, leaving room for what copiers add for a while (255 is the file
/// system's).
pub const NAME_MAX: usize = 240;

const LONG: &str = "%K";
const KEY: &str = ".key";
const VALUE: &str = ".value";

/// What a key's file is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// One file, which holds the value.
    Short(String),
    /// Two files, called this and `.key` or `.value`.
    Long(String),
}

impl Name {
    /// The name of `key`'s file.
    #[must_use]
    pub fn of(key: &[u8]) -> Name {
        let name = escape(key);
        if name.len() <= NAME_MAX { Name::Short(name) } else { Name::Long(long(key)) }
    }

    /// The name of the file with the value.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Name::Short(name) => name.clone(),
            Name::Long(name) => format!("{name}{VALUE}"),
        }
    }

    /// The name of the file with the key, where the value's name does not say it.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        match self {
            Name::Short(_) => None,
            Name::Long(name) => Some(format!("{name}{KEY}")),
        }
    }
}

/// What a file's name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It holds the value of this key.
    Value(Vec<u8>),
    /// It holds a long key, whose digest this is.
    LongKey(String),
    /// It holds the value of a long key.
    LongValue(String),
}

/// What `name` says; `None`: [`Name::of`] gives no such name.
#[must_use]
pub fn parse(name: &[u8]) -> Option<Meaning> {
    let name = std::str::from_utf8(name).ok()?;
    if name.starts_with(LONG) {
        let key = name.strip_suffix(KEY).map(|base| Meaning::LongKey(base.to_owned()));
        let value = || name.strip_suffix(VALUE).map(|base| Meaning::LongValue(base.to_owned()));
        let (Meaning::LongKey(base) | Meaning::LongValue(base)) = key.clone().or_else(value)?
        else {
            return None;
        };
        let digest = base.strip_prefix(LONG)?;
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let fits = digest.len() == 32 && digest.bytes().all(hex);
        return if fits { key.or_else(value) } else { None };
    }
    let key = unescape(name)?;
    let canonical = name.len() <= NAME_MAX && escape(&key) == name;
    (canonical && (1..=KEY_MAX).contains(&key.len())).then_some(Meaning::Value(key))
}

/// Whether `base` is the name of the long `key`.
#[must_use]
pub fn is_long(base: &str, key: &[u8]) -> bool {
    key.len() <= KEY_MAX && Name::of(key) == Name::Long(base.to_owned())
}

/// A table's name as a folder's. Only a dot in front has to be escaped.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut name = String::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"_.,+-=@:~".contains(byte);
        if plain && !(at == 0 && *byte == b'.') {
            name.push(char::from(*byte));
        } else {
            write!(name, "%{byte:02X}").expect("strings take everything");
        }
    }
    name
}

/// The other way; `None` where an escape is not whole.
#[must_use]
pub fn unescape(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    Some(bytes)
}

fn long(key: &[u8]) -> String {
    let hex = blake3::hash(key).to_hex();
    format!("{LONG}{}", &hex[..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_name_and_reads_back() {
        let long = vec![b'k'; NAME_MAX + 1];
        let mut keys: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        keys.extend((0..=255).map(|byte| vec![b'a', byte]));
        let more: [&[u8]; 7] =
            [b"..", b"a.b", b"a/b", b"%41", b"%K", "jöb".as_bytes(), &long[..NAME_MAX]];
        keys.extend(more.map(<[u8]>::to_vec));
        let mut names = std::collections::BTreeSet::new();
        for key in keys {
            let Name::Short(name) = Name::of(&key) else { panic!("{key:?} is short") };
            assert!(!name.starts_with('.') && !name.contains('/') && name.is_ascii(), "{name}");
            assert_eq!(parse(name.as_bytes()), Some(Meaning::Value(key)));
            names.insert(name);
        }
        assert_eq!(names.len(), 256 * 2 + 7);
    }

    #[test]
    fn long_keys_have_two_files() {
        for key in [vec![b'k'; NAME_MAX + 1], vec![0xff; NAME_MAX / 3 + 1], vec![0; KEY_MAX]] {
            let name = Name::of(&key);
            let (value, file) = (name.value(), name.key().unwrap());
            assert!(value.len() <= NAME_MAX && file.len() <= NAME_MAX);
            let Some(Meaning::LongKey(base)) = parse(file.as_bytes()) else { panic!("{file}") };
            assert_eq!(parse(value.as_bytes()), Some(Meaning::LongValue(base.clone())));
            assert!(is_long(&base, &key));
            assert!(!is_long(&base, &key[1..]) && !is_long(&base, b"short"));
        }
    }

    #[test]
    fn names_in_another_spelling_are_nobodys() {
        for name in [
            "",
            "%",
            "%4",
            "%41",
            "%2e",
            "%2F%",
            ".a",
            "a b",
            "ä",
            "%zz",
            "%+4",
            "a%61",
            "%K",
            "%K.key",
            "%Kabc.value",
            "%Kzz1",
        ] {
            assert_eq!(parse(name.as_bytes()), None, "{name}");
        }
        assert_eq!(parse(&[b'a', 0xff]), None);
        assert_eq!(parse("k".repeat(NAME_MAX + 1).as_bytes()), None);
        let upper = format!("{LONG}{}{KEY}", "A".repeat(32));
        assert_eq!(parse(upper.as_bytes()), None);
    }
}
