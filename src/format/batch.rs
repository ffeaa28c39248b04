//! One save: puts and deletes that apply together, in order, the last one winning.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | number of ops |
//! | 4 | 4 | bytes of ops that follow |
//! | 8 | … | ops |
//!
//! One op:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | kind: 1 put, 2 delete |
//! | 1 | 1 | bytes of table name |
//! | 2 | 2 | bytes of key |
//! | 4 | 4 | bytes of value (0 for a delete) |
//! | 8 | … | table name, key, value |

use crate::base::Cursor;
use crate::base::limits::{KEY_MAX, SAVE_MAX, TABLE_NAME_MAX, VALUE_MAX};
use crate::format::FormatError;

/// Bytes before the ops of a batch.
pub const BATCH_HEADER: usize = 8;

/// Bytes before the names and values of an op.
pub const OP_HEADER: usize = 8;

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// Why an op cannot be part of a save. Nothing was added to the batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The table's name has other characters, or another length.
    #[error("table name {0:?} is not [a-z0-9_.-]{{1,{TABLE_NAME_MAX}}}")]
    Table(String),
    /// The key is empty or too long.
    #[error("key of {0} bytes: 1 to {KEY_MAX} are possible")]
    Key(usize),
    /// The value is too long.
    #[error("value of {0} bytes: at most {VALUE_MAX} are possible")]
    Value(usize),
    /// The save would be too long.
    #[error("save of {0} bytes: at most {SAVE_MAX} are possible; split it")]
    Save(usize),
}

/// A save that is being put together.
///
/// ```
/// # fn main() -> Result<(), statedir::format::BatchError> {
/// let mut batch = statedir::Batch::new();
/// batch.put("jobs", b"17", b"sleep 60")?;
/// batch.delete("jobs", b"16")?;
/// assert_eq!(batch.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Room for the header, and the ops; nothing as long as there are none, so that most batches
    /// take memory once.
    bytes: Vec<u8>,
    ops: u32,
}

impl Batch {
    /// A batch without ops. Saving it takes an LSN and changes nothing.
    #[must_use]
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Number of ops.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops as usize
    }

    /// Whether there are no ops.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops == 0
    }

    /// Bytes of the encoded save.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.bytes.len().max(BATCH_HEADER)
    }

    /// The tables that it touches: a name comes again only after another one.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        let mut last = "";
        self.ops().filter_map(move |op| {
            let (Op::Put { table, .. } | Op::Delete { table, .. }) = op.ok()?;
            (std::mem::replace(&mut last, table) != table).then_some(table)
        })
    }

    /// Sets `key` in `table` to `value`.
    ///
    /// # Errors
    /// [`BatchError`] where a name, key or value is outside the limits; the batch is as before.
    pub fn put(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<&mut Self, BatchError> {
        self.push(PUT, table, key, value)
    }

    /// Removes `key` from `table`, if it is there.
    ///
    /// # Errors
    /// As [`Batch::put`].
    pub fn delete(&mut self, table: &str, key: &[u8]) -> Result<&mut Self, BatchError> {
        self.push(DELETE, table, key, &[])
    }

    fn push(
        &mut self,
        kind: u8,
        table: &str,
        key: &[u8],
        value: &[u8],
    ) -> Result<&mut Self, BatchError> {
        if !is_table_name(table.as_bytes()) {
            return Err(BatchError::Table(table.to_owned()));
        }
        if key.is_empty() || key.len() > KEY_MAX {
            return Err(BatchError::Key(key.len()));
        }
        if value.len() > VALUE_MAX {
            return Err(BatchError::Value(value.len()));
        }
        let grown = self.encoded_len() + OP_HEADER + table.len() + key.len() + value.len();
        if grown > SAVE_MAX {
            return Err(BatchError::Save(grown));
        }
        let table_len = u8::try_from(table.len()).expect("checked against TABLE_NAME_MAX");
        let key_len = u16::try_from(key.len()).expect("checked against KEY_MAX");
        let value_len = u32::try_from(value.len()).expect("checked against VALUE_MAX");
        self.bytes.reserve(grown - self.bytes.len());
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&[0; BATCH_HEADER]);
        }
        self.bytes.extend_from_slice(&[kind, table_len]);
        self.bytes.extend_from_slice(&key_len.to_le_bytes());
        self.bytes.extend_from_slice(&value_len.to_le_bytes());
        self.bytes.extend_from_slice(table.as_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.ops += 1;
        Ok(self)
    }

    /// The encoded save.
    #[must_use]
    pub fn encode(mut self) -> Vec<u8> {
        self.bytes.resize(self.encoded_len(), 0);
        let ops_len = u32::try_from(self.bytes.len() - BATCH_HEADER).expect("bounded by SAVE_MAX");
        self.bytes[0..4].copy_from_slice(&self.ops.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&ops_len.to_le_bytes());
        self.bytes
    }

    /// The ops, as they were added.
    #[must_use]
    pub fn ops(&self) -> Ops<'_> {
        let ops = self.bytes.get(BATCH_HEADER..).unwrap_or_default();
        Ops { cursor: Cursor::new(ops), left: self.ops }
    }
}

/// One op of a save, borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// `key` in `table` becomes `value`.
    Put {
        /// Table name, valid.
        table: &'a str,
        /// 1 to 4,096 bytes.
        key: &'a [u8],
        /// Up to 64 MiB.
        value: &'a [u8],
    },
    /// `key` leaves `table`.
    Delete {
        /// Table name, valid.
        table: &'a str,
        /// 1 to 4,096 bytes.
        key: &'a [u8],
    },
}

