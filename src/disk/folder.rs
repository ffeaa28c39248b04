//! A folder of a tree of files: for what leaves a state directory, and comes back.
//!
//! Invariants: nothing is reached through a symbolic link, so that no name in a tree leads out of
//! it; what is no regular file is never opened for reading; no byte is read beyond what the caller
//! allows; a listing is handed out name by name, however long it is.

use crate::base::Nanos;
use crate::disk::whole::uninterrupted;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat};
use rustix::fs::{Timespec, Timestamps};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, a FIFO or a socket.
    Special,
}

/// What is known of a file without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: Kind,
    /// Its length.
    pub len: u64,
    /// When it was last modified.
    pub modified: Nanos,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// The device that it is on.
    pub device: u64,
    /// Its number there, and how many names it has.
    pub inode: (u64, u64),
    /// Bytes that it occupies.
    pub allocated: u64,
}

impl From<Stat> for Facts {
    fn from(stat: Stat) -> Facts {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Link,
            _ => Kind::Special,
        };
        let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
        let nanos = u64::try_from(i128::from(stat.st_mtime_nsec)).unwrap_or(0);
        Facts {
            kind,
            len: u64::try_from(stat.st_size).unwrap_or(0),
            modified: Nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos)),
            mode: stat.st_mode & 0o7777,
            owner: (stat.st_uid, stat.st_gid),
            device: stat.st_dev,
            inode: (stat.st_ino, stat.st_nlink),
            allocated: u64::try_from(stat.st_blocks).unwrap_or(0) * 512,
        }
    }
}

/// How a name is changed where the new one may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// That is an error.
    Refuse,
    /// The two change places.
    Exchange,
}

/// An open folder. Renaming its parents changes nothing for it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    fd: OwnedFd,
}

