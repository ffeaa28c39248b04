//! Whose a state directory is to be: SlurmUser's, if slurm.conf names it.
//!
//! Invariant: what root makes there is what the controller can open: a restore at night by root is
//! followed by a start as SlurmUser.

use crate::ctl::slurm_conf;
use crate::slurm::auth::configured::uid_of;
use crate::slurm::conf::Conf;
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

/// SlurmUser and its number, if `dir` is StateSaveLocation.
#[must_use]
pub fn slurm_user(dir: &Path) -> Option<(String, u32)> {
    let conf = Conf::load(&slurm_conf::found()?).ok()?;
    let home = place(Path::new(conf.text("StateSaveLocation")?))?;
    let user = conf.text("SlurmUser").unwrap_or("root").to_owned();
    let uid = uid_of(&conf, "SlurmUser").ok()?;
    (Some(home) == place(dir)).then_some((user, uid))
}

/// Where that is, or will be once it is made.
fn place(dir: &Path) -> Option<PathBuf> {
    let made = || Some(dir.parent()?.canonicalize().ok()?.join(dir.file_name()?));
    dir.canonicalize().ok().or_else(made)
}

/// Makes StateSaveLocation, where it is missing and root makes it, for SlurmUser.
///
/// # Errors
/// Those of the file system.
pub fn make(dir: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() || dir.symlink_metadata().is_ok() {
        return Ok(());
    }
    let Some((_, uid)) = slurm_user(dir).filter(|(_, uid)| *uid != 0) else { return Ok(()) };
    std::fs::DirBuilder::new().mode(0o700).create(dir)?;
    chown(dir, Some(uid), None)
}
