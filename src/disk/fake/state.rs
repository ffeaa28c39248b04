//! The running disk: what programs see, and the record of how it came about.
//!
//! Invariant: every change to `tree` is in `trace`, in the order in which it was seen.

use crate::base::Nanos;
use crate::disk::Entry;
use crate::disk::Site;
use crate::disk::fake::content::PAGE_BYTES;
use crate::disk::fake::fault::{Call, Fault, Faults};
use crate::disk::fake::image::Image;
use crate::disk::fake::random::Random;
use crate::disk::fake::trace::{Change, Event, NameChange, Replay, Standing};
use crate::disk::fake::tree::{Inode, Node, Tree};
use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// The first moment of every new disk: 2026-01-01T00:00:00Z.
const DAWN: Nanos = Nanos(1_767_225_600 * 1_000_000_000);
/// What each change moves the clock on by.
const TICK: u64 = 1_000_000;

/// A lock on a file: its holder, and whether it excludes others.
#[derive(Debug)]
struct Lock {
    inode: Inode,
    handle: u64,
    exclusive: bool,
}

/// How written bytes are flushed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flush {
    /// Not by the write.
    Later,
    /// By the write, for this promise.
    Now(Site),
}

#[derive(Debug)]
pub(super) struct State {
    /// What programs see.
    pub(super) tree: Tree,
    /// What was durable when the disk was made.
    origin: Tree,
    /// Whether the directory was.
    directory: bool,
    pub(super) trace: Vec<Event>,
    pub(super) faults: Faults,
    pub(super) muted: HashSet<Site>,
    pub(super) room: Option<u64>,
    pub(super) clock: Nanos,
    pub(super) mode: u32,
    pub(super) prewrite_helps: bool,
    pub(super) mapping_helps: bool,
    pub(super) handles: bool,
    pub(super) identity: u64,
    pub(super) unit: usize,
    next_inode: Inode,
    last_handle: u64,
    locks: Vec<Lock>,
    random: Random,
}

impl State {
    pub(super) fn new(unit: usize) -> State {
        let image = Image {
            tree: Tree::default(),
            directory: false,
            unit,
            identity: 1,
            next_inode: 1,
            clock: DAWN,
            mode: 0o700,
        };
        State::from_image(&image)
    }

    pub(super) fn from_image(image: &Image) -> State {
        assert!(matches!(image.unit, 512 | 4096), "disks write 512 or 4,096 bytes at once");
        State {
            tree: image.tree.clone(),
            origin: image.tree.clone(),
            directory: image.directory,
            trace: Vec::new(),
            faults: Faults::default(),
            muted: HashSet::new(),
            room: None,
            clock: image.clock,
            mode: image.mode,
            prewrite_helps: true,
            mapping_helps: true,
            handles: true,
            identity: image.identity,
            unit: image.unit,
            next_inode: image.next_inode,
            last_handle: 0,
            locks: Vec::new(),
            random: Random::new(0),
        }
    }

    pub(super) fn image(&self) -> Image {
        self.image_of(Some(self.tree.reachable()))
    }

    /// An image of this directory that holds `tree`, or is not there.
    pub(super) fn image_of(&self, tree: Option<Tree>) -> Image {
        Image {
            directory: tree.is_some(),
            tree: tree.unwrap_or_default(),
            unit: self.unit,
            identity: self.identity,
            next_inode: self.next_inode,
            clock: self.clock,
            mode: self.mode,
        }
    }

    /// The state of durability before anything that is recorded.
    pub(super) fn replay(&self) -> Replay {
        Replay::new(self.unit, self.directory, self.origin.clone())
    }

    pub(super) fn next_handle(&mut self) -> u64 {
        self.last_handle += 1;
        self.last_handle
    }

