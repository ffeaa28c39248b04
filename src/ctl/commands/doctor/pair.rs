//! What several controllers on one directory rest on besides: each other, the agents, the mount.
//!
//! Invariant: a controller or an agent that does not answer is a line; it holds nothing up for
//! longer than TCPTimeout.

use crate::ctl::commands::doctor::{Check, fail, ok, warn};
use crate::ctl::controllers::{Controllers, Told};
use crate::ctl::facts;
use crate::ctl::pair::{Pair, clocks, differing, is_ready_for, reigns};
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::slurm::conf::{Conf, Node};
use crate::slurm::wire::constants::standing;
use crate::slurm::wire::tables::Standing;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Agents that are tried at a time.
const AT_ONCE: usize = 32;

/// After this long a controller that has just started stands by.
const SETTLES: Duration = Duration::from_secs(2);

/// Larger than the handbook's "few GB": copies and first looks take long.
const LARGE: u64 = 4 << 30;

/// All of it.
pub fn checks(session: &Session, controllers: &Controllers, dir: &Path) -> Vec<Check> {
    let mut pair = Pair::look(session, controllers, None);
    if !pair.told.iter().all(|of| is_well(&pair, of)) {
        // Who has just started, or has ceded, is a standby within a second or two.
        thread::sleep(SETTLES);
        pair = Pair::look(session, controllers, None);
    }
    let mut checks = vec![peers(&pair), seen(&pair), configuration(&pair), clock(&pair)];
    checks.push(agents(&controllers.conf));
    checks.extend(network(session, dir));
    checks.push(unit(dir));
    checks
}

fn peers(pair: &Pair) -> Check {
    const NAME: &str = "controllers";
    let says = |of: &Told| match &of.standing {
        Err(why) => format!("{}: {why}", of.host),
        Ok(_) if reigns(of) => format!("{} reigns", of.host),
        Ok(_) if is_ready_for(&pair.told, &of.host) => format!("{} is ready", of.host),
        Ok(_) => format!("{} is not ready to take over", of.host),
    };
    let said = pair.told.iter().map(says).collect::<Vec<_>>().join(", ");
    match pair.told.iter().all(|of| is_well(pair, of)) {
        true => ok(NAME, said),
        false => fail(NAME, said, "statectl status"),
    }
}

/// Whether it reigns, or would be handed the reign.
fn is_well(pair: &Pair, of: &Told) -> bool {
    reigns(of) || (of.standing.is_ok() && is_ready_for(&pair.told, &of.host))
}

/// Whether every controller has shown that it sees this very directory, and sees it now.
fn seen(pair: &Pair) -> Check {
    const NAME: &str = "shared";
    let told = pair.told.iter().filter_map(|of| Some((&of.host, of.standing.as_ref().ok()?)));
    // Who reigns has shown it by claiming.
    let is_blind =
        |of: &Standing| of.role != standing::PRIMARY && of.flags & standing::ADMITTED == 0;
    let blind = told.clone().filter(|(_, of)| is_blind(of));
    let blind: Vec<&str> = blind.map(|(host, _)| host.as_str()).collect();
    let slow = told.filter(|(_, of)| of.looked_ms >= 1000);
    let slow: Vec<String> =
        slow.map(|(host, of)| format!("{host} last looked {} ms ago", of.looked_ms)).collect();
    if !blind.is_empty() {
        let what = format!("not seen by {}: another directory there?", blind.join(", "));
        return fail(NAME, what, "findmnt, there; statectl fs-probe DIR --peer HOST:DIR");
    }
    match slow.is_empty() {
        true => ok(NAME, "every controller that answers sees this very directory"),
        false => warn(NAME, slow.join(", "), "findmnt, there; nfsstat -m"),
    }
}

fn configuration(pair: &Pair) -> Check {
    const NAME: &str = "same files";
    let wrong = differing(pair);
    match wrong.split_first() {
        None => ok(NAME, "slurm.conf, statedir.conf and version are the same everywhere"),
        Some((first, _)) => {
            let (what, next) = first.split_once("; next: ").unwrap_or((first, "statectl status"));
            fail(NAME, what, next)
        }
    }
}

fn clock(pair: &Pair) -> Check {
    const NAME: &str = "clocks";
    match clocks(pair) {
        None => ok(NAME, "of all controllers agree within a second"),
        Some(wrong) => {
            let (what, next) = wrong.split_once("; next: ").unwrap_or((&wrong, "timedatectl"));
            warn(NAME, what, next)
        }
    }
}

