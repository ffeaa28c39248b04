//! The register of a shared directory: who reigns, who may, who sees it.
//!
//! The record of an epoch (`REIGN-…`): a block that is written before the file gets its name, and
//! never after; behind it, a block that whoever claims a later epoch writes.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `SDIRREG\0` |
//! | 8 | 2 | version |
//! | 10 | 2 | why it was claimed: 1 made, 2 start, 3 the primary is dead, 4 silent, 5 handed over, 6 asked for |
//! | 12 | 4 | compatible features |
//! | 16 | 4 | incompatible features |
//! | 20 | 2 | which member is the primary (0xFFFF: none, nobody reigns) |
//! | 22 | 2 | number of members |
//! | 24 | 16 | cluster |
//! | 40 | 8 | epoch |
//! | 48 | 16 | nonce of the reign: who sees the directory can echo it |
//! | 64 | 8 | claimed, nanoseconds |
//! | 72 | … | members |
//! | 4092 | 4 | CRC-32 of bytes 0..4092 |
//!
//! A member, a host that was seen to see this very directory:
//!
//! | size | field |
//! |---|---|
//! | 16 | the host's nonce |
//! | 1 + n | length and bytes of its name |
//! | 1 + n | length and bytes of its address |
//! | 2 + n | length and bytes of the file handle of its `HOST-…`, as it sees it |
//!
//! The second block of the file, once a later epoch is claimed:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `SDIREND\0` |
//! | 8 | 2 | version |
//! | 10 | 2 | zero |
//! | 12 | 4 | compatible features |
//! | 16 | 4 | incompatible features |
//! | 20 | 4 | bytes of the host's name |
//! | 24 | 8 | the later epoch |
//! | 32 | … | the host that claimed it |
//! | 4092 | 4 | CRC-32 of bytes 0..4092 |
//!
//! The heartbeat of an epoch's primary (`BEAT-…`): two slots of 4,096 bytes, written alternately.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `SDIRBEA\0` |
//! | 8 | 2 | version |
//! | 10 | 2 | flags: bit 0, it is stopping |
//! | 12 | 4 | compatible features |
//! | 16 | 4 | incompatible features |
//! | 20 | 2 | zero |
//! | 22 | 2 | number of members |
//! | 24 | 16 | cluster |
//! | 40 | 8 | epoch |
//! | 48 | 8 | ordinal of the beat; the slot is its lowest bit |
//! | 56 | 8 | written, nanoseconds |
//! | 64 | 4 | agents that the primary reaches |
//! | 68 | 4 | zero |
//! | 72 | … | members, with those that the primary has admitted since |
//! | 4092 | 4 | CRC-32 of bytes 0..4092 |
//!
//! What a host says (`HOST-…`), replaced as a whole:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `SDIRHST\0` |
//! | 8 | 2 | version |
//! | 10 | 2 | zero |
//! | 12 | 4 | compatible features |
//! | 16 | 4 | incompatible features |
//! | 20 | 4 | zero |
//! | 24 | 16 | cluster |
//! | 40 | 8 | epoch of the reign that it has seen |
//! | 48 | 16 | the nonce of that reign: the echo |
//! | 64 | 8 | written, nanoseconds |
//! | 72 | … | the host as a member |
//! | 4092 | 4 | CRC-32 of bytes 0..4092 |

use crate::base::{Cursor, Epoch, Id, Nanos};
use crate::format::control::HANDLE_MAX;
use crate::format::names::{HOST_MAX, is_host};
use crate::format::{FormatError, VERSION, check, check_magic, check_version, checksum};

/// Bytes of each block.
pub const BLOCK_LEN: usize = 4096;

/// Where in a `REIGN-…` file its end is marked.
pub const END_AT: u64 = BLOCK_LEN as u64;

/// Most controllers of one cluster: Slurm itself takes no more than ten lines.
pub const MEMBERS_MAX: usize = 10;

/// Longest address of a host.
pub const ADDRESS_MAX: usize = 128;

