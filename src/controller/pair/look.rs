//! What the shared directory says, looked at again and again by a thread of its own: if the
//! directory hangs, only this thread does.
//!
//! Invariant: whatever it sees it says; what follows from it is the core's to decide.

use crate::base::{Epoch, Local, Nanos};
use crate::controller::pair::alike::Digests;
use crate::controller::pair::{Pair, lock};
use crate::role::quarantine::{self, Quarantine};
use crate::role::takeover::Event;
use crate::role::{Register, RegisterError};
use crate::store::{OpenError, Options, Store, share_on};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often the configuration is read, to be compared with that of others.
const REREAD: Duration = Duration::from_secs(10);

/// Looks until the process ends.
pub fn run(pair: &Arc<Pair>, register: &Register) {
    let mut said = String::new();
    let mut beat = (0, Instant::now());
    let mut read = Instant::now();
    remember(pair, register);
    loop {
        if read.elapsed() >= REREAD {
            read = Instant::now();
            *lock(&pair.digests) = Digests::read(&pair.path);
        }
        let looked = look(pair, register, &mut beat);
        lock(&pair.known).looked(looked.as_ref().err().map(ToString::to_string));
        match looked {
            Ok(()) => said.clear(),
            Err(why) => {
                let why = why.to_string();
                if why != said {
                    tracing::warn!("{}: {why}", pair.dir.display());
                }
                said = why;
            }
        }
        sleep((pair.timeout / 10).min(Duration::from_millis(200)));
    }
}

/// Before anything else is said: what the register remembers of this controller.
fn remember(pair: &Arc<Pair>, register: &Register) {
    let remembered = register.look().and_then(|sight| {
        let oldest = sight.reign.epoch.0.saturating_sub(quarantine::REIGNS);
        register.reigns(Epoch(oldest))
    });
    let reigns = match remembered {
        Ok(reigns) => reigns,
        // What is not remembered costs a change of roles, at most.
        Err(error) => return tracing::warn!("{}: {error}", pair.dir.display()),
    };
    let found = quarantine::of(&pair.host.name, &reigns, pair.timeout, Nanos::now());
    let Some(Quarantine { left, doublings }) = found else { return };
    if !left.is_zero() {
        tracing::info!(
            "this controller was deposed: it does not claim for {} s, unless the new primary dies",
            left.as_secs()
        );
    }
    pair.happened(Event::Deposed { left, doublings });
}

fn look(
    pair: &Arc<Pair>,
    register: &Register,
    beat: &mut (u64, Instant),
) -> Result<(), RegisterError> {
    let sight = register.look()?;
    let echoed = sight.me.as_ref().is_some_and(|me| me.echo == sight.reign.nonce);
    let sight = if echoed {
        sight
    } else {
        register.join()?;
        register.look()?
    };
    let (epoch, primary) = (sight.reign.epoch, sight.reign.primary.clone());
    pair.happened(Event::Register { epoch, primary });
    if let Some(found) = &sight.beat {
        let (ordinal, agents, stopping) = (found.ordinal, found.agents, found.stopping);
        if ordinal != beat.0 {
            *beat = (ordinal, Instant::now());
        }
        pair.happened(Event::Beat { epoch, ordinal, agents, stopping });
    }
    // For those who are listed first: a primary that lives, and cannot be reached from here.
    let alive = sight.beat.is_some() && beat.1.elapsed() < pair.timeout;
    pair.beats.store(alive, Ordering::Release);
    pair.sight.send_replace(Some(sight));
    Ok(())
}

impl Pair {
    /// Whether this controller could take over now.
    pub fn is_ready(&self) -> bool {
        let sight = self.sight.borrow();
        let admitted = sight.as_ref().is_some_and(|sight| {
            let me = sight.me.as_ref().map(|me| &me.member);
            me.is_some_and(|me| sight.members().contains(me))
        });
        admitted && self.progress.is_there()
    }
}

/// Makes the directory a shared one, where it is not: the controller that is listed first does, so
/// that two directories that are not shared never have two registers. Others wait for it.
///
/// # Errors
/// What to do.
pub fn share(pair: &Pair, register: &Register) -> Result<(), String> {
    let disk = register.disk();
    let mut said = false;
    loop {
        if crate::store::is_shared(disk.as_ref()) {
            return Ok(());
        }
        if pair.host.index == 0 {
            let mut make = |cluster, epoch| {
                let made = register.make(cluster, epoch);
                made.map(drop).map_err(io::Error::other)
            };
            let dir = pair.dir.display();
            let wrong = |error: &dyn std::fmt::Display| {
                format!("StateSaveLocation={dir}: {error}; next: statectl -C {dir} status")
            };
            let mut shared = share_on(disk.as_ref(), &mut make);
            if matches!(shared, Err(OpenError::SharedCopy)) {
                // The state was copied here: the copy gets a history of its own first.
                let options = Options::default().without_threads();
                let store = Store::open_on(Arc::clone(disk), options, Arc::new(Local));
                store.map_err(|error| wrong(&error))?.close().map_err(|error| wrong(&error))?;
                tracing::info!("{dir} is a copy of another directory: it goes on by itself");
                shared = share_on(disk.as_ref(), &mut make);
            }
            shared.map_err(|error| wrong(&error))?;
            tracing::info!("{} is shared from now on", pair.dir.display());
            return Ok(());
        }
        if !said {
            said = true;
            let (dir, first) = (pair.dir.display(), &pair.hosts[0].name);
            tracing::warn!("{dir} is not a shared store yet: slurmctld on {first} makes it one");
        }
        sleep(Duration::from_millis(200));
    }
}
