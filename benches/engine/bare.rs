//! The floor of loading: a file of pairs in order and a file of later puts, mapped, every 64 KiB
//! compared with a CRC by some threads, then one scan that puts slices of the mapping into a map.
//!
//! Nothing a loader that checks what it reads can leave out, and nothing else: no index, no merge,
//! no history, no guard against a page that cannot be read. Where a key was put again, the map's
//! own insert overwrites.
//!
//! Invariant: not a byte is scanned before all checksums were found right.
//!
//! A file is records `{key_len: u32, value_len: u32, key, value}` one after the other; another file
//! beside it holds a little-endian CRC for each block.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::Mmap;

/// Bytes under one CRC.
const BLOCK: usize = 64 << 10;
/// Blocks that a thread takes at once: 1 MiB, as the engine's.
const SHARE: usize = 16;
/// Bytes before a key.
const HEAD: usize = 8;

/// The files of a floor: pairs in order, then later puts.
pub const FILES: [&str; 2] = ["base", "later"];

/// A mapped file and its checksums.
pub struct Image {
    bytes: Mmap,
    sums: Vec<u8>,
}

/// Writes records into the file `name` in `dir`, durable.
pub fn write<'a>(
    dir: &Path,
    name: &str,
    pairs: impl Iterator<Item = ([u8; 16], &'a [u8])>,
) -> io::Result<()> {
    let path = dir.join(name);
    let mut file = BufWriter::with_capacity(1 << 20, File::create_new(&path)?);
    for (key, value) in pairs {
        let len = u32::try_from(value.len()).expect("values are far below 4 GiB");
        file.write_all(&(key.len() as u32).to_le_bytes())?;
        file.write_all(&len.to_le_bytes())?;
        file.write_all(&key)?;
        file.write_all(value)?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    let bytes = map(&path)?;
    let sums: Vec<u8> =
        bytes.chunks(BLOCK).flat_map(|block| crc32fast::hash(block).to_le_bytes()).collect();
    let mut file = File::create_new(dir.join(format!("{name}.crc")))?;
    file.write_all(&sums)?;
    file.sync_all()
}

impl Image {
    /// Maps the file `name` in `dir`; its bytes are not believed yet.
    pub fn open(dir: &Path, name: &str) -> io::Result<Image> {
        let sums = fs::read(dir.join(format!("{name}.crc")))?;
        Ok(Image { bytes: map(&dir.join(name))?, sums })
    }

    /// Compares every block with its CRC, on `threads` threads.
    pub fn verify(&self, threads: usize) -> io::Result<()> {
        let blocks = self.bytes.len().div_ceil(BLOCK);
        let (next, damaged) = (AtomicUsize::new(0), AtomicBool::new(self.sums.len() != blocks * 4));
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| self.verify_shares(&next, &damaged));
            }
            self.verify_shares(&next, &damaged);
        });
        if damaged.into_inner() { Err(io::Error::other("a damaged block")) } else { Ok(()) }
    }

    fn verify_shares(&self, next: &AtomicUsize, damaged: &AtomicBool) {
        let share = SHARE * BLOCK;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number * share >= self.bytes.len() {
                return;
            }
            let bytes = &self.bytes[number * share..self.bytes.len().min((number + 1) * share)];
            let sums = self.sums[number * SHARE * 4..].chunks_exact(4);
            for (block, sum) in bytes.chunks(BLOCK).zip(sums) {
                if crc32fast::hash(block).to_le_bytes() != *sum {
                    damaged.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// The records, borrowed, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest: &[u8] = &self.bytes;
        std::iter::from_fn(move || {
            let (head, after) = rest.split_first_chunk::<HEAD>()?;
            let head = u64::from_le_bytes(*head);
            let (key, after) = after.split_at_checked(head as u32 as usize)?;
            let (value, after) = after.split_at_checked((head >> 32) as usize)?;
            rest = after;
            Some((key, value))
        })
    }
}

fn map(path: &Path) -> io::Result<Mmap> {
    // SAFETY: the bench made the file and nobody changes it while it is mapped.
    unsafe { Mmap::map(&File::open(path)?) }
}