const BODY_AT: usize = 72;
const CRC_AT: usize = BLOCK_LEN - 4;
const NOBODY: u16 = u16::MAX;
const MEMBER_MAX: usize = 16 + 1 + HOST_MAX + 1 + ADDRESS_MAX + 2 + HANDLE_MAX;

const _: () = assert!(BODY_AT + MEMBERS_MAX * MEMBER_MAX <= CRC_AT);

/// Why an epoch was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The register was made.
    Made,
    /// Nobody reigned.
    Start,
    /// The primary was seen to die.
    Dead,
    /// The primary was silent for too long.
    Silent,
    /// The primary handed over.
    Handover,
    /// An operator asked for it.
    Asked,
}

impl Reason {
    const ALL: [Reason; 6] = [
        Reason::Made,
        Reason::Start,
        Reason::Dead,
        Reason::Silent,
        Reason::Handover,
        Reason::Asked,
    ];

    fn code(self) -> u16 {
        Reason::ALL.iter().zip(1..).find(|(one, _)| **one == self).map_or(0, |(_, code)| code)
    }

    fn of(code: u16) -> Option<Reason> {
        usize::from(code).checked_sub(1).and_then(|at| Reason::ALL.get(at)).copied()
    }

    /// In a word, for logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Reason::Made => "made",
            Reason::Start => "start",
            Reason::Dead => "primary-dead",
            Reason::Silent => "primary-silent",
            Reason::Handover => "handover",
            Reason::Asked => "asked",
        }
    }
}

/// A host that was seen to see this very directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its name, as SlurmctldHost has it.
    pub host: String,
    /// Where it listens.
    pub address: String,
    /// What it made up when it joined.
    pub nonce: Id,
    /// The handle of its `HOST-…` file, as it sees it; empty where there is none. A copy of the
    /// directory does not have it.
    pub handle: Vec<u8>,
}

/// The register's record of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reign {
    /// The cluster that the state belongs to.
    pub cluster: Id,
    /// The epoch.
    pub epoch: Epoch,
    /// Who sees this directory echoes this.
    pub nonce: Id,
    /// When it was claimed.
    pub claimed: Nanos,
    /// Why.
    pub reason: Reason,
    /// The primary's name; `None`: nobody reigns, as after the register was made.
    pub primary: Option<String>,
    /// Hosts that may claim the next epoch; the primary is one of them.
    pub members: Vec<Member>,
}

/// That an epoch has ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct End {
    /// The later one.
    pub epoch: Epoch,
    /// Who claimed it.
    pub host: String,
}

/// A heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Beat {
    /// The cluster.
    pub cluster: Id,
    /// The primary's epoch.
    pub epoch: Epoch,
    /// Grows by one.
    pub ordinal: u64,
    /// When, by the primary's clock: to be shown, never to decide by.
    pub written: Nanos,
    /// How many agents the primary reaches.
    pub agents: u32,
    /// It is about to stop, and hands over.
    pub stopping: bool,
    /// Members, with those that the primary has admitted.
    pub members: Vec<Member>,
}

/// What a host says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    /// The cluster whose directory it sees.
    pub cluster: Id,
    /// The reign that it has seen.
    pub epoch: Epoch,
    /// The nonce of that.
    pub echo: Id,
    /// When.
    pub written: Nanos,
    /// Itself.
    pub member: Member,
}

/// A block being put together.
struct Draft(Vec<u8>, usize);

