//! The directory as Linux gives it: a descriptor of the directory, and calls relative to it, so
//! that renaming one of its parents changes nothing.
//!
//! Invariants: every descriptor is closed on exec; interrupted calls are repeated; a symbolic
//! link or a special file under one of our names is refused, never followed; files are made 0600
//! and directories 0700 whatever the umask; where a tool has asked for it, what root makes in the
//! directory of another user is that user's.

mod file;
mod kind;

use crate::base::Nanos;
use crate::disk::Access;
use crate::disk::Disk;
use crate::disk::Entry;
use crate::disk::File;
use crate::disk::Site;
use crate::disk::Space;
use crate::disk::whole::uninterrupted;
use file::RealFile;
use kind::Kind;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIRECTORY_MODE: Mode = Mode::RWXU;

/// Bytes of a block as `st_blocks` counts them, whatever the file system's own blocks are.
const STAT_BLOCK: u64 = 512;

/// Whether root gives files to the directory's owner.
static GIVES: AtomicBool = AtomicBool::new(false);

/// From now on files that root makes in a directory of another user are that user's. For tools of
/// an operator: else the directory's daemon cannot open them at its next start.
pub fn give_to_owners() {
    GIVES.store(true, Ordering::Relaxed);
}

/// A directory of a Linux file system.
#[derive(Debug)]
pub struct Real {
    path: PathBuf,
    dir: OwnedFd,
    kind: Kind,
    /// Whether `O_DIRECT` has not failed here yet: probed once for all files of the directory.
    direct: Arc<AtomicBool>,
    /// Whose files are to be that are made here, if not this process's.
    owner: Option<(Uid, Gid)>,
}

impl Real {
    /// Opens an existing directory. A symbolic link that leads to it is followed.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, and those of the file system.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Real> {
        let path = path.into();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = uninterrupted(|| Ok(rustix::fs::open(&path, flags, Mode::empty())?))?;
        let kind = Kind::of(dir.as_fd())?;
        let owner = owner(&dir)?;
        Ok(Real { path, dir, kind, direct: Arc::new(AtomicBool::new(true)), owner })
    }

    /// Gives the directory to the owner of another one, where files are given to owners.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn belong_like(&mut self, other: &Real) -> io::Result<()> {
        if let Some((user, group)) = other.owner {
            uninterrupted(|| Ok(rustix::fs::fchown(&self.dir, Some(user), Some(group))?))?;
            self.owner = other.owner;
        }
        Ok(())
    }

    /// Makes the directory, mode 0700, or takes an existing one that is empty (but for the
    /// `lost+found` of a new file system) as it is. Parents must exist.
    ///
    /// # Errors
    /// `DirectoryNotEmpty`, `NotFound` for a missing parent, and those of the file system.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<Real> {
        let path = path.into();
        let made = uninterrupted(|| Ok(rustix::fs::mkdir(&path, DIRECTORY_MODE)?));
        let existed = match made {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
            Err(error) => return Err(error),
        };
        let real = Real::open(path)?;
        if !existed {
            uninterrupted(|| Ok(rustix::fs::fchmod(&real.dir, DIRECTORY_MODE)?))?;
        } else if !real.is_empty()? {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        Ok(real)
    }

    fn is_empty(&self) -> io::Result<bool> {
        for entry in rustix::fs::Dir::read_from(&self.dir)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b".." | b"lost+found") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn entry(&self, name: &str) -> io::Result<Entry> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let stat = uninterrupted(|| Ok(rustix::fs::statat(&self.dir, name, flags)?))?;
        Ok(Entry {
            name: name.to_owned(),
            len: length(&stat),
            allocated: u64::try_from(stat.st_blocks).unwrap_or(0) * STAT_BLOCK,
            modified: modified(&stat),
            regular: is_regular(&stat),
        })
    }
}

