//! How this controller stands: what `statectl status` and its like are told.
//!
//! Invariants: nothing here waits for the directory, so that a controller whose directory hangs
//! says so; nothing is decided by it. Whoever may ping may ask.

use crate::controller::pair::{Pair, Stance, lock};
use crate::role::takeover::{Core, Role};
use crate::slurm::conf::Conf;
use crate::slurm::conf::own;
use crate::slurm::wire::Time;
use crate::slurm::wire::constants::standing;
use crate::slurm::wire::tables::{PeerStanding, Standing};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::spawn_blocking;

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
    let path = pair.path.clone();
    let digests = spawn_blocking(move || digests(&path)).await.unwrap_or_default();
    let mut told = now(pair);
    (told.conf_digest, told.own_digest) = (digests.0.into(), digests.1.into());
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

/// Digests of slurm.conf, with what it includes, and of statedir.conf, as they are on disk now.
fn digests(path: &Path) -> (String, String) {
    let conf = Conf::load(path).map_or_else(|_| String::new(), |conf| format!("{:08x}", conf.hash));
    let own = match std::fs::read(path.with_file_name(own::NAME)) {
        Ok(bytes) => blake3::hash(&bytes).to_hex()[..16].to_owned(),
        Err(_) => String::new(),
    };
    (conf, own)
}
