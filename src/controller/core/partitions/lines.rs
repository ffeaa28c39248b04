//! A request to change a partition, over another one or over a line of slurm.conf.
//!
//! Invariant: `over(over(p, a), b) == over(p, merged(a, b))`: entries grow by requests, not in
//! number.

use crate::slurm::conf::{Memory, Partition, PartitionState};
use crate::slurm::wire::constants::partition;
use crate::slurm::wire::tables::UpdatePartition;
use crate::slurm::wire::{Field, Text, Unset};

/// In a request: the default no more.
pub const NOT_DEFAULT: u16 = partition::DEFAULT << CLEAR;
/// How far above a flag its opposite is.
const CLEAR: u16 = 8;
/// The flags that there are.
const FLAGS: u16 = 0x7f;

const HIDDEN: u16 = 0x2;
const NO_ROOT: u16 = 0x4;
const ROOT_ONLY: u16 = 0x8;
const NEEDS_RESERVATION: u16 = 0x10;
const LEAST_LOADED: u16 = 0x20;
const EXCLUSIVE_USER: u16 = 0x40;

/// Memory of a CPU, not of a node.
const PER_CPU: u64 = 1 << 63;
/// Jobs take turns; said of the cluster, not of a partition.
const GANG: u16 = 0x8000;

/// A request that changes nothing.
#[must_use]
pub fn nothing() -> UpdatePartition {
    UpdatePartition { flags: 0, cpu_bind: 0, name: Text::NONE, ..UpdatePartition::unset() }
}

/// The two requests as one.
#[must_use]
pub fn merged(first: &UpdatePartition, then: &UpdatePartition) -> UpdatePartition {
    let text = |a: &Text, b: &Text| if b.is_none() { a.clone() } else { b.clone() };
    let set = then.flags & FLAGS;
    let cleared = (then.flags >> CLEAR) & FLAGS & !set;
    let said = set | cleared;
    let kept = first.flags & !(said | said << CLEAR);
    UpdatePartition {
        allow_accounts: text(&first.allow_accounts, &then.allow_accounts),
        allow_alloc_nodes: text(&first.allow_alloc_nodes, &then.allow_alloc_nodes),
        allow_groups: text(&first.allow_groups, &then.allow_groups),
        allow_qos: text(&first.allow_qos, &then.allow_qos),
        alternate: text(&first.alternate, &then.alternate),
        billing_weights_str: text(&first.billing_weights_str, &then.billing_weights_str),
        cpu_bind: 0,
        def_mem_per_cpu: then.def_mem_per_cpu.get().unwrap_or(first.def_mem_per_cpu),
        default_time: then.default_time.get().unwrap_or(first.default_time),
        deny_accounts: text(&first.deny_accounts, &then.deny_accounts),
        deny_qos: text(&first.deny_qos, &then.deny_qos),
        flags: kept | set | cleared << CLEAR,
        job_defaults_str: Text::NONE,
        grace_time: then.grace_time.get().unwrap_or(first.grace_time),
        max_cpus_per_node: then.max_cpus_per_node.get().unwrap_or(first.max_cpus_per_node),
        max_mem_per_cpu: then.max_mem_per_cpu.get().unwrap_or(first.max_mem_per_cpu),
        max_nodes: then.max_nodes.get().unwrap_or(first.max_nodes),
        max_share: then.max_share.get().unwrap_or(first.max_share),
        max_time: then.max_time.get().unwrap_or(first.max_time),
        min_nodes: then.min_nodes.get().unwrap_or(first.min_nodes),
        name: Text::NONE,
        nodes: text(&first.nodes, &then.nodes),
        over_time_limit: then.over_time_limit.get().unwrap_or(first.over_time_limit),
        preempt_mode: then.preempt_mode.get().unwrap_or(first.preempt_mode),
        priority_job_factor: then.priority_job_factor.get().unwrap_or(first.priority_job_factor),
        priority_tier: then.priority_tier.get().unwrap_or(first.priority_tier),
        qos_char: text(&first.qos_char, &then.qos_char),
        state_up: then.state_up.get().unwrap_or(first.state_up),
    }
}

