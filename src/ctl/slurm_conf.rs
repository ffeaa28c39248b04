//! Where Slurm keeps its state: `StateSaveLocation` in the file that `$SLURM_CONF` names, else in
//! /etc/slurm/slurm.conf.
//!
//! As slurm.conf(5) says: keys in any case, `#` begins a comment, a backslash at the end of a line
//! goes on with the next, several `KEY=VALUE` may stand on a line, `Include FILE` reads another
//! file, relative to the directory of the first one; of a key given twice the last one counts.
//!
//! Invariant: memory and time are bounded, whatever the files hold: also where they include
//! themselves.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file that is read. The largest clusters' have some megabytes.
const FILE_MAX: u64 = 64 << 20;

/// How many files may be read, one including the other.
const FILES_MAX: usize = 256;

const KEY: &str = "StateSaveLocation";

/// Where slurm.conf is, if the environment names none.
const CONF: &str = "/etc/slurm/slurm.conf";

/// Where slurm.conf is: `$SLURM_CONF`, else as everything of Slurm looks for it.
#[must_use]
pub fn path() -> PathBuf {
    named().unwrap_or_else(|| PathBuf::from(CONF))
}

/// The same, if there is such a file, or one is named.
#[must_use]
pub fn found() -> Option<PathBuf> {
    named().or_else(|| Some(PathBuf::from(CONF)).filter(|path| path.exists()))
}

/// What `$SLURM_CONF` names.
#[must_use]
pub fn named() -> Option<PathBuf> {
    std::env::var_os("SLURM_CONF").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// What the file says.
///
/// # Errors
/// One sentence: which file cannot be read, or that none names a directory.
pub fn state_save_location(conf: &Path) -> Result<PathBuf, String> {
    let mut found = None;
    let base = conf.parent().unwrap_or(Path::new("."));
    let mut left = FILES_MAX;
    read(conf, base, &mut left, &mut found)?;
    found.ok_or_else(|| format!("{} names no {KEY}", conf.display()))
}

fn read(
    path: &Path,
    base: &Path,
    left: &mut usize,
    found: &mut Option<PathBuf>,
) -> Result<(), String> {
    let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    *left = left.checked_sub(1).ok_or_else(|| failed(&"too many files are included"))?;
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    let read_bytes = file.take(FILE_MAX + 1).read_to_end(&mut text).map_err(|e| failed(&e))?;
    if read_bytes as u64 > FILE_MAX {
        return Err(failed(&"too large for a configuration"));
    }
    // Names outside of ASCII can stand in comments; a path that is not UTF-8 cannot be meant.
    let text = String::from_utf8_lossy(&text);
    for line in logical_lines(&text) {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first.eq_ignore_ascii_case("include") {
            let Some(name) = words.next() else { continue };
            read(&base.join(name), base, left, found)?;
            continue;
        }
        if let Some(value) = value(&line) {
            *found = Some(PathBuf::from(value));
        }
    }
    Ok(())
}

/// Lines without comments, those that go on put together.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for part in text.lines() {
        let code = without_comment(part);
        // A comment ends with its line, whatever it ends in.
        match code.strip_suffix('\\').filter(|_| code.len() == part.len()) {
            Some(begun) => line.push_str(begun),
            None => {
                line.push_str(&code);
                lines.push(std::mem::take(&mut line));
            }
        }
    }
    lines.push(line);
    lines
}

/// `\#` is no comment.
fn without_comment(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    for c in line.chars() {
        if c == '#' {
            if !kept.ends_with('\\') {
                break;
            }
            kept.pop();
        }
        kept.push(c);
    }
    kept
}

/// The value of our key, if it is on this line.
fn value(line: &str) -> Option<&str> {
    let mut found = None;
    let mut rest = line.trim_start();
    while let Some((key, after)) = rest.split_once('=') {
        // What stands in front of the key on a line that makes no sense is not ours to judge.
        let key = key.trim_end();
        let key = key.rsplit(char::is_whitespace).next().unwrap_or(key);
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        if key.eq_ignore_ascii_case(KEY) && !value.is_empty() {
            found = Some(value);
        }
        rest = next.trim_start();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(text: &str) -> Result<PathBuf, String> {
        let home = tempfile::tempdir().unwrap();
        let conf = home.path().join("slurm.conf");
        std::fs::write(&conf, text).unwrap();
        std::fs::write(home.path().join("more.conf"), "StateSaveLocation=/from/more\n").unwrap();
        std::fs::write(home.path().join("loop.conf"), "include loop.conf\n").unwrap();
        state_save_location(&conf)
    }

    #[test]
    fn the_key_is_found_as_slurm_finds_it() {
        for (text, expected) in [
            ("StateSaveLocation=/a\n", "/a"),
            ("statesavelocation=/a", "/a"),
            ("  STATESAVELOCATION = /a  # there\n", "/a"),
            ("ClusterName=c StateSaveLocation=/a SlurmUser=s\n", "/a"),
            ("StateSaveLocation=\"/a b\" X=1\n", "/a b"),
            ("StateSaveLocation=/old\nStateSaveLocation=/new\n", "/new"),
            ("#StateSaveLocation=/no\nStateSave\\\nLocation=/a\n", "/a"),
            ("X=\\#StateSaveLocation=/no\nStateSaveLocation=/a\\#1\n", "/a#1"),
            ("Include more.conf\n", "/from/more"),
            ("StateSaveLocation=/a\nINCLUDE more.conf\n", "/from/more"),
            ("Include more.conf\nStateSaveLocation=/a\n", "/a"),
            ("# ends in \\\nStateSaveLocation=/a\n", "/a"),
            ("NodeName=StateSaveLocation\nStateSaveLocation=/a", "/a"),
        ] {
            assert_eq!(location(text), Ok(PathBuf::from(expected)), "{text}");
        }
    }

    #[test]
    fn whatever_is_missing_or_endless_is_said_in_one_sentence() {
        for (text, word) in [
            ("", "names no StateSaveLocation"),
            ("StateSaveLocation=\n", "names no StateSaveLocation"),
            ("MyStateSaveLocation=/a\n", "names no StateSaveLocation"),
            ("Include nowhere.conf\n", "nowhere.conf"),
            ("Include loop.conf\n", "too many files"),
        ] {
            let error = location(text).unwrap_err();
            assert!(error.contains(word) && !error.contains('\n'), "{text}: {error}");
        }
        assert!(state_save_location(Path::new("/nowhere/slurm.conf")).is_err());
    }
}
