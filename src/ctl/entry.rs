//! Keys and values in JSON: as text where they are UTF-8, else in base64 under another name.

use crate::format::Op;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// The place of an entry.
#[derive(Debug, Serialize)]
pub struct Key<'a> {
    table: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_b64: Option<String>,
}

/// A table's key and its value.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    #[serde(flatten)]
    place: Key<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_b64: Option<String>,
}

/// One op of a save, as `apply` reads it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change<'a> {
    /// A put.
    Put(Entry<'a>),
    /// A delete.
    Delete(Key<'a>),
}

impl<'a> Key<'a> {
    /// `key` in `table`.
    #[must_use]
    pub fn new(table: &'a str, key: &'a [u8]) -> Key<'a> {
        let (key, key_b64) = text_or_base64(key);
        Key { table, key, key_b64 }
    }
}

impl<'a> Entry<'a> {
    /// `value` under `key` in `table`.
    #[must_use]
    pub fn new(table: &'a str, key: &'a [u8], value: &'a [u8]) -> Entry<'a> {
        let (value, value_b64) = text_or_base64(value);
        Entry { place: Key::new(table, key), value, value_b64 }
    }
}

impl<'a> From<Op<'a>> for Change<'a> {
    fn from(op: Op<'a>) -> Change<'a> {
        match op {
            Op::Put { table, key, value } => Change::Put(Entry::new(table, key, value)),
            Op::Delete { table, key } => Change::Delete(Key::new(table, key)),
        }
    }
}

fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

/// Reads base64, standard alphabet, padded.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("not base64: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_go_under_another_name() {
        let entry = |key, value| serde_json::to_string(&Entry::new("t", key, value)).unwrap();
        assert_eq!(entry(b"k", b"v"), r#"{"table":"t","key":"k","value":"v"}"#);
        assert_eq!(entry(b"\xff", b""), r#"{"table":"t","key_b64":"/w==","value":""}"#);
        let delete = Change::from(Op::Delete { table: "t", key: b"k" });
        let delete = serde_json::to_string(&delete).unwrap();
        assert_eq!(delete, r#"{"delete":{"table":"t","key":"k"}}"#);
    }
}
