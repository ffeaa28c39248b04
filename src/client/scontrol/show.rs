//! `scontrol show`.

use super::{Desk, config, daemons, job, node, partition, step};
use crate::client::{env, text};
use crate::slurm::hostlist::{by_prefix, compress, expand};

/// Shows what is asked for.
pub fn show(desk: &Desk<'_>, verb: &str, rest: &[String]) -> u8 {
    let (what, value) = match rest {
        [] => return desk.wrong(&format!("too few arguments for keyword:{verb}")),
        [one] => match one.split_once('=') {
            Some((what, value)) => (what, Some(value)),
            None => (one.as_str(), None),
        },
        [what, value] => (what.as_str(), Some(value.as_str())),
        _ => return desk.wrong(&format!("too many arguments for keyword:{verb}")),
    };
    let is = |name: &str, least: usize| text::abbreviates(what, name, least);
    // The order decides what an abbreviation stands for.
    match what {
        _ if is("aliases", 1) => left(desk, "show aliases"),
        _ if is("bbstat", 2) || is("dwstat", 2) || is("burstbuffer", 2) => {
            left(desk, "show burstbuffer")
        }
        _ if is("assoc_mgr", 2) || is("cache", 2) => left(desk, "show assoc_mgr"),
        _ if is("config", 1) => config::show(desk),
        _ if is("daemons", 1) && value.is_some() => {
            desk.wrong(&format!("too many arguments for keyword:{verb}"))
        }
        _ if is("daemons", 1) => daemons::show(desk),
        _ if is("federations", 1) || is("frontendname", 1) => left(desk, "show federations"),
        _ if is("hostnames", 5) => hostnames(desk, value),
        _ if is("hostlist", 5) => hostlist(desk, value, false),
        _ if is("hostlistsorted", 9) => hostlist(desk, value, true),
        _ if is("jobs", 1) || is("jobid", 1) => job::show(desk, value),
        _ if is("licenses", 2) => plain("No licenses configured in Slurm.\n"),
        _ if is("nodes", 1) => node::show(desk, value),
        _ if is("partitions", 2) || is("partitionname", 2) => partition::show(desk, value),
        _ if is("reservations", 1) || is("reservationname", 1) => {
            plain("No reservations in the system\n")
        }
        _ if is("slurmd", 2) => left(desk, "show slurmd"),
        _ if is("steps", 2) => step::show(desk, value),
        _ if is("topology", 1) => {
            desk.error("No topology information available");
            0
        }
        _ => desk.wrong(&format!("invalid entity:{what} for keyword:{verb} ")),
    }
}

fn left(desk: &Desk<'_>, what: &str) -> u8 {
    desk.call.left_to_slurm(what);
    1
}

/// There are none: this controller has none, and Slurm's own are asked for by its own client.
fn plain(said: &str) -> u8 {
    text::print(said);
    0
}

fn hostnames(desk: &Desk<'_>, value: Option<&str>) -> u8 {
    let list = value.map(str::to_owned).or_else(|| env("SLURM_NODELIST"));
    let Some(list) = list else { return desk.error("host list is empty") };
    match expand(&list) {
        Ok(names) => {
            let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
            text::print(&lines);
            0
        }
        Err(error) => {
            desk.error(&format!("Invalid hostlist: {list}: {error}"));
            0
        }
    }
}

/// A list of names, or a file that holds them, as ranges.
fn hostlist(desk: &Desk<'_>, value: Option<&str>, sorted: bool) -> u8 {
    let Some(value) = value else {
        text::complain("invalid encode argument\n");
        return 1;
    };
    let list = if value.starts_with('/') {
        match std::fs::read(text::to_os(value)) {
            Ok(bytes) => text::from_bytes(&bytes).replace(['\n', '\t'], ","),
            Err(_) => {
                text::complain(&format!("Can't open `{value}`\n"));
                return 1;
            }
        }
    } else {
        value.to_owned()
    };
    match expand(&list) {
        Ok(mut names) => {
            if sorted {
                names.sort_by(|a, b| by_prefix(a, b));
            }
            text::print(&(compress(names.iter().map(String::as_str)) + "\n"));
            0
        }
        Err(error) => desk.error(&format!("Invalid hostlist: {list}: {error}")),
    }
}
