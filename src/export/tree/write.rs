//! Writes a tree.
//!
//! Invariants: the tree appears under its name by one rename, after everything in it was flushed;
//! what an interrupted run has left is never taken for a tree, and the next run removes it; a file
//! is linked only after its bytes were compared.

use crate::base::{Id, Nanos};
use crate::disk::folder::{Folder, Taken};
use crate::export::tree::TreeError;
use crate::export::tree::about::{ABOUT, ABOUT_MAX, About};
use crate::export::tree::names::{Name, escape};
use crate::store::View;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How a tree is written.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// An older tree: files that have not changed are linked to those there.
    pub link_dest: Option<PathBuf>,
    /// Take the place of the tree that is there, and link to that one if no other is named.
    pub replace: bool,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Tables.
    pub tables: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes of keys and values.
    pub logical_bytes: u64,
    /// Entries whose file was linked.
    pub linked: u64,
    /// Bytes of values that were written.
    pub written_bytes: u64,
}

/// Writes `view` as a tree in `target`. `progress` gets what was done so far from time to time.
///
/// # Errors
/// [`TreeError`]; `target` is then as it was.
pub fn write_tree(
    view: &View,
    (cluster, incarnation): (Id, Id),
    target: &Path,
    options: &Options,
    progress: &mut dyn FnMut(&Exported),
) -> Result<Exported, TreeError> {
    let (parent, name) = place(target)?;
    let there = parent.facts(&name).map_err(TreeError::io(target))?;
    let replaced = match there {
        None => None,
        Some(_) if !options.replace => return Err(taken(target)),
        Some(_) => Some(replaceable(&parent, &name, target)?),
    };
    let older = match &options.link_dest {
        Some(path) => Some(Folder::open(path).map_err(TreeError::io(path))?),
        None => replaced,
    };
    let room = Scratch::make(&parent, &name).map_err(TreeError::io(target))?;
    if let Some(older) = &older {
        let device = |folder: &Folder| folder.own_facts().map(|facts| facts.device);
        let (here, other) = (device(&room.folder), device(older));
        if here.map_err(TreeError::io(target))? != other.map_err(TreeError::io(older.path()))? {
            return Err(TreeError::OtherDevice(older.path().to_owned()));
        }
    }
    let mut writer = Writer {
        folder: &room.folder,
        older: older.as_ref(),
        table: None,
        done: Exported::default(),
        progress,
    };
    view.for_each(|table, key, value| writer.entry(table, key, value))?;
    let done = writer.done;
    (writer.progress)(&done);
    let about = About { cluster, incarnation, lsn: view.lsn(), time: view.time() };
    room.folder
        .write(ABOUT.as_bytes(), about.encode().as_bytes())
        .map_err(TreeError::io(&room.folder.place(ABOUT.as_bytes())))?;
    // From here on every file of the tree survives a power cut.
    room.folder.sync_all().map_err(TreeError::io(target))?;
    let how = if there.is_some() { Taken::Exchange } else { Taken::Refuse };
    let renamed = parent.rename(&room.name, &name, how);
    renamed.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(target),
        _ => TreeError::Io { path: target.to_owned(), source: error },
    })?;
    // And from here on its name does.
    parent.sync().map_err(TreeError::io(target))?;
    match how {
        Taken::Refuse => room.keep(),
        // Under the name of ours stands what was replaced: it goes when `room` does.
        Taken::Exchange => drop(room),
    }
    Ok(done)
}

fn taken(target: &Path) -> TreeError {
    TreeError::Exists(target.to_owned())
}

/// The folder that `target` lies in, and its name there.
fn place(target: &Path) -> Result<(Folder, Vec<u8>), TreeError> {
    let name = target.file_name().ok_or_else(|| taken(target))?;
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = Folder::open(parent).map_err(TreeError::io(parent))?;
    Ok((folder, name.as_bytes().to_vec()))
}

/// The tree that stands in the way, if it is one: other folders are nobody's to remove.
fn replaceable(parent: &Folder, name: &[u8], target: &Path) -> Result<Folder, TreeError> {
    let not_ours = || TreeError::NotATree(target.to_owned());
    let folder = parent.sub(name).map_err(|_| not_ours())?;
    let about = folder.read(ABOUT.as_bytes(), ABOUT_MAX).map_err(|_| not_ours())?;
    About::decode(&about).map_err(|_| not_ours())?;
    Ok(folder)
}

