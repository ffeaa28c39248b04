//! A store with a past, and what every reader of the past must say of it, whichever superseded
//! files are gone: the right thing, or from where on it can say something.

use crate::common::model::{Change, Model, batch, changes, dump};
use crate::common::{fake_disk, shared, tiny};
use statedir::base::{Local, Lsn, Nanos};
use statedir::disk::fake::{FakeDisk, Image};
use statedir::disk::{Access, Disk};
use statedir::format::{FileName, Op};
use statedir::store::{At, Extract, Follower, Level, Position, ReadError, usage_on, verify_on};
use statedir::{Batch, Reader, Store, View};
use std::sync::Arc;
use std::time::Duration;

/// A closed store, and what it has been through.
pub struct Life {
    pub image: Image,
    pub model: Model,
    /// What each save changed; there is none of number zero.
    pub saves: Vec<Vec<Change>>,
    /// When each save was made, each later than the one before.
    pub times: Vec<Nanos>,
}

impl Life {
    /// Before its first save, on `disk`.
    pub fn begin(disk: &FakeDisk) -> Life {
        let (saves, times) = (vec![Vec::new()], vec![Nanos(0)]);
        Life { image: disk.image(), model: Model::new(), saves, times }
    }

    /// The next save: its number tells what it changes.
    pub fn save(&mut self, disk: &FakeDisk, store: &Store) -> Lsn {
        let number = self.model.saves() + 1;
        disk.set_clock(Nanos(disk.clock().0 + 1_000_000_000));
        let changes = changes(number, 3000);
        assert_eq!(store.save(batch(&changes)).unwrap(), Lsn(number));
        self.model.push(&changes);
        self.saves.push(changes);
        self.times.push(store.view().time());
        Lsn(number)
    }

    fn newest(&self) -> u64 {
        self.model.saves()
    }
}

/// What writers leave that were killed as they wrote a group, after so many saves each: torn tails,
/// behind which the next one has sealed the epoch. There is a snapshot of each `every`th save.
pub fn killed(saves: &[u64], every: u64) -> Life {
    let disk = fake_disk(512);
    Store::create_on(&disk).unwrap();
    let mut life = Life::begin(&disk);
    for saves in saves {
        let store = Store::open_on(shared(&disk), tiny(&disk), Arc::new(Local)).unwrap();
        assert_eq!(store.report().torn_tail.is_some(), life.newest() > 0);
        for _ in 0..*saves {
            if life.save(&disk, &store).0.is_multiple_of(every) {
                store.checkpoint().unwrap();
            }
        }
        drop(store);
        let end = Reader::open_on(shared(&disk)).unwrap().end();
        let name = FileName::Segment(end.segment).to_string();
        disk.open(&name, Access::Write).unwrap().write_at(&[0xa5; 700], end.offset).unwrap();
    }
    life.image = disk.image();
    life
}

/// The store opens for reading with everything, the past that it shows is right, nothing is
/// damaged, and it opens for writing.
pub fn unharmed(disk: &FakeDisk, life: &Life) {
    let reader = newest(disk, life);
    for lsn in 0..=life.newest() {
        by_lsn(&reader, life, lsn);
    }
    opened(disk, life);
}

/// As [`unharmed`], and whatever else asks for the past is told the right thing.
pub fn searched(disk: &FakeDisk, life: &Life) {
    looked_at(disk, life);
    let store = opened(disk, life);
    let oldest = store.history().unwrap().oldest_lsn;
    assert_eq!(store.at(At::Lsn(oldest)).unwrap().lsn(), oldest);
    for lsn in 0..=life.newest() {
        followed(life, lsn, |from| store.follow(from));
    }
}

fn newest(disk: &FakeDisk, life: &Life) -> Reader {
    let reader = Reader::open_on(shared(disk)).unwrap();
    assert!(!reader.report().degraded(), "{:?}", reader.report());
    assert_eq!(reader.view().lsn().0, life.newest());
    assert!(dump(reader.view()).unwrap() == *life.model.newest());
    let verified = verify_on(shared(disk), Level::Full).unwrap();
    assert!(verified.findings.is_empty(), "{:?}", verified.findings);
    reader
}

fn opened(disk: &FakeDisk, life: &Life) -> Store {
    let store = Store::open_on(shared(disk), tiny(disk), Arc::new(Local)).unwrap();
    assert!(dump(&store.view()).unwrap() == *life.model.newest());
    store
}

/// As [`searched`], by those who only look.
pub fn looked_at(disk: &FakeDisk, life: &Life) {
    let reader = newest(disk, life);
    let history = reader.history();
    let oldest = reader.at(At::Lsn(history.oldest_lsn)).map(|view| view.lsn());
    assert!(oldest.as_ref().is_ok_and(|lsn| *lsn == history.oldest_lsn), "{oldest:?}");
    for lsn in 0..=life.newest() + 1 {
        let there = by_lsn(&reader, life, lsn);
        assert!(!there || lsn >= history.oldest_lsn.0, "{lsn} of {history:?}");
        if lsn <= life.newest() {
            for after in [0, 999_999_999] {
                let told = by_time(&reader, life, lsn, after);
                assert!(there || !told, "lsn {lsn} by time, and not by its own");
            }
        }
        followed(life, lsn, |from| reader.follow(from));
    }
    assert_eq!(usage_on(shared(disk)).unwrap().lsn.0, life.newest());
    copied(disk, life);
}