/// Which slurmds take connections from this host. The other hosts have a doctor of their own.
fn agents(conf: &Conf) -> Check {
    const NAME: &str = "agents";
    let nodes = &conf.nodes;
    let limit = Duration::from_secs(conf.number("TCPTimeout").clamp(1, 10));
    let (next, silent) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(nodes.len()) {
            scope.spawn(|| {
                while let Some(node) = nodes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = connect(node, limit) {
                        let mut silent = silent.lock().expect("nobody panics");
                        silent.push(format!("{} ({why})", node.name));
                    }
                }
            });
        }
    });
    let mut silent = silent.into_inner().expect("nobody panics");
    silent.sort();
    let (all, gone) = (nodes.len(), silent.len());
    match silent.first() {
        None => ok(NAME, format!("{} reached from here", text::count(all as u64, "slurmd"))),
        Some(first) => {
            let what = format!("{gone} of {all} slurmds not reached from here, such as {first}");
            warn(NAME, what, "ss -ltnp, there; the firewall between")
        }
    }
}

fn connect(node: &Node, limit: Duration) -> Result<(), String> {
    let addresses = (node.address.as_str(), node.port).to_socket_addrs();
    let mut last = "the name has no address".to_owned();
    for address in addresses.map_err(|error| error.to_string())? {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(_) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// Options of a network mount that lose what was acknowledged, or locks.
fn network(session: &Session, dir: &Path) -> Option<Check> {
    const NAME: &str = "mount";
    let mount = facts::mount(dir).filter(|mount| is_network(&mount.kind))?;
    let has = |option: &str| mount.options.iter().any(|of| of == option);
    let look = format!("findmnt -T {}", session.quoted_dir());
    let kind = &mount.kind;
    Some(match () {
        () if has("soft") || has("softerr") => {
            fail(NAME, format!("{kind}, soft: saves fail while the server is away"), look)
        }
        () if has("nolock") || has("local_lock=all") || has("local_lock=posix") => {
            warn(NAME, format!("{kind}, locks are this host's alone: statectl cannot tell"), look)
        }
        () => {
            let probe = session.next("fs-probe DIR --peer HOST:DIR").replace("-C DIR ", "");
            ok(NAME, format!("{kind}; {probe} says which check of a reign holds"))
        }
    })
}

fn is_network(kind: &str) -> bool {
    kind.starts_with("nfs")
        || kind.starts_with("fuse")
        || ["cifs", "smb3", "ceph", "lustre", "gfs2", "ocfs2", "glusterfs"].contains(&kind)
}

/// Whether the unit waits for the mount: else slurmctld starts on the empty directory beneath it.
fn unit(dir: &Path) -> Check {
    const NAME: &str = "unit";
    let mut command = Command::new("systemctl");
    command.args(["show", "-p", "RequiresMountsFor", "--value", "slurmctld"]);
    let said = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let Some(said) = said.ok().filter(|said| said.status.success()) else {
        return ok(NAME, "not known: systemd does not run here");
    };
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let covers = |path: &str| dir.starts_with(path) || Path::new(path).starts_with(dir);
    if said.split_whitespace().any(covers) {
        return ok(NAME, "slurmctld waits for the mount");
    }
    let shown = text::shell(dir.as_os_str()).into_owned();
    warn(
        NAME,
        format!("slurmctld.service does not wait for {shown} to be mounted"),
        format!("systemctl edit slurmctld: [Unit] RequiresMountsFor={shown}"),
    )
}

/// How large the directory is.
pub fn size(bytes: u64) -> Check {
    const NAME: &str = "size";
    let shown = text::bytes(bytes);
    match bytes < LARGE {
        true => ok(NAME, shown),
        false => warn(NAME, format!("{shown}: more than a few GB"), "statectl du; statectl prune"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_too_large_a_few_hundred_mb_to_a_few_gb_is_fine_and_more_is_warned_of() {
        let warns = |bytes| size(bytes).next.is_some();
        assert!(!warns(0) && !warns(300 << 20) && !warns(3 << 30) && warns(5 << 30));
        assert!(size(5 << 30).what.contains("more than a few GB"));
    }

    #[test]
    fn both_hosts_must_be_reachable_by_slurmd_on_all_compute_nodes_and_who_is_not_is_named() {
        let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listening.local_addr().unwrap().port();
        let conf = |second: &str| {
            let text = format!(
                "ClusterName=c\nSlurmctldHost=h\nNodeName=n1 NodeAddr=127.0.0.1 Port={there}\n\
                 NodeName=n2 NodeAddr={second} Port={there}\nPartitionName=p Nodes=ALL\n"
            );
            Conf::read(Path::new("/slurm.conf"), &mut |_| Ok(text.clone())).unwrap()
        };
        let all = agents(&conf("127.0.0.1"));
        assert!(all.next.is_none() && all.what == "2 slurmds reached from here", "{}", all.what);
        let some = agents(&conf("127.0.0.2"));
        assert!(some.next.is_some(), "{}", some.what);
        let named = "1 of 2 slurmds not reached from here, such as n2 (Connection refused";
        assert!(some.what.starts_with(named), "{}", some.what);
    }

    #[test]
    fn options_of_network_mounts_are_looked_at_and_those_of_local_ones_are_not() {
        assert!(is_network("nfs4") && is_network("fuse.sshfs") && !is_network("ext4"));
    }
}
