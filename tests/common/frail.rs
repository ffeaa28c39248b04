//! A disk whose process is killed at a given step, while the disk itself goes on: what was written
//! stays in the page cache, flushed or not.
//!
//! A step is a call that changes something. Writing durably is two steps, so that the process can
//! die between the write and its flush. Once dead, every call fails and reaches the disk no more. A
//! *touchy* process dies of the first step that fails.

use statedir::base::Nanos;
use statedir::disk::{Access, AlignedBuf, Disk, Entry, File, Mapping, Site, Space};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
struct Life {
    steps: AtomicU64,
    dies_at: u64,
    touchy: bool,
}

impl Life {
    /// One step, unless it is the last.
    fn step(&self) -> io::Result<()> {
        let step = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        if step >= self.dies_at { Err(killed()) } else { Ok(()) }
    }

    fn alive(&self) -> io::Result<()> {
        if self.is_dead() { Err(killed()) } else { Ok(()) }
    }

    fn is_dead(&self) -> bool {
        self.steps.load(Ordering::Relaxed) >= self.dies_at
    }

    /// What came of a step.
    fn after<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if self.touchy && outcome.is_err() {
            self.steps.store(u64::MAX / 2, Ordering::Relaxed);
        }
        outcome
    }
}

fn killed() -> io::Error {
    io::Error::other("the process is dead")
}

/// A process's view of a disk, up to its death. Clones are the same process.
#[derive(Clone, Debug)]
pub struct Frail {
    disk: Arc<dyn Disk>,
    life: Arc<Life>,
}

impl Frail {
    /// The process dies at its `step`th step, counted from 1.
    pub fn new(disk: Arc<dyn Disk>, step: u64) -> Frail {
        let life = Life { steps: AtomicU64::new(0), dies_at: step, touchy: false };
        Frail { disk, life: Arc::new(life) }
    }

    /// The process dies of the first step that fails.
    pub fn touchy(disk: Arc<dyn Disk>) -> Frail {
        let life = Life { steps: AtomicU64::new(0), dies_at: u64::MAX / 2, touchy: true };
        Frail { disk, life: Arc::new(life) }
    }

    /// Whether the process has died.
    pub fn is_dead(&self) -> bool {
        self.life.is_dead()
    }

    /// Kills it now.
    pub fn kill(&self) {
        self.life.steps.store(u64::MAX / 2, Ordering::Relaxed);
    }
}

impl Disk for Frail {
    fn path(&self) -> &Path {
        self.disk.path()
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        self.life.alive()?;
        self.disk.list()
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        match access {
            Access::Create => self.life.step()?,
            Access::Read | Access::Write => self.life.alive()?,
        }
        let file = self.disk.open(name, access)?;
        Ok(Arc::new(FrailFile { file, life: Arc::clone(&self.life) }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.life.step()?;
        self.life.after(self.disk.remove(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.life.step()?;
        self.life.after(self.disk.rename(from, to))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.life.step()?;
        self.disk.link(from, to)
    }

    fn sync_names(&self, site: Site) -> io::Result<()> {
        self.life.step()?;
        self.life.after(self.disk.sync_names(site))
    }

    fn sync_parent(&self, site: Site) -> io::Result<()> {
        self.life.step()?;
        self.disk.sync_parent(site)
    }

    fn space(&self) -> io::Result<Space> {
        self.life.alive()?;
        self.disk.space()
    }

    fn handle(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.life.alive()?;
        self.disk.handle(name)
    }

    fn mode(&self) -> io::Result<u32> {
        self.life.alive()?;
        self.disk.mode()
    }

    fn prewrite_helps(&self) -> bool {
        self.disk.prewrite_helps()
    }

    fn mapping_helps(&self) -> bool {
        self.disk.mapping_helps()
    }
}

#[derive(Debug)]
struct FrailFile {
    file: Arc<dyn File>,
    life: Arc<Life>,
}

impl File for FrailFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.life.alive()?;
        self.file.read_at(buf, offset)
    }

    fn read_around(&self, buf: &mut AlignedBuf, offset: u64) -> io::Result<bool> {
        self.life.alive()?;
        self.file.read_around(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.life.step()?;
        self.life.after(self.file.write_at(bytes, offset))
    }

    fn write_around(&self, bytes: &AlignedBuf, offset: u64) -> io::Result<()> {
        self.life.step()?;
        self.life.after(self.file.write_around(bytes, offset))
    }

    fn write_durable(&self, bytes: &AlignedBuf, offset: u64, site: Site) -> io::Result<()> {
        self.life.step()?;
        if self.life.step().is_err() {
            self.file.write_at(bytes, offset)?;
            return Err(killed());
        }
        self.life.after(self.file.write_durable(bytes, offset, site))
    }

    fn sync(&self, site: Site) -> io::Result<()> {
        self.life.step()?;
        self.life.after(self.file.sync(site))
    }

    fn len(&self) -> io::Result<u64> {
        self.life.alive()?;
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.life.step()?;
        self.life.after(self.file.set_len(len))
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.life.step()?;
        self.life.after(self.file.allocate(offset, len))
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.life.step()?;
        self.file.punch(offset, len)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        self.life.alive()?;
        self.file.next_data(offset)
    }

    fn modified(&self) -> io::Result<Nanos> {
        self.life.alive()?;
        self.file.modified()
    }

    fn map(&self, len: u64) -> io::Result<Mapping> {
        self.life.alive()?;
        self.file.map(len)
    }

    fn try_lock(&self, exclusive: bool) -> io::Result<()> {
        self.life.alive()?;
        self.file.try_lock(exclusive)
    }

    fn is_locked(&self) -> io::Result<bool> {
        self.life.alive()?;
        self.file.is_locked()
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }
}
