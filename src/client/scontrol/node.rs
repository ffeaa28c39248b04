//! `scontrol show node`.

use super::Desk;
use crate::client::job::show;
use crate::client::{node_state, text, time, users};
use crate::slurm::hostlist::expand;
use crate::slurm::wire::constants::node;
use crate::slurm::wire::tables::{InfoRequest, Node, Partition};
use crate::slurm::wire::{Message, Time, Unset};

/// Shows all nodes, or those of a list.
pub fn show(desk: &Desk<'_>, list: Option<&str>) -> u8 {
    let future = if desk.future { show::FUTURE } else { 0 };
    let ask = InfoRequest { last_update: Time(0), show_flags: desk.flags() | future };
    let nodes = match desk.cluster.ask(&Message::NodesRequest(Box::new(ask))) {
        Ok(Message::Nodes(listing)) => listing.records,
        Ok(_) => return 1,
        Err(failure) => return desk.failed("slurm_load_node error", &failure),
    };
    let show_flags = if desk.all { show::ALL } else { 0 };
    let ask = InfoRequest { last_update: Time(0), show_flags };
    let partitions = match desk.cluster.ask(&Message::PartitionsRequest(Box::new(ask))) {
        Ok(Message::Partitions(listing)) => listing.records,
        Ok(_) => return 1,
        Err(failure) => return desk.failed("slurm_load_partitions error", &failure),
    };
    let shown = |at: usize| text_of(desk, &nodes[at], &member_of(&partitions, at));
    let named = |at: &usize| !nodes[*at].name.is_none();
    let Some(list) = list else {
        let all: Vec<usize> = (0..nodes.len()).filter(named).collect();
        if all.is_empty() && !desk.quiet {
            text::print("No nodes in the system\n");
        }
        text::print(&all.into_iter().map(shown).collect::<String>());
        return 0;
    };
    let names = match expand(list) {
        Ok(names) => names,
        Err(_) => return desk.wrong(&format!("unable to parse node list {list}")),
    };
    let mut code = 0;
    for name in names {
        let found = (0..nodes.len()).find(|at| named(at) && text::of(&nodes[*at].name) == name);
        match found {
            Some(at) => text::print(&shown(at)),
            None => {
                code = 1;
                if !desk.quiet {
                    text::print(&format!("Node {name} not found\n"));
                }
            }
        }
    }
    code
}

/// The partitions that a node is in; none: there are none.
fn member_of(partitions: &[Partition], at: usize) -> Option<String> {
    let at = u32::try_from(at).ok()?;
    let names: Vec<String> = partitions
        .iter()
        .filter(|one| one.node_inx.has(at))
        .map(|one| text::of(&one.name))
        .collect();
    (!names.is_empty()).then(|| names.join(","))
}

fn text_of(desk: &Desk<'_>, of: &Node, partitions: &Option<String>) -> String {
    let mut lines = hardware(desk, of);
    let state = node_state::shown(of, true);
    let owner = if of.owner.is_unset() {
        "N/A".to_owned()
    } else {
        format!("{}({})", users::name(of.owner), of.owner)
    };
    let label = if of.mcs_label.is_none() { "N/A".to_owned() } else { text::of(&of.mcs_label) };
    lines.push(format!(
        "State={} ThreadsPerCore={} TmpDisk={} Weight={} Owner={owner} MCS_label={label}",
        node_state::flags(state),
        of.threads,
        of.tmp_disk,
        of.weight
    ));
    let reboots = state & (node::REBOOT_REQUESTED | node::REBOOT_ISSUED) != 0;
    if !of.next_state.is_unset() && reboots {
        lines.push(format!("NextState={}", node_state::full(of.next_state)));
    }
    if let Some(partitions) = partitions {
        lines.push(format!("Partitions={partitions} "));
    }
    let when = |time: Time| if time.0 == 0 { "None".to_owned() } else { time::stamp(time) };
    lines.push(format!(
        "BootTime={} SlurmdStartTime={}",
        when(of.boot_time),
        when(of.slurmd_start_time)
    ));
    lines.push(format!("LastBusyTime={}", time::stamp(of.last_busy)));
    lines.push(format!("CfgTRES={}", text::or_null(&of.tres_fmt_str)));
    lines.push(format!("AllocTRES={}", text::of(&of.select_nodeinfo.alloc_tres)));
    lines.extend(power(of));
    lines.extend(reason(of, desk.line_end()));
    if !of.comment.is_none() {
        lines.push(format!("Comment={}", text::of(&of.comment)));
    }
    if !of.extra.is_none() {
        lines.push(format!("Extra={}", text::of(&of.extra)));
    }
    lines.join(desk.line_end()) + desk.record_end()
}

