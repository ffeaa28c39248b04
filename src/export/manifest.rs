//! A backup's manifest: what it holds, and how to know that it is whole.
//!
//! Text, one fact a line, in this order; `?` marks lines that may be missing, `*` lines that may
//! come any number of times. Numbers are decimal, times nanoseconds, digests hexadecimal.
//!
//! | line | what |
//! |---|---|
//! | `statedir-backup 1` | magic and version |
//! | `id ID` | the backup's name, which is the file's name, too |
//! | `tag TAG` ? | `[A-Za-z0-9_.:-]{1,64}` |
//! | `cluster ID` | the cluster that the state belongs to |
//! | `incarnation ID` | the history that it was taken from |
//! | `epoch N` | the greatest epoch that had left a trace there |
//! | `made TIME` | when it was made |
//! | `from LSN TIME` | the oldest state that can be restored |
//! | `to LSN TIME` | the newest one |
//! | `end EPOCH ORDINAL OFFSET CHAIN` | where the log goes on in the source, and the chain there |
//! | `parent ID` ? | the backup that this one goes on from |
//! | `base FILE BYTES BLAKE3` ? | a snapshot; without one the history begins with the empty state |
//! | `part FILE BYTES BLAKE3 LSN TIME` * | groups, up to this LSN and time |
//! | `digest BLAKE3` | of everything before this line |
//!
//! Invariants: a manifest that decodes is one that was encoded, its digest says so; the names in it
//! are names of a repository's files, each once, and lead nowhere else.

use crate::base::{Chain, Epoch, Id, Lsn, Nanos, SegmentId};
use crate::export::ExportError;
use crate::export::id::BackupId;
use crate::export::repository::FileKind;
use crate::store::Position;
use blake3::Hash;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::str::FromStr;

/// Longest manifest, bytes: some 7,000 parts.
pub const MANIFEST_MAX: u64 = 1 << 20;

/// Longest tag.
const TAG_MAX: usize = 64;

/// A snapshot in a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Its file.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Its digest.
    pub digest: Hash,
}

/// Groups in a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Their file.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Its digest.
    pub digest: Hash,
    /// The last LSN in it.
    pub lsn: Lsn,
    /// The time there.
    pub time: Nanos,
}

/// What a backup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its name.
    pub id: BackupId,
    /// What an operator calls it.
    pub tag: Option<String>,
    /// The cluster that the state belongs to.
    pub cluster: Id,
    /// The history that it was taken from.
    pub incarnation: Id,
    /// The greatest epoch there.
    pub epoch: Epoch,
    /// When it was made.
    pub made: Nanos,
    /// The oldest state that can be restored.
    pub from: (Lsn, Nanos),
    /// Where it ends: the newest state that can be restored, and where the source's log goes on.
    pub end: Position,
    /// The backup that this one goes on from.
    pub parent: Option<BackupId>,
    /// The snapshot that it begins with.
    pub base: Option<Base>,
    /// The groups since.
    pub parts: Vec<Part>,
}

