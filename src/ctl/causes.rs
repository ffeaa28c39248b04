//! From the engine's errors to exit codes, and to the command to run next.

use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::session::Session;
use crate::ctl::text::word;
use crate::ctl::time::rfc3339;
use crate::export::tree::TreeError;
use crate::snapshot::SnapshotError;
use crate::store::tags::TagError;
use crate::store::{CheckpointError, OpenError, Poison, ReadError, Refusal, SaveError};
use std::io;

impl Session {
    /// The directory cannot be opened.
    #[must_use]
    pub fn opening(&self, error: &OpenError) -> Failure {
        let dir = self.quoted_dir();
        let (exit, next) = match error {
            OpenError::NotAStore => (Exit::NotFound, self.next("init")),
            OpenError::NotEmpty(name) if is_store_file(name) => (Exit::Unsafe, self.next("status")),
            OpenError::NotEmpty(_) => (Exit::Unsafe, format!("ls -lA {dir}")),
            OpenError::Locked => (Exit::Busy, format!("fuser -v {dir}/LOCK")),
            OpenError::Permissions { .. } => (Exit::Unsafe, format!("chmod 700 {dir}")),
            OpenError::Control(_) | OpenError::Foreign { .. } | OpenError::Corruption(_) => {
                (Exit::Corruption, self.next("repair"))
            }
            OpenError::TooNew { .. } => (Exit::Failed, "statectl --version".to_owned()),
            OpenError::Adoptions => (Exit::Failed, self.next("snapshots")),
            OpenError::Epoch { .. }
            | OpenError::Fenced(_)
            | OpenError::Shared
            | OpenError::SharedCopy
            | OpenError::NotShared => (Exit::Role, self.next("status")),
            OpenError::Io { source, .. } => self.refused(source),
        };
        Failure::new(exit, format!("{dir}: {error}"), next)
    }

    /// A save is not acknowledged.
    #[must_use]
    pub fn saving(&self, error: &SaveError) -> Failure {
        let poison = |poison: &Poison| match poison {
            Poison::Fenced(_) => (Exit::Role, self.next("status")),
            Poison::Flush(_) => (Exit::Failed, self.next("verify")),
        };
        let (exit, next) = match error {
            SaveError::Refused(Refusal::NoRoom(source)) => self.refused(source),
            SaveError::Refused(Refusal::Backlog(_) | Refusal::Behind) => {
                (Exit::Failed, self.next("status"))
            }
            SaveError::Refused(Refusal::Limit(_)) => {
                (Exit::Usage, "statectl put --help".to_owned())
            }
            SaveError::Refused(Refusal::Tables(_)) => (Exit::Failed, self.next("ls")),
            SaveError::Refused(Refusal::Stopped(reason)) | SaveError::Unknown(reason) => {
                poison(reason)
            }
            SaveError::Refused(Refusal::Closed) => (Exit::Failed, self.next("status")),
        };
        Failure::new(exit, error, next)
    }

    /// Something cannot be read.
    #[must_use]
    pub fn reading(&self, error: &ReadError) -> Failure {
        match error {
            ReadError::OutOfRange { .. } | ReadError::Behind { .. } => {
                Failure::new(Exit::NotFound, error, self.next("status"))
            }
            ReadError::TooEarly { oldest } => {
                let message = format!("before the retained history, from {}", rfc3339(*oldest));
                Failure::new(Exit::NotFound, message, self.next("status"))
            }
            ReadError::Open(error) => self.opening(error),
            ReadError::Snapshot(error) => self.snapshot(error),
            ReadError::Io(source) => {
                let (exit, next) = self.refused(source);
                Failure::new(exit, source, next)
            }
        }
    }

    /// A snapshot cannot be read or written.
    #[must_use]
    pub fn snapshot(&self, error: &SnapshotError) -> Failure {
        match error {
            SnapshotError::Io { source, .. } => {
                let (exit, next) = self.refused(source);
                Failure::new(exit, format!("{error}: {source}"), next)
            }
            error if error.is_damage() => {
                Failure::new(Exit::Corruption, error, self.next("verify --full"))
            }
            error => Failure::new(Exit::Failed, error, self.next("snapshots")),
        }
    }

