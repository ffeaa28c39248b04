//! What the agent is told: slurm.conf, statedir.conf, its own name among the nodes, how messages
//! are proved.
//!
//! Invariant: what cannot work is an error that says what to do; nothing is replaced silently.

use crate::slurm::auth::Auth;
use crate::slurm::auth::configured::uid_of;
use crate::slurm::conf::own::Own;
use crate::slurm::conf::{Conf, Node};
use crate::slurm::link::Times;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where slurm.conf is, if nobody says.
const DEFAULT_CONF: &str = "/etc/slurm/slurm.conf";

/// How old a permission may be, if AuthInfo says nothing of `cred_expire`.
const PERMISSION_S: i64 = 120;

/// Everything that was read.
#[derive(Debug)]
pub struct Setup {
    /// slurm.conf.
    pub conf: Conf,
    /// How messages are proved.
    pub auth: Auth,
    /// This node's line.
    pub node: Node,
    /// What `hostname` says, without its domain.
    pub host: String,
    /// Where jobs are kept.
    pub spool: PathBuf,
    /// SlurmUser.
    pub slurm_user: u32,
    /// Whether a health check that fails drains this node.
    pub health_drain: bool,
}

/// The slurm.conf to read: the named one, else $SLURM_CONF, else the usual one.
pub fn conf_path(named: Option<PathBuf>) -> PathBuf {
    named
        .or_else(|| std::env::var_os("SLURM_CONF").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from(DEFAULT_CONF))
}

/// What `hostname -s` says.
pub fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name.split('.').next().unwrap_or(&name).to_owned()
}

impl Setup {
    /// Reads everything.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn load(path: &Path, name: Option<&str>) -> Result<Setup, String> {
        let conf = Conf::load(path).map_err(|error| error.to_string())?;
        let own = Own::load_beside(path).map_err(|error| error.to_string())?;
        let host = host();
        let node = node(&conf, name, &host)?;
        let health_drain = own.health_drain;
        let auth = Auth::configured(&conf, &own)?;
        let spool = expand(conf.text("SlurmdSpoolDir").unwrap_or("/var/spool/slurmd"), &node);
        let slurm_user = uid_of(&conf, "SlurmUser")?;
        Ok(Setup { conf, auth, node, host, spool: spool.into(), slurm_user, health_drain })
    }

    /// A path of slurm.conf, with `%h` and `%n` replaced.
    pub fn path(&self, parameter: &str) -> Option<String> {
        self.conf.text(parameter).map(|text| expand(text, &self.node))
    }

    /// How long things may take.
    pub fn times(&self) -> Times {
        Times {
            connect: Duration::from_secs(self.conf.number("TCPTimeout").max(1)),
            answer: Duration::from_secs(self.conf.number("MessageTimeout").max(1)),
        }
    }

    /// Who may command an agent: SlurmUser and root.
    pub fn commands(&self, uid: u32) -> bool {
        uid == 0 || uid == self.slurm_user
    }

    /// How old a permission may be, in seconds.
    pub fn permission_s(&self) -> i64 {
        let info = self.conf.text("AuthInfo").unwrap_or("");
        let said = info.split(',').find_map(|part| part.trim().strip_prefix("cred_expire="));
        said.and_then(|text| text.parse().ok()).filter(|s| *s >= 5).unwrap_or(PERMISSION_S)
    }
}

fn expand(text: &str, node: &Node) -> String {
    text.replace("%h", &node.hostname).replace("%n", &node.name)
}

fn node(conf: &Conf, name: Option<&str>, host: &str) -> Result<Node, String> {
    let file = conf.path.display();
    if let Some(name) = name {
        let found = conf.nodes.iter().find(|node| node.name == name);
        return found
            .cloned()
            .ok_or_else(|| format!("-N {name}: no NodeName of {file}; next: add it there"));
    }
    let by = |fits: &dyn Fn(&Node) -> bool| conf.nodes.iter().find(|node| fits(node));
    let found = by(&|node| node.hostname == host)
        .or_else(|| by(&|node| node.name == host))
        .or_else(|| by(&|node| node.hostname == "localhost"));
    found.cloned().ok_or_else(|| {
        format!("this host, {host}, is no node of {file}; next: add it there, or say -N NAME")
    })
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
