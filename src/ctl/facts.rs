//! What an operator should know of the place where a state directory is: for `health` and
//! `doctor`. Nothing is changed.
//!
//! Invariant: what the system does not tell is `None`, never a guess.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where a directory is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The kind of file system, as the kernel calls it.
    pub kind: String,
    /// Its options, and those of the mount.
    pub options: Vec<String>,
}

/// The mount that `path` is on.
#[must_use]
pub fn mount(path: &Path) -> Option<Mount> {
    let path = fs::canonicalize(path).ok()?;
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    // The longest mount point that leads there; of several at one place the last is on top.
    let mounts = table.lines().filter_map(parse);
    let leading = mounts.filter(|(point, _)| path.starts_with(point));
    leading.max_by_key(|(point, _)| point.len()).map(|(_, mount)| mount)
}

/// `36 35 98:0 /root /mnt rw,noatime shared:1 - ext4 /dev/sda rw,barrier=0`
fn parse(line: &str) -> Option<(String, Mount)> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let mut right = right.split(' ');
    let kind = right.next()?.to_owned();
    let own = right.nth(1).unwrap_or_default();
    let options = left.get(5)?.split(',').chain(own.split(',')).map(str::to_owned).collect();
    Some((unescape(left.get(4)?), Mount { kind, options }))
}

/// The kernel writes blanks and backslashes in octal.
fn unescape(text: &str) -> String {
    let escapes = [(r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (code, char)| text.replace(code, char))
}

/// What the block device below `path` says of its cache: `write back` or `write through`.
#[must_use]
pub fn write_cache(path: &Path) -> Option<String> {
    let device = fs::metadata(path).ok()?.dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    let block = format!("/sys/dev/block/{major}:{minor}");
    // A partition's queue is its disk's.
    ["queue", "../queue"].iter().find_map(|queue| {
        let said = fs::read_to_string(format!("{block}/{queue}/write_cache")).ok()?;
        Some(said.trim().to_owned())
    })
}

/// Whether the kernel says that somebody keeps its clock right.
#[must_use]
pub fn clock_synchronised() -> Option<bool> {
    // SAFETY: an all-zero timex asks for nothing to be changed; the pointer outlives the call.
    let state = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut timex)
    };
    (state >= 0).then_some(state != libc::TIME_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_as_the_kernel_writes_them() {
        let line = r"36 35 98:0 /root /mnt\040a rw,noatime shared:1 - ext4 /dev/sda rw,barrier=0";
        let (point, mount) = parse(line).unwrap();
        assert_eq!((point.as_str(), mount.kind.as_str()), ("/mnt a", "ext4"));
        assert_eq!(mount.options, ["rw", "noatime", "rw", "barrier=0"]);
        for line in ["", "a - b", "1 2 3"] {
            assert!(parse(line).is_none_or(|(point, _)| point.is_empty()), "{line}");
        }
        assert!(super::mount(Path::new("/proc/self")).is_some_and(|mount| mount.kind == "proc"));
        assert_eq!(super::mount(Path::new("/nowhere/at/all")), None);
    }
}
