//! The state of a node in words: in short and in full, as `sinfo` has it, and as a list of flags,
//! as `scontrol show node` has it.

use crate::slurm::wire::constants::node;
use crate::slurm::wire::tables::Node;

/// Flags that clients have words for, beside those of the protocol's constants.
mod flag {
    pub const NET: u32 = 1 << 4;
    pub const CLOUD: u32 = 1 << 7;
    pub const POWERING_UP: u32 = 1 << 14;
    pub const POWERING_DOWN: u32 = 1 << 18;
    pub const DYNAMIC_FUTURE: u32 = 1 << 19;
    pub const PLANNED: u32 = 1 << 21;
    pub const POWER_DOWN: u32 = 1 << 23;
    pub const POWER_UP: u32 = 1 << 24;
    pub const DYNAMIC_NORM: u32 = 1 << 26;
}

/// What stands behind a state, the first flag that is set.
const SIGNS: [(u32, &str); 8] = [
    (node::MAINT, "$"),
    (node::REBOOT_ISSUED, "^"),
    (node::REBOOT_REQUESTED, "@"),
    (flag::POWERING_UP, "#"),
    (flag::POWERING_DOWN, "%"),
    (node::POWERED_DOWN, "~"),
    (flag::POWER_DOWN, "!"),
    (node::NO_RESPOND, "*"),
];

/// Flags by name, in the order in which they are listed.
const FLAGS: [(u32, &str); 20] = [
    (flag::CLOUD, "CLOUD"),
    (node::COMPLETING, "COMPLETING"),
    (node::DRAIN, "DRAIN"),
    (flag::DYNAMIC_FUTURE, "DYNAMIC_FUTURE"),
    (flag::DYNAMIC_NORM, "DYNAMIC_NORM"),
    (node::INVALID_REGISTRATION, "INVALID_REG"),
    (node::FAIL, "FAIL"),
    (node::MAINT, "MAINTENANCE"),
    (flag::POWER_DOWN, "POWER_DOWN"),
    (flag::POWER_UP, "POWER_UP"),
    (flag::NET, "PERFCTRS"),
    (node::POWERED_DOWN, "POWERED_DOWN"),
    (node::REBOOT_REQUESTED, "REBOOT_REQUESTED"),
    (node::REBOOT_ISSUED, "REBOOT_ISSUED"),
    (node::RESERVED, "RESERVED"),
    (node::RESUME, "RESUME"),
    (node::NO_RESPOND, "NOT_RESPONDING"),
    (flag::PLANNED, "PLANNED"),
    (flag::POWERING_UP, "POWERING_UP"),
    (flag::POWERING_DOWN, "POWERING_DOWN"),
];

/// The state that is shown: a node that is partly in use, and not drained, is MIXED.
pub fn shown(node: &Node, even_drained: bool) -> u32 {
    let (used, all) = (node.select_nodeinfo.alloc_cpus, node.cpus_efctv);
    let idle = i32::from(all) - i32::from(used);
    let mixed = idle != 0 && idle != i32::from(all);
    if mixed && (even_drained || node.node_state & node::DRAIN == 0) {
        node.node_state & !node::BASE | node::MIXED
    } else {
        node.node_state
    }
}

/// In full: `IDLE`, `DRAINED*`.
pub fn full(state: u32) -> String {
    words(state, 1)
}

/// In short: `IDLE`, `DRAIN*`.
pub fn compact(state: u32) -> String {
    words(state, 0)
}

/// `[short, full]`, at `which`.
fn words(state: u32, which: usize) -> String {
    let base = state & node::BASE;
    let has = |flag: u32| state & flag != 0;
    let busy = matches!(base, node::ALLOCATED | node::MIXED);
    let silent = if has(node::NO_RESPOND) { "*" } else { "" };
    if has(node::INVALID_REGISTRATION) {
        return "INVAL".to_owned();
    }
    if has(node::MAINT) && !has(node::DRAIN) && !busy && base != node::DOWN {
        return format!("MAINT{silent}");
    }
    if has(node::REBOOT_REQUESTED | node::REBOOT_ISSUED) && !busy {
        let sign = if has(node::REBOOT_ISSUED) { "^" } else { silent };
        return ["BOOT", "REBOOT"][which].to_owned() + sign;
    }
    let sign = SIGNS.iter().find(|(flag, _)| has(*flag)).map_or("", |(_, sign)| sign);
    if has(node::DRAIN) {
        let names =
            if busy || has(node::COMPLETING) { ["DRNG", "DRAINING"] } else { ["DRAIN", "DRAINED"] };
        return names[which].to_owned() + sign;
    }
    if has(node::FAIL) {
        let ending = has(node::COMPLETING) || base == node::ALLOCATED;
        let names = if ending { ["FAILG", "FAILING"] } else { ["FAIL", "FAIL"] };
        return names[which].to_owned() + silent;
    }
    plain(state, base, sign, which)
}