/// The partition after a request.
#[must_use]
pub fn over(mut of: Partition, update: &UpdatePartition) -> Partition {
    numbers(&mut of, update);
    if let Some(state) = update.state_up.get() {
        of.state = state_of(state);
    }
    for (flag, field) in [
        (partition::DEFAULT, &mut of.is_default),
        (HIDDEN, &mut of.hidden),
        (NO_ROOT, &mut of.no_root),
        (ROOT_ONLY, &mut of.root_only),
        (NEEDS_RESERVATION, &mut of.needs_reservation),
        (LEAST_LOADED, &mut of.least_loaded),
        (EXCLUSIVE_USER, &mut of.exclusive_user),
    ] {
        // Who asks for both gets the flag.
        let cleared = update.flags & flag << CLEAR != 0;
        *field = update.flags & flag != 0 || (*field && !cleared);
    }
    for (wish, all, field) in [
        (&update.allow_accounts, "ALL", &mut of.allow_accounts),
        (&update.allow_groups, "ALL", &mut of.allow_groups),
        (&update.allow_qos, "ALL", &mut of.allow_qos),
        (&update.allow_alloc_nodes, "ALL", &mut of.alloc_nodes),
        (&update.alternate, "NONE", &mut of.alternate),
        (&update.deny_accounts, "", &mut of.deny_accounts),
        (&update.deny_qos, "", &mut of.deny_qos),
        (&update.qos_char, "", &mut of.qos),
        (&update.billing_weights_str, "", &mut of.billing_weights),
    ] {
        if !wish.is_none() {
            let text = wish.lossy();
            let none = text.is_empty() || text.eq_ignore_ascii_case(all);
            *field = (!none).then(|| text.into_owned());
        }
    }
    if !update.nodes.is_none() {
        let list = commas(&update.nodes.lossy());
        of.nodes = (!list.is_empty()).then_some(list);
    }
    of
}

/// Nodes may be separated by blanks, too.
#[must_use]
pub fn commas(list: &str) -> String {
    list.split_whitespace().collect::<Vec<_>>().join(",")
}

fn numbers(of: &mut Partition, update: &UpdatePartition) {
    if let Some(minutes) = update.max_time.get() {
        of.max_time = minutes;
    }
    // One that is longer than the longest is left out.
    if let Some(minutes) = update.default_time.get().filter(|minutes| *minutes <= of.max_time) {
        of.default_time = Some(minutes);
    }
    for (wish, field) in [
        (update.max_nodes, &mut of.max_nodes),
        (update.min_nodes, &mut of.min_nodes),
        (update.max_cpus_per_node, &mut of.max_cpus_per_node),
        (update.grace_time, &mut of.grace_time),
    ] {
        *field = wish.get().unwrap_or(*field);
    }
    for (wish, field) in [
        (update.max_share, &mut of.max_share),
        (update.priority_job_factor, &mut of.priority_job_factor),
        (update.priority_tier, &mut of.priority_tier),
    ] {
        *field = wish.get().unwrap_or(*field);
    }
    of.over_time_limit = update.over_time_limit.get().or(of.over_time_limit);
    let mode = update.preempt_mode.get().map(|mode| mode & !GANG);
    of.preempt_mode = mode.or(of.preempt_mode);
    for (wish, field) in
        [(update.def_mem_per_cpu, &mut of.def_mem), (update.max_mem_per_cpu, &mut of.max_mem)]
    {
        *field = wish.get().map_or(*field, memory);
    }
}

fn memory(packed: u64) -> Memory {
    match packed & !PER_CPU {
        0 => Memory::Unlimited,
        _ if packed == u64::INFINITE => Memory::Unlimited,
        mebibytes if packed & PER_CPU != 0 => Memory::PerCpu(mebibytes),
        mebibytes => Memory::PerNode(mebibytes),
    }
}

