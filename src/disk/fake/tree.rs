//! Names and files: what a running system sees, what a crash leaves, and what an image holds are
//! three of these.

use crate::base::Nanos;
use crate::disk::fake::content::Content;
use crate::disk::fake::content::{digest, mix};
use std::collections::BTreeMap;

/// Identity of a file within a fake disk. Never used twice.
pub(super) type Inode = u64;

/// One file. Cloning costs nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) content: Content,
    pub(super) len: u64,
    pub(super) modified: Nanos,
}

/// A directory. Files may be without a name: removed but open, or made but lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) names: BTreeMap<String, Inode>,
    pub(super) nodes: BTreeMap<Inode, Node>,
}

impl Tree {
    pub(super) fn find(&self, name: &str) -> Option<Inode> {
        self.names.get(name).copied()
    }

    pub(super) fn node(&mut self, inode: Inode) -> &mut Node {
        self.nodes.entry(inode).or_default()
    }

    /// Without the files that have no name.
    pub(super) fn reachable(&self) -> Tree {
        let node = |inode: &Inode| self.nodes.get(inode).cloned().unwrap_or_default();
        let nodes = self.names.values().map(|inode| (*inode, node(inode))).collect();
        Tree { names: self.names.clone(), nodes }
    }

    /// Equal for the same names with the same bytes, whatever their room and times.
    pub(super) fn digest(&self) -> u128 {
        self.names.iter().fold(0, |sum, (name, inode)| {
            let (len, content) =
                self.nodes.get(inode).map_or((0, 0), |node| (node.len, node.content.digest()));
            let name = digest(name.as_bytes());
            sum.wrapping_add(mix(mix(name ^ u128::from(len)).wrapping_add(content)))
        })
    }
}