/// A state without flags that hide it.
fn plain(state: u32, base: u32, sign: &str, which: usize) -> String {
    let has = |flag: u32| state & flag != 0;
    let named = |names: [&str; 2]| names[which].to_owned() + sign;
    match base {
        node::DOWN => named(["DOWN", "DOWN"]),
        node::ALLOCATED if sign.is_empty() && has(node::COMPLETING) => {
            named(["ALLOC", "ALLOCATED"]) + "+"
        }
        node::ALLOCATED => named(["ALLOC", "ALLOCATED"]),
        _ if has(node::COMPLETING) => named(["COMP", "COMPLETING"]),
        node::IDLE if !sign.is_empty() => named(["IDLE", "IDLE"]),
        node::IDLE if has(flag::NET) => named(["NPC", "PERFCTRS"]),
        node::IDLE if has(node::RESERVED) => named(["RESV", "RESERVED"]),
        node::IDLE if has(flag::PLANNED) => named(["PLND", "PLANNED"]),
        node::IDLE => named(["IDLE", "IDLE"]),
        node::MIXED if sign.is_empty() && has(flag::PLANNED) => named(["MIX", "MIXED"]) + "-",
        node::MIXED => named(["MIX", "MIXED"]),
        node::FUTURE => named(["FUTR", "FUTURE"]),
        _ if has(node::RESUME) => ["RESM", "RESUME"][which].to_owned(),
        node::UNKNOWN => {
            let silent = if has(node::NO_RESPOND) { "*" } else { "" };
            ["UNK", "UNKNOWN"][which].to_owned() + silent
        }
        _ => "?".to_owned(),
    }
}

/// The base, and each flag: `IDLE+DRAIN`.
pub fn flags(state: u32) -> String {
    let base = match state & node::BASE {
        node::UNKNOWN => "UNKNOWN",
        node::DOWN => "DOWN",
        node::IDLE => "IDLE",
        node::ALLOCATED => "ALLOCATED",
        node::ERROR => "ERROR",
        node::MIXED => "MIXED",
        node::FUTURE => "FUTURE",
        _ => "INVALID",
    };
    let mut shown = base.to_owned();
    for (_, name) in FLAGS.iter().filter(|(flag, _)| state & flag != 0) {
        shown.push('+');
        shown.push_str(name);
    }
    let known = FLAGS.iter().fold(node::BASE, |all, (flag, _)| all | flag);
    for _ in 0..(state & !known).count_ones() {
        shown.push_str("+?");
    }
    shown
}

/// States that a filter may name, as a complaint lists them.
pub const LISTED: &str = "unknown,down,idle,allocated,?,mixed,future,drain,drained,draining,\
    no_respond,reserved,perfctrs,cloud,completing,powering_down,powered_down,power_down,\
    powering_up,fail,maint,reboot,reboot^,unknown";

/// A state that a filter names, which may be abbreviated. `None`: there is none such.
pub fn wanted(name: &str) -> Option<u32> {
    let begins =
        |full: &str| full.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
    let called = |state: u32| begins(&compact(state)) || begins(&full(state));
    if let Some(base) = (node::UNKNOWN..=node::FUTURE).find(|base| called(*base)) {
        return Some(base);
    }
    let names = [
        (flag::PLANNED, &["PLANNED", "PLND"][..]),
        (node::DRAIN, &["DRAIN"]),
        (node::DRAIN | node::IDLE, &["DRAINED"]),
        (node::RESERVED, &["RESV", "RESERVED"]),
        (flag::NET, &["PERFCTRS", "NPC"]),
        (node::DRAIN | node::ALLOCATED, &["DRAINING", "DRNG"]),
        (node::COMPLETING, &["COMP", "COMPLETING"]),
        (node::NO_RESPOND, &["NO_RESPOND"]),
        (flag::POWERING_DOWN, &["POWRING_DN", "POWERING_DOWN"]),
        (node::POWERED_DOWN, &["POWERED_DN", "POWERED_DOWN"]),
        (flag::POWER_DOWN, &["POW_DN", "POWER_DOWN"]),
        (flag::POWERING_UP, &["POWERING_UP"]),
        (node::FAIL, &["FAIL"]),
        (node::MAINT, &["MAINT"]),
        (node::REBOOT_REQUESTED, &["BOOT", "REBOOT"]),
        (node::REBOOT_ISSUED, &["BOOT^", "REBOOT^"]),
        (flag::CLOUD, &["CLOUD"]),
    ];
    names.iter().find(|(_, names)| names.iter().any(|name| begins(name))).map(|(state, _)| *state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_slurms_names() {
        let states = [
            (node::IDLE, "IDLE", "IDLE", "IDLE"),
            (node::IDLE | node::DRAIN, "DRAIN", "DRAINED", "IDLE+DRAIN"),
            (node::MIXED | node::DRAIN, "DRNG", "DRAINING", "MIXED+DRAIN"),
            (node::DOWN | node::NO_RESPOND, "DOWN*", "DOWN*", "DOWN+NOT_RESPONDING"),
            (node::IDLE | node::COMPLETING, "COMP", "COMPLETING", "IDLE+COMPLETING"),
            (node::ALLOCATED | node::COMPLETING, "ALLOC+", "ALLOCATED+", "ALLOCATED+COMPLETING"),
            (node::IDLE | node::FAIL, "FAIL", "FAIL", "IDLE+FAIL"),
            (node::UNKNOWN | node::NO_RESPOND, "UNK*", "UNKNOWN*", "UNKNOWN+NOT_RESPONDING"),
        ];
        for (state, short, long, listed) in states {
            assert_eq!([compact(state), full(state), flags(state)], [short, long, listed]);
        }
    }

    #[test]
    fn filters_name_states_as_they_are_shown() {
        let named = ["down", "fail", "drain", "idle", "alloc", "draining", "nonsense"];
        let drain = Some(node::DRAIN);
        let states = [
            Some(node::DOWN),
            Some(node::FAIL),
            drain,
            Some(node::IDLE),
            Some(node::ALLOCATED),
            Some(node::DRAIN | node::ALLOCATED),
            None,
        ];
        assert_eq!(named.map(wanted), states);
    }
}
