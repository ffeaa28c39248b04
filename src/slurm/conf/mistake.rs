//! What is wrong with a configuration file: where, what, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// The line, from 1; a continued one counts where it begins.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// A line is wrong.
    #[error("{place}: {problem}")]
    At {
        /// Where.
        place: Place,
        /// What, and what to do.
        problem: Problem,
    },
    /// The files as a whole are.
    #[error("{}: {problem}", file.display())]
    Whole {
        /// The file that was to be read.
        file: PathBuf,
        /// What, and what to do.
        problem: Problem,
    },
}

/// What is wrong. Each says what to do as well.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot be read: {0}; check the path and its permissions")]
    Unreadable(std::io::Error),
    /// Not a `Key=Value`.
    #[error("{0:?} is no Key=Value; correct it, or put # in front")]
    Syntax(String),
    /// A quote without its partner.
    #[error("the quote of {0:?} does not end on this line; close it, and write \\# for a # in it")]
    Quote(String),
    /// Not a parameter of that file.
    #[error("{key} is no parameter {of}; correct its name{}", hint(.near))]
    Unknown {
        /// The key.
        key: String,
        /// Of what.
        of: String,
        /// A parameter with a similar name.
        near: Option<&'static str>,
    },
    /// A parameter that Slurm has no more.
    #[error("{0} was removed from Slurm, whose programs refuse the file; delete the line")]
    Removed(String),
    /// A value of the wrong kind.
    #[error("{key}={value}: {wanted} is wanted")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A list of hosts that is none.
    #[error("{key}: {error}; see \"scontrol show hostnames\"")]
    Hosts {
        /// The key.
        key: String,
        /// Why.
        error: crate::slurm::hostlist::HostlistError,
    },
    /// Lists that belong together and differ in length.
    #[error("{key} stands for {found} names, NodeName for {wanted}; give as many, or one")]
    Count {
        /// The key.
        key: &'static str,
        /// Its names.
        found: usize,
        /// The node's names.
        wanted: usize,
    },
    /// Something is there twice.
    #[error("{what} {name} is there already, at {first}; delete one of the two")]
    Twice {
        /// Node or partition.
        what: &'static str,
        /// Its name.
        name: String,
        /// Where it was first.
        first: Place,
    },
    /// A node that no line defines.
    #[error("{key} names {name}, which no NodeName line defines; add one, or take it out")]
    NoSuchNode {
        /// The key.
        key: &'static str,
        /// The node.
        name: String,
    },
    /// Something must be there.
    #[error("{0} is missing; add it")]
    Missing(&'static str),
    /// Files include each other too deeply.
    #[error("Include goes more than {0} files deep; look for a file that includes itself")]
    Depth(usize),
    /// More than anybody writes by hand.
    #[error("more than {0} {1} of configuration; look for a file that is included too often")]
    Large(usize, &'static str),
}

fn hint(near: &Option<&'static str>) -> String {
    near.map_or(String::new(), |near| format!(" ({near}?)"))
}