impl Draft {
    fn new(magic: &[u8; 8]) -> Draft {
        let mut bytes = vec![0; BLOCK_LEN];
        bytes[0..8].copy_from_slice(magic);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        Draft(bytes, BODY_AT)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn push(&mut self, bytes: &[u8]) {
        self.put(self.1, bytes);
        self.1 += bytes.len();
    }

    fn member(&mut self, member: &Member) {
        assert!(is_host(&member.host), "checked where the host's name comes in");
        assert!(member.address.len() <= ADDRESS_MAX && member.handle.len() <= HANDLE_MAX);
        self.push(&member.nonce.0);
        for text in [&member.host, &member.address] {
            self.push(&[u8::try_from(text.len()).expect("bounded above")]);
            self.push(text.as_bytes());
        }
        let len = u16::try_from(member.handle.len()).expect("bounded above");
        self.push(&len.to_le_bytes());
        self.push(&member.handle);
    }

    fn members(&mut self, members: &[Member]) {
        assert!(members.len() <= MEMBERS_MAX, "checked where a member is added");
        let count = u16::try_from(members.len()).expect("bounded above");
        self.put(22, &count.to_le_bytes());
        members.iter().for_each(|member| self.member(member));
    }

    fn seal(mut self) -> Vec<u8> {
        let crc = checksum(0, &self.0[..CRC_AT]);
        self.put(CRC_AT, &crc.to_le_bytes());
        self.0
    }
}

/// The fields that every block has.
struct Block<'a> {
    raw: &'a [u8],
    at10: u16,
    at20: u16,
    at22: u16,
}

impl<'a> Block<'a> {
    fn open(bytes: &'a [u8], magic: &[u8; 8]) -> Result<Block<'a>, FormatError> {
        let raw = Cursor::new(bytes).bytes(BLOCK_LEN)?;
        if raw.iter().all(|byte| *byte == 0) {
            return Err(FormatError::Blank);
        }
        let mut cursor = Cursor::new(raw);
        check_magic(cursor.array()?, magic)?;
        check(0, &raw[..CRC_AT], Cursor::new(&raw[CRC_AT..]).u32()?)?;
        let version = cursor.u16()?;
        let at10 = cursor.u16()?;
        cursor.u32()?;
        check_version(version, cursor.u32()?)?;
        Ok(Block { raw: &raw[..CRC_AT], at10, at20: cursor.u16()?, at22: cursor.u16()? })
    }

    fn at(&self, offset: usize) -> Cursor<'a> {
        Cursor::new(&self.raw[offset..])
    }

    fn members(&self) -> Result<Vec<Member>, FormatError> {
        if usize::from(self.at22) > MEMBERS_MAX {
            return Err(FormatError::Field("members"));
        }
        let mut cursor = self.at(BODY_AT);
        (0..self.at22).map(|_| member(&mut cursor)).collect()
    }
}

fn text(cursor: &mut Cursor<'_>, field: &'static str) -> Result<String, FormatError> {
    let len = cursor.u8()?;
    let bytes = cursor.bytes(usize::from(len))?;
    let text = std::str::from_utf8(bytes).map_err(|_| FormatError::Field(field))?;
    Ok(text.to_owned())
}

fn host_name(cursor: &mut Cursor<'_>) -> Result<String, FormatError> {
    text(cursor, "host").and_then(|host| match is_host(&host) {
        true => Ok(host),
        false => Err(FormatError::Field("host")),
    })
}

fn member(cursor: &mut Cursor<'_>) -> Result<Member, FormatError> {
    let nonce = Id(cursor.array()?);
    let host = host_name(cursor)?;
    let address = text(cursor, "address")?;
    let len = usize::from(cursor.u16()?);
    if address.len() > ADDRESS_MAX || len > HANDLE_MAX {
        return Err(FormatError::Field("member"));
    }
    Ok(Member { host, address, nonce, handle: cursor.bytes(len)?.to_vec() })
}

impl Reign {
    /// The magic bytes.
    pub const MAGIC: &[u8; 8] = b"SDIRREG\0";

