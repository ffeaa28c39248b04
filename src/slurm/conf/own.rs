//! statedir.conf: what is ours and not Slurm's, in a file beside slurm.conf, because real clients
//! refuse a slurm.conf with keys that they do not know. It may be missing.
//!
//! | key | value | default |
//! |---|---|---|
//! | `AuthKeyFile` | instead of munge: a 0600 file, whose owner alone is served | none |
//! | `AuthorityCheck` | how a primary asks whether it still reigns: `name`, `mark` | by the kind of mount |
//! | `Guard` | whether a second process ends one that hangs, and starts it again: `yes`, `no` | yes |
//! | `HealthDrain` | whether our agent drains a node whose HealthCheckProgram fails | yes |
//! | `History` | how far back the state can be read, in minutes or as `days-hours` | 1-0 |
//! | `HistoryRatio` | most room of superseded files, in units of the newest snapshot | 1 |
//! | `MetricsAddress` | where `/metrics` is served: a port of 127.0.0.1, or `address:port` | none |
//! | `Mode` | `shared`: several controllers on one directory; `local`: one, on its own | by SlurmctldHost |

use crate::slurm::conf::fields::near;
use crate::slurm::conf::include::{Statement, collect};
use crate::slurm::conf::mistake::{ConfError, Problem};
use crate::slurm::conf::values;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The keys, in the order of the table.
pub const KEYS: [&str; 8] = [
    "AuthKeyFile",
    "AuthorityCheck",
    "Guard",
    "HealthDrain",
    "History",
    "HistoryRatio",
    "MetricsAddress",
    "Mode",
];

/// The name of the file.
pub const NAME: &str = "statedir.conf";

/// How controllers share the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Several use one directory, which all of them see.
    Shared,
    /// There is one, on a directory of its own.
    Local,
}

/// How the primary of a shared directory asks whether it still reigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityCheck {
    /// By the next epoch's name in the directory.
    Name,
    /// By the mark in its own record, read past every cache.
    Mark,
}

/// A whole statedir.conf.
#[derive(Clone, Debug, PartialEq)]
pub struct Own {
    /// Key for credentials, instead of munge.
    pub auth_key_file: Option<PathBuf>,
    /// How a primary asks whether it still reigns; `None`: as the kind of mount suggests.
    pub authority_check: Option<AuthorityCheck>,
    /// Whether a second process looks after the one that serves.
    pub guard: bool,
    /// Whether an agent drains a node that is not healthy.
    pub health_drain: bool,
    /// How far back the state can be read.
    pub history: Duration,
    /// Most room of superseded files, in units of the newest snapshot.
    pub history_ratio: f64,
    /// Where metrics are served, if they are.
    pub metrics: Option<SocketAddr>,
    /// How controllers share the state; `None`: as many SlurmctldHost suggest.
    pub mode: Option<Mode>,
}

impl Default for Own {
    fn default() -> Own {
        let history = Duration::from_secs(24 * 3600);
        Own {
            auth_key_file: None,
            authority_check: None,
            guard: true,
            health_drain: true,
            history,
            history_ratio: 1.0,
            metrics: None,
            mode: None,
        }
    }
}

impl Own {
    /// How `controllers` of them share the state.
    #[must_use]
    pub fn mode(&self, controllers: usize) -> Mode {
        let usual = if controllers > 1 { Mode::Shared } else { Mode::Local };
        self.mode.unwrap_or(usual)
    }

