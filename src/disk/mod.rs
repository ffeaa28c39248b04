//! The only door to the file system: one flat directory of files.
//!
//! [`Real`] is Linux; [`fake`] is a disk that can lose, tear and reorder what was not flushed.
//! Everything above uses the traits, so every crash test runs the code that production runs.
//!
//! Three words that differ: *write* puts bytes where readers see them, *sync* makes them survive
//! a power cut, *sync of names* does so for creation, renaming and removal of files. Each sync is
//! called with its [`Site`]; crash tests switch sites off one at a time and must then fail.

mod aligned;
pub mod fake;
pub mod folder;
mod mapping;
pub mod place;
mod real;
mod sigbus;
mod whole;

pub use aligned::AlignedBuf;
pub use mapping::Mapping;
pub use real::{Real, give_to_owners};

use crate::base::Nanos;
use std::fmt::Debug;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

/// Which promise a sync carries. Crash tests walk [`Site::ALL`] and [`Site::EXPORT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Site {
    /// A new state directory's own name in its parent.
    DirectoryName,
    /// The control file's name, at `create`.
    ControlName,
    /// A slot of the control file.
    ControlSlot,
    /// Header, zeros and length of a prepared segment.
    SegmentBody,
    /// A prepared segment's name.
    SegmentName,
    /// A commit group: what an acknowledgement rests on.
    Group,
    /// Groups that recovery found and nothing vouches for: they may stand in the page cache only.
    Tail,
    /// Names, control slots and snapshot that recovery found: whoever made them may have been
    /// killed before their sync.
    Found,
    /// Records and footer of a snapshot, before its header.
    SnapshotBody,
    /// A snapshot's header: the moment of publication.
    SnapshotHeader,
    /// A snapshot's name.
    SnapshotName,
    /// The file that makes a directory a repository of backups.
    RepositoryMark,
    /// Its name.
    RepositoryName,
    /// A backup's snapshot or groups.
    BackupFile,
    /// Their names, before the manifest's.
    BackupNames,
    /// A backup's manifest, under its temporary name.
    Manifest,
    /// A manifest's name: the moment of publication.
    ManifestName,
    /// That manifests are gone, before their files go.
    ManifestRemoved,
    /// The mark of a restore that is under way.
    RestoreMark,
    /// That what a restore needed for a while is gone.
    Scratch,
    /// An archive or a delta, before it gets its name.
    ArchiveBody,
    /// Its name.
    ArchiveName,
    /// A record of the register, before it gets its name.
    ReignBody,
    /// Its name: the moment of a claim.
    ReignName,
    /// The mark that an epoch has ended.
    ReignEnd,
    /// A host's word that it sees a shared directory.
    HostBody,
    /// Its name.
    HostName,
    /// A heartbeat that admits a host.
    Beat,
}

impl Site {
    /// Every site of backup and restore.
    pub const EXPORT: [Site; 11] = [
        Site::RepositoryMark,
        Site::RepositoryName,
        Site::BackupFile,
        Site::BackupNames,
        Site::Manifest,
        Site::ManifestName,
        Site::ManifestRemoved,
        Site::RestoreMark,
        Site::Scratch,
        Site::ArchiveBody,
        Site::ArchiveName,
    ];

    /// Every site of the register of a shared directory.
    pub const REGISTER: [Site; 6] = [
        Site::ReignBody,
        Site::ReignName,
        Site::ReignEnd,
        Site::HostBody,
        Site::HostName,
        Site::Beat,
    ];

    /// Every site of a store.
    pub const ALL: [Site; 11] = [
        Site::DirectoryName,
        Site::ControlName,
        Site::ControlSlot,
        Site::SegmentBody,
        Site::SegmentName,
        Site::Group,
        Site::Tail,
        Site::Found,
        Site::SnapshotBody,
        Site::SnapshotHeader,
        Site::SnapshotName,
    ];
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// An existing file, for reading only.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A new file, mode 0600 whatever the umask; fails where the name exists.
    Create,
}

/// A file as the directory lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name. Names that are not UTF-8 are left out: none of ours is such.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// Bytes that it occupies.
    pub allocated: u64,
    /// When it was last modified.
    pub modified: Nanos,
    /// Whether it is a regular file.
    pub regular: bool,
}

/// Room on the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still take.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// One flat directory.
pub trait Disk: Send + Sync + Debug {
    /// Where it is, for messages.
    fn path(&self) -> &Path;

