//! The bytes of a file as pages that many versions of it share, so that an image of a crash
//! costs what differs in it.
//!
//! Invariants: a page that is missing has no room on the disk and reads as zeros; `digest`
//! follows from the bytes alone, however they came to be there; bytes past the length of a file
//! are zeros (kept by the callers, who know the length).

use imbl::OrdMap;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a page.
pub(super) const PAGE: usize = 4096;

/// `PAGE` in the units of positions.
pub(super) const PAGE_BYTES: u64 = PAGE as u64;

/// A page that has room on the disk.
#[derive(Clone, Debug)]
enum Page {
    /// Allocated, never written: reads as zeros.
    Reserved,
    /// Written, all zeros.
    Zeros,
    /// Written.
    Data(Arc<Sheet>),
}

#[derive(Debug)]
struct Sheet {
    bytes: [u8; PAGE],
    digest: u128,
}

const BLANK: [u8; PAGE] = [0; PAGE];

impl Page {
    fn written(bytes: [u8; PAGE]) -> Page {
        if bytes == BLANK {
            return Page::Zeros;
        }
        let digest = digest(&bytes);
        Page::Data(Arc::new(Sheet { bytes, digest }))
    }

    fn bytes(&self) -> &[u8; PAGE] {
        match self {
            Page::Reserved | Page::Zeros => &BLANK,
            Page::Data(sheet) => &sheet.bytes,
        }
    }

    /// What the page adds to the digest of the content; nothing if it reads as zeros.
    fn weight(&self, index: u64) -> u128 {
        match self {
            Page::Reserved | Page::Zeros => 0,
            Page::Data(sheet) => mix(sheet.digest ^ mix(u128::from(index) + 1)),
        }
    }
}

/// The first 128 bits of BLAKE3.
pub(super) fn digest(bytes: &[u8]) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    u128::from_le_bytes(half)
}

/// Spreads every bit over the whole word (xor-shift-multiply, as in splitmix64).
pub(super) fn mix(word: u128) -> u128 {
    const FIRST: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    const SECOND: u128 = 0xbf58_476d_1ce4_e5b9_94d0_49bb_1331_11eb;
    let word = (word ^ (word >> 67)).wrapping_mul(FIRST);
    let word = (word ^ (word >> 61)).wrapping_mul(SECOND);
    word ^ (word >> 64)
}

/// The bytes of a file. Cloning costs nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pages: OrdMap<u64, Page>,
    sum: u128,
}

impl Content {
    /// Equal for equal bytes.
    pub(super) fn digest(&self) -> u128 {
        self.sum
    }

    /// Bytes that have room.
    pub(super) fn allocated(&self) -> u64 {
        self.pages.len() as u64 * PAGE_BYTES
    }

    /// Whether this page has room.
    pub(super) fn has_page(&self, index: u64) -> bool {
        self.pages.contains_key(&index)
    }

    /// How many pages of the range have room.
    pub(super) fn pages_in(&self, pages: Range<u64>) -> u64 {
        self.pages.range(pages).count() as u64
    }

    /// The first written byte at or after `offset`, as SEEK_DATA sees it.
    pub(super) fn next_data(&self, offset: u64) -> Option<u64> {
        self.pages
            .range(offset / PAGE_BYTES..)
            .find(|(_, page)| !matches!(page, Page::Reserved))
            .map(|(index, _)| (index * PAGE_BYTES).max(offset))
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) {
        buf.fill(0);
        let end = offset + buf.len() as u64;
        for (index, page) in self.pages.range(offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES)) {
            let Page::Data(sheet) = page else { continue };
            let start = index * PAGE_BYTES;
            let from = offset.max(start);
            let to = end.min(start + PAGE_BYTES);
            buf[at(from - offset)..at(to - offset)]
                .copy_from_slice(&sheet.bytes[at(from - start)..at(to - start)]);
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        let mut done = 0;
        while done < bytes.len() {
            let position = offset + done as u64;
            let start = at(position % PAGE_BYTES);
            let count = (PAGE - start).min(bytes.len() - done);
            let index = position / PAGE_BYTES;
            let mut page = *self.pages.get(&index).map_or(&BLANK, Page::bytes);
            page[start..start + count].copy_from_slice(&bytes[done..done + count]);
            self.put(index, Some(Page::written(page)));
            done += count;
        }
    }

    /// Gives room to the pages of a range that have none.
    pub(super) fn reserve(&mut self, pages: Range<u64>) {
        for index in pages {
            if !self.has_page(index) {
                self.put(index, Some(Page::Reserved));
            }
        }
    }

    /// Zeros a range of bytes; pages that lie in it whole lose their room.
    pub(super) fn clear(&mut self, bytes: Range<u64>) {
        let touched = bytes.start / PAGE_BYTES..bytes.end.div_ceil(PAGE_BYTES);
        for index in self.indices(touched) {
            let start = index * PAGE_BYTES;
            let from = bytes.start.max(start) - start;
            let to = bytes.end.min(start + PAGE_BYTES) - start;
            if from == 0 && to == PAGE_BYTES {
                self.put(index, None);
            } else if let Some(Page::Data(sheet)) = self.pages.get(&index) {
                let mut page = sheet.bytes;
                page[at(from)..at(to)].fill(0);
                self.put(index, Some(Page::written(page)));
            }
        }
    }

