//! A file system in user space that caches like an NFS client: one flat directory of a backing one,
//! seen through a mount of its own.
//!
//! What it keeps:
//! - names, also that there is none: for [`TTL`], whatever others do (the kernel's entries);
//! - the listing: for [`TTL`], unless this mount itself changes it;
//! - attributes, the size among them: for [`TTL`], but for opens;
//! - pages: until the file is opened and has changed since this mount opened it last, as NFS
//!   promises (close-to-open); reads with O_DIRECT go to the server.
//!
//! A file is its inode, as an NFS handle is: once others have removed it, ESTALE.

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, Notifier, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long what others do may stay unseen.
pub const TTL: Duration = Duration::from_millis(700);

const ROOT: u64 = 1;

/// Its listing: names, and their inodes.
type Names = Vec<(String, u64)>;

#[derive(Default)]
struct Kept {
    /// The last name that led to an inode.
    names: HashMap<u64, String>,
    /// What a file was like when it was opened last: changed, modified, size.
    opened: HashMap<u64, (i64, i64, i64, i64, u64)>,
    open: HashMap<u64, Arc<File>>,
    next: u64,
    listing: Option<(Instant, Names)>,
}

struct Caching {
    backing: PathBuf,
    kept: Mutex<Kept>,
    notifier: Arc<OnceLock<Notifier>>,
    hangs: Arc<AtomicBool>,
}

/// A mount, until it is dropped.
pub struct Mounted {
    pub dir: PathBuf,
    /// While it is true nothing is answered, as by a server that is away.
    pub hangs: Arc<AtomicBool>,
    session: Option<BackgroundSession>,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.hangs.store(false, Ordering::Release);
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}

/// Mounts `backing` at `dir`.
pub fn mount(backing: &Path, dir: &Path) -> io::Result<Mounted> {
    std::fs::create_dir(dir)?;
    let notifier = Arc::new(OnceLock::new());
    let there = Arc::clone(&notifier);
    let (backing, kept) = (backing.to_owned(), Mutex::default());
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("caching".to_owned())];
    config.n_threads = Some(4);
    let hangs = Arc::new(AtomicBool::new(false));
    let caching = Caching { backing, kept, notifier, hangs: Arc::clone(&hangs) };
    let session = fuser::spawn_mount(caching, dir, &config)?;
    let _ = there.set(session.notifier());
    Ok(Mounted { dir: dir.to_owned(), hangs, session: Some(session) })
}

fn time(seconds: i64, nanos: i64) -> SystemTime {
    UNIX_EPOCH + Duration::new(seconds.max(0) as u64, nanos.max(0) as u32)
}

fn stale() -> io::Error {
    io::Error::from_raw_os_error(libc::ESTALE)
}

impl Caching {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    fn wait(&self) {
        while self.hangs.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn path(&self, name: &OsStr) -> PathBuf {
        self.backing.join(name)
    }

