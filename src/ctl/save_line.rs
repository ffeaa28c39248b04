//! One line of `apply`'s input: `[{"put":{"table":T,"key":K,"value":V}},
//! {"delete":{"table":T,"key":K}}]`, with `key_b64` and `value_b64` for bytes.
//!
//! Strict: a field too many, twice or missing is an error, so that a slip in a script is seen.

use crate::ctl::entry::from_base64;
use crate::format::{Batch, BatchError};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;

/// Reads one line.
///
/// # Errors
/// A sentence that says what is wrong, and in which column.
pub fn parse(line: &[u8]) -> Result<Batch, String> {
    if line.trim_ascii().is_empty() {
        return Err("empty line: a save is a JSON array".to_owned());
    }
    match serde_json::from_slice(line) {
        Ok(Save(batch)) => Ok(batch),
        Err(error) => {
            let text = error.to_string();
            // The parser counts lines within this one.
            let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
            Err(format!("{what} (column {})", error.column()))
        }
    }
}

struct Save(Batch);

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op<'a> {
    #[serde(borrow)]
    Put(Put<'a>),
    #[serde(borrow)]
    Delete(Delete<'a>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Put<'a> {
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key_b64: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value_b64: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete<'a> {
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key_b64: Option<Cow<'a, str>>,
}

impl<'de> Deserialize<'de> for Save {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Save, D::Error> {
        struct Ops;

        impl<'de> Visitor<'de> for Ops {
            type Value = Save;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of puts and deletes")
            }

            // Op by op into the batch: a line of many small ops takes no memory beside it.
            fn visit_seq<A: SeqAccess<'de>>(self, mut ops: A) -> Result<Save, A::Error> {
                let mut batch = Batch::new();
                while let Some(op) = ops.next_element::<Op<'de>>()? {
                    add(&mut batch, &op).map_err(A::Error::custom)?;
                }
                Ok(Save(batch))
            }
        }

        deserializer.deserialize_seq(Ops)
    }
}

fn add(batch: &mut Batch, op: &Op<'_>) -> Result<(), String> {
    let limit = |error: BatchError| error.to_string();
    match op {
        Op::Put(put) => {
            let key = bytes("key", put.key.as_deref(), put.key_b64.as_deref())?;
            let value = bytes("value", put.value.as_deref(), put.value_b64.as_deref())?;
            batch.put(&put.table, &key, &value).map_err(limit)?;
        }
        Op::Delete(delete) => {
            let key = bytes("key", delete.key.as_deref(), delete.key_b64.as_deref())?;
            batch.delete(&delete.table, &key).map_err(limit)?;
        }
    }
    Ok(())
}

fn bytes<'a>(
    name: &str,
    text: Option<&'a str>,
    base64: Option<&str>,
) -> Result<Cow<'a, [u8]>, String> {
    match (text, base64) {
        (Some(text), None) => Ok(Cow::Borrowed(text.as_bytes())),
        (None, Some(base64)) => {
            from_base64(base64).map(Cow::Owned).map_err(|error| format!("{name}_b64: {error}"))
        }
        (None, None) => Err(format!("neither {name} nor {name}_b64 is given")),
        (Some(_), Some(_)) => Err(format!("both {name} and {name}_b64 are given")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_save() {
        let line = br#" [{"put":{"table":"jobs","key":"1","value":"\u00e9"}},
            {"delete":{"table":"jobs","key_b64":"/w=="}}] "#;
        let mut expected = Batch::new();
        expected.put("jobs", b"1", "é".as_bytes()).unwrap().delete("jobs", b"\xff").unwrap();
        assert_eq!(parse(line), Ok(expected));
        assert_eq!(parse(b"[]"), Ok(Batch::new()));
    }

    #[test]
    fn whatever_is_not_exactly_a_save_is_refused_in_words() {
        let put = |fields: &str| format!(r#"[{{"put":{{{fields}}}}}]"#);
        for (line, word) in [
            (String::new(), "empty line"),
            ("{}".into(), "array"),
            ("[".into(), "EOF"),
            ("[] []".into(), "trailing"),
            ("[1]".into(), "expected"),
            (r#"[{"move":{}}]"#.into(), "unknown variant `move`"),
            (put(""), "missing field `table`"),
            (put(r#""table":"t","value":"v""#), "neither key nor key_b64"),
            (put(r#""table":"t","key":"k""#), "neither value nor value_b64"),
            (put(r#""table":"t","key":"k","key_b64":"aw==","value":""#), "EOF"),
            (put(r#""table":"t","key":"k","key_b64":"aw==","value":"""#), "both key and key_b64"),
            (put(r#""table":"t","key":"k","key":"l","value":"""#), "duplicate field `key`"),
            (put(r#""table":"t","key":"k","value":"","ttl":1"#), "unknown field `ttl`"),
            (put(r#""table":"t","key":"k","value":1"#), "expected a"),
            (put(r#""table":"t","key_b64":"?","value":"""#), "not base64"),
            (put(r#""table":"T","key":"k","value":"""#), "table name"),
            (put(r#""table":"t","key":"","value":"""#), "key of 0 bytes"),
            (put(r#""table":"t","key":"\ud800","value":"""#), "hex escape"),
            (r#"[{"delete":{"table":"t","key":"k","value":"v"}}]"#.into(), "unknown field `value`"),
            (r#"[{"delete":{"table":"t","key":"k"},"put":{}}]"#.into(), "expected"),
        ] {
            let error = parse(line.as_bytes()).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
        assert!(parse(b"[{\"delete\":{\"table\":\"t\",\"key\":\"\xff\"}}]").is_err());
        assert!(parse(&b"[".repeat(1_000_000)).is_err());
    }
}
