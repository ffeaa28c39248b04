//! Words for numbers and flags of the configuration.

use crate::slurm::wire::tables::JobDefault;

/// The names of the flags that are set, with commas; none: `none`.
fn names(flags: u64, table: &[(u32, &str)], none: &str) -> String {
    let set = table.iter().filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, name)| *name);
    let text = set.collect::<Vec<_>>().join(",");
    if text.is_empty() { none.to_owned() } else { text }
}

/// How tasks are bound to CPUs.
pub fn cpu_bind(flags: u32) -> String {
    const NAMES: [(u32, &str); 16] = [
        (0, "verbose"),
        (1, "threads"),
        (2, "cores"),
        (3, "sockets"),
        (4, "ldoms"),
        (5, "none"),
        (6, "rank"),
        (7, "map_cpu"),
        (8, "mask_cpu"),
        (9, "rank_ldom"),
        (10, "map_ldom"),
        (11, "mask_ldom"),
        (13, "one_thread"),
        (14, "autobind=threads"),
        (16, "autobind=cores"),
        (17, "autobind=sockets"),
    ];
    const OFF: u32 = 1 << 19;
    let text = names(flags.into(), &NAMES, "");
    match (text.is_empty(), flags & OFF != 0) {
        (true, true) => "off".to_owned(),
        (true, false) => "(null type)".to_owned(),
        (false, true) => text + ",off",
        (false, false) => text,
    }
}

/// What is allocated.
pub fn select_parameters(flags: u16) -> String {
    let has = |flag: u16| flags & flag != 0;
    let unit = [(0x1, "CPU"), (0x4, "CORE"), (0x2, "SOCKET")];
    let unit = unit.iter().find(|(flag, _)| has(*flag)).map(|(_, name)| *name);
    let first = match (unit, has(0x10)) {
        (Some(unit), true) => format!("CR_{unit}_MEMORY"),
        (Some(unit), false) => format!("CR_{unit}"),
        (None, true) => "CR_MEMORY".to_owned(),
        (None, false) => String::new(),
    };
    let more = [
        (0x20, "OTHER_CONS_RES"),
        (0x800, "OTHER_CONS_TRES"),
        (0x100, "CR_ONE_TASK_PER_CORE"),
        (0x1000, "CR_CORE_DEFAULT_DIST_BLOCK"),
        (0x4000, "CR_LLN"),
        (0x200, "CR_PACK_NODES"),
    ];
    let more = more.iter().filter(|(flag, _)| has(*flag)).map(|(_, name)| (*name).to_owned());
    let all: Vec<String> =
        Some(first).filter(|one| !one.is_empty()).into_iter().chain(more).collect();
    if all.is_empty() { "NONE".to_owned() } else { all.join(",") }
}

/// How jobs are preempted.
pub fn preempt_mode(mode: u16) -> String {
    const WITHIN: u16 = 0x4000;
    const GANG: u16 = 0x8000;
    let plain = |mode: u16| match mode {
        8 => "CANCEL",
        2 => "REQUEUE",
        1 => "SUSPEND",
        _ => "UNKNOWN",
    };
    match mode {
        0 => "OFF".to_owned(),
        GANG => "GANG".to_owned(),
        WITHIN => "WITHIN".to_owned(),
        mode if mode & GANG != 0 => format!("GANG,{}", plain(mode & !GANG)),
        mode if mode & WITHIN != 0 => format!("WITHIN,{}", plain(mode & !WITHIN)),
        mode => plain(mode).to_owned(),
    }
}

/// Defaults for jobs.
pub fn job_defaults(list: Option<&[JobDefault]>) -> String {
    let one = |default: &JobDefault| {
        let name = match default.kind {
            1 => "DefCpuPerGPU".to_owned(),
            2 => "DefMemPerGPU".to_owned(),
            other => format!("Unknown({other})"),
        };
        format!("{name}={}", default.value)
    };
    match list {
        None | Some([]) => "(null)".to_owned(),
        Some(list) => list.iter().map(one).collect::<Vec<_>>().join(","),
    }
}