    fn attr(&self, of: &Metadata) -> FileAttr {
        let is_root = of.is_dir();
        FileAttr {
            ino: INodeNo(if is_root { ROOT } else { of.ino() }),
            size: of.len(),
            blocks: of.blocks(),
            atime: time(of.atime(), of.atime_nsec()),
            mtime: time(of.mtime(), of.mtime_nsec()),
            ctime: time(of.ctime(), of.ctime_nsec()),
            crtime: UNIX_EPOCH,
            kind: if is_root { FileType::Directory } else { FileType::RegularFile },
            perm: (of.permissions().mode() & 0o7777) as u16,
            nlink: of.nlink() as u32,
            uid: of.uid(),
            gid: of.gid(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    /// A name that the server has for the inode now.
    fn find(&self, ino: u64) -> io::Result<PathBuf> {
        let known = self.kept().names.get(&ino).cloned();
        let is_it = |path: &Path| path.metadata().is_ok_and(|of| of.ino() == ino);
        if let Some(path) = known.map(|name| self.backing.join(name)).filter(|path| is_it(path)) {
            return Ok(path);
        }
        for entry in std::fs::read_dir(&self.backing)? {
            let entry = entry?;
            if is_it(&entry.path()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                self.kept().names.insert(ino, name);
                return Ok(entry.path());
            }
        }
        Err(stale())
    }

    fn entry(&self, name: &OsStr) -> io::Result<FileAttr> {
        let of = self.path(name).metadata()?;
        self.kept().names.insert(of.ino(), name.to_string_lossy().into_owned());
        Ok(self.attr(&of))
    }

    /// Keeps an open file; whether its pages may stay.
    fn keep(&self, file: File) -> io::Result<(FileHandle, bool)> {
        let of = file.metadata()?;
        let now = (of.ctime(), of.ctime_nsec(), of.mtime(), of.mtime_nsec(), of.len());
        let mut kept = self.kept();
        let same = kept.opened.insert(of.ino(), now) == Some(now);
        kept.next += 1;
        let handle = kept.next;
        kept.open.insert(handle, Arc::new(file));
        Ok((FileHandle(handle), same))
    }

    fn file(&self, fh: FileHandle) -> io::Result<Arc<File>> {
        let file = self.kept().open.get(&u64::from(fh)).cloned().ok_or_else(stale)?;
        // Others have removed it: an NFS server knows it no more.
        if file.metadata()?.nlink() == 0 { Err(stale()) } else { Ok(file) }
    }

    fn open_inode(&self, ino: u64) -> io::Result<(FileHandle, FopenFlags)> {
        let path = self.find(ino)?;
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let (handle, same) = self.keep(file)?;
        // NFS asks for the attributes at every open.
        if let Some(notifier) = self.notifier.get() {
            let _ = notifier.inval_inode(INodeNo(ino), -1, 0);
        }
        let flags = if same { FopenFlags::FOPEN_KEEP_CACHE } else { FopenFlags::empty() };
        Ok((handle, flags))
    }

    /// What this mount has done itself it sees.
    fn changed(&self) {
        self.kept().listing = None;
    }

    fn names(&self) -> io::Result<Names> {
        if let Some((at, names)) = &self.kept().listing
            && at.elapsed() < TTL
        {
            return Ok(names.clone());
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.backing)? {
            let entry = entry?;
            let Ok(of) = entry.metadata() else { continue };
            names.push((entry.file_name().to_string_lossy().into_owned(), of.ino()));
        }
        self.kept().listing = Some((Instant::now(), names.clone()));
        Ok(names)
    }
}

impl Filesystem for Caching {
    fn lookup(&self, _req: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.wait();
        match self.entry(name) {
            Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // That there is none is kept, too.
                let of = self.backing.metadata().unwrap();
                let none = FileAttr { ino: INodeNo(0), ..self.attr(&of) };
                reply.entry(&TTL, &none, Generation(0));
            }
            Err(error) => reply.error(error.into()),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        self.wait();
        let of = match (u64::from(ino), fh) {
            (ROOT, _) => self.backing.metadata(),
            (_, Some(fh)) => self.file(fh).and_then(|file| file.metadata()),
            (ino, None) => self.find(ino).and_then(|path| path.metadata()),
        };
        match of {
            Ok(of) => reply.attr(&TTL, &self.attr(&of)),
            Err(error) => reply.error(error.into()),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = || -> io::Result<Metadata> {
            let path = match u64::from(ino) {
                ROOT => self.backing.clone(),
                ino => self.find(ino)?,
            };
            if let Some(mode) = mode {
                std::fs::set_permissions(&path, PermissionsExt::from_mode(mode & 0o7777))?;
            }
            if let Some(size) = size {
                OpenOptions::new().write(true).open(&path)?.set_len(size)?;
            }
            path.metadata()
        };
        match set() {
            Ok(of) => reply.attr(&TTL, &self.attr(&of)),
            Err(error) => reply.error(error.into()),
        }
    }

    fn unlink(&self, _req: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.changed();
        match std::fs::remove_file(self.path(name)) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error.into()),
        }
    }

    fn rename(
        &self,
        _req: &Request,
        _parent: INodeNo,
        name: &OsStr,
        _newparent: INodeNo,
        newname: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.changed();
        match std::fs::rename(self.path(name), self.path(newname)) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error.into()),
        }
    }

    fn link(
        &self,
        _req: &Request,
        ino: INodeNo,
        _newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        self.changed();
        let linked = self.find(u64::from(ino)).and_then(|path| {
            std::fs::hard_link(path, self.path(newname))?;
            self.entry(newname)
        });
        match linked {
            Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
            Err(error) => reply.error(error.into()),
        }
    }

    fn open(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.wait();
        match self.open_inode(u64::from(ino)) {
            Ok((handle, flags)) => reply.opened(handle, flags),
            Err(error) => reply.error(error.into()),
        }
    }

    fn create(
        &self,
        _req: &Request,
        _parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        self.changed();
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(mode & 0o7777);
        let exclusive = flags & libc::O_EXCL != 0;
        let options = if exclusive { options.create_new(true) } else { options.create(true) };
        let made = options.open(self.path(name)).and_then(|file| {
            let attr = self.entry(name)?;
            Ok((attr, self.keep(file)?.0))
        });
        match made {
            Ok((attr, handle)) => {
                reply.created(&TTL, &attr, Generation(0), handle, FopenFlags::empty());
            }
            Err(error) => reply.error(error.into()),
        }
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut bytes = vec![0; size as usize];
        match self.file(fh).and_then(|file| file.read_at(&mut bytes, offset)) {
            Ok(got) => reply.data(&bytes[..got]),
            Err(error) => reply.error(error.into()),
        }
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.file(fh).and_then(|file| file.write_all_at(data, offset)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error.into()),
        }
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.kept().open.remove(&u64::from(fh));
        reply.ok();
    }

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        match self.file(fh) {
            Ok(_) => reply.ok(),
            Err(error) => reply.error(error.into()),
        }
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let flags = rustix::fs::FallocateFlags::from_bits_retain(mode as u32);
        let done = self.file(fh).and_then(|file| {
            rustix::fs::fallocate(&*file, flags, offset, length).map_err(io::Error::from)
        });
        match done {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error.into()),
        }
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        match rustix::fs::statvfs(&self.backing) {
            Ok(of) => {
                let (bsize, frsize) = (of.f_bsize as u32, of.f_frsize as u32);
                let (blocks, free, left) = (of.f_blocks, of.f_bfree, of.f_bavail);
                reply.statfs(blocks, free, left, of.f_files, of.f_ffree, bsize, 255, frsize);
            }
            Err(error) => reply.error(Errno::from_i32(error.raw_os_error())),
        }
    }

    fn readdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.wait();
        let names = match self.names() {
            Ok(names) => names,
            Err(error) => return reply.error(error.into()),
        };
        let dots = [(".".to_owned(), ROOT), ("..".to_owned(), ROOT)];
        let all = dots.into_iter().chain(names).enumerate().skip(offset as usize);
        for (at, (name, ino)) in all {
            let kind = if ino == ROOT { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(ino), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
