//! What differs between two states, wherever they are kept.
//!
//! Invariants: differences come in order of tables and keys, each entry once; a state is read
//! once, from front to back; memory is a value or two, and for a tree the keys of one table.

use crate::export::tree::{Table, Tree, TreeError};
use crate::store::View;
use std::borrow::Cow;
use std::cmp::Ordering;

/// A state.
#[derive(Clone, Copy, Debug)]
pub enum Side<'a> {
    /// A store's, at some point of its history.
    View(&'a View),
    /// An exported tree's.
    Tree(&'a Tree),
}

/// What became of an entry: the lengths of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It is only in the second state.
    Added(u64),
    /// It is only in the first.
    Removed(u64),
    /// It has another value.
    Changed(u64, u64),
}

/// Takes a difference: table, key, and what became of the entry.
pub type Each<'a, E> = dyn FnMut(&str, &[u8], Difference) -> Result<(), E> + 'a;

/// Hands every difference to `each`: table, key, and what became of it.
///
/// # Errors
/// [`TreeError`], or what `each` returns.
pub fn diff<E: From<TreeError>>(
    first: Side<'_>,
    second: Side<'_>,
    each: &mut Each<'_, E>,
) -> Result<(), E> {
    let mut tables = [first.tables()?, second.tables()?].concat();
    tables.sort();
    tables.dedup();
    for table in &tables {
        let (mut left, mut right) = (first.entries(table)?, second.entries(table)?);
        let (mut a, mut b) = (left.next()?, right.next()?);
        loop {
            let order = match (&a, &b) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((x, _)), Some((y, _))) => x.cmp(y),
            };
            match (order, &a, &b) {
                (Ordering::Less, Some((key, value)), _) => {
                    each(table, key, Difference::Removed(value.len() as u64))?;
                }
                (Ordering::Greater, _, Some((key, value))) => {
                    each(table, key, Difference::Added(value.len() as u64))?;
                }
                (Ordering::Equal, Some((key, old)), Some((_, new))) if old != new => {
                    let lengths = Difference::Changed(old.len() as u64, new.len() as u64);
                    each(table, key, lengths)?;
                }
                _ => {}
            }
            if order != Ordering::Greater {
                a = left.next()?;
            }
            if order != Ordering::Less {
                b = right.next()?;
            }
        }
    }
    Ok(())
}

type Entry<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

impl<'a> Side<'a> {
    fn tables(self) -> Result<Vec<String>, TreeError> {
        match self {
            Side::View(view) => Ok(view.tables()?.into_iter().map(str::to_owned).collect()),
            Side::Tree(tree) => tree.tables(),
        }
    }

    fn entries(self, table: &'a str) -> Result<Entries<'a>, TreeError> {
        match self {
            Side::View(view) => Ok(Entries::View(Box::new(view.scan(table, b"")))),
            Side::Tree(tree) => match tree.table(table)? {
                None => Ok(Entries::Tree(None)),
                Some(table) => {
                    let keys = table.keys()?.into_iter();
                    Ok(Entries::Tree(Some((table, keys))))
                }
            },
        }
    }
}

/// The keys of a table's folder that are still to come.
type Keys = std::vec::IntoIter<Vec<u8>>;

enum Entries<'a> {
    View(Box<crate::store::Scan<'a>>),
    Tree(Option<(Table, Keys)>),
}

impl<'a> Entries<'a> {
    fn next(&mut self) -> Result<Option<Entry<'a>>, TreeError> {
        match self {
            Entries::View(scan) => {
                let entry = scan.next().transpose()?;
                Ok(entry.map(|(key, value)| (Cow::Borrowed(key), Cow::Borrowed(value))))
            }
            Entries::Tree(None) => Ok(None),
            Entries::Tree(Some((table, keys))) => {
                let Some(key) = keys.next() else { return Ok(None) };
                let value = table.value(&key)?.ok_or_else(|| table.vanished(&key))?;
                Ok(Some((Cow::Owned(key), Cow::Owned(value))))
            }
        }
    }
}