impl Manifest {
    /// All files: name, length, digest.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64, Hash)> {
        let base = self.base.iter().map(|base| (base.file.as_str(), base.bytes, base.digest));
        base.chain(self.parts.iter().map(|part| (part.file.as_str(), part.bytes, part.digest)))
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files().map(|(_, bytes, _)| bytes).sum()
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = String::from("statedir-backup 1\n");
        let mut line = |line: String| {
            writeln!(text, "{line}").expect("strings take everything");
        };
        line(format!("id {}", self.id));
        if let Some(tag) = &self.tag {
            line(format!("tag {tag}"));
        }
        line(format!("cluster {}", self.cluster));
        line(format!("incarnation {}", self.incarnation));
        line(format!("epoch {}", self.epoch));
        line(format!("made {}", self.made.0));
        line(format!("from {} {}", self.from.0, self.from.1.0));
        let end = &self.end;
        line(format!("to {} {}", end.lsn, end.time.0));
        let SegmentId { epoch, ordinal } = end.segment;
        line(format!("end {epoch} {ordinal} {} {}", end.offset, end.chain));
        if let Some(parent) = &self.parent {
            line(format!("parent {parent}"));
        }
        if let Some(Base { file, bytes, digest }) = &self.base {
            line(format!("base {file} {bytes} {digest}"));
        }
        for Part { file, bytes, digest, lsn, time } in &self.parts {
            line(format!("part {file} {bytes} {digest} {lsn} {}", time.0));
        }
        let digest = blake3::hash(text.as_bytes());
        format!("{text}digest {digest}\n").into_bytes()
    }

    /// Reads a manifest that stands in `file`.
    ///
    /// # Errors
    /// [`ExportError::Damaged`], [`ExportError::TooNew`].
    pub fn decode(file: &str, bytes: &[u8]) -> Result<Manifest, ExportError> {
        let damaged = |what: &str| ExportError::damaged(file, what);
        if bytes.len() as u64 > MANIFEST_MAX {
            return Err(damaged("longer than any manifest"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("not text"))?;
        let (body, digest) = split_digest(text).ok_or_else(|| damaged("ends without a digest"))?;
        if digest != blake3::hash(body.as_bytes()) && !cfg!(fuzzing) {
            return Err(damaged("the digest does not fit"));
        }
        let mut lines = Lines { file, rest: body };
        match lines.fields("statedir-backup")?[..] {
            ["1"] => {}
            [version] if version.parse::<u32>().is_ok() => {
                return Err(ExportError::TooNew(file.to_owned()));
            }
            _ => return Err(damaged("not a manifest")),
        }
        let manifest = lines.manifest()?;
        manifest.check(file)?;
        Ok(manifest)
    }

    /// What must hold whatever the digest says: a good digest only proves who wrote it.
    fn check(&self, file: &str) -> Result<(), ExportError> {
        let damaged = |what: &str| Err(ExportError::damaged(file, what));
        if self.tag.as_ref().is_some_and(|tag| !is_tag(tag)) {
            return damaged("a tag that is none");
        }
        let mut names = BTreeSet::new();
        let mut sum: u64 = 0;
        for (name, bytes, _) in self.files() {
            let base = self.base.as_ref().is_some_and(|base| base.file == name);
            let kind = if base { FileKind::Base } else { FileKind::Part };
            if FileKind::parse(name).is_none_or(|(found, _)| found != kind) {
                return damaged("names a file that is no backup's");
            }
            if !names.insert(name) {
                return damaged("names a file twice");
            }
            sum = match sum.checked_add(bytes) {
                Some(sum) => sum,
                None => return damaged("is too large to be true"),
            };
        }
        let mut at = self.from;
        for part in &self.parts {
            if (part.lsn, part.time) < at {
                return damaged("parts are not in order");
            }
            at = (part.lsn, part.time);
        }
        if at != (self.end.lsn, self.end.time) {
            return damaged("parts do not reach the end");
        }
        if self.base.is_none() && self.from.0 != Lsn::ZERO {
            return damaged("begins without a snapshot");
        }
        Ok(())
    }
}

/// Whether an operator may call a backup so: never what could be taken for an id, `latest` or a
/// flag.
#[must_use]
pub fn is_tag(tag: &str) -> bool {
    (1..=TAG_MAX).contains(&tag.len())
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
        && !tag.starts_with('-')
        && tag != "latest"
        && tag.parse::<BackupId>().is_err()
}

/// The text before the last line, and the digest in that.
fn split_digest(text: &str) -> Option<(&str, Hash)> {
    let body = text.strip_suffix('\n')?;
    let start = body.rfind('\n')? + 1;
    let digest = body[start..].strip_prefix("digest ")?;
    Some((&text[..start], hash(digest)?))
}

/// A digest in its one spelling.
fn hash(text: &str) -> Option<Hash> {
    let hash = Hash::from_hex(text).ok()?;
    (hash.to_hex().as_str() == text).then_some(hash)
}

/// Lines that have not been read.
struct Lines<'a> {
    file: &'a str,
    rest: &'a str,
}

impl<'a> Lines<'a> {
    fn damaged(&self, key: &str) -> ExportError {
        ExportError::damaged(self.file, format!("line {key:?} is not as it should be"))
    }