/// The folder that a tree is written in. Locked, so that another run knows it is in use.
struct Scratch<'a> {
    parent: &'a Folder,
    name: Vec<u8>,
    folder: Folder,
    keep: bool,
}

impl Scratch<'_> {
    fn make<'a>(parent: &'a Folder, target: &[u8]) -> io::Result<Scratch<'a>> {
        let prefix = [b".", target, b".statectl-"].concat();
        parent.remove_leftovers(&prefix)?;
        let id = format!("{}-{:x}", std::process::id(), Nanos::now().0);
        let name = [&prefix, id.as_bytes()].concat();
        let folder = parent.make(&name)?;
        folder.try_lock()?;
        Ok(Scratch { parent, name, folder, keep: false })
    }

    fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = self.parent.remove_tree(&self.name)
        {
            let path = self.parent.place(&self.name);
            tracing::warn!(%error, path = %path.display(), "could not be removed");
        }
    }
}

struct OpenTable {
    name: String,
    folder: Folder,
    older: Option<Folder>,
}

struct Writer<'a> {
    folder: &'a Folder,
    older: Option<&'a Folder>,
    table: Option<OpenTable>,
    done: Exported,
    progress: &'a mut dyn FnMut(&Exported),
}

impl Writer<'_> {
    fn entry(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), TreeError> {
        if self.table.as_ref().is_none_or(|open| open.name != table) {
            self.enter(table)?;
        }
        let open = self.table.as_ref().expect("entered above");
        let name = Name::of(key);
        if let Some(key_file) = name.key() {
            put(open, &key_file, key)?;
        }
        let linked = put(open, &name.value(), value)?;
        self.done.entries += 1;
        self.done.logical_bytes += (key.len() + value.len()) as u64;
        if linked {
            self.done.linked += 1;
        } else {
            self.done.written_bytes += value.len() as u64;
        }
        if self.done.entries.is_multiple_of(1024) {
            (self.progress)(&self.done);
        }
        Ok(())
    }

    fn enter(&mut self, table: &str) -> Result<(), TreeError> {
        let name = escape(table.as_bytes());
        let folder = self.folder.make(name.as_bytes());
        let folder = folder.map_err(TreeError::io(&self.folder.place(name.as_bytes())))?;
        // A table that was not there before, or something else in its place: nothing is linked.
        let older = self.older.and_then(|older| older.sub(name.as_bytes()).ok());
        self.table = Some(OpenTable { name: table.to_owned(), folder, older });
        self.done.tables += 1;
        Ok(())
    }
}

/// Makes a file of a table; whether it was linked.
fn put(table: &OpenTable, name: &str, bytes: &[u8]) -> Result<bool, TreeError> {
    let name_bytes = name.as_bytes();
    if let Some(older) = &table.older
        && same(older, name_bytes, bytes)
    {
        match older.link(name_bytes, &table.folder, name_bytes) {
            Ok(()) => return Ok(true),
            // No more names for that file (65,000 on ext4), or it is gone: it is written anew.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::TooManyLinks | io::ErrorKind::NotFound
                ) => {}
            Err(source) => return Err(TreeError::Io { path: older.place(name_bytes), source }),
        }
    }
    let path = || table.folder.path().join(OsStr::from_bytes(name_bytes));
    let written = table.folder.write(name_bytes, bytes);
    written.map_err(|source| TreeError::Io { path: path(), source })?;
    Ok(false)
}

/// Whether an older tree's file is as ours would be.
fn same(older: &Folder, name: &[u8], bytes: &[u8]) -> bool {
    let Ok((file, facts)) = older.file(name) else { return false };
    if facts.len != bytes.len() as u64 || facts.mode != 0o600 {
        return false;
    }
    let mut found = Vec::with_capacity(bytes.len());
    let read = io::Read::read_to_end(&mut io::Read::take(file, facts.len + 1), &mut found);
    read.is_ok() && found == bytes
}
