//! The key file: a regular file, 0600 or less, at least 32 bytes, of the user who uses it. What it
//! is and whose is asked of the open file, so that nobody exchanges it in between.

use crate::slurm::auth::AuthError;
use crate::slurm::auth::Identity;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const LEN_MIN: usize = 32;
const LEN_MAX: usize = 4096;
const OF_OTHERS: u32 = 0o077;

/// Contents and owner of a key file.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, Identity), AuthError> {
    let refused = |reason: String| AuthError::KeyFile { path: path.to_owned(), reason };
    let broken = |error: io::Error| refused(error.to_string());
    let file = File::open(path).map_err(broken)?;
    let about = file.metadata().map_err(broken)?;
    let own = rustix::process::geteuid();
    if !about.is_file() {
        return Err(refused("is not a regular file".into()));
    }
    if about.mode() & OF_OTHERS != 0 {
        let mode = about.mode() & 0o777;
        return Err(refused(format!("others can read it (mode {mode:04o}): chmod 600 it")));
    }
    if about.uid() != own.as_raw() && !own.is_root() {
        let owner = about.uid();
        return Err(refused(format!("belongs to uid {owner}, not to uid {}", own.as_raw())));
    }
    let mut contents = Vec::new();
    file.take(LEN_MAX as u64 + 1).read_to_end(&mut contents).map_err(broken)?;
    if !(LEN_MIN..=LEN_MAX).contains(&contents.len()) {
        return Err(refused(format!("{LEN_MIN} to {LEN_MAX} bytes make a key")));
    }
    Ok((contents, Identity { uid: about.uid(), gid: about.gid() }))
}

/// Makes a key file with 32 random bytes. One that is there stays as it is.
///
/// # Errors
/// [`AuthError::KeyFile`], [`AuthError::Random`].
pub fn create(path: &Path) -> Result<(), AuthError> {
    let broken =
        |error: io::Error| AuthError::KeyFile { path: path.to_owned(), reason: error.to_string() };
    let mut secret = [0; LEN_MIN];
    rustix::rand::getrandom(&mut secret, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| AuthError::Random(error.into()))?;
    let mut file =
        File::options().write(true).create_new(true).mode(0o600).open(path).map_err(broken)?;
    file.write_all(&secret).and_then(|()| file.sync_all()).map_err(broken)
}
