//! A disk whose user is frozen at a given call, while the world goes on: what the others do
//! meanwhile is done by a function, and then the frozen one wakes and goes on where it stood.

use statedir::base::Nanos;
use statedir::disk::{Access, AlignedBuf, Disk, Entry, File, Mapping, Site, Space};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

type World = Box<dyn FnOnce() + Send>;

struct Ice {
    calls: AtomicU64,
    at: u64,
    world: Mutex<Option<World>>,
}

impl Ice {
    fn pass(&self) {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.at {
            let world = self.world.lock().unwrap().take();
            if let Some(world) = world {
                world();
            }
        }
    }
}

impl fmt::Debug for Ice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frozen at call {}", self.at)
    }
}

/// A host's view of a disk. Clones are the same host.
#[derive(Clone, Debug)]
pub struct Frozen {
    disk: Arc<dyn Disk>,
    ice: Arc<Ice>,
}

impl Frozen {
    /// Before the `at`th call, counted from 1, `world` happens.
    pub fn new(disk: Arc<dyn Disk>, at: u64, world: impl FnOnce() + Send + 'static) -> Frozen {
        let world: World = Box::new(world);
        let ice = Ice { calls: AtomicU64::new(0), at, world: Mutex::new(Some(world)) };
        Frozen { disk, ice: Arc::new(ice) }
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.ice.calls.load(Ordering::Relaxed)
    }

    fn pass(&self) {
        self.ice.pass();
    }
}

impl Disk for Frozen {
    fn path(&self) -> &Path {
        self.disk.path()
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        self.pass();
        self.disk.list()
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        self.pass();
        let file = self.disk.open(name, access)?;
        Ok(Arc::new(FrozenFile { file, ice: Arc::clone(&self.ice) }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.pass();
        self.disk.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.pass();
        self.disk.rename(from, to)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.pass();
        self.disk.link(from, to)
    }

    fn sync_names(&self, site: Site) -> io::Result<()> {
        self.pass();
        self.disk.sync_names(site)
    }

    fn sync_parent(&self, site: Site) -> io::Result<()> {
        self.pass();
        self.disk.sync_parent(site)
    }

    fn space(&self) -> io::Result<Space> {
        self.pass();
        self.disk.space()
    }

    fn handle(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.pass();
        self.disk.handle(name)
    }

    fn mode(&self) -> io::Result<u32> {
        self.pass();
        self.disk.mode()
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.pass();
        self.disk.exists(name)
    }

    fn prewrite_helps(&self) -> bool {
        self.disk.prewrite_helps()
    }

    fn mapping_helps(&self) -> bool {
        self.disk.mapping_helps()
    }
}

#[derive(Debug)]
struct FrozenFile {
    file: Arc<dyn File>,
    ice: Arc<Ice>,
}

impl FrozenFile {
    fn pass(&self) {
        self.ice.pass();
    }
}

impl File for FrozenFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.pass();
        self.file.read_at(buf, offset)
    }

    fn read_around(&self, buf: &mut AlignedBuf, offset: u64) -> io::Result<bool> {
        self.pass();
        self.file.read_around(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.pass();
        self.file.write_at(bytes, offset)
    }

    fn write_around(&self, bytes: &AlignedBuf, offset: u64) -> io::Result<()> {
        self.pass();
        self.file.write_around(bytes, offset)
    }

    fn write_durable(&self, bytes: &AlignedBuf, offset: u64, site: Site) -> io::Result<()> {
        self.pass();
        // Seen by others, and not flushed yet.
        self.file.write_at(bytes, offset)?;
        self.pass();
        self.file.write_durable(bytes, offset, site)
    }

    fn sync(&self, site: Site) -> io::Result<()> {
        self.pass();
        self.file.sync(site)
    }

    fn len(&self) -> io::Result<u64> {
        self.pass();
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.pass();
        self.file.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.pass();
        self.file.allocate(offset, len)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.pass();
        self.file.punch(offset, len)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        self.pass();
        self.file.next_data(offset)
    }

    fn modified(&self) -> io::Result<Nanos> {
        self.pass();
        self.file.modified()
    }

    fn map(&self, len: u64) -> io::Result<Mapping> {
        self.pass();
        self.file.map(len)
    }

    fn try_lock(&self, exclusive: bool) -> io::Result<()> {
        self.pass();
        self.file.try_lock(exclusive)
    }

    fn is_locked(&self) -> io::Result<bool> {
        self.pass();
        self.file.is_locked()
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }
}
