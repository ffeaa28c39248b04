//! Deltas between archives in the format of rdiff (librsync): signature, delta, and the way back.
//!
//! `rdiff -R rollsum -H md4` reads and writes the same files. Beside a delta stands a *sum*, a
//! small text (`NAME.b3`) with the BLAKE3 digests of what it needs and of what it makes.
//!
//! Invariants:
//! - a delta's MD4 proves nothing: what comes out is compared with a BLAKE3 digest, either the
//!   sum's or, where there is none, those in the archive's own manifest;
//! - what comes out is bounded before a byte of it is written, by the sum or by what the caller
//!   says; memory is bounded by the files' own lengths;
//! - no signature or delta makes anything here panic.

use crate::disk::{Access, Disk, Mapping, Site};
use crate::export::ExportError;
use crate::export::archive::{Sink, draft_of, remove_if_there};
use crate::export::copy::{Sum, Writer};
use blake3::Hash;
use fast_rsync::{ApplyError, DiffError, Signature, SignatureOptions};
use std::fmt::Write as _;
use std::io;

/// First bytes of a signature with MD4 and the rolling sum of librsync.
const SIGNATURE_MAGIC: [u8; 4] = 0x7273_0136_u32.to_be_bytes();

/// Bytes before the blocks of a signature.
const SIGNATURE_HEADER: usize = 12;

/// Bytes of MD4 that are kept of each block: all.
const STRONG_BYTES: u32 = 16;

/// Blocks of small files, as rdiff takes them.
const BLOCK_MIN: u64 = 2048;

/// Largest block that is believed.
const BLOCK_MAX: u32 = 64 << 20;

/// At most so many blocks: a signature of 10 MB.
const BLOCKS: u64 = 1 << 19;

/// Longest sum.
const SUM_MAX: u64 = 1024;

/// What a delta needs and makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaSum {
    /// What it is applied to, where that is known.
    pub base: Option<Sum>,
    /// What comes out.
    pub result: Sum,
    /// The delta itself.
    pub delta: Sum,
}

impl DeltaSum {
    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = String::from("statedir-delta 1\n");
        let mut line = |name: &str, sum: &Sum| {
            writeln!(text, "{name} {} {}", sum.bytes, sum.digest).expect("strings take all");
        };
        if let Some(base) = &self.base {
            line("base", base);
        }
        line("result", &self.result);
        line("delta", &self.delta);
        let digest = blake3::hash(text.as_bytes());
        format!("{text}digest {digest}\n").into_bytes()
    }

    /// Reads a sum that stands in `file`.
    ///
    /// # Errors
    /// [`ExportError::Damaged`].
    pub fn decode(file: &str, bytes: &[u8]) -> Result<DeltaSum, ExportError> {
        let damaged = || ExportError::damaged(file, "is not what a delta's sum is");
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        let mut lines = text.lines().peekable();
        if lines.next() != Some("statedir-delta 1") {
            return Err(damaged());
        }
        let base = match lines.next_if(|line| line.starts_with("base ")) {
            Some(line) => Some(sum_in(line, "base").ok_or_else(damaged)?),
            None => None,
        };
        let mut sum = |name| lines.next().and_then(|line| sum_in(line, name)).ok_or_else(damaged);
        let found = DeltaSum { base, result: sum("result")?, delta: sum("delta")? };
        // One spelling, its own digest included.
        if found.encode() != bytes && !cfg!(fuzzing) {
            return Err(damaged());
        }
        Ok(found)
    }
}

fn sum_in(line: &str, name: &str) -> Option<Sum> {
    let mut fields = line.strip_prefix(name)?.strip_prefix(' ')?.split(' ');
    let (bytes, digest) = (fields.next()?, fields.next()?);
    Some(Sum { bytes: bytes.parse().ok()?, digest: Hash::from_hex(digest).ok()? })
}

/// The name of a delta's sum.
#[must_use]
pub fn sum_name(delta: &str) -> String {
    format!("{delta}.b3")
}

/// A file in a directory.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The directory.
    pub disk: &'a dyn Disk,
    /// The name there.
    pub name: &'a str,
}

