//! The decisions about a shared directory's register, pure: the same code runs over disks, in the
//! model checker and in the simulation.
//!
//! Invariants: a claim names the epoch right after the newest one; only a host that was seen to
//! see this very directory claims; who admits a host has read its own nonce from that host's echo.

use crate::base::{Epoch, Fenced, Id, Nanos};
use crate::format::register::MEMBERS_MAX;
use crate::format::{Beat, End, Host, Member, Reason, Reign};
use std::sync::Arc;

/// Why a host may not claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The host's file speaks of another cluster's directory.
    #[error("this host has joined cluster {joined}, but the register is cluster {register}'s")]
    OtherCluster {
        /// What the host has joined.
        joined: Id,
        /// What the register says.
        register: Id,
    },
    /// No primary has seen that this host sees the directory.
    #[error(
        "host {host} may not reign: no primary has seen yet that it sees this very directory \
         (members: {})", .members.join(", ")
    )]
    NotAdmitted {
        /// This host.
        host: String,
        /// Those that may.
        members: Vec<String>,
    },
    /// Another directory, or another host of this name, was admitted.
    #[error("host {host} was admitted as it saw another directory: the nonces differ")]
    OtherNonce {
        /// This host.
        host: String,
    },
}

/// Everybody who may claim the epoch after `reign`: its members, and those that its primary has
/// admitted since. Where both name a host, the later word counts.
#[must_use]
pub fn members(reign: &Reign, beat: Option<&Beat>) -> Vec<Member> {
    let mut members = reign.members.clone();
    let later = beat.filter(|beat| beat.epoch == reign.epoch && beat.cluster == reign.cluster);
    for member in later.into_iter().flat_map(|beat| &beat.members) {
        match members.iter().position(|known| known.host == member.host) {
            Some(at) => members[at] = member.clone(),
            None if members.len() < MEMBERS_MAX => members.push(member.clone()),
            None => {}
        }
    }
    members
}

/// The record with which `me` claims the epoch after `newest`.
///
/// # Errors
/// [`Denied`].
pub fn next_reign(
    newest: &Reign,
    beat: Option<&Beat>,
    me: &Host,
    nonce: Id,
    now: Nanos,
    reason: Reason,
) -> Result<Reign, Denied> {
    if me.cluster != newest.cluster {
        return Err(Denied::OtherCluster { joined: me.cluster, register: newest.cluster });
    }
    let members = members(newest, beat);
    let host = me.member.host.clone();
    let Some(known) = members.iter().find(|member| member.host == host) else {
        let members = members.into_iter().map(|member| member.host).collect();
        return Err(Denied::NotAdmitted { host, members });
    };
    if known.nonce != me.member.nonce {
        return Err(Denied::OtherNonce { host });
    }
    Ok(Reign {
        cluster: newest.cluster,
        epoch: newest.epoch.next(),
        nonce,
        claimed: now,
        reason,
        primary: Some(host),
        members,
    })
}

/// Whether the primary of `reign` may admit `host`: it has echoed the nonce that only who reads
/// this directory knows.
#[must_use]
pub fn admits(reign: &Reign, host: &Host) -> bool {
    host.cluster == reign.cluster && host.epoch == reign.epoch && host.echo == reign.nonce
}

/// What a primary sees of its own standing.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Standing {
    /// Its own record is gone, and with it the directory as it was.
    pub gone: bool,
    /// The record of the epoch after its own is there; with its primary, where it can be read.
    pub successor: Option<Option<String>>,
    /// Its own record says that its epoch has ended.
    pub end: Option<End>,
}

/// Whether a primary of epoch `own` still reigns.
///
/// # Errors
/// [`Fenced`]: it does not, or nobody can tell.
pub fn verdict(own: Epoch, standing: &Standing) -> Result<(), Fenced> {
    if let Some(end) = &standing.end {
        let by = Some(Arc::from(end.host.as_str()));
        return Err(Fenced { own, current: Some(end.epoch), by });
    }
    if let Some(host) = &standing.successor {
        let by = host.as_deref().map(Arc::from);
        return Err(Fenced { own, current: Some(own.next()), by });
    }
    if standing.gone {
        return Err(doubt(own, "its record in the register is gone"));
    }
    Ok(())
}

