//! What damages a store: bits, sectors and files, each kind by numbers that repeat from a seed.

use crate::common::random::Random;
use crate::store::Subject;
use statedir::disk::fake::{Image, SECTOR};

/// A kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bits,
    Zeroed,
    SwappedWithin,
    SwappedAcross,
    StaleSectors,
    StaleFile,
    Truncated,
    Missing,
    Several,
}

impl Kind {
    pub const ALL: [Kind; 9] = [
        Kind::Bits,
        Kind::Zeroed,
        Kind::SwappedWithin,
        Kind::SwappedAcross,
        Kind::StaleSectors,
        Kind::StaleFile,
        Kind::Truncated,
        Kind::Missing,
        Kind::Several,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Bits => "1 to 8 bits flipped",
            Kind::Zeroed => "sectors zeroed",
            Kind::SwappedWithin => "sectors swapped in a file",
            Kind::SwappedAcross => "sectors swapped across files",
            Kind::StaleSectors => "stale sectors",
            Kind::StaleFile => "a stale file",
            Kind::Truncated => "a truncated file",
            Kind::Missing => "missing files",
            Kind::Several => "2 to 4 of these at once",
        }
    }
}

/// A damaged copy, and how it came about.
pub struct Copy {
    pub kind: Kind,
    pub image: Image,
    pub story: Vec<String>,
}

/// The copy that belongs to `seed`.
pub fn damaged_copy(subject: &Subject, seed: u64) -> Copy {
    let mut random = Random::new(seed);
    let kind = Kind::ALL[random.index(Kind::ALL.len())];
    let mut hand = Hand { subject, random, image: subject.image.clone(), story: Vec::new() };
    if kind == Kind::Several {
        for _ in 0..2 + hand.random.below(3) {
            let part = Kind::ALL[hand.random.index(Kind::ALL.len() - 1)];
            hand.damage(part);
        }
    } else {
        hand.damage(kind);
    }
    Copy { kind, image: hand.image, story: hand.story }
}

struct Hand<'a> {
    subject: &'a Subject,
    random: Random,
    image: Image,
    story: Vec<String>,
}

impl Hand<'_> {
    fn damage(&mut self, kind: Kind) {
        match kind {
            Kind::Bits => self.flip_bits(),
            Kind::Zeroed => self.zero(),
            Kind::SwappedWithin => self.swap_within(),
            Kind::SwappedAcross => self.swap_across(),
            Kind::StaleSectors => self.stale_sectors(),
            Kind::StaleFile => self.stale_file(),
            Kind::Truncated => self.truncate(),
            Kind::Missing => self.lose_files(),
            Kind::Several => unreachable!("it is made of the others"),
        }
    }

    /// A byte of a file: every other time one that a checksum covers. `None` if there is no such
    /// place any more.
    fn place(&mut self) -> Option<(String, u64)> {
        if self.random.below(2) == 0 {
            let span = &self.subject.spans[self.random.index(self.subject.spans.len())];
            let at = span.bytes.start + self.random.below(span.bytes.end - span.bytes.start);
            let there = self.image.contains(&span.file) && at < self.image.len(&span.file);
            return there.then(|| (span.file.clone(), at));
        }
        let file = self.file()?;
        let at = self.random.below(self.image.len(&file));
        Some((file, at))
    }

    /// A file that holds something.
    fn file(&mut self) -> Option<String> {
        let mut files = self.image.names();
        files.retain(|file| self.image.len(file) > 0);
        let count = files.len();
        (count > 0).then(|| files.swap_remove(self.random.index(count)))
    }

    /// A whole sector of a file.
    fn sector(&mut self) -> Option<(String, u64)> {
        let (file, at) = self.place()?;
        let sectors = self.image.len(&file) / SECTOR as u64;
        (sectors > 0).then(|| (file, (at / SECTOR as u64).min(sectors - 1)))
    }

    fn flip_bits(&mut self) {
        let Some((file, first)) = self.place() else { return };
        let len = self.image.len(&file);
        // One, or some near it, as a bad cell or a bad cable does.
        let mut bits = vec![first * 8 + self.random.below(8)];
        for _ in 0..self.random.below(8) {
            let byte = (first + self.random.below(64)).min(len - 1);
            let bit = byte * 8 + self.random.below(8);
            if !bits.contains(&bit) {
                bits.push(bit);
            }
        }
        bits.iter().for_each(|bit| self.image.flip_bit(&file, *bit));
        self.story.push(format!("{file}: bits {bits:?} flipped"));
    }

    fn zero(&mut self) {
        let Some((file, first)) = self.sector() else { return };
        let start = first * SECTOR as u64;
        let count = 1 + self.random.below(8);
        let end = (start + count * SECTOR as u64).min(self.image.len(&file));
        self.image.zero(&file, start..end);
        self.story.push(format!("{file}: bytes {start}..{end} zeroed"));
    }

    fn swap_within(&mut self) {
        let Some((file, one)) = self.sector() else { return };
        let other = self.random.below(self.image.len(&file) / SECTOR as u64);
        self.image.swap_sectors(&file, one, other);
        self.story.push(format!("{file}: sectors {one} and {other} swapped"));
    }

    fn swap_across(&mut self) {
        let (Some((file, one)), Some((to, other))) = (self.sector(), self.sector()) else { return };
        let (first, second) = (self.image.sector(&file, one), self.image.sector(&to, other));
        self.image.set_sector(&file, one, &second);
        self.image.set_sector(&to, other, &first);
        self.story.push(format!("sector {one} of {file} and {other} of {to} swapped"));
    }

    /// Writes that the disk acknowledged and lost. Where the file was not there yet, or shorter,
    /// the older bytes are zeros.
    fn stale_sectors(&mut self) {
        let Some((file, first)) = self.sector() else { return };
        let earlier = self.random.index(self.subject.earlier.len());
        let old = &self.subject.earlier[earlier];
        let last = (first + 1 + self.random.below(8)).min(self.image.len(&file) / SECTOR as u64);
        for sector in first..last {
            let bytes = match old.contains(&file) {
                true => old.sector(&file, sector),
                false => [0; SECTOR],
            };
            self.image.set_sector(&file, sector, &bytes);
        }
        self.story.push(format!("{file}: sectors {first}..{last} as in image {earlier}"));
    }

    /// A file with all of its older bytes under the same handle, or gone if it was not there.
    fn stale_file(&mut self) {
        let Some(file) = self.file() else { return };
        let earlier = self.random.index(self.subject.earlier.len());
        let old = &self.subject.earlier[earlier];
        if old.contains(&file) {
            self.image.truncate(&file, 0);
            self.image.write(&file, 0, &old.read(&file));
        } else {
            self.image.remove(&file);
        }
        self.story.push(format!("{file}: as in image {earlier}"));
    }

    fn truncate(&mut self) {
        let Some((file, at)) = self.place() else { return };
        let len = if self.random.below(2) == 0 { at } else { at / SECTOR as u64 * SECTOR as u64 };
        self.image.truncate(&file, len);
        self.story.push(format!("{file}: cut to {len}"));
    }

    fn lose_files(&mut self) {
        for _ in 0..1 + self.random.below(2) {
            let files = self.image.names();
            let Some(file) = files.get(self.random.index(files.len().max(1))) else { return };
            self.image.remove(file);
            self.story.push(format!("{file}: missing"));
        }
    }
}