    pub(super) fn inode(&self, name: &str) -> io::Result<Inode> {
        self.tree.find(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn node(&self, inode: Inode) -> &Node {
        self.tree.nodes.get(&inode).expect("files stay while somebody may have them open")
    }

    pub(super) fn list(&self) -> Vec<Entry> {
        let entry = |(name, inode): (&String, &Inode)| {
            let node = self.node(*inode);
            Entry {
                name: name.clone(),
                len: node.len,
                allocated: node.content.allocated(),
                modified: node.modified,
                regular: true,
            }
        };
        self.tree.names.iter().map(entry).collect()
    }

    pub(super) fn create(&mut self, name: &str) -> Inode {
        let inode = self.next_inode;
        self.next_inode += 1;
        let modified = self.tick();
        self.tree.nodes.insert(inode, Node { modified, ..Node::default() });
        self.rename(NameChange::Create(name.to_owned(), inode));
        inode
    }

    pub(super) fn rename(&mut self, change: NameChange) {
        let before = self.named();
        change.apply(&mut self.tree);
        let gone = before - self.named();
        if let Some(room) = &mut self.room {
            *room += gone;
        }
        self.trace.push(Event::Name(Arc::new(change)));
    }

    /// Bytes that files with a name occupy.
    fn named(&self) -> u64 {
        let files: HashSet<Inode> = self.tree.names.values().copied().collect();
        files.into_iter().map(|inode| self.node(inode).content.allocated()).sum()
    }

    pub(super) fn sync_names(&mut self, site: Site) -> io::Result<()> {
        if let Some(error) = self.faults.meet(Call::SyncNames).and_then(Fault::error) {
            if error.kind() != io::ErrorKind::Interrupted {
                self.trace.push(Event::NamesSyncFailed);
            }
            return Err(error);
        }
        if !self.muted.contains(&site) {
            self.trace.push(Event::NamesSynced);
        }
        Ok(())
    }

    pub(super) fn sync(&mut self, inode: Inode, site: Site) -> io::Result<()> {
        if let Some(error) = self.faults.meet(Call::Sync).and_then(Fault::error) {
            if error.kind() != io::ErrorKind::Interrupted {
                self.trace.push(Event::SyncFailed(inode));
            }
            return Err(error);
        }
        if !self.muted.contains(&site) {
            self.trace.push(Event::Synced(inode));
        }
        Ok(())
    }

    /// One write call: may write less than asked for, and may leave something behind if it fails.
    pub(super) fn write(
        &mut self,
        inode: Inode,
        call: Call,
        bytes: &[u8],
        offset: u64,
        flush: Flush,
    ) -> io::Result<usize> {
        let fault = self.faults.meet(call);
        let error = fault.and_then(Fault::error);
        if fault == Some(Fault::Interrupted) || bytes.is_empty() {
            return error.map_or(Ok(0), Err);
        }
        let count = match fault {
            None => bytes.len(),
            Some(Fault::Io) if matches!(flush, Flush::Now(_)) => bytes.len(),
            Some(Fault::Io) => self.random.below(bytes.len() as u64) as usize,
            Some(_) => (bytes.len() / 2).max(1),
        };
        let count = self.admit(inode, offset, count)?;
        let doubtful = error.is_some() && matches!(flush, Flush::Now(_));
        let scattered = doubtful && fault == Some(Fault::Io);
        self.write_units(inode, &bytes[..count], offset, scattered, doubtful);
        if let Some(error) = error {
            return Err(error);
        }
        if let Flush::Now(site) = flush
            && !self.muted.contains(&site)
        {
            self.trace.push(Event::Flushed(inode));
        }
        Ok(count)
    }

    /// Writes all of `bytes`, or, `scattered`, a random choice of their units.
    fn write_units(
        &mut self,
        inode: Inode,
        bytes: &[u8],
        offset: u64,
        scattered: bool,
        doubtful: bool,
    ) {
        let end = offset + bytes.len() as u64;
        let modified = self.tick();
        let before = self.node(inode).content.clone();
        let mut whole = before.clone();
        whole.write(bytes, offset);
        let unit = self.unit as u64;
        let units = offset / unit..end.div_ceil(unit);
        let after = if scattered {
            let seed = self.random.next();
            let mut after = before;
            after.take(&whole, self.unit, units.clone(), |number| {
                Random::new(seed ^ number).below(2) == 0
            });
            after
        } else {
            whole
        };
        let len = self.node(inode).len;
        let len = (end > len).then_some(end);
        self.change(Change {
            inode,
            after,
            units,
            reserved: 0..0,
            len,
            cut: false,
            doubtful,
            modified,
        });
    }

    /// Puts into `buf`, which holds what the page cache shows at `offset`, what the device has.
    /// Where a failed flush has left that open, this decides it, once and for all: all of it, none
    /// of it, or some units. The page cache goes on to show what it showed.
    pub(super) fn read_around(&mut self, inode: Inode, buf: &mut [u8], offset: u64) {
        let mut replay = self.replay();
        self.trace.iter().for_each(|event| replay.apply(event));
        let unit = self.unit as u64;
        let units = offset / unit..(offset + buf.len() as u64).div_ceil(unit);
        let mut random = Random::new(self.trace.len() as u64 ^ (inode << 32) ^ (offset << 16));
        let (share, durable) = (random.below(3), replay.durable(inode));
        for number in units {
            let standing = replay.standing(inode, number);
            let kept = share == 0 || (share == 1 && random.below(2) == 0);
            let after = match standing {
                Standing::Written => continue,
                Standing::Doubtful if kept => self.node(inode).content.clone(),
                Standing::Doubtful | Standing::Durable => durable.clone(),
            };
            let at = (number * unit).max(offset);
            let from = (at - offset) as usize;
            let to = (((number + 1) * unit - offset) as usize).min(buf.len());
            after.read(&mut buf[from..to], at);
            if standing == Standing::Durable {
                continue;
            }
            self.trace.push(Event::Settled(Arc::new(Change {
                inode,
                after,
                units: number..number + 1,
                reserved: 0..0,
                len: None,
                cut: false,
                doubtful: false,
                modified: self.node(inode).modified,
            })));
        }
    }

    /// How many of `count` bytes at `offset` there is room for.
    fn admit(&self, inode: Inode, offset: u64, count: usize) -> io::Result<usize> {
        let Some(room) = self.room else { return Ok(count) };
        let content = &self.node(inode).content;
        let end = offset + count as u64;
        let mut free = room / PAGE_BYTES;
        for page in offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES) {
            if content.has_page(page) {
                continue;
            }
            if free == 0 {
                let fits = (page * PAGE_BYTES).saturating_sub(offset) as usize;
                return if fits == 0 { Err(full()) } else { Ok(fits) };
            }
            free -= 1;
        }
        Ok(count)
    }

    pub(super) fn set_len(&mut self, inode: Inode, len: u64) {
        let node = self.node(inode).clone();
        if len == node.len {
            return;
        }
        let modified = self.tick();
        let cut = len < node.len;
        let unit = self.unit as u64;
        let units = if cut { len / unit..node.len.div_ceil(unit) } else { 0..0 };
        let mut after = node.content;
        if cut {
            after.cut(len);
        }
        self.change(Change {
            inode,
            after,
            units,
            reserved: 0..0,
            len: Some(len),
            cut,
            doubtful: false,
            modified,
        });
    }

    pub(super) fn allocate(&mut self, inode: Inode, offset: u64, len: u64) -> io::Result<()> {
        let node = self.node(inode).clone();
        let end = offset.checked_add(len).ok_or(io::ErrorKind::FileTooLarge)?;
        let pages = offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES);
        let missing = (pages.end - pages.start) - node.content.pages_in(pages.clone());
        if self.room.is_some_and(|room| room / PAGE_BYTES < missing) {
            return Err(full());
        }
        let modified = self.tick();
        let mut after = node.content;
        after.reserve(pages.clone());
        self.change(Change {
            inode,
            after,
            units: 0..0,
            reserved: pages,
            len: (end > node.len).then_some(end),
            cut: false,
            doubtful: false,
            modified,
        });
        Ok(())
    }

