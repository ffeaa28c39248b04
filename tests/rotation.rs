//! Rotation while the next segment is still being prepared.

use statedir::base::{Local, Lsn};
use statedir::disk::{Access, Disk, Entry, File, Real, Site, Space};
use statedir::{Batch, Options, Reader, Store};
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A real directory in which the keeper's next segment waits to be made.
#[derive(Debug)]
struct SlowKeeper {
    real: Real,
    held: Arc<(Mutex<bool>, Condvar)>,
}

impl Disk for SlowKeeper {
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        let keeper = std::thread::current().name() == Some("statedir-keeper");
        if keeper && access == Access::Create {
            let (held, changed) = &*self.held;
            drop(changed.wait_while(held.lock().unwrap(), |held| *held).unwrap());
        }
        self.real.open(name, access)
    }

    fn path(&self) -> &Path {
        self.real.path()
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        self.real.list()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.real.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.real.rename(from, to)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.real.link(from, to)
    }

    fn sync_names(&self, site: Site) -> io::Result<()> {
        self.real.sync_names(site)
    }

    fn sync_parent(&self, site: Site) -> io::Result<()> {
        self.real.sync_parent(site)
    }

    fn space(&self) -> io::Result<Space> {
        self.real.space()
    }

    fn handle(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.real.handle(name)
    }

    fn mode(&self) -> io::Result<u32> {
        self.real.mode()
    }

    fn prewrite_helps(&self) -> bool {
        self.real.prewrite_helps()
    }

    fn mapping_helps(&self) -> bool {
        self.real.mapping_helps()
    }
}

fn segments(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("log-")).count()
}

/// The keeper took an ordinal, a rotation that could not wait took the next one and was quicker,
/// and the keeper's segment came into use after it: its saves, acknowledged, were behind the end.
#[test]
fn a_segment_that_is_prepared_too_late_never_hides_acknowledged_saves() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state");
    Store::create(&path, &Options::default()).unwrap();
    let held = Arc::new((Mutex::new(true), Condvar::new()));
    let disk = SlowKeeper { real: Real::open(&path).unwrap(), held: Arc::clone(&held) };
    let options = Options { segment_min: 64 << 10, segment_max: 64 << 10, ..Options::default() };
    let store = Store::open_on(Arc::new(disk), options, Arc::new(Local)).unwrap();
    let mut last = Lsn::ZERO;
    let mut save = |until: usize| {
        while segments(&path) < until {
            let mut batch = Batch::new();
            batch.put("jobs", b"key", &[7; 5000]).unwrap();
            last = store.save(batch).unwrap();
        }
        last
    };
    // Two segments, made by the saver because the keeper is held up with another one.
    save(2);
    let (flag, changed) = &*held;
    *flag.lock().unwrap() = false;
    changed.notify_all();
    // Now the keeper's is there, and more come into use.
    while segments(&path) < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let acknowledged = save(7);
    store.close().unwrap();
    assert_eq!(Reader::open(&path).unwrap().view().lsn(), acknowledged);
}
