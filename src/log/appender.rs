//! Extends the log: puts saves into a group and flushes it.
//!
//! Invariants:
//! - One group is in flight at a time; the next is put together after it is flushed.
//! - A group is written only where its room was made before: want of room refuses the group
//!   ([`AppendError::Room`], nothing happened), every failure of the write itself poisons
//!   ([`AppendError::Flush`], nobody knows what is on disk; no further group may be written).
//! - LSNs are dense, times never go back, every group links to its predecessor.

use crate::base::limits::{BLOCK, SEGMENT_MAX};
use crate::base::{Chain, Epoch, Lsn, Nanos, SegmentId};
use crate::disk::{AlignedBuf, Site};
use crate::format::segment::FIRST_GROUP;
use crate::format::{GroupHeader, Kind, Seal, align_up, group};
use crate::log::{Pace, Prepared};
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc;

/// From this size of group on, its link is computed by the hasher thread while it is flushed.
const HASH_ASIDE: usize = 128 << 10;

/// Nanoseconds after which groups show in the file's length (see [`Appender::stamp`]): shorter than
/// any two listings of a copier are apart, and seldom enough to cost savers nothing.
const STAMP_INTERVAL: u64 = 20_000_000;

/// The end of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The segment.
    pub segment: SegmentId,
    /// Where the next group goes.
    pub offset: u64,
    /// The last LSN.
    pub lsn: Lsn,
    /// The chain there.
    pub chain: Chain,
    /// Time of the last group.
    pub time: Nanos,
}

/// A group that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// LSN of the first save in it.
    pub first_lsn: Lsn,
    /// LSN of the last one.
    pub last_lsn: Lsn,
    /// Its time.
    pub time: Nanos,
    /// Bytes that it takes in the log.
    pub bytes: u64,
}

/// Why a group is not in the log.
#[derive(Debug)]
pub enum AppendError {
    /// There is no room, or none could be made: nothing was written.
    Room(io::Error),
    /// Writing or flushing failed: what is on disk is unknown.
    Flush(io::Error),
}

/// Work that another thread takes off the path of a save.
#[derive(Debug)]
pub enum Job {
    /// Compute the link of a large group while it is flushed.
    Hash(HashJob),
    /// No more work comes.
    Stop,
}

/// A link to compute.
#[derive(Debug)]
pub struct HashJob {
    buffer: Arc<AlignedBuf>,
    len: usize,
    answer: mpsc::SyncSender<Chain>,
}

impl HashJob {
    /// Computes the link and hands it over.
    pub fn run(self) {
        let (header, payload) = self.buffer[..self.len].split_at(group::HEADER_LEN);
        let chain = Chain::of(header, payload);
        drop(self.buffer);
        // Nobody waits for it only if the appender is gone.
        let _ = self.answer.send(chain);
    }
}

#[derive(Debug)]
enum Link {
    Known(Chain),
    Computing(mpsc::Receiver<Chain>),
}

/// The one who extends the log.
#[derive(Debug)]
pub struct Appender {
    epoch: Epoch,
    active: Prepared,
    /// The next group goes here.
    offset: u64,
    /// Groups have room up to here.
    room: u64,
    lsn: Lsn,
    watermark: Lsn,
    time: Nanos,
    link: Link,
    hasher: Option<mpsc::Sender<Job>>,
    stamped: Nanos,
    stamps: u64,
    /// A group was written since the last stamp.
    unstamped: bool,
    /// How long to wait for company before the next group.
    pub pace: Pace,
}

impl Appender {
    /// Continues the history that ends at `end` in the fresh segment `active`, as `epoch`. Groups
    /// vouch for saves up to `vouched` at first.
    #[must_use]
    pub fn new(
        epoch: Epoch,
        active: Prepared,
        end: &Position,
        vouched: Lsn,
        hasher: Option<mpsc::Sender<Job>>,
    ) -> Appender {
        let room = active.capacity;
        Appender {
            epoch,
            active,
            offset: FIRST_GROUP,
            room,
            lsn: end.lsn,
            watermark: vouched,
            time: end.time,
            link: Link::Known(end.chain),
            hasher,
            stamped: Nanos::default(),
            stamps: 0,
            unstamped: false,
            pace: Pace::default(),
        }
    }