    pub(super) fn punch(&mut self, inode: Inode, bytes: Range<u64>) {
        let modified = self.tick();
        let node = self.node(inode);
        let unit = self.unit as u64;
        // Past the end there is nothing to lose, and no unit to tear.
        let units = bytes.start / unit..bytes.end.min(node.len).div_ceil(unit);
        let mut after = node.content.clone();
        after.clear(bytes);
        self.change(Change {
            inode,
            after,
            units: units.start..units.end.max(units.start),
            reserved: 0..0,
            len: None,
            cut: false,
            doubtful: false,
            modified,
        });
    }

    fn change(&mut self, change: Change) {
        let node = self.tree.node(change.inode);
        let (before, after) = (node.content.allocated(), change.after.allocated());
        node.content = change.after.clone();
        node.len = change.len.unwrap_or(node.len);
        node.modified = change.modified;
        if let Some(room) = &mut self.room {
            *room = (*room + before).saturating_sub(after);
        }
        self.trace.push(Event::Change(Arc::new(change)));
    }

    fn tick(&mut self) -> Nanos {
        let now = self.clock;
        self.clock = Nanos(now.0 + TICK);
        now
    }

    /// Whether another handle holds the file's lock.
    pub(super) fn is_locked(&self, inode: Inode, handle: u64) -> bool {
        self.locks.iter().any(|lock| lock.inode == inode && lock.handle != handle)
    }

    /// Takes a lock, or changes the one that the handle has, which stays if that fails.
    pub(super) fn lock(&mut self, inode: Inode, handle: u64, exclusive: bool) -> io::Result<()> {
        let excludes = |lock: &Lock| {
            lock.inode == inode && lock.handle != handle && (exclusive || lock.exclusive)
        };
        if self.locks.iter().any(excludes) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.unlock(handle);
        self.locks.push(Lock { inode, handle, exclusive });
        Ok(())
    }

    pub(super) fn unlock(&mut self, handle: u64) {
        self.locks.retain(|lock| lock.handle != handle);
    }
}

fn full() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOSPC)
}
