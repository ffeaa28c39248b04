//! Who reigns in a directory that several hosts share, for tools that only look at it: its register
//! says so, and its primary's heartbeat whether that one lives. No lock tells.
//!
//! Invariant: a heart beats if it was seen to, not because of what a clock says.

use crate::base::Epoch;
use crate::ctl::pair::register;
use crate::ctl::time::age;
use crate::disk::Real;
use crate::role::Sight;
use crate::store::is_shared;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// A primary's heart beats every second, or more often.
const PATIENCE: Duration = Duration::from_millis(3000);

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The newest reign of a shared directory.
pub struct Last {
    /// Its epoch.
    pub epoch: Epoch,
    /// Whose it is; `None`: nobody has reigned yet.
    pub primary: Option<String>,
    /// Whether its heart was seen to beat.
    pub beats: bool,
    /// How old the newest beat is, by two clocks: to be shown.
    pub beat: Option<String>,
}

impl Last {
    /// In words.
    #[must_use]
    pub fn said(&self) -> String {
        let Last { epoch, primary, beats, beat } = self;
        let Some(primary) = primary else { return "nobody has reigned yet".to_owned() };
        match (beats, beat) {
            (true, _) => format!("{primary} reigns, epoch {epoch}"),
            (false, Some(beat)) => format!(
                "nobody reigns: the last one was {primary}, epoch {epoch}, whose heart stands \
                 still, its last beat {beat} ago"
            ),
            (false, None) => format!("nobody reigns: {primary} has claimed epoch {epoch} only"),
        }
    }
}

/// The newest reign, once its heart was seen to beat, or for long not to. `None`: the directory is
/// not a shared one.
///
/// # Errors
/// What the register says, in a sentence.
pub fn last(dir: &Path) -> Option<Result<Last, String>> {
    if !Real::open(dir).is_ok_and(|disk| is_shared(&disk)) {
        return None;
    }
    let look = || match register(dir).map(|register| register.look()) {
        Some(Ok(sight)) => Ok(sight),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it cannot be read".to_owned()),
    };
    Some(look().and_then(|first| watched(&first, look)))
}

fn watched(first: &Sight, look: impl Fn() -> Result<Sight, String>) -> Result<Last, String> {
    let at = |sight: &Sight| (sight.reign.epoch, sight.beat.as_ref().map_or(0, |of| of.ordinal));
    let until = Instant::now() + PATIENCE;
    loop {
        let sight = look()?;
        let beats = at(&sight) > at(first) && sight.beat.as_ref().is_some_and(|of| !of.stopping);
        if beats || sight.reign.primary.is_none() || Instant::now() >= until {
            return Ok(Last {
                epoch: sight.reign.epoch,
                primary: sight.reign.primary,
                beats,
                beat: sight.beat.map(|of| age(of.written)),
            });
        }
        thread::sleep(LOOK);
    }
}
