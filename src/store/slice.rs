//! Keys and values as they stand in memory: parts of the groups that brought them.

use crate::log::Payload;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A value in the saves that brought it.
#[derive(Clone)]
pub struct Slice {
    holder: Arc<Payload>,
    start: u32,
    len: u32,
}

impl Slice {
    /// `part` of `holder`.
    pub(super) fn of(holder: &Arc<Payload>, part: &[u8]) -> Slice {
        let start = part.as_ptr() as usize - holder.as_ptr() as usize;
        assert!(start + part.len() <= holder.len(), "a slice of its own group");
        let start = u32::try_from(start).expect("bounded by PAYLOAD_MAX");
        Slice { holder: Arc::clone(holder), start, len: part.len() as u32 }
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.holder[self.start as usize..][..self.len as usize]
    }
}

/// Bytes of a key that stand in the map's own nodes: a search then touches no other memory. What
/// fits beside a length where a [`Slice`] would stand.
const SHORT: usize = 22;

/// A key.
#[derive(Clone)]
pub enum Key {
    /// Up to [`SHORT`] bytes.
    Short(u8, [u8; SHORT]),
    /// A longer one.
    Long(Slice),
}

const _: () = assert!(size_of::<Key>() == 24);

impl Key {
    pub(super) fn of(holder: &Arc<Payload>, key: &[u8]) -> Key {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..key.len()) {
            Some(short) => {
                short.copy_from_slice(key);
                Key::Short(key.len() as u8, bytes)
            }
            None => Key::Long(Slice::of(holder, key)),
        }
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Key::Short(len, bytes) => &bytes[..*len as usize],
            Key::Long(slice) => slice,
        }
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        **self == **other
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.escape_ascii().fmt(f)
    }
}
