//! SlurmUser: who the controller is.
//!
//! Invariant: started as root it becomes SlurmUser with all his groups and nothing of root, for
//! good and before it reads a key, opens the state or a port; as anybody else it does not start.

use crate::controller::users;
use nix::unistd::{Gid, Uid, initgroups, setgid, setuid};
use std::ffi::CString;
use std::io;

/// Whether it is that user, or may become it.
///
/// # Errors
/// What to do.
pub fn may_become(name: &str, uid: u32) -> Result<(), String> {
    let own = rustix::process::geteuid().as_raw();
    if own == uid || own == 0 {
        return Ok(());
    }
    Err(format!(
        "it runs as uid {own}, and SlurmUser={name} is uid {uid}; next: start it as {name} \
         (systemd: User={name}), or as root"
    ))
}

/// Becomes the user of that id, called `name`; a number stands for a user as well.
///
/// # Errors
/// Why not, and what to do.
pub fn become_slurm_user(name: &str, uid: u32) -> Result<(), String> {
    may_become(name, uid)?;
    if rustix::process::geteuid().as_raw() == uid {
        return Ok(());
    }
    let failed = |what: &str| {
        let what = format!("SlurmUser={name}: {what}");
        move |error: io::Error| format!("{what}: {error}; next: getent passwd {uid}")
    };
    let account = users::account(uid).map_err(failed("looking it up"))?;
    let account = account.ok_or_else(|| failed("looking it up")(io::ErrorKind::NotFound.into()))?;
    let own_name = CString::new(account.name).expect("names have no NUL");
    let gid = Gid::from_raw(account.gid);
    initgroups(&own_name, gid).map_err(|error| failed("its groups")(error.into()))?;
    setgid(gid).map_err(|error| failed("its group")(error.into()))?;
    setuid(Uid::from_raw(uid)).map_err(|error| failed("becoming it")(error.into()))?;
    assert!(setuid(Uid::from_raw(0)).is_err(), "root's rights are gone for good");
    // Else a core file could not be written any more.
    let dumpable = rustix::process::DumpableBehavior::Dumpable;
    let _ = rustix::process::set_dumpable_behavior(dumpable);
    Ok(())
}