impl Disk for Real {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            match self.entry(name) {
                Ok(entry) => entries.push(entry),
                // Removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        assert_flat(name);
        let mode = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
            Access::Create => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        // NONBLOCK, so that a FIFO under our name is refused below instead of waited for.
        let flags = mode | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = uninterrupted(|| Ok(rustix::fs::openat(&self.dir, name, flags, FILE_MODE)?))?;
        if access == Access::Create {
            uninterrupted(|| Ok(rustix::fs::fchmod(&fd, FILE_MODE)?))?;
            if let Some((user, group)) = self.owner {
                uninterrupted(|| Ok(rustix::fs::fchown(&fd, Some(user), Some(group))?))?;
            }
        }
        let stat = uninterrupted(|| Ok(rustix::fs::fstat(&fd)?))?;
        if !is_regular(&stat) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Arc::new(RealFile::new(fd, self.kind, self.direct.clone())))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        assert_flat(name);
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match uninterrupted(|| Ok(rustix::fs::statat(&self.dir, name, flags)?)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        assert_flat(name);
        uninterrupted(|| Ok(rustix::fs::unlinkat(&self.dir, name, AtFlags::empty())?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        assert_flat(from);
        assert_flat(to);
        uninterrupted(|| Ok(rustix::fs::renameat(&self.dir, from, &self.dir, to)?))
    }

    fn take_in(&self, file: &dyn File, name: &str) -> io::Result<()> {
        assert_flat(name);
        let fd = file.descriptor().ok_or(io::ErrorKind::Unsupported)?;
        // By way of /proc, because linking an open file itself takes a privilege (linkat(2)).
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let follow = AtFlags::SYMLINK_FOLLOW;
        uninterrupted(|| Ok(rustix::fs::linkat(rustix::fs::CWD, &path, &self.dir, name, follow)?))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        assert_flat(from);
        assert_flat(to);
        let link = || Ok(rustix::fs::linkat(&self.dir, from, &self.dir, to, AtFlags::empty())?);
        uninterrupted(link).map_err(|error| match error.raw_os_error() {
            // As link(2) answers on FAT and in some containers.
            Some(libc::EPERM | libc::EOPNOTSUPP) => io::ErrorKind::Unsupported.into(),
            _ => error,
        })
    }

    fn sync_names(&self, _site: Site) -> io::Result<()> {
        uninterrupted(|| Ok(rustix::fs::fsync(&self.dir)?))
    }

    fn sync_parent(&self, _site: Site) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || Ok(rustix::fs::openat(&self.dir, "..", flags, Mode::empty())?);
        match uninterrupted(open) {
            Ok(parent) => uninterrupted(|| Ok(rustix::fs::fsync(&parent)?)),
            // A parent that this user may pass but not read: flush the file system instead.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                uninterrupted(|| Ok(rustix::fs::syncfs(&self.dir)?))
            }
            Err(error) => Err(error),
        }
    }

    fn space(&self) -> io::Result<Space> {
        let stat = uninterrupted(|| Ok(rustix::fs::fstatvfs(&self.dir)?))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space { free: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
    }

    fn handle(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        assert_flat(name);
        uninterrupted(|| name_to_handle(&self.dir, name))
    }

    fn mode(&self) -> io::Result<u32> {
        let stat = uninterrupted(|| Ok(rustix::fs::fstat(&self.dir)?))?;
        Ok(stat.st_mode & 0o7777)
    }

    fn prewrite_helps(&self) -> bool {
        self.kind.prewrite_helps()
    }

    fn mapping_helps(&self) -> bool {
        self.kind.mapping_helps()
    }
}

/// The owner of a directory, where files are given to it.
fn owner(dir: &OwnedFd) -> io::Result<Option<(Uid, Gid)>> {
    if !GIVES.load(Ordering::Relaxed) || !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let stat = uninterrupted(|| Ok(rustix::fs::fstat(dir)?))?;
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    Ok((!user.is_root()).then_some((user, group)))
}

/// Our own names never lead out of the directory.
fn assert_flat(name: &str) {
    assert!(!name.contains('/'), "names come from FileName or from a listing: {name:?}");
}

fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

fn length(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn modified(stat: &Stat) -> Nanos {
    // A file dated before 1970 reads as 0: times never decide what is safe.
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    // By way of i128, because the field's type differs between architectures.
    let nanos = u64::try_from(i128::from(stat.st_mtime_nsec)).unwrap_or(0);
    Nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// `struct file_handle` with the room that name_to_handle_at(2) asks for at most.
#[repr(C)]
struct Handle {
    len: libc::c_uint,
    kind: libc::c_int,
    bytes: [u8; libc::MAX_HANDLE_SZ as usize],
}

/// The file's handle: its type, then its bytes. Links are not followed.
fn name_to_handle(dir: &OwnedFd, name: &str) -> io::Result<Option<Vec<u8>>> {
    let name = CString::new(name)?;
    let room = libc::MAX_HANDLE_SZ as usize;
    let mut handle = Handle { len: libc::MAX_HANDLE_SZ as libc::c_uint, kind: 0, bytes: [0; _] };
    let mut mount: libc::c_int = 0;
    // SAFETY: `name` ends with NUL, `handle` has the kernel's layout and the room that `len`
    // claims, `mount` is an int; all outlive the call.
    let status = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            dir.as_raw_fd(),
            name.as_ptr(),
            &raw mut handle,
            &raw mut mount,
            0,
        )
    };
    if status == 0 {
        let len = usize::try_from(handle.len).map_or(room, |len| len.min(room));
        return Ok(Some([&handle.kind.to_le_bytes(), &handle.bytes[..len]].concat()));
    }
    let error = io::Error::last_os_error();
    // Not every file system has handles, and containers forbid the call at times.
    let none = [Errno::OPNOTSUPP, Errno::OVERFLOW, Errno::NOSYS, Errno::PERM];
    if none.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
        return Ok(None);
    }
    Err(error)
}

#[cfg(test)]
mod tests;
