//! Walking through the records of a table.
//!
//! Invariants: `trusted` never passes the table's end, and everything from `at` up to it lies in
//! chunks whose checksums were compared. So one comparison with it per field is both the bounds
//! check and the question whether the bytes may be believed.

use crate::base::limits::{CHUNK, KEY_MAX, VALUE_MAX};
use crate::format::snapshot::RECORD_HEADER;
use crate::snapshot::{Snapshot, SnapshotError};

/// How far a scan of a verified snapshot goes before it asks again whether a page was lost.
const STRIDE: usize = 1 << 20;

/// The entries of a table in order of their keys. Ends after the first error.
#[derive(Debug)]
pub struct Scan<'a> {
    snapshot: &'a Snapshot,
    data: &'a [u8],
    /// Where the next record starts.
    at: usize,
    /// Where the table ends.
    end: usize,
    trusted: usize,
    table: usize,
    /// What went wrong before the first entry.
    failed: Option<SnapshotError>,
    /// No page was lost before the scan began, and it has not failed.
    sound: bool,
}

/// Where the parts of the record at `Scan::at` lie.
#[derive(Clone, Copy)]
struct Place {
    key: usize,
    value: usize,
    end: usize,
}

impl<'a> Scan<'a> {
    /// All of a table.
    pub(super) fn over(snapshot: &'a Snapshot, table: usize) -> Scan<'a> {
        let index = &snapshot.footer().tables[table];
        let (at, end) = (index.start as usize, index.end as usize);
        let (data, sound) = (snapshot.data(), !snapshot.faulted());
        Scan { snapshot, data, at, end, trusted: at, table, failed: None, sound }
    }

    pub(super) fn nothing(snapshot: &'a Snapshot) -> Scan<'a> {
        let (at, end, trusted, table) = (0, 0, 0, 0);
        Scan { snapshot, data: &[], at, end, trusted, table, failed: None, sound: false }
    }

    /// Goes to the first key that is not less than `from`.
    pub(super) fn starting_at(mut self, from: &[u8]) -> Scan<'a> {
        if let Err(e) = self.seek(from) {
            self.stop();
            self.failed = Some(e);
        }
        self
    }

    /// The value of `key`, if the table has it.
    pub(super) fn find(mut self, key: &[u8]) -> Result<Option<&'a [u8]>, SnapshotError> {
        match self.seek(key)? {
            Some(place) if self.data[place.key..place.value] == *key => {
                self.trust(place.end)?;
                Ok(Some(&self.data[place.value..place.end]))
            }
            _ => Ok(None),
        }
    }

    /// Where the next record starts, counted from the first of the snapshot.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Goes to the first key that is not less than `key`, and says where it lies. The values on
    /// the way are not looked at.
    fn seek(&mut self, key: &[u8]) -> Result<Option<Place>, SnapshotError> {
        if key.is_empty() {
            return Ok(None);
        }
        self.at = self.snapshot.index.seek(self.table, key) as usize;
        self.trusted = self.at;
        while self.at < self.end {
            let place = self.place()?;
            if self.data[place.key..place.value] >= *key {
                return Ok(Some(place));
            }
            self.at = place.end;
        }
        Ok(None)
    }

    /// The record at `at`: its key may be believed, its value not yet, but it lies in the table.
    #[inline]
    fn place(&mut self) -> Result<Place, SnapshotError> {
        let key = self.at + RECORD_HEADER;
        self.trust(key)?;
        let head: [u8; RECORD_HEADER] =
            self.data[self.at..key].try_into().expect("as long as it says");
        let head = u64::from_le_bytes(head);
        // With the two zero bytes, so that both are checked at once.
        let (key_len, value_len) = (head as u32 as usize, (head >> 32) as usize);
        let (value, end) = (key + key_len, key + key_len + value_len);
        if key_len == 0 || key_len > KEY_MAX || value_len > VALUE_MAX || end > self.end {
            return Err(self.snapshot.bad_record(self.at));
        }
        self.trust(value)?;
        Ok(Place { key, value, end })
    }

    /// Makes sure that the bytes from `at` to `to` are there and may be believed.
    #[inline]
    fn trust(&mut self, to: usize) -> Result<(), SnapshotError> {
        if to <= self.trusted { Ok(()) } else { self.extend_trust(to) }
    }

    #[cold]
    fn extend_trust(&mut self, to: usize) -> Result<(), SnapshotError> {
        if to > self.end {
            return Err(self.snapshot.bad_record(self.at));
        }
        let trusted = if self.snapshot.all_checked() {
            let trusted = to.max(self.at + STRIDE);
            // What comes after it, while this is walked through.
            self.snapshot.prefetch(trusted / CHUNK..(trusted + STRIDE) / CHUNK);
            trusted
        } else {
            let mut chunks = self.at / CHUNK..to.div_ceil(CHUNK);
            let end = chunks.end * CHUNK;
            chunks.try_for_each(|number| self.snapshot.check_chunk_once(number))?;
            end
        };
        self.trusted = trusted.min(self.end);
        Ok(())
    }

    fn stop(&mut self) {
        self.at = self.end;
        self.sound = false;
    }

    /// The end: an error that came up before the first entry, or a page that was lost since then:
    /// entries that were handed out may have read as zeros.
    #[cold]
    fn last_word(&mut self) -> Option<SnapshotError> {
        let lost = self.sound && self.snapshot.faulted();
        self.sound = false;
        self.failed.take().or_else(|| lost.then(|| self.snapshot.bad_record(self.end)))
    }

    fn step(&mut self) -> Result<(&'a [u8], &'a [u8]), SnapshotError> {
        let place = self.place()?;
        self.trust(place.end)?;
        self.at = place.end;
        Ok((&self.data[place.key..place.value], &self.data[place.value..place.end]))
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), SnapshotError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return self.last_word().map(Err);
        }
        let step = self.step();
        if step.is_err() {
            self.stop();
        }
        Some(step)
    }
}
