//! Every state that a power cut could have left: for each moment of a disk's record, nothing or
//! all of what was not flushed, each single change alone, all but each single one, each write
//! torn in five ways, and random choices.
//!
//! Invariant: a state is given again only if more has been acknowledged since: then it must show
//! more.

use crate::disk::fake::FakeDisk;
use crate::disk::fake::image::Image;
use crate::disk::fake::random::Random;
use crate::disk::fake::trace::{Choice, Event, Replay};
use crate::disk::fake::tree::Inode;
use std::collections::{BTreeSet, HashMap, VecDeque, hash_map};
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// One thing that a crash can undo. Ordinals count, from 0, what was unflushed at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// The directory itself.
    Directory,
    /// A creation, removal or renaming.
    Name(usize),
    /// The bytes and the length of a change to a file.
    Change(usize),
    /// Only its bytes.
    Bytes(usize),
    /// Only its length.
    Length(usize),
    /// All changes to the bytes and lengths of one file, given by its inode.
    File(u64),
}

/// Which units of a torn write reached the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The first half.
    Prefix,
    /// The second half.
    Suffix,
    /// Every other one, beginning with the first.
    Alternate,
    /// Only the first.
    First,
    /// Only the last.
    Last,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Shape; 5] =
        [Shape::Prefix, Shape::Suffix, Shape::Alternate, Shape::First, Shape::Last];

    fn keeps(self, unit: u64, of: u64) -> bool {
        match self {
            Shape::Prefix => unit < of / 2,
            Shape::Suffix => unit >= of / 2,
            Shape::Alternate => unit.is_multiple_of(2),
            Shape::First => unit == 0,
            Shape::Last => unit + 1 == of,
        }
    }
}

/// What survived of that which was not flushed. Printed, it says how a failure came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivors {
    /// None of it.
    Nothing,
    /// All of it.
    Everything,
    /// All names, but nothing of what was written.
    Names,
    /// All that was written, but no change of a name.
    Files,
    /// One item (and the directory).
    Only(Item),
    /// All but one item.
    AllBut(Item),
    /// A part of one write, with its length; of the rest, all or nothing.
    Torn {
        /// Which change.
        change: usize,
        /// Which part.
        shape: Shape,
        /// Whether the rest survived.
        others: bool,
    },
    /// A choice that this seed makes.
    Random(u64),
}

impl Survivors {
    /// Whether the item survives that is called by any of `names`.
    fn keeps(&self, names: &[Item]) -> bool {
        match self {
            Survivors::Nothing | Survivors::Names | Survivors::Random(_) => false,
            Survivors::Everything | Survivors::Files => true,
            Survivors::Only(item) => names.contains(item),
            Survivors::AllBut(item) => !names.contains(item),
            Survivors::Torn { others, .. } => *others,
        }
    }
}

/// A random number for one question about one random case.
fn draw(seed: u64, question: u64, ordinal: usize) -> Random {
    let mut random = Random::new(seed ^ (question << 56) ^ ((ordinal as u64) << 32));
    random.next();
    random
}

impl Choice for Survivors {
    fn directory(&self) -> bool {
        match self {
            Survivors::Nothing | Survivors::AllBut(Item::Directory) => false,
            // Seldom lost: nothing else can be seen then.
            Survivors::Random(seed) => draw(*seed, 1, 0).below(16) != 0,
            _ => true,
        }
    }

    fn name(&self, ordinal: usize) -> bool {
        match self {
            Survivors::Random(seed) => draw(*seed, 2, ordinal).below(4) != 0,
            Survivors::Names => true,
            Survivors::Files => false,
            _ => self.keeps(&[Item::Name(ordinal)]),
        }
    }

    fn unit(&self, ordinal: usize, inode: Inode, unit: u64, of: u64) -> bool {
        match self {
            Survivors::Torn { change, shape, .. } if *change == ordinal => shape.keeps(unit, of),
            Survivors::Random(seed) => {
                // Of eight: how many units of this change survive.
                let share = draw(*seed, 3, ordinal).below(9);
                draw(seed.wrapping_add(unit), 4, ordinal).below(8) < share
            }
            _ => self.keeps(&[Item::Change(ordinal), Item::Bytes(ordinal), Item::File(inode)]),
        }
    }

    fn length(&self, ordinal: usize, inode: Inode) -> bool {
        match self {
            Survivors::Torn { change, .. } if *change == ordinal => true,
            Survivors::Random(seed) => draw(*seed, 5, ordinal).below(2) == 0,
            _ => self.keeps(&[Item::Change(ordinal), Item::Length(ordinal), Item::File(inode)]),
        }
    }
}

/// What a power cut left.
#[derive(Clone, Debug)]
pub struct Crash {
    /// The directory after it.
    pub image: Image,
    /// The greatest marker before it.
    pub acknowledged: Option<u64>,
    /// The moment: how much of the record had happened.
    pub point: usize,
    /// What survived of that which was not flushed.
    pub survivors: Survivors,
}

