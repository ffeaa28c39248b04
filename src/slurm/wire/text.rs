//! Strings and blobs. A string is absent (NULL) or bytes without NUL: C programs wrote it, so it
//! need not be UTF-8.

use crate::slurm::wire::Field;
use crate::slurm::wire::Reader;
use crate::slurm::wire::Why;
use crate::slurm::wire::WireError;
use crate::slurm::wire::Writer;
use crate::slurm::wire::thin::Thin;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// A string, or none: `u32` length with the closing NUL, the bytes, NUL; length 0 is none.
#[derive(Clone, Default)]
pub struct Text(Option<Thin>);

impl Text {
    /// No string (NULL). Clients show `(null)` or nothing.
    pub const NONE: Text = Text(None);

    /// From bytes, up to the first NUL.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Text {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Text(Some(Thin::of(&bytes[..end])))
    }

    fn get(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }

    /// The bytes; none: empty. Most clients treat the two alike.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.get().unwrap_or(b"")
    }

    /// The text, what is not UTF-8 replaced; none: empty.
    #[must_use]
    pub fn lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes())
    }

    /// The text, if there is one and it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.get().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// Whether there is no string at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Whether there is no string, or an empty one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Text) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Text) -> Ordering {
        self.get().cmp(&other.get())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.get().hash(state);
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text::from_bytes(text.as_bytes())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text::from_bytes(text.as_bytes())
    }
}

impl<T: Into<Text>> From<Option<T>> for Text {
    fn from(text: Option<T>) -> Text {
        text.map_or(Text::NONE, Into::into)
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_none() { f.write_str("(null)") } else { write!(f, "{:?}", self.lossy()) }
    }
}

impl Field for Text {
    const KIND: &'static str = "str";
    const LEAST: usize = 4;

    fn pack(&self, out: &mut Writer) {
        let Some(bytes) = &self.0 else { return out.put_count(0) };
        out.put_count(bytes.len() + 1);
        out.put(bytes);
        out.put(&[0]);
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let len = input.count(1)?;
        match input.take(len)? {
            [] => Ok(Text::NONE),
            [text @ .., 0] if text.contains(&0) => Err(input.fails(Why::InnerNul)),
            [text @ .., 0] => Ok(Text(Some(Thin::of(text)))),
            _ => Err(input.fails(Why::NoNul)),
        }
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        match choose() % 4 {
            0 => Text::NONE,
            1 => Text::from(""),
            _ => Text::from(format!("{:x}", choose())),
        }
    }
}

/// Bytes of any value: `u32` length and the bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Field for Blob {
    const KIND: &'static str = "mem";
    const LEAST: usize = 4;

    fn pack(&self, out: &mut Writer) {
        out.put_count(self.0.len());
        out.put(&self.0);
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let len = input.count(1)?;
        Ok(Blob(input.take(len)?.to_vec()))
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        let len = choose() % 9;
        Blob((0..len).map(|_| choose() as u8).collect())
    }
}

/// A blob that is preceded by its size once more, and left out where that is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SizedBlob(pub Vec<u8>);

impl Field for SizedBlob {
    const KIND: &'static str = "size+mem";
    const LEAST: usize = 4;

    fn pack(&self, out: &mut Writer) {
        out.put_count(self.0.len());
        if !self.0.is_empty() {
            out.put_count(self.0.len());
            out.put(&self.0);
        }
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let size = u32::from_be_bytes(input.array()?);
        if size == 0 {
            return Ok(SizedBlob::default());
        }
        let Blob(bytes) = Blob::unpack(input)?;
        if bytes.len() == size as usize {
            Ok(SizedBlob(bytes))
        } else {
            Err(input.fails(Why::Undefined { value: size.into() }))
        }
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        SizedBlob(Blob::sample(choose).0)
    }
}
