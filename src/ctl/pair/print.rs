//! A pair in DRBD's words: this host first, its peers below it, the directory last.

use crate::base::Lsn;
use crate::ctl::controllers::Told;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::pair::{Directory, Lag, Pair, reigns, wrong};
use crate::ctl::text;
use crate::ctl::time::{age, rfc3339};
use crate::slurm::wire::constants::standing;
use crate::slurm::wire::tables::Standing;
use serde_json::{Value, json};

/// A controller in words.
pub struct Line {
    /// Its name.
    pub host: String,
    /// Primary, Standby, …; Unknown.
    pub role: &'static str,
    /// How it sees the directory.
    pub disk: &'static str,
    /// The reign that it knows.
    pub epoch: u64,
    /// The last save that it has acknowledged, or applied.
    pub lsn: u64,
    /// How far a standby is behind.
    pub lag: Option<Lag>,
    /// Whether the primary would hand over to it.
    pub ready: bool,
}

impl Line {
    /// Of one of them.
    #[must_use]
    pub fn of(pair: &Pair, told: &Told) -> Line {
        let host = told.host.clone();
        let Ok(standing) = &told.standing else {
            let (role, disk) = ("Unknown", "DUnknown");
            return Line { host, role, disk, epoch: 0, lsn: 0, lag: None, ready: false };
        };
        let behind = standing.role != standing::PRIMARY && standing.flags & standing::FOLLOWS != 0;
        Line {
            host,
            role: role_of(standing),
            disk: disk(standing),
            epoch: standing.epoch,
            lsn: standing.applied_lsn,
            lag: behind.then(|| pair.lag(Lsn(standing.applied_lsn))),
            ready: is_ready_for(&pair.told, &told.host),
        }
    }
}

/// Whether the primary among these says of that host that it could take over.
pub fn is_ready_for(all: &[Told], host: &str) -> bool {
    let primary = all.iter().find(|told| reigns(told)).and_then(|told| told.standing.as_ref().ok());
    let peers = primary.map(|primary| primary.peers.as_slice()).unwrap_or_default();
    peers.iter().any(|peer| peer.host.lossy() == host && peer.ready != 0)
}

/// Its role in a word.
pub fn role_of(standing: &Standing) -> &'static str {
    match standing.role {
        standing::STANDBY => "Standby",
        standing::CLAIMING => "Claiming",
        standing::PRIMARY => "Primary",
        standing::CEDING => "Ceding",
        standing::STOPPED => "Stopped",
        _ => "Unknown",
    }
}

fn disk(of: &Standing) -> &'static str {
    let follows = of.flags & standing::FOLLOWS != 0;
    match of.role {
        _ if wrong::hangs(of) => "Hung",
        _ if !of.trouble.lossy().is_empty() => "Failed",
        standing::PRIMARY if of.flags & standing::PUTS_OFF != 0 => "Refusing",
        standing::PRIMARY | standing::CEDING => "UpToDate",
        _ if follows => "UpToDate",
        standing::CLAIMING => "Attaching",
        _ => "Outdated",
    }
}

fn lag(lag: Option<Lag>) -> String {
    lag.map_or_else(String::new, |lag| {
        format!(" lag:{}B/{:.1}ms", lag.bytes, lag.span.as_secs_f64() * 1e3)
    })
}

/// Prints it.
///
/// # Errors
/// Those of stdout.
pub fn print(pair: &Pair, output: &mut Output) -> Result<(), Failure> {
    let own = Line::of(pair, &pair.told[pair.here]);
    let Line { host, role, disk, epoch, lsn, .. } = &own;
    match pair.told[pair.here].standing {
        Ok(_) => output.line(format_args!(
            "{host} role:{role} disk:{disk} epoch:{epoch} lsn:{lsn}{}{}",
            lag(own.lag),
            if own.ready { " ready" } else { "" }
        ))?,
        Err(_) => output.line(format_args!("{host} role:{role} disk:{disk}"))?,
    }
    for (_, told) in pair.told.iter().enumerate().filter(|(at, _)| *at != pair.here) {
        let Line { host, role, disk, lsn, lag: behind, ready, .. } = Line::of(pair, told);
        let more = match (&told.standing, reigns(told)) {
            (Err(_), _) => " connection:Connecting".to_owned(),
            (Ok(_), true) => format!(" lsn:{lsn}"),
            (Ok(_), false) => lag(behind) + if ready { " ready" } else { "" },
        };
        output.line(format_args!("  {host} role:{role} peer-disk:{disk}{more}"))?;
    }
    output.line(format_args!("  directory:{}", directory(pair)))?;
    for wrong in &pair.wrong {
        output.line(format_args!("  {}", text::one_line(wrong)))?;
    }
    Ok(())
}

fn directory(pair: &Pair) -> String {
    let found = match &pair.directory {
        Directory::There(found) => found,
        Directory::Hung => return "Hung".to_owned(),
        Directory::Failed(_) => return "Failed".to_owned(),
    };
    let kind = if found.sight.is_some() { "Shared" } else { "Local" };
    let report = found.reader.report();
    let snapshots = &found.reader.directory().snapshots;
    let used = snapshots.iter().find(|facts| Some(facts.name()) == report.snapshot);
    let snapshot = used.and_then(|facts| Some((facts.lsn, facts.header.as_ref().ok()?.made)));
    match snapshot {
        Some((lsn, made)) => format!("{kind} snapshot-lsn:{lsn} snapshot-age:{}", age(made)),
        None => format!("{kind} snapshot:none"),
    }
}

/// As one object.
#[must_use]
pub fn object(pair: &Pair) -> Value {
    let word = match &pair.directory {
        Directory::There(found) if found.sight.is_some() => "Shared",
        Directory::There(_) => "Local",
        Directory::Hung => "Hung",
        Directory::Failed(_) => "Failed",
    };
    let own = Line::of(pair, &pair.told[pair.here]);
    let controllers: Vec<Value> = pair.told.iter().map(|told| controller(pair, told)).collect();
    let time = match &pair.directory {
        Directory::There(found) => Some(rfc3339(found.reader.history().newest_time)),
        _ => None,
    };
    json!({
        "host": own.host,
        "role": own.role,
        "disk": own.disk,
        "epoch": pair.epoch().0,
        "lsn": pair.newest().0,
        "time": time,
        "directory": word,
        "primary": pair.primary().map(|primary| primary.host.lossy().into_owned()),
        "controllers": controllers,
        "wrong": pair.wrong,
    })
}

fn controller(pair: &Pair, told: &Told) -> Value {
    let line = Line::of(pair, told);
    let standing = match &told.standing {
        Ok(standing) => standing,
        Err(why) => {
            return json!({
                "host": line.host,
                "role": line.role,
                "disk": line.disk,
                "error": why,
            });
        }
    };
    json!({
        "host": line.host,
        "role": line.role,
        "disk": line.disk,
        "epoch": line.epoch,
        "lsn": line.lsn,
        "lag_bytes": line.lag.map(|lag| lag.bytes),
        "lag_ms": line.lag.map(|lag| lag.span.as_secs_f64() * 1e3),
        "ready": line.ready,
        "admitted": standing.flags & standing::ADMITTED != 0,
        "quarantine_s": standing.quarantine_s,
        "looked_ms": standing.looked_ms,
        "ahead_ms": told.ahead_ms,
        "version": standing.version.lossy(),
        "conf_digest": standing.conf_digest.lossy(),
        "own_digest": standing.own_digest.lossy(),
        "trouble": standing.trouble.lossy(),
    })
}
