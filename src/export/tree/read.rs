//! Reads a tree back, whoever wrote it.
//!
//! Invariants: what is no exported tree is refused, with the path of what does not belong; only
//! regular files are opened, and no more is read than a key or a value can hold; listing takes
//! memory for one name at a time, except [`Table::keys`], which takes those of a table.

use crate::base::limits::{KEY_MAX, TABLES_MAX, VALUE_MAX};
use crate::disk::folder::{Folder, Kind};
use crate::export::tree::TreeError;
use crate::export::tree::about::{ABOUT, ABOUT_MAX, About};
use crate::export::tree::names::{Meaning, Name, escape, is_long, parse, unescape};
use crate::format::batch::is_table_name;
use crate::store::View;
use std::io;
use std::path::Path;

/// An exported tree, open for reading.
#[derive(Debug)]
pub struct Tree {
    folder: Folder,
    about: Option<About>,
}

/// How much is in a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tables.
    pub tables: u64,
    /// Entries.
    pub entries: u64,
}

impl Tree {
    /// Opens a tree. One that was made by hand need not say what it is.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn open(path: &Path) -> Result<Tree, TreeError> {
        let folder = Folder::open(path).map_err(TreeError::io(path))?;
        let file = folder.place(ABOUT.as_bytes());
        let about = match folder.read(ABOUT.as_bytes(), ABOUT_MAX) {
            Ok(bytes) => {
                Some(About::decode(&bytes).map_err(|what| TreeError::About { path: file, what })?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(TreeError::Io { path: file, source }),
        };
        Ok(Tree { folder, about })
    }

    /// What it says of itself, if it does.
    #[must_use]
    pub fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The names of its tables, in bytewise order.
    ///
    /// # Errors
    /// [`TreeError`] for anything that is no table.
    pub fn tables(&self) -> Result<Vec<String>, TreeError> {
        let mut tables = Vec::new();
        self.folder.each(|name, kind| {
            if name == ABOUT.as_bytes() || name == b"lost+found" {
                return Ok(());
            }
            let path = || self.folder.place(name);
            if kind != Kind::Folder {
                return Err(TreeError::Kind { path: path(), what: what(kind) });
            }
            let table = std::str::from_utf8(name).ok().and_then(unescape);
            let table = table.filter(|t| is_table_name(t) && escape(t).as_bytes() == name);
            let table = table.and_then(|t| String::from_utf8(t).ok());
            tables.push(table.ok_or_else(|| TreeError::Name { path: path(), of: "table" })?);
            if tables.len() > TABLES_MAX {
                return Err(TreeError::Name { path: path(), of: "further table: there are 1,024" });
            }
            Ok(())
        })?;
        if tables.is_empty() && self.about.is_none() {
            return Err(TreeError::Nothing(self.path().to_owned()));
        }
        tables.sort();
        Ok(tables)
    }

    /// One table; `None` if it is not there.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn table(&self, name: &str) -> Result<Option<Table>, TreeError> {
        let escaped = escape(name.as_bytes());
        match self.folder.sub(escaped.as_bytes()) {
            Ok(folder) => Ok(Some(Table { folder })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => {
                Err(TreeError::Io { path: self.folder.place(escaped.as_bytes()), source })
            }
        }
    }

    /// Looks at every name, and at nothing else: whether all of it is an exported tree.
    ///
    /// # Errors
    /// [`TreeError`]: the first thing that does not belong there.
    pub fn check(&self) -> Result<Totals, TreeError> {
        let mut totals = Totals::default();
        for name in self.tables()? {
            let gone = || TreeError::Changed(self.path().join(escape(name.as_bytes())));
            let table = self.table(&name)?.ok_or_else(gone)?;
            table.each_key(&mut |_| {
                totals.entries += 1;
                Ok(())
            })?;
            totals.tables += 1;
        }
        Ok(totals)
    }
}

/// A table's folder.
#[derive(Debug)]
pub struct Table {
    folder: Folder,
}

impl Table {
    /// Hands every key to `each`, in no particular order.
    ///
    /// # Errors
    /// [`TreeError`], or what `each` returns.
    pub fn each_key(
        &self,
        each: &mut dyn FnMut(&[u8]) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        self.folder.each(|name, kind| {
            let path = || self.folder.place(name);
            if kind != Kind::File {
                return Err(TreeError::Kind { path: path(), what: what(kind) });
            }
            let partner = |base: &str, ending: &str, missing: &'static str| {
                let name = format!("{base}{ending}");
                let found = self.folder.facts(name.as_bytes()).map_err(TreeError::io(&path()))?;
                let is_file = found.is_some_and(|facts| facts.kind == Kind::File);
                if is_file {
                    Ok(())
                } else {
                    Err(TreeError::LongKey { path: path(), what: missing })
                }
            };
            match parse(name) {
                Some(Meaning::Value(key)) => each(&key),
                Some(Meaning::LongKey(base)) => {
                    partner(&base, ".value", "a key without its value")?;
                    let key = self.folder.read(name, KEY_MAX).map_err(TreeError::io(&path()))?;
                    if !is_long(&base, &key) {
                        let what = "holds another key than its name says";
                        return Err(TreeError::LongKey { path: path(), what });
                    }
                    each(&key)
                }
                Some(Meaning::LongValue(base)) => partner(&base, ".key", "a value without its key"),
                None => Err(TreeError::Name { path: path(), of: "key" }),
            }
        })
    }

