//! What happened to a disk, in order, and what of it a power cut may leave.
//!
//! The model, on the side of caution. Each of these survives or not, apart from the others:
//! every unit of every write that no sync has covered (a unit holds what the page cache held
//! after that write); every unsynced change of a name (a rename is one change); the directory,
//! until its parent is synced. The length of a file is that of one moment since its last sync,
//! and cuts up to that moment have happened.
//!
//! Invariant: `durable` holds exactly what no crash can take away; everything later is in
//! `changes` and `names`, in order.

use crate::base::Nanos;
use crate::disk::fake::content::Content;
use crate::disk::fake::tree::{Inode, Node, Tree};
use std::ops::Range;
use std::sync::Arc;

/// Something that happened to the disk.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Bytes or length of a file changed.
    Change(Arc<Change>),
    /// The last change of this file is flushed, and what reading it needs; nothing else is.
    Flushed(Inode),
    /// What a read past the page cache has found where a flush had failed: that is on the disk.
    Settled(Arc<Change>),
    /// Everything so far of this file is flushed.
    Synced(Inode),
    /// Everything so far of this file was to be flushed, and nobody will try again.
    SyncFailed(Inode),
    /// A name changed.
    Name(Arc<NameChange>),
    /// All names are flushed.
    NamesSynced,
    /// All names were to be flushed, and nobody will try again.
    NamesSyncFailed,
    /// The directory's own name is flushed.
    ParentSynced,
    /// The test's marker.
    Mark(u64),
}

/// A change of a file's bytes, length or room.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) inode: Inode,
    /// The file's bytes after it.
    pub(super) after: Content,
    /// The atomic units that it touched.
    pub(super) units: Range<u64>,
    /// Pages that it gave room to.
    pub(super) reserved: Range<u64>,
    /// The file's length after it, if that changed.
    pub(super) len: Option<u64>,
    /// Whether it cut the file: its zeros come with its length.
    pub(super) cut: bool,
    /// Whether its own flush failed: no later sync covers it.
    pub(super) doubtful: bool,
    pub(super) modified: Nanos,
}

/// A file got a name, lost one, or changed it.
#[derive(Debug)]
pub(super) enum NameChange {
    Create(String, Inode),
    Remove(String, Inode),
    Rename(String, String, Inode),
}

impl NameChange {
    fn inode(&self) -> Inode {
        match self {
            NameChange::Create(_, inode)
            | NameChange::Remove(_, inode)
            | NameChange::Rename(_, _, inode) => *inode,
        }
    }

    fn names(&self) -> Vec<&String> {
        match self {
            NameChange::Create(name, _) | NameChange::Remove(name, _) => vec![name],
            NameChange::Rename(from, to, _) => vec![from, to],
        }
    }

    fn touches(&self, other: &NameChange) -> bool {
        let ours = self.names();
        self.inode() == other.inode() || other.names().iter().any(|name| ours.contains(name))
    }

    pub(super) fn apply(&self, tree: &mut Tree) {
        match self {
            NameChange::Create(name, inode) => {
                tree.names.insert(name.clone(), *inode);
            }
            NameChange::Remove(name, inode) => {
                tree.names.retain(|known, holder| known != name || holder != inode);
            }
            NameChange::Rename(_, to, inode) => {
                // A file has one name at most, whichever earlier renames were lost.
                tree.names.retain(|_, holder| holder != inode);
                tree.names.insert(to.clone(), *inode);
            }
        }
    }
}

/// Where one unit of a file stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No crash can change it.
    Durable,
    /// Its last change is not flushed yet.
    Written,
    /// The flush of its last change has failed: it is there, or it is not.
    Doubtful,
}

/// A change that a crash may undo.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) change: Arc<Change>,
    /// Units that something flushed has replaced since.
    replaced: Vec<Range<u64>>,
    /// The length it may leave: at least what was flushed since.
    pub(super) len: Option<u64>,
    doubtful: bool,
}

