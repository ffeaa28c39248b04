//! Bitmaps. On the wire: `u32` number of bits, then a string, `0x` and one hex digit for each four
//! bits, the highest first; the number 0xfffffffe alone is "no bitmap".

use crate::slurm::wire::Field;
use crate::slurm::wire::Reader;
use crate::slurm::wire::Text;
use crate::slurm::wire::Unset;
use crate::slurm::wire::Why;
use crate::slurm::wire::WireError;
use crate::slurm::wire::Writer;
use crate::slurm::wire::limits::BITS_MAX;

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// A bitmap, or none. Bits above its length are 0.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bits(Option<Map>);

#[derive(Clone, PartialEq, Eq)]
struct Map {
    len: u32,
    /// Four bits each, the lowest first.
    nibbles: Vec<u8>,
}

impl Bits {
    /// No bitmap.
    pub const NONE: Bits = Bits(None);

    /// `len` zeros.
    ///
    /// # Panics
    /// Above [`BITS_MAX`].
    #[must_use]
    pub fn zeros(len: u32) -> Bits {
        assert!(len <= BITS_MAX, "a bitmap of {len} bits");
        Bits(Some(Map { len, nibbles: vec![0; len.div_ceil(4) as usize] }))
    }

    /// `len` bits, of which `set` are one. Those beyond `len` are left out.
    #[must_use]
    pub fn from_set(len: u32, set: impl IntoIterator<Item = u32>) -> Bits {
        let mut bits = Bits::zeros(len);
        set.into_iter().for_each(|bit| bits.set(bit));
        bits
    }

    /// Whether there is no bitmap.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// How many bits there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "none, and no bit set, are different things")]
    pub fn len(&self) -> u32 {
        self.0.as_ref().map_or(0, |map| map.len)
    }

    /// Sets a bit; beyond the end nothing happens.
    pub fn set(&mut self, bit: u32) {
        if let Some(map) = &mut self.0
            && bit < map.len
        {
            map.nibbles[bit as usize / 4] |= 1 << (bit % 4);
        }
    }

    /// Whether a bit is set.
    #[must_use]
    pub fn has(&self, bit: u32) -> bool {
        self.0.as_ref().is_some_and(|map| {
            map.nibbles.get(bit as usize / 4).is_some_and(|four| four >> (bit % 4) & 1 == 1)
        })
    }

    /// The bits that are set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.len()).filter(|bit| self.has(*bit))
    }
}

impl std::fmt::Debug for Bits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_none() {
            return f.write_str("(null)");
        }
        write!(f, "{}:", self.len())?;
        f.debug_set().entries(self.iter()).finish()
    }
}

fn parse(len: u32, mask: &[u8]) -> Option<Vec<u8>> {
    let digits = mask.strip_prefix(b"0x")?;
    let nibbles: Option<Vec<u8>> = digits
        .iter()
        .rev()
        .map(|digit| char::from(*digit).to_digit(16).and_then(|four| u8::try_from(four).ok()))
        .collect();
    let nibbles = nibbles?;
    let spare = nibbles.len() * 4 - len as usize;
    let fits = spare < 4 && nibbles.last().is_none_or(|top| *top < 16 >> spare);
    fits.then_some(nibbles)
}

impl Field for Bits {
    const KIND: &'static str = "bits";
    const LEAST: usize = 4;

    fn pack(&self, out: &mut Writer) {
        let Some(map) = &self.0 else { return u32::UNSET.pack(out) };
        map.len.pack(out);
        let mut mask = b"0x".to_vec();
        mask.extend(map.nibbles.iter().rev().map(|four| DIGITS[usize::from(*four & 15)]));
        Text::from_bytes(&mask).pack(out);
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let len = u32::unpack(input)?;
        if len.is_unset() {
            return Ok(Bits::NONE);
        }
        if len > BITS_MAX {
            return Err(input.fails(Why::Limit { found: len as usize, max: BITS_MAX as usize }));
        }
        let mask = Text::unpack(input)?;
        let wanted = len.div_ceil(4) as usize + 2;
        let nibbles = (mask.bytes().len() == wanted).then(|| parse(len, mask.bytes())).flatten();
        match nibbles {
            Some(nibbles) => Ok(Bits(Some(Map { len, nibbles }))),
            None => Err(input.fails(Why::Mask(len))),
        }
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        let len = (choose() % 40) as u32;
        if len == 39 { Bits::NONE } else { Bits::from_set(len, [choose() as u32 % 40, len / 2]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::wire::Version;

    fn packed(bits: &Bits) -> Vec<u8> {
        let mut out = Writer::new(Version::NEWEST);
        bits.pack(&mut out);
        out.into_bytes()
    }

    fn unpacked(bytes: &[u8]) -> Result<Bits, WireError> {
        Bits::unpack(&mut Reader::new(bytes, Version::NEWEST))
    }

    #[test]
    fn a_bitmap_is_its_hex_mask_highest_digit_first() {
        let bytes = packed(&Bits::from_set(10, [0, 1, 9]));
        assert_eq!(bytes, b"\0\0\0\x0a\0\0\0\x060x203\0");
        assert_eq!(unpacked(&bytes).unwrap().iter().collect::<Vec<_>>(), [0, 1, 9]);
        assert_eq!(packed(&Bits::NONE), [0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(packed(&Bits::zeros(0)), b"\0\0\0\0\0\0\0\x030x\0");
    }

    #[test]
    fn a_mask_that_is_not_of_its_bits_is_refused() {
        for bytes in [
            b"\0\0\0\x0a\0\0\0\x060x403\0".as_slice(), // bit 10 of ten bits
            b"\0\0\0\x0a\0\0\0\x050x03\0",
            b"\0\0\0\x0a\0\0\0\x060x0g3\0",
            b"\0\0\0\x0a\0\0\0\x06000203\0",
            b"\x7f\xff\xff\xff\0\0\0\x060x203\0",
        ] {
            assert!(unpacked(bytes).is_err(), "{bytes:?}");
        }
    }
}
