//! What slurm.conf and statedir.conf say about who is who, for controller and agent alike: the
//! scheme of credentials, and users by name.
//!
//! Invariant: what cannot work is an error that says what to do, never another scheme.

use crate::slurm::auth::Auth;
use crate::slurm::auth::key::{Key, system_clock};
use crate::slurm::auth::munge::{Info, Munge};
use crate::slurm::conf::Conf;
use crate::slurm::conf::own::Own;
use nix::unistd::User;
use std::io;

impl Auth {
    /// The configured scheme, proved to work.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn configured(conf: &Conf, own: &Own) -> Result<Auth, String> {
        if let Some(path) = &own.auth_key_file {
            let key = Key::load(path, system_clock()).map_err(|error| error.to_string())?;
            return Ok(Auth::Key(key));
        }
        let kind = conf.text("AuthType").expect("it has a default");
        if kind != "auth/munge" {
            return Err(format!("AuthType={kind} is not supported; next: set auth/munge"));
        }
        let info =
            Info::parse(conf.text("AuthInfo").unwrap_or("")).map_err(|error| error.to_string())?;
        Munge::load(info).map(Auth::Munge).map_err(|error| error.to_string())
    }
}

/// The uid of `name`: a number stands for itself.
///
/// # Errors
/// `NotFound`, and those of the system.
pub fn uid(name: &str) -> io::Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let found = User::from_name(name)?.ok_or(io::ErrorKind::NotFound)?;
    Ok(found.uid.as_raw())
}

/// The uid of the user whom a parameter of slurm.conf names.
///
/// # Errors
/// What is wrong, and what to do.
///
/// # Panics
/// If the parameter has no default: the caller's mistake.
pub fn uid_of(conf: &Conf, parameter: &str) -> Result<u32, String> {
    let name = conf.text(parameter).expect("it has a default");
    uid(name).map_err(|error| format!("{parameter}={name}: {error}; next: getent passwd {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn users_are_found_by_name_and_by_number_and_a_missing_one_is_named() {
        assert_eq!(uid("root").unwrap(), 0);
        assert_eq!(uid("12").unwrap(), 12);
        assert!(uid("no such user").is_err());
        let text = "ClusterName=c\nSlurmctldHost=h\nSlurmUser=no-such-user\n\
                    NodeName=n\nPartitionName=p Nodes=n\n";
        let conf = Conf::read(Path::new("/x"), &mut |_| Ok(text.to_owned())).unwrap();
        let said = uid_of(&conf, "SlurmUser").unwrap_err();
        assert!(said.starts_with("SlurmUser=no-such-user: ") && said.contains("next: getent"));
    }
}