/// Folders in one another that are weighed: each takes a descriptor.
const DEPTH_MAX: usize = 64;

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens a folder; a symbolic link that leads to it is followed.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, and those of the file system.
    pub fn open(path: &Path) -> io::Result<Folder> {
        let fd = uninterrupted(|| Ok(rustix::fs::open(path, OPEN, Mode::empty())?))?;
        Ok(Folder { path: path.to_owned(), fd })
    }

    /// Where it was opened, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where `name` in it is, for messages.
    #[must_use]
    pub fn place(&self, name: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(name))
    }

    /// Opens a folder in this one; links are not followed.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory` (also for a link), and those of the file system.
    pub fn sub(&self, name: &[u8]) -> io::Result<Folder> {
        let flags = OPEN | OFlags::NOFOLLOW;
        let name_at = OsStr::from_bytes(name);
        let open = || Ok(rustix::fs::openat(&self.fd, name_at, flags, Mode::empty())?);
        Ok(Folder { path: self.place(name), fd: uninterrupted(open)? })
    }

    /// Makes a folder in this one, mode 0700, and opens it.
    ///
    /// # Errors
    /// `AlreadyExists`, and those of the file system.
    pub fn make(&self, name: &[u8]) -> io::Result<Folder> {
        let name_at = OsStr::from_bytes(name);
        uninterrupted(|| Ok(rustix::fs::mkdirat(&self.fd, name_at, Mode::RWXU)?))?;
        let made = self.sub(name)?;
        uninterrupted(|| Ok(rustix::fs::fchmod(&made.fd, Mode::RWXU)?))?;
        Ok(made)
    }

    /// Hands every name to `each`, in no particular order, with what stands there.
    ///
    /// # Errors
    /// Those of the file system, or what `each` returns.
    pub fn each<E: From<io::Error>>(
        &self,
        mut each: impl FnMut(&[u8], Kind) -> Result<(), E>,
    ) -> Result<(), E> {
        for entry in Dir::read_from(&self.fd).map_err(io::Error::from)? {
            let entry = entry.map_err(io::Error::from)?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Folder,
                FileType::Symlink => Kind::Link,
                // Some file systems do not say.
                FileType::Unknown => match self.facts(name)? {
                    Some(facts) => facts.kind,
                    None => continue,
                },
                _ => Kind::Special,
            };
            each(name, kind)?;
        }
        Ok(())
    }

    /// What du(1) counts: the lengths of everything in it and of itself, and the bytes that they
    /// occupy, each file once, whatever it is called.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn weigh(&self) -> io::Result<(u64, u64)> {
        let own = self.own_facts()?;
        let mut sum = (own.len, own.allocated);
        self.weigh_into(&mut sum, &mut HashSet::new(), 0)?;
        Ok(sum)
    }

    fn weigh_into(
        &self,
        sum: &mut (u64, u64),
        seen: &mut HashSet<(u64, u64)>,
        depth: usize,
    ) -> io::Result<()> {
        self.each(|name, _| {
            // Removed since it was listed.
            let Some(facts) = self.facts(name)? else { return Ok(()) };
            if facts.inode.1 > 1 && facts.kind != Kind::Folder {
                let known = !seen.insert((facts.device, facts.inode.0));
                if known {
                    return Ok(());
                }
            }
            sum.0 += facts.len;
            sum.1 += facts.allocated;
            if facts.kind == Kind::Folder && depth < DEPTH_MAX {
                match self.sub(name) {
                    Ok(sub) => sub.weigh_into(sum, seen, depth + 1)?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }

    /// What stands at `name`; `None` for nothing.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn facts(&self, name: &[u8]) -> io::Result<Option<Facts>> {
        let name = OsStr::from_bytes(name);
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match uninterrupted(|| Ok(rustix::fs::statat(&self.fd, name, flags)?)) {
            Ok(stat) => Ok(Some(stat.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is known of the folder itself.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn own_facts(&self) -> io::Result<Facts> {
        uninterrupted(|| Ok(rustix::fs::fstat(&self.fd)?)).map(Facts::from)
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput` for what is no regular file, and those of the file system.
    pub fn file(&self, name: &[u8]) -> io::Result<(File, Facts)> {
        // NONBLOCK, so that a FIFO is refused below instead of waited for.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let name = OsStr::from_bytes(name);
        let open = || Ok(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?);
        let fd = uninterrupted(open)?;
        let facts: Facts = uninterrupted(|| Ok(rustix::fs::fstat(&fd)?))?.into();
        if facts.kind != Kind::File {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok((fd.into(), facts))
    }

    /// Reads a regular file of at most `max` bytes.
    ///
    /// # Errors
    /// As [`Folder::file`]; `FileTooLarge`.
    pub fn read(&self, name: &[u8], max: usize) -> io::Result<Vec<u8>> {
        let (file, facts) = self.file(name)?;
        let len = usize::try_from(facts.len).unwrap_or(usize::MAX);
        if len > max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = Vec::with_capacity(len);
        // One byte more shows a file that grows.
        file.take(max as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
    }

    /// Makes a file, mode 0600, that holds `bytes`.
    ///
    /// # Errors
    /// `AlreadyExists`, and those of the file system.
    pub fn write(&self, name: &[u8], bytes: &[u8]) -> io::Result<()> {
        self.create(name)?.write_all(bytes)
    }

    /// Makes a file, mode 0600.
    ///
    /// # Errors
    /// `AlreadyExists`, and those of the file system.
    pub fn create(&self, name: &[u8]) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let name = OsStr::from_bytes(name);
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(uninterrupted(|| Ok(rustix::fs::openat(&self.fd, name, flags, mode)?))?.into())
    }

    /// Gives a file of this folder a second name in another one.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `CrossesDevices`, `TooManyLinks`, and others.
    pub fn link(&self, name: &[u8], to: &Folder, as_name: &[u8]) -> io::Result<()> {
        let (name, as_name) = (OsStr::from_bytes(name), OsStr::from_bytes(as_name));
        let flags = AtFlags::empty();
        uninterrupted(|| Ok(rustix::fs::linkat(&self.fd, name, &to.fd, as_name, flags)?))
    }

    /// Renames within this folder.
    ///
    /// # Errors
    /// `AlreadyExists` if so wanted, and those of the file system.
    pub fn rename(&self, from: &[u8], to: &[u8], taken: Taken) -> io::Result<()> {
        let flags = match taken {
            Taken::Refuse => RenameFlags::NOREPLACE,
            Taken::Exchange => RenameFlags::EXCHANGE,
        };
        let (from, to) = (OsStr::from_bytes(from), OsStr::from_bytes(to));
        let rename = || Ok(rustix::fs::renameat_with(&self.fd, from, &self.fd, to, flags)?);
        uninterrupted(rename)
    }

    /// Removes folders whose names begin with `prefix` and that nobody holds locked: what runs have
    /// left that are no more.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove_leftovers(&self, prefix: &[u8]) -> io::Result<()> {
        let mut left: Vec<Vec<u8>> = Vec::new();
        self.each(|name, kind| {
            if kind == Kind::Folder && name.starts_with(prefix) {
                left.push(name.to_vec());
            }
            Ok::<(), io::Error>(())
        })?;
        for name in left {
            if self.sub(&name).and_then(|folder| folder.try_lock()).unwrap_or(false) {
                self.remove_tree(&name)?;
            }
        }
        Ok(())
    }

    /// Removes a folder and everything in it. Links in it are removed, not followed.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove_tree(&self, name: &[u8]) -> io::Result<()> {
        std::fs::remove_dir_all(self.place(name))
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// `DirectoryNotEmpty`, and those of the file system.
    pub fn remove_empty(&self, name: &[u8]) -> io::Result<()> {
        let name = OsStr::from_bytes(name);
        uninterrupted(|| Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?))
    }

    /// Makes the names in it survive a power cut.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn sync(&self) -> io::Result<()> {
        uninterrupted(|| Ok(rustix::fs::fsync(&self.fd)?))
    }

    /// Makes everything on its file system survive a power cut: for many files at once.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn sync_all(&self) -> io::Result<()> {
        uninterrupted(|| Ok(rustix::fs::syncfs(&self.fd)?))
    }

    /// Takes the folder's lock for as long as this is open, without waiting; whether it was free.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn try_lock(&self) -> io::Result<bool> {
        let flock = FlockOperation::NonBlockingLockExclusive;
        match uninterrupted(|| Ok(rustix::fs::flock(&self.fd, flock)?)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the folder look as `facts` say: owner (where that is allowed), mode, time.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn dress(&self, facts: &Facts) -> io::Result<()> {
        dress(&self.fd, facts)
    }
}

/// Makes an open file look as `facts` say: owner (where that is allowed), mode, time.
///
/// # Errors
/// Those of the file system.
pub fn dress(fd: impl AsFd, facts: &Facts) -> io::Result<()> {
    let fd = fd.as_fd();
    let (user, group) = facts.owner;
    let own = (rustix::fs::Uid::from_raw(user), rustix::fs::Gid::from_raw(group));
    match uninterrupted(|| Ok(rustix::fs::fchown(fd, Some(own.0), Some(own.1))?)) {
        // Not root: then it stays ours.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        outcome => outcome?,
    }
    let mode = Mode::from_raw_mode(facts.mode);
    uninterrupted(|| Ok(rustix::fs::fchmod(fd, mode)?))?;
    let seconds = i64::try_from(facts.modified.0 / 1_000_000_000).unwrap_or(i64::MAX);
    let nanos = (facts.modified.0 % 1_000_000_000) as u32;
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    uninterrupted(|| Ok(rustix::fs::futimens(fd, &times)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_reached_through_a_link_and_no_fifo_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let inside = home.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(home.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("link")).unwrap();
        std::os::unix::fs::symlink("..", inside.join("up")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(inside.join("fifo")).status().is_ok());
        let folder = Folder::open(&inside).unwrap();
        assert!(folder.read(b"link", 10).is_err());
        assert!(folder.sub(b"up").is_err());
        assert!(folder.read(b"fifo", 10).is_err());
        assert!(folder.write(b"link", b"x").is_err());
        assert_eq!(std::fs::read(home.path().join("secret")).unwrap(), b"s");
        let mut kinds = Vec::new();
        folder
            .each(|name, kind| {
                kinds.push((name.to_vec(), kind));
                Ok::<(), io::Error>(())
            })
            .unwrap();
        kinds.sort_by(|a, b| a.0.cmp(&b.0));
        let names = [&b"fifo"[..], b"link", b"up"];
        let found = [Kind::Special, Kind::Link, Kind::Link];
        let expected: Vec<_> = names.iter().map(|n| n.to_vec()).zip(found).collect();
        assert_eq!(kinds, expected);
    }

    #[test]
    fn no_more_is_read_than_the_caller_allows() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(home.path()).unwrap();
        folder.write(b"five", b"12345").unwrap();
        assert_eq!(folder.read(b"five", 5).unwrap(), b"12345");
        let error = folder.read(b"five", 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(folder.write(b"five", b"").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
