//! What the controllers of a shared directory and the directory itself say, put together.
//!
//! Invariant: a directory that hangs, and a controller that does not answer, are said; neither
//! keeps the rest from being shown.

mod print;
pub mod reign;
mod wrong;

pub use print::{is_ready_for, object, print, role_of};
pub use wrong::{clocks, differing};

use crate::base::{Epoch, Lsn, Nanos};
use crate::ctl::controllers::{Controllers, HUNG, Told, within};
use crate::ctl::failure::Failure;
use crate::ctl::session::Session;
use crate::disk::Real;
use crate::format::{Op, Reign};
use crate::role::{Register, Sight};
use crate::slurm::wire::constants::standing;
use crate::slurm::wire::tables::Standing;
use crate::store::Reader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Saves that are looked at, at most, to say how far a standby is behind.
const BEHIND_MAX: usize = 100_000;

/// What the directory says.
pub struct Found {
    /// The store.
    pub reader: Reader,
    /// The register; `None`: the directory is not shared yet.
    pub sight: Option<Sight>,
}

/// How the directory is.
pub enum Directory {
    /// It answers.
    There(Box<Found>),
    /// It does not.
    Hung,
    /// It cannot be read.
    Failed(Failure),
}

/// All of it.
pub struct Pair {
    /// Whose host this is, or whom it is shown from.
    pub here: usize,
    /// All controllers, in slurm.conf's order.
    pub told: Vec<Told>,
    /// The directory.
    pub directory: Directory,
    /// What an operator should mend.
    pub wrong: Vec<String>,
}

/// How far a standby is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Bytes of keys and values.
    pub bytes: u64,
    /// From the first save that it lacks to the newest one, by the clock of who wrote them.
    pub span: Duration,
}

impl Pair {
    /// Looks at everything.
    #[must_use]
    pub fn look(session: &Session, controllers: &Controllers, host: Option<&str>) -> Pair {
        // Both may wait, and neither for the other.
        let home = session.dir().map_or_else(|_| controllers.home(), Path::to_owned);
        let asked = session.on(home.clone());
        let (told, directory) = std::thread::scope(|scope| {
            let told = scope.spawn(|| controllers.all());
            let directory = directory(&asked, home);
            (told.join().expect("it does not panic"), directory)
        });
        let here = controllers.here(host).or_else(|| told.iter().position(reigns)).unwrap_or(0);
        let mut pair = Pair { here, told, directory, wrong: Vec::new() };
        pair.wrong = wrong::all(session, controllers, &pair);
        pair
    }

    /// Who reigns, as it says itself.
    #[must_use]
    pub fn primary(&self) -> Option<&Standing> {
        self.told.iter().find(|told| reigns(told)).and_then(|told| told.standing.as_ref().ok())
    }

    /// The newest save that is acknowledged.
    #[must_use]
    pub fn newest(&self) -> Lsn {
        match (self.primary(), &self.directory) {
            (Some(primary), _) => Lsn(primary.applied_lsn),
            (None, Directory::There(found)) => found.reader.view().lsn(),
            _ => Lsn::ZERO,
        }
    }

    /// The newest reign that anybody knows.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        let told = self.told.iter().filter_map(|told| told.standing.as_ref().ok());
        let told = told.map(|standing| standing.epoch).max().unwrap_or(0);
        let found = match &self.directory {
            Directory::There(found) => found.sight.as_ref().map_or(0, |s| s.reign.epoch.0),
            _ => 0,
        };
        Epoch(told.max(found))
    }

    /// How far who has applied that is behind.
    #[must_use]
    pub fn lag(&self, applied: Lsn) -> Lag {
        let newest = self.newest();
        let Directory::There(found) = &self.directory else { return Lag::default() };
        if applied >= newest {
            return Lag::default();
        }
        let Ok(mut follower) = found.reader.follow(applied.next()) else { return Lag::default() };
        let (mut lag, mut first) = (Lag::default(), None);
        for _ in 0..BEHIND_MAX {
            let Ok(Some(saved)) = follower.next(Duration::ZERO) else { break };
            if saved.lsn > newest {
                break;
            }
            lag.bytes += saved.ops().flatten().map(bytes).sum::<u64>();
            let first: Nanos = *first.get_or_insert(saved.time);
            lag.span = Duration::from_nanos(saved.time.0.saturating_sub(first.0));
        }
        lag
    }
}

fn bytes(op: Op<'_>) -> u64 {
    let len = match op {
        Op::Put { table, key, value } => table.len() + key.len() + value.len(),
        Op::Delete { table, key } => table.len() + key.len(),
    };
    len as u64
}

/// Whether it says that it reigns.
pub fn reigns(told: &Told) -> bool {
    told.standing.as_ref().is_ok_and(|standing| standing.role == standing::PRIMARY)
}

fn directory(session: &Session, home: PathBuf) -> Directory {
    let opened = within(HUNG, move || {
        let reader = Reader::open(&home);
        let sight = register(&home).and_then(|register| register.look().ok());
        reader.map(|reader| Found { reader, sight })
    });
    match opened {
        None => Directory::Hung,
        Some(Err(error)) => Directory::Failed(session.opening(&error)),
        Some(Ok(found)) => Directory::There(Box::new(found)),
    }
}

/// The register in a directory, for who only reads it.
#[must_use]
pub fn register(home: &Path) -> Option<Register> {
    let disk = Real::open(home).ok()?;
    Register::new(Arc::new(disk), "statectl", "").ok()
}

/// The reigns after one, if the directory answers.
#[must_use]
pub fn reigns_after(home: &Path, after: Epoch) -> Option<Result<Vec<Reign>, String>> {
    let home = home.to_owned();
    within(HUNG, move || {
        let register = register(&home).ok_or_else(|| format!("{}: not there", home.display()))?;
        register.reigns(after).map_err(|error| error.to_string())
    })
}
