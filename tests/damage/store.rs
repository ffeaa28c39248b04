//! The store that is damaged, how it looked earlier, and what each of its bytes is there for.
//!
//! Two epochs, three segments, two snapshots with the whole log beside them. Closed, so that the
//! control file vouches for the last save, or killed: then it vouches for the first epoch only.

use crate::common::model::{Model, batch, changes};
use crate::common::{fake_disk, shared, tiny};
use statedir::base::{Local, Lsn};
use statedir::disk::fake::{FakeDisk, Image, SECTOR};
use statedir::format::group::HEADER_LEN as GROUP_HEADER;
use statedir::format::segment::{FIRST_GROUP, HEADER_LEN as SEGMENT_HEADER};
use statedir::format::snapshot::{DATA_AT, HEADER_LEN as SNAPSHOT_HEADER};
use statedir::format::{FileName, Group, SegmentHeader, SnapshotHeader};
use statedir::format::{control, names};
use statedir::{Options, Store};
use std::ops::Range;
use std::sync::Arc;

/// Room for a first block and nine groups: the first epoch fills two segments, and behind the last
/// group of the second epoch a block is left.
pub const SEGMENT: u64 = 40 << 10;

/// Saves of the first epoch, of the second one before its snapshot, and after it.
const SAVES: [u64; 3] = [16, 3, 3];

/// What a range of bytes holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A slot of the control file.
    Slot,
    /// The first block of a segment, as far as it is used.
    Segment,
    /// Header and payload of a group whose last save is this.
    Group(Lsn),
    /// Header, records or footer of the snapshot at this LSN.
    Snapshot(Lsn),
}

/// Bytes that a checksum covers. All others are padding, or room that was not used.
#[derive(Clone, Debug)]
pub struct Span {
    pub file: String,
    pub bytes: Range<u64>,
    pub what: What,
}

/// The store at rest, and what it must hold.
pub struct Subject {
    /// As its owner left it.
    pub image: Image,
    /// As it was earlier: after the second snapshot but before the last saves, and at the end of
    /// the first epoch.
    pub earlier: Vec<Image>,
    pub model: Model,
    pub spans: Vec<Span>,
    /// The snapshots' LSNs, ascending.
    pub snapshots: Vec<Lsn>,
}

/// How the writer left the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Closed,
    Killed,
}

impl Subject {
    pub fn new(left: Left) -> Subject {
        let disk = fake_disk(512);
        let mut model = Model::new();
        Store::create_on(&disk).expect("create");
        let store = open(&disk);
        save(&store, &mut model, SAVES[0] - 2);
        store.checkpoint().expect("first snapshot").expect("something to hold");
        save(&store, &mut model, 2);
        store.close().expect("close");
        let first_epoch = disk.image();

        let store = open(&disk);
        save(&store, &mut model, SAVES[1]);
        store.checkpoint().expect("second snapshot").expect("something to hold");
        save(&store, &mut model, SAVES[2] - 2);
        let before_the_last = disk.image();
        save(&store, &mut model, 2);
        let killed = disk.image();
        store.close().expect("close");

        let image = if left == Left::Closed { disk.image() } else { killed };
        Subject::of(image, vec![before_the_last, first_epoch], model)
    }

    /// A store that was killed after its first saves.
    pub fn young() -> Subject {
        let disk = fake_disk(512);
        let mut model = Model::new();
        Store::create_on(&disk).expect("create");
        let store = open(&disk);
        save(&store, &mut model, 3);
        Subject::of(disk.image(), Vec::new(), model)
    }

    /// A store that was killed after its first saves, the last of which stand in a second segment,
    /// entered by a rotation: nothing vouches for them.
    pub fn rotated() -> Subject {
        let disk = fake_disk(512);
        let mut model = Model::new();
        Store::create_on(&disk).expect("create");
        let store = open(&disk);
        save(&store, &mut model, 11);
        Subject::of(disk.image(), Vec::new(), model)
    }

    fn of(image: Image, earlier: Vec<Image>, model: Model) -> Subject {
        let spans = spans(&image);
        let mut snapshots: Vec<Lsn> = image.names().iter().filter_map(|n| snapshot(n)).collect();
        snapshots.sort_unstable();
        Subject { image, earlier, model, spans, snapshots }
    }

    /// Whether these bytes are what they were. A snapshot counts as cut also where only its last
    /// padding is missing: its header says how long the file is.
    pub fn is_whole(&self, damaged: &Image, span: &Span) -> bool {
        let least = match span.what {
            What::Snapshot(_) => self.image.len(&span.file),
            _ => span.bytes.end,
        };
        if !damaged.contains(&span.file) || damaged.len(&span.file) < least {
            return false;
        }
        let sector_bytes = SECTOR as u64;
        let sectors = span.bytes.start / sector_bytes..span.bytes.end.div_ceil(sector_bytes);
        sectors.into_iter().all(|sector| {
            let start = sector * sector_bytes;
            let from = to_index(span.bytes.start.max(start) - start);
            let to = to_index(span.bytes.end.min(start + sector_bytes) - start);
            let part = |image: &Image| image.sector(&span.file, sector);
            part(damaged)[from..to] == part(&self.image)[from..to]
        })
    }

    /// The last save that anything left in `damaged` says was durable: a slot of the control file,
    /// a snapshot's name, a group whose bytes are as they were. Where the first block of its
    /// segment is damaged nobody can read the group; but something stands there, for all to see.
    pub fn vouched_for(&self, damaged: &Image) -> Lsn {
        let slots = damaged.contains(names::CONTROL).then(|| damaged.read(names::CONTROL));
        let slots = slots.map(|bytes| control::slots(&bytes));
        let slots = slots.iter().flatten().flatten().map(|slot| slot.watermark);
        let snapshots = damaged.names();
        let snapshots = snapshots.iter().filter_map(|name| snapshot(name));
        let groups = self.spans.iter().filter_map(|span| match span.what {
            What::Group(lsn) => self.is_whole(damaged, span).then_some(lsn),
            _ => None,
        });
        slots.chain(snapshots).chain(groups).max().unwrap_or_default()
    }

