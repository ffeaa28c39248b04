//! Reading fixed little-endian layouts from bytes that nobody vouches for. Total: a short input
//! is an error, never a panic, and nothing is allocated here.

/// The input ended inside a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ends inside a field: {wanted} bytes wanted, {left} left")]
pub struct Short {
    /// Bytes that the field takes.
    pub wanted: usize,
    /// Bytes that were left.
    pub left: usize,
}

/// A reading position in a slice.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Starts at the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes }
    }

    /// What has not been read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Short`] if fewer are left.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let (head, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(Short { wanted: count, left: self.rest.len() })?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`Short`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Short`] at the end.
    pub fn u8(&mut self) -> Result<u8, Short> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A little-endian u16.
    ///
    /// # Errors
    /// [`Short`] at the end.
    pub fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_le_bytes)
    }

    /// A little-endian u32.
    ///
    /// # Errors
    /// [`Short`] at the end.
    pub fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    /// A little-endian u64.
    ///
    /// # Errors
    /// [`Short`] at the end.
    pub fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_input_is_an_error_and_takes_nothing() {
        let mut cursor = Cursor::new(&[1, 2, 3]);
        assert_eq!(cursor.u32(), Err(Short { wanted: 4, left: 3 }));
        assert_eq!(cursor.u16(), Ok(0x0201));
        assert_eq!(cursor.u8(), Ok(3));
        assert_eq!(cursor.u8(), Err(Short { wanted: 1, left: 0 }));
    }
}
