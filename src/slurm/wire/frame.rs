//! What surrounds a body: `u32` length of all that follows, header, credential, body.
//!
//! | header field | kind | note |
//! |---|---|---|
//! | version | u16 | the ledger's number |
//! | flags | u16 | |
//! | – | u16 | 0; only in 21.08 and older |
//! | type | u16 | number of the message |
//! | body length | u32 | |
//! | forward count | u16 | 0; more is refused: nodes to pass the message on to would follow |
//! | return count | u16 | likewise: replies of other nodes would follow |
//! | origin | u16 family | not used. 0; 2, then u32 address, u16 port; 10, then mem, u16 port |
//! | credential | u32 plugin, and str (munge) or mem (ours) | |
//!
//! One request a connection. The head can be judged before the body has arrived: a server reads at
//! most [`HEAD_MAX`] bytes for somebody who has not proved who he is.

use crate::slurm::wire::Blob;
use crate::slurm::wire::Field;
use crate::slurm::wire::Reader;
use crate::slurm::wire::Text;
use crate::slurm::wire::Version;
use crate::slurm::wire::Why;
use crate::slurm::wire::WireError;
use crate::slurm::wire::Writer;
use crate::slurm::wire::constants::auth;
use crate::slurm::wire::limits::FRAME_MAX;
use crate::slurm::wire::limits::HEAD_MAX;
use crate::slurm::wire::message;
use crate::slurm::wire::record::Column;
use crate::slurm::wire::record::field;

/// Bytes of the length in front of a frame.
pub const LENGTH_LEN: usize = 4;

const INET: u16 = 2;
const INET6: u16 = 10;

/// What the header says of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version in which the body is laid out, and in which the reply is expected.
    pub version: Version,
    /// Flags; ours are 0.
    pub flags: u16,
    /// Number of the message.
    pub kind: u16,
    /// Bytes of the body.
    pub body_len: u32,
}

/// The part of a frame before its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// What the header says.
    pub header: Header,
    /// The header's bytes, for those who sign them.
    pub header_bytes: &'a [u8],
    /// The plugin that made the credential.
    pub plugin: u32,
    /// The credential: munge's text without its NUL, or our bytes.
    pub credential: Vec<u8>,
    /// Bytes of header and credential.
    pub len: usize,
}

/// A whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Header and credential.
    pub head: Head<'a>,
    /// The body, not looked at.
    pub body: &'a [u8],
}

macro_rules! column {
    ($name:literal, $kind:literal) => {{
        const COLUMN: Column = Column {
            name: $name,
            kind: $kind,
            of: "",
            since: Version(0),
            until: Version(u16::MAX),
        };
        Some(&COLUMN)
    }};
}

/// The length of what follows, from the first four bytes of a connection.
///
/// # Errors
/// [`Why::Limit`] above [`FRAME_MAX`].
pub fn length(bytes: [u8; LENGTH_LEN]) -> Result<usize, WireError> {
    let found = u32::from_be_bytes(bytes) as usize;
    let fails = |why| WireError { record: "Frame", field: "length", at: 0, why };
    if found > FRAME_MAX { Err(fails(Why::Limit { found, max: FRAME_MAX })) } else { Ok(found) }
}

impl Header {
    /// A header for a body of `body_len` bytes.
    ///
    /// # Panics
    /// Above [`FRAME_MAX`]: a message's own limits come first.
    #[must_use]
    pub fn new(version: Version, kind: u16, body_len: usize) -> Header {
        assert!(body_len <= FRAME_MAX, "a body of {body_len} bytes");
        let body_len = u32::try_from(body_len).expect("FRAME_MAX fits");
        Header { version, flags: 0, kind, body_len }
    }

    /// The header's bytes.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let mut out = Writer::new(self.version);
        self.version.0.pack(&mut out);
        self.flags.pack(&mut out);
        if self.version.edition().is_some_and(|edition| edition.padded_type) {
            0_u16.pack(&mut out);
        }
        self.kind.pack(&mut out);
        self.body_len.pack(&mut out);
        out.put(&[0; 6]);
        out.into_bytes()
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Header, WireError> {
        const NAME: &str = "Header";
        let outer = input.enter(NAME, "version");
        let version = Version(u16::unpack(input)?);
        let edition = version.edition().ok_or_else(|| input.fails(Why::Version(version.0)))?;
        input.leave(outer);
        let flags = field(input, NAME, column!("flags", "u16"))?;
        if edition.padded_type {
            let _: u16 = field(input, NAME, column!("padding", "u16"))?;
        }
        let kind = field(input, NAME, column!("type", "u16"))?;
        let body_len = field(input, NAME, column!("body length", "u32"))?;
        let Forward = field(input, NAME, column!("forward count", "u16"))?;
        let Returns = field(input, NAME, column!("return count", "u16"))?;
        let Origin = field(input, NAME, column!("origin", "address"))?;
        Ok(Header { version, flags, kind, body_len })
    }
}