fn state_of(bits: u16) -> PartitionState {
    match (bits & partition::SUBMIT != 0, bits & partition::SCHEDULE != 0) {
        (true, true) => PartitionState::Up,
        (true, false) => PartitionState::Down,
        (false, true) => PartitionState::Drain,
        (false, false) => PartitionState::Inactive,
    }
}

fn state_bits(of: PartitionState) -> u16 {
    match of {
        PartitionState::Up => partition::UP,
        PartitionState::Down => partition::SUBMIT,
        PartitionState::Drain => partition::SCHEDULE,
        PartitionState::Inactive => 0,
    }
}

/// A request that makes any partition that one, whatever it was.
#[must_use]
pub fn all_of(of: &Partition) -> UpdatePartition {
    let packed = |memory: Memory| match memory {
        Memory::Unlimited => 0,
        Memory::PerNode(mebibytes) => mebibytes,
        Memory::PerCpu(mebibytes) => mebibytes | PER_CPU,
    };
    let text = |text: &Option<String>| Text::from(text.as_deref().unwrap_or(""));
    let flags = [
        (partition::DEFAULT, of.is_default),
        (HIDDEN, of.hidden),
        (NO_ROOT, of.no_root),
        (ROOT_ONLY, of.root_only),
        (NEEDS_RESERVATION, of.needs_reservation),
        (LEAST_LOADED, of.least_loaded),
        (EXCLUSIVE_USER, of.exclusive_user),
    ];
    let flag = |(flag, is): (u16, bool)| if is { flag } else { flag << CLEAR };
    UpdatePartition {
        allow_accounts: text(&of.allow_accounts),
        allow_alloc_nodes: text(&of.alloc_nodes),
        allow_groups: text(&of.allow_groups),
        allow_qos: text(&of.allow_qos),
        alternate: text(&of.alternate),
        billing_weights_str: text(&of.billing_weights),
        def_mem_per_cpu: packed(of.def_mem),
        default_time: of.default_time.unwrap_or(u32::UNSET),
        deny_accounts: text(&of.deny_accounts),
        deny_qos: text(&of.deny_qos),
        flags: flags.into_iter().map(flag).fold(0, |sum, flag| sum | flag),
        grace_time: of.grace_time,
        max_cpus_per_node: of.max_cpus_per_node,
        max_mem_per_cpu: packed(of.max_mem),
        max_nodes: of.max_nodes,
        max_share: of.max_share,
        max_time: of.max_time,
        min_nodes: of.min_nodes,
        nodes: text(&of.nodes),
        over_time_limit: of.over_time_limit.unwrap_or(u16::UNSET),
        preempt_mode: of.preempt_mode.unwrap_or(u16::UNSET),
        priority_job_factor: of.priority_job_factor,
        priority_tier: of.priority_tier,
        qos_char: text(&of.qos),
        state_up: state_bits(of.state),
        ..nothing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A request, decided by a number.
    fn sample(seed: u64) -> UpdatePartition {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut choose = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let any = UpdatePartition::sample(&mut choose);
        let flags = any.flags & 0x7f7f;
        // What one request does not do, the two as one do not either.
        let (max_time, job_defaults_str) = (u32::UNSET, Text::NONE);
        UpdatePartition { flags, max_time, job_defaults_str, cpu_bind: 0, name: Text::NONE, ..any }
    }

    fn config() -> ProptestConfig {
        ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn two_requests_are_as_good_as_one(first in any::<u64>(), then in any::<u64>()) {
            let of = Partition::named("p");
            let (a, b) = (sample(first), sample(then));
            let one = merged(&merged(&nothing(), &a), &b);
            prop_assert_eq!(over(over(of.clone(), &a), &b), over(of, &one));
        }

        #[test]
        fn a_partition_is_told_whole(seed in any::<u64>(), other in any::<u64>()) {
            let of = over(Partition::named("p"), &sample(seed));
            // Of these there is no word for none.
            let mut from = over(Partition::named("p"), &sample(other));
            (from.default_time, from.over_time_limit) = (None, None);
            from.preempt_mode = None;
            prop_assert_eq!(over(from, &all_of(&of)), of);
        }
    }
}
