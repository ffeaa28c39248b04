//! SlurmctldPidFile: opened while it is still root, written once the state is ours, removed at the
//! end, or emptied where SlurmUser may not remove it.
//!
//! Invariant: a controller that does not get the state leaves another one's file as it is.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// The file, as long as the controller runs.
#[derive(Debug)]
pub struct PidFile {
    open: Option<(PathBuf, File)>,
    written: bool,
}

impl PidFile {
    /// Opens it, and gives it to `owner`. That it cannot be is no reason not to start.
    #[must_use]
    pub fn open(path: &Path, owner: u32) -> PidFile {
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(false).mode(0o644);
        let opened = options.open(path).and_then(|file| {
            if rustix::process::geteuid().is_root() {
                fchown(&file, Some(owner), None)?;
            }
            Ok(file)
        });
        let open = opened.map(|file| (path.to_owned(), file));
        let warn =
            |error: &io::Error| tracing::warn!("SlurmctldPidFile={}: {error}", path.display());
        PidFile { open: open.inspect_err(warn).ok(), written: false }
    }

    /// Writes the process's id, once.
    pub fn write(&mut self) {
        if self.written {
            return;
        }
        let Some((path, file)) = &mut self.open else { return };
        let line = format!("{}\n", std::process::id());
        let written = file.set_len(0).and_then(|()| file.write_all(line.as_bytes()));
        match written {
            Ok(()) => self.written = true,
            Err(error) => tracing::warn!("SlurmctldPidFile={}: {error}", path.display()),
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let (Some((path, file)), true) = (&self.open, self.written)
            && std::fs::remove_file(path).is_err()
        {
            let _ = file.set_len(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_written_when_told_and_goes_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let own = rustix::process::geteuid().as_raw();
        std::fs::write(&path, "123456789\n").unwrap();
        drop(PidFile::open(&path, own));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "123456789\n");
        let mut file = PidFile::open(&path, own);
        file.write();
        file.write();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
        PidFile::open(&dir.path().join("no/such"), own).write();
    }
}