/// A frame for `header`, with its length in front.
#[must_use]
pub fn pack(header: &Header, plugin: u32, credential: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = Writer::new(header.version);
    out.put(&[0; LENGTH_LEN]);
    out.put(&header.pack());
    plugin.pack(&mut out);
    match plugin {
        auth::KEY => Blob(credential.to_vec()).pack(&mut out),
        _ => Text::from_bytes(credential).pack(&mut out),
    }
    out.put(body);
    let mut bytes = out.into_bytes();
    let len = u32::try_from(bytes.len() - LENGTH_LEN).expect("a body within its limit");
    bytes[..LENGTH_LEN].copy_from_slice(&len.to_be_bytes());
    bytes
}

impl<'a> Head<'a> {
    /// Header and credential at the start of `bytes`, which follow the length.
    ///
    /// # Errors
    /// What is wrong with them. [`Why::Short`] and [`Why::Count`] of fewer than [`HEAD_MAX`] bytes
    /// mean that more are needed; see [`Head::wants_more`].
    pub fn unpack(bytes: &'a [u8]) -> Result<Head<'a>, WireError> {
        let bytes = &bytes[..bytes.len().min(HEAD_MAX)];
        let mut input = Reader::new(bytes, Version::NEWEST);
        let header = Header::unpack(&mut input)?;
        let header_bytes = input.since(0);
        let plugin = field(&mut input, "Credential", column!("plugin", "u32"))?;
        let outer = input.enter("Credential", "credential");
        let credential = match plugin {
            auth::MUNGE => Text::unpack(&mut input)?.bytes().to_vec(),
            auth::KEY => Blob::unpack(&mut input)?.0,
            other => return Err(input.fails(Why::Undefined { value: other.into() })),
        };
        input.leave(outer);
        Ok(Head { header, header_bytes, plugin, credential, len: input.at() })
    }

    /// Whether `error`, from the first `have` bytes, only says that more bytes are needed.
    #[must_use]
    pub fn wants_more(error: &WireError, have: usize) -> bool {
        have < HEAD_MAX && matches!(error.why, Why::Short { .. } | Why::Count { .. })
    }

    /// The body's length, if this message may be that long.
    ///
    /// # Errors
    /// [`Why::Message`], [`Why::Version`], [`Why::Limit`].
    pub fn body_len(&self) -> Result<usize, WireError> {
        let fails = |why| WireError { record: "Header", field: "body length", at: 0, why };
        let row =
            message::row(self.header.kind).ok_or_else(|| fails(Why::Message(self.header.kind)))?;
        if self.header.version < row.since {
            return Err(fails(Why::Version(self.header.version.0)));
        }
        let found = self.header.body_len as usize;
        if found > row.body_max {
            return Err(fails(Why::Limit { found, max: row.body_max }));
        }
        Ok(found)
    }
}

impl<'a> Frame<'a> {
    /// A frame without the length in front of it.
    ///
    /// # Errors
    /// Those of the head, and where the body is longer than its kind may be, or not as long as the
    /// header says.
    pub fn unpack(bytes: &'a [u8]) -> Result<Frame<'a>, WireError> {
        let head = Head::unpack(bytes)?;
        let body = &bytes[head.len..];
        let wanted = head.body_len()?;
        let fails = |why| WireError { record: "Frame", field: "body", at: head.len, why };
        match body.len().checked_sub(wanted) {
            Some(0) => Ok(Frame { head, body }),
            Some(more) => Err(fails(Why::Trailing(more))),
            None => Err(fails(Why::Short { wanted, left: body.len() })),
        }
    }
}

macro_rules! never {
    ($($name:ident, $what:literal;)*) => {$(
        #[derive(Default)]
        struct $name;

        impl Field for $name {
            const KIND: &'static str = "u16";
            const LEAST: usize = 2;

            fn pack(&self, out: &mut Writer) {
                0_u16.pack(out);
            }

            fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
                match u16::unpack(input)? {
                    0 => Ok($name),
                    _ => Err(input.fails(Why::Unsupported($what))),
                }
            }

            fn sample(_: &mut dyn FnMut() -> u64) -> Self {
                $name
            }
        }
    )*};
}

never! {
    Forward, "a list of nodes to forward to";
    Returns, "replies of other nodes";
}

/// The address that a message says it came from. Nobody uses it: anybody can write anything there.
#[derive(Default)]
struct Origin;

impl Field for Origin {
    const KIND: &'static str = "address";
    const LEAST: usize = 2;

    fn pack(&self, out: &mut Writer) {
        0_u16.pack(out);
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        match u16::unpack(input)? {
            0 => {}
            INET => drop(input.take(6)?),
            INET6 => {
                Blob::unpack(input)?;
                input.take(2)?;
            }
            other => return Err(input.fails(Why::Undefined { value: other.into() })),
        }
        Ok(Origin)
    }

    fn sample(_: &mut dyn FnMut() -> u64) -> Self {
        Origin
    }
}