/// What of accounting is enforced.
pub fn enforced(flags: u16) -> String {
    const NAMES: [(u32, &str); 7] = [
        (0, "associations"),
        (1, "limits"),
        (5, "nojobs"),
        (6, "nosteps"),
        (3, "qos"),
        (4, "safe"),
        (2, "wckeys"),
    ];
    names(flags.into(), &NAMES, "none")
}

/// What users do not see of each other.
pub fn private_data(flags: u16) -> String {
    const NAMES: [(u32, &str); 9] = [
        (5, "accounts"),
        (7, "cloud"),
        (8, "events"),
        (0, "jobs"),
        (1, "nodes"),
        (2, "partitions"),
        (6, "reservations"),
        (3, "usage"),
        (4, "users"),
    ];
    names(flags.into(), &NAMES, "none")
}

/// When the prolog runs.
pub fn prolog_flags(flags: u16) -> String {
    const NAMES: [(u32, &str); 6] =
        [(0, "Alloc"), (2, "Contain"), (5, "DeferBatch"), (1, "NoHold"), (3, "Serial"), (4, "X11")];
    names(flags.into(), &NAMES, "(null)")
}

/// What survives a reconfiguration.
pub fn reconfig_flags(flags: u16) -> String {
    names(flags.into(), &[(0, "KeepPartInfo"), (1, "KeepPartState")], "(null)")
}

/// What is stored of jobs besides.
pub fn store_flags(flags: u32) -> String {
    names(flags.into(), &[(1, "job_comment"), (10, "job_env"), (9, "job_script")], "(null)")
}

/// How priorities are made.
pub fn priority_flags(flags: u16) -> String {
    const FAIR_TREE: u16 = 1 << 5;
    const NO_NORMAL: u16 = 0xf << 7;
    let front = [
        (0, "ACCRUE_ALWAYS"),
        (2, "SMALL_RELATIVE_TO_TIME"),
        (4, "CALCULATE_RUNNING"),
        (3, "DEPTH_OBLIVIOUS"),
    ];
    let parts = [
        names(flags.into(), &front, ""),
        if flags & FAIR_TREE == 0 { "NO_FAIR_TREE".to_owned() } else { String::new() },
        names(flags.into(), &[(6, "INCR_ONLY"), (1, "MAX_TRES")], ""),
        if flags & NO_NORMAL == 0 { String::new() } else { "NO_NORMAL_ALL".to_owned() },
    ];
    let set: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    set.join(",")
}

/// On which nodes health is checked.
pub fn health_states(flags: u16) -> String {
    const CYCLE: u16 = 0x8000;
    const ANY: u16 = 0xf;
    let states = match flags & ANY {
        ANY => "ANY".to_owned(),
        some => names(some.into(), &[(0, "IDLE"), (1, "ALLOC"), (2, "MIXED")], ""),
    };
    match (flags & CYCLE != 0, states.is_empty()) {
        (true, true) => "CYCLE".to_owned(),
        (true, false) => format!("CYCLE,{states}"),
        (false, _) => states,
    }
}

/// How much is logged; above the last, nothing is.
pub fn log_level(level: u16) -> &'static str {
    const NAMES: [&str; 11] = [
        "quiet", "fatal", "error", "info", "verbose", "debug", "debug2", "debug3", "debug4",
        "debug5", "(null)",
    ];
    NAMES.get(usize::from(level)).copied().unwrap_or("unknown")
}

/// How times are logged.
pub fn log_format(format: u16) -> &'static str {
    const NAMES: [&str; 7] =
        ["iso8601_ms", "iso8601", "rfc5424_ms", "rfc5424", "clock", "short", "thread_id"];
    NAMES.get(usize::from(format)).copied().unwrap_or("(null)")
}