    /// The last LSN written.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The segment that takes groups.
    #[must_use]
    pub fn active(&self) -> &Prepared {
        &self.active
    }

    /// Bytes of the active segment that hold groups, its first block included.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.offset
    }

    /// The end of the log.
    pub fn position(&mut self) -> Position {
        Position {
            segment: self.active.header.id,
            offset: self.offset,
            lsn: self.lsn,
            chain: self.chain(),
            time: self.time,
        }
    }

    /// The least capacity of a segment that takes a group of `payload` bytes.
    #[must_use]
    pub fn segment_for(payload: usize) -> u64 {
        FIRST_GROUP + align_up((group::HEADER_LEN + payload) as u64)
    }

    /// Whether a group of `payload` bytes needs [`Appender::rotate`] first. A large rest of the
    /// segment is not wasted: room is then made behind it.
    ///
    /// # Errors
    /// [`AppendError::Room`]: no room could be made behind the rest.
    pub fn must_rotate(&mut self, payload: usize) -> Result<bool, AppendError> {
        let len = align_up((group::HEADER_LEN + payload) as u64);
        if self.offset + len <= self.room {
            return Ok(false);
        }
        let rest = self.room - self.offset;
        if rest <= self.active.capacity / 64 || self.offset >= SEGMENT_MAX {
            return Ok(true);
        }
        self.active.file.allocate(self.offset, len).map_err(AppendError::Room)?;
        self.room = self.offset + len;
        Ok(false)
    }

    /// Goes on in `next`; returns the segment that is full.
    pub fn rotate(&mut self, next: Prepared) -> Prepared {
        self.room = next.capacity;
        self.offset = FIRST_GROUP;
        self.stamped = Nanos::default();
        self.stamps = 0;
        self.unstamped = false;
        mem::replace(&mut self.active, next)
    }

    /// Lets the next group vouch for everything up to `lsn`, which is flushed and acknowledged: who
    /// reads the log from outside may show what a group vouches for.
    pub fn vouch(&mut self, lsn: Lsn) {
        assert!(lsn <= self.lsn, "only what is flushed is vouched for");
        self.watermark = self.watermark.max(lsn);
    }

    /// Writes and flushes a group of `saves` saves, whose bytes stand in `group` behind room for a
    /// header; returns what was written, too. There must be room for it in the log.
    ///
    /// # Errors
    /// [`AppendError::Flush`]; [`AppendError::Room`] where nothing was written.
    pub fn append(
        &mut self,
        group: AlignedBuf,
        saves: u32,
        now: Nanos,
    ) -> Result<(Flushed, Arc<AlignedBuf>), AppendError> {
        self.write(Kind::Saves, saves, now, group)
    }

    /// Writes and flushes the start of an epoch, with the seal of what came before.
    ///
    /// # Errors
    /// [`AppendError::Flush`].
    pub fn start_epoch(&mut self, seal: &Seal, now: Nanos) -> Result<Flushed, AppendError> {
        let mut group = AlignedBuf::with_capacity(BLOCK);
        group.resize(group::HEADER_LEN);
        group.extend_from_slice(&seal.encode());
        Ok(self.write(Kind::EpochStart, 0, now, group)?.0)
    }

    fn write(
        &mut self,
        kind: Kind,
        saves: u32,
        now: Nanos,
        mut buffer: AlignedBuf,
    ) -> Result<(Flushed, Arc<AlignedBuf>), AppendError> {
        // Before anything else changes: a failure here has written nothing.
        if self.stamp_due(now) {
            self.grow(now).map_err(AppendError::Room)?;
        }
        let prev = self.chain();
        let whole = buffer.len();
        let header = GroupHeader {
            kind,
            payload_len: u32::try_from(whole - group::HEADER_LEN).expect("bounded by PAYLOAD_MAX"),
            saves,
            epoch: self.epoch,
            first_lsn: self.lsn.next(),
            time: now.max(self.time),
            watermark: self.watermark,
            prev,
        };
        header.encode_into(self.active.header.seed(self.offset), &mut buffer);
        buffer.pad_to_block();
        assert!(self.offset + header.disk_len() <= self.room, "room is made before");
        assert_eq!(buffer.len() as u64, header.disk_len());
        let buffer = Arc::new(buffer);
        self.start_link(&buffer, whole);
        self.unstamped = true;
        // The acknowledgement of every save in the group rests on this flush.
        self.active
            .file
            .write_durable(&buffer, self.offset, Site::Group)
            .map_err(AppendError::Flush)?;
        self.offset += header.disk_len();
        self.lsn = header.last_lsn();
        self.time = header.time;
        let flushed = Flushed {
            first_lsn: header.first_lsn,
            last_lsn: self.lsn,
            time: header.time,
            bytes: header.disk_len(),
        };
        Ok((flushed, buffer))
    }

    fn start_link(&mut self, buffer: &Arc<AlignedBuf>, whole: usize) {
        if let Some(hasher) = self.hasher.as_ref().filter(|_| whole >= HASH_ASIDE) {
            let (answer, receiver) = mpsc::sync_channel(1);
            let job = HashJob { buffer: Arc::clone(buffer), len: whole, answer };
            if hasher.send(Job::Hash(job)).is_ok() {
                self.link = Link::Computing(receiver);
                return;
            }
        }
        let (header, payload) = buffer[..whole].split_at(group::HEADER_LEN);
        self.link = Link::Known(Chain::of(header, payload));
    }

    fn chain(&mut self) -> Chain {
        if let Link::Computing(answer) = &self.link {
            let chain = answer.recv().expect("the hasher answers every job it takes");
            self.link = Link::Known(chain);
        }
        match &self.link {
            Link::Known(chain) => *chain,
            Link::Computing(_) => unreachable!("answered above"),
        }
    }

    /// Makes groups show in a listing. rsync skips a file whose length and whole-second time are as
    /// in its copy, and a prewritten segment's length does not change by appending. So the file
    /// grows by a byte that means nothing: before a group, if the last time is an interval ago, and
    /// here for what was written since, after the interval or, when `idle`, at once. Of two
    /// listings further apart than the interval, with a group between them, the lengths differ. To
    /// be called again and again while [`Appender::is_stamped`] is false: that much rests on the
    /// caller being run in time, so a copier that looks twice while it is starved may miss a group.
    ///
    /// # Errors
    /// Those of the file system; nothing durable is at stake.
    pub fn stamp(&mut self, now: Nanos, idle: bool) -> io::Result<()> {
        let due = self.unstamped && (idle || self.stamp_due(now));
        if due { self.grow(now) } else { Ok(()) }
    }

    /// Whether every group shows in the file's length.
    #[must_use]
    pub fn is_stamped(&self) -> bool {
        !self.unstamped
    }

    /// A last stamp for a segment that takes no more groups, after which it never changes.
    ///
    /// # Errors
    /// Those of the file system; the segment is sound all the same.
    pub fn final_stamp(&mut self) -> io::Result<()> {
        if self.unstamped { self.grow(self.stamped) } else { Ok(()) }
    }

    fn stamp_due(&self, now: Nanos) -> bool {
        // A clock that was set back must not stop the stamps until it has caught up.
        now.0.abs_diff(self.stamped.0) >= STAMP_INTERVAL
    }

    fn grow(&mut self, now: Nanos) -> io::Result<()> {
        self.stamped = now;
        self.stamps += 1;
        self.active.file.set_len(self.room.max(self.active.capacity) + self.stamps)?;
        self.unstamped = false;
        Ok(())
    }
}
