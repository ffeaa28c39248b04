//! The state, kept in memory by following the log that another controller writes.
//!
//! Invariant: what is handed out is the state at exactly the LSN that was asked for, or nothing:
//! then it is loaded from the store.

use crate::base::Lsn;
use crate::controller::pair::{Pair, lock};
use crate::controller::state::{self, State};
use crate::store::{Follower, Reader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

/// Between two looks at the log.
const LOOK: Duration = Duration::from_millis(50);

/// After a failure, before the state is read anew.
const PAUSE: Duration = Duration::from_secs(1);

/// The state, as far as it was followed.
#[derive(Debug, Default)]
pub struct Warm(Option<Following>);

#[derive(Debug)]
struct Following {
    follower: Follower,
    state: State,
    lsn: Lsn,
}

impl Warm {
    /// Whether there is any.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Takes what has come since.
    fn step(&mut self) -> Result<(), String> {
        let Some(of) = &mut self.0 else { return Ok(()) };
        while let Some(saved) =
            of.follower.next(Duration::ZERO).map_err(|error| error.to_string())?
        {
            let changes = state::changes(saved.ops()).map_err(|error| error.to_string())?;
            changes.into_iter().for_each(|change| of.state.take(change));
            of.lsn = saved.lsn;
        }
        Ok(())
    }

    /// The state at that LSN, which is the last one that there is; it is followed no more.
    pub fn at(&mut self, lsn: Lsn) -> Option<State> {
        let stepped = self.step();
        let of = self.0.take()?;
        match stepped {
            Ok(()) if of.lsn == lsn => Some(of.state),
            Ok(()) => {
                tracing::info!("the state was followed to {}, and is at {lsn}", of.lsn);
                None
            }
            Err(why) => {
                tracing::info!("the state cannot be followed: {why}");
                None
            }
        }
    }
}

fn begin(dir: &Path) -> Result<Following, String> {
    let reader = Reader::open(dir).map_err(|error| error.to_string())?;
    let state = State::load(reader.view()).map_err(|error| error.to_string())?;
    let lsn = reader.view().lsn();
    let follower = reader.follow(lsn.next()).map_err(|error| error.to_string())?;
    Ok(Following { follower, state, lsn })
}

/// Follows until this controller reigns.
pub fn run(pair: &Arc<Pair>) {
    loop {
        if pair.claiming.load(Ordering::Acquire) {
            sleep(LOOK);
            continue;
        }
        if !lock(&pair.warm).is_there() {
            match begin(&pair.dir) {
                Ok(following) => *lock(&pair.warm) = Warm(Some(following)),
                Err(why) => {
                    tracing::debug!("the state cannot be followed yet: {why}");
                    sleep(PAUSE);
                    continue;
                }
            }
        }
        let stepped = lock(&pair.warm).step();
        if let Err(why) = stepped {
            tracing::info!("the state is read anew: {why}");
            *lock(&pair.warm) = Warm(None);
        }
        sleep(LOOK);
    }
}
