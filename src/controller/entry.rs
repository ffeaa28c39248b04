//! Entries of the controller's tables: a form, and records packed as in Slurm's protocol 22.05.
//!
//! | form | behind it |
//! |---|---|
//! | 1 | the record |
//! | 2 | one zstd frame that holds the record: scripts and environments, where that is shorter |
//!
//! Invariants: any bytes are a value or an error; what is read is what was written; memory follows
//! what is there, not what a frame claims, up to `RECORD_MAX`.

use crate::slurm::wire::limits::SUBMIT_MAX;
use crate::slurm::wire::{Field, Reader, Version, WireError, Writer};
use std::cell::RefCell;
use std::io::Read;
use zstd::bulk::Compressor;

/// A record as it is.
const FORM: u8 = 1;
/// A record, compressed.
const COMPRESSED: u8 = 2;
/// The longest record that a frame may hold: the largest submission, and what an array adds to it.
const RECORD_MAX: usize = SUBMIT_MAX + (64 << 10);
/// Records that are shorter than this are not compressed: little can be gained.
const SHORT: usize = 256;
/// The fastest one: a submission waits for it.
const LEVEL: i32 = 1;
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
    /// A frame that is none, or holds more than a record may.
    #[error("a compressed record that cannot be read")]
    Compressed,
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

/// The bytes of an entry, compressed where that makes it shorter.
#[must_use]
pub fn encode_compressed(value: &impl Field) -> Vec<u8> {
    thread_local! {
        // Making one takes longer than what it does here.
        static COMPRESSOR: RefCell<Option<Compressor<'static>>> =
            RefCell::new(Compressor::new(LEVEL).ok());
    }
    let plain = encode(value);
    if plain.len() < SHORT {
        return plain;
    }
    let frame = COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.as_mut().and_then(|compressor| compressor.compress(&plain[1..]).ok())
    });
    match frame {
        Some(frame) if frame.len() + 1 < plain.len() => [&[COMPRESSED], &frame[..]].concat(),
        _ => plain,
    }
}

fn decompress(frame: &[u8]) -> Option<Vec<u8>> {
    let mut rest = frame;
    let mut record = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(&mut rest).ok()?;
    let most = u64::try_from(RECORD_MAX).ok()? + 1;
    decoder.single_frame().take(most).read_to_end(&mut record).ok()?;
    (rest.is_empty() && record.len() <= RECORD_MAX).then_some(record)
}

/// The value in an entry.
///
/// # Errors
/// [`EntryError`].
pub fn decode<T: Field>(bytes: &[u8]) -> Result<T, EntryError> {
    let record;
    let mut input = match bytes.split_first() {
        None => return Err(EntryError::Empty),
        Some((&FORM, rest)) => Reader::new(rest, VERSION),
        Some((&COMPRESSED, frame)) => {
            record = decompress(frame).ok_or(EntryError::Compressed)?;
            Reader::new(&record, VERSION)
        }
        Some((other, _)) => return Err(EntryError::Form(*other)),
    };
    let value = T::unpack(&mut input)?;
    match input.rest().len() {
        0 => Ok(value),
        left => Err(EntryError::Trailing(left)),
    }
}

/// The first record of an entry that has several, and the bytes behind it. `None`: the entry is
/// compressed.
///
/// # Errors
/// [`EntryError`].
pub fn first<T: Field>(bytes: &[u8]) -> Result<Option<(T, &[u8])>, EntryError> {
    match bytes.split_first() {
        None => Err(EntryError::Empty),
        Some((&FORM, rest)) => {
            let mut input = Reader::new(rest, VERSION);
            let value = T::unpack(&mut input)?;
            Ok(Some((value, input.rest())))
        }
        Some((&COMPRESSED, _)) => Ok(None),
        Some((other, _)) => Err(EntryError::Form(*other)),
    }
}

/// The last record of an entry.
///
/// # Errors
/// [`EntryError`].
pub fn last<T: Field>(bytes: &[u8]) -> Result<T, EntryError> {
    let mut input = Reader::new(bytes, VERSION);
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
        let newer = [&[3][..], &bytes[1..]].concat();
        assert_eq!(decode::<T>(&newer), Err(EntryError::Form(3)));
    }

    #[test]
    fn a_script_is_kept_shorter_and_comes_back_and_what_is_damaged_is_an_error() {
        let payload = Payload {
            script: "#!/bin/sh\nsrun step\n".repeat(50).as_str().into(),
            environment: vec!["PATH=/bin:/usr/bin".into(); 20],
            ..Payload::default()
        };
        let (plain, bytes) = (encode(&payload), encode_compressed(&payload));
        assert!(bytes[0] == COMPRESSED && bytes.len() * 4 < plain.len(), "{}", bytes.len());
        assert_eq!(decode::<Payload>(&bytes).unwrap(), payload);
        for len in 1..bytes.len() {
            assert_eq!(decode::<Payload>(&bytes[..len]), Err(EntryError::Compressed), "{len}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(decode::<Payload>(&longer), Err(EntryError::Compressed));
        let short = Payload { script: "#!/bin/sh\n".into(), ..Payload::default() };
        assert_eq!(encode_compressed(&short), encode(&short));
        let bomb = zstd::bulk::compress(&vec![0; RECORD_MAX + 1], LEVEL).unwrap();
        let bomb = [&[COMPRESSED], &bomb[..]].concat();
        assert_eq!(decode::<Payload>(&bomb), Err(EntryError::Compressed));
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