impl Pending {
    fn new(change: &Arc<Change>) -> Pending {
        Pending {
            change: change.clone(),
            replaced: Vec::new(),
            len: change.len,
            doubtful: change.doubtful,
        }
    }

    /// Units that it touched.
    pub(super) fn units(&self) -> u64 {
        self.change.units.end - self.change.units.start
    }

    /// Puts those units on `node` that `keep`, given their ordinal within the change, wants.
    fn apply(&self, node: &mut Node, unit: usize, keep: impl Fn(u64) -> bool) {
        let units = self.change.units.clone();
        node.content.take(&self.change.after, unit, units.clone(), |number| {
            keep(number - units.start) && !self.replaced.iter().any(|range| range.contains(&number))
        });
        node.modified = self.change.modified;
    }
}

#[derive(Clone, Debug)]
struct PendingName {
    change: Arc<NameChange>,
    doubtful: bool,
}

/// Which changes a crash leaves. Ordinals count the pending changes.
pub(super) trait Choice {
    fn directory(&self) -> bool;
    fn name(&self, ordinal: usize) -> bool;
    /// Whether this unit of this change to a file survives; units are counted within the change.
    fn unit(&self, ordinal: usize, inode: Inode, unit: u64, of: u64) -> bool;
    fn length(&self, ordinal: usize, inode: Inode) -> bool;
}

/// What is on the disk for certain, and what may be, at one moment.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    unit: usize,
    directory: bool,
    durable: Tree,
    changes: Vec<Pending>,
    names: Vec<PendingName>,
    marker: Option<u64>,
}

impl Replay {
    pub(super) fn new(unit: usize, directory: bool, durable: Tree) -> Replay {
        Replay { unit, directory, durable, changes: Vec::new(), names: Vec::new(), marker: None }
    }

    pub(super) fn directory(&self) -> bool {
        self.directory
    }

    pub(super) fn changes(&self) -> &[Pending] {
        &self.changes
    }

    pub(super) fn names(&self) -> usize {
        self.names.len()
    }