/// The ops of one save, in order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Ops<'a> {
    cursor: Cursor<'a>,
    left: u32,
}

impl<'a> Ops<'a> {
    /// The first save in `payload`, and what follows it.
    ///
    /// # Errors
    /// [`FormatError`] where the save's frame does not fit; its ops are checked as they are read.
    pub fn split(payload: &'a [u8]) -> Result<(Ops<'a>, &'a [u8]), FormatError> {
        let mut cursor = Cursor::new(payload);
        let left = cursor.u32()?;
        let len = cursor.u32()? as usize;
        let ops = cursor.bytes(len)?;
        if left as usize > len / OP_HEADER {
            return Err(FormatError::Field("ops"));
        }
        Ok((Ops { cursor: Cursor::new(ops), left }, cursor.rest()))
    }

    fn read(&mut self) -> Result<Op<'a>, FormatError> {
        let kind = self.cursor.u8()?;
        let table_len = self.cursor.u8()? as usize;
        let key_len = self.cursor.u16()? as usize;
        let value_len = self.cursor.u32()? as usize;
        let table = self.cursor.bytes(table_len)?;
        let key = self.cursor.bytes(key_len)?;
        let value = self.cursor.bytes(value_len)?;
        if !is_table_name(table) {
            return Err(FormatError::Field("table name"));
        }
        let table = std::str::from_utf8(table).map_err(|_| FormatError::Field("table name"))?;
        if key.is_empty() || key.len() > KEY_MAX {
            return Err(FormatError::Field("key length"));
        }
        match kind {
            PUT if value.len() <= VALUE_MAX => Ok(Op::Put { table, key, value }),
            DELETE if value.is_empty() => Ok(Op::Delete { table, key }),
            PUT | DELETE => Err(FormatError::Field("value length")),
            _ => Err(FormatError::Field("op kind")),
        }
    }
}

impl<'a> Iterator for Ops<'a> {
    type Item = Result<Op<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            // Bytes after the last op are no op that a writer wrote.
            let rest = self.cursor.rest();
            self.cursor = Cursor::new(&[]);
            return (!rest.is_empty()).then_some(Err(FormatError::Field("ops length")));
        }
        self.left -= 1;
        let op = self.read();
        if op.is_err() {
            self.left = 0;
            self.cursor = Cursor::new(&[]);
        }
        Some(op)
    }
}

/// Whether `name` can name a table: `[a-z0-9_.-]`, 1 to 64 bytes.
#[must_use]
pub fn is_table_name(name: &[u8]) -> bool {
    (1..=TABLE_NAME_MAX).contains(&name.len())
        && name.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_read_back_in_order() {
        let mut batch = Batch::new();
        batch.put("jobs", b"1", b"one").unwrap().delete("nodes", b"n1").unwrap();
        let bytes = batch.clone().encode();
        let (ops, rest) = Ops::split(&bytes).unwrap();
        assert!(rest.is_empty());
        let ops: Vec<_> = ops.map(Result::unwrap).collect();
        assert_eq!(
            ops,
            [
                Op::Put { table: "jobs", key: b"1", value: b"one" },
                Op::Delete { table: "nodes", key: b"n1" }
            ]
        );
        assert_eq!(batch.ops().map(Result::unwrap).collect::<Vec<_>>(), ops);
    }

    #[test]
    fn a_batch_without_ops_reads_back_without_ops() {
        let batch = Batch::new();
        assert!(batch.is_empty() && batch.ops().next().is_none());
        assert_eq!(batch.encoded_len(), BATCH_HEADER);
        let bytes = batch.encode();
        assert_eq!(bytes.len(), BATCH_HEADER);
        assert_eq!(Ops::split(&bytes).unwrap().0.count(), 0);
    }

    #[test]
    fn limits_hold_at_the_edge_and_a_refused_op_leaves_no_trace() {
        let mut batch = Batch::new();
        let name = "t".repeat(TABLE_NAME_MAX);
        batch.put(&name, &[7; KEY_MAX], b"").unwrap();
        let before = batch.clone();
        assert!(batch.put(&format!("{name}t"), b"k", b"").is_err());
        assert!(batch.put("", b"k", b"").is_err());
        assert!(batch.put("Jobs", b"k", b"").is_err());
        assert!(batch.put("jobs", b"", b"").is_err());
        assert!(batch.put("jobs", &[7; KEY_MAX + 1], b"").is_err());
        assert!(batch.put("jobs", b"k", &vec![0; VALUE_MAX + 1]).is_err());
        assert_eq!(batch, before);
        batch.put("jobs", b"k", &vec![0; VALUE_MAX]).unwrap();
    }

    #[test]
    fn prefixes_and_lying_lengths_are_errors() {
        let mut batch = Batch::new();
        batch.put("jobs", b"1", b"one").unwrap();
        let bytes = batch.encode();
        for len in 0..bytes.len() {
            assert!(Ops::split(&bytes[..len]).is_err(), "{len}");
        }
        let mut lying = bytes.clone();
        lying[0] = 200;
        assert!(Ops::split(&lying).is_err());
        let mut lying = bytes;
        lying[BATCH_HEADER + 4] = 200;
        assert!(Ops::split(&lying).unwrap().0.any(|op| op.is_err()));
    }
}
