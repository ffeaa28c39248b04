//! Users and groups, as the system knows them.

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use std::ffi::CString;
use std::io;

/// A user, as the system knows him.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The main group.
    pub gid: u32,
    /// Where he is at home.
    pub home: String,
    /// What he logs in to.
    pub shell: String,
    /// What else is noted.
    pub gecos: String,
}

/// The user of that id; `None` where there is none.
///
/// # Errors
/// Those of the system.
pub fn account(uid: u32) -> io::Result<Option<Account>> {
    let found = User::from_uid(Uid::from_raw(uid))?;
    Ok(found.map(|user| Account {
        name: user.name,
        gid: user.gid.as_raw(),
        home: user.dir.to_string_lossy().into_owned(),
        shell: user.shell.to_string_lossy().into_owned(),
        gecos: user.gecos.to_string_lossy().into_owned(),
    }))
}

/// The groups of a user, that one first, by id and name; a group without a name has an empty one.
///
/// # Errors
/// Those of the system.
pub fn groups(name: &str, gid: u32) -> io::Result<Vec<(u32, String)>> {
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let ids = getgrouplist(&name, Gid::from_raw(gid))?;
    let named = |gid: &Gid| -> io::Result<(u32, String)> {
        let name = Group::from_gid(*gid)?.map(|group| group.name).unwrap_or_default();
        Ok((gid.as_raw(), name))
    };
    ids.iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_number_with_their_groups() {
        assert_eq!(account(0).unwrap().unwrap().name, "root");
        assert_eq!(account(3_999_999_999).unwrap(), None);
        assert_eq!(groups("root", 0).unwrap()[0], (0, "root".to_owned()));
    }
}
