//! An open file: one descriptor for everything, and two more, made when first needed, that go
//! around the page cache.
//!
//! Invariant: `write_durable` and `sync` return `Ok` only after the kernel said that the device
//! has flushed: by `O_DSYNC` or by `fdatasync`, which also carry the length and the allocation
//! that reading the bytes needs (open(2), fdatasync(2)).

use super::kind::Kind;
use super::{length, modified};
use crate::base::Nanos;
use crate::disk::AlignedBuf;
use crate::disk::File;
use crate::disk::Mapping;
use crate::disk::Site;
use crate::disk::whole;
use crate::disk::whole::uninterrupted;
use rustix::fs::{FallocateFlags, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Durable writes longer than this go through the page cache and `fdatasync`. None do: direct
/// writes were the fastest at every size measured (4 KiB to 4 MiB, ext4).
const BUFFERED_ABOVE: Option<usize> = None;

/// `O_DSYNC` by the number that the kernel knows: rustix 1.1 says `O_SYNC` for `OFlags::DSYNC`,
/// which commits the file's times with every write, and so a journal transaction.
const DSYNC: OFlags = OFlags::from_bits_retain(libc::O_DSYNC.cast_unsigned());

/// Which signal tells of a lease (linux/fcntl.h); libc does not name it.
const F_SETSIG: libc::c_int = 10;

#[derive(Debug)]
pub(super) struct RealFile {
    fd: OwnedFd,
    kind: Kind,
    /// Whether direct writes have worked so far in this directory.
    direct: Arc<AtomicBool>,
    /// Direct, each write flushed. `None` within: cannot be had.
    durable: OnceLock<Option<OwnedFd>>,
    /// Direct, not flushed.
    around: OnceLock<Option<OwnedFd>>,
}

impl RealFile {
    pub(super) fn new(fd: OwnedFd, kind: Kind, direct: Arc<AtomicBool>) -> RealFile {
        RealFile { fd, kind, direct, durable: OnceLock::new(), around: OnceLock::new() }
    }

    fn stat(&self) -> io::Result<Stat> {
        uninterrupted(|| Ok(rustix::fs::fstat(&self.fd)?))
    }

    /// Writes by the direct descriptor in `cell`. `Ok(false)`: nothing has been written, because
    /// this directory knows no direct writes.
    fn write_direct(
        &self,
        cell: &OnceLock<Option<OwnedFd>>,
        flags: OFlags,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<bool> {
        if !self.direct.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let flags = OFlags::WRONLY | OFlags::DIRECT | flags;
        let Some(fd) = cell.get_or_init(|| self.reopen(flags)) else {
            return Ok(false);
        };
        match whole::write_blocks(bytes, offset, |rest, at| Ok(rustix::io::pwrite(fd, rest, at)?)) {
            // Blocks of another size, or a file (encrypted, inline) that has none: the kernel
            // says so before it writes anything.
            Err(error) if unsupported(&error) => {
                self.direct.store(false, Ordering::Relaxed);
                Ok(false)
            }
            outcome => outcome.map(|()| true),
        }
    }

    /// A second descriptor of the same file, whatever its name is by now. `None` where there is
    /// no /proc or no such way of writing.
    fn reopen(&self, flags: OFlags) -> Option<OwnedFd> {
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let flags = OFlags::CLOEXEC | flags;
        match uninterrupted(|| Ok(rustix::fs::open(&path, flags, Mode::empty())?)) {
            Ok(fd) => Some(fd),
            Err(error) => {
                if unsupported(&error) {
                    self.direct.store(false, Ordering::Relaxed);
                }
                None
            }
        }
    }
}

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        whole::read(buf, offset, |rest, at| Ok(rustix::io::pread(&self.fd, rest, at)?))
    }

    fn read_around(&self, buf: &mut AlignedBuf, offset: u64) -> io::Result<bool> {
        if !self.direct.load(Ordering::Relaxed) {
            return Ok(false);
        }
        // Where direct reads are served from the page cache all the same (ext4 with
        // data=journal), clean pages must go first. Nothing is lost if they stay.
        let length = std::num::NonZeroU64::new(buf.len() as u64);
        let _ = rustix::fs::fadvise(&self.fd, offset, length, rustix::fs::Advice::DontNeed);
        let Some(fd) = self.reopen(OFlags::RDONLY | OFlags::DIRECT) else { return Ok(false) };
        match whole::read(buf, offset, |rest, at| Ok(rustix::io::pread(&fd, rest, at)?)) {
            Ok(got) => {
                buf[got..].fill(0);
                Ok(true)
            }
            Err(error) if unsupported(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        whole::write(bytes, offset, |rest, at| Ok(rustix::io::pwrite(&self.fd, rest, at)?))
    }

    fn write_around(&self, bytes: &AlignedBuf, offset: u64) -> io::Result<()> {
        if self.write_direct(&self.around, OFlags::empty(), bytes, offset)? {
            return Ok(());
        }
        self.write_at(bytes, offset)
    }

    fn write_durable(&self, bytes: &AlignedBuf, offset: u64, site: Site) -> io::Result<()> {
        let buffered = BUFFERED_ABOVE.is_some_and(|max| bytes.len() > max);
        if !buffered && self.write_direct(&self.durable, DSYNC, bytes, offset)? {
            return Ok(());
        }
        self.write_at(bytes, offset)?;
        self.sync(site)
    }

    fn sync(&self, _site: Site) -> io::Result<()> {
        uninterrupted(|| Ok(rustix::fs::fdatasync(&self.fd)?))
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }

    fn len(&self) -> io::Result<u64> {
        self.stat().map(|stat| length(&stat))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        uninterrupted(|| Ok(rustix::fs::ftruncate(&self.fd, len)?))
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::empty();
        let outcome = uninterrupted(|| Ok(rustix::fs::fallocate(&self.fd, flags, offset, len)?));
        match outcome {
            // No room can be promised here; the file grows all the same.
            Err(error) if is(&error, Errno::OPNOTSUPP) => {
                let end = offset.saturating_add(len);
                if self.len()? < end { self.set_len(end) } else { Ok(()) }
            }
            outcome => outcome,
        }
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let outcome = uninterrupted(|| Ok(rustix::fs::fallocate(&self.fd, flags, offset, len)?));
        match outcome {
            Err(error) if is(&error, Errno::OPNOTSUPP) => Ok(()),
            outcome => outcome,
        }
    }

    fn dissolve(&self, bytes: u64) -> io::Result<bool> {
        let stat = self.stat()?;
        let len = length(&stat);
        if len == 0 || stat.st_nlink > 0 || !self.is_only_handle() {
            return Ok(false);
        }
        let rest = len.saturating_sub(bytes);
        self.set_len(rest)?;
        Ok(rest > 0)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        // This moves the descriptor's own position, which nothing here uses.
        match uninterrupted(|| Ok(rustix::fs::seek(&self.fd, SeekFrom::Data(offset))?)) {
            Ok(offset) => Ok(Some(offset)),
            Err(error) if is(&error, Errno::NXIO) => Ok(None),
            Err(error) if unsupported(&error) => Ok((offset < self.len()?).then_some(offset)),
            Err(error) => Err(error),
        }
    }

    fn modified(&self) -> io::Result<Nanos> {
        self.stat().map(|stat| modified(&stat))
    }

    fn map(&self, len: u64) -> io::Result<Mapping> {
        if self.len()? < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if len > 0
            && self.kind.mapping_helps()
            && let Some(mapping) = Mapping::of(self.fd.as_fd(), len)?
        {
            return Ok(mapping);
        }
        let mut bytes = AlignedBuf::zeroed(len);
        crate::disk::read_exact_at(self, &mut bytes, 0)?;
        Ok(Mapping::heap(bytes))
    }

    fn try_lock(&self, exclusive: bool) -> io::Result<()> {
        self.set_lock(if exclusive { libc::F_WRLCK } else { libc::F_RDLCK })
    }

    fn is_locked(&self) -> io::Result<bool> {
        let mut lock = whole_file(libc::F_WRLCK);
        uninterrupted(|| {
            // SAFETY: the descriptor is open, and `lock` is a flock that outlives the call.
            let outcome =
                unsafe { libc::fcntl(self.fd.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
            if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        })?;
        Ok(i32::from(lock.l_type) != libc::F_UNLCK)
    }

    fn unlock(&self) -> io::Result<()> {
        self.set_lock(libc::F_UNLCK)
    }
}

impl RealFile {
    /// Whether nobody else has the file open or mapped, by the kernel's word: else it grants no
    /// lease for writing (fcntl(2)). False where it grants none at all.
    fn is_only_handle(&self) -> bool {
        let fd = self.fd.as_raw_fd();
        // SAFETY: the descriptor is open. Should the lease be asked back before it is returned, the
        // signal is one that does nothing by default; SIGIO would end the process.
        unsafe {
            libc::fcntl(fd, F_SETSIG, libc::SIGURG) == 0
                && libc::fcntl(fd, libc::F_SETLEASE, libc::F_WRLCK) == 0
                && libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) == 0
        }
    }

    /// Locks of the open file description: they end with this handle, whatever else the process
    /// opens and closes, and can be asked about without being taken.
    fn set_lock(&self, kind: i32) -> io::Result<()> {
        let lock = whole_file(kind);
        uninterrupted(|| {
            // SAFETY: the descriptor is open, and `lock` is a flock that outlives the call.
            let outcome =
                unsafe { libc::fcntl(self.fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
            if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        })
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EACCES) => io::ErrorKind::WouldBlock.into(),
            Some(libc::ENOLCK | libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => {
                let what = format!("this mount has no working locks: {error}");
                io::Error::new(io::ErrorKind::Unsupported, what)
            }
            _ => error,
        })
    }
}

fn whole_file(kind: i32) -> libc::flock {
    // SAFETY: all zeros is a valid flock: the whole file, from its start.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = i16::try_from(kind).expect("lock kinds are small");
    lock
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// Whether the kernel says that this cannot be done here at all.
fn unsupported(error: &io::Error) -> bool {
    [Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS].iter().any(|errno| is(error, *errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_goes_in_steps_once_nobody_else_can_see_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&path, vec![7; 10_000]).unwrap();
        std::fs::hard_link(&path, &link).unwrap();
        let open = || std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let direct = Arc::new(AtomicBool::new(true));
        let file = RealFile::new(OwnedFd::from(open()), Kind::InPlace, direct);
        let reader = std::fs::File::open(&path).unwrap();
        let untouched = || !file.dissolve(4096).unwrap() && file.len().unwrap() == 10_000;
        assert!(untouched(), "it has a name");
        std::fs::remove_file(&path).unwrap();
        assert!(untouched(), "it has another name");
        std::fs::remove_file(&link).unwrap();
        assert!(untouched(), "somebody reads it");
        // SAFETY: nobody cuts the file while it is mapped: that is what is tested.
        let map = unsafe { memmap2::Mmap::map(&reader) }.unwrap();
        drop(reader);
        assert!(untouched() && map.iter().all(|byte| *byte == 7), "somebody has it mapped");
        drop(map);
        assert!(file.dissolve(4096).unwrap() && file.len().unwrap() == 10_000 - 4096);
        assert!(file.dissolve(4096).unwrap());
        assert!(!file.dissolve(4096).unwrap() && file.len().unwrap() == 0);
        assert!(!file.dissolve(4096).unwrap());
    }

    #[test]
    fn durable_writes_flush_what_reading_needs_and_no_more() {
        let fd = OwnedFd::from(tempfile::tempfile().unwrap());
        let file = RealFile::new(fd, Kind::InPlace, Arc::new(AtomicBool::new(true)));
        file.write_durable(&AlignedBuf::zeroed(4096), 0, Site::Group).unwrap();
        let Some(Some(durable)) = file.durable.get() else {
            assert!(!file.direct.load(Ordering::Relaxed), "direct writes failed without a reason");
            return;
        };
        let flags = rustix::fs::fcntl_getfl(durable).unwrap().bits().cast_signed();
        assert_eq!(flags & libc::O_SYNC, libc::O_DSYNC);
        assert_ne!(flags & libc::O_DIRECT, 0);
    }
}