    /// Reads the statedir.conf beside `slurm_conf`, if there is one.
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn load_beside(slurm_conf: &Path) -> Result<Own, ConfError> {
        let path = slurm_conf.with_file_name(NAME);
        Own::read(&path, &mut |path| match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            read => read,
        })
    }

    /// Reads a statedir.conf, where `read` gives its text.
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn read(
        path: &Path,
        read: &mut dyn FnMut(&Path) -> io::Result<String>,
    ) -> Result<Own, ConfError> {
        let mut own = Own::default();
        for line in collect(path, read)?.0 {
            own.line(&line).map_err(|problem| ConfError::At { place: line.place, problem })?;
        }
        Ok(own)
    }

    fn line(&mut self, line: &Statement) -> Result<(), Problem> {
        let [pair] = line.pairs.as_slice() else {
            let more = &line.pairs[1];
            return Err(Problem::Syntax(format!("{}={} behind another one", more.key, more.value)));
        };
        let key = KEYS.into_iter().find(|key| key.eq_ignore_ascii_case(&pair.key));
        let wrong = |wanted| {
            let (key, value) = (pair.key.clone(), pair.value.clone());
            Problem::Value { key, value, wanted }
        };
        match key {
            Some("AuthKeyFile") if pair.value.starts_with('/') => {
                self.auth_key_file = Some(PathBuf::from(&pair.value));
            }
            Some("AuthKeyFile") => return Err(wrong("an absolute path")),
            Some("AuthorityCheck") => {
                self.authority_check = Some(match pair.value.to_ascii_lowercase().as_str() {
                    "name" => AuthorityCheck::Name,
                    "mark" => AuthorityCheck::Mark,
                    _ => return Err(wrong("name or mark")),
                });
            }
            Some("History") => {
                let minutes = values::minutes(&pair.value).map_err(wrong)?;
                self.history = Duration::from_secs(u64::from(minutes) * 60);
            }
            Some("HistoryRatio") => {
                let ratio = pair.value.parse::<f64>().ok();
                let ratio = ratio.filter(|ratio| (0.0..=1000.0).contains(ratio));
                self.history_ratio = ratio.ok_or_else(|| wrong("a number from 0 to 1000"))?;
            }
            Some("Guard") => {
                self.guard = values::flag(&pair.value).map_err(wrong)?;
            }
            Some("HealthDrain") => {
                self.health_drain = values::flag(&pair.value).map_err(wrong)?;
            }
            Some("MetricsAddress") => {
                let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                let port = pair.value.parse::<u16>().ok().map(local);
                let found = port.or_else(|| pair.value.parse().ok()).filter(|at| at.port() != 0);
                self.metrics = Some(found.ok_or_else(|| wrong("a port, or address:port"))?);
            }
            Some("Mode") if pair.value.eq_ignore_ascii_case("shared") => {
                self.mode = Some(Mode::Shared);
            }
            Some("Mode") if pair.value.eq_ignore_ascii_case("local") => {
                self.mode = Some(Mode::Local);
            }
            Some(_) => return Err(wrong("shared or local")),
            None => {
                let near = near(&pair.key, &KEYS);
                let (key, of) = (pair.key.clone(), format!("of {NAME}"));
                return Err(Problem::Unknown { key, of, near });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own(text: &str) -> Result<Own, String> {
        Own::read(Path::new("/etc/statedir.conf"), &mut |_| Ok(text.to_owned()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_read_and_the_file_may_be_missing() {
        assert_eq!(own("").unwrap(), Own::default());
        let text = "authkeyfile=/etc/key # ours\nHistory=7-0\nHistoryRatio=2.5\nMode=Local\n\
             Guard=no\nHealthDrain=no\nMetricsAddress=9341\nAuthorityCheck=Mark\n";
        let wanted = Own {
            auth_key_file: Some(PathBuf::from("/etc/key")),
            authority_check: Some(AuthorityCheck::Mark),
            history: Duration::from_secs(7 * 86_400),
            history_ratio: 2.5,
            guard: false,
            health_drain: false,
            metrics: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9341))),
            mode: Some(Mode::Local),
        };
        assert_eq!(own(text).unwrap(), wanted);
        let beside = tempfile::tempdir().unwrap();
        let found = Own::load_beside(&beside.path().join("slurm.conf")).unwrap();
        assert_eq!(found, Own::default());
    }

    #[test]
    fn mistakes_name_the_line_and_what_is_wanted() {
        let said = |text: &str| own(text).unwrap_err();
        assert_eq!(
            said("\nHistry=3"),
            "/etc/statedir.conf:2: Histry is no parameter of statedir.conf; correct its name \
             (History?)"
        );
        assert!(said("AuthKeyFile=key").ends_with("AuthKeyFile=key: an absolute path is wanted"));
        assert!(said("MetricsAddress=here:1").ends_with("a port, or address:port is wanted"));
        let everywhere = own("MetricsAddress=[::]:9341").unwrap().metrics.unwrap();
        assert!(everywhere.ip().is_unspecified() && everywhere.port() == 9341);
        assert!(said("HistoryRatio=NaN").contains("a number from 0 to 1000"));
        assert!(said("Mode=both").contains("shared or local is wanted"));
        assert!(said("Mode=local History=3").contains("behind another one"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(
            text in "(AuthKeyFile|Guard|History(Ratio)?|MetricsAddress|Mode|#|=|[0-9.-]|\n| |é)*",
        ) {
            let _ = own(&text);
        }
    }
}
