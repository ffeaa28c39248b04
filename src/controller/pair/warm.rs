//! The state, kept in memory by following the log that another controller writes, and the store
//! with it: a takeover loads neither.
//!
//! Invariants:
//! - The followed state is the one of the followed view: every save that is confirmed, in order.
//! - What is handed out after a claim is the state at exactly the store's last LSN, or nothing:
//!   then both are loaded.
//! - Whoever asks how far it is waits for no disk: a hung directory hangs only the thread that
//!   follows.

use crate::base::{Authority, Lsn};
use crate::controller::pair::{Pair, lock};
use crate::controller::state::{self, State};
use crate::disk::Real;
use crate::store::{News, Options, Saved, Standby, Store};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// Between two looks at the log.
const LOOK: Duration = Duration::from_millis(50);

/// After a failure, before the state is read anew.
const PAUSE: Duration = Duration::from_secs(1);

/// How far the log was followed; readable while the follower waits for the disk.
#[derive(Debug, Default)]
pub struct Progress {
    there: AtomicBool,
    applied: AtomicU64,
    read: AtomicU64,
}

impl Progress {
    /// Whether the state is in memory.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.there.load(Ordering::Acquire)
    }

    /// The last LSN in the state, and the last one that was read, confirmed or not.
    #[must_use]
    pub fn lsns(&self) -> (Lsn, Lsn) {
        (Lsn(self.applied.load(Ordering::Acquire)), Lsn(self.read.load(Ordering::Acquire)))
    }

    fn is_at(&self, of: Option<&Following>) {
        if let Some(of) = of {
            self.applied.store(of.standby.lsn().0, Ordering::Release);
            self.read.store(of.standby.read_lsn().0, Ordering::Release);
        }
        self.there.store(of.is_some(), Ordering::Release);
    }
}

/// The store and the state, as far as they were followed.
#[derive(Debug)]
pub struct Following {
    standby: Standby,
    state: State,
}

impl Following {
    /// Loads what is confirmed.
    fn begin(dir: &Path) -> Result<Following, String> {
        let disk = Real::open(dir).map_err(|error| error.to_string())?;
        let standby = Standby::open_on(Arc::new(disk)).map_err(|error| error.to_string())?;
        let state = State::load(&standby.view()).map_err(|error| error.to_string())?;
        Ok(Following { standby, state })
    }

    /// Takes what has come since.
    fn step(&mut self) -> Result<(), String> {
        while let Some(news) = self.standby.poll().map_err(|error| error.to_string())? {
            match news {
                News::Saves(saves) => take(&mut self.state, &saves)?,
                News::Again => {
                    let loaded = State::load(&self.standby.view());
                    self.state = loaded.map_err(|error| error.to_string())?;
                }
            }
        }
        Ok(())
    }

    /// The writer's store and the state in it, by that authority.
    ///
    /// # Errors
    /// In words; both may be loaded then.
    pub fn promote(
        mut self,
        options: Options,
        authority: Arc<dyn Authority>,
    ) -> Result<(Store, State), String> {
        let promoted =
            self.standby.promote(options, authority).map_err(|error| error.to_string())?;
        let last = promoted.missed.last().map_or(self.standby.lsn(), |saved| saved.lsn);
        let lsn = promoted.store.view().lsn();
        assert_eq!(last, lsn, "what was missed ends where the store does");
        take(&mut self.state, &promoted.missed)?;
        Ok((promoted.store, self.state))
    }
}

fn take(state: &mut State, saves: &[Saved]) -> Result<(), String> {
    for saved in saves {
        let changes = state::changes(saved.ops()).map_err(|error| error.to_string())?;
        changes.into_iter().for_each(|change| state.take(change));
    }
    Ok(())
}

/// What was followed; it is followed no more.
pub fn hand_out(pair: &Pair) -> Option<Following> {
    let following = lock(&pair.warm).take();
    pair.progress.is_at(None);
    following
}

/// Follows until this controller reigns.
pub fn run(pair: &Arc<Pair>) {
    loop {
        if pair.claiming.load(Ordering::Acquire) {
            sleep(LOOK);
            continue;
        }
        if lock(&pair.warm).is_none() {
            match Following::begin(&pair.dir) {
                Ok(following) => {
                    let mut warm = lock(&pair.warm);
                    // It took too long: a reign needs no second copy. Who claims says so before it
                    // looks for what was followed.
                    if !pair.claiming.load(Ordering::Acquire) {
                        *warm = Some(following);
                    }
                }
                Err(why) => {
                    tracing::debug!("the state cannot be followed yet: {why}");
                    sleep(PAUSE);
                    continue;
                }
            }
        }
        {
            let mut warm = lock(&pair.warm);
            let stepped = warm.as_mut().map_or(Ok(()), Following::step);
            if let Err(why) = stepped {
                tracing::info!("the state is read anew: {why}");
                *warm = None;
            }
            pair.progress.is_at(warm.as_ref());
        }
        sleep(LOOK);
    }
}
