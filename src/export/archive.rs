//! An archive: one backup in one file, a tar that anybody can unpack, compressed with zstd or not.
//!
//! It holds, in this order, `REPOSITORY`, the manifest, and the files that it names: unpacked it is
//! a repository.
//!
//! Invariants:
//! - an archive gets its name when it is whole and flushed;
//! - the manifest comes before what it bounds: what follows is exactly that, name by name and byte
//!   by byte, or an error; so that neither room nor memory is taken that the manifest does not
//!   speak of, and none is taken at all where the disk has not that much;
//! - nothing is written outside of the directory that is given, and nothing under a name that is
//!   not a repository's.

use crate::disk::{Access, Disk, File, Site};
use crate::export::ExportError;
use crate::export::copy::{Sum, Writer};
use crate::export::manifest::{MANIFEST_MAX, Manifest};
use crate::export::repository::{FileKind, MARK, MARK_TEXT, Repository};
use crate::export::tar::{self, BLOCK, Entry};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// What tar may add behind the end: it fills up its last record.
const PADDING_MAX: u64 = 1 << 20;

/// Largest window of a compressed archive, as a power of two: what zstd allows without being told.
const WINDOW_LOG_MAX: u32 = 27;

/// Compression: fast, because the newest copy is wanted soon.
const LEVEL: i32 = 1;

const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// Writes an archive of a backup under `name` in `disk`; a file of this name is replaced when the
/// new one is whole.
///
/// # Errors
/// [`ExportError`]; what stands under the name is as before.
pub fn write_archive(
    repository: &Repository,
    manifest: &Manifest,
    disk: &dyn Disk,
    name: &str,
    compressed: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Sum, ExportError> {
    let draft = draft_of(name);
    remove_if_there(disk, &draft)?;
    let outcome = Writer::create(disk, &draft)
        .and_then(|writer| fill(repository, manifest, Sink(writer), compressed, progress))
        .and_then(|sum| {
            disk.rename(&draft, name).map_err(ExportError::io(name))?;
            // From here on the archive is there, also after a power cut.
            disk.sync_names(Site::ArchiveName).map_err(ExportError::io(name))?;
            Ok(sum)
        });
    if outcome.is_err() {
        let _ = disk.remove(&draft);
    }
    outcome
}

/// The name under which an archive is made.
#[must_use]
pub fn draft_of(name: &str) -> String {
    format!(".{name}.tmp")
}

pub(crate) fn remove_if_there(disk: &dyn Disk, name: &str) -> Result<(), ExportError> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ExportError::io(name)(error)),
        _ => Ok(()),
    }
}