    /// The fields of the next line, if it begins with `key`.
    fn optional(&mut self, key: &str) -> Option<Vec<&'a str>> {
        let (line, rest) = self.rest.split_once('\n')?;
        let fields = line.strip_prefix(key)?.strip_prefix(' ')?;
        self.rest = rest;
        Some(fields.split(' ').collect())
    }

    fn fields(&mut self, key: &str) -> Result<Vec<&'a str>, ExportError> {
        self.optional(key).ok_or_else(|| self.damaged(key))
    }

    /// The one field of the next line.
    fn one<T: FromStr + ToString>(&mut self, key: &str) -> Result<T, ExportError> {
        match self.fields(key)?[..] {
            [field] => self.value(key, field),
            _ => Err(self.damaged(key)),
        }
    }

    /// A field in its one spelling.
    fn value<T: FromStr + ToString>(&self, key: &str, field: &str) -> Result<T, ExportError> {
        let value = field.parse::<T>().map_err(|_| self.damaged(key))?;
        if value.to_string() == field { Ok(value) } else { Err(self.damaged(key)) }
    }

    fn moment(&mut self, key: &str) -> Result<(Lsn, Nanos), ExportError> {
        match self.fields(key)?[..] {
            [lsn, time] => Ok((Lsn(self.value(key, lsn)?), Nanos(self.value(key, time)?))),
            _ => Err(self.damaged(key)),
        }
    }

    fn digest(&self, key: &str, field: &str) -> Result<Hash, ExportError> {
        hash(field).ok_or_else(|| self.damaged(key))
    }

    fn manifest(mut self) -> Result<Manifest, ExportError> {
        let id: BackupId = self.one("id")?;
        let tag = match self.optional("tag").as_deref() {
            None => None,
            Some([tag]) => Some((*tag).to_owned()),
            Some(_) => return Err(self.damaged("tag")),
        };
        let (cluster, incarnation) = (self.one("cluster")?, self.one("incarnation")?);
        let (epoch, made) = (Epoch(self.one("epoch")?), Nanos(self.one("made")?));
        let from = self.moment("from")?;
        let to = self.moment("to")?;
        let end = self.end(to)?;
        let parent = match self.optional("parent").as_deref() {
            None => None,
            Some([parent]) => Some(self.value("parent", parent)?),
            Some(_) => return Err(self.damaged("parent")),
        };
        let base = self.base()?;
        let parts = self.parts()?;
        if !self.rest.is_empty() {
            return Err(self.damaged("part"));
        }
        Ok(Manifest { id, tag, cluster, incarnation, epoch, made, from, end, parent, base, parts })
    }

    fn end(&mut self, (lsn, time): (Lsn, Nanos)) -> Result<Position, ExportError> {
        let [epoch, ordinal, offset, chain] = self.fields("end")?[..] else {
            return Err(self.damaged("end"));
        };
        let epoch = Epoch(self.value("end", epoch)?);
        let chain: Id = self.value("end", chain)?;
        Ok(Position {
            segment: SegmentId { epoch, ordinal: self.value("end", ordinal)? },
            offset: self.value("end", offset)?,
            lsn,
            chain: Chain(chain.0),
            time,
        })
    }

    fn base(&mut self) -> Result<Option<Base>, ExportError> {
        let Some(fields) = self.optional("base") else { return Ok(None) };
        let [file, bytes, digest] = fields[..] else { return Err(self.damaged("base")) };
        Ok(Some(Base {
            file: file.to_owned(),
            bytes: self.value("base", bytes)?,
            digest: self.digest("base", digest)?,
        }))
    }

    fn parts(&mut self) -> Result<Vec<Part>, ExportError> {
        let mut parts = Vec::new();
        while let Some(fields) = self.optional("part") {
            let [file, bytes, digest, lsn, time] = fields[..] else {
                return Err(self.damaged("part"));
            };
            parts.push(Part {
                file: file.to_owned(),
                bytes: self.value("part", bytes)?,
                digest: self.digest("part", digest)?,
                lsn: Lsn(self.value("part", lsn)?),
                time: Nanos(self.value("part", time)?),
            });
        }
        Ok(parts)
    }
}
