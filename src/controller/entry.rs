//! Entries of the controller's tables: a form, and records packed as in Slurm's protocol 22.05.
//!
//! Invariants: any bytes are a value or an error; what is read is what was written.

use crate::slurm::wire::{Field, Reader, Version, WireError, Writer};

/// The form that is written, and the only one so far.
const FORM: u8 = 1;
/// The layouts of records are those of this version, whatever else is spoken.
const VERSION: Version = Version::V22_05;

/// Why bytes are no entry.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// A newer program wrote it.
    #[error("entry of form {0}, which this version does not know")]
    Form(u8),
    /// Nothing is there.
    #[error("an empty entry")]
    Empty,
    /// A field is none.
    #[error(transparent)]
    Field(#[from] WireError),
    /// Bytes are left.
    #[error("{0} bytes behind the entry")]
    Trailing(usize),
    /// The key is of another length.
    #[error("a key of {0} bytes is no id")]
    Key(usize),
}

/// The bytes of an entry.
#[must_use]
pub fn encode(value: &impl Field) -> Vec<u8> {
    encode_with(|out| value.pack(out))
}

/// The bytes of an entry whose fields `pack` appends.
pub fn encode_with(pack: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new(VERSION);
    out.put(&[FORM]);
    pack(&mut out);
    out.into_bytes()
}

/// The value in an entry.
///
/// # Errors
/// [`EntryError`].
pub fn decode<T: Field>(bytes: &[u8]) -> Result<T, EntryError> {
    let mut input = match bytes.split_first() {
        None => return Err(EntryError::Empty),
        Some((&FORM, rest)) => Reader::new(rest, VERSION),
        Some((other, _)) => return Err(EntryError::Form(*other)),
    };
    let value = T::unpack(&mut input)?;
    match input.rest().len() {
        0 => Ok(value),
        left => Err(EntryError::Trailing(left)),
    }
}

/// The key of what has an id.
#[must_use]
pub fn key(id: u32) -> [u8; 4] {
    id.to_be_bytes()
}

/// The id in a key.
///
/// # Errors
/// [`EntryError::Key`].
pub fn id_of(key: &[u8]) -> Result<u32, EntryError> {
    key.try_into().map(u32::from_be_bytes).map_err(|_| EntryError::Key(key.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::job::{Course, Entry, Payload};
    use crate::controller::node::NodeRecord;

    fn comes_back<T: Field + PartialEq + std::fmt::Debug>(seed: u64) {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut choose = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let value = T::sample(&mut choose);
        let bytes = encode(&value);
        assert_eq!(decode::<T>(&bytes).unwrap(), value);
        for len in 0..bytes.len() {
            assert!(decode::<T>(&bytes[..len]).is_err(), "{seed} {len}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(decode::<T>(&longer), Err(EntryError::Trailing(1)));
        let newer = [&[2][..], &bytes[1..]].concat();
        assert_eq!(decode::<T>(&newer), Err(EntryError::Form(2)));
    }

    #[test]
    fn every_kind_of_entry_comes_back_and_every_prefix_is_an_error() {
        for seed in 1..60 {
            comes_back::<NodeRecord>(seed);
            comes_back::<Entry>(seed);
            comes_back::<Course>(seed);
            comes_back::<Payload>(seed);
        }
    }
}