    /// The encoded block.
    ///
    /// # Panics
    /// If the primary is no member, or there are more than [`MEMBERS_MAX`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut draft = Draft::new(Reign::MAGIC);
        draft.put(10, &self.reason.code().to_le_bytes());
        let at = |name: &String| {
            let at = self.members.iter().position(|member| member.host == *name);
            u16::try_from(at.expect("the primary is a member")).expect("few")
        };
        draft.put(20, &self.primary.as_ref().map_or(NOBODY, at).to_le_bytes());
        draft.put(24, &self.cluster.0);
        draft.put(40, &self.epoch.0.to_le_bytes());
        draft.put(48, &self.nonce.0);
        draft.put(64, &self.claimed.0.to_le_bytes());
        draft.members(&self.members);
        draft.seal()
    }

    /// Reads the block.
    ///
    /// # Errors
    /// [`FormatError`]: what does not fit.
    pub fn decode(bytes: &[u8]) -> Result<Reign, FormatError> {
        let block = Block::open(bytes, Reign::MAGIC)?;
        let reason = Reason::of(block.at10).ok_or(FormatError::Field("reason"))?;
        let members = block.members()?;
        let primary = match block.at20 {
            NOBODY => None,
            at => {
                let member = members.get(usize::from(at)).ok_or(FormatError::Field("primary"))?;
                Some(member.host.clone())
            }
        };
        let mut cursor = block.at(24);
        Ok(Reign {
            cluster: Id(cursor.array()?),
            epoch: Epoch(cursor.u64()?),
            nonce: Id(cursor.array()?),
            claimed: Nanos(cursor.u64()?),
            reason,
            primary,
            members,
        })
    }

    /// The member of this name.
    #[must_use]
    pub fn member(&self, host: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.host == host)
    }
}

impl End {
    /// The magic bytes.
    pub const MAGIC: &[u8; 8] = b"SDIREND\0";

    /// The encoded block.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert!(is_host(&self.host), "checked where the host's name comes in");
        let mut draft = Draft::new(End::MAGIC);
        let len = u16::try_from(self.host.len()).expect("bounded above");
        draft.put(20, &len.to_le_bytes());
        draft.put(24, &self.epoch.0.to_le_bytes());
        draft.put(32, self.host.as_bytes());
        draft.seal()
    }

    /// Reads the block.
    ///
    /// # Errors
    /// [`FormatError::Blank`] where the epoch has not ended; else what does not fit.
    pub fn decode(bytes: &[u8]) -> Result<End, FormatError> {
        let block = Block::open(bytes, End::MAGIC)?;
        let mut cursor = block.at(24);
        let epoch = Epoch(cursor.u64()?);
        let name = cursor.bytes(usize::from(block.at20))?;
        let host = std::str::from_utf8(name).ok().filter(|host| is_host(host));
        Ok(End { epoch, host: host.ok_or(FormatError::Field("host"))?.to_owned() })
    }
}

impl Beat {
    /// The magic bytes.
    pub const MAGIC: &[u8; 8] = b"SDIRBEA\0";

    /// Where in the file this is written.
    #[must_use]
    pub fn offset(&self) -> u64 {
        (self.ordinal % 2) * BLOCK_LEN as u64
    }

    /// The encoded slot.
    ///
    /// # Panics
    /// If there are more than [`MEMBERS_MAX`] members.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut draft = Draft::new(Beat::MAGIC);
        draft.put(10, &u16::from(self.stopping).to_le_bytes());
        draft.put(24, &self.cluster.0);
        draft.put(40, &self.epoch.0.to_le_bytes());
        draft.put(48, &self.ordinal.to_le_bytes());
        draft.put(56, &self.written.0.to_le_bytes());
        draft.put(64, &self.agents.to_le_bytes());
        draft.members(&self.members);
        draft.seal()
    }

    /// Reads a slot.
    ///
    /// # Errors
    /// [`FormatError`]: what does not fit.
    pub fn decode(bytes: &[u8]) -> Result<Beat, FormatError> {
        let block = Block::open(bytes, Beat::MAGIC)?;
        if block.at10 > 1 {
            return Err(FormatError::Field("flags"));
        }
        let mut cursor = block.at(24);
        Ok(Beat {
            cluster: Id(cursor.array()?),
            epoch: Epoch(cursor.u64()?),
            ordinal: cursor.u64()?,
            written: Nanos(cursor.u64()?),
            agents: cursor.u32()?,
            stopping: block.at10 == 1,
            members: block.members()?,
        })
    }

    /// The newest beat of a file, if it holds one.
    #[must_use]
    pub fn newest(file: &[u8]) -> Option<Beat> {
        let slot = |at: usize| Beat::decode(file.get(at * BLOCK_LEN..)?).ok();
        [slot(0), slot(1)].into_iter().flatten().max_by_key(|beat| beat.ordinal)
    }
}

