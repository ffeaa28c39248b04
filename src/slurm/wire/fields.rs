//! What every kind of field can do, and the kinds that are made of others: arrays, lists that may
//! be absent, the rest of a body.

use crate::slurm::wire::Reader;
use crate::slurm::wire::Unset;
use crate::slurm::wire::Version;
use crate::slurm::wire::Why;
use crate::slurm::wire::WireError;
use crate::slurm::wire::Writer;

/// Elements for which memory is set aside before they are seen.
const AHEAD: usize = 64;

/// A kind of field: how it travels.
pub trait Field: Sized + Default {
    /// What the tables of docs/slurm-protocol.md call it.
    const KIND: &'static str;
    /// The kind of its elements, where it has some.
    const OF: &'static str = "";
    /// The fewest bytes that it takes, so that counts can be judged.
    const LEAST: usize;

    /// Appends it.
    fn pack(&self, out: &mut Writer);

    /// Reads it.
    ///
    /// # Errors
    /// Whatever the bytes are instead.
    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError>;

    /// What a client sends for "not set".
    #[must_use]
    fn unset() -> Self {
        Self::default()
    }

    /// A value that `choose` decides about, for tests: small, every shape possible.
    fn sample(choose: &mut dyn FnMut() -> u64) -> Self;
}

/// Unpacks one value from all of `bytes`.
///
/// # Errors
/// Those of the value, [`Why::Trailing`] where bytes are left.
pub fn unpack_all<T: Field>(bytes: &[u8], version: Version) -> Result<T, WireError> {
    let mut input = Reader::new(bytes, version);
    let value = T::unpack(&mut input)?;
    match input.rest().len() {
        0 => Ok(value),
        left => Err(input.fails(Why::Trailing(left))),
    }
}

fn elements<T: Field>(input: &mut Reader<'_>, count: usize) -> Result<Vec<T>, WireError> {
    let mut found = Vec::with_capacity(count.min(AHEAD));
    for _ in 0..count {
        found.push(T::unpack(input)?);
    }
    Ok(found)
}

fn few<T: Field>(choose: &mut dyn FnMut() -> u64) -> Vec<T> {
    (0..choose() % 3).map(|_| T::sample(choose)).collect()
}

/// `u32` count and the elements.
impl<T: Field> Field for Vec<T> {
    const KIND: &'static str = "array";
    const OF: &'static str = T::KIND;
    const LEAST: usize = 4;

    fn pack(&self, out: &mut Writer) {
        out.put_count(self.len());
        self.iter().for_each(|element| element.pack(out));
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let count = input.count(T::LEAST)?;
        elements(input, count)
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        few(choose)
    }
}

/// `u32` count and the elements, or the count 0xfffffffe alone: absent.
impl<T: Field> Field for Option<Vec<T>> {
    const KIND: &'static str = "list";
    const OF: &'static str = T::KIND;
    const LEAST: usize = 4;

    fn pack(&self, out: &mut Writer) {
        match self {
            Some(elements) => elements.pack(out),
            None => u32::UNSET.pack(out),
        }
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let count = u32::unpack(input)?;
        if count.is_unset() {
            return Ok(None);
        }
        let count = input.believe(count, T::LEAST)?;
        elements(input, count).map(Some)
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        (!choose().is_multiple_of(3)).then(|| few(choose))
    }
}

impl<T: Field> Field for Box<T> {
    const KIND: &'static str = T::KIND;
    const OF: &'static str = T::OF;
    const LEAST: usize = T::LEAST;

    fn pack(&self, out: &mut Writer) {
        T::pack(self, out);
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        T::unpack(input).map(Box::new)
    }

    fn unset() -> Self {
        Box::new(T::unset())
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        Box::new(T::sample(choose))
    }
}