/// Nobody can tell whether `own` still reigns: then it does not.
#[must_use]
pub fn doubt(own: Epoch, why: &str) -> Fenced {
    Fenced { own, current: None, by: Some(Arc::from(why)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(host: &str, nonce: u8) -> Member {
        let address = format!("{host}:6817");
        Member { host: host.to_owned(), address, nonce: Id([nonce; 16]), handle: Vec::new() }
    }

    fn reign(members: &[Member]) -> Reign {
        Reign {
            cluster: Id([9; 16]),
            epoch: Epoch(3),
            nonce: Id([8; 16]),
            claimed: Nanos(0),
            reason: Reason::Start,
            primary: Some(members[0].host.clone()),
            members: members.to_vec(),
        }
    }

    fn host(member: Member) -> Host {
        Host { cluster: Id([9; 16]), epoch: Epoch(3), echo: Id([8; 16]), written: Nanos(0), member }
    }

    fn beat(members: &[Member]) -> Beat {
        Beat {
            cluster: Id([9; 16]),
            epoch: Epoch(3),
            ordinal: 1,
            written: Nanos(0),
            agents: 0,
            stopping: false,
            members: members.to_vec(),
        }
    }

    fn claim(reign: &Reign, beat: Option<&Beat>, me: &Host) -> Result<Reign, Denied> {
        next_reign(reign, beat, me, Id([7; 16]), Nanos(5), Reason::Dead)
    }

    #[test]
    fn only_a_host_that_was_seen_to_see_this_directory_claims() {
        let (a, b) = (member("a", 1), member("b", 2));
        let reign = reign(std::slice::from_ref(&a));
        let claimed = claim(&reign, None, &host(a.clone())).unwrap();
        assert_eq!((claimed.epoch, claimed.primary.as_deref()), (Epoch(4), Some("a")));
        let denied = claim(&reign, None, &host(b.clone()));
        assert!(matches!(denied, Err(Denied::NotAdmitted { .. })), "{denied:?}");
        let admitted = beat(&[a.clone(), b.clone()]);
        let claimed = claim(&reign, Some(&admitted), &host(b.clone())).unwrap();
        assert_eq!(claimed.members, [a.clone(), b]);
        let other = host(member("b", 3));
        let denied = claim(&reign, Some(&admitted), &other);
        assert_eq!(denied, Err(Denied::OtherNonce { host: "b".to_owned() }));
        let stale = Beat { epoch: Epoch(2), ..admitted };
        assert!(claim(&reign, Some(&stale), &host(member("b", 2))).is_err(), "of another reign");
        let strange = Host { cluster: Id([1; 16]), ..host(a) };
        assert!(matches!(claim(&reign, None, &strange), Err(Denied::OtherCluster { .. })));
    }

    #[test]
    fn a_host_is_admitted_for_the_echo_of_this_reign_only() {
        let reign = reign(&[member("a", 1)]);
        let right = host(member("b", 2));
        assert!(admits(&reign, &right));
        assert!(!admits(&reign, &Host { echo: Id([0; 16]), ..right.clone() }));
        assert!(!admits(&reign, &Host { epoch: Epoch(2), ..right.clone() }));
        assert!(!admits(&reign, &Host { cluster: Id([0; 16]), ..right }));
    }

    #[test]
    fn a_primary_reigns_only_where_nothing_speaks_against_it() {
        let own = Epoch(3);
        assert_eq!(verdict(own, &Standing::default()), Ok(()));
        let ended = Some(End { epoch: Epoch(5), host: "c".to_owned() });
        for bits in 1..8 {
            let standing = Standing {
                gone: bits & 1 != 0,
                successor: (bits & 2 != 0).then(|| Some("b".to_owned())),
                end: ended.clone().filter(|_| bits & 4 != 0),
            };
            let fenced = verdict(own, &standing).unwrap_err();
            assert_eq!(fenced.own, own);
            let text = fenced.to_string();
            let says = match bits {
                4.. => "deposed by epoch 5 of c (own epoch 3)",
                2.. => "deposed by epoch 4 of b (own epoch 3)",
                _ => "cannot tell whether epoch 3 still reigns: its record in the register is gone",
            };
            assert_eq!(text, says);
        }
    }
}
