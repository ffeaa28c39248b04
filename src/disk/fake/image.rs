//! A directory at rest: what a crash left, or what a copy took. Tests read and damage it.

use crate::base::Nanos;
use crate::disk::fake::content::at;
use crate::disk::fake::tree::{Node, Tree};
use std::ops::Range;

/// Bytes of a disk's sector.
pub const SECTOR: usize = 512;

/// A directory that no process has open. Cloning is cheap; files share what is equal.
///
/// The methods that take a name panic where no such file is: tests know what they damage.
#[derive(Clone, Debug)]
pub struct Image {
    pub(super) tree: Tree,
    /// Whether the directory itself is there.
    pub(super) directory: bool,
    /// Bytes that are written all or not at all.
    pub(super) unit: usize,
    /// Tells the directory from its copies.
    pub(super) identity: u64,
    pub(super) next_inode: u64,
    pub(super) clock: Nanos,
    pub(super) mode: u32,
}

impl Image {
    /// Whether the directory itself survived. Without it there are no files either, and
    /// [`FakeDisk::from_image`](super::FakeDisk::from_image) makes a new one.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.directory
    }

    /// The names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.tree.names.keys().cloned().collect()
    }

    /// Whether there is such a file.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.tree.names.contains_key(name)
    }

    /// Length of a file in bytes.
    #[must_use]
    pub fn len(&self, name: &str) -> u64 {
        self.node(name).len
    }

    /// Whether there are no files.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tree.names.is_empty()
    }

    /// All bytes of a file.
    #[must_use]
    pub fn read(&self, name: &str) -> Vec<u8> {
        let node = self.node(name);
        let mut bytes = vec![0; at(node.len)];
        node.content.read(&mut bytes, 0);
        bytes
    }

    /// When a file was last modified.
    #[must_use]
    pub fn modified(&self, name: &str) -> Nanos {
        self.node(name).modified
    }

    /// Equal for the same names with the same bytes.
    #[must_use]
    pub fn digest(&self) -> u128 {
        if self.directory { self.tree.digest() } else { u128::MAX }
    }

    /// The same names and bytes in another directory: every file has another handle. Times are
    /// kept, as `rsync -a` does.
    #[must_use]
    pub fn copy(&self) -> Image {
        Image { identity: self.identity.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1, ..self.clone() }
    }

    /// The same directory without files: where a copy begins that takes one file after another.
    #[must_use]
    pub fn empty_copy(&self) -> Image {
        Image { tree: Tree::default(), ..self.copy() }
    }

    /// Takes a file from another image, with its time, as a new file that replaces what stood
    /// under the name.
    pub fn take(&mut self, from: &Image, name: &str) {
        let node = from.node(name).clone();
        self.insert(name, node);
    }

    /// Puts a file with these bytes, as a new file that replaces what stood under the name.
    pub fn put(&mut self, name: &str, bytes: &[u8], modified: Nanos) {
        let mut node = Node { len: bytes.len() as u64, modified, ..Node::default() };
        node.content.write(bytes, 0);
        self.insert(name, node);
    }

    /// Sets when a file was last modified.
    pub fn set_modified(&mut self, name: &str, modified: Nanos) {
        self.node_mut(name).modified = modified;
    }

    /// Removes a file.
    pub fn remove(&mut self, name: &str) {
        let inode = self.tree.names.remove(name).expect("the test knows the name");
        self.tree.nodes.remove(&inode);
    }

    /// Renames a file, replacing what stands at `to`. It keeps its handle.
    pub fn rename(&mut self, from: &str, to: &str) {
        let inode = self.tree.names.remove(from).expect("the test knows the name");
        if let Some(replaced) = self.tree.names.insert(to.to_owned(), inode) {
            self.tree.nodes.remove(&replaced);
        }
    }

    /// Cuts a file, or grows it with zeros. The time stays, as with the damage below.
    pub fn truncate(&mut self, name: &str, len: u64) {
        let node = self.node_mut(name);
        node.content.cut(len);
        node.len = len;
    }

    /// Writes over bytes of a file, growing it if need be.
    pub fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) {
        let node = self.node_mut(name);
        node.content.write(bytes, offset);
        node.len = node.len.max(offset + bytes.len() as u64);
    }

    /// Flips one bit, counted from the lowest of the first byte.
    pub fn flip_bit(&mut self, name: &str, bit: u64) {
        let mut byte = [0];
        let node = self.node_mut(name);
        assert!(bit / 8 < node.len, "the bit lies in the file");
        node.content.read(&mut byte, bit / 8);
        node.content.write(&[byte[0] ^ (1 << (bit % 8))], bit / 8);
    }

    /// Makes bytes of a file zeros.
    pub fn zero(&mut self, name: &str, bytes: Range<u64>) {
        let node = self.node_mut(name);
        assert!(bytes.end <= node.len, "the range lies in the file");
        node.content.clear(bytes);
    }

    /// Exchanges two sectors of a file, counted from 0: writes that went to the wrong place.
    pub fn swap_sectors(&mut self, name: &str, one: u64, other: u64) {
        let (first, second) = (self.sector(name, one), self.sector(name, other));
        self.set_sector(name, one, &second);
        self.set_sector(name, other, &first);
    }

    /// One sector of a file.
    #[must_use]
    pub fn sector(&self, name: &str, number: u64) -> [u8; SECTOR] {
        let mut bytes = [0; SECTOR];
        self.node(name).content.read(&mut bytes, number * SECTOR as u64);
        bytes
    }

    /// Replaces one sector of a file.
    pub fn set_sector(&mut self, name: &str, number: u64, bytes: &[u8; SECTOR]) {
        let start = number * SECTOR as u64;
        let node = self.node_mut(name);
        assert!(start + SECTOR as u64 <= node.len, "the sector lies in the file");
        node.content.write(bytes, start);
    }

    fn insert(&mut self, name: &str, node: Node) {
        if self.contains(name) {
            self.remove(name);
        }
        self.tree.names.insert(name.to_owned(), self.next_inode);
        self.tree.nodes.insert(self.next_inode, node);
        self.next_inode += 1;
        self.directory = true;
    }

    fn node(&self, name: &str) -> &Node {
        let inode = self.tree.find(name).expect("the test knows the name");
        self.tree.nodes.get(&inode).expect("an image holds the files that it names")
    }

    fn node_mut(&mut self, name: &str) -> &mut Node {
        let inode = self.tree.find(name).expect("the test knows the name");
        self.tree.node(inode)
    }
}