impl Place<'_> {
    /// All of it.
    fn read(&self) -> Result<Mapping, ExportError> {
        let io = |error| ExportError::io(self.name)(error);
        let file = self.disk.open(self.name, Access::Read).map_err(io)?;
        let len = file.len().map_err(io)?;
        file.map(len).map_err(io)
    }

    /// Writes it anew, all or nothing.
    fn replace(
        &self,
        write: impl FnOnce(&mut Sink) -> Result<(), ExportError>,
    ) -> Result<Sum, ExportError> {
        self.replace_if(write, |_| Ok(()))
    }

    /// Likewise, if `right` says that it is.
    fn replace_if(
        &self,
        write: impl FnOnce(&mut Sink) -> Result<(), ExportError>,
        right: impl FnOnce(Sum) -> Result<(), ExportError>,
    ) -> Result<Sum, ExportError> {
        let draft = draft_of(self.name);
        remove_if_there(self.disk, &draft)?;
        let outcome = Writer::create(self.disk, &draft).and_then(|writer| {
            let mut sink = Sink(writer);
            write(&mut sink)?;
            sink.0.finish(Site::ArchiveBody)
        });
        let outcome = outcome.and_then(|sum| {
            right(sum)?;
            self.disk.rename(&draft, self.name).map_err(ExportError::io(self.name))?;
            self.disk.sync_names(Site::ArchiveName).map_err(ExportError::io(self.name))?;
            Ok(sum)
        });
        if outcome.is_err() {
            let _ = self.disk.remove(&draft);
        }
        outcome
    }
}

fn digest(bytes: &Mapping, name: &str) -> Result<Sum, ExportError> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_rayon(bytes);
    if bytes.faulted() {
        return Err(ExportError::damaged(name, "cannot be read"));
    }
    Ok(Sum { bytes: bytes.len() as u64, digest: hasher.finalize() })
}

fn options(len: u64) -> SignatureOptions {
    let block = (len / BLOCKS).next_power_of_two().max(BLOCK_MIN);
    let block_size = u32::try_from(block).unwrap_or(BLOCK_MAX).min(BLOCK_MAX);
    SignatureOptions { block_size, crypto_hash_size: STRONG_BYTES }
}

/// Writes the signature of a file.
///
/// # Errors
/// Those of the file system.
pub fn sign(base: Place<'_>, out: Place<'_>) -> Result<Sum, ExportError> {
    let bytes = base.read()?;
    let signature = Signature::calculate(&bytes, options(bytes.len() as u64));
    digest(&bytes, base.name)?;
    out.replace(|sink| sink.0.write(signature.serialized()))
}

/// A signature that anybody may have written.
///
/// # Errors
/// [`ExportError::Hostile`].
pub fn parse_signature(name: &str, bytes: &[u8]) -> Result<Signature, ExportError> {
    let hostile = |what: &str| ExportError::hostile(name, what);
    let field = |at: usize| {
        let field = bytes.get(at..at + 4)?;
        Some(u32::from_be_bytes(field.try_into().ok()?))
    };
    if !bytes.starts_with(&SIGNATURE_MAGIC) {
        return Err(hostile("is no signature of rdiff -R rollsum -H md4"));
    }
    let (Some(block), Some(strong)) = (field(4), field(8)) else {
        return Err(hostile("ends in its header"));
    };
    // The crate divides by the one and takes slices of the other.
    if !(1..=BLOCK_MAX).contains(&block) || !(1..=STRONG_BYTES).contains(&strong) {
        return Err(hostile("blocks or sums of an impossible size"));
    }
    debug_assert!(bytes.len() >= SIGNATURE_HEADER);
    Signature::deserialize(bytes.to_vec()).map_err(|_| hostile("ends within a block"))
}