impl Host {
    /// The magic bytes.
    pub const MAGIC: &[u8; 8] = b"SDIRHST\0";

    /// The encoded block.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut draft = Draft::new(Host::MAGIC);
        draft.put(24, &self.cluster.0);
        draft.put(40, &self.epoch.0.to_le_bytes());
        draft.put(48, &self.echo.0);
        draft.put(64, &self.written.0.to_le_bytes());
        draft.member(&self.member);
        draft.seal()
    }

    /// Reads the block.
    ///
    /// # Errors
    /// [`FormatError`]: what does not fit.
    pub fn decode(bytes: &[u8]) -> Result<Host, FormatError> {
        let block = Block::open(bytes, Host::MAGIC)?;
        let mut cursor = block.at(24);
        Ok(Host {
            cluster: Id(cursor.array()?),
            epoch: Epoch(cursor.u64()?),
            echo: Id(cursor.array()?),
            written: Nanos(cursor.u64()?),
            member: member(&mut cursor)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(host: &str) -> Member {
        Member {
            host: host.to_owned(),
            address: format!("{host}:6817"),
            nonce: Id([1; 16]),
            handle: vec![2; 20],
        }
    }

    fn reign() -> Reign {
        Reign {
            cluster: Id([3; 16]),
            epoch: Epoch(4),
            nonce: Id([5; 16]),
            claimed: Nanos(6),
            reason: Reason::Silent,
            primary: Some("b".to_owned()),
            members: vec![member("a"), member("b")],
        }
    }

    fn beat(ordinal: u64) -> Beat {
        Beat {
            cluster: Id([3; 16]),
            epoch: Epoch(4),
            ordinal,
            written: Nanos(6),
            agents: 7,
            stopping: true,
            members: vec![member("a")],
        }
    }

    fn flips<T: std::fmt::Debug>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, FormatError>) {
        assert!(decode(bytes).is_ok());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        assert_eq!(decode(&[0; BLOCK_LEN]).unwrap_err(), FormatError::Blank);
    }

    #[test]
    fn blocks_read_back_and_every_flipped_bit_is_noticed() {
        let end = End { epoch: Epoch(9), host: "c".to_owned() };
        let host = Host {
            cluster: Id([3; 16]),
            epoch: Epoch(4),
            echo: Id([5; 16]),
            written: Nanos(6),
            member: member("d"),
        };
        assert_eq!(Reign::decode(&reign().encode()), Ok(reign()));
        assert_eq!(End::decode(&end.encode()), Ok(end.clone()));
        assert_eq!(Beat::decode(&beat(1).encode()), Ok(beat(1)));
        assert_eq!(Host::decode(&host.encode()), Ok(host.clone()));
        flips(&reign().encode(), Reign::decode);
        flips(&end.encode(), End::decode);
        flips(&beat(1).encode(), Beat::decode);
        flips(&host.encode(), Host::decode);
    }

    #[test]
    fn nobody_reigns_in_a_register_that_was_just_made_and_ten_hosts_fit() {
        let mut made = Reign { primary: None, reason: Reason::Made, ..reign() };
        assert_eq!(Reign::decode(&made.encode()), Ok(made.clone()));
        let long = |at: usize| Member {
            host: format!("{at}").repeat(HOST_MAX),
            address: "x".repeat(ADDRESS_MAX),
            handle: vec![1; HANDLE_MAX],
            ..member("a")
        };
        made.members = (0..MEMBERS_MAX).map(long).collect();
        assert_eq!(Reign::decode(&made.encode()), Ok(made));
    }

    #[test]
    fn the_newest_whole_beat_counts() {
        let mut file = [beat(4).encode(), beat(5).encode()].concat();
        assert_eq!(Beat::newest(&file), Some(beat(5)));
        file[BLOCK_LEN + 50] ^= 1;
        assert_eq!(Beat::newest(&file), Some(beat(4)));
        assert_eq!(Beat::newest(&[]), None);
    }
}