    /// Zeros everything from `len` on.
    pub(super) fn cut(&mut self, len: u64) {
        self.clear(len..u64::MAX - PAGE_BYTES);
    }

    /// Takes from `source` those units of `units`, each of `unit` bytes, that `keep` wants.
    pub(super) fn take(
        &mut self,
        source: &Content,
        unit: usize,
        units: Range<u64>,
        keep: impl Fn(u64) -> bool,
    ) {
        let per_page = (PAGE / unit) as u64;
        let pages = units.start / per_page..units.end.div_ceil(per_page);
        let mut indices = self.indices(pages.clone());
        indices.extend(source.indices(pages));
        indices.sort_unstable();
        indices.dedup();
        for index in indices {
            let first = index * per_page;
            let wanted: Vec<bool> = (first..first + per_page)
                .map(|number| units.contains(&number) && keep(number))
                .collect();
            if wanted.iter().all(|wanted| *wanted) {
                self.put(index, source.pages.get(&index).cloned());
            } else if wanted.contains(&true) {
                self.take_part(source, index, unit, &wanted);
            }
        }
    }

    fn take_part(&mut self, source: &Content, index: u64, unit: usize, wanted: &[bool]) {
        let Some(theirs) = source.pages.get(&index).map(Page::bytes).or_else(|| {
            // Room that the source gave back: its part reads as zeros here, and keeps its room.
            self.has_page(index).then_some(&BLANK)
        }) else {
            return;
        };
        let mut page = *self.pages.get(&index).map_or(&BLANK, Page::bytes);
        let parts = page.chunks_mut(unit).zip(theirs.chunks(unit)).zip(wanted);
        for ((mine, theirs), _) in parts.filter(|(_, wanted)| **wanted) {
            mine.copy_from_slice(theirs);
        }
        self.put(index, Some(Page::written(page)));
    }

    fn indices(&self, pages: Range<u64>) -> Vec<u64> {
        self.pages.range(pages).map(|(index, _)| *index).collect()
    }

    fn put(&mut self, index: u64, page: Option<Page>) {
        let new = page.as_ref().map_or(0, |page| page.weight(index));
        let old = match page {
            Some(page) => self.pages.insert(index, page),
            None => self.pages.remove(&index),
        };
        let old = old.map_or(0, |page| page.weight(index));
        self.sum = self.sum.wrapping_sub(old).wrapping_add(new);
    }
}

/// A position inside memory, which always fits.
pub(super) fn at(position: u64) -> usize {
    usize::try_from(position).expect("positions of bytes in memory fit a usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(content: &Content, len: usize) -> Vec<u8> {
        let mut bytes = vec![9; len];
        content.read(&mut bytes, 0);
        bytes
    }

    #[test]
    fn digest_follows_from_the_bytes_alone() {
        let (mut one, mut other) = (Content::default(), Content::default());
        one.write(&[7; 10_000], 100);
        one.clear(100..10_100);
        assert_eq!(one.digest(), other.digest());
        one.write(b"abc", 5000);
        other.write(b"xbc", 5000);
        assert_ne!(one.digest(), other.digest());
        other.write(b"a", 5000);
        other.reserve(0..9);
        assert_eq!(one.digest(), other.digest());
    }

    #[test]
    fn same_page_elsewhere_has_another_digest() {
        let (mut one, mut other) = (Content::default(), Content::default());
        one.write(&[7; PAGE], 0);
        other.write(&[7; PAGE], PAGE_BYTES);
        assert_ne!(one.digest(), other.digest());
    }

    #[test]
    fn clearing_gives_room_back_and_keeps_the_neighbours() {
        let mut content = Content::default();
        content.write(&[7; 4 * PAGE], 0);
        content.clear(100..PAGE_BYTES * 2 + 1);
        assert_eq!(content.allocated(), 3 * PAGE_BYTES);
        let bytes = bytes_of(&content, 4 * PAGE);
        assert!(bytes[..100].iter().chain(&bytes[2 * PAGE + 1..]).all(|byte| *byte == 7));
        assert!(bytes[100..2 * PAGE + 1].iter().all(|byte| *byte == 0));
        assert_eq!(content.next_data(PAGE_BYTES + 5), Some(2 * PAGE_BYTES));
        content.cut(50);
        assert_eq!((content.allocated(), content.next_data(PAGE_BYTES)), (PAGE_BYTES, None));
    }

    #[test]
    fn units_are_taken_one_by_one() {
        let (mut old, mut new) = (Content::default(), Content::default());
        old.write(&[1; 2 * PAGE], 0);
        new.write(&[2; 2 * PAGE], 0);
        old.take(&new, 512, 1..12, |unit| unit % 2 == 1);
        for (unit, bytes) in bytes_of(&old, 2 * PAGE).chunks(512).enumerate() {
            let expected = if unit % 2 == 1 && unit < 12 { 2 } else { 1 };
            assert!(bytes.iter().all(|byte| *byte == expected), "unit {unit}");
        }
    }
}