    /// What it holds, in no particular order.
    ///
    /// # Errors
    /// Those of the file system.
    fn list(&self) -> io::Result<Vec<Entry>>;

    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists` (for [`Access::Create`]), and those of the file system.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>>;

    /// Whether the name is there: what one look at the directory says, without opening anything.
    ///
    /// # Errors
    /// Those of the file system.
    fn exists(&self, name: &str) -> io::Result<bool> {
        match self.open(name, Access::Read) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a name. Durable after the next [`Disk::sync_names`]; until then either may be found.
    ///
    /// # Errors
    /// `NotFound`, and those of the file system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Renames a file, replacing what stands at `to`.
    ///
    /// # Errors
    /// `NotFound`, and those of the file system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Gives an open file of the same file system one more name, here. Durable after the next
    /// [`Disk::sync_names`].
    ///
    /// # Errors
    /// `Unsupported` where that cannot be had; `AlreadyExists`, `CrossesDevices`, and others of the
    /// file system.
    fn take_in(&self, file: &dyn File, name: &str) -> io::Result<()> {
        let _ = (file, name);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Gives a file a second name. Durable after the next [`Disk::sync_names`].
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `Unsupported` where files have one name only, and those of the
    /// file system.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes creations, renamings and removals so far survive a power cut.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_names(&self, site: Site) -> io::Result<()>;

    /// Makes the directory's own name survive a power cut.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_parent(&self, site: Site) -> io::Result<()>;

    /// Room left.
    ///
    /// # Errors
    /// Those of the file system.
    fn space(&self) -> io::Result<Space>;

    /// An identity of the file that a copy of it does not have (inode and generation), which stays
    /// through reboots; `None` where the file system has none.
    ///
    /// # Errors
    /// `NotFound`, and those of the file system.
    fn handle(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Permission bits of the directory, such as 0o700.
    ///
    /// # Errors
    /// Those of the file system.
    fn mode(&self) -> io::Result<u32>;

    /// Whether writing zeros beforehand makes later flushes cheaper: false on tmpfs, on network and
    /// on copy-on-write file systems.
    fn prewrite_helps(&self) -> bool;

    /// Whether files may be mapped: false on network file systems, where others can cut a file
    /// under a mapping at any time.
    fn mapping_helps(&self) -> bool;
}

/// One open file. Positions are bytes from its start.
pub trait File: Send + Sync + Debug {
    /// Reads up to `buf.len()` bytes; fewer only at the end of the file. Interrupted calls are
    /// repeated.
    ///
    /// # Errors
    /// Those of the file system.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reads what the device holds, past the page cache, into all of `buf`; zeros stand for what is
    /// behind the end of the file. Bytes that are not flushed yet are written first. `offset` and
    /// length are multiples of 4,096. `Ok(false)`: the page cache cannot be gone around here.
    ///
    /// # Errors
    /// Those of the file system.
    fn read_around(&self, buf: &mut AlignedBuf, offset: u64) -> io::Result<bool>;

    /// Writes all of `bytes`. Visible at once, durable after [`File::sync`].
    ///
    /// # Errors
    /// Those of the file system; a part may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` around the page cache where that can be done, so that a large
    /// background write neither evicts nor delays others; else as [`File::write_at`]. `offset` and
    /// length are multiples of 4,096. Durable after [`File::sync`].
    ///
    /// # Errors
    /// As [`File::write_at`].
    fn write_around(&self, bytes: &AlignedBuf, offset: u64) -> io::Result<()>;

    /// Writes and flushes in the cheapest way: these bytes, and whatever metadata is needed to read
    /// them, survive a power cut once this returns; other writes to the file may not. `offset` and
    /// length are multiples of 4,096.
    ///
    /// # Errors
    /// Those of the file system. What is on disk is then unknown, and a retry proves nothing.
    fn write_durable(&self, bytes: &AlignedBuf, offset: u64, site: Site) -> io::Result<()>;

    /// Makes everything written, and the length, survive a power cut.
    ///
    /// # Errors
    /// Those of the file system. What is on disk is then unknown, and a retry proves nothing.
    fn sync(&self, site: Site) -> io::Result<()>;

    /// The kernel's descriptor, where there is one.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Length in bytes.
    ///
    /// # Errors
    /// Those of the file system.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// Those of the file system.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Grows or cuts the file. New bytes are zeros and occupy nothing.
    ///
    /// # Errors
    /// Those of the file system.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes room for `len` bytes at `offset`, growing the file: later writes there cannot fail for
    /// want of room (where the file system can promise that at all).
    ///
    /// # Errors
    /// `StorageFull`, `QuotaExceeded`, and those of the file system.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Gives back the room of `len` bytes at `offset`, which read as zeros from now on. The length
    /// stays. Does nothing where the file system cannot.
    ///
    /// # Errors
    /// Those of the file system.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Frees up to `bytes` of the room of a file that was removed; whether there is more to free.
    /// Room that goes at once, with the last handle, can hold up everybody's writes for as long as
    /// that takes. Does nothing if anybody else has the file open or mapped, or another name for
    /// it, nor where that cannot be known.
    ///
    /// # Errors
    /// Those of the file system.
    fn dissolve(&self, _bytes: u64) -> io::Result<bool> {
        Ok(false)
    }

    /// The first offset at or after `offset` that may hold something other than zeros; `None` if
    /// only zeros follow.
    ///
    /// # Errors
    /// Those of the file system.
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>>;

    /// When it was last modified.
    ///
    /// # Errors
    /// Those of the file system.
    fn modified(&self) -> io::Result<Nanos>;

    /// The first `len` bytes in memory: mapped, or read where mapping does not help.
    ///
    /// # Errors
    /// Those of the file system; `UnexpectedEof` if the file is shorter.
    fn map(&self, len: u64) -> io::Result<Mapping>;

    /// Takes the file's lock for as long as this handle is open, without waiting. Exclusive: the
    /// writer's (on `LOCK`), for a handle that may write. Shared: a reader's pin. A lock that the
    /// handle has already is changed, or stays if that fails.
    ///
    /// # Errors
    /// `WouldBlock` if somebody else holds it; `Unsupported` where the mount has no locks.
    fn try_lock(&self, exclusive: bool) -> io::Result<()>;

    /// Whether another handle holds the file's lock, in either way. Takes nothing, so that a
    /// question never makes somebody else's `try_lock` fail.
    ///
    /// # Errors
    /// Those of the file system.
    fn is_locked(&self) -> io::Result<bool>;

    /// Releases what [`File::try_lock`] took.
    ///
    /// # Errors
    /// Those of the file system.
    fn unlock(&self) -> io::Result<()>;
}

/// Reads exactly `buf.len()` bytes.
///
/// # Errors
/// `UnexpectedEof` if the file ends before; else those of the file system.
pub fn read_exact_at(file: &dyn File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    if file.read_at(buf, offset)? < buf.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
