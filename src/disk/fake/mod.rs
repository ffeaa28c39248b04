//! A disk in memory that can lose, tear and reorder what was not flushed, and that can fail.
//!
//! [`FakeDisk`] is what programs run on. It records what they do; [`Crashes`] walks through the
//! record and gives an [`Image`] for everything that a power cut could have left at any moment,
//! and [`FakeDisk::from_image`] is the disk after the reboot. `trace` states the model.
//!
//! Invariants: the same calls in the same order give the same disk, record and images, times
//! included; what a call that returned `Ok` promised (see [`File`]) is in every later image, unless
//! its [`Site`] was muted.

mod content;
mod crash;
mod fault;
mod file;
mod image;
mod random;
mod state;
mod trace;
mod tree;

pub use crash::{Crash, Crashes, Item, Over, Shape, Survivors};
pub use fault::{Call, Fault, FaultPlan};
pub use image::{Image, SECTOR};

use crate::base::Nanos;
use crate::disk::Access;
use crate::disk::Disk;
use crate::disk::Entry;
use crate::disk::File;
use crate::disk::Site;
use crate::disk::Space;
use crate::disk::whole::uninterrupted;
use file::FakeFile;
use state::State;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard};
use trace::{Event, NameChange};

/// Room of a disk whose room is not limited, in bytes.
const TOTAL: u64 = 1 << 40;

/// A directory on a fake disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct FakeDisk {
    state: Arc<Mutex<State>>,
}

impl FakeDisk {
    /// A new, empty directory, whose own name is not yet durable, on a disk that writes `unit`
    /// bytes (512 or 4,096) all or not at all.
    #[must_use]
    pub fn new(unit: usize) -> FakeDisk {
        FakeDisk { state: Arc::new(Mutex::new(State::new(unit))) }
    }

    /// The disk after a reboot: everything in the image is durable. If the directory itself was
    /// lost, it is as if made anew. No faults, nothing muted, room without limit.
    #[must_use]
    pub fn from_image(image: &Image) -> FakeDisk {
        FakeDisk { state: Arc::new(Mutex::new(State::from_image(image))) }
    }

    /// What the running system sees: also what a clean stop leaves.
    #[must_use]
    pub fn image(&self) -> Image {
        self.lock().image()
    }

    /// Switches the syncs of one site off: they return `Ok` and do nothing. A `write_durable`
    /// still writes.
    pub fn mute(&self, site: Site) {
        self.lock().muted.insert(site);
    }

    /// Switches them on again.
    pub fn unmute(&self, site: Site) {
        self.lock().muted.remove(&site);
    }

    /// Makes calls fail. Several plans may hold at a time.
    pub fn fail(&self, plan: FaultPlan) {
        self.lock().faults.add(plan);
    }

    /// Forgets all plans.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }

    /// Calls made so far: of one kind, or of all.
    #[must_use]
    pub fn calls(&self, call: Option<Call>) -> u64 {
        self.lock().faults.count(call)
    }

    /// Bytes that may still be allocated; `None`: no limit.
    pub fn set_room(&self, room: Option<u64>) {
        self.lock().room = room;
    }

    /// Inserts a marker into the record, such as the LSN just acknowledged.
    pub fn mark(&self, number: u64) {
        self.lock().trace.push(Event::Mark(number));
    }

    /// Sets the time that the next change gets. Each change moves it on by one millisecond.
    pub fn set_clock(&self, now: Nanos) {
        self.lock().clock = now;
    }

    /// The time that the next change gets.
    #[must_use]
    pub fn clock(&self) -> Nanos {
        self.lock().clock
    }

    /// What [`Disk::prewrite_helps`] says; at first `true`.
    pub fn set_prewrite_helps(&self, helps: bool) {
        self.lock().prewrite_helps = helps;
    }

    /// What [`Disk::mapping_helps`] says; at first `true`. Mappings are copies in either case.
    pub fn set_mapping_helps(&self, helps: bool) {
        self.lock().mapping_helps = helps;
    }

    /// Whether files have handles; at first they do.
    pub fn set_handles(&self, has: bool) {
        self.lock().handles = has;
    }

    /// Permission bits of the directory; at first 0o700.
    pub fn set_mode(&self, mode: u32) {
        self.lock().mode = mode;
    }

    /// How many moments a crash can happen at: one before, between and after all that is recorded.
    #[must_use]
    pub fn crash_points(&self) -> usize {
        self.lock().trace.len() + 1
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the fake disk")
    }

    /// One call into the disk, unless a fault is due.
    fn call<T>(
        &self,
        call: Call,
        mut act: impl FnMut(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        uninterrupted(|| {
            let mut state = self.lock();
            match state.faults.meet(call).and_then(Fault::error) {
                Some(error) => Err(error),
                None => act(&mut state),
            }
        })
    }
}

impl Disk for FakeDisk {
    fn path(&self) -> &Path {
        Path::new("/fake")
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        self.call(Call::List, |state| Ok(state.list()))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        self.call(Call::Open, |state| {
            let inode = match (state.tree.find(name), access) {
                (Some(_), Access::Create) => return Err(io::ErrorKind::AlreadyExists.into()),
                (Some(inode), _) => inode,
                (None, Access::Create) => state.create(name),
                (None, _) => return Err(io::ErrorKind::NotFound.into()),
            };
            let handle = state.next_handle();
            let file = FakeFile::new(self.clone(), inode, handle, access != Access::Read);
            Ok(Arc::new(file) as Arc<dyn File>)
        })
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.call(Call::Look, |state| Ok(state.tree.find(name).is_some()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(Call::Remove, |state| {
            let inode = state.inode(name)?;
            state.rename(NameChange::Remove(name.to_owned(), inode));
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(Call::Rename, |state| {
            let inode = state.inode(from)?;
            if from != to {
                state.rename(NameChange::Rename(from.to_owned(), to.to_owned(), inode));
            }
            Ok(())
        })
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(Call::Rename, |state| {
            let inode = state.inode(from)?;
            if state.tree.find(to).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.rename(NameChange::Create(to.to_owned(), inode));
            Ok(())
        })
    }

    fn sync_names(&self, site: Site) -> io::Result<()> {
        uninterrupted(|| self.lock().sync_names(site))
    }

    fn sync_parent(&self, site: Site) -> io::Result<()> {
        self.call(Call::SyncParent, |state| {
            if !state.muted.contains(&site) {
                state.trace.push(Event::ParentSynced);
            }
            Ok(())
        })
    }

    fn space(&self) -> io::Result<Space> {
        self.call(Call::Look, |state| Ok(Space { free: state.room.unwrap_or(TOTAL), total: TOTAL }))
    }

    fn handle(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.call(Call::Look, |state| {
            let inode = state.inode(name)?;
            let handle = [state.identity.to_le_bytes(), inode.to_le_bytes()].concat();
            Ok(state.handles.then_some(handle))
        })
    }

    fn mode(&self) -> io::Result<u32> {
        self.call(Call::Look, |state| Ok(state.mode))
    }

    fn prewrite_helps(&self) -> bool {
        self.lock().prewrite_helps
    }

    fn mapping_helps(&self) -> bool {
        self.lock().mapping_helps
    }
}

#[cfg(test)]
mod tests;