    /// All keys, in bytewise order.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, TreeError> {
        let mut keys = Vec::new();
        self.each_key(&mut |key| {
            keys.push(key.to_vec());
            Ok(())
        })?;
        keys.sort();
        Ok(keys)
    }

    /// The value of `key`; `None` if it is not there.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TreeError> {
        let name = Name::of(key).value();
        let path = || self.folder.place(name.as_bytes());
        match self.folder.read(name.as_bytes(), VALUE_MAX) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(TreeError::TooLarge(path()))
            }
            Err(source) => Err(TreeError::Io { path: path(), source }),
        }
    }

    /// Whether `key` is there.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn has(&self, key: &[u8]) -> Result<bool, TreeError> {
        let name = Name::of(key).value();
        let found = self.folder.facts(name.as_bytes());
        let path = || self.folder.place(name.as_bytes());
        let found = found.map_err(|source| TreeError::Io { path: path(), source })?;
        Ok(found.is_some_and(|facts| facts.kind == Kind::File))
    }

    /// A file that was listed and is not there any more.
    pub(crate) fn vanished(&self, key: &[u8]) -> TreeError {
        TreeError::Changed(self.folder.place(Name::of(key).value().as_bytes()))
    }
}

fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "a file where a table's folder should be",
        Kind::Folder => "a folder where an entry's file should be",
        Kind::Link => "a symbolic link",
        Kind::Special => "a device, a FIFO or a socket",
    }
}

/// What makes a state the tree's.
#[derive(Debug)]
pub enum Change<'a> {
    /// An entry is new or different.
    Put {
        /// Its table.
        table: &'a str,
        /// Its key.
        key: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// An entry is not in the tree.
    Delete {
        /// Its table.
        table: &'a str,
        /// Its key.
        key: &'a [u8],
    },
    /// An entry is as it is.
    Same,
}

/// Hands to `each` what makes `view` the tree's state; deletions only if they are wanted.
///
/// # Errors
/// [`TreeError`], or what `each` returns.
pub fn changes<E: From<TreeError>>(
    tree: &Tree,
    view: &View,
    deletions: bool,
    each: &mut dyn FnMut(Change<'_>) -> Result<(), E>,
) -> Result<(), E> {
    for table in tree.tables()? {
        let Some(folder) = tree.table(&table)? else { continue };
        // What `each` returns goes by way of this.
        let mut failed: Option<E> = None;
        let walked = folder.each_key(&mut |key| {
            let gone = || folder.vanished(key);
            let value = folder.value(key)?.ok_or_else(gone)?;
            let change = match view.get(&table, key)? {
                Some(held) if held == value => Change::Same,
                _ => Change::Put { table: &table, key, value: &value },
            };
            each(change).map_err(|error| {
                failed = Some(error);
                gone()
            })
        });
        match (failed, walked) {
            (Some(error), _) => return Err(error),
            (None, walked) => walked?,
        }
    }
    if !deletions {
        return Ok(());
    }
    for table in view.tables().map_err(TreeError::from)? {
        let folder = tree.table(table)?;
        for entry in view.scan(table, b"") {
            let (key, _) = entry.map_err(TreeError::from)?;
            let there = folder.as_ref().map_or(Ok(false), |folder| folder.has(key))?;
            if !there {
                each(Change::Delete { table, key })?;
            }
        }
    }
    Ok(())
}
