//! `scontrol show partition`.

use super::{Desk, words};
use crate::client::job::show;
use crate::client::partition::{PER_CPU, flag, oversubscribe, state};
use crate::client::{text, time};
use crate::slurm::conf::preempt_mode;
use crate::slurm::wire::tables::{InfoRequest, Partition};
use crate::slurm::wire::{Message, Text, Time, Unset};

/// Shows all partitions, or one.
pub fn show(desk: &Desk<'_>, name: Option<&str>) -> u8 {
    let show_flags = if desk.all { show::ALL } else { 0 };
    let ask = InfoRequest { last_update: Time(0), show_flags };
    let partitions = match desk.cluster.ask(&Message::PartitionsRequest(Box::new(ask))) {
        Ok(Message::Partitions(listing)) => listing.records,
        Ok(_) => return 1,
        Err(failure) => return desk.failed("slurm_load_partitions error", &failure),
    };
    let wanted = |one: &&Partition| name.is_none_or(|name| text::of(&one.name) == name);
    let shown: Vec<String> =
        partitions.iter().filter(wanted).map(|one| text_of(desk, one)).collect();
    text::print(&shown.concat());
    match (shown.is_empty(), name) {
        (true, Some(name)) => {
            if !desk.quiet {
                text::print(&format!("Partition {name} not found\n"));
            }
            1
        }
        (true, None) => {
            if !desk.quiet {
                text::print("No partitions in the system\n");
            }
            0
        }
        _ => 0,
    }
}

fn text_of(desk: &Desk<'_>, of: &Partition) -> String {
    let mut lines = who(of);
    lines.extend(limits(of));
    if !of.nodesets.is_none() {
        lines.push(format!("NodeSets={}", text::of(&of.nodesets)));
    }
    lines.push(format!("Nodes={}", text::or_null(&of.nodes)));
    lines.push(format!(
        "PriorityJobFactor={} PriorityTier={} RootOnly={} ReqResv={} OverSubscribe={}",
        of.priority_job_factor,
        of.priority_tier,
        has(of, flag::ROOT_ONLY),
        has(of, flag::REQ_RESV),
        oversubscribe(of.max_share)
    ));
    let over = match of.over_time_limit {
        u16::UNSET => "NONE".to_owned(),
        u16::INFINITE => "UNLIMITED".to_owned(),
        minutes => minutes.to_string(),
    };
    let cluster_wide = || desk.cluster.conf.text("PreemptMode").map(preempt_mode);
    let mode = match of.preempt_mode {
        u16::UNSET => cluster_wide().and_then(Result::ok).unwrap_or(0),
        mode => mode,
    };
    lines.push(format!("OverTimeLimit={over} PreemptMode={}", words::preempt_mode(mode)));
    lines.push(format!(
        "State={} TotalCPUs={} TotalNodes={} SelectTypeParameters={}",
        state(of.state_up).unwrap_or("UNKNOWN"),
        of.total_cpus,
        of.total_nodes,
        words::select_parameters(of.cr_type)
    ));
    lines.push(format!("JobDefaults={}", words::job_defaults(of.job_defaults_list.as_deref())));
    lines.push(memory("Def", of.def_mem_per_cpu) + " " + &memory("Max", of.max_mem_per_cpu));
    lines.push(format!("TRES={}", text::or_null(&of.tres_fmt_str)));
    if !of.billing_weights_str.is_none() {
        lines.push(format!("TRESBillingWeights={}", text::of(&of.billing_weights_str)));
    }
    lines.extend(power(of));
    lines.join(desk.line_end()) + desk.record_end()
}

fn has(of: &Partition, flag: u16) -> &'static str {
    if of.flags & flag == 0 { "NO" } else { "YES" }
}

/// Who may use it.
fn who(of: &Partition) -> Vec<String> {
    let all = |text: &Text| if text.is_empty() { "ALL".to_owned() } else { text::of(text) };
    let either = |allow: &Text, deny: &Text, what: &str| {
        if allow.is_none() && !deny.is_none() {
            format!("Deny{what}={}", text::of(deny))
        } else {
            format!("Allow{what}={}", all(allow))
        }
    };
    let accounts = either(&of.allow_accounts, &of.deny_accounts, "Accounts");
    let qos = either(&of.allow_qos, &of.deny_qos, "Qos");
    let from = if of.allow_alloc_nodes.is_none() {
        "ALL".to_owned()
    } else {
        text::of(&of.allow_alloc_nodes)
    };
    let mut second = format!("AllocNodes={from}");
    if !of.alternate.is_none() {
        second += &format!(" Alternate={}", text::of(&of.alternate));
    }
    second += &format!(" Default={}", has(of, flag::DEFAULT));
    if of.cpu_bind != 0 {
        second += &format!(" CpuBind={} ", words::cpu_bind(of.cpu_bind));
    }
    let own = if of.qos_char.is_none() { "N/A".to_owned() } else { text::of(&of.qos_char) };
    vec![
        format!("PartitionName={}", text::of(&of.name)),
        format!("AllowGroups={} {accounts} {qos}", all(&of.allow_groups)),
        second + &format!(" QoS={own}"),
    ]
}

fn limits(of: &Partition) -> [String; 2] {
    let minutes = |minutes: u32| match minutes {
        u32::INFINITE => "UNLIMITED".to_owned(),
        u32::UNSET => "NONE".to_owned(),
        minutes => time::long(i64::from(minutes) * 60),
    };
    let count = |count: u32| match count {
        u32::INFINITE => "UNLIMITED".to_owned(),
        count => count.to_string(),
    };
    [
        format!(
            "DefaultTime={} DisableRootJobs={} ExclusiveUser={} GraceTime={} Hidden={}",
            minutes(of.default_time),
            has(of, flag::NO_ROOT),
            has(of, flag::EXCLUSIVE_USER),
            of.grace_time,
            has(of, flag::HIDDEN)
        ),
        format!(
            "MaxNodes={} MaxTime={} MinNodes={} LLN={} MaxCPUsPerNode={}",
            count(of.max_nodes),
            minutes(of.max_time),
            of.min_nodes,
            has(of, flag::LLN),
            count(of.max_cpus_per_node)
        ),
    ]
}

/// `DefMemPerNode=UNLIMITED`, `MaxMemPerCPU=100`.
pub fn memory(which: &str, amount: u64) -> String {
    let per = if amount & PER_CPU == 0 { "Node" } else { "CPU" };
    match amount & !PER_CPU {
        0 => format!("{which}MemPer{per}=UNLIMITED"),
        mb => format!("{which}MemPer{per}={mb}"),
    }
}

/// When its nodes are switched off, if it says so itself.
fn power(of: &Partition) -> Option<String> {
    let timeout = |seconds: u16| match seconds {
        u16::UNSET => "GLOBAL".to_owned(),
        u16::INFINITE => "INFINITE".to_owned(),
        seconds => seconds.to_string(),
    };
    let own = !of.resume_timeout.is_unset()
        || !of.suspend_timeout.is_unset()
        || !of.suspend_time.is_unset();
    let suspend = match of.suspend_time {
        u32::UNSET => "GLOBAL".to_owned(),
        u32::INFINITE => "INFINITE".to_owned(),
        seconds => seconds.cast_signed().to_string(),
    };
    own.then(|| {
        format!(
            "ResumeTimeout={} SuspendTimeout={} SuspendTime={suspend}",
            timeout(of.resume_timeout),
            timeout(of.suspend_timeout)
        )
    })
}
