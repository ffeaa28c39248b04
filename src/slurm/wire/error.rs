//! What can be wrong with bytes from a peer.

/// Where, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{record}.{field} at byte {at}: {why}")]
pub struct WireError {
    /// The innermost table that was being read.
    pub record: &'static str,
    /// Its field.
    pub field: &'static str,
    /// Where the field began, from the start of what was being read.
    pub at: usize,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The input ends inside the field.
    #[error("{wanted} bytes wanted, {left} left")]
    Short {
        /// Bytes that the field takes.
        wanted: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// More elements are claimed than what is left can hold.
    #[error("{count} elements claimed, {left} bytes left")]
    Count {
        /// What the count says.
        count: u32,
        /// Bytes that were left.
        left: usize,
    },
    /// A string without the NUL that its length counts.
    #[error("a string that does not end with NUL")]
    NoNul,
    /// A string that a C program would read as a shorter one.
    #[error("a string with a NUL inside")]
    InnerNul,
    /// A bitmap whose text is not the mask of its number of bits.
    #[error("a bitmap whose mask does not fit its {0} bits")]
    Mask(u32),
    /// A flag or a kind that is none of those that are defined.
    #[error("{value} is not among the values defined")]
    Undefined {
        /// What stands there.
        value: u64,
    },
    /// Something that may be there, and that we cannot read.
    #[error("{0} is present, and not supported")]
    Unsupported(&'static str),
    /// A length above its limit.
    #[error("{found} is above the limit of {max}")]
    Limit {
        /// What stands there.
        found: usize,
        /// What is allowed.
        max: usize,
    },
    /// Bytes behind the last field.
    #[error("{0} bytes behind the last field")]
    Trailing(usize),
    /// A version that is not in the ledger, or that has no such table.
    #[error("protocol version {0:#06x} is not spoken here")]
    Version(u16),
    /// A message that is not in the table.
    #[error("message {0} is not known")]
    Message(u16),
}