    /// Whether the segment in which the saves after `shown` stood is visibly cut: it is shorter
    /// than its first block says.
    pub fn is_cut_after(&self, damaged: &Image, shown: Lsn) -> bool {
        let mut groups = self.spans.iter();
        let lost = groups.find(|span| matches!(span.what, What::Group(lsn) if lsn > shown));
        let Some(lost) = lost.map(|span| &span.file) else { return false };
        let header = |span: &&Span| span.what == What::Segment && span.file == *lost;
        damaged.contains(lost)
            && damaged.len(lost) < SEGMENT
            && self.spans.iter().find(header).is_some_and(|span| self.is_whole(damaged, span))
    }

    /// Whether the whole state still stands in what is left of `damaged`: one slot as it was, and a
    /// snapshot (or the very beginning) with all of the log behind it. The last segment's length
    /// has no second copy: nobody can tell one that lost room from one that lost groups.
    pub fn has_second_copy(&self, damaged: &Image) -> bool {
        let whole = |span: &&Span| self.is_whole(damaged, span);
        let slot = self.spans.iter().filter(|span| span.what == What::Slot).any(|s| whole(&s));
        let last = self.spans.iter().rfind(|span| matches!(span.what, What::Group(_)));
        let last = &last.expect("there are groups").file;
        let uncut = damaged.contains(last) && damaged.len(last) >= SEGMENT;
        let bases = self.snapshots.iter().copied().chain([Lsn::ZERO]);
        let log_behind = |base: Lsn| {
            self.spans.iter().all(|span| match span.what {
                What::Group(lsn) if lsn > base || base == Lsn::ZERO => {
                    self.group_is_whole(damaged, span)
                }
                _ => true,
            })
        };
        let mut usable = bases.filter(|base| {
            let of_base = |span: &&Span| span.what == What::Snapshot(*base);
            self.spans.iter().filter(of_base).all(|span| whole(&span))
        });
        slot && uncut && usable.any(log_behind)
    }

    fn group_is_whole(&self, damaged: &Image, group: &Span) -> bool {
        let first_block = |span: &&Span| span.what == What::Segment && span.file == group.file;
        self.spans.iter().filter(first_block).all(|span| self.is_whole(damaged, span))
            && self.is_whole(damaged, group)
    }
}

/// Small segments, opened as everywhere in the tests.
pub fn options(disk: &FakeDisk) -> Options {
    Options { segment_min: SEGMENT, segment_max: SEGMENT, ..tiny(disk) }
}

fn open(disk: &FakeDisk) -> Store {
    let store = Store::open_on(shared(disk), options(disk), Arc::new(Local)).expect("open");
    let found = store.report();
    assert!(!found.degraded() && !found.one_slot && found.torn_tail.is_none(), "{found:?}");
    store
}

/// Saves of different sizes, two of them longer than a block.
fn save(store: &Store, model: &mut Model, count: u64) {
    for _ in 0..count {
        let number = model.saves() + 1;
        let bytes = if matches!(number, 9 | 22) { 4200 } else { 40 + 20 * (number as usize % 7) };
        let changes = changes(number, bytes);
        model.push(&changes);
        let lsn = store.save(batch(&changes)).expect("save");
        assert_eq!(lsn, Lsn(number), "LSNs are dense");
    }
}

fn snapshot(name: &str) -> Option<Lsn> {
    match FileName::parse(name) {
        Some(FileName::Snapshot { lsn, .. }) => Some(lsn),
        _ => None,
    }
}

fn spans(image: &Image) -> Vec<Span> {
    let mut spans = Vec::new();
    for file in image.names() {
        let bytes = image.read(&file);
        let mut add = |bytes: Range<u64>, what| {
            spans.push(Span { file: file.clone(), bytes, what });
        };
        match FileName::parse(&file) {
            Some(FileName::Control) => {
                let len = control::SLOT_LEN as u64;
                (0..2).for_each(|slot| add(slot * len..(slot + 1) * len, What::Slot));
            }
            Some(FileName::Segment(_)) => {
                let header = SegmentHeader::decode(&bytes).expect("a sound segment");
                add(0..SEGMENT_HEADER as u64, What::Segment);
                let mut at = FIRST_GROUP;
                while let Some(rest) = bytes.get(to_index(at)..)
                    && let Ok(group) = Group::decode(header.seed(at), rest)
                {
                    let len = GROUP_HEADER as u64 + u64::from(group.header.payload_len);
                    add(at..at + len, What::Group(group.header.last_lsn()));
                    at += group.header.disk_len();
                }
            }
            Some(FileName::Snapshot { lsn, .. }) => {
                let header = SnapshotHeader::decode(&bytes).expect("a sound snapshot");
                let what = What::Snapshot(lsn);
                add(0..SNAPSHOT_HEADER as u64, what);
                add(DATA_AT..DATA_AT + header.data_len, what);
                add(header.footer_at()..header.footer_at() + header.footer_len, what);
            }
            Some(
                FileName::Lock | FileName::ControlOf(_) | FileName::Reign(_) | FileName::Beat(_),
            )
            | None => {}
        }
    }
    spans
}

pub fn to_index(position: u64) -> usize {
    usize::try_from(position).expect("positions in a small file fit")
}
