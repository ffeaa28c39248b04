//! The ledger of protocol versions, newest first: a version is a column of every table.
//!
//! | version | number | header | bodies |
//! |---|---|---|---|
//! | 22.05 | 0x2600 | 10 bytes before the forward count | all tables |
//! | 21.08 | 0x2500 | two zero bytes before the message type | those that never changed |
//! | 20.11 | 0x2400 | as 21.08 | as 21.08 |
//!
//! A message says from which version on its table is known to be right
//! ([`Row::since`](crate::slurm::wire::message::Row)). A newer protocol is one more row here, and
//! its number at the fields that came or went with it.

/// A protocol version as it stands in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16);

impl Version {
    /// 20.11.
    pub const V20_11: Version = Version(0x2400);
    /// 21.08.
    pub const V21_08: Version = Version(0x2500);
    /// 22.05, the one that we speak unasked.
    pub const V22_05: Version = Version(0x2600);
    /// The newest that is known.
    pub const NEWEST: Version = LEDGER[0].version;

    /// Its row in the ledger; `None`: unknown, answer with [`constants::rc::VERSION`].
    ///
    /// [`constants::rc::VERSION`]: crate::slurm::wire::constants::rc::VERSION
    #[must_use]
    pub fn edition(self) -> Option<&'static Edition> {
        LEDGER.iter().find(|edition| edition.version == self)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.edition() {
            Some(edition) => write!(f, "{} ({:#06x})", edition.release, self.0),
            None => write!(f, "{:#06x}", self.0),
        }
    }
}

/// One version of the protocol.
#[derive(Clone, Copy, Debug)]
pub struct Edition {
    /// Its number.
    pub version: Version,
    /// The release that brought it.
    pub release: &'static str,
    /// Whether two zero bytes stand before the message type.
    pub padded_type: bool,
}

/// Every version that is accepted, newest first.
pub const LEDGER: [Edition; 3] = [
    Edition { version: Version::V22_05, release: "22.05", padded_type: false },
    Edition { version: Version::V21_08, release: "21.08", padded_type: true },
    Edition { version: Version::V20_11, release: "20.11", padded_type: true },
];
