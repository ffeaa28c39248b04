//! What an operator should mend in a pair.

use crate::ctl::controllers::{Controllers, Told};
use crate::ctl::failure::Failure;
use crate::ctl::pair::{Directory, Pair, is_ready_for, reigns};
use crate::ctl::session::Session;
use crate::ctl::{notes, text};
use crate::slurm::wire::constants::standing;
use crate::slurm::wire::tables::Standing;
use std::time::Duration;

/// A controller looks at the directory several times a second: this is no pause.
const LOOKS_MS: u32 = 3000;

/// Clocks further apart than this make credentials and times of jobs wrong.
pub const CLOCKS_MS: i64 = 1000;

/// Whether its directory hangs, or is not there yet.
pub fn hangs(of: &Standing) -> bool {
    of.looked_ms >= LOOKS_MS
}

/// Everything.
pub fn all(session: &Session, controllers: &Controllers, pair: &Pair) -> Vec<String> {
    let mut wrong = Vec::new();
    match &pair.directory {
        Directory::Hung => {
            let home = session.quoted_dir();
            wrong.push(format!("the directory does not answer; next: findmnt -T {home}; dmesg"));
        }
        Directory::Failed(failure) => wrong.extend(said(failure)),
        Directory::There(found) => {
            wrong.extend(notes::damaged(found.reader.report()));
            wrong.extend(session.exposed());
            if found.sight.is_none() {
                let first = controllers.name(0);
                wrong.push(format!(
                    "the directory is not shared yet; next: start slurmctld on {first}"
                ));
            }
        }
    }
    for told in &pair.told {
        match &told.standing {
            Err(why) => {
                let host = &told.host;
                wrong.push(format!("{host}: {why}; next: systemctl status slurmctld, there"));
            }
            Ok(standing) => wrong.extend(of(pair, told, standing)),
        }
    }
    if pair.told.iter().any(|told| told.standing.is_ok()) && !pair.told.iter().any(reigns) {
        wrong.push("nobody reigns; next: statectl events".to_owned());
    }
    wrong.extend(differing(pair));
    wrong.extend(clocks(pair));
    wrong
}

/// A failure of a command as a thing that is wrong.
fn said(failure: &Failure) -> Option<String> {
    let line = failure.line(false)?;
    Some(line.strip_prefix("statectl: ").unwrap_or(&line).to_owned())
}

/// What is wrong with one of them.
fn of(pair: &Pair, told: &Told, standing: &Standing) -> Vec<String> {
    let host = &told.host;
    let mut wrong = Vec::new();
    let looked = Duration::from_secs(u64::from(standing.looked_ms / 1000));
    if hangs(standing) {
        let ago = text::span(looked);
        let what = match standing.flags & standing::LOOKED {
            0 => format!("has not seen the directory for {ago}, since it started"),
            _ => format!("the directory has not answered for {ago}"),
        };
        wrong.push(format!("{host}: {what}; next: findmnt, there"));
    } else if !standing.trouble.lossy().is_empty() {
        wrong.push(format!("{host}: {}", standing.trouble.lossy()));
    }
    if standing.flags & standing::PUTS_OFF != 0 {
        wrong.push(format!("{host}: changes are put off, saves do not get through; next: df -h"));
    }
    if standing.quarantine_s > 0 {
        let left = text::span(Duration::from_secs(standing.quarantine_s.into()));
        wrong.push(format!(
            "{host}: was deposed, and does not claim for {left}; next: statectl fence status"
        ));
    }
    let ready = is_ready_for(&pair.told, host);
    if standing.role == standing::STANDBY && pair.primary().is_some() && !ready {
        let why = match standing.flags {
            flags if flags & standing::ADMITTED == 0 => {
                "the primary has not seen that it sees the directory"
            }
            flags if flags & standing::FOLLOWS == 0 => "it does not follow the state",
            _ if is_connected(pair, told) => "it has not said so",
            _ => "the primary has no connection to it",
        };
        wrong.push(format!("{host}: could not take over: {why}"));
    }
    wrong
}

fn is_connected(pair: &Pair, told: &Told) -> bool {
    let peers = pair.primary().map(|primary| primary.peers.as_slice()).unwrap_or_default();
    peers.iter().any(|peer| peer.host.lossy() == told.host.as_str() && peer.connected != 0)
}

/// Files that should be the same everywhere.
pub fn differing(pair: &Pair) -> Vec<String> {
    let told = pair.told.iter().filter_map(|told| Some((&told.host, told.standing.as_ref().ok()?)));
    let told: Vec<_> = told.collect();
    let Some(((first, one), others)) = told.split_first() else { return Vec::new() };
    let mut wrong = Vec::new();
    for (host, other) in others {
        for (file, same) in [
            ("slurm.conf", one.conf_digest == other.conf_digest),
            ("statedir.conf", one.own_digest == other.own_digest),
            ("the version", one.version == other.version),
        ] {
            if !same {
                wrong.push(format!(
                    "{file} of {first} and of {host} differ; next: copy it, scontrol reconfigure"
                ));
            }
        }
    }
    wrong
}

/// Clocks that are too far apart.
pub fn clocks(pair: &Pair) -> Option<String> {
    let told = pair.told.iter().filter(|told| told.standing.is_ok());
    let ahead = told.clone().max_by_key(|told| told.ahead_ms)?;
    let behind = told.min_by_key(|told| told.ahead_ms)?;
    let apart = ahead.ahead_ms - behind.ahead_ms;
    (apart > CLOCKS_MS).then(|| {
        format!(
            "the clock of {} is {:.1} s ahead of that of {}; next: chronyc tracking, on both",
            ahead.host,
            apart as f64 / 1e3,
            behind.host
        )
    })
}