/// Which limits of partitions are enforced at submission.
pub fn part_limits(enforced: u16) -> &'static str {
    ["NO", "ALL", "ANY"].get(usize::from(enforced)).copied().unwrap_or("unknown")
}

/// When usage begins anew.
pub fn reset_period(period: u16) -> &'static str {
    const NAMES: [&str; 7] = ["NONE", "NOW", "DAILY", "WEEKLY", "MONTHLY", "QUARTERLY", "YEARLY"];
    NAMES.get(usize::from(period)).copied().unwrap_or("UNKNOWN")
}

/// In numbers for frequencies: they are words.
const FREQUENCY_WORD: u32 = 0x8000_0000;

/// How CPUs are clocked, by word.
const FREQUENCIES: [(u32, &str); 10] = [
    (0x8000_0001, "Low"),
    (0x8000_0002, "Medium"),
    (0x8000_0003, "High"),
    (0x8000_0004, "Highm1"),
    (0x8800_0000, "Conservative"),
    (0x8400_0000, "OnDemand"),
    (0x8200_0000, "Performance"),
    (0x8100_0000, "PowerSave"),
    (0x8040_0000, "SchedUtil"),
    (0x8080_0000, "UserSpace"),
];

/// A frequency in kHz, or a word.
pub fn frequency(number: u32) -> String {
    const UNSET: u32 = 0xffff_fffe;
    if let Some((_, name)) = FREQUENCIES.iter().find(|(word, _)| *word == number) {
        return (*name).to_owned();
    }
    match number {
        number if number & FREQUENCY_WORD != 0 => "Unknown".to_owned(),
        UNSET => String::new(),
        khz => khz.to_string(),
    }
}

/// Governors of frequency that are allowed.
pub fn governors(flags: u32) -> String {
    let named = FREQUENCIES.iter().skip(4).filter(|(flag, _)| flags & flag == *flag);
    let set: Vec<&str> = named.map(|(_, name)| *name).collect();
    if set.is_empty() { "No Governors defined".to_owned() } else { set.join(",") }
}

/// What is logged besides.
pub fn debug_flags(flags: u64) -> String {
    names(flags, DEBUG_FLAGS, "(null)")
}

/// By bit, in the order in which they are listed.
const DEBUG_FLAGS: &[(u32, &str)] = &[
    (50, "Accrue"),
    (54, "JobAccountGather"),
    (52, "Agent"),
    (12, "Backfill"),
    (27, "BackfillMap"),
    (40, "BurstBuffer"),
    (55, "Cgroup"),
    (41, "CpuFrequency"),
    (3, "CPU_Bind"),
    (8, "Data"),
    (44, "DB_Archive"),
    (30, "DB_Assoc"),
    (45, "DB_TRES"),
    (31, "DB_Event"),
    (32, "DB_Job"),
    (33, "DB_QOS"),
    (34, "DB_Query"),
    (35, "DB_Reservation"),
    (36, "DB_Resource"),
    (37, "DB_Step"),
    (38, "DB_Usage"),
    (39, "DB_WCKey"),
    (53, "Dependency"),
    (46, "Elasticsearch"),
    (18, "Energy"),
    (19, "ExtSensors"),
    (48, "Federation"),
    (15, "FrontEnd"),
    (13, "Gang"),
    (6, "Gres"),
    (49, "Hetjob"),
    (22, "Interconnect"),
    (24, "JobContainer"),
    (47, "NodeFeatures"),
    (20, "License"),
    (7, "MPI"),
    (10, "Network"),
    (4, "NetworkRaw"),
    (5, "NO_CONF_HASH"),
    (42, "Power"),
    (11, "Priority"),
    (21, "Profile"),
    (26, "Protocol"),
    (14, "Reservation"),
    (29, "Route"),
    (56, "Script"),
    (0, "SelectType"),
    (1, "Steps"),
    (17, "Switch"),
    (43, "TimeCray"),
    (28, "TraceJobs"),
    (2, "Triggers"),
    (9, "WorkQueue"),
];