/// A file of a backup as something to write to.
pub(crate) struct Sink(pub Writer);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(ExportError::Io { source, .. }) => Err(source),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn fill(
    repository: &Repository,
    manifest: &Manifest,
    sink: Sink,
    compressed: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Sum, ExportError> {
    let io = |error| ExportError::io("archive")(error);
    let Sink(writer) = if compressed {
        let mut encoder = zstd::stream::write::Encoder::new(sink, LEVEL).map_err(io)?;
        encoder.include_checksum(true).map_err(io)?;
        entries(repository, manifest, &mut encoder, progress)?;
        encoder.finish().map_err(io)?
    } else {
        let mut sink = sink;
        entries(repository, manifest, &mut sink, progress)?;
        sink
    };
    writer.finish(Site::ArchiveBody)
}

fn entries(
    repository: &Repository,
    manifest: &Manifest,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> Result<(), ExportError> {
    let io = |error| ExportError::io("archive")(error);
    let text = manifest.encode();
    for (name, bytes) in
        [(MARK.to_owned(), MARK_TEXT.as_bytes()), (FileKind::Manifest.of(&manifest.id), &text)]
    {
        out.write_all(&tar::header(&name, bytes.len() as u64)).map_err(io)?;
        out.write_all(bytes).map_err(io)?;
        pad(out, bytes.len() as u64).map_err(io)?;
    }
    for (name, bytes, digest) in manifest.files() {
        let file = repository.disk().open(name, Access::Read).map_err(ExportError::io(name))?;
        out.write_all(&tar::header(name, bytes)).map_err(io)?;
        let mut hasher = blake3::Hasher::new();
        let mut reader = Reading { file, at: 0 }.take(bytes);
        let mut piece = vec![0; PIECE];
        let mut left = bytes;
        while left > 0 {
            let got = reader.read(&mut piece).map_err(ExportError::io(name))?;
            if got == 0 {
                return Err(ExportError::damaged(name, "ends early"));
            }
            hasher.update(&piece[..got]);
            out.write_all(&piece[..got]).map_err(io)?;
            left -= got as u64;
            progress(got as u64);
        }
        if hasher.finalize() != digest {
            return Err(ExportError::damaged(name, "the digest does not fit"));
        }
        pad(out, bytes).map_err(io)?;
    }
    out.write_all(&[0; 2 * BLOCK]).map_err(io)
}

fn pad(out: &mut dyn Write, bytes: u64) -> io::Result<()> {
    let rest = (bytes.next_multiple_of(BLOCK as u64) - bytes) as usize;
    out.write_all(&[0; BLOCK][..rest])
}

/// A file as something to read from.
#[derive(Debug)]
pub struct Reading {
    /// The file.
    pub file: Arc<dyn File>,
    /// What is read next.
    pub at: u64,
}

impl Read for Reading {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buf, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

/// Reads an archive, compressed or not, comparing every byte with the manifest's digests. With
/// `into`, an empty directory, that becomes a repository that holds the backup.
///
/// # Errors
/// [`ExportError::Hostile`] for what no archive of ours holds, [`ExportError::Damaged`] and others.
/// What was written of it is no backup.
pub fn read_archive(
    input: impl Read,
    into: Option<&Arc<dyn Disk>>,
    progress: &mut dyn FnMut(u64),
) -> Result<Manifest, ExportError> {
    let io = |error| ExportError::io("archive")(error);
    let mut input = io::BufReader::with_capacity(PIECE, input);
    let compressed = io::BufRead::fill_buf(&mut input).map_err(io)?.starts_with(&ZSTD_MAGIC);
    if compressed {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(io)?;
        decoder.window_log_max(WINDOW_LOG_MAX).map_err(io)?;
        unpack(&mut decoder, into, progress)
    } else {
        unpack(&mut input, into, progress)
    }
}

fn unpack(
    input: &mut dyn Read,
    into: Option<&Arc<dyn Disk>>,
    progress: &mut dyn FnMut(u64),
) -> Result<Manifest, ExportError> {
    let mark = small(input, MARK, MARK_TEXT.len() as u64)?;
    if mark.1 != MARK_TEXT.as_bytes() {
        return Err(ExportError::hostile(MARK, "is not what makes a repository"));
    }
    let (name, text) = small(input, "the manifest", MANIFEST_MAX)?;
    let id = match FileKind::parse(&name) {
        Some((FileKind::Manifest, id)) => id,
        _ => return Err(ExportError::hostile(&name, "stands where the manifest should")),
    };
    let manifest = Manifest::decode(&name, &text)?;
    if manifest.id != id {
        return Err(ExportError::hostile(&name, "is the manifest of another backup"));
    }
    let repository = match into {
        None => None,
        Some(disk) => {
            let space = disk.space().map_err(ExportError::io("target"))?;
            if space.free < manifest.bytes() {
                let what = "unpacking the archive";
                return Err(ExportError::io(what)(io::ErrorKind::StorageFull.into()));
            }
            Some(Repository::create(Arc::clone(disk))?)
        }
    };
    for (name, bytes, digest) in manifest.files() {
        let entry = next(input)?.ok_or_else(|| ExportError::damaged(name, "is missing"))?;
        if entry.name != name {
            let what = format!("stands where {name} should");
            return Err(ExportError::hostile(&entry.name, what));
        }
        if entry.size != bytes {
            let what = format!("has {} bytes, {bytes} by the manifest", entry.size);
            return Err(ExportError::hostile(name, what));
        }
        let found = contents(input, &entry, repository.as_ref(), progress)?;
        // A fuzzer cannot guess digests: under cfg(fuzzing) they always fit.
        if found != (Sum { bytes, digest }) && !cfg!(fuzzing) {
            return Err(ExportError::damaged(name, "the digest does not fit"));
        }
    }
    if let Some(entry) = next(input)? {
        return Err(ExportError::hostile(&entry.name, "is not in the manifest"));
    }
    end(input)?;
    if let Some(repository) = repository {
        repository.publish(&manifest)?;
    }
    Ok(manifest)
}

/// The next entry's header.
fn next(input: &mut dyn Read) -> Result<Option<Entry>, ExportError> {
    let mut block = [0; BLOCK];
    input.read_exact(&mut block).map_err(cut)?;
    tar::decode(&block).map_err(|what| ExportError::hostile("archive", what))
}

/// An archive that ends early, or cannot be decompressed, is damaged; nothing else can be said.
fn cut(error: io::Error) -> ExportError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::Other | io::ErrorKind::InvalidData => {
            ExportError::damaged("archive", format!("cannot be read on: {error}"))
        }
        _ => ExportError::io("archive")(error),
    }
}

/// An entry of which all is held in memory.
fn small(input: &mut dyn Read, what: &str, max: u64) -> Result<(String, Vec<u8>), ExportError> {
    let entry = next(input)?.ok_or_else(|| ExportError::hostile(what, "is missing"))?;
    if entry.size > max {
        return Err(ExportError::hostile(&entry.name, "is longer than any such file"));
    }
    let mut bytes = vec![0; usize::try_from(entry.size).expect("bounded by MANIFEST_MAX")];
    input.read_exact(&mut bytes).map_err(cut)?;
    skip_padding(input, entry.size)?;
    Ok((entry.name, bytes))
}

/// The bytes of an entry, hashed, and written if they are wanted.
fn contents(
    input: &mut dyn Read,
    entry: &Entry,
    repository: Option<&Repository>,
    progress: &mut dyn FnMut(u64),
) -> Result<Sum, ExportError> {
    let mut writer = match repository {
        Some(repository) => Some(Writer::create(repository.disk().as_ref(), &entry.name)?),
        None => None,
    };
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE];
    let mut left = entry.size;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        input.read_exact(&mut piece[..wanted]).map_err(cut)?;
        match &mut writer {
            Some(writer) => writer.write(&piece[..wanted])?,
            None => {
                hasher.update(&piece[..wanted]);
            }
        }
        left -= wanted as u64;
        progress(wanted as u64);
    }
    skip_padding(input, entry.size)?;
    match writer {
        Some(writer) => writer.finish(Site::BackupFile),
        None => Ok(Sum { bytes: entry.size, digest: hasher.finalize() }),
    }
}

fn skip_padding(input: &mut dyn Read, bytes: u64) -> Result<(), ExportError> {
    let rest = (bytes.next_multiple_of(BLOCK as u64) - bytes) as usize;
    let mut padding = [0; BLOCK];
    input.read_exact(&mut padding[..rest]).map_err(cut)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(ExportError::hostile("archive", "something stands in the padding"));
    }
    Ok(())
}

/// Behind the last entry there are zeros, and not many.
fn end(input: &mut dyn Read) -> Result<(), ExportError> {
    let mut zeros = 0;
    let mut piece = [0; 4096];
    loop {
        let got = input.read(&mut piece).map_err(cut)?;
        if got == 0 {
            break;
        }
        zeros += got as u64;
        if zeros > PADDING_MAX || piece[..got].iter().any(|byte| *byte != 0) {
            return Err(ExportError::hostile("archive", "goes on behind its end"));
        }
    }
    if zeros < BLOCK as u64 {
        return Err(ExportError::damaged("archive", "ends early"));
    }
    Ok(())
}
