//! A directory for one round, gone afterwards.

use statedir::base::Local;
use statedir::{Options, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty directory under `dir`.
    pub fn new(dir: &Path) -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("round-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the bench directory can be made");
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A new store in it.
    pub fn store(&self, options: Options) -> (Store, PathBuf) {
        let path = self.0.join("state");
        Store::create(&path, &options).expect("a store can be made");
        (open(&path, options), path)
    }
}

/// Opens a store.
pub fn open(path: &Path, options: Options) -> Store {
    Store::open(path, options, Arc::new(Local)).expect("the store opens")
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is found and named by whoever cleans the target directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