    /// The greatest marker so far.
    pub(super) fn marker(&self) -> Option<u64> {
        self.marker
    }

    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Change(change) => self.changes.push(Pending::new(change)),
            Event::Flushed(inode) => self.flush_last(*inode),
            Event::Settled(change) => self.settle(change),
            Event::Synced(inode) => self.flush_all(*inode),
            Event::SyncFailed(inode) => {
                let ours = self.changes.iter_mut().filter(|one| one.change.inode == *inode);
                ours.for_each(|one| one.doubtful = true);
            }
            Event::Name(change) => {
                self.names.push(PendingName { change: change.clone(), doubtful: false });
            }
            Event::NamesSynced => self.flush_names(),
            Event::NamesSyncFailed => self.names.iter_mut().for_each(|one| one.doubtful = true),
            Event::ParentSynced => self.directory = true,
            Event::Mark(number) => self.marker = self.marker.max(Some(*number)),
        }
    }

    fn flush_last(&mut self, inode: Inode) {
        let last = self
            .changes
            .iter()
            .rposition(|one| one.change.inode == inode)
            .expect("a flush follows the change that it flushes");
        let flushed = self.changes.remove(last);
        let node = self.durable.node(inode);
        flushed.apply(node, self.unit, |_| true);
        let end = flushed.change.units.end * self.unit as u64;
        node.len = node.len.max(end);
        for earlier in self.changes.iter_mut().filter(|one| one.change.inode == inode) {
            earlier.replaced.push(flushed.change.units.clone());
            earlier.len = earlier.len.map(|len| len.max(end));
        }
    }

    /// What the device holds of one unit of a file, once everything is written that can be.
    pub(super) fn standing(&self, inode: Inode, unit: u64) -> Standing {
        let touches = |one: &&Pending| {
            one.change.inode == inode
                && one.change.units.contains(&unit)
                && !one.replaced.iter().any(|range| range.contains(&unit))
        };
        match self.changes.iter().rfind(touches) {
            None => Standing::Durable,
            Some(last) if last.doubtful => Standing::Doubtful,
            Some(_) => Standing::Written,
        }
    }

    /// The bytes of a file that no crash can take away.
    pub(super) fn durable(&self, inode: Inode) -> Content {
        self.durable.nodes.get(&inode).map(|node| node.content.clone()).unwrap_or_default()
    }

    fn settle(&mut self, change: &Arc<Change>) {
        let node = self.durable.node(change.inode);
        Pending::new(change).apply(node, self.unit, |_| true);
        for earlier in self.changes.iter_mut().filter(|one| one.change.inode == change.inode) {
            earlier.replaced.push(change.units.clone());
        }
    }

    fn flush_all(&mut self, inode: Inode) {
        let (ours, others) = std::mem::take(&mut self.changes)
            .into_iter()
            .partition(|one| one.change.inode == inode);
        self.changes = others;
        let ours: Vec<Pending> = ours;
        let mut doubtful: Vec<Pending> = Vec::new();
        for one in ours {
            if one.doubtful {
                doubtful.push(one);
                continue;
            }
            let node = self.durable.node(inode);
            one.apply(node, self.unit, |_| true);
            node.content.reserve(one.change.reserved.clone());
            if let Some(len) = one.len {
                node.len = len;
                // Lengths are of one moment: those before it are past.
                doubtful.retain(|earlier| !earlier.change.cut);
                doubtful.iter_mut().for_each(|earlier| earlier.len = None);
            }
            for earlier in &mut doubtful {
                earlier.replaced.push(one.change.units.clone());
            }
        }
        // Doubtful changes stay before everything that comes after.
        self.changes.extend(doubtful);
    }

    fn flush_names(&mut self) {
        let mut doubtful: Vec<PendingName> = Vec::new();
        for one in std::mem::take(&mut self.names) {
            if one.doubtful {
                doubtful.push(one);
            } else {
                one.change.apply(&mut self.durable);
                doubtful.retain(|earlier| !earlier.change.touches(&one.change));
            }
        }
        self.names = doubtful;
    }

    /// What a crash at this moment leaves by `choice`; `None` if not even the directory.
    pub(super) fn crash(&self, choice: &dyn Choice) -> Option<Tree> {
        if !self.directory && !choice.directory() {
            return None;
        }
        let mut names = Tree { names: self.durable.names.clone(), ..Tree::default() };
        for (ordinal, one) in self.names.iter().enumerate() {
            if choice.name(ordinal) {
                one.change.apply(&mut names);
            }
        }
        let mut tree = Tree { names: names.names, nodes: self.durable.nodes.clone() }.reachable();
        for (inode, node) in &mut tree.nodes {
            self.crash_file(*inode, node, choice);
        }
        Some(tree)
    }

    fn crash_file(&self, inode: Inode, node: &mut Node, choice: &dyn Choice) {
        let ours = || self.changes.iter().enumerate().filter(|(_, p)| p.change.inode == inode);
        let moment = ours()
            .filter(|(ordinal, one)| one.len.is_some() && choice.length(*ordinal, inode))
            .map(|(ordinal, _)| ordinal)
            .next_back();
        for (ordinal, one) in ours() {
            let past = moment.is_some_and(|moment| ordinal <= moment);
            let of = one.units();
            if one.change.cut {
                if past {
                    one.apply(node, self.unit, |_| true);
                }
            } else {
                one.apply(node, self.unit, |unit| choice.unit(ordinal, inode, unit, of));
            }
            if past && moment == Some(ordinal) {
                node.len = one.len.unwrap_or(node.len);
            }
            if past {
                node.content.reserve(one.change.reserved.clone());
            }
        }
        // Bytes that were flushed beyond a length that was not.
        node.content.cut(node.len);
    }
}