    /// A tag was not made or not removed.
    #[must_use]
    pub fn tagging(&self, error: &TagError) -> Failure {
        let list = self.next("snapshots");
        match error {
            TagError::Name(_) => {
                Failure::new(Exit::Usage, error, "statectl snapshot tag --help".to_owned())
            }
            TagError::NoSnapshot(_) | TagError::NoTag(_) => {
                Failure::new(Exit::NotFound, error, list)
            }
            TagError::Exists { name, .. } => {
                Failure::new(Exit::Unsafe, error, self.next(&format!("snapshot rm tag:{name}")))
            }
            TagError::Pinned(_) => Failure::new(Exit::Busy, error, list),
            TagError::NoLinks => Failure::new(Exit::Failed, error, self.next("backup --help")),
            TagError::Snapshot(error) => self.snapshot(error),
            TagError::Open(error) => self.opening(error),
            TagError::Io(source) => {
                let (exit, next) = self.refused(source);
                Failure::new(exit, source, next)
            }
        }
    }

    /// An exported tree was not written or not read.
    #[must_use]
    pub fn tree(&self, error: &TreeError) -> Failure {
        let look = |path: &std::path::Path| {
            format!("ls -ld {}", crate::ctl::text::shell(path.as_os_str()))
        };
        let (exit, next) = match error {
            TreeError::Exists(_) => (Exit::Unsafe, "statectl export --help".to_owned()),
            TreeError::NotATree(path) | TreeError::Nothing(path) => {
                (Exit::Unsafe, look(path).replace("ls -ld", "ls -lA"))
            }
            TreeError::OtherDevice(path) => (Exit::Usage, look(path).replace("ls -ld", "df")),
            TreeError::About { path, .. }
            | TreeError::Kind { path, .. }
            | TreeError::Name { path, .. }
            | TreeError::LongKey { path, .. }
            | TreeError::TooLarge(path)
            | TreeError::Changed(path) => (Exit::Failed, look(path)),
            TreeError::Snapshot(error) => return self.snapshot(error),
            TreeError::Io { path, source } => (self.refused(source).0, look(path)),
            TreeError::List(source) => self.refused(source),
        };
        let next = match error {
            TreeError::Io { path, source } if source.kind() == io::ErrorKind::StorageFull => {
                look(path).replace("ls -ld", "df -h")
            }
            _ => next,
        };
        Failure::new(exit, error, next)
    }

    /// No snapshot was made.
    #[must_use]
    pub fn checkpointing(&self, error: &CheckpointError) -> Failure {
        match error {
            CheckpointError::Snapshot(error) => self.snapshot(error),
            CheckpointError::Fenced(_) => Failure::new(Exit::Role, error, self.next("status")),
            CheckpointError::Prune(source) => {
                let (exit, next) = self.refused(source);
                Failure::new(exit, error, next)
            }
        }
    }

    /// A key or a table is not there.
    #[must_use]
    pub fn missing(&self, table: &str, key: Option<&[u8]>) -> Failure {
        match key {
            Some(key) => {
                let message = format!("no key {} in table {}", word(key), word(table.as_bytes()));
                Failure::new(Exit::NotFound, message, self.next(&format!("ls {}", quoted(table))))
            }
            None => {
                let message = format!("no table {}", word(table.as_bytes()));
                Failure::new(Exit::NotFound, message, self.next("ls"))
            }
        }
    }

    /// The file system refused: the code, and what to look at.
    pub(crate) fn refused(&self, source: &io::Error) -> (Exit, String) {
        let dir = self.quoted_dir();
        match source.kind() {
            io::ErrorKind::NotFound => (Exit::NotFound, self.next("init")),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (Exit::Failed, format!("df -h {dir}"))
            }
            _ => (Exit::Failed, format!("ls -ld {dir}")),
        }
    }
}

fn is_store_file(name: &str) -> bool {
    crate::format::FileName::parse(name).is_some()
}

fn quoted(argument: &str) -> String {
    crate::ctl::text::shell(argument.as_ref()).into_owned()
}
