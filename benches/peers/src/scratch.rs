//! Directories for single turns: fresh when made, gone when dropped.
//!
//! Invariant: only directories this program made itself are ever removed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A directory that lives as long as this value.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes `dir/name-pid`, which must not exist yet.
    pub fn new(dir: &Path, name: &str) -> io::Result<Scratch> {
        fs::create_dir_all(dir)?;
        let path = dir.join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Scratch(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left-over dirty pages and the trimming of freed space would otherwise be paid by
        // whoever has the next turn. Failing to clean up fails no benchmark.
        let parent = self.0.parent().map(File::open);
        let _ = fs::remove_dir_all(&self.0);
        if let Some(Ok(parent)) = parent {
            let _ = rustix::fs::syncfs(parent);
        }
    }
}