/// Walks through the states that crashes leave, each once. Clones share what they have seen.
#[derive(Clone, Debug)]
pub struct Crashes {
    random: u64,
    seed: u64,
    seen: Arc<Mutex<HashMap<u128, Option<u64>>>>,
}

impl Crashes {
    /// Makes `random` random choices at each moment, from `seed`, besides the systematic ones.
    #[must_use]
    pub fn new(random: u64, seed: u64) -> Crashes {
        Crashes { random, seed, seen: Arc::default() }
    }

    /// How many different states there were.
    #[must_use]
    pub fn unique(&self) -> usize {
        self.seen.lock().expect("nothing panics under this lock").len()
    }

    /// All crashes of what `disk` has recorded so far.
    #[must_use]
    pub fn over(&self, disk: &FakeDisk) -> Over {
        self.within(disk, 0..usize::MAX)
    }

    /// The crashes at some moments, each less than [`FakeDisk::crash_points`].
    #[must_use]
    pub fn within(&self, disk: &FakeDisk, points: Range<usize>) -> Over {
        let state = disk.lock();
        let mut over = Over {
            crashes: self.clone(),
            frame: state.image_of(None),
            replay: state.replay(),
            trace: state.trace.clone(),
            point: 0,
            points,
            cases: VecDeque::new(),
        };
        over.list_cases();
        over
    }

    /// Whether this state has not been seen, or only with less acknowledged.
    fn is_new(&self, digest: u128, acknowledged: Option<u64>) -> bool {
        let mut seen = self.seen.lock().expect("nothing panics under this lock");
        match seen.entry(digest) {
            hash_map::Entry::Vacant(entry) => {
                entry.insert(acknowledged);
                true
            }
            hash_map::Entry::Occupied(mut entry) => {
                let more = acknowledged > *entry.get();
                if more {
                    entry.insert(acknowledged);
                }
                more
            }
        }
    }
}

/// An iterator over crashes, in the order of their moments.
#[derive(Debug)]
pub struct Over {
    crashes: Crashes,
    /// An image of the directory, without files.
    frame: Image,
    replay: Replay,
    trace: Vec<Event>,
    point: usize,
    points: Range<usize>,
    cases: VecDeque<Survivors>,
}

impl Over {
    /// Lists what can survive at this moment.
    fn list_cases(&mut self) {
        if !self.points.contains(&self.point) {
            return;
        }
        self.cases.push_back(Survivors::Nothing);
        let items = self.items();
        if items.is_empty() {
            return;
        }
        self.cases.extend([Survivors::Everything, Survivors::Names, Survivors::Files]);
        let single = |item: &Item| [Survivors::Only(*item), Survivors::AllBut(*item)];
        self.cases.extend(items.iter().flat_map(single));
        for (change, one) in self.replay.changes().iter().enumerate() {
            if one.units() > 1 && !one.change.cut {
                self.cases.extend(Shape::ALL.iter().flat_map(|shape| {
                    [true, false].map(|others| Survivors::Torn { change, shape: *shape, others })
                }));
            }
        }
        let mut random = Random::new(self.crashes.seed ^ ((self.point as u64) << 20));
        self.cases.extend((0..self.crashes.random).map(|_| Survivors::Random(random.next())));
    }

    /// What is not flushed at this moment, one by one.
    fn items(&self) -> Vec<Item> {
        let mut items = Vec::new();
        if !self.replay.directory() {
            items.push(Item::Directory);
        }
        items.extend((0..self.replay.names()).map(Item::Name));
        let mut files = BTreeSet::new();
        for (ordinal, one) in self.replay.changes().iter().enumerate() {
            items.push(Item::Change(ordinal));
            files.insert(one.change.inode);
            if one.len.is_some() && one.units() > 0 && !one.change.cut {
                items.extend([Item::Bytes(ordinal), Item::Length(ordinal)]);
            }
        }
        items.extend(files.into_iter().map(Item::File));
        items
    }
}

impl Iterator for Over {
    type Item = Crash;

    fn next(&mut self) -> Option<Crash> {
        loop {
            if let Some(survivors) = self.cases.pop_front() {
                let tree = self.replay.crash(&survivors);
                let image = Image {
                    directory: tree.is_some(),
                    tree: tree.unwrap_or_default(),
                    ..self.frame.clone()
                };
                let acknowledged = self.replay.marker();
                if self.crashes.is_new(image.digest(), acknowledged) {
                    return Some(Crash { image, acknowledged, point: self.point, survivors });
                }
            } else if self.point + 1 >= self.points.end {
                return None;
            } else {
                let event = self.trace.get(self.point)?;
                self.replay.apply(event);
                self.point += 1;
                self.list_cases();
            }
        }
    }
}
