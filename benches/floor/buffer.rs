//! A group in memory: a header, then saves, padded with zeros to whole blocks.
//!
//! Invariant: the bytes handed out by `seal` begin at an address and have a length that are
//! multiples of `BLOCK`, as `O_DIRECT` demands. A group is `{len: u32, crc: u32, lsn: u64}`
//! followed by `len` bytes of saves, each `{len: u32, bytes}`; the CRC covers len, lsn and saves.

/// The unit in which groups are written.
pub(super) const BLOCK: usize = 4096;
/// Bytes of the group header.
pub(super) const HEADER: usize = 16;
/// Room a fresh buffer has: a group of 256 saves of 1 KiB without growing.
const FIRST: usize = 512 * 1024;

/// A growing, block-aligned buffer with the layout of a group.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    pub(super) fn new() -> Buffer {
        Buffer::with_room(FIRST)
    }

    fn with_room(room: usize) -> Buffer {
        // One block more than asked for, so that an aligned start is always inside. The vector
        // is never resized afterwards: its address, and so the alignment, stays.
        let bytes = vec![0; room + BLOCK];
        let start = bytes.as_ptr().align_offset(BLOCK);
        Buffer { bytes, start, len: HEADER }
    }

    /// Appends a save of `len` bytes and returns them to be filled in.
    pub(super) fn append(&mut self, len: usize) -> &mut [u8] {
        let framed = u32::try_from(len).expect("a save of 4 GiB is a mistake of the benchmark");
        let end = self.len + 4 + len;
        if self.start + end.next_multiple_of(BLOCK) > self.bytes.len() {
            self.grow(end);
        }
        let save = &mut self.bytes[self.start + self.len..self.start + end];
        self.len = end;
        let (frame, room) = save.split_at_mut(4);
        frame.copy_from_slice(&framed.to_le_bytes());
        room
    }

    /// Finishes the group with its header and padding, and returns what to write.
    pub(super) fn seal(&mut self, lsn: u64) -> &[u8] {
        let padded = self.len.next_multiple_of(BLOCK);
        let group = &mut self.bytes[self.start..self.start + padded];
        group[self.len..].fill(0);
        let len = u32::try_from(self.len - HEADER).expect("append bounds the group far below");
        group[..4].copy_from_slice(&len.to_le_bytes());
        group[8..HEADER].copy_from_slice(&lsn.to_le_bytes());
        let crc = checksum(&group[..self.len]);
        group[4..8].copy_from_slice(&crc.to_le_bytes());
        group
    }

    /// Forgets the saves; the memory stays for the next group.
    pub(super) fn clear(&mut self) {
        self.len = HEADER;
    }

    fn grow(&mut self, need: usize) {
        let mut larger = Buffer::with_room((need * 2).next_multiple_of(BLOCK));
        let old = &self.bytes[self.start..self.start + self.len];
        larger.bytes[larger.start..larger.start + self.len].copy_from_slice(old);
        larger.len = self.len;
        *self = larger;
    }
}

/// The CRC of a group given from its header to the end of its saves.
pub(super) fn checksum(group: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&group[..4]);
    hasher.update(&group[8..]);
    hasher.finalize()
}
