//! A disk on which some files cannot be made for a while: whoever tries waits, or is refused.

use statedir::disk::{Access, Disk, Entry, File, Site, Space};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

/// What becomes of somebody who makes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Open,
    /// Waits.
    Held,
    /// There is no room.
    Shut,
}

/// Clones are the same disk.
#[derive(Clone)]
pub struct Held {
    disk: Arc<dyn Disk>,
    door: Arc<(Mutex<Door>, Condvar)>,
    concerns: fn(&str) -> bool,
}

impl Held {
    /// The door stands open at first; it is for files that `concerns` is true of.
    pub fn new(disk: Arc<dyn Disk>, concerns: fn(&str) -> bool) -> Held {
        Held { disk, door: Arc::new((Mutex::new(Door::Open), Condvar::new())), concerns }
    }

    pub fn set(&self, door: Door) {
        *self.door.0.lock().unwrap() = door;
        self.door.1.notify_all();
    }

    fn pass(&self) -> io::Result<()> {
        let door = self.door.0.lock().unwrap();
        match *self.door.1.wait_while(door, |door| *door == Door::Held).unwrap() {
            Door::Shut => Err(io::ErrorKind::StorageFull.into()),
            Door::Open | Door::Held => Ok(()),
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl Disk for Held {
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        if access == Access::Create && (self.concerns)(name) {
            self.pass()?;
        }
        self.disk.open(name, access)
    }

    fn path(&self) -> &Path {
        self.disk.path()
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        self.disk.list()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.link(from, to)
    }

    fn sync_names(&self, site: Site) -> io::Result<()> {
        self.disk.sync_names(site)
    }

    fn sync_parent(&self, site: Site) -> io::Result<()> {
        self.disk.sync_parent(site)
    }

    fn space(&self) -> io::Result<Space> {
        self.disk.space()
    }

    fn handle(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.disk.handle(name)
    }

    fn mode(&self) -> io::Result<u32> {
        self.disk.mode()
    }

    fn prewrite_helps(&self) -> bool {
        self.disk.prewrite_helps()
    }

    fn mapping_helps(&self) -> bool {
        self.disk.mapping_helps()
    }
}
