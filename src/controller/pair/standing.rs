//! How this controller stands: what `statectl status` and its like are told.
//!
//! Invariants: nothing here waits for the directory, so that a controller whose directory hangs
//! says so, nor long for files of configuration, which may hang with it; nothing is decided by it.
//! Whoever may ping may ask.

use crate::controller::pair::alike::Digests;
use crate::controller::pair::{Pair, Stance, lock};
use crate::role::takeover::{Core, Role};
use crate::slurm::wire::Time;
use crate::slurm::wire::constants::standing;
use crate::slurm::wire::tables::{PeerStanding, Standing};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long files of configuration may take.
const SOON: Duration = Duration::from_secs(1);

/// One reads them at a time: where they hang, no other thread does.
static ONE: Semaphore = Semaphore::const_new(1);

/// What is known of this controller, noted down as it changes.
#[derive(Debug)]
pub struct Known {
    role: Role,
    own_epoch: u64,
    primary: Option<String>,
    quarantined_until: Option<Instant>,
    standbys: BTreeMap<String, bool>,
    looked: Option<Instant>,
    trouble: Option<String>,
    began: Instant,
}

impl Default for Known {
    fn default() -> Known {
        Known {
            role: Role::Standby,
            own_epoch: 0,
            primary: None,
            quarantined_until: None,
            standbys: BTreeMap::new(),
            looked: None,
            trouble: None,
            began: Instant::now(),
        }
    }
}

impl Known {
    /// The core has taken a step; its clock began at `began`.
    pub fn learn(&mut self, core: &Core, began: Instant) {
        self.role = core.role();
        self.own_epoch = core.own_epoch().0;
        if self.primary.as_deref() != core.primary() {
            self.primary = core.primary().map(str::to_owned);
        }
        self.quarantined_until = core.quarantined_until().map(|until| began + until);
        if self.standbys != *core.standbys() {
            self.standbys = core.standbys().clone();
        }
    }

    /// A look at the directory has come back.
    pub fn looked(&mut self, trouble: Option<String>) {
        self.looked = Some(Instant::now());
        self.trouble = trouble;
    }
}

/// How this controller stands now.
pub async fn of(pair: &Arc<Pair>) -> Standing {
    let before = *lock(&pair.digests);
    let Digests { conf, own } = digests(&pair.path, before).await;
    let mut told = now(pair);
    if conf != 0 {
        told.conf_digest = format!("{conf:08x}").as_str().into();
    }
    if own != 0 {
        told.own_digest = format!("{own:016x}").as_str().into();
    }
    told
}

fn now(pair: &Pair) -> Standing {
    let connected: Vec<String> = lock(&pair.standbys).keys().cloned().collect();
    let upstream = lock(&pair.upstream).is_some();
    let sight = pair.sight.borrow().clone();
    let admitted = sight.as_ref().is_some_and(|sight| {
        sight.me.as_ref().is_some_and(|me| sight.members().contains(&me.member))
    });
    let (epoch, puts_off, lsns) = match &*pair.stance.borrow() {
        Stance::Serves(service) => {
            let (store, puts_off) = service.health();
            let progress = store.progress();
            (service.epoch(), puts_off, (progress.commit_lsn, progress.flush_lsn))
        }
        _ => (sight.map_or(0, |sight| sight.reign.epoch.0), false, pair.progress.lsns()),
    };
    let known = lock(&pair.known);
    let flags = [
        (admitted, standing::ADMITTED),
        (pair.progress.is_there(), standing::FOLLOWS),
        (puts_off, standing::PUTS_OFF),
        (known.looked.is_some(), standing::LOOKED),
    ];
    let peers = pair.hosts.iter().filter(|host| host.name != pair.host.name).map(|host| {
        let leads = known.primary.as_ref() == Some(&host.name) && upstream;
        let there = leads || connected.contains(&host.name);
        let ready = there && known.standbys.get(&host.name) == Some(&true);
        let name = host.name.as_str().into();
        PeerStanding { host: name, connected: there.into(), ready: ready.into() }
    });
    let left = known.quarantined_until.map(|until| until.saturating_duration_since(Instant::now()));
    Standing {
        host: pair.host.name.as_str().into(),
        index: pair.host.index,
        version: env!("CARGO_PKG_VERSION").into(),
        role: word(known.role),
        epoch,
        primary: known.primary.as_deref().unwrap_or_default().into(),
        own_epoch: known.own_epoch,
        applied_lsn: lsns.0.0,
        read_lsn: lsns.1.0,
        flags: flags.iter().filter(|(is, _)| *is).map(|(_, flag)| flag).sum(),
        quarantine_s: whole(left.unwrap_or_default().as_secs_f64().ceil() as u64),
        looked_ms: whole(known.looked.unwrap_or(known.began).elapsed().as_millis()),
        trouble: known.trouble.as_deref().unwrap_or_default().into(),
        now: crate::base::Nanos::now().0,
        started: Time(pair.host.started),
        peers: peers.collect(),
        ..Standing::default()
    }
}

fn whole(number: impl TryInto<u32>) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}

fn word(role: Role) -> u16 {
    match role {
        Role::Standby => standing::STANDBY,
        Role::Claiming => standing::CLAIMING,
        Role::Primary => standing::PRIMARY,
        Role::Ceding => standing::CEDING,
        Role::Stopped => standing::STOPPED,
    }
}

/// Digests of the files as they are now. Where they are not there soon, as they were found last.
async fn digests(path: &Path, before: Digests) -> Digests {
    let path = path.to_owned();
    let read = async {
        let one = ONE.acquire().await.ok()?;
        let reads = spawn_blocking(move || {
            let _one = one;
            Digests::read(&path)
        });
        reads.await.ok()
    };
    timeout(SOON, read).await.ok().flatten().unwrap_or(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Files of configuration often lie where the state does, and hang with it. Whoever asks again
    /// and again would have taken all threads of the runtime.
    #[test]
    fn files_that_hang_hold_up_one_thread_and_nobody_who_asks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slurm.conf");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let before = Digests { conf: 5, own: 7 };
            for _ in 0..3 {
                assert_eq!(digests(&path, before).await, before);
            }
            assert_eq!(spawn_blocking(|| 9).await.unwrap(), 9, "others have threads");
            // Whoever reads finds nothing, and ends.
            drop(std::fs::File::options().write(true).open(&path).unwrap());
        });
    }
}
