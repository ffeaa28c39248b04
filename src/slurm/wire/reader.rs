//! A reading position that knows which field it is in, and the buffer that packing fills.
//! Everything is big-endian.

use crate::slurm::wire::Version;
use crate::slurm::wire::Why;
use crate::slurm::wire::WireError;

/// Reads fields, one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    version: Version,
    place: Place,
}

/// The field that is being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    record: &'static str,
    field: &'static str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `bytes`, which `version` laid out.
    #[must_use]
    pub fn new(bytes: &'a [u8], version: Version) -> Self {
        Reader { bytes, at: 0, version, place: Place { record: "message", field: "body", at: 0 } }
    }

    /// The version of what is read.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How many bytes have been read.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// What has not been read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// What was read since `from`.
    #[must_use]
    pub fn since(&self, from: usize) -> &'a [u8] {
        &self.bytes[from.min(self.at)..self.at]
    }

    /// From here on errors name this field; returns what they named before.
    pub(crate) fn enter(&mut self, record: &'static str, field: &'static str) -> Place {
        std::mem::replace(&mut self.place, Place { record, field, at: self.at })
    }

    /// A field is over: errors name the outer one again.
    pub(crate) fn leave(&mut self, outer: Place) {
        self.place = outer;
    }

    /// An error about the field that is being read.
    #[must_use]
    pub fn fails(&self, why: Why) -> WireError {
        let Place { record, field, at } = self.place;
        WireError { record, field, at, why }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Why::Short`].
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let rest = self.rest();
        let Some(taken) = rest.get(..count) else {
            return Err(self.fails(Why::Short { wanted: count, left: rest.len() }));
        };
        self.at += count;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`Why::Short`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// A count of elements that take at least `least` bytes each, so that it can be believed.
    ///
    /// # Errors
    /// [`Why::Short`], [`Why::Count`].
    pub fn count(&mut self, least: usize) -> Result<usize, WireError> {
        let count = u32::from_be_bytes(self.array()?);
        self.believe(count, least)
    }

    /// A count that was read already, if what is left can hold it.
    ///
    /// # Errors
    /// [`Why::Count`].
    pub fn believe(&mut self, count: u32, least: usize) -> Result<usize, WireError> {
        let left = self.rest().len();
        match usize::try_from(count) {
            Ok(elements) if elements <= left / least.max(1) => Ok(elements),
            _ => Err(self.fails(Why::Count { count, left })),
        }
    }
}

/// Collects what is packed.
#[derive(Clone, Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    version: Version,
}

impl Writer {
    /// An empty buffer, laid out as `version` wants it.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Writer { bytes: Vec::new(), version }
    }

    /// The version that is written.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Appends bytes as they are.
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a length or a count.
    ///
    /// # Panics
    /// Above 4 Gi, which no frame can hold.
    pub fn put_count(&mut self, count: usize) {
        let count = u32::try_from(count).expect("nothing in a frame is that long");
        self.put(&count.to_be_bytes());
    }

    /// What was packed.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
