//! A configuration file and what it includes, as one list of statements in order.
//!
//! Invariant: whatever the files say, what is read is bounded in depth, bytes and statements.

use crate::slurm::conf::lines::{Line, Pair, include, lines, take_pair};
use crate::slurm::conf::mistake::{ConfError, Place, Problem};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How deep files may include each other. People use one level or two.
pub const DEPTH_MAX: usize = 16;

/// Most text in all.
pub const BYTES_MAX: usize = 64 << 20;

/// Most statements: each of 65,536 nodes on a line of its own, four times over.
pub const STATEMENTS_MAX: usize = 262_144;

/// One line's pairs; the first says what the line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Where it is.
    pub place: Place,
    /// `Key=Value`, at least one.
    pub pairs: Vec<Pair>,
}

/// Reads a whole file.
pub type Read<'a> = &'a mut dyn FnMut(&Path) -> io::Result<String>;

struct Collector<'a> {
    directory: PathBuf,
    read: Read<'a>,
    cluster: Option<String>,
    bytes: usize,
    hash: Hash,
    found: Vec<Statement>,
}

/// Slurm's checksum of a configuration: a CRC of sorts over every byte of the files, in the order
/// in which they are read. slurmd sends its own when it registers, clients compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hash(u32);

impl Hash {
    fn take(&mut self, text: &str) {
        for byte in text.bytes() {
            // Bytes are signed there, and the polynomial looks at 16 of 32 bits.
            self.0 ^= (i32::from(byte.cast_signed()) << 8).cast_unsigned();
            for _ in 0..8 {
                let carry = self.0 & 0x8000 != 0;
                self.0 = self.0 << 1 ^ if carry { 4129 } else { 0 };
            }
        }
    }
}

/// Every statement of `file` and of the files that it includes, and Slurm's checksum of them.
pub fn collect(file: &Path, read: Read<'_>) -> Result<(Vec<Statement>, u32), ConfError> {
    let directory = file.parent().unwrap_or(Path::new("")).to_owned();
    let (hash, found) = (Hash::default(), Vec::new());
    let mut collector = Collector { directory, read, cluster: None, bytes: 0, hash, found };
    let whole = |problem| ConfError::Whole { file: file.to_owned(), problem };
    let text = (collector.read)(file).map_err(|error| whole(Problem::Unreadable(error)))?;
    collector.file(file, &text, 0)?;
    Ok((collector.found, collector.hash.0))
}

impl Collector<'_> {
    fn file(&mut self, file: &Path, text: &str, depth: usize) -> Result<(), ConfError> {
        let name: Arc<Path> = Arc::from(file);
        self.bytes = self.bytes.saturating_add(text.len());
        let mut hashed = 0;
        for Line { number, text: line, end } in lines(text) {
            let place = Place { file: Arc::clone(&name), line: number };
            if let Err(problem) = self.limits() {
                return Err(ConfError::At { place, problem });
            }
            if let Some(pattern) = include(&line) {
                self.hash.take(&text[std::mem::replace(&mut hashed, end)..end]);
                self.include(pattern, &place, depth)?;
                continue;
            }
            let pairs =
                pairs(&line).map_err(|problem| ConfError::At { place: place.clone(), problem })?;
            if pairs[0].key.eq_ignore_ascii_case("ClusterName") {
                self.cluster = Some(pairs[0].value.clone());
            }
            self.found.push(Statement { place, pairs });
        }
        self.hash.take(&text[hashed..]);
        Ok(())
    }

    fn limits(&self) -> Result<(), Problem> {
        if self.bytes > BYTES_MAX {
            return Err(Problem::Large(BYTES_MAX, "bytes"));
        }
        if self.found.len() >= STATEMENTS_MAX {
            return Err(Problem::Large(STATEMENTS_MAX, "lines"));
        }
        Ok(())
    }

    fn include(&mut self, pattern: &str, place: &Place, depth: usize) -> Result<(), ConfError> {
        let at = |problem| ConfError::At { place: place.clone(), problem };
        if depth + 1 > DEPTH_MAX {
            return Err(at(Problem::Depth(DEPTH_MAX)));
        }
        let name = match (&self.cluster, pattern.contains("%c")) {
            (_, false) => pattern.to_owned(),
            (Some(cluster), true) => pattern.replace("%c", cluster),
            (None, true) => return Err(at(Problem::Missing("ClusterName in front of Include %c"))),
        };
        let path = self.directory.join(name);
        let text = (self.read)(&path).map_err(|error| {
            at(Problem::Unreadable(io::Error::new(
                error.kind(),
                format!("{}: {error}", path.display()),
            )))
        })?;
        self.file(&path, &text, depth + 1)
    }
}

/// All pairs of a line that is not blank.
fn pairs(text: &str) -> Result<Vec<Pair>, Problem> {
    let (mut rest, mut found) = (text, Vec::new());
    while let Some(pair) = take_pair(&mut rest)? {
        found.push(pair);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn from(files: &[(&str, &str)]) -> Result<Vec<String>, ConfError> {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        let mut read = |path: &Path| {
            let text = files.get(path.to_str().unwrap());
            text.map(|text| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
        };
        let (found, _) = collect(Path::new("/etc/slurm.conf"), &mut read)?;
        Ok(found.into_iter().map(|s| format!("{} {}", s.place, s.pairs[0].value)).collect())
    }

    #[test]
    fn included_files_stand_where_they_are_included() {
        let main = "ClusterName=c\nInclude %c.conf\nA=2\nInclude /x/y\n";
        let found = from(&[("/etc/slurm.conf", main), ("/etc/c.conf", "A=1"), ("/x/y", "A=3")]);
        let wanted = ["/etc/slurm.conf:1 c", "/etc/c.conf:1 1", "/etc/slurm.conf:3 2", "/x/y:1 3"];
        assert_eq!(found.unwrap(), wanted);
    }

    #[test]
    fn an_include_that_cannot_be_followed_says_where_and_why() {
        let said = |main: &str| from(&[("/etc/slurm.conf", main)]).unwrap_err().to_string();
        assert!(said("\nInclude nothing").starts_with("/etc/slurm.conf:2: cannot be read: /etc/"));
        assert!(said("Include slurm.conf").contains("more than 16 files deep"));
        assert!(said("A=1\nInclude %c").contains("ClusterName in front"));
        assert!(from(&[]).unwrap_err().to_string().starts_with("/etc/slurm.conf: cannot be read"));
    }

    #[test]
    fn files_that_multiply_are_refused() {
        let main = format!("{}Include slurm.conf\n", "A=1\n".repeat(60_000));
        let error = from(&[("/etc/slurm.conf", &main)]).unwrap_err();
        assert!(error.to_string().contains("lines of configuration"), "{error}");
    }
}
