//! The little of tar (ustar) that an archive of a backup is made of: regular files, plain names.
//!
//! Invariants: headers are written the same for the same input, so that equal backups are equal
//! archives; what is read is one of ours or an error: no path leads anywhere, nothing is a link, a
//! device or a directory, no extension changes the meaning of what follows.

/// Bytes of a header, and what contents are padded to.
pub const BLOCK: usize = 512;

/// Longest name.
const NAME_MAX: usize = 100;

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, plain.
    pub name: String,
    /// Bytes that follow, before padding.
    pub size: u64,
}

/// A header, encoded.
///
/// # Panics
/// If the name is too long: ours are not.
#[must_use]
pub fn header(name: &str, size: u64) -> [u8; BLOCK] {
    assert!(name.len() <= NAME_MAX, "names of a repository are short");
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000600\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    if size < 1 << 33 {
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    } else {
        // As GNU tar writes what eleven digits do not hold.
        block[124] = 0x80;
        block[128..136].copy_from_slice(&size.to_be_bytes());
    }
    block[136..148].copy_from_slice(b"00000000000\0");
    block[156] = b'0';
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum = checksum(&block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Reads a header; `None` for a block of zeros, with which archives end.
///
/// # Errors
/// What is wrong, in words.
pub fn decode(block: &[u8; BLOCK]) -> Result<Option<Entry>, String> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let stored = octal(&block[148..156]).ok_or("its header is damaged")?;
    if stored != u64::from(checksum(block)) && !cfg!(fuzzing) {
        return Err("its header's checksum does not fit".to_owned());
    }
    let name = text(&block[..NAME_MAX]);
    let shown = String::from_utf8_lossy(name).into_owned();
    if let Some(what) = foreign(block[156]) {
        return Err(format!("{shown:?} is {what}"));
    }
    if text(&block[345..500]) != b"" || name.contains(&b'/') {
        return Err(format!("{shown:?} leads out of the archive's own directory"));
    }
    if matches!(name, b"" | b"." | b"..") {
        return Err(format!("{shown:?} is no file's name"));
    }
    let mode = octal(&block[100..108]).ok_or_else(|| format!("{shown:?} has no mode"))?;
    if mode & 0o7000 != 0 {
        return Err(format!("{shown:?} is setuid, setgid or sticky (mode {mode:o})"));
    }
    if text(&block[157..257]) != b"" {
        return Err(format!("{shown:?} links somewhere"));
    }
    let name = String::from_utf8(name.to_vec()).map_err(|_| format!("{shown:?} is not text"))?;
    let size = size(&block[124..136]).ok_or_else(|| format!("{shown:?} has no size"))?;
    Ok(Some(Entry { name, size }))
}

/// What an entry is that is no regular file.
fn foreign(kind: u8) -> Option<&'static str> {
    match kind {
        b'0' | 0 => None,
        b'1' => Some("a hard link"),
        b'2' => Some("a symbolic link"),
        b'3' | b'4' => Some("a device"),
        b'5' => Some("a directory"),
        b'6' => Some("a FIFO"),
        b'x' | b'g' | b'L' | b'K' => Some("an extension header"),
        b'S' => Some("a sparse file"),
        _ => Some("no regular file"),
    }
}

/// The sum of all bytes, those of the sum itself taken for blanks.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..])
}

/// Bytes up to the first zero.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.split(|byte| matches!(byte, 0 | b' ')).find(|part| !part.is_empty())?;
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| u64::from_str_radix(digits, 8).ok())?
}

fn size(field: &[u8]) -> Option<u64> {
    match field {
        [0x80, 0, 0, 0, rest @ ..] => Some(u64::from_be_bytes(rest.try_into().ok()?)),
        [first, ..] if *first >= 0x80 => None,
        _ => octal(field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back() {
        for (name, size) in
            [("a", 0), ("REPOSITORY", 22), ("x.base", (1 << 33) - 1), ("y", 1 << 40)]
        {
            let entry = decode(&header(name, size)).unwrap().unwrap();
            assert_eq!(entry, Entry { name: name.to_owned(), size });
        }
        assert_eq!(decode(&[0; BLOCK]), Ok(None));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let block = header("20261125T174450Z-1a2b3c4d.base", 12345);
        let whole = decode(&block);
        for bit in 0..BLOCK * 8 {
            let mut block = block;
            block[bit / 8] ^= 1 << (bit % 8);
            let found = decode(&block);
            assert!(found.is_err() || found == whole, "bit {bit}");
        }
    }
}
