//! One call of ours made of many calls to the kernel: repeated when interrupted, continued when
//! short. Shared by [`Real`](crate::disk::Real) and the fake disk, so that crash tests run it.

use crate::base::limits::BLOCK;
use std::io;

/// How often a write may move nothing in a row before it is given up: a kernel that writes less
/// than one block of a direct write forever must not hang the writer.
const STUCK_MAX: u32 = 8;

/// Repeats `call` while a signal interrupts it.
pub(super) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Reads until `buf` is full or the file ends; returns how much there was.
pub(super) fn read(
    buf: &mut [u8],
    offset: u64,
    mut call: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        let count = uninterrupted(|| call(&mut buf[done..], offset + done as u64))?;
        if count == 0 {
            break;
        }
        done += count;
    }
    Ok(done)
}

/// Writes all of `bytes`, byte by byte where it must be.
pub(super) fn write(
    bytes: &[u8],
    offset: u64,
    call: impl FnMut(&[u8], u64) -> io::Result<usize>,
) -> io::Result<()> {
    write_in_units(1, bytes, offset, call)
}

/// Writes all of `bytes` in calls that begin on blocks: what a short call left of a block is
/// written again.
pub(super) fn write_blocks(
    bytes: &[u8],
    offset: u64,
    call: impl FnMut(&[u8], u64) -> io::Result<usize>,
) -> io::Result<()> {
    assert!(bytes.len().is_multiple_of(BLOCK), "whole blocks are written: see File's contract");
    assert!(offset.is_multiple_of(BLOCK as u64), "writes begin on blocks: see File's contract");
    write_in_units(BLOCK, bytes, offset, call)
}

fn write_in_units(
    unit: usize,
    bytes: &[u8],
    offset: u64,
    mut call: impl FnMut(&[u8], u64) -> io::Result<usize>,
) -> io::Result<()> {
    let (mut done, mut stuck) = (0, 0);
    while done < bytes.len() {
        let count = uninterrupted(|| call(&bytes[done..], offset + done as u64))?;
        let kept = count - count % unit;
        stuck = if kept == 0 { stuck + 1 } else { 0 };
        if stuck == STUCK_MAX {
            return Err(io::ErrorKind::WriteZero.into());
        }
        done += kept;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_direct_write_continues_on_a_block() {
        let bytes = vec![7; 3 * BLOCK];
        let mut calls = Vec::new();
        let counts = [BLOCK + 512, 100, 2 * BLOCK];
        let mut count = counts.iter();
        write_blocks(&bytes, 8192, |rest, at| {
            calls.push((rest.len(), at));
            Ok(*count.next().expect("three calls suffice"))
        })
        .unwrap();
        assert_eq!(calls, [(3 * BLOCK, 8192), (2 * BLOCK, 12288), (2 * BLOCK, 12288)]);
    }

    #[test]
    fn write_that_never_moves_ends_in_an_error() {
        let error = write_blocks(&[0; BLOCK], 0, |_, _| Ok(512)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        assert_eq!(write(&[0; 9], 0, |_, _| Ok(0)).unwrap_err().kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn interrupted_and_short_calls_make_a_whole_one() {
        let mut turn = 0;
        let mut step = || {
            turn += 1;
            if turn % 2 == 0 { Err(io::Error::from(io::ErrorKind::Interrupted)) } else { Ok(()) }
        };
        let mut wrote = Vec::new();
        write(b"abcdef", 10, |rest, at| {
            step()?;
            wrote.push((rest[0], at));
            Ok(1)
        })
        .unwrap();
        assert_eq!(wrote.len(), 6);
        assert_eq!(wrote[5], (b'f', 15));

        let mut buf = [0; 8];
        let source = b"xyz";
        let count = read(&mut buf, 0, |buf, at| {
            step()?;
            let rest = &source[usize::try_from(at).unwrap()..];
            let count = rest.len().min(1);
            buf[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        });
        assert_eq!((count.unwrap(), &buf[..4]), (3, b"xyz\0".as_slice()));
    }
}
