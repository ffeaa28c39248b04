//! Whether the controllers have the same configuration and see the same directory: each says in
//! every word what it has, and compares what others say.
//!
//! Invariants: nothing is decided by it; each difference is in the log once, and once more when it
//! has gone.

use crate::controller::pair::{Pair, lock};
use crate::slurm::conf::{Conf, own};
use crate::slurm::wire::tables::Peer;
use std::path::Path;

/// What a controller has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    /// Of slurm.conf, with what it includes, as Slurm makes it. 0: it cannot be read.
    pub conf: u32,
    /// Of statedir.conf; 0: there is none.
    pub own: u64,
}

impl Digests {
    /// Those of the files as they are now.
    #[must_use]
    pub fn read(path: &Path) -> Digests {
        let conf = Conf::load(path).map_or(0, |conf| conf.hash);
        let own = std::fs::read(path.with_file_name(own::NAME)).map_or(0, |bytes| {
            let hash = blake3::hash(&bytes);
            hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
        });
        Digests { conf, own }
    }
}

/// In what two differ.
fn differences(own: Digests, cluster: &str, word: &Peer) -> Vec<&'static str> {
    let theirs = word.cluster.lossy();
    let all = [
        (own.conf != word.conf_digest, "another slurm.conf"),
        (own.own != word.own_digest, "another statedir.conf"),
        // Who has not looked yet says nothing.
        (!cluster.is_empty() && !theirs.is_empty() && cluster != theirs, "another state directory"),
    ];
    all.iter().filter(|(differs, _)| *differs).map(|(_, what)| *what).collect()
}

impl Pair {
    /// The id of the directory's cluster; empty: it was not looked at yet.
    pub fn cluster_id(&self) -> String {
        self.sight
            .borrow()
            .as_ref()
            .map_or_else(String::new, |sight| sight.reign.cluster.to_string())
    }

    /// Another controller has said what it has.
    pub fn compare(&self, host: &str, word: &Peer) {
        let found = differences(*lock(&self.digests), &self.cluster_id(), word);
        let mut differ = lock(&self.differ);
        let before = differ.get(host).cloned().unwrap_or_default();
        if found == before {
            return;
        }
        if found.is_empty() {
            tracing::info!("{host} has the same configuration as this controller");
            differ.remove(host);
            return;
        }
        tracing::warn!(
            "{host} has {}: both must have the same; next: compare the files, then scontrol \
             reconfigure, or restart slurmctld",
            found.join(", ")
        );
        differ.insert(host.to_owned(), found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identical_slurm_conf_on_both_hosts_else_each_difference_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slurm.conf");
        let text = "ClusterName=a\nSlurmctldHost=b\nNodeName=n\nPartitionName=p Nodes=n\n";
        std::fs::write(&path, text).unwrap();
        let own = Digests::read(&path);
        assert!(own.conf != 0 && own.own == 0, "{own:?}");
        let said = |of: Digests, cluster: &str| {
            let word = Peer { cluster: cluster.into(), ..Peer::default() };
            Peer { conf_digest: of.conf, own_digest: of.own, ..word }
        };
        assert!(differences(own, "x", &said(own, "x")).is_empty());
        assert!(differences(own, "x", &said(own, "")).is_empty());
        assert!(differences(own, "", &said(own, "x")).is_empty());
        std::fs::write(&path, format!("{text}MaxJobCount=5\n")).unwrap();
        std::fs::write(dir.path().join(own::NAME), "Guard=no\n").unwrap();
        let all = differences(own, "x", &said(Digests::read(&path), "y"));
        assert_eq!(all, ["another slurm.conf", "another statedir.conf", "another state directory"]);
    }
}
