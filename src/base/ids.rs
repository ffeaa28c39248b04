//! Newtypes for what must not be mixed: ordinals of saves, reigns, segments, histories, times.

use std::fmt;
use std::str::FromStr;

/// Ordinal of a save, dense from 1. `Lsn(0)` is the state before the first save.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The state before any save.
    pub const ZERO: Lsn = Lsn(0);

    /// The LSN of the save that follows this one.
    #[must_use]
    pub fn next(self) -> Lsn {
        Lsn(self.0.saturating_add(1))
    }

    /// The LSN `count` saves later.
    #[must_use]
    pub fn plus(self, count: u64) -> Lsn {
        Lsn(self.0.saturating_add(count))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reign of one primary: the fencing token. Grows with every open for writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one. After the greatest, which only a damaged file can name, there is
    /// none: it stays, and opening is refused.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which segment: the epoch that made it, and its ordinal in the store (never used twice).
///
/// Ordered as history is: by epoch, then by ordinal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// Epoch of the writer that created the segment.
    pub epoch: Epoch,
    /// Position among all segments of the directory, growing from 1.
    pub ordinal: u64,
}

/// Nanoseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The wall clock now.
    #[must_use]
    pub fn now() -> Nanos {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // A clock before 1970 reads as 0: times never decide what is safe.
        Nanos(since.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// 128 random bits: the identity of a cluster or of one directory's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 16]);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Id {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Id, Self::Err> {
        const SHAPE: &str = "an identity is 32 hexadecimal digits";
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(SHAPE);
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| SHAPE)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| SHAPE)?;
        }
        Ok(Id(id))
    }
}

/// BLAKE3 truncated to 128 bits over everything up to the end of a group: equal
/// `(lsn, chain)` means equal history. Zero before the first group.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Chain(pub [u8; 16]);

impl Chain {
    /// The link of a group whose header (which holds the predecessor's link) and payload are given.
    #[must_use]
    pub fn of(header: &[u8], payload: &[u8]) -> Chain {
        let mut hasher = blake3::Hasher::new();
        hasher.update(header);
        hasher.update(payload);
        let mut link = [0; 16];
        link.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Chain(link)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Id(self.0).fmt(f)
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_reads_back_what_it_prints() {
        let id = Id(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("xyz".parse::<Id>().is_err());
        assert!("g".repeat(32).parse::<Id>().is_err());
    }

    #[test]
    fn chain_depends_on_header_and_payload() {
        assert_ne!(Chain::of(b"h", b"p"), Chain::of(b"h", b"q"));
        assert_ne!(Chain::of(b"h", b"p"), Chain::of(b"g", b"p"));
    }
}
