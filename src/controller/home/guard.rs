//! Puts the files that keep Slurm's own slurmctld away beside the store.
//!
//! Invariant: Slurm's own files of these names are told from ours by their bytes, and stay.

use crate::format::guard::{NAMES, TEXT, is_ours};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Whether that file in `dir` is there and Slurm's.
#[must_use]
pub fn is_slurms(dir: &Path, name: &str) -> bool {
    // A directory, or what cannot be read, is not ours either.
    let path = dir.join(name);
    path.symlink_metadata().is_ok() && !std::fs::read(path).is_ok_and(|bytes| is_ours(&bytes))
}

/// Puts them into `dir`, which is a store and open.
///
/// # Errors
/// Those of the file system.
pub fn put(dir: &Path) -> io::Result<()> {
    for name in NAMES {
        let path = dir.join(name);
        if std::fs::read(&path).is_ok_and(|bytes| bytes == TEXT.as_bytes()) {
            continue;
        }
        let mut options = File::options();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(TEXT.as_bytes())?;
        file.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_told_from_slurms_by_their_bytes() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path()).unwrap();
        put(dir.path()).unwrap();
        for name in NAMES {
            let path = dir.path().join(name);
            assert!(!is_slurms(dir.path(), name));
            for bytes in [&TEXT.as_bytes()[..9], b""] {
                std::fs::write(&path, bytes).unwrap();
                assert!(!is_slurms(dir.path(), name), "cut short");
            }
            for bytes in ["lab", "lab\n", &format!("{TEXT}x")] {
                std::fs::write(&path, bytes).unwrap();
                assert!(is_slurms(dir.path(), name), "{bytes}");
            }
            std::fs::remove_file(&path).unwrap();
            assert!(!is_slurms(dir.path(), name));
            std::fs::create_dir(&path).unwrap();
            assert!(is_slurms(dir.path(), name));
        }
    }
}