fn right(view: &View, life: &Life, lsn: u64) {
    assert_eq!(view.lsn().0, lsn);
    assert!(dump(view).unwrap() == *life.model.after(lsn), "lsn {lsn}");
}

/// Whether the state is there; it is right, or it is said where the past begins again.
fn by_lsn(reader: &Reader, life: &Life, lsn: u64) -> bool {
    match reader.at(At::Lsn(Lsn(lsn))) {
        Ok(view) => right(&view, life, lsn),
        Err(ReadError::OutOfRange { oldest, newest }) => {
            assert_eq!(newest.0, life.newest());
            assert!(lsn < oldest.0 || lsn > newest.0, "{lsn} of {oldest} to {newest}");
            right(&reader.at(At::Lsn(oldest)).unwrap(), life, oldest.0);
            return false;
        }
        Err(error) => panic!("lsn {lsn}: {error}"),
    }
    true
}

/// As [`by_lsn`], for a time `after` the save, and before the next one.
fn by_time(reader: &Reader, life: &Life, lsn: u64, after: u64) -> bool {
    let time = Nanos(life.times[lsn as usize].0 + after);
    match reader.at(At::Time(time)) {
        Ok(view) => right(&view, life, lsn),
        Err(ReadError::TooEarly { oldest }) => {
            assert!(time < oldest, "{time:?} of {oldest:?}");
            let first = reader.at(At::Time(oldest)).unwrap();
            right(&first, life, first.lsn().0);
            return false;
        }
        Err(error) => panic!("lsn {lsn} and {after} ns: {error}"),
    }
    true
}

/// Exactly the saves from `from` on come, or it is said from where on they do.
fn followed(life: &Life, from: u64, follow: impl Fn(Lsn) -> Result<Follower, ReadError>) {
    let behind = |wanted: u64, error: &ReadError| {
        let ReadError::Behind { oldest } = error else { panic!("save {wanted}: {error}") };
        assert!(oldest.0 > wanted && oldest.0 <= life.newest() + 1, "{wanted}: {error}");
        let mut again = follow(*oldest).unwrap();
        let first = again.next(Duration::ZERO).unwrap();
        let there = (oldest.0 <= life.newest()).then_some(*oldest);
        assert_eq!(first.map(|saved| saved.lsn), there, "as was said of {wanted}");
    };
    let mut follower = match follow(Lsn(from)) {
        Ok(follower) => follower,
        Err(error) => return behind(from.max(1), &error),
    };
    for lsn in from.max(1)..=life.newest() {
        let saved = match follower.next(Duration::ZERO) {
            Ok(saved) => saved.unwrap_or_else(|| panic!("save {lsn} is not handed out")),
            Err(error) => return behind(lsn, &error),
        };
        assert_eq!((saved.lsn.0, saved.time), (lsn, life.times[lsn as usize]));
        let mut found = Batch::new();
        for op in saved.ops() {
            match op.unwrap() {
                Op::Put { table, key, value } => found.put(table, key, value),
                Op::Delete { table, key } => found.delete(table, key),
            }
            .unwrap();
        }
        let known = batch(&life.saves[lsn as usize]);
        assert_eq!(format!("{found:?}"), format!("{known:?}"), "save {lsn}");
    }
    assert!(follower.next(Duration::ZERO).unwrap().is_none());
}

/// A copy of the history begins where the log leads to the end, and holds nothing else.
fn copied(disk: &FakeDisk, life: &Life) {
    let extract = Extract::open(shared(disk)).unwrap();
    assert_eq!(extract.durable().0, life.newest());
    let bases = extract.bases();
    let mut last = None;
    for base in &bases {
        let from: Position = extract.behind(base.as_ref());
        let mut next = from.lsn.0 + 1;
        let outcome = extract.groups::<ReadError>(from, &mut |group| {
            assert_eq!(group.header.first_lsn.0, next);
            next += u64::from(group.header.saves);
            let time = life.times.get(next as usize - 1);
            assert!(group.header.saves == 0 || time == Some(&group.header.time), "{next}");
            Ok(())
        });
        last = Some(match outcome {
            Ok(done) => {
                assert_eq!(done.end.lsn.0, life.newest());
                true
            }
            Err(ReadError::Open(statedir::store::OpenError::Corruption(_))) => false,
            Err(error) => panic!("{error}"),
        });
    }
    assert_eq!(last, Some(true), "from the newest snapshot on everything is there");
}
