//! What a node is worth: what slurm.conf says, and where `ReturnToService=2` takes a node with
//! whatever it registers, the lesser of that and of what it registered with last.
//!
//! Invariants: cores keep their numbers, whatever is lost of them, so that what runs keeps its own;
//! nothing is ever more than slurm.conf says; a registration with all of it brings all of it back.

use crate::controller::core::draft::Draft;
use crate::controller::core::known;
use crate::controller::node::NodeRecord;
use crate::slurm::conf::{Conf, Node};
use std::borrow::Cow;
use std::cmp::min;

/// Whether nodes may have less than slurm.conf says, and work.
#[must_use]
pub fn may_shrink(conf: &Conf) -> bool {
    conf.number("ReturnToService") == 2
}

/// The node as it is now.
#[must_use]
pub fn now<'a>(conf: &Conf, of: &'a Node, record: &NodeRecord) -> Cow<'a, Node> {
    let seen = record.registered.0 != 0;
    if !seen || !may_shrink(conf) || lacks(conf, of, record).is_empty() {
        return Cow::Borrowed(of);
    }
    Cow::Owned(Node {
        cpus: min(of.cpus, record.cpus),
        boards: min(of.boards, record.boards.max(1)),
        sockets: min(of.sockets, record.sockets),
        cores: min(of.cores, record.cores),
        threads: min(of.threads, record.threads),
        real_memory: min(of.real_memory, record.real_memory),
        tmp_disk: min(of.tmp_disk, record.tmp_disk),
        ..of.clone()
    })
}

/// Says of a node that has just registered what is missing there, and what that does not fit.
pub fn tell(draft: &mut Draft<'_>, of: &Node) {
    let record = known(&draft.state, of);
    let Cow::Owned(node) = now(draft.conf, of, &record) else { return };
    let name = &of.name;
    let (cpus, memory) = (node.cpus, node.real_memory);
    let lacks = lacks(draft.conf, of, &record).join(", ");
    draft.note(format!(
        "node {name} has less than slurm.conf says, and is used so ({cpus} CPUs, {memory} MiB): \
         {lacks}; next: mend the node and restart its slurmd, or correct slurm.conf"
    ));
    let load = draft.state.load_of(name);
    let too_much = load.cpus > u32::from(cpus) || memory > 0 && load.memory > memory;
    if too_much && !load.running.is_empty() {
        let ids: Vec<String> = load.running.iter().map(u32::to_string).collect();
        draft.note(format!(
            "jobs {} run on node {name} with more than it has now: they go on",
            ids.join(",")
        ));
    }
}

/// What a node that registered lacks of what slurm.conf says, in Slurm's words.
#[must_use]
pub fn lacks(conf: &Conf, of: &Node, found: &NodeRecord) -> Vec<String> {
    let all = |sockets: u16, cores: u16, threads: u16| {
        u64::from(sockets) * u64::from(cores) * u64::from(threads)
    };
    let mut lacks = Vec::new();
    if says(conf, "SlurmdParameters", "config_overrides").is_some() {
        return lacks;
    }
    let threads = all(found.sockets, found.cores, found.threads);
    if threads < all(of.sockets, of.cores, of.threads) {
        lacks.push("Low socket*core*thread count".to_owned());
    }
    if found.cpus < of.cpus {
        lacks.push("Low CPUs".to_owned());
    }
    let least = memory_percent(conf);
    // Exact for every memory that there is: far below 2^53 MiB.
    let percent = found.real_memory as f64 / of.real_memory.max(1) as f64 * 100.0;
    if percent < least {
        let (reported, wanted) = (found.real_memory, of.real_memory);
        lacks.push(format!(
            "Low RealMemory (reported:{reported} < {least:.2}% of configured:{wanted})"
        ));
    }
    if found.tmp_disk < of.tmp_disk {
        lacks.push("Low TmpDisk".to_owned());
    }
    lacks
}

fn memory_percent(conf: &Conf) -> f64 {
    let set = says(conf, "SlurmctldParameters", "node_reg_mem_percent=");
    set.and_then(|text| text.parse().ok()).unwrap_or(100.0)
}

/// What stands behind `word` in a list of a parameter.
fn says<'a>(conf: &'a Conf, parameter: &str, word: &str) -> Option<&'a str> {
    let list = conf.text(parameter)?;
    let parts = list.split(',').map(str::trim);
    let mut found = parts.filter_map(|part| {
        let begin = part.get(..word.len())?;
        begin.eq_ignore_ascii_case(word).then(|| &part[word.len()..])
    });
    found.next()
}
