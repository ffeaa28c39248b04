//! What is known of a node beyond slurm.conf: one entry of the table `nodes`, keyed by its name.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | form, 1 |
//! | 1 | 4 | state: base in the low four bits, and flags, as in Slurm's protocol |
//! | 5 | 4 | uid of who gave the reason |
//! | 9 | 8 | when, seconds since 1970 |
//! | 17 | 4 + n | reason: length and bytes |
//! | … | 4 + n | comment |
//! | … | 4 + n | extra |
//!
//! Numbers are little-endian. Invariant: any bytes are a record or an error; a record's bytes are
//! read as the same record.

use crate::base::{Cursor, Short};

/// The table.
pub const TABLE: &str = "nodes";

const FORM: u8 = 1;

/// What is known of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeRecord {
    /// Base and flags.
    pub state: u32,
    /// Who gave the reason.
    pub reason_uid: u32,
    /// When.
    pub reason_time: i64,
    /// Why it is down or drained; empty for none.
    pub reason: Vec<u8>,
    /// What an operator noted; empty for nothing.
    pub comment: Vec<u8>,
    /// The same, elsewhere.
    pub extra: Vec<u8>,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A newer program wrote it.
    #[error("record of form {0}, which this version does not know")]
    Form(u8),
    /// It ends too early.
    #[error(transparent)]
    Short(#[from] Short),
    /// Bytes are left.
    #[error("{0} bytes behind the record")]
    Trailing(usize),
}

impl NodeRecord {
    /// The record's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORM];
        bytes.extend(self.state.to_le_bytes());
        bytes.extend(self.reason_uid.to_le_bytes());
        bytes.extend(self.reason_time.to_le_bytes());
        for text in [&self.reason, &self.comment, &self.extra] {
            // Bounded by the request that brought it: 4 MiB.
            let len = u32::try_from(text.len()).expect("texts are shorter than a request");
            bytes.extend(len.to_le_bytes());
            bytes.extend(text);
        }
        bytes
    }

    /// The record in `bytes`.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<NodeRecord, RecordError> {
        let mut cursor = Cursor::new(bytes);
        match cursor.u8()? {
            FORM => {}
            other => return Err(RecordError::Form(other)),
        }
        let (state, reason_uid) = (cursor.u32()?, cursor.u32()?);
        let reason_time = i64::from_le_bytes(cursor.array()?);
        let mut texts = [const { Vec::new() }; 3];
        for text in &mut texts {
            let len = cursor.u32()? as usize;
            *text = cursor.bytes(len)?.to_vec();
        }
        let [reason, comment, extra] = texts;
        match cursor.rest().len() {
            0 => Ok(NodeRecord { state, reason_uid, reason_time, reason, comment, extra }),
            left => Err(RecordError::Trailing(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> NodeRecord {
        NodeRecord {
            state: 0x201,
            reason_uid: 7,
            reason_time: -1,
            reason: b"disk bad".to_vec(),
            comment: Vec::new(),
            extra: vec![0xff],
        }
    }

    #[test]
    fn a_record_comes_back_and_every_prefix_is_an_error() {
        let bytes = sample().encode();
        assert_eq!(NodeRecord::decode(&bytes), Ok(sample()));
        for len in 0..bytes.len() {
            assert!(NodeRecord::decode(&bytes[..len]).is_err(), "{len}");
        }
        assert_eq!(NodeRecord::decode(&[&bytes[..], &[0]].concat()), Err(RecordError::Trailing(1)));
        assert_eq!(NodeRecord::decode(&[2]), Err(RecordError::Form(2)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_an_error(bytes: Vec<u8>) {
            if let Ok(record) = NodeRecord::decode(&[&[FORM][..], &bytes].concat()) {
                prop_assert_eq!(&record.encode()[1..], bytes);
            }
        }
    }
}