/// Writes the delta that makes `new` out of `base`, which is a file or the signature of one; its
/// sum beside it.
///
/// # Errors
/// [`ExportError::Hostile`] for a signature that is none; those of the file system.
pub fn make(base: Place<'_>, new: Place<'_>, out: Place<'_>) -> Result<DeltaSum, ExportError> {
    let (base_bytes, new_bytes) = (base.read()?, new.read()?);
    let (signature, base_sum) = if base_bytes.starts_with(&SIGNATURE_MAGIC) {
        (parse_signature(base.name, &base_bytes)?, None)
    } else {
        let signature = Signature::calculate(&base_bytes, options(base_bytes.len() as u64));
        (signature, Some(digest(&base_bytes, base.name)?))
    };
    let result = digest(&new_bytes, new.name)?;
    remove_if_there(out.disk, &sum_name(out.name))?;
    let draft = draft_of(out.name);
    remove_if_there(out.disk, &draft)?;
    let made = Writer::create(out.disk, &draft).and_then(|writer| {
        let mut sink = Sink(writer);
        let diff = fast_rsync::diff(&signature.index(), &new_bytes, &mut sink);
        diff.map_err(|error| match error {
            DiffError::Io(error) => ExportError::io(out.name)(error),
            error => ExportError::hostile(base.name, error),
        })?;
        sink.0.finish(Site::ArchiveBody)
    });
    let finished = made.and_then(|delta| {
        let sum = DeltaSum { base: base_sum, result, delta };
        if base_sum.is_some() {
            // End to end, before anybody relies on it.
            prove(&base_bytes, Place { disk: out.disk, name: &draft }, &sum)?;
        }
        let beside = sum_name(out.name);
        Place { disk: out.disk, name: &beside }.replace(|sink| sink.0.write(&sum.encode()))?;
        out.disk.rename(&draft, out.name).map_err(ExportError::io(out.name))?;
        out.disk.sync_names(Site::ArchiveName).map_err(ExportError::io(out.name))?;
        Ok(sum)
    });
    if finished.is_err() {
        let _ = out.disk.remove(&draft);
    }
    finished
}

/// Applies a delta in memory of one piece, and compares what comes out.
fn prove(base: &[u8], delta: Place<'_>, sum: &DeltaSum) -> Result<(), ExportError> {
    let bytes = delta.read()?;
    let mut hasher = blake3::Hasher::new();
    let limit = usize::try_from(sum.result.bytes).unwrap_or(usize::MAX);
    fast_rsync::apply_limited(base, &bytes, &mut hasher, limit)
        .map_err(|error| ExportError::damaged(delta.name, error))?;
    if hasher.finalize() != sum.result.digest {
        return Err(ExportError::damaged(delta.name, "makes something else than it should"));
    }
    Ok(())
}

/// Makes a file out of `base` and a delta. What comes out is bounded by the sum beside the delta;
/// without one by `limit`, and the caller checks what it is.
///
/// # Errors
/// [`ExportError::Hostile`] for a delta that makes no sense or asks for more than it may;
/// [`ExportError::Damaged`] where a digest does not fit. Nothing stands under the name then.
pub fn apply(
    base: Place<'_>,
    delta: Place<'_>,
    out: Place<'_>,
    limit: u64,
) -> Result<(Sum, bool), ExportError> {
    let sum = read_sum(delta)?;
    let (base_bytes, delta_bytes) = (base.read()?, delta.read()?);
    if let Some(sum) = &sum {
        let fits = |found: Sum, wanted: &Sum, name: &str| match found == *wanted {
            true => Ok(()),
            false => Err(ExportError::damaged(name, "is not the file that the delta's sum names")),
        };
        fits(digest(&delta_bytes, delta.name)?, &sum.delta, delta.name)?;
        if let Some(base_sum) = &sum.base {
            fits(digest(&base_bytes, base.name)?, base_sum, base.name)?;
        }
    }
    let limit = sum.map_or(limit, |sum| sum.result.bytes);
    let space = out.disk.space().map_err(ExportError::io(out.name))?;
    if sum.is_some() && space.free < limit {
        return Err(ExportError::io(out.name)(io::ErrorKind::StorageFull.into()));
    }
    let made = out.replace_if(
        |sink| {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let applied = fast_rsync::apply_limited(&base_bytes, &delta_bytes, sink, limit);
            applied.map_err(|error| match error {
                ApplyError::Io(error) => ExportError::io(out.name)(error),
                error => ExportError::hostile(delta.name, error),
            })
        },
        |made| match sum {
            Some(sum) if made != sum.result => {
                Err(ExportError::damaged(delta.name, "makes something else than it should"))
            }
            _ => Ok(()),
        },
    )?;
    Ok((made, sum.is_some()))
}

/// The sum beside a delta, if there is one.
fn read_sum(delta: Place<'_>) -> Result<Option<DeltaSum>, ExportError> {
    let name = sum_name(delta.name);
    let io = |error| ExportError::io(name.as_str())(error);
    let file = match delta.disk.open(&name, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io)?,
    };
    let len = file.len().map_err(io)?;
    if len > SUM_MAX {
        return Err(ExportError::damaged(&name, "is longer than any such file"));
    }
    let mut bytes = vec![0; usize::try_from(len).expect("bounded by SUM_MAX")];
    crate::disk::read_exact_at(file.as_ref(), &mut bytes, 0).map_err(io)?;
    DeltaSum::decode(&name, &bytes).map(Some)
}