fn hardware(desk: &Desk<'_>, of: &Node) -> Vec<String> {
    let mut first = format!("NodeName={} ", text::of(&of.name));
    if !of.arch.is_none() {
        first += &format!("Arch={} ", text::of(&of.arch));
    }
    if of.cpu_bind != 0 {
        first += &format!("CpuBind={} ", super::words::cpu_bind(of.cpu_bind));
    }
    first += &format!("CoresPerSocket={} ", of.cores);
    let load = if of.cpu_load.is_unset() {
        "N/A".to_owned()
    } else {
        format!("{:.2}", f64::from(of.cpu_load) / 100.0)
    };
    let used = of.select_nodeinfo.alloc_cpus;
    let (usable, all) = (of.cpus_efctv, of.cpus);
    let mut lines = vec![
        first,
        format!("CPUAlloc={used} CPUEfctv={usable} CPUTot={all} CPULoad={load}"),
        format!("AvailableFeatures={}", text::or_null(&of.features)),
        format!("ActiveFeatures={}", text::or_null(&of.features_act)),
        format!("Gres={}", text::or_null(&of.gres)),
    ];
    for (name, text) in [("GresDrain", &of.gres_drain), ("GresUsed", &of.gres_used)] {
        if !text.is_none() {
            lines.push(format!("{name}={}", text::of(text)));
        }
    }
    lines.extend(Some(address(desk, of)).filter(|line| !line.is_empty()));
    if !of.os.is_none() {
        lines.push(format!("OS={} ", text::of(&of.os)));
    }
    let free = if of.free_mem.is_unset() { "N/A".to_owned() } else { of.free_mem.to_string() };
    lines.push(format!(
        "RealMemory={} AllocMem={} FreeMem={free} Sockets={} Boards={}",
        of.real_memory, of.select_nodeinfo.alloc_memory, of.sockets, of.boards
    ));
    lines.extend(set_aside(of));
    lines
}

/// Where it is, and what runs there.
fn address(desk: &Desk<'_>, of: &Node) -> String {
    let mut line = String::new();
    let names = [
        ("NodeAddr", &of.node_addr),
        ("NodeHostName", &of.node_hostname),
        ("BcastAddr", &of.bcast_address),
    ];
    for (name, text) in names {
        if !text.is_none() {
            line += &format!("{name}={} ", text::of(text));
        }
    }
    if u64::from(of.port) != desk.cluster.conf.number("SlurmdPort") {
        line += &format!("Port={} ", of.port);
    }
    if !of.version.is_none() {
        line += &format!("Version={}", text::of(&of.version));
    }
    line
}

/// Cores and memory that jobs do not get.
fn set_aside(of: &Node) -> Option<String> {
    let mut line = String::new();
    if of.core_spec_cnt != 0 {
        line += &format!("CoreSpecCount={} ", of.core_spec_cnt);
    }
    if !of.cpu_spec_list.is_none() {
        line += &format!("CPUSpecList={} ", text::of(&of.cpu_spec_list));
    }
    if of.mem_spec_limit != 0 {
        line += &format!("MemSpecLimit={}", of.mem_spec_limit);
    }
    Some(line).filter(|line| !line.is_empty())
}

fn power(of: &Node) -> [String; 3] {
    let number = |value: u32, none: &str| {
        if value.is_unset() { none.to_owned() } else { value.to_string() }
    };
    let watts = match of.energy.current_watts {
        u32::UNSET => "CurrentWatts=n/s AveWatts=n/s".to_owned(),
        current => format!("CurrentWatts={current} AveWatts={}", of.energy.ave_watts),
    };
    let sensors = &of.ext_sensors;
    let joules = match sensors.consumed_energy {
        u64::UNSET => "n/s".to_owned(),
        joules => joules.to_string(),
    };
    [
        format!("CapWatts={}", number(of.power.cap_watts, "n/a")),
        watts,
        format!(
            "ExtSensorsJoules={joules} ExtSensorsWatts={} ExtSensorsTemp={}",
            number(sensors.current_watts, "n/s"),
            number(sensors.temperature, "n/s")
        ),
    ]
}

/// Why it is out of service: the first line says who set that, and when.
fn reason(of: &Node, line_end: &str) -> Option<String> {
    let reason = text::of(&of.reason);
    let mut lines = reason.split('\n').filter(|line| !line.is_empty());
    let mut shown = format!("Reason={}", lines.next()?);
    if of.reason_time.0 != 0 {
        let (who, when) = (users::name(of.reason_uid), time::stamp(of.reason_time));
        shown += &format!(" [{who}@{when}]");
    }
    for line in lines {
        shown += &format!("{line_end}       {line}");
    }
    Some(shown)
}
